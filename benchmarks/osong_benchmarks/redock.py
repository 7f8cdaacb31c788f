"""Redocking: crystal ligands put back from a conformer made from their graph, against Vina.

Pair by pair in one run, one thread each, same receptor PDBQT and box. The complexes are chosen by
a rule: those of ``adgpu42``, then, in the order of the index, those of ``posebusters`` without
flags, all with at most 12 torsions, until there are ``--n``. (The five larger ones of ``adgpu42``
take Vina a quarter of an hour and more each.)

Three programs: ``osong`` makes its own conformers from the molecule, ``osong same conformer`` docks
the very conformer that ``vina`` gets, so that those two energies can be compared; ``vina``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rdkit import Chem

from osong import pack_pose, pdbqt_string
from osong.errors import OsongError
from osong_benchmarks.complexes import Complex, in_shard, read_complexes, receptor_pdbqt
from osong_benchmarks.pose_distance import heavy_atom_rmsd
from osong_benchmarks.redock_summary import write_summary
from osong_benchmarks.results import ResultFile

__all__ = ["PROGRAMS", "add_arguments", "choose", "main", "run_one"]

PROGRAMS = ("osong", "osong same conformer", "vina")
_MAX_TORSIONS = 12
_N_KEPT = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--peers", nargs="*", choices=["vina"], default=["vina"])
    parser.add_argument("--n", type=int, default=62, help="complexes")
    parser.add_argument("--effort", default="balanced")
    parser.add_argument("--scoring", default="vina")
    parser.add_argument("--exhaustiveness", type=int, default=8, help="Vina's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=int, default=3600, help="of one docking")
    parser.add_argument("--only", nargs="*", default=[], help="names of complexes")
    parser.add_argument("--shard", default="1/1", help="i/n: every n-th complex")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the tables")


def main(args: argparse.Namespace) -> None:
    """Dock what is not docked yet, then print the tables."""
    results = ResultFile(args.out / f"redock_{args.effort}.jsonl", ("complex", "program"))
    everything = read_complexes(args.data, args.only)
    chosen = everything if args.only else choose(everything, args.n)
    programs = [p for p in PROGRAMS if p != "vina" or "vina" in args.peers]
    for complex_ in [] if args.summary else in_shard(chosen, args.shard):
        for program in programs:
            if not results.has(complex=complex_.name, program=program):
                row = run_one(complex_, program, args)
                results.add(row)
                print(_line(row), flush=True)
    names = {complex_.name for complex_ in chosen}
    rows = [row for row in results.rows() if row["complex"] in names]
    write_summary(rows, args)


def choose(complexes: list[Complex], n: int) -> list[Complex]:
    """Return the complexes of the rule above, at most ``n`` of them."""
    small = [c for c in complexes if 0 <= c.n_torsions <= _MAX_TORSIONS]
    first = [c for c in small if c.source == "adgpu42"]
    more = [c for c in small if c.source == "posebusters" and not c.flags]
    return (first + more)[:n]


def run_one(complex_: Complex, program: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return one row: energies, CPU seconds by stage, distances from the crystal."""
    row: dict[str, Any] = {"complex": complex_.name, "program": program, "source": complex_.source}
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    job = {
        "program": program,
        "receptor": str(receptor),
        "start": str(complex_.folder / "start.sdf"),
        "center": complex_.box.center,
        "size": complex_.box.size,
        "scoring": args.scoring,
        "effort": args.effort,
        "exhaustiveness": args.exhaustiveness,
        "seed": args.seed,
        "n_kept": _N_KEPT,
    }
    try:
        result = _run_child(job, args.limit_s)
        mols = [Chem.MolFromMolBlock(block, removeHs=False) for block in result.pop("mols")]
        # Rescored by one program with one typing and torsion count, energies can be compared.
        best = pdbqt_string(pack_pose(mols[0]))
        rescored = _run_child(job | {"program": "rescore", "ligand": best}, args.limit_s)
        rmsd = [round(heavy_atom_rmsd(mol, complex_.crystal), 3) for mol in mols]
    except subprocess.TimeoutExpired:
        return row | {"error": f"more than {args.limit_s} s"}
    except subprocess.CalledProcessError as error:
        return row | {"error": (error.stderr.strip().splitlines() or ["?"])[-1][:300]}
    except (OsongError, ValueError) as error:
        return row | {"error": f"{type(error).__name__}: {error}"}
    return row | result | {"rmsd": rmsd, "rescored": rescored, "effort": args.effort}


def _run_child(job: dict[str, Any], limit_s: int) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, "-m", "osong_benchmarks.redock_child"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=True,
        cwd=Path(__file__).parents[2],
        env=_one_thread(),
    )
    result: dict[str, Any] = json.loads(finished.stdout.strip().splitlines()[-1])
    return result


def _one_thread() -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return os.environ | dict.fromkeys(names, "1")


def _line(row: dict[str, Any]) -> str:
    name = f"{row['complex']:<10} {row['program']:<20}"
    if "error" in row:
        return f"{name} {row['error']}"
    cpu = " ".join(f"{stage} {seconds:.2f}" for stage, seconds in row["cpu"].items())
    return (
        f"{name} energy {row['energies'][0]:7.2f} (rescored {row['rescored']['total']:7.2f}) "
        f"rmsd {row['rmsd']} cpu s: {cpu}"
    )
