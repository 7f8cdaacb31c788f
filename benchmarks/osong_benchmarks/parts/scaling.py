"""Strong and weak scaling over processes, and one ligand's search over threads.

Every docking is the same one (a ligand into the made-up pocket), so the work divides evenly and
what is lost is lost to the machine and to Osong. Times are those of the clock: they need a machine
that does nothing else.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Final, Literal

from osong import screen
from osong.machine import usable_memory
from osong.search.session import DockingSession
from osong_benchmarks.cases import LIGANDS, made_ligand, made_target
from osong_benchmarks.part import (
    Figure,
    Gap,
    Merit,
    PartModel,
    PartResult,
    Say,
    Section,
    Settings,
    Size,
    Table,
)
from osong_benchmarks.report.style import MUTED, SERIES, new_figure, to_svg
from osong_benchmarks.scaling_child import Workers, workers

__all__ = ["ScalingResult", "merits", "run", "section"]

Kind = Literal["strong", "weak", "threads", "campaign"]
_WHAT: Final[dict[Kind, str]] = {
    "strong": "processes, the same work",
    "weak": "processes, work for each",
    "threads": "threads of one ligand",
    "campaign": "a campaign, start to end",
}


class _Plan(PartModel):
    """What is docked how often: by processes, by threads, and in a campaign (0: none)."""

    ligand: str
    edge: float
    n_dockings: int
    thread_effort: str
    n_thread_repeats: int
    n_campaign: int


_PLANS: Final[dict[Size, _Plan]] = {
    "smallest": _Plan(
        ligand="12_atoms", edge=14.0, n_dockings=4, thread_effort="fast", n_thread_repeats=2,
        n_campaign=0,
    ),
    "quick": _Plan(
        ligand="22_atoms", edge=22.5, n_dockings=16, thread_effort="balanced", n_thread_repeats=2,
        n_campaign=0,
    ),
    "full": _Plan(
        ligand="22_atoms", edge=22.5, n_dockings=240, thread_effort="balanced", n_thread_repeats=5,
        n_campaign=240,
    ),
}  # fmt: skip
_BYTES_A_WORKER: Final = 600 << 20


class ScalingRow(PartModel):
    """So many workers did so many dockings in so many seconds of the clock and of their CPUs."""

    kind: Kind
    n_workers: int
    n_dockings: int
    wall_s: float
    cpu_s: float | None

    @property
    def rate(self) -> float:
        """Dockings a second."""
        return self.n_dockings / self.wall_s


class ScalingResult(PartResult):
    """What the part measured.

    Attributes
    ----------
    ligand
        What was docked.
    n_cores
        Most workers.
    load_before
        The machine's load average before: other work makes efficiencies too low.
    rows
        By kind and number of workers.
    """

    ligand: str
    n_cores: int
    load_before: float
    rows: tuple[ScalingRow, ...]


def run(settings: Settings, say: Say) -> ScalingResult:
    """Dock with one to all cores."""
    plan = _PLANS[settings.size]
    load = os.getloadavg()[0]
    gaps = [Gap(what="scaling over ranks", reason="campaigns have no MPI runner yet")]
    n_cores = min(settings.cores, max(1, usable_memory() // _BYTES_A_WORKER))
    if n_cores < settings.cores:
        reason = f"{settings.cores} docking processes would not fit into memory"
        gaps.append(Gap(what=f"more than {n_cores} workers", reason=reason))
    if n_cores == 1:
        gaps.append(Gap(what="scaling over cores", reason="one core was to be used"))
    rows = [*_processes(plan, n_cores, say), *_threads(plan, n_cores, say)]
    if plan.n_campaign:
        rows += _campaigns(plan, n_cores, say)
    else:
        gaps.append(Gap(what="scaling of whole campaigns", reason="takes minutes: size full"))
    return ScalingResult(
        ligand=plan.ligand,
        n_cores=n_cores,
        load_before=load,
        rows=tuple(rows),
        gaps=tuple(gaps),
    )


def _worker_counts(n_cores: int) -> list[int]:
    """Return 1, 2, 4, ... and the number of cores.

    >>> _worker_counts(6)
    [1, 2, 4, 6]
    """
    counts = [1]
    while counts[-1] * 2 < n_cores:
        counts.append(counts[-1] * 2)
    return counts + [n_cores] * (n_cores > 1)


def _processes(plan: _Plan, n_cores: int, say: Say) -> list[ScalingRow]:
    made_target(plan.edge)
    # fills the cache of machine code, so that workers do not compile side by side
    _session(plan, "fast", 1).dock([made_ligand(plan.ligand)])
    say(f"starting {n_cores} docking processes")
    rows = []
    with workers(n_cores, plan.ligand, plan.edge, "fast") as team:
        for n in _worker_counts(n_cores):
            say(f"{n} docking process{'es' if n > 1 else ''}")
            rows.append(_row("strong", team, _shares(plan.n_dockings, n)))
            if n == 1:
                rows.append(rows[-1].model_copy(update={"kind": "weak"}))
            else:
                rows.append(_row("weak", team, [plan.n_dockings] * n))
    return rows


def _shares(total: int, n: int) -> list[int]:
    """Divide work as evenly as it goes.

    >>> _shares(7, 3)
    [3, 2, 2]
    """
    return [total // n + (k < total % n) for k in range(n)]


def _row(kind: Kind, team: Workers, counts: list[int]) -> ScalingRow:
    wall_s, cpu_s = team.dock(counts)
    return ScalingRow(
        kind=kind, n_workers=len(counts), n_dockings=sum(counts), wall_s=wall_s, cpu_s=cpu_s
    )


def _session(plan: _Plan, effort: str, threads: int) -> DockingSession:
    return DockingSession(made_target(plan.edge), effort=effort, threads=threads)


def _threads(plan: _Plan, n_cores: int, say: Say) -> list[ScalingRow]:
    rows = []
    ligand = made_ligand(plan.ligand)
    for n in _worker_counts(n_cores):
        say(f"{n} thread{'s' if n > 1 else ''} for one ligand")
        session = _session(plan, plan.thread_effort, n)
        session.maps.ensure(set(ligand.packed.atom_type[: ligand.packed.n_scored].tolist()))
        taken = []
        for _ in range(plan.n_thread_repeats):
            started, started_cpu = time.perf_counter(), time.process_time()
            session.dock([ligand])
            taken.append((time.perf_counter() - started, time.process_time() - started_cpu))
        wall_s, cpu_s = min(taken)
        rows.append(
            ScalingRow(kind="threads", n_workers=n, n_dockings=1, wall_s=wall_s, cpu_s=cpu_s)
        )
    return rows


def _campaigns(plan: _Plan, n_cores: int, say: Say) -> list[ScalingRow]:
    """Screen one molecule under many names, from start to end, preparation included."""
    molecules = [(LIGANDS[plan.ligand], f"{plan.ligand}-{k}") for k in range(plan.n_campaign)]
    rows = []
    for n in _worker_counts(n_cores):
        say(f"a campaign with {n} worker{'s' if n > 1 else ''}")
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            screen(made_target(plan.edge), molecules, out=Path(folder) / "campaign", workers=n,
                   progress=False)  # fmt: skip
            wall_s = time.perf_counter() - started
        rows.append(
            ScalingRow(
                kind="campaign", n_workers=n, n_dockings=plan.n_campaign, wall_s=wall_s, cpu_s=None
            )
        )
    return rows


def _by_kind(result: ScalingResult) -> dict[Kind, list[ScalingRow]]:
    kinds: dict[Kind, list[ScalingRow]] = {}
    for row in result.rows:
        kinds.setdefault(row.kind, []).append(row)
    return kinds


def _efficiency(row: ScalingRow, rows: list[ScalingRow]) -> float:
    """Return the rate a worker, relative to that of one worker alone."""
    return row.rate / (row.n_workers * rows[0].rate)


def merits(result: ScalingResult) -> dict[str, Merit]:
    """Return the efficiency on all cores, and what one and all cores dock in a second."""
    found: dict[str, Merit] = {}
    for kind, rows in _by_kind(result).items():
        if rows[-1].n_workers > 1:
            found[f"scaling.{kind}.all_cores"] = Merit(
                value=_efficiency(rows[-1], rows), unit="of ideal", is_higher_better=True
            )
    weak = _by_kind(result)["weak"]
    for name, row in (("one_core", weak[0]), ("all_cores", weak[-1])):
        found[f"scaling.dockings.{name}"] = Merit(
            value=row.rate, unit="ligands/s", is_higher_better=True, tolerance=0.15
        )
        if row.cpu_s is not None:
            found[f"scaling.cpu_a_docking.{name}"] = Merit(
                value=1e3 * row.cpu_s / row.n_dockings, unit="ms", is_higher_better=False
            )
    return found


def section(result: ScalingResult) -> Section:
    """Draw efficiency over workers."""
    kinds = _by_kind(result)
    rows: list[list[str | float]] = [
        [
            _WHAT[kind],
            row.n_workers,
            row.n_dockings,
            f"{row.wall_s:.2f}",
            "" if row.cpu_s is None else f"{1e3 * row.cpu_s / row.n_dockings:.1f}",
            f"{row.rate:.2f}",
            f"{100 * _efficiency(row, kinds[kind]):.0f} %",
        ]
        for kind, of_kind in kinds.items()
        for row in of_kind
    ]
    table = Table(
        [
            "what",
            "workers",
            "dockings",
            "clock, s",
            "CPU ms a docking",
            "dockings a second",
            "efficiency",
        ],
        rows,
        f"The ligand of {result.ligand.replace('_', ' ')} docked again and again. The machine's "
        f"load before was {result.load_before:.1f}: other work lowers efficiencies, which go by "
        "the clock. CPU time a docking rises where caches and memory bandwidth are short",
    )
    weak = kinds["weak"]
    summary = (
        f"{weak[-1].rate:.1f} dockings a second on {weak[-1].n_workers} "
        f"core{'s' if weak[-1].n_workers > 1 else ''}"
    )
    if weak[-1].n_workers > 1:
        summary += f", {100 * _efficiency(weak[-1], weak):.0f} % of ideal"
    figures = [_figure(kinds)] if result.n_cores > 1 else []
    return Section("Scaling", summary + ".", figures, [table], result.gaps)


def _figure(kinds: dict[Kind, list[ScalingRow]]) -> Figure:
    figure, axes = new_figure(6.4, 3.8)
    axes.axhline(100.0, color=MUTED, lw=1.0, ls="--")
    for k, (kind, rows) in enumerate(kinds.items()):
        axes.plot(
            [row.n_workers for row in rows],
            [100.0 * _efficiency(row, rows) for row in rows],
            color=SERIES[k], marker="osD^"[k], label=_WHAT[kind],
        )  # fmt: skip
    counts = sorted({row.n_workers for rows in kinds.values() for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(n) for n in counts], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 115)
    axes.set_xlabel("workers (processes or threads)")
    axes.set_ylabel("efficiency, % of ideal")
    axes.legend(loc="lower left", frameon=False)
    caption = (
        "Dockings a second and worker, relative to one worker alone. The same work: divided among "
        "the workers. Work for each: it grows with them."
    )
    return Figure(to_svg(figure), caption)
