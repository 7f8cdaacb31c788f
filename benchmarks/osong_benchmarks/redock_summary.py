"""Tables of the redocking benchmark, for documents and for the page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from osong_benchmarks.part import Table
from osong_benchmarks.redock_rows import (
    ENERGY_MARGIN,
    STAGES,
    Docking,
    complexes_of_all,
    discordant,
    energies_against,
    programs_of,
    ratio,
    standings,
)
from osong_benchmarks.results import provenance
from osong_benchmarks.statistics import RatioOfTimes, percent
from osong_benchmarks.tables import markdown_table, write_table

__all__ = [
    "accuracy_table",
    "complex_table",
    "energy_table",
    "failures",
    "pareto_table",
    "ratio_table",
    "references",
    "speed_table",
    "write_summary",
]

_BESIDE = ("vina 8", "rustina vinardo")
"""The peers at their defaults."""


def write_summary(dockings: Sequence[Docking], args: argparse.Namespace) -> None:
    """Print the tables, and put them into the documents where that was asked for."""
    if not complexes_of_all(dockings):
        print("nothing to summarise yet: no complex that all programs have docked")
        return
    accuracy, energy = accuracy_table(dockings), energy_table(dockings)
    pareto, speed, ratios = pareto_table(dockings), speed_table(dockings), ratio_table(dockings)
    by_complex = complex_table(dockings)
    failed = "\n".join(f"- {line}" for line in failures(dockings))
    redock = "\n\n".join([*(_shown(t) for t in (accuracy, energy) if t.rows), failed]).strip()
    times = "\n\n".join(_shown(table) for table in (speed, ratios) if table.rows)
    print(redock, times, _shown(pareto), sep="\n\n")
    if args.write:
        note = provenance(_command(args))
        write_table(Path("docs/accuracy.md"), "redock", redock, note)
        write_table(Path("docs/accuracy.md"), "speed", times, note)
        write_table(Path("docs/accuracy.md"), "complexes", _shown(by_complex), note)
        for document in ("README.md", "docs/performance.md"):
            write_table(Path(document), "pareto", _shown(pareto), note)


def _command(args: argparse.Namespace) -> list[str]:
    words = ["redock", "--data", str(args.data), "--peers", *args.peers, "--n", str(args.n)]
    return [*words, "--programs", *args.programs] if args.programs else words


def _shown(table: Table) -> str:
    text = markdown_table(table.header, table.rows)
    return f"{text}\n\n{table.caption}" if table.caption else text


def failures(dockings: Sequence[Docking]) -> list[str]:
    """Return a line for every docking without a pose."""
    return [f"{d.complex} {d.program}: {d.error}" for d in dockings if d.error]


def references(dockings: Sequence[Docking]) -> list[str]:
    """Return the peers' programs."""
    engines = {d.program: d.engine for d in dockings}
    return [name for name in programs_of(dockings) if engines[name] != "osong"]


def _own(dockings: Sequence[Docking]) -> list[str]:
    peers = references(dockings)
    return [name for name in programs_of(dockings) if name not in peers]


def _energy_references(dockings: Sequence[Docking]) -> list[str]:
    """Return the peers that search the same energy at their usual or a higher effort."""
    return [name for name in references(dockings) if name in {"vina 8", "vina 32", "rustina vina"}]


def accuracy_table(dockings: Sequence[Docking]) -> Table:
    """Return the share of poses near the crystal, over complexes that all programs docked."""
    peers = [name for name in references(dockings) if name in _BESIDE]
    lines = []
    for s in standings(dockings):
        low, high = s.interval
        splits = [discordant(dockings, s.program, peer) for peer in peers]
        lines.append(
            [s.program, _share(s.n_top1, s.n), f"{100 * low:.0f}-{100 * high:.0f} %",
             _share(s.n_top3, s.n), f"{s.rmsd_median:.2f}",
             *("-" if s.program == peer else f"{a} : {b} (p {p:.2f})"
               for peer, (a, b, p) in zip(peers, splits, strict=True))]
        )  # fmt: skip
    header = ["program", "top pose within 2 A", "95 % interval", "one of 3 poses within 2 A",
              "median RMSD, A", *(f"only this : only {peer}" for peer in peers)]  # fmt: skip
    return Table(header, lines, _number(dockings))


def _number(dockings: Sequence[Docking]) -> str:
    """Return over how many complexes, and which programs are still behind."""
    shared = complexes_of_all(dockings)
    n = len({d.complex for d in dockings})
    text = f"Over the {len(shared)} complexes that all programs docked"
    return f"{text}." if n == len(shared) else f"{text}, of {n} that any of them docked."


def _share(n_true: int, n: int) -> str:
    return percent([True] * n_true + [False] * (n - n_true))


