"""Memory and files of a campaign over many molecules: both are to stay flat.

One worker, real records, parts and ledger; docking at effort ``fast`` into a small box, or
preparation alone (``--prepare-only``), which is where molecules of all sorts come and go.
"""

from __future__ import annotations

import argparse
import shutil
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

import osong
from osong.errors import ResourceError
from osong_benchmarks.complexes import read_complexes, receptor_pdbqt
from osong_benchmarks.part import Figure, PartModel, Table
from osong_benchmarks.preparing import DOCKER
from osong_benchmarks.report.style import SERIES, new_figure, to_svg
from osong_benchmarks.results import provenance
from osong_benchmarks.tables import markdown_table, write_table
from osong_workflows.api import screen
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.events import Event, MoleculesDone

__all__ = [
    "ENOUGH_FOR_TREND",
    "MemoryRun",
    "Watch",
    "add_arguments",
    "main",
    "memory_figure",
    "memory_table",
    "watch_campaign",
]

_SMALL_BOX = 14.0
_MIB = 2**20
ENOUGH_FOR_TREND = 5_000
"""Molecules from which growth can be told from what a process needs to get warm."""
_FRACTIONS = (0.05, 0.25, 0.5, 0.75, 1.0)


class MemoryRun(PartModel):
    """One campaign with one worker, and what was seen of its processes.

    Attributes
    ----------
    samples
        One a look: seconds, molecules done, resident bytes of the campaign's process, and those
        of its children, the docking process, in sum.
    n, n_ok, n_failed
        Molecules, and what became of them.
    n_files, bytes
        Of the campaign's folder at the end.
    prepare_only
        Whether molecules were prepared and not docked.
    """

    samples: tuple[tuple[float, int, int, int], ...]
    n: int
    n_ok: int
    n_failed: int
    n_files: int
    bytes: int
    prepare_only: bool

    @property
    def what(self) -> str:
        """What was done to the molecules."""
        return "prepared, not docked" if self.prepare_only else "docked at effort fast"

    @property
    def peaks_mib(self) -> tuple[float, float]:
        """Most memory of the campaign and of the docking process, MiB."""
        return (
            max(own for _, _, own, _ in self.samples) / _MIB,
            max(children for _, _, _, children in self.samples) / _MIB,
        )

    @property
    def trends_mib(self) -> tuple[float, float]:
        """MiB that campaign and docking process grow by in 10,000 molecules.

        A straight line through the last three quarters; NaN where too little was seen.
        """
        samples = np.array(self.samples, dtype=np.float64)
        own, children = (_trend(samples[:, 1], samples[:, k]) for k in (2, 3))
        return own, children


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
        run = _run(args, args.out / name)
        watched.write_text(run.model_dump_json(), encoding="utf-8")
    run = MemoryRun.model_validate_json(watched.read_text(encoding="utf-8"))
    shown = memory_table(run)
    table = f"{markdown_table(shown.header, shown.rows)}\n\n{shown.caption}."
    print(table)
    _write_figure(run, watched.with_suffix(".svg"))
    if args.write:
        flags = ["--prepare-only"] if args.prepare_only else []
        command = ["memory", "--data", str(args.data), "--n", str(args.n), *flags]
        write_table(Path("docs/accuracy.md"), "memory", table, provenance(command))


def _run(args: argparse.Namespace, folder: Path) -> MemoryRun:
    """Run a campaign over a shared library, against a shared receptor."""
    (complex_,) = read_complexes(args.data, [args.complex])
    box = osong.Box(complex_.box.center, (_SMALL_BOX,) * 3)
    receptor = receptor_pdbqt(complex_, args.out / "receptors")
    target = osong.Target.from_file(receptor, box=box, name=args.complex)
    records = osong.read_records(args.data / "library" / args.library, stop=args.n)
    lines = (f"{record.data}\t{record.name}\n" for record in records)
    return watch_campaign(
        target, lines, folder, prepare_only=args.prepare_only, every_s=args.every_s
    )


