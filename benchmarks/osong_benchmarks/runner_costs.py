"""``python -m benchmarks runners``: what each runner costs beside the docking, and how it scales.

Overheads are slopes: the same campaign with few and with many chunks, whose molecules take no time.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from osong_benchmarks.faults_bed import Bed, end_in_order, why_no_bed
from osong_benchmarks.faults_campaign import TimeOut, Trial, molecules, wait_for_exit
from osong_benchmarks.faults_docker import BURN
from osong_benchmarks.faults_osong import EVENTS
from osong_benchmarks.results import ResultFile, provenance
from osong_benchmarks.runner_costs_watch import CpuWatch, loopback_bytes
from osong_benchmarks.tables import markdown_table, write_table

__all__ = [
    "RUNNERS",
    "Flight",
    "add_arguments",
    "cost_table",
    "fly",
    "main",
    "scaling_table",
    "tables",
]

RUNNERS: Final = ("serial", "local", "srun", "mpi")
_DOCUMENT: Final = Path("docs/scaling.md")
_BURN_S: Final = 0.05
_CHUNK: Final = 5
_WHOSE: Final = ("flown", "bare")
_NEW_NETWORK: Final = 0x40000000
_LIMIT_S: Final = 300.0


_COSTS: Final = """\
Chunks of one molecule that takes no time, two workers (`serial` one). A campaign of few chunks is
taken from one of many, so that what is paid once is left out; seconds to the first molecule are
those of the whole command, allocation included. CPU is that of all processes, docking processes and
schedulers included. Bytes are those of a loopback interface that nobody else uses, Slurm's own
among them."""
_SCALING: Final = """\
Molecules of 0.05 s of CPU in chunks of five. Strong: the same molecules with one worker and with
two; weak: as many molecules a worker. Beside each what two bare processes that only burn CPU
reached at the same time: the machine had other work to do."""


@dataclass(frozen=True)
class Flight:
    """One run of a campaign from nothing to its end.

    Attributes
    ----------
    first_s
        From the command to the first molecule.
    tasks_s
        From the first molecule to the last chunk.
    cpu_s
        CPU seconds of all its processes.
    wire_bytes
        What went over the loopback interface meanwhile.
    """

    first_s: float
    tasks_s: float
    cpu_s: float
    wire_bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--only", nargs="+", choices=RUNNERS, default=list(RUNNERS))
    parser.add_argument("--chunks", type=int, nargs=2, default=(40, 340), metavar=("FEW", "MANY"))
    parser.add_argument(
        "--molecules", type=int, default=160, help="for the efficiency, each 0.05 s"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip-scaling", action="store_true")
    parser.add_argument("--skip-costs", action="store_true")


def main(args: argparse.Namespace) -> None:
    """Measure what is not measured yet, then print the tables, and write them where asked to."""
    end_in_order()
    results = ResultFile(args.out / "runners.jsonl", ("kind", "runner", "repeat"))
    is_alone = own_network()
    beds: list[Bed] = []
    try:
        for repeat in range(args.repeat):
            for runner in args.only:
                why = _why_not(runner)
                if why:
                    print(f"{runner}: not here: {why}")
                    continue
                if runner == "srun" and not beds:
                    beds.append(Bed(2))
                    beds[0].up()
                _measure(runner, repeat, results, args, is_alone=is_alone)
    finally:
        for bed in beds:
            bed.down()
    text = tables(results.rows())
    print(text)
    if args.write:
        write_table(_DOCUMENT, "runners", text, provenance())


def _measure(
    runner: str, repeat: int, results: ResultFile, args: argparse.Namespace, *, is_alone: bool
) -> None:
    """Measure one runner once."""
    if not args.skip_costs and not results.has(kind="costs", runner=runner, repeat=repeat):
        few, many = (fly(runner, n, 1, 1) for n in args.chunks)
        row = {
            "few": asdict(few),
            "many": asdict(many),
            "chunks": list(args.chunks),
            "is_alone": is_alone,
        }
        results.add({"kind": "costs", "runner": runner, "repeat": repeat, **row})
        print(f"{runner}: {row}", flush=True)
    if (
        runner != "serial"
        and not args.skip_scaling
        and not results.has(kind="scaling", runner=runner, repeat=repeat)
    ):
        n = args.molecules
        bare = bare_seconds(1, n), bare_seconds(2, n), bare_seconds(1, n // 2)
        flown = tuple(
            fly(runner, m, w, _CHUNK, _BURN_S).tasks_s for m, w in ((n, 1), (n, 2), (n // 2, 1))
        )
        row = {"bare": bare, "flown": flown, "molecules": n}
        results.add({"kind": "scaling", "runner": runner, "repeat": repeat, **row})
        print(f"{runner}: {row}", flush=True)


def fly(runner: str, n: int, workers: int, chunk_size: int, burn_s: float = 0.0) -> Flight:
    """Run a campaign of ``n`` molecules."""
    with tempfile.TemporaryDirectory(prefix="osong-runners-") as name:
        place = Path(name)
        events = place / "events.txt"
        environment = {EVENTS: str(events), BURN: str(burn_s)}
        trial = Trial(
            place, molecules(n), chunk_size=chunk_size, shard_chunks=max(2, n // chunk_size // 4),
            environment=environment,
        )  # fmt: skip
        words, launcher = _launch(runner, workers)
        wire, begun = loopback_bytes(), time.time()
        try:
            process = trial.start(runner, *words, launcher=launcher, lease_s=60)
            with CpuWatch(trial.mark) as watch:
                if wait_for_exit(process, _LIMIT_S) != 0:
                    raise TimeOut(
                        f"{runner}: ended with {process.returncode}: {trial.last_words()}"
                    )
        finally:
            trial.end()
        ends = [float(line.split()[0]) for line in events.read_text(encoding="ascii").splitlines()]
        calls = trial.calls.read_text(encoding="ascii").splitlines()
        first = min(float(line.split()[2]) for line in calls)
        return Flight(first - begun, max(ends) - first, watch.seconds, loopback_bytes() - wire)


def _launch(runner: str, workers: int) -> tuple[Sequence[str], Sequence[str]]:
    """Return the words after and before ``osong resume``."""
    if runner == "local":
        return ("--workers", str(workers)), ()
    if runner == "mpi":
        return ("--workers", "1"), ("mpiexec", "-n", str(workers + 2))
    if runner == "srun":
        from osong_benchmarks.faults_campaign import OSONG

        command = " ".join(OSONG)
        flags = (f"--nodes={workers}", f"--ntasks={workers}", "--cpus-per-task=1", "--mem=2000")
        return ("--osong-command", command), ("salloc", "--quiet", *flags)
    return (), ()


def bare_seconds(workers: int, n: int) -> float:
    """Return the seconds that bare processes take for the same CPU time: what the machine gives."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    share = n // workers * _BURN_S
    processes = [context.Process(target=_burn, args=(barrier, share)) for _ in range(workers)]
    for process in processes:
        process.start()
    barrier.wait()
    begin = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - begin


