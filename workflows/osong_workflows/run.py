"""`Run`: one process's work on a campaign, task by task; what every runner calls."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from osong.backend import Backend, choose_backend
from osong.errors import CampaignError, ResourceError
from osong_workflows.allocation import local_rank
from osong_workflows.child import Job
from osong_workflows.device_docking import DEVICE_DOCKERS
from osong_workflows.events import (
    BackendNote,
    MoleculeFailed,
    MoleculesDone,
    Publisher,
    WorkerRestarted,
)
from osong_workflows.folder import CampaignFolder
from osong_workflows.memory import share_of_memory
from osong_workflows.outcome import DockedMolecule, FailedMolecule
from osong_workflows.packing import pack_shard
from osong_workflows.part_names import (
    chunk_parts,
    finished_shards,
    part_counts,
    part_place,
    part_problem,
)
from osong_workflows.parts import PART_SCHEMA, RESCORED_SCHEMA, PartFile, PartWriter
from osong_workflows.pipeline import DevicePipeline
from osong_workflows.plan import chunk_records, read_plan
from osong_workflows.settings import SCORE, read_settings
from osong_workflows.supervisor import Supervisors
from osong_workflows.tasks import DockChunk, Restart, TaskResult

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from osong.library import Record
    from osong_workflows.events import Event, Subscriber
    from osong_workflows.outcome import Outcome
    from osong_workflows.plan import Chunk
    from osong_workflows.settings import CampaignSettings
    from osong_workflows.tasks import PackShard, Task, WorkOrder

__all__ = ["Run", "backend_for", "why_no_device"]

_TOLD_RESTARTS: Final = 20


class Run:
    """Does tasks, with one docking process for each thread that calls.

    On a machine with devices these prepare molecules, and one more process for each device
    searches.

    Parameters
    ----------
    order
        Which campaign, for whom, with what.
    n_threads
        How many threads will call; memory is shared out among them.
    subscribers
        Who hears of every molecule.
    """

    def __init__(
        self, order: WorkOrder, n_threads: int = 1, subscribers: tuple[Subscriber, ...] = ()
    ) -> None:
        self._folder = CampaignFolder.at(order.folder)
        self._plan = read_plan(self._folder)
        settings = read_settings(self._folder.settings)
        if settings.docker != order.docker:
            raise CampaignError(
                f"{order.folder}: was made with the docker '{settings.docker}', not "
                f"'{order.docker}'"
            )
        self._schema = RESCORED_SCHEMA if settings.rescore else PART_SCHEMA
        self._pilot = order.pilot
        self._scratch = _scratch_folder(order.scratch)
        backend = backend_for(order.backend, settings)
        limit = order.memory_limit
        if limit is None:
            limit = self._memory_limit(n_threads, len(backend.devices))
        self._publisher = Publisher([self._collect, *subscribers])
        self._lock = threading.Lock()
        self._restarts: dict[int, tuple[Chunk, list[Restart]]] = {}
        self._notes: list[str] = []
        go_on = f"continue with: osong resume {self._folder.path}"
        job = Job(str(self._folder.target), settings, go_on=go_on)
        careful = replace(job, has_care=True, memory_limit=limit)
        self._supervisors: dict[bool, Supervisors[DockedMolecule]] = {
            False: Supervisors(job, self._publisher, limit),
            True: Supervisors(careful, self._publisher),
        }
        self._say(str(backend))
        self._pipeline: DevicePipeline | None = None
        if backend.devices:
            self._pipeline = DevicePipeline(
                job,
                settings,
                backend.devices,
                self._supervisors[False],
                self._publisher,
                n_threads=n_threads,
                memory_limit=limit,
                say=self._say,
                is_required=order.backend == "cuda",
            )

    def _memory_limit(self, n_threads: int, n_devices: int) -> int:
        """Return what each process may hold.

        Beside devices a thread has two, of which one prepares and the other docks what a device
        does not take, and each device has its own.
        """
        n_processes = 2 * n_threads + n_devices if n_devices else n_threads
        return max(share_of_memory(n_processes), self._plan.memory_bytes_per_worker)

    def do(self, task: Task) -> TaskResult:
        """Do one task; safe to do twice, by whomever.

        Raises
        ------
        OsongError
            Not a molecule but something that all of them need is at fault.
        """
        begin = time.perf_counter()
        result = self._dock(task) if isinstance(task, DockChunk) else self._pack(task)
        with self._lock:
            notes, self._notes = tuple(self._notes), []
        seconds = time.perf_counter() - begin
        return replace(result, host=socket.gethostname(), seconds=seconds, notes=notes)

    def stop(self) -> None:
        """Make tasks that are under way end soon, without a part."""
        for supervisors in self._supervisors.values():
            supervisors.stop()
        if self._pipeline is not None:
            self._pipeline.stop()

    def close(self) -> None:
        """End all docking processes."""
        if self._pipeline is not None:
            self._pipeline.close()
        for supervisors in self._supervisors.values():
            supervisors.close()

    def _dock(self, task: DockChunk) -> TaskResult:
        """Dock one chunk into one part."""
        chunk = self._plan.chunk(task.chunk)
        there = self._part_of(chunk)
        if there is not None:
            # This pilot was taken for dead, and another did it meanwhile.
            n_ok, failures = part_counts(there)
            return TaskResult(n_ok=n_ok, failures=dict(failures))
        restarts: list[Restart] = []
        with self._lock:
            self._restarts[threading.get_ident()] = (chunk, restarts)
        place = part_place(self._folder, self._plan, chunk)
        part = PartWriter(PartFile(place, chunk, self._pilot, self._scratch, self._schema))
        try:
            self._fill(part, chunk, with_care=task.with_care)
        except ResourceError:
            # Another pilot may have finished the shard, and removed the folder of its parts.
            if self._plan.shard_of(task.chunk) not in finished_shards(self._folder, self._plan):
                raise
        told = tuple(restarts[:_TOLD_RESTARTS])
        return TaskResult(n_ok=part.n_ok, failures=dict(part.failures), restarts=told)

    def _part_of(self, chunk: Chunk) -> Path | None:
        """Return the part of a chunk that is done; its bytes are checked when it is packed."""
        shard = self._plan.shard(self._plan.shard_of(chunk.index))
        if self._plan.shard_chunks == 1:
            return finished_shards(self._folder, self._plan).get(shard.index)
        part = chunk_parts(self._folder, self._plan, shard).get(chunk.index)
        return part if part is not None and part_problem(part, chunk) is None else None

    def _fill(self, part: PartWriter, chunk: Chunk, *, with_care: bool) -> None:
        """Dock the molecules of a chunk into its part."""
        records = chunk_records(self._folder, self._plan, chunk)
        with part, contextlib.closing(self._outcomes(records, with_care=with_care)) as outcomes:
            for record, outcome in outcomes:
                part.add(record, outcome)
                self._tell(record, outcome)

    def _outcomes(
        self, records: Iterable[Record], *, with_care: bool
    ) -> Generator[tuple[Record, Outcome], None, None]:
        """Yield what became of records, in their order."""
        if self._pipeline is not None and not with_care:
            yield from self._pipeline.outcomes(records)
            return
        supervisors = self._supervisors[with_care]
        for record in records:
            yield record, supervisors.dock(record)

    def _tell(self, record: Record, outcome: Outcome) -> None:
        if isinstance(outcome, FailedMolecule):
            self._publisher(
                MoleculeFailed(record.index, record.name, outcome.stage, outcome.reason)
            )
            self._publisher(MoleculesDone(0, 1))
        else:
            self._publisher(MoleculesDone(1, 0))

    def _pack(self, task: PackShard) -> TaskResult:
        """Join the parts of a shard."""
        packed = pack_shard(self._folder, self._plan, task.shard, self._pilot, self._scratch)
        return TaskResult(damaged=packed.damaged, redo=packed.missing)

    def _say(self, text: str) -> None:
        """Tell where molecules are docked, and why there."""
        self._publisher(BackendNote(socket.gethostname(), text))

    def _collect(self, event: Event) -> None:
        """Collect what goes with the results of tasks, whichever thread it comes from."""
        if isinstance(event, WorkerRestarted):
            restart = Restart(event.index, event.name, event.reason)
            with self._lock:
                for chunk, restarts in self._restarts.values():
                    if chunk.start <= event.index < chunk.start + chunk.n_records:
                        restarts.append(restart)
        elif isinstance(event, BackendNote):
            with self._lock:
                self._notes.append(event.text)


def backend_for(wanted: str, settings: CampaignSettings) -> Backend:
    """Return where this process docks the molecules of a campaign.

    Raises
    ------
    OsongError
        Devices were asked for and cannot be used.
    """
    reason = why_no_device(settings)
    if reason:
        return Backend("cpu", reason)
    rank, n_ranks = local_rank()
    return choose_backend(wanted, rank=rank, n_ranks=n_ranks)


def why_no_device(settings: CampaignSettings) -> str:
    """Return why a campaign makes no use of devices, wherever it runs; "" if it can."""
    if settings.effort == SCORE:
        return "poses are scored as they stand, which needs no device"
    if settings.docker not in DEVICE_DOCKERS:
        return f"the docker {settings.docker} knows no device"
    return ""


def _scratch_folder(name: str) -> Path | None:
    """Return the local folder for parts on their way, made; its name may hold variables."""
    if not name:
        return None
    folder = Path(os.path.expandvars(name)).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"{folder}: this folder for files on their way (--scratch {name}) cannot be made on "
            f"{socket.gethostname()} ({error.strerror or error}); give one that can, or none"
        ) from error
    return folder