def watch_campaign(
    target: osong.Target, lines: Iterable[str], folder: Path, *, prepare_only: bool, every_s: float
) -> MemoryRun:
    """Run a campaign from nothing and return what was seen of it.

    Parameters
    ----------
    target
        What to dock into.
    lines
        SMILES and name, tab-separated, line ends included.
    folder
        Of the campaign; emptied first. The library is written beside it.
    prepare_only
        Do not dock.
    every_s
        Seconds between two looks.
    """
    library = folder.with_suffix(".smi")
    library.parent.mkdir(parents=True, exist_ok=True)
    with library.open("w", encoding="utf-8") as handle:
        handle.writelines(lines)
    shutil.rmtree(folder, ignore_errors=True)
    with Watch(every_s) as watch:
        campaign = screen(
            target,
            library,
            out=folder,
            workers=1,
            progress=False,
            subscribers=[watch.hear],
            docker=DOCKER if prepare_only else DEFAULT_DOCKER,
        )
    status = campaign.status()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return MemoryRun(
        samples=tuple(watch.samples),
        n=status.n_records,
        n_ok=status.n_ok,
        n_failed=status.n_failed,
        n_files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        prepare_only=prepare_only,
    )


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
        self._pool = ThreadPoolExecutor(1)
        self._looking: Future[None] | None = None

    def hear(self, event: Event) -> None:
        """Count molecules as the campaign tells of them."""
        if isinstance(event, MoleculesDone):
            self._n_done += event.n_ok + event.n_failed

    def __enter__(self) -> Watch:
        """Begin to look."""
        self._looking = self._pool.submit(self._look)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop looking.

        Raises
        ------
        ResourceError
            The looking ended too early: samples that stop half-way are no result. A mistake in it
            is raised as it is.
        """
        self._stop.set()
        with self._pool:
            failure = self._looking.exception() if self._looking is not None else None
        if failure is None or any(error):
            return
        if isinstance(failure, psutil.Error):
            raise ResourceError(f"memory could not be watched: {failure}") from failure
        raise failure

    def _look(self) -> None:
        started = time.monotonic()
        me = psutil.Process()
        while True:
            children = 0
            for child in me.children(recursive=True):
                # It ended meanwhile, or is not ours to look at.
                with suppress(psutil.Error):
                    children += child.memory_info().rss
            seconds = round(time.monotonic() - started, 1)
            self.samples.append((seconds, self._n_done, me.memory_info().rss, children))
            if self._stop.wait(self._every_s):
                return


def memory_table(run: MemoryRun) -> Table:
    """Return memory at fractions of the run; its trend and the files are in the caption."""
    samples = np.array(run.samples, dtype=np.float64)
    rows = []
    for fraction in _FRACTIONS:
        k = int(np.searchsorted(samples[:, 1], fraction * samples[-1, 1]))
        _, n, own, children = samples[min(k, len(samples) - 1)]
        rows.append([f"{n:,.0f}", f"{own / _MIB:.0f}", f"{children / _MIB:.0f}"])
    own_peak, peak = run.peaks_mib
    trends = "Too few molecules to tell a trend"
    if run.n >= ENOUGH_FOR_TREND:
        own_trend, trend = run.trends_mib
        trends = (
            f"Trend over the last three quarters, MiB for 10,000 molecules: campaign "
            f"{_signed(own_trend)}, docking process {_signed(trend)}"
        )
    caption = (
        f"{run.n:,} molecules {run.what}: {run.n_ok:,} ok, "
        f"{run.n_failed:,} failed. Peak: campaign {own_peak:.0f} MiB, docking process {peak:.0f}. "
        f"{trends}. {run.n_files} files, {run.bytes / _MIB:.1f} MiB"
    )
    return Table(["molecules done", "campaign, MiB", "docking process, MiB"], rows, caption)


def _signed(trend: float) -> str:
    return "not seen" if np.isnan(trend) else f"{round(trend, 1) + 0.0:+.1f}"


def _trend(n_done: np.ndarray, memory: np.ndarray) -> float:
    """Return MiB for 10,000 molecules, a straight line through the last three quarters."""
    late = n_done >= 0.25 * n_done[-1]
    if len(set(n_done[late])) < 2:
        return float("nan")
    return float(np.polyfit(n_done[late] / 1e4, memory[late] / _MIB, 1)[0])


def memory_figure(run: MemoryRun) -> Figure:
    """Return resident memory over molecules."""
    samples = np.array(run.samples, dtype=np.float64)
    figure, axes = new_figure(6.4, 3.6)
    for k, label in ((2, "campaign"), (3, "docking process")):
        axes.plot(samples[:, 1], samples[:, k] / _MIB, color=SERIES[k - 2], label=label)
    axes.set(xlabel="molecules done", ylabel="resident memory, MiB", ylim=(0, None))
    axes.legend(loc="lower right", frameon=False)
    caption = f"Memory of a campaign with one worker: {run.n:,} molecules {run.what}."
    return Figure(to_svg(figure), caption)


def _write_figure(run: MemoryRun, path: Path) -> None:
    try:
        svg = memory_figure(run).svg
    except osong.errors.MissingExtraError as error:
        print(error)
        return
    path.write_text(svg, encoding="utf-8")
    print(path)
