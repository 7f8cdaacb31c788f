"""Redocking: crystal ligands put back from a conformer made from their graph, against peers.

Complex by complex, every program in turn, one thread each, same receptor PDBQT and box. The
complexes are chosen by a rule: those of ``adgpu42``, then, in the order of the index, those of
``posebusters`` without flags, all with at most 12 torsions, until there are ``--n``. (The five
larger ones of ``adgpu42`` take Vina a quarter of an hour and more each.)

``osong`` makes its own conformers from the molecule; ``osong ... same conformer`` docks the very
conformer that ``vina`` and ``rustina`` get, so that those energies can be compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rdkit import Chem

from osong.errors import OsongError
from osong_benchmarks.child import ChildError, run_child
from osong_benchmarks.complexes import Complex, in_shard, read_complexes, receptor_pdbqt
from osong_benchmarks.pose_distance import heavy_atom_rmsd
from osong_benchmarks.redock_child import Job
from osong_benchmarks.redock_programs import Program, chosen_programs
from osong_benchmarks.redock_rows import Docking
from osong_benchmarks.redock_summary import write_summary
from osong_benchmarks.results import ResultFile

__all__ = ["add_arguments", "choose", "dock_all", "main", "results_in", "run_one"]

RULE_COMPLEXES: Final = 62
"""Complexes of the full benchmark."""
LIMIT_S: Final = 3600.0
"""Of one docking."""
_MAX_TORSIONS = 12
_N_KEPT = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    peers = ("vina", "rustina")
    parser.add_argument("--peers", nargs="*", choices=peers, default=list(peers))
    parser.add_argument("--programs", nargs="*", default=[], help="by name, such as 'vina 32'")
    parser.add_argument("--n", type=int, default=RULE_COMPLEXES, help="complexes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="of one docking")
    parser.add_argument("--only", nargs="*", default=[], help="names of complexes")
    parser.add_argument("--shard", default="1/1", help="i/n: every n-th complex")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the tables")


def main(args: argparse.Namespace) -> None:
    """Dock what is not docked yet, then print the tables."""
    everything = read_complexes(args.data, args.only)
    chosen = everything if args.only else choose(everything, args.n)
    for peer in args.peers:
        if find_spec(peer) is None:
            print(f"{peer} is not installed and is left out: pip install 'osong[peers]'")
    results = results_in(args.out)
    if not args.summary:
        programs = chosen_programs(args.peers, args.programs)
        mine = in_shard(chosen, args.shard)
        dock_all(mine, programs, results, print_now, seed=args.seed, limit_s=args.limit_s)
    names = {complex_.name for complex_ in chosen}
    rows = [Docking.of_row(row) for row in results.rows() if row["complex"] in names]
    if args.programs:
        rows = [row for row in rows if row.program in args.programs]
    write_summary(rows, args)


def results_in(folder: Path) -> ResultFile:
    """Return the file of rows in a folder."""
    return ResultFile(folder / "redock.jsonl", ("complex", "program"))


def print_now(line: str) -> None:
    """Print a line and keep none back."""
    print(line, flush=True)


def choose(complexes: list[Complex], n: int) -> list[Complex]:
    """Return the complexes of the rule above, at most ``n`` of them."""
    small = [c for c in complexes if 0 <= c.n_torsions <= _MAX_TORSIONS]
    first = [c for c in small if c.source == "adgpu42"]
    more = [c for c in small if c.source == "posebusters" and not c.flags]
    return (first + more)[:n]


def dock_all(
    complexes: Sequence[Complex],
    programs: Sequence[Program],
    results: ResultFile,
    say: Callable[[str], None],
    *,
    seed: int = 1,
    limit_s: float = LIMIT_S,
) -> None:
    """Dock every complex with every program in turn, but for what the file has already."""
    for complex_ in complexes:
        for program in programs:
            if not results.has(complex=complex_.name, program=program.name):
                receptors = results.path.parent / "receptors"
                row = run_one(complex_, program, receptors, seed=seed, limit_s=limit_s)
                results.add(row)
                say(_line(row))


def run_one(
    complex_: Complex, program: Program, receptors: Path, *, seed: int, limit_s: float
) -> dict[str, Any]:
    """Return one row: energies, CPU seconds by stage, distances from the crystal.

    Parameters
    ----------
    complex_, program
        What to dock, with what.
    receptors
        Folder that keeps receptors as PDBQT.
    seed
        Of the search.
    limit_s
        Seconds by the clock after which the docking is stopped.
    """
    row: dict[str, Any] = {
        "complex": complex_.name,
        "program": program.name,
        "engine": program.engine,
        "family": program.family,
        "source": complex_.source,
        "settings": dict(program.options),
        "seed": seed,
    }
    job = Job(
        engine=program.engine,
        options=dict(program.options),
        receptor=str(receptor_pdbqt(complex_, receptors)),
        start=str(complex_.folder / "start.sdf"),
        center=complex_.box.center,
        size=complex_.box.size,
        seed=seed,
        n_kept=_N_KEPT,
    )
    row["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    clock = time.perf_counter()
    try:
        result = run_child("osong_benchmarks.redock_child", asdict(job), limit_s)
        mols = [Chem.MolFromMolBlock(block, removeHs=False) for block in result.pop("mols")]
        rmsd = [round(heavy_atom_rmsd(mol, complex_.crystal), 3) for mol in mols]
    except ChildError as error:
        return row | {"error": str(error)}
    except (OsongError, ValueError) as error:
        return row | {"error": f"{type(error).__name__}: {error}"}
    n_heavy = complex_.crystal.GetNumHeavyAtoms()
    wall_s = round(time.perf_counter() - clock, 2)
    return row | result | {"rmsd": rmsd, "n_heavy": n_heavy, "wall_s": wall_s}


def _line(row: dict[str, Any]) -> str:
    name = f"{row['complex']:<10} {row['program']:<24}"
    if "error" in row:
        return f"{name} {row['error']}"
    cpu = " ".join(f"{stage} {seconds:.2f}" for stage, seconds in row["cpu"].items())
    return (
        f"{name} energy {row['energies'][0]:7.2f} (rescored {row['rescored']['total']:7.2f}) "
        f"rmsd {row['rmsd']} cpu s: {cpu}"
    )
