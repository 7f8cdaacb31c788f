"""`prepare_library`: a whole library made ready, by watched processes, in its own order."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from osong.errors import InputError
from osong.library import (
    LOCK_FILE,
    PreparedMolecule,
    check_prepared_folder,
    read_records,
    resume_index,
    write_prepared,
)
from osong_workflows.child import Job
from osong_workflows.events import MoleculeFailed, MoleculesDone, Publisher
from osong_workflows.folder import locked_by
from osong_workflows.memory import affordable_workers, share_of_memory
from osong_workflows.outcome import FailedMolecule
from osong_workflows.preparing import DEFAULT_PREPARER, PreparationSettings
from osong_workflows.progress import PreparationSpinner, wants_progress
from osong_workflows.runners.base import check_runner
from osong_workflows.settings import dump_ligand_options
from osong_workflows.supervisor import Supervisors

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from osong.library import PreparedLibrary, Record
    from osong.ligands import PreparedLigand
    from osong_workflows.events import Subscriber

    Preparers = Supervisors[tuple[PreparedLigand, ...]]
    Answer = tuple[PreparedLigand, ...] | FailedMolecule

__all__ = ["prepare_library"]

_AHEAD: Final = 256
"""Molecules for each worker that may be ready before an earlier one is: a slow molecule holds
nobody up for some 30 s, and what waits for it is some 10 MB a worker."""
_BYTES_PER_WORKER: Final = 512 * 2**20
"""A preparing process has 200 MB of libraries and its molecule."""


def prepare_library(
    library: str | os.PathLike[str] | Iterable[Any],
    out: str | os.PathLike[str],
    *,
    options: Any | Mapping[str, Any] | None = None,
    workers: int | None = None,
    smiles_column: str | int | None = None,
    name_column: str | int | None = None,
    kind: str | None = None,
    molecule_timeout_s: float = 600.0,
    memory_per_worker: int | None = None,
    progress: bool | None = None,
    subscribers: Sequence[Subscriber] = (),
    docker: str = DEFAULT_PREPARER,
) -> PreparedLibrary:
    """Make a library ready once, as a folder of Parquet shards, and return what is in it.

    Every molecule has its rows: its ligands, or the stage and the reason of its failure, also
    where it crashed or hung the process that prepared it. The same call again goes on after the
    last whole shard. The number of workers changes no byte.

    Parameters
    ----------
    library
        A file or folder of molecules, or an iterable of SMILES or RDKit molecules.
    out
        The folder: new, empty, or of this very library, unfinished.
    options
        How molecules are made ready: an ``osong.ligands.LigandOptions`` or its fields.
    workers
        Molecules prepared at a time, one core each; None: as many as this job may use.
    smiles_column, name_column, kind
        How to read the library, where its names and headers do not tell; as for
        ``osong.library.read_records``.
    molecule_timeout_s
        Seconds after which a molecule is given up; its row says so.
    memory_per_worker
        Bytes that the preparation of one molecule may take; None: this job's share.
    progress
        Show progress; None: only on a terminal or in Jupyter.
    subscribers
        Functions that are called with every event (see ``osong_workflows.events``).
    docker
        "module:function" that builds what prepares one record; for tests.

    Raises
    ------
    osong.errors.InputError
        The library cannot be read or holds no molecule; the folder holds something else.
    osong.errors.CampaignError
        Another process works in the folder, or no process can prepare anything.
    osong.errors.ResourceError
        The disk is full; whole shards stay.
    """
    check_runner("local", workers)
    if not molecule_timeout_s > 0:
        raise InputError(f"molecule_timeout_s must be more than 0, got {molecule_timeout_s}")
    asked = {"smiles_column": smiles_column, "name_column": name_column, "kind": kind}
    reading: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    settings = PreparationSettings(molecule_timeout_s, dump_ligand_options(options), docker)
    source = Path(library).expanduser() if isinstance(library, (str, os.PathLike)) else library
    described = {
        "library": str(library) if source is not library else "items",
        "ligands": settings.ligands,
        "molecule_timeout_s": molecule_timeout_s,
        **({"reading": reading} if reading else {}),
    }
    read_records(source, **reading)  # looks whether it is there, before there is a folder
    n_workers = workers or affordable_workers(_BYTES_PER_WORKER)
    limit = share_of_memory(n_workers) if memory_per_worker is None else memory_per_worker
    folder = Path(out).expanduser()
    check_prepared_folder(folder, described, resume=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked_by(folder / LOCK_FILE, "library folder"))
        heard = list(subscribers)
        if wants_progress(progress):
            heard.append(stack.enter_context(PreparationSpinner()))
        publisher = Publisher(heard)
        job = Job("", settings, work="preparing", go_on="run the same command again")
        preparers: Preparers = Supervisors(job, publisher, limit)
        stack.enter_context(contextlib.closing(preparers))
        records = read_records(source, start=resume_index(folder), **reading)
        molecules = _prepared(records, preparers, n_workers, publisher)
        stack.enter_context(contextlib.closing(molecules))
        prepared = write_prepared(folder, molecules, options=described, resume=True)
        # Whoever gets this lock now finds a finished library, and refuses it.
        (folder / LOCK_FILE).unlink(missing_ok=True)
    return prepared


def _prepared(
    records: Iterator[Record], preparers: Preparers, workers: int, publisher: Publisher
) -> Generator[PreparedMolecule, None, None]:
    """Yield what became of each record, in the order of the records."""
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Record, Future[Answer]]] = deque()
    try:
        for record in records:
            waiting.append((record, pool.submit(preparers.dock, record)))
            if len(waiting) >= workers * _AHEAD:
                yield _next(waiting, publisher)
        while waiting:
            yield _next(waiting, publisher)
    finally:
        # Threads that wait for an answer hear of it within a tick.
        preparers.stop()
        pool.shutdown(cancel_futures=True)


def _next(waiting: deque[tuple[Record, Future[Answer]]], publisher: Publisher) -> PreparedMolecule:
    """Return what became of the first of the records that are waiting."""
    record, future = waiting.popleft()
    answer = future.result()
    if not isinstance(answer, FailedMolecule):
        publisher(MoleculesDone(1, 0))
        return PreparedMolecule(record.index, record.name, record.source, answer)
    publisher(MoleculeFailed(record.index, record.name, answer.stage, answer.reason))
    publisher(MoleculesDone(0, 1))
    reason = " ".join(answer.reason.split())
    return PreparedMolecule(
        record.index, record.name, record.source, error=reason, stage=answer.stage
    )
