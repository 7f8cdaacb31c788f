"""The suite: measures the chosen parts and writes a file of results and a page beside it.

`osong bench` reaches this module through the entry point group ``osong.benchmarks``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import ValidationError

import osong
from osong.errors import InputError, MissingExtraError, OsongError
from osong.machine import usable_cores
from osong.whole_files import write_whole
from osong_benchmarks import registry
from osong_benchmarks.part import Gap, PartResult, Say, Settings, Size
from osong_benchmarks.report.compare import Comparison, compare
from osong_benchmarks.report.schema import (
    PartRecord,
    Run,
    json_schema,
    read_run,
    to_json,
    write_run,
)
from osong_benchmarks.results import DEFAULT_OUT, processor_name
from osong_kernels.compile import sources_hash

__all__ = [
    "DATA_VARIABLE",
    "PEERS",
    "Finished",
    "Listener",
    "active",
    "check_device",
    "compare_files",
    "json_schema",
    "measure",
    "part_names",
    "write_page",
]

DATA_VARIABLE: Final = "OSONG_BENCH_DATA"
"""Environment variable with the folder of complexes and libraries, for runs without ``--data``."""
_BESIDE_CHECKOUT: Final = Path("../shared/data")
PEERS: Final = ("vina", "rustina")
_UNFINISHED: Final = "unfinished"
_PACKAGES: Final = ("osong", "osong_workflows", "osong_benchmarks")


class Listener(Protocol):
    """Hears how far a run is."""

    def begin(self, part: str) -> None:
        """Hear that a part begins."""
        ...

    def say(self, line: str) -> None:
        """Hear what is being measured now."""
        ...

    def end(self, part: str, record: PartRecord) -> None:
        """Hear that a part has ended."""
        ...


@dataclass(frozen=True)
class Finished:
    """A run that is done.

    Attributes
    ----------
    run
        What was measured.
    results
        Its file.
    page
        Its page; None where that could not be drawn.
    no_page
        Why not, and what helps.
    """

    run: Run
    results: Path
    page: Path | None
    no_page: str = ""


def part_names() -> tuple[str, ...]:
    """Return the names of the parts, in the order in which they run."""
    return registry.PARTS


def measure(
    listener: Listener,
    *,
    size: Size = "quick",
    parts: Sequence[str] = (),
    peers: Sequence[str] = (),
    data: Path | None = None,
    out: Path = DEFAULT_OUT,
    cores: int | None = None,
    seed: int = 1,
) -> Finished:
    """Measure, and write a file of results and its page into ``out``.

    A part that cannot run is a gap of the run, and the others go on. A full run that was stopped
    goes on with the first part that was not finished, if machine, sources and settings are the
    same.

    Parameters
    ----------
    listener
        Hears how far it is.
    size
        How much to measure.
    parts
        Names; all that do not run on demand only if not given.
    peers
        Programs to measure beside Osong; one that is not installed becomes a gap.
    data
        Folder of complexes and libraries; that of `DATA_VARIABLE`, or ``../shared/data``
        beside a checkout, if not given.
    out
        Folder of the files.
    cores
        Most cores to use; as many as this process may use if not given.
    seed
        Of every search.

    Raises
    ------
    InputError
        A part, a peer or the folder of data does not exist.
    ResourceError
        The files cannot be written.
    """
    names = _chosen_parts(parts)
    installed, gaps = _installed_peers(peers)
    settings = Settings(
        size=size, data=_data_folder(data), peers=installed, out=out,
        cores=usable_cores() if cores is None else cores, seed=seed,
    )  # fmt: skip
    started = datetime.now(UTC)
    unfinished = out / f"{_UNFINISHED}-{_digest(settings)}"
    if size != "full":  # nothing of it is kept, so that two such runs must not share a folder
        unfinished = unfinished.with_name(f"{unfinished.name}-{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
    records = {name: _kept_or_measured(name, settings, unfinished, listener) for name in names}
    run = Run(
        started=started,
        osong_version=str(osong.__version__),
        machine=processor_name(),
        command=_command(settings, data, parts, peers),
        size=size,
        cores=settings.cores,
        seed=seed,
        peers=installed,
        gaps=gaps,
        parts=records,
    )
    results = out / f"{_file_name(run)}.json"
    write_run(results, run)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        return Finished(run, results, write_page(results))
    except MissingExtraError as error:
        return Finished(run, results, None, str(error))


def write_page(results: str | Path, page: str | Path | None = None) -> Path:
    """Draw the page of a file of results; return where it is (beside the file if not said).

    Raises
    ------
    InputError
        The file is not one of results.
    MissingExtraError
        Matplotlib or Jinja is not installed.
    """
    from osong_benchmarks.report.page import draw_page

    path = Path(results).with_suffix(".html") if page is None else Path(page)
    write_whole(path, draw_page(read_run(results)))
    return path


def active(
    scores: str | Path, *, out: Path, say: Say = lambda line: None, **options: Any
) -> tuple[str, list[Path]]:
    """Run active learning on known scores; return what was found, as Markdown, and the files.

    Parameters
    ----------
    scores
        A CSV file of SMILES and scores.
    out
        Folder of the files; a run that was stopped goes on there.
    **options
        See `osong_benchmarks.active.measure_active`.

    Raises
    ------
    InputError
        The scores or the options cannot be used.
    MissingExtraError
        PyTorch or Matplotlib is not installed.
    """
    from osong_benchmarks.active import command_of, measure_active
    from osong_benchmarks.active_report import recall_text, table_text, write_report

    table = measure_active(scores, out=out, say=say, **options)
    files = write_report(table, out, command_of(table))
    return f"{table_text(table)}\n\n{recall_text(table)}", files


def check_device() -> str:
    """Return what the device is that the part ``gpu`` would measure.

    Raises
    ------
    ResourceError
        There is none that could be used; the message says why, on one line.
    """
    from osong_benchmarks.gpu_measure import usable_device

    return str(usable_device())


def compare_files(a: str | Path, b: str | Path, tolerance: float | None = None) -> Comparison:
    """Return what differs from file ``a`` to file ``b``; see `osong_benchmarks.report.compare`."""
    return compare(read_run(a), read_run(b), tolerance)


def _chosen_parts(parts: Sequence[str]) -> tuple[str, ...]:
    for name in parts:
        registry.load(name)
    return tuple(name for name in registry.known_parts() if name in (parts or registry.PARTS))


def _installed_peers(peers: Sequence[str]) -> tuple[tuple[str, ...], tuple[Gap, ...]]:
    for name in peers:
        if name not in PEERS:
            raise InputError(f"there is no peer '{name}': choose among {', '.join(PEERS)}")
    missing = [name for name in PEERS if name in peers and find_spec(name) is None]
    gaps = tuple(
        Gap(what=f"peer {name}", reason="not installed here: pip install 'osong[peers]'")
        for name in missing
    )
    return tuple(name for name in PEERS if name in peers and name not in missing), gaps


def _data_folder(data: Path | None) -> Path | None:
    named = os.environ.get(DATA_VARIABLE)
    if data is None and not named:
        return _beside_checkout()
    found = Path(named or "") if data is None else data
    if not found.is_dir():
        said = f"{DATA_VARIABLE}={found}" if data is None else f"--data {found}"
        raise InputError(f"{said}: there is no such folder; leave it out to go without")
    return found


def _beside_checkout() -> Path | None:
    """Return the shared data beside a checkout whose root is the working folder, if there."""
    is_checkout = Path("benchmarks/osong_benchmarks").is_dir()
    return _BESIDE_CHECKOUT if is_checkout and _BESIDE_CHECKOUT.is_dir() else None


def _kept_or_measured(
    name: str, settings: Settings, unfinished: Path, listener: Listener
) -> PartRecord:
    kept = unfinished / f"{name}.json"
    listener.begin(name)
    record = _read_kept(name, kept)
    if record is None:
        record = _measure_part(name, replace(settings, out=unfinished / name), listener)
        if record.result is not None:
            write_whole(kept, to_json(record))
    else:
        listener.say("kept from the run that was stopped")
    listener.end(name, record)
    return record


def _measure_part(name: str, settings: Settings, listener: Listener) -> PartRecord:
    """Return what a part measured; one that cannot run here is a gap and stops nothing else.

    Caught is what says something about this machine or the input: Osong's own errors, files that
    cannot be read or written, memory that does not suffice. A mistake in a part still shows itself.
    """
    part = registry.load(name)
    settings.out.mkdir(parents=True, exist_ok=True)
    started, cpu_started = time.perf_counter(), _cpu_seconds()
    reason = ""
    result: PartResult | None = None
    try:
        result = part.run(settings, listener.say)
    except (OsongError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    return PartRecord(
        seconds=time.perf_counter() - started,
        cpu_seconds=_cpu_seconds() - cpu_started,
        result=result,
        gap=Gap(what=name, reason=reason) if result is None else None,
        merits={} if result is None else part.merits(result),
    )


def _cpu_seconds() -> float:
    """Return the processor time of this process and its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _read_kept(name: str, path: Path) -> PartRecord | None:
    if not path.exists():
        return None
    try:
        return PartRecord.read(name, path.read_text(encoding="utf-8"))
    except ValidationError:  # of an earlier state of this part's source
        return None


