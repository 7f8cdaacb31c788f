"""``python -m benchmarks faults``: everything that can go wrong is done to real campaigns.

Each is then resumed as a user would, and compared with the run of one process that nobody
disturbed, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from osong_benchmarks.faults_bed import Bed, end_in_order, why_no_bed
from osong_benchmarks.faults_campaign import TimeOut
from osong_benchmarks.faults_cases import LOCAL_CASES, Case, Scene, can_mount
from osong_benchmarks.faults_slurm import SLURM_CASES
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.tables import markdown_table, write_table

__all__ = ["CASES", "add_arguments", "fault_table", "main", "measure"]

CASES: Final = (*LOCAL_CASES, *SLURM_CASES)
_AT_ONCE: Final = 5
"""So often one campaign is disturbed; more takes another campaign."""
_DOCUMENT: Final = Path("docs/scaling.md")
_HEADER: Final = (
    "fault", "runner", "times", "molecules lost", "doubled", "chunks redone",
    "of them not under way", "result",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="faults whose names hold one of these"
    )
    parser.add_argument("--times", type=int, default=5, metavar="K", help="how often each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument(
        "--keep-going", action="store_true", help="the table of what is measured already"
    )


def main(args: argparse.Namespace) -> None:
    """Measure what is not measured yet, then print the table, and write it where asked to."""
    end_in_order()
    chosen = [
        case for case in CASES if not args.only or any(word in case.name for word in args.only)
    ]
    if args.list:
        print("\n".join(case.name for case in chosen))
        return
    results = ResultFile(args.out / "faults.jsonl", ("fault", "runner", "trial"))
    if not args.keep_going:
        measure(chosen, results, args.times, args.seed)
    text = fault_table(results.rows())
    print(text)
    if args.write:
        write_table(_DOCUMENT, "faults", text, provenance())


def measure(cases: Sequence[Case], results: ResultFile, times: int, seed: int = 1) -> None:
    """Do each of the faults so often, apart from what the results have already."""
    with _bed() as bed, tempfile.TemporaryDirectory(prefix="osong-faults-") as name:
        scene = Scene(Path(name), bed)
        for case in cases:
            why = _why_not(case)
            if why:
                print(f"{case.name}: not here: {why}", flush=True)
                results.add(
                    {"fault": case.fault, "runner": case.runner, "trial": 0, "why_not": why}
                )
                continue
            trial = 1
            while (left := times - _n_done(case, results)) > 0:
                scene.times, scene.rng = min(left, _AT_ONCE), random.Random(seed * 1000 + trial)
                if results.has(fault=case.fault, runner=case.runner, trial=trial):
                    trial += 1
                    continue
                row = _attempt(case, scene)
                results.add({"fault": case.fault, "runner": case.runner, "trial": trial, **row})
                print(f"{case.name}: {row}", flush=True)
                if row.get("problem"):
                    break


@contextlib.contextmanager
def _bed() -> Iterator[Any]:
    """Yield what starts a Slurm when it is first asked for; it is stopped at the end."""
    beds: list[Bed] = []

    def get() -> Bed:
        if not beds:
            beds.append(Bed(6))
            beds[0].up()
        return beds[0]

    try:
        yield get
    finally:
        for bed in beds:
            bed.down()


def _n_done(case: Case, results: ResultFile) -> int:
    mine = [r for r in results.rows() if (r["fault"], r["runner"]) == (case.fault, case.runner)]
    return sum(row.get("n", 0) for row in mine)


def _attempt(case: Case, scene: Scene) -> dict[str, Any]:
    """Disturb one campaign."""
    begin = time.monotonic()
    try:
        done = case.run(scene)
        row = {"n": done.n, "note": done.note, **asdict(done.trial.outcome(done.undisturbed))}
    except TimeOut as error:
        row = {"n": 0, "problem": str(error)}
    finally:
        scene.close()
    return row | {"seconds": round(time.monotonic() - begin, 1)}


def _why_not(case: Case) -> str:
    """Return what is missing here for a case."""
    reasons = []
    if "mpi" in case.needs and not (
        shutil.which("mpiexec") and importlib.util.find_spec("dask_mpi") is not None
    ):
        reasons.append("needs osong[mpi]")
    if "mount" in case.needs:
        reasons.append(can_mount())
    if "slurm" in case.needs:
        reasons.append(why_no_bed())
    return "; ".join(filter(None, reasons))


def fault_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of all faults, in the order of the cases."""
    lines: list[list[object]] = []
    for case in CASES:
        mine = [r for r in rows if (r["fault"], r["runner"]) == (case.fault, case.runner)]
        good = [row for row in mine if row.get("n")]
        if good:
            sums = [
                sum(row[key] for row in good)
                for key in ("n", "n_lost", "n_doubled", "n_redone", "n_beyond")
            ]
            is_same = all(row["is_same"] for row in good)
            lines.append(
                [case.fault, case.runner, *map(str, sums), "equal" if is_same else "differs"]
            )
        elif mine:
            last = mine[-1]
            why = f"not here: {last['why_not']}" if "why_not" in last else "did not come to its end"
            lines.append([case.fault, case.runner, "0", "", "", "", "", why])
    return markdown_table(_HEADER, lines)
