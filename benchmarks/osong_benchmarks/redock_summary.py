"""Tables of the redocking benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from osong_benchmarks.results import provenance
from osong_benchmarks.statistics import percent, wilson_interval
from osong_benchmarks.tables import markdown_table, write_table

__all__ = ["accuracy_table", "energy_table", "speed_table", "write_summary"]

Row = dict[str, Any]
Pair = tuple[Row, Row]
_NEAR = 2.0
_ENERGY_MARGIN = 0.1
_OSONG = ("osong", "osong same conformer")


def write_summary(rows: list[Row], args: argparse.Namespace) -> None:
    """Print the tables, and put them into the documents where that was asked for."""
    done = [row for row in rows if "error" not in row]
    if not done:
        print("nothing to summarise yet")
        return
    accuracy, energy, speed = accuracy_table(done), energy_table(done), speed_table(done)
    failed = [f"- {r['complex']} {r['program']}: {r['error']}" for r in rows if "error" in r]
    text = "\n\n".join([accuracy, energy, *failed])
    per_complex = complex_table(done)
    print(text, speed, sep="\n\n")
    if args.write:
        note = provenance(
            ["redock", "--data", "../shared/data", "--peers", "vina", "--n", str(args.n),
             "--effort", args.effort]
        )  # fmt: skip
        write_table(Path("README.md"), "redock", accuracy + "\n\n" + energy, note)
        write_table(Path("README.md"), "speed", speed, note)
        write_table(Path("docs/accuracy.md"), "redock", text, note)
        write_table(Path("docs/accuracy.md"), "speed", speed, note)
        write_table(Path("docs/accuracy.md"), "complexes", per_complex, note)


def accuracy_table(rows: list[Row]) -> str:
    """Return the share of poses near the crystal, over complexes that all programs docked."""
    programs = _programs(rows)
    shared = _shared(rows, programs)
    lines = []
    for program in programs:
        mine = [row for row in rows if row["program"] == program and row["complex"] in shared]
        top = [row["rmsd"][0] <= _NEAR for row in mine]
        low, high = wilson_interval(sum(top), len(top))
        lines.append(
            [program, percent(top), f"{100 * low:.0f}-{100 * high:.0f} %",
             percent([min(row["rmsd"]) <= _NEAR for row in mine]),
             f"{np.median([row['rmsd'][0] for row in mine]):.2f}"]
        )  # fmt: skip
    header = ["program", "top pose within 2 A", "95 % interval", "one of 3 poses within 2 A",
              "median RMSD, A"]  # fmt: skip
    return markdown_table(header, lines)


def energy_table(rows: list[Row]) -> str:
    """Return how often Osong's best energy is at most Vina's + 0.1 kcal/mol."""
    lines = []
    for program in _OSONG:
        pairs = _pairs(rows, program)
        if not pairs:
            continue
        lines.append([program, "all", *_energy_cells(pairs)])
        if program == "osong":
            single = [pair for pair in pairs if pair[0]["n_conformers"] == 1]
            lines.append([program, "with one ring conformer", *_energy_cells(single)])
    header = ["program", "complexes", "as reported", "both rescored by Vina",
              "inter + intra, rescored", "median difference, rescored"]  # fmt: skip
    return markdown_table(header, lines)


def _energy_cells(pairs: list[Pair]) -> list[str]:
    if not pairs:
        return ["-"] * 4
    reported = [o["energies"][0] - v["energies"][0] for o, v in pairs]
    rescored = [o["rescored"]["total"] - v["rescored"]["total"] for o, v in pairs]
    searched = [_searched(o) - _searched(v) for o, v in pairs]
    shares = [percent(np.array(d) <= _ENERGY_MARGIN) for d in (reported, rescored, searched)]
    return [*shares, f"{np.median(rescored):+.2f}"]


def _searched(row: Row) -> float:
    """Return what the search minimises, scaled by Vina's torsion factor, kcal/mol."""
    score = row["rescored"]
    factor = score["total"] / score["inter"] if score["inter"] else 1.0
    return float((score["inter"] + score["intra"]) * factor)


def speed_table(rows: list[Row]) -> str:
    """Return CPU seconds by stage, and Vina's divided by Osong's."""
    programs = _programs(rows)
    shared = _shared(rows, programs)
    lines = []
    for program in programs:
        mine = [row for row in rows if row["program"] == program and row["complex"] in shared]
        stages = [sum(row["cpu"].get(s, 0.0) for row in mine) for s in ("prepare", "maps", "dock")]
        pairs = _pairs([row for row in rows if row["complex"] in shared], program)
        lines.append([program, *(f"{s:.1f}" for s in stages), *_ratio_cells(pairs)])
    header = ["program", "prepare ligand, s", "maps, s", "dock, s",
              "dock: totals", "median", "maps + dock: totals", "median",
              "prepare + maps + dock: totals", "median"]  # fmt: skip
    n = (
        f"CPU seconds over {len(shared)} complexes, one thread, then Vina's time divided by the "
        "program's own: of the totals, and the median over complexes. Vina gets its conformer "
        "ready made and makes the maps of all atom types, Osong those that the ligand needs."
    )
    return markdown_table(header, lines) + "\n\n" + n


def _ratio_cells(pairs: list[Pair]) -> list[str]:
    if not pairs or pairs[0][0]["program"] == "vina":
        return ["1.0"] * 6 if pairs else ["-"] * 6
    cells = []
    for stages in (("dock",), ("maps", "dock"), ("prepare", "maps", "dock")):
        own = np.array([sum(o["cpu"][s] for s in stages) for o, _ in pairs])
        vina = np.array([sum(v["cpu"][s] for s in stages) for _, v in pairs])
        cells += [f"{vina.sum() / own.sum():.1f}", f"{np.median(vina / own):.1f}"]
    return cells


def complex_table(rows: list[Row]) -> str:
    """Return one line a complex: RMSD, rescored energy and CPU time of each program."""
    programs = _programs(rows)
    lines = []
    for name in dict.fromkeys(row["complex"] for row in rows):
        line: list[object] = [name]
        for program in programs:
            found = [r for r in rows if r["complex"] == name and r["program"] == program]
            if found:
                r = found[0]
                line.append(f"{r['rmsd'][0]:.1f} / {r['rescored']['total']:.2f} / "
                            f"{r['cpu']['maps'] + r['cpu']['dock']:.1f}")  # fmt: skip
            else:
                line.append("-")
        lines.append(line)
    return markdown_table(["complex", *(f"{p}: A / kcal/mol / s" for p in programs)], lines)


def _programs(rows: list[Row]) -> list[str]:
    found = {row["program"] for row in rows}
    return [program for program in (*_OSONG, "vina") if program in found]


def _shared(rows: list[Row], programs: list[str]) -> set[str]:
    """Return the complexes that every program docked."""
    docked = [{r["complex"] for r in rows if r["program"] == program} for program in programs]
    return set.intersection(*docked) if docked else set()


def _pairs(rows: list[Row], program: str) -> list[Pair]:
    vina = {row["complex"]: row for row in rows if row["program"] == "vina"}
    return [
        (row, vina[row["complex"]])
        for row in rows
        if row["program"] == program and row["complex"] in vina
    ]