def energy_table(dockings: Sequence[Docking]) -> Table:
    """Return how often Osong's best energy is at most a peer's + 0.1 kcal/mol."""
    lines: list[list[str]] = []
    for peer in _energy_references(dockings):
        for program in [*_own(dockings), *references(dockings)]:
            if program == peer or "vinardo" in program:
                continue
            lines.append([peer, program, *_energy_cells(dockings, program, peer)])
    header = ["against", "program", "as reported", "rescored",
              "inter + intra, rescored", "median difference, rescored",
              "mean difference, rescored"]  # fmt: skip
    caption = (
        "Share of complexes with a best energy no more than 0.1 kcal/mol above the other "
        "program's. Rescored by one program with one typing."
    )
    return Table(header, lines, caption)


def _energy_cells(dockings: Sequence[Docking], program: str, peer: str) -> list[str]:
    found = energies_against(dockings, program, peer)
    if not found.names:
        return ["-"] * 5
    shares = [percent(d <= ENERGY_MARGIN) for d in (found.reported, found.rescored, found.searched)]
    return [*shares, f"{np.median(found.rescored):+.2f}", f"{np.mean(found.rescored):+.2f}"]


def pareto_table(dockings: Sequence[Docking]) -> Table:
    """Return what each program at each setting costs and what it finds."""
    lines = []
    found = standings(dockings)
    beside = [s for name in _BESIDE for s in found if s.program == name]
    for s in found:
        low, high = s.interval
        lines.append(
            [s.program, f"{s.cpu_mean:.2f}", f"{s.cpu_median:.2f}", f"{s.cpu_all_mean:.2f}",
             _share(s.n_top1, s.n), f"{100 * low:.0f}-{100 * high:.0f} %", _share(s.n_top3, s.n),
             f"{s.energy_mean:.2f}", *(f"{peer.cpu_mean / s.cpu_mean:.1f}" for peer in beside)]
        )  # fmt: skip
    header = ["program", "CPU s a ligand, mean", "median", "mean, with preparation",
              "top pose within 2 A", "95 % interval", "one of 3 poses within 2 A",
              "mean best energy, rescored",
              *(f"rate, {peer.program} = 1" for peer in beside)]  # fmt: skip
    caption = (
        f"{_number(dockings)} CPU seconds of grid maps and docking on one thread, rates from "
        "them; kcal/mol."
    )
    return Table(header, lines, caption)


def speed_table(dockings: Sequence[Docking]) -> Table:
    """Return CPU seconds by stage."""
    shared = set(complexes_of_all(dockings))
    lines = []
    for program in programs_of(dockings):
        mine = [d for d in dockings if d.program == program and d.complex in shared]
        cells = [
            f"{sum(d.cpu[stage] for d in mine):.1f}" if stage in mine[0].cpu else "-"
            for stage in ("prepare", "maps", "dock")
        ]
        sums = [sum(d.seconds(stages) for d in mine) for stages in list(STAGES)[1:]]
        lines.append([program, *cells, *(f"{s:.1f}" for s in sums)])
    header = ["program", "prepare ligand, s", "maps, s", "dock, s", *list(STAGES)[1:]]
    caption = (
        f"CPU seconds over {len(shared)} complexes, one thread. Peers get their conformer ready "
        "made, so that their preparation is Meeko's alone; Vina makes the maps of all atom types, "
        "Osong those that the ligand needs, and Rustina's grids are inside its docking."
    )
    return Table(header, lines, caption)


def ratio_table(dockings: Sequence[Docking]) -> Table:
    """Return how many times the CPU time of each peer's settings is Osong's."""
    peers = references(dockings)
    lines = [
        [program, stages, *(_ratio_cell(ratio(dockings, program, peer, stages)) for peer in peers)]
        for program in _own(dockings)
        for stages in list(STAGES)[1:]
    ]
    n = len(complexes_of_all(dockings))
    caption = (
        f"CPU time of each peer divided by Osong's over {n} complexes: of the totals, and in "
        "brackets the median over complexes."
    )
    return Table(["program", "stages", *peers], lines if peers else [], caption)


def _ratio_cell(found: RatioOfTimes) -> str:
    return f"{found.of_totals:.1f} ({found.median:.1f})"


def complex_table(dockings: Sequence[Docking]) -> Table:
    """Return one line a complex: RMSD, rescored energy and CPU time of each program."""
    programs = programs_of(dockings)
    by_name = {(d.complex, d.program): d for d in dockings if not d.error}
    lines = []
    for name in dict.fromkeys(d.complex for d in dockings):
        found = [by_name.get((name, program)) for program in programs]
        lines.append(
            [name, *("-" if d is None else f"{d.rmsd[0]:.1f} / {d.best.total:.2f} / "
                     f"{d.seconds():.1f}" for d in found)]
        )  # fmt: skip
    caption = (
        "RMSD of the first pose, A / its energy rescored, kcal/mol / CPU s of maps and docking."
    )
    return Table(["complex", *programs], lines, caption)
