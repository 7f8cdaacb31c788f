"""Redocking of the shared complexes: success, best energies and CPU seconds, beside peers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from osong_benchmarks.complexes import Complex, read_complexes
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
from osong_benchmarks.redock import RULE_COMPLEXES, choose, dock_all, results_in
from osong_benchmarks.redock_figures import energy_scatter, pareto_energy, pareto_success
from osong_benchmarks.redock_programs import chosen_programs
from osong_benchmarks.redock_rows import (
    ENERGY_MARGIN,
    Docking,
    complexes_of_all,
    energies_against,
    programs_of,
    ratio,
    standings,
)
from osong_benchmarks.redock_summary import (
    accuracy_table,
    complex_table,
    energy_table,
    failures,
    pareto_table,
    ratio_table,
    speed_table,
)
from osong_benchmarks.statistics import share

__all__ = ["DockingResult", "merits", "run", "section"]


@dataclass(frozen=True)
class _Plan:
    """What a size docks; no complexes: those of the rule. No programs: the default ones."""

    complexes: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


_PLANS: Final[dict[Size, _Plan]] = {
    "smallest": _Plan(("7bjj_TVW",), ("osong fast", "vina 1", "rustina vinardo qvina2 1")),
    "quick": _Plan(
        ("7bjj_TVW", "7ebg_J0L", "7lou_IFM"),
        ("osong fast", "osong balanced", "vina 8", "rustina vinardo"),
    ),
    "full": _Plan(),
}
_PEER_OF_MERITS = {"vina 8": "vina", "vina 1": "vina_1", "rustina vinardo": "rustina"}
_SIDE_BY_SIDE = 2


class DockingResult(PartResult):
    """Every docking; what follows from them is worked out when it is shown.

    Attributes
    ----------
    dockings
        Complex by complex.
    """

    dockings: tuple[Docking, ...] = ()


def run(settings: Settings, say: Say) -> DockingResult:
    """Dock the complexes of this size with Osong and the peers asked for.

    A full run keeps its rows in ``settings.out`` and goes on where it was stopped.
    """
    folder = settings.data and settings.data / "redock"
    if folder is None or not folder.is_dir():
        reason = "needs the shared complexes: give their folder with --data"
        return DockingResult(gaps=(Gap(what="docking", reason=reason),))
    plan = _PLANS[settings.size]
    programs = chosen_programs(settings.peers, plan.programs)
    complexes = _complexes(settings, plan)
    results = results_in(settings.out)
    if settings.size != "full":
        results.path.unlink(missing_ok=True)
    shards = _shards(complexes, settings)
    with ThreadPoolExecutor(len(shards)) as pool:  # each docking is a process of its own
        done = [
            pool.submit(dock_all, shard, programs, results, say, seed=settings.seed)
            for shard in shards
        ]
        for future in done:
            future.result()
    wanted = [(c.name, p.name) for c in complexes for p in programs]
    rows = {(row["complex"], row["program"]): row for row in results.rows()}
    dockings = tuple(Docking.of_row(rows[name]) for name in wanted)
    return DockingResult(dockings=dockings, gaps=(*_missing(settings), *_failed(dockings)))


def _complexes(settings: Settings, plan: _Plan) -> list[Complex]:
    assert settings.data is not None
    if plan.complexes:
        found = {c.name: c for c in read_complexes(settings.data, plan.complexes)}
        return [found[name] for name in plan.complexes]
    return choose(read_complexes(settings.data), RULE_COMPLEXES)


def _shards(complexes: Sequence[Complex], settings: Settings) -> list[Sequence[Complex]]:
    """Return what runs side by side: two series at most, each with all programs in turn."""
    n = min(_SIDE_BY_SIDE, settings.cores, len(complexes))
    return [complexes[k::n] for k in range(n)]


def _missing(settings: Settings) -> list[Gap]:
    programs = {program.engine for program in chosen_programs(settings.peers)}
    return [
        Gap(what=f"docking with {peer}", reason="not asked for, or not installed: --peers "
            f"{peer}, pip install 'osong[peers]'")
        for peer in ("vina", "rustina")
        if peer not in programs
    ]  # fmt: skip


def _failed(dockings: Sequence[Docking]) -> list[Gap]:
    return [Gap(what=f"{d.complex} with {d.program}", reason=d.error) for d in dockings if d.error]


def section(result: DockingResult) -> Section:
    """Draw what the dockings say."""
    dockings = result.dockings
    title = "Docking: success, energy and CPU time"
    if not complexes_of_all(dockings):
        return Section(title, "No complex was docked by all programs.", gaps=result.gaps)
    figures: list[Figure] = [pareto_success(dockings), pareto_energy(dockings)]
    scatter = energy_scatter(dockings)
    figures += [scatter] if scatter else []
    tables: list[Table] = [pareto_table(dockings), accuracy_table(dockings)]
    tables += [t for t in (ratio_table(dockings), energy_table(dockings)) if t.rows]
    tables += [speed_table(dockings), complex_table(dockings)]
    return Section(title, _summary(dockings), figures, tables, result.gaps)


def _summary(dockings: Sequence[Docking]) -> str:
    n, n_any = len(complexes_of_all(dockings)), len({d.complex for d in dockings})
    started = sorted(d.started for d in dockings if d.started)
    when = f", from {_minute(started[0])} to {_minute(started[-1])}" if started else ""
    text = (
        f"{n} complexes that every program docked (of {n_any}{when}), one thread, the same "
        "receptor, box and starting conformer, each docking a process of its own; compilation and "
        "imports are not counted. Success is a first pose within 2 A of the crystal."
    )
    failed = failures(dockings)
    return f"{text} {len(failed)} dockings gave no pose." if failed else text


def _minute(started: str) -> str:
    """Return date and time of an ISO timestamp, in minutes.

    >>> _minute("2026-01-31T07:05:59+00:00")
    '2026-01-31 07:05 UTC'
    """
    return f"{datetime.fromisoformat(started).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def merits(result: DockingResult) -> dict[str, Merit]:
    """Return success and CPU seconds of every effort, and the ratios to peers."""
    found = {s.program: s for s in standings(result.dockings) if s.engine == "osong"}
    pairs = [
        _merits_of(result.dockings, found[f"osong {effort}"], effort)
        for effort in ("fast", "balanced", "thorough")
        if f"osong {effort}" in found
    ]
    own = dict(chain.from_iterable(pair.items() for pair in pairs))
    same = "osong balanced same conformer"
    if same in found and "vina 8" in programs_of(result.dockings):
        differences = energies_against(result.dockings, same, "vina 8").rescored
        own["docking.balanced.energies_as_good_as_vina"] = Merit(
            value=share(differences <= ENERGY_MARGIN), unit="share", is_higher_better=True,
            tolerance=0.05,
        )  # fmt: skip
    return own


def _merits_of(dockings: Sequence[Docking], standing: Any, effort: str) -> dict[str, Merit]:
    name = f"docking.{effort}"
    values = {
        f"{name}.cpu_s_per_ligand": Merit(
            value=standing.cpu_mean, unit="s", is_higher_better=False, tolerance=0.15
        ),
        f"{name}.success": Merit(
            value=standing.success, unit="share", is_higher_better=True, tolerance=0.05
        ),
    }
    done = programs_of(dockings)
    for peer, short in _PEER_OF_MERITS.items():
        if peer in done:
            values[f"{name}.times_faster_than_{short}"] = Merit(
                value=ratio(dockings, standing.program, peer).of_totals, unit="x",
                is_higher_better=True, tolerance=0.15,
            )  # fmt: skip
    return values
