"""Scoring parity: crystal poses of the shared complexes, Vina 1.2.7 and Osong, term sums compared.

Both programs read the same receptor PDBQT and the same ligand PDBQT.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from osong import Target, pack_pdbqt, pack_pose, pdbqt_string, score
from osong.errors import OsongError
from osong.scoring.functions import scoring_function
from osong_benchmarks.complexes import Complex, in_shard, read_complexes, receptor_pdbqt
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.statistics import Differences
from osong_benchmarks.tables import markdown_table, write_table
from osong_benchmarks.vina_formula import pose_energies
from osong_benchmarks.vina_peer import vina_score

__all__ = ["SCORINGS", "add_arguments", "compare", "main", "summary"]

SCORINGS = ("vina", "vinardo")
_PARTS = ("total", "inter", "intra")
_KINDS = {
    "osong": "exact formula",
    "rounded": "as Vina's table rounds",
    "from_molecule": "exact formula, of the molecule",
}
_OUTLIER_KCAL = 0.01
_GEOMETRY_KCAL = 0.005
_JOBS_OF_A_PROCESS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--scoring", choices=SCORINGS, nargs="+", default=list(SCORINGS))
    parser.add_argument("--only", nargs="*", default=[], help="names of complexes")
    parser.add_argument("--n", type=int, default=None, help="first so many complexes")
    parser.add_argument("--shard", default="1/1", help="i/n: every n-th complex")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the tables")


def main(args: argparse.Namespace) -> None:
    """Compare what is not compared yet, then print the summary."""
    results = ResultFile(args.out / "parity.jsonl", ("complex", "scoring"))
    complexes = in_shard(read_complexes(args.data, args.only)[: args.n], args.shard)
    left = [
        (complex_, scoring)
        for complex_ in complexes
        for scoring in args.scoring
        if not (args.summary or results.has(complex=complex_.name, scoring=scoring))
    ]
    for row in _in_fresh_processes(left, args.out / "receptors"):
        results.add(row)
        print(_line(row), flush=True)
    if not args.only and results.rows():
        table, outliers = summary(results.rows())
        print(table, outliers, sep="\n\n")
        if args.write:
            note = provenance(["parity", "--data", str(args.data)])
            write_table(Path("README.md"), "scoring", table, note)
            write_table(Path("docs/accuracy.md"), "parity", f"{table}\n\n{outliers}", note)


def _in_fresh_processes(jobs: list[tuple[Complex, str]], cache: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows; Vina keeps some 16 MiB a session, so its process is replaced now and then."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), max_tasks_per_child=_JOBS_OF_A_PROCESS
    ) as pool:
        for complex_, scoring in jobs:
            yield pool.submit(compare, complex_, scoring, cache).result()


def compare(complex_: Complex, scoring: str, cache: Path) -> dict[str, Any]:
    """Return the energies of one crystal pose by Vina, by Osong and by the rounded formula."""
    row: dict[str, Any] = {"complex": complex_.name, "scoring": scoring}
    try:
        receptor = receptor_pdbqt(complex_, cache)
        given = complex_.ligand_pdbqt
        text = (
            given.read_text(encoding="utf-8")
            if given is not None
            else pdbqt_string(pack_pose(complex_.crystal))
        )
        ligand = pack_pdbqt(text)
        target = Target.from_file(receptor, box=complex_.box)
        exact = score(target, ligand, scoring)
        from_mol = score(target, pack_pose(complex_.crystal), scoring)
    except OsongError as error:
        return row | {"osong_error": f"{type(error).__name__}: {error}"}
    rounded = pose_energies(target.receptor, ligand, scoring_function(scoring), rounded=True)
    row |= {
        "osong": [exact.total, exact.inter, exact.intra],
        "rounded": list(rounded),
        "from_molecule": [from_mol.total, from_mol.inter, from_mol.intra],
        "is_own_pdbqt": given is None,
        "torsion_count": exact.torsion_count,
        "n_torsions": ligand.packed.n_torsions,
        "is_inside": bool(
            complex_.box.contains(ligand.packed.coords[0, : ligand.packed.n_scored]).all()
        ),
    }
    try:
        vina = vina_score(receptor, text, complex_.box, scoring)
    except (RuntimeError, TypeError) as error:
        return row | {"vina_error": " ".join(str(error).split())[:300]}
    return row | {"vina": [vina.total, vina.inter, vina.intra]}


def _line(row: dict[str, Any]) -> str:
    name = f"{row['complex']} {row['scoring']}"
    for kind in ("osong_error", "vina_error"):
        if kind in row:
            return f"{name} {kind}: {row[kind]}"
    numbers = " ".join(
        f"{part} {v:.3f} exact {e - v:+.4f} rounded {r - v:+.4f};"
        for part, v, e, r in zip(_PARTS, row["vina"], row["osong"], row["rounded"], strict=True)
    )
    return f"{name} {numbers}"


def summary(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the table of differences, and the list of what was left out or is far off."""
    compared = [row for row in rows if "vina" in row and "osong" in row]
    lines = []
    for scoring in SCORINGS:
        chosen = [row for row in compared if row["scoring"] == scoring]
        for kind, label in _KINDS.items():
            of_kind = [r for r in chosen if kind != "from_molecule" or r["is_own_pdbqt"]]
            for k, part in enumerate(_PARTS if of_kind else ()):
                d = Differences([row[kind][k] - row["vina"][k] for row in of_kind])
                lines.append(
                    [scoring, label, part, len(of_kind), f"{d.percentile(50):.4f}",
                     f"{d.percentile(95):.4f}", f"{d.maximum:.4f}",
                     f"{100 * d.within(0.01):.1f} %", f"{100 * d.within(0.02):.1f} %"]
                )  # fmt: skip
    header = ["scoring", "Osong's", "energy", "n", "median", "95 %", "max", "<= 0.01", "<= 0.02"]
    return markdown_table(header, lines), _outliers(rows, compared)


def _outliers(rows: list[dict[str, Any]], compared: list[dict[str, Any]]) -> str:
    left_out = [row for row in rows if "vina" not in row]
    failures = {
        f"- {row['complex']}: {row.get('osong_error') or 'Vina: ' + row.get('vina_error', '?')}"
        for row in left_out
    }
    n_poses = len({row["complex"] for row in compared})
    lines = [f"{n_poses} complexes compared, {len(failures)} left out."]
    lines += sorted(failures)
    lines.append(f"With the rounding emulated, farther than {_OUTLIER_KCAL} kcal/mol from Vina:")
    lines += [f"- {_line(row)}" for row in compared if _is_far(row)] or ["- none"]
    lines.append(
        f"The molecule by itself, farther than {_GEOMETRY_KCAL} kcal/mol from what Vina reads in "
        "the PDBQT that Osong writes of it: Vina finds bonds by distance, and so none where the "
        "crystal's is too long, or where the third atom of a ring is closer to both ends."
    )
    return "\n".join(lines + (_far_molecules(compared) or ["- none"]))


def _far_molecules(compared: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in compared:
        differences = [a - b for a, b in zip(row["from_molecule"], row["osong"], strict=True)]
        if row["is_own_pdbqt"] and max(map(abs, differences)) > _GEOMETRY_KCAL:
            parts = zip(_PARTS, differences, strict=True)
            text = ", ".join(f"{part} {difference:+.3f}" for part, difference in parts)
            lines.append(f"- {row['complex']} {row['scoring']}: {text}")
    return lines


def _is_far(row: dict[str, Any]) -> bool:
    return any(abs(a - b) > _OUTLIER_KCAL for a, b in zip(row["rounded"], row["vina"], strict=True))