def _burn(barrier: Any, seconds: float) -> None:
    """Wait for the others, then take so much of a core's time."""
    barrier.wait()
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def own_network() -> bool:
    """Have this process and all that it starts talk over a loopback interface of their own.

    Returns
    -------
    Whether that could be had; else the counters of the interface are everybody's.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK) != 0:
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Without an address that is not 127.0.0.1, Slurm cannot look up the host's name.
    subprocess.run(["ip", "address", "add", "10.99.0.1/24", "dev", "lo"], check=True)
    return True


def _why_not(runner: str) -> str:
    """Return what is missing here for a runner."""
    if runner == "mpi" and shutil.which("mpiexec") is None:
        return "needs osong[mpi]"
    return why_no_bed() if runner == "srun" else ""


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Return both tables, with what they mean."""
    return f"{_COSTS}\n\n{cost_table(rows)}\n\n{_SCALING}\n\n{scaling_table(rows)}"


def cost_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what each runner costs: medians of the repeats."""
    lines: list[list[object]] = []
    for runner in RUNNERS:
        mine = [row for row in rows if row["kind"] == "costs" and row["runner"] == runner]
        if not mine:
            continue
        lines.append(
            [
                runner,
                f"{_median(mine, lambda r: r['few']['first_s']):.1f}",
                f"{_median(mine, lambda r: _slope(r, 'tasks_s') and 1 / _slope(r, 'tasks_s')):.0f}",
                f"{1e3 * _median(mine, lambda r: _slope(r, 'cpu_s')):.1f}",
                f"{_median(mine, lambda r: _slope(r, 'wire_bytes')) / 1e3:.1f}",
                str(len(mine)),
            ]
        )
    header = (
        "runner", "s to the first molecule", "chunks a second", "CPU ms a chunk, all processes",
        "kB over the loopback a chunk", "runs",
    )  # fmt: skip
    return markdown_table(header, lines)


def scaling_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the efficiency with two workers: medians of the repeats."""
    lines: list[list[object]] = []
    for runner in RUNNERS:
        mine = [row for row in rows if row["kind"] == "scaling" and row["runner"] == runner]
        if not mine:
            continue
        strong = [statistics.median(r[k][0] / (2 * r[k][1]) for r in mine) for k in _WHOSE]
        weak = [statistics.median(r[k][2] / r[k][1] for r in mine) for k in _WHOSE]
        lines.append([runner, *(f"{value:.2f}" for value in (*strong, *weak)), str(len(mine))])
    header = ("runner", "strong", "strong, bare processes", "weak", "weak, bare processes", "runs")
    return markdown_table(header, lines)


def _median(rows: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> float:
    return statistics.median(value(row) for row in rows)


def _slope(row: dict[str, Any], name: str) -> float:
    few, many = row["chunks"]
    return (row["many"][name] - row["few"][name]) / (many - few)
