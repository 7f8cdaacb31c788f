"""A screen from end to end: ligands a second, the share of each stage, and peers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import osong
from osong.errors import MissingExtraError
from osong.quickstart import DRUGS
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.part import (
    Figure,
    Gap,
    Merit,
    PartResult,
    Say,
    Section,
    Settings,
    Size,
    Table,
)
from osong_benchmarks.redock_programs import chosen_programs
from osong_benchmarks.screen import (
    STAGES,
    CampaignTime,
    StageTimes,
    stage_table,
    time_campaign,
    time_stages,
)
from osong_benchmarks.screen_peers import Screened, peers_table, screen_first

__all__ = ["ScreenResult", "merits", "run", "section"]

_COMPLEX: Final = "1opk"
_LIBRARY: Final = "moses_1k.smi"
_PEER_OF_MERITS: Final = {"vina 8": "vina", "rustina vinardo": "rustina"}


@dataclass(frozen=True)
class _Plan:
    """What a size measures.

    Attributes
    ----------
    n
        Molecules of the screen.
    efforts
        Each is timed by itself.
    n_peers
        Molecules that peers dock.
    programs
        Theirs, and Osong's beside them.
    """

    n: int
    efforts: tuple[str, ...]
    n_peers: int
    programs: tuple[str, ...]


_PLANS: Final[dict[Size, _Plan]] = {
    "smallest": _Plan(4, ("fast",), 1, ("osong fast", "vina 1", "rustina vinardo qvina2 1")),
    "quick": _Plan(40, ("fast",), 4,
                   ("osong fast", "osong balanced", "vina 8", "rustina vinardo")),
    "full": _Plan(1000, ("fast", "balanced"), 20,
                  ("osong fast", "osong balanced", "osong thorough", "vina 1", "vina 8",
                   "rustina vinardo", "rustina vina")),
}  # fmt: skip


class ScreenResult(PartResult):
    """Stages, campaigns and peers.

    Attributes
    ----------
    target, library
        What was docked into what.
    stages, campaigns
        One of each for every effort.
    peers
        One for every program, over the first molecules.
    """

    target: str = ""
    library: str = ""
    stages: tuple[StageTimes, ...] = ()
    campaigns: tuple[CampaignTime, ...] = ()
    peers: tuple[Screened, ...] = ()


def run(settings: Settings, say: Say) -> ScreenResult:
    """Time the stages and a campaign at every effort, then the peers asked for."""
    plan = _PLANS[settings.size]
    try:
        target, library = _target_and_library(settings)
    except MissingExtraError as error:
        reason = f"needs the shared complexes (--data), or: {error}"
        return ScreenResult(gaps=(Gap(what="screen", reason=reason),))
    stages, campaigns = [], []
    for effort in plan.efforts:
        say(f"stages of {plan.n} molecules of {library.name}, effort {effort}")
        stages.append(time_stages(target, library, plan.n, effort, settings.out))
        say(f"the same as a campaign: {stages[-1].rate:.2f} ligands a CPU second so far")
        campaigns.append(time_campaign(target, library, plan.n, effort, settings.out))
    names = [program.name for program in chosen_programs(settings.peers, plan.programs)]
    peers: list[Screened] = []
    if settings.peers:
        peers = screen_first(target, library, plan.n_peers, names, settings.out, say, settings.seed)
    return ScreenResult(
        target=target.name, library=library.name, stages=tuple(stages),
        campaigns=tuple(campaigns), peers=tuple(peers), gaps=_gaps(stages, peers, names),
    )  # fmt: skip


def _target_and_library(settings: Settings) -> tuple[osong.Target, Path]:
    """Return the shared complex and library; EGFR and the packaged drugs where they are not."""
    library = settings.data and settings.data / "library" / _LIBRARY
    if settings.data is None or library is None or not library.exists():
        return osong.Target.named("EGFR"), DRUGS
    (complex_,) = read_complexes(settings.data, [_COMPLEX])
    receptor = receptor_pdbqt(complex_, settings.out / "receptors")
    return osong.Target.from_file(receptor, box=complex_.box, name=_COMPLEX), library


def _gaps(
    stages: Sequence[StageTimes], peers: Sequence[Screened], names: Sequence[str]
) -> tuple[Gap, ...]:
    unknown = dict.fromkeys(stage for times in stages for stage in times.unknown)
    gaps = [
        Gap(what=f"stage '{stage}' by itself", reason="its function is no longer where it was; "
            "its time is in the stage around it")
        for stage in unknown
    ]  # fmt: skip
    gaps += [Gap(what=f"screen with {p.program}", reason=p.error) for p in peers if p.error]
    gaps += [
        Gap(what=f"screen with {peer}", reason="not asked for, or not installed: --peers "
            f"{peer}, pip install 'osong[peers]'")
        for peer in ("vina", "rustina")
        if not any(name.startswith(peer) for name in names)
    ]  # fmt: skip
    return tuple(gaps)


def section(result: ScreenResult) -> Section:
    """Draw the stages as bars, and the programs beside each other."""
    title = "Screen: ligands per second from end to end"
    if not result.stages:
        return Section(title, "Not measured.", gaps=result.gaps)
    figures = [_stage_figure(result.stages)]
    tables: list[Table] = [_rate_table(result), *(stage_table(times) for times in result.stages)]
    if [p for p in result.peers if not p.error]:
        figures.append(_peer_figure(result.peers))
        tables.append(peers_table(result.peers))
    rates = " and ".join(f"{t.rate:.1f} at effort {t.effort}" for t in result.stages)
    summary = (
        f"{result.stages[0].n} molecules of {result.library} against {result.target}, from SMILES "
        f"to poses: {rates}, in ligands a CPU second (start and compilation not counted)."
    )
    return Section(title, summary, figures, tables, result.gaps)


def _rate_table(result: ScreenResult) -> Table:
    by_effort = {c.effort: c for c in result.campaigns}
    rows: list[list[str | int]] = []
    for times in result.stages:
        c = by_effort.get(times.effort)
        cells = ["-"] * 3
        if c is not None:
            cells = [f"{c.wall_s:.1f}", f"{c.cpu_s:.1f}", f"{c.n / c.cpu_s:.2f}"]
        rows.append([times.effort, times.n, f"{times.rate:.2f}", f"{times.start_s:.1f}", *cells])
    header = [
        "effort", "molecules", "ligands a CPU s, stages", "start and compilation, s",
        "campaign, s by the clock", "campaign, CPU s", "ligands a CPU s, campaign",
    ]  # fmt: skip
    caption = (
        "The campaign has one worker; its start, compilation, parts and ledger are in its numbers."
    )
    return Table(header, rows, caption)


def _stage_figure(stages: Sequence[StageTimes]) -> Figure:
    from osong_benchmarks.report.style import SERIES, new_figure, to_svg

    fig, ax = new_figure(7.2, 1.6 + 0.7 * len(stages))
    for row, times in enumerate(stages):
        left = 0.0
        for number, stage in enumerate(STAGES):
            width = 1e3 * times.stages.get(stage, 0.0) / times.n
            colour = SERIES[number % len(SERIES)]
            label = stage if row == 0 else None
            alpha = 1.0 if number < len(SERIES) else 0.45
            ax.barh(row, width, left=left, color=colour, alpha=alpha, label=label, height=0.6)
            _write_share(ax, row, left, width, 1e3 * times.total_s / times.n)
            left += width
    ax.set_yticks(range(len(stages)), [times.effort for times in stages])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("CPU milliseconds a ligand")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8)
    caption = "Where the time of a screen goes; start and compilation are in the table."
    return Figure(to_svg(fig), caption)


def _write_share(ax: Any, row: int, left: float, width: float, total: float) -> None:
    """Write a share into its bar where it is wide enough."""
    from osong_benchmarks.report.style import PAPER

    if width > 0.06 * total:
        text = f"{100 * width / total:.0f} %"
        ax.text(left + width / 2, row, text, ha="center", va="center", color=PAPER, fontsize=8)


def _peer_figure(peers: Sequence[Screened]) -> Figure:
    from osong_benchmarks.report.style import PROGRAM_COLOURS, new_figure, to_svg

    done = [p for p in peers if not p.error]
    fig, ax = new_figure(7.2, 1.0 + 0.4 * len(done))
    for row, p in enumerate(done):
        colour = PROGRAM_COLOURS[p.engine]
        ax.plot(p.per_ligand_s, row, "o", color=colour, markersize=8)
        ax.annotate(f"{p.per_ligand_s:.2f} s", (p.per_ligand_s, row), xytext=(9, -3),
                    textcoords="offset points", color=colour, fontsize=8)  # fmt: skip
    ax.set_yticks(range(len(done)), [p.program for p in done])
    ax.set_ylim(len(done) - 0.5, -0.5)
    ax.set_xscale("log")
    values = [p.per_ligand_s for p in done]
    ax.set_xlim(min(values) / 2, max(values) * 3)
    ax.set_xlabel("CPU seconds a ligand, preparation and docking")
    caption = (
        f"The first {done[0].n} molecules, one state of each, by every program; further left is "
        "faster. Grid maps are made once and not in these numbers."
    )
    return Figure(to_svg(fig), caption)


def merits(result: ScreenResult) -> dict[str, Merit]:
    """Return the rates, the two large shares, and the ratios to peers."""
    found: dict[str, Merit] = {}
    for times in result.stages:
        name = f"screen.{times.effort}"
        found[f"{name}.ligands_per_cpu_s"] = _merit(times.rate, "1/s", is_higher_better=True)
        for begins in ("prepare", "search"):
            milliseconds = 1e3 * times.seconds(begins) / times.n
            found[f"{name}.{begins}_ms_per_ligand"] = _merit(milliseconds, "ms")
        found["screen.start_s"] = _merit(times.start_s, "s", tolerance=0.5)
    for campaign in result.campaigns:
        rate = campaign.n / campaign.cpu_s
        found[f"screen.{campaign.effort}.campaign_ligands_per_cpu_s"] = _merit(
            rate, "1/s", is_higher_better=True
        )
    done = {p.program: p for p in result.peers if not p.error}
    for own in (p for p in done.values() if p.engine == "osong"):
        for peer, short in _PEER_OF_MERITS.items():
            if peer in done:
                effort = own.program.removeprefix("osong ")
                found[f"screen.{effort}.times_faster_than_{short}"] = _merit(
                    done[peer].per_ligand_s / own.per_ligand_s, "x", is_higher_better=True
                )
    return found


def _merit(
    value: float, unit: str, *, is_higher_better: bool = False, tolerance: float = 0.15
) -> Merit:
    return Merit(value=value, unit=unit, is_higher_better=is_higher_better, tolerance=tolerance)
