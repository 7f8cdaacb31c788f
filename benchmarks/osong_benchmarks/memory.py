"""Memory and files of a campaign over many molecules: both are to stay flat.

One worker, real records, parts and ledger; docking at effort ``fast`` into a small box, or
preparation alone (``--prepare-only``), which is where molecules of all sorts come and go.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import osong
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.preparing import DOCKER
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import markdown_table, write_table
from osong_workflows.api import screen
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.events import Event, MoleculesDone

__all__ = ["Watch", "add_arguments", "main", "summary"]

_SMALL_BOX = 14.0
_MIB = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--n", type=int, default=20_000, help="molecules")
    parser.add_argument("--library", default="moses_100k.smi.gz", help="file of the library folder")
    parser.add_argument("--complex", default="1yv3", help="receptor and centre of the box")
    parser.add_argument("--prepare-only", action="store_true", help="do not dock")
    parser.add_argument("--every-s", type=float, default=2.0, help="between two looks")
    parser.add_argument("--summary", action="store_true", help="run nothing, show the table")


def main(args: argparse.Namespace) -> None:
    """Run the campaign, watch its processes, print the table."""
    name = f"memory_{'prepare' if args.prepare_only else 'dock'}_{args.n}"
    watched = args.out / f"{name}.json"
    if not args.summary:
        watched.parent.mkdir(parents=True, exist_ok=True)
        watched.write_text(json.dumps(run(args, args.out / name)), encoding="utf-8")
    result = json.loads(watched.read_text(encoding="utf-8"))
    table = summary(result)
    print(table)
    _plot(result, watched.with_suffix(".png"))
    if args.write:
        flags = ["--prepare-only"] if args.prepare_only else []
        command = ["memory", "--data", "../shared/data", "--n", str(args.n), *flags]
        write_table(Path("docs/accuracy.md"), "memory", table, provenance(command))


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run a campaign from nothing and return what was seen of it."""
    (complex_,) = read_complexes(args.data, [args.complex])
    box = osong.Box(complex_.box.center, (_SMALL_BOX,) * 3)
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    target = osong.Target.from_file(receptor, box=box, name=args.complex)
    library = args.out / f"{folder.name}.smi"
    records = osong.read_records(args.data / "library" / args.library, stop=args.n)
    with library.open("w", encoding="utf-8") as handle:
        handle.writelines(f"{record.data}\t{record.name}\n" for record in records)
    shutil.rmtree(folder, ignore_errors=True)
    with Watch(args.every_s) as watch:
        campaign = screen(
            target,
            library,
            out=folder,
            workers=1,
            progress=False,
            subscribers=[watch.hear],
            docker=DOCKER if args.prepare_only else DEFAULT_DOCKER,
        )
    status = campaign.status()
    return {
        "samples": watch.samples,
        "n": status.n_records,
        "n_ok": status.n_ok,
        "n_failed": status.n_failed,
        "n_files": sum(path.is_file() for path in folder.rglob("*")),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "prepare_only": args.prepare_only,
    }


class Watch:
    """Looks at the resident memory of this process and its children while a campaign runs.

    Attributes
    ----------
    samples
        One a look: seconds, molecules done, bytes of this process, of each child's sum.
    """

    def __init__(self, every_s: float) -> None:
        self.samples: list[tuple[float, int, int, int]] = []
        self._every_s = every_s
        self._n_done = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def hear(self, event: Event) -> None:
        """Count molecules as the campaign tells of them."""
        if isinstance(event, MoleculesDone):
            self._n_done += event.n_ok + event.n_failed

    def __enter__(self) -> Watch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        started = time.monotonic()
        me = psutil.Process()
        while True:
            children = 0
            for child in me.children(recursive=True):
                try:
                    children += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            seconds = round(time.monotonic() - started, 1)
            self.samples.append((seconds, self._n_done, me.memory_info().rss, children))
            if self._stop.wait(self._every_s):
                return


def summary(result: dict[str, Any]) -> str:
    """Return memory at fractions of the run, its trend over the last three quarters, and files."""
    samples = np.array(result["samples"], dtype=np.float64)
    lines = []
    for fraction in (0.05, 0.25, 0.5, 0.75, 1.0):
        k = int(np.searchsorted(samples[:, 1], fraction * samples[-1, 1]))
        _, n, own, children = samples[min(k, len(samples) - 1)]
        lines.append([f"{n:,.0f}", f"{own / _MIB:.0f}", f"{children / _MIB:.0f}"])
    table = markdown_table(["molecules done", "campaign, MiB", "docking process, MiB"], lines)
    own, children = (_trend(samples[:, 1], samples[:, k]) for k in (2, 3))
    what = "prepared, not docked" if result["prepare_only"] else "docked at effort fast"
    return (
        f"{table}\n\n{result['n']:,} molecules {what}: {result['n_ok']:,} ok, "
        f"{result['n_failed']:,} failed. Trend over the last three quarters, MiB for 10,000 "
        f"molecules: campaign {own:+.1f}, docking process {children:+.1f}. "
        f"{result['n_files']} files, {result['bytes'] / _MIB:.1f} MiB."
    )


def _trend(n_done: np.ndarray, memory: np.ndarray) -> float:
    """Return MiB for 10,000 molecules, a straight line through the last three quarters."""
    late = n_done >= 0.25 * n_done[-1]
    if len(set(n_done[late])) < 2:
        return float("nan")
    return float(np.polyfit(n_done[late] / 1e4, memory[late] / _MIB, 1)[0])


def _plot(result: dict[str, Any], path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: pip install matplotlib")
        return
    samples = np.array(result["samples"], dtype=np.float64)
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    axes.plot(samples[:, 1], samples[:, 2] / _MIB, label="campaign")
    axes.plot(samples[:, 1], samples[:, 3] / _MIB, label="docking process")
    axes.set(xlabel="molecules done", ylabel="resident memory, MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)
    print(path)