def _digest(settings: Settings) -> str:
    """Return what tells runs apart that must not share their parts: settings, machine and code."""
    data = settings.data and settings.data.resolve()
    told: list[object] = [settings.size, data, settings.peers, settings.cores, settings.seed]
    told += [osong.__version__, processor_name(), sources_hash(), _library_hash()]
    return f"{settings.size}-{blake2b(repr(told).encode(), digest_size=4).hexdigest()}"


@cache
def _library_hash() -> str:
    """Return a hash of the sources of everything above the kernels: a change may change numbers."""
    digest = blake2b(digest_size=16)
    for package in _PACKAGES:
        for folder in import_module(package).__path__:
            for path in sorted(Path(folder).rglob("*.py")):
                text = path.read_bytes()
                name = f"{package}/{path.relative_to(folder).as_posix()}"
                digest.update(f"{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def _command(
    settings: Settings, data: Path | None, parts: Sequence[str], peers: Sequence[str]
) -> str:
    words = ["osong", "bench", f"--{settings.size}", "--cores", str(settings.cores)]
    words += ["--seed", str(settings.seed)]
    if data is not None:
        words += ["--data", os.fspath(data)]
    if parts:
        words += ["--parts", ",".join(parts)]
    if peers:
        words += ["--peers", ",".join(peers)]
    return shlex.join(words)


def _file_name(run: Run) -> str:
    """Return a name that tells machine and time and names no host."""
    slug = re.sub(r"[^a-z0-9]+", "-", run.machine.lower()).strip("-") or "unknown"
    return f"osong-bench-{slug}-{run.cores}c-{run.started:%Y%m%d-%H%M%S}"
