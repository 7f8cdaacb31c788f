"""`DevicePipeline`: CPU processes prepare and finish molecules while devices search others.

Each calling thread fills one part. Its records go to processes that prepare them, from there to
whichever device is free, then to the first again, which make poses of what was found, and come back
in order. So many are on their way that no device runs dry, and no more, so that memory is bounded.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from osong.errors import CampaignError, LigandError
from osong_workflows.child import Job
from osong_workflows.device_docking import DEVICE_DOCKERS, DeviceSettings, Unfinished
from osong_workflows.device_search import DeviceSearch
from osong_workflows.device_worker import MAX_BATCH, Answer
from osong_workflows.outcome import DockedMolecule, FailedMolecule, Outcome
from osong_workflows.prepared import PREPARED, PreparedReader
from osong_workflows.supervisor import Supervisors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from osong.backend import Device
    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong.search.minima import RefinedMinima
    from osong_workflows.events import Publisher
    from osong_workflows.settings import CampaignSettings

__all__ = ["DevicePipeline"]

_AHEAD: Final = 4 * MAX_BATCH
"""Molecules on their way for each device: a batch that is searched, the next one, which is there
already, the one after it, which gathers, and one that is finished. A molecule is some kilobytes."""
_FEWEST_AHEAD: Final = 8
"""On their way for each thread, however many threads there are."""
_BATCH_S: Final = 600.0
"""A batch that takes longer is given up; a good one is some seconds."""


class DevicePipeline:
    """Docks records with devices.

    Parameters
    ----------
    job
        How a process docks records without a device.
    settings
        The campaign's.
    devices
        Which ones.
    cpu
        Docks what devices cannot.
    publisher
        Who hears of restarts.
    n_threads
        Threads that call, and processes that prepare and finish.
    memory_limit
        Bytes that one of these processes may hold; 0 for no limit.
    say
        Hears, in a line, when a device is given up.
    is_required
        A device that cannot start is an error of the run, not a reason to use the CPU.
    """

    def __init__(
        self,
        job: Job,
        settings: CampaignSettings,
        devices: Sequence[Device],
        cpu: Supervisors[DockedMolecule],
        publisher: Publisher,
        *,
        n_threads: int,
        memory_limit: int,
        say: Callable[[str], None],
        is_required: bool,
    ) -> None:
        dockers = DEVICE_DOCKERS[settings.docker]
        on_host = settings.model_copy(update={"docker": dockers.host})
        self._library = settings.library
        self._host: Supervisors[tuple[PreparedLigand, ...] | DockedMolecule] = Supervisors(
            Job(job.target, on_host, work="preparing", go_on=job.go_on), publisher, memory_limit
        )
        self._cpu = cpu
        self._go_on = job.go_on
        self._lock = threading.Lock()
        self._n_unfinished = 0
        self._pool = ThreadPoolExecutor(n_threads, "osong-pipeline")
        self._ahead = max(_FEWEST_AHEAD, math.ceil(_AHEAD * len(devices) / n_threads))
        limit_s = max(_BATCH_S, settings.molecule_timeout_s)
        searching = [
            (device, DeviceSettings(settings, device, dockers.searcher, limit_s))
            for device in devices
        ]
        self._devices = DeviceSearch(
            [(device, Job(job.target, told, "device", job.go_on)) for device, told in searching],
            publisher,
            finish=self._begin_to_finish,
            on_cpu=lambda record: self._pool.submit(self._dock_on_cpu, record),
            say=say,
            is_required=is_required,
        )

    def outcomes(self, records: Iterable[Record]) -> Iterator[tuple[Record, Outcome]]:
        """Yield what became of each record, in the order of the records.

        Raises
        ------
        OsongError
            Something that all molecules need is at fault.
        """
        prepared = PreparedReader(self._library)
        waiting: deque[tuple[Record, Future[Any]]] = deque()
        try:
            for record in records:
                waiting.append((record, self._begin(record, prepared)))
                if len(waiting) >= self._ahead:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            for _, future in waiting:
                future.cancel()

    def stop(self) -> None:
        """Make records that are under way end soon, without an outcome."""
        self._host.stop()
        self._devices.stop()

    def close(self) -> None:
        """End all processes but those of the CPU's docking."""
        self.stop()
        self._cpu.stop()
        self._devices.close()
        self._pool.shutdown(cancel_futures=True)
        self._host.close()

    def _begin(self, record: Record, prepared: PreparedReader) -> Future[Any]:
        """Send a record on its way."""
        if record.format != PREPARED:
            return self._pool.submit(self._prepare, record)
        # In the order of the library, which is how it reads fast.
        variants: Sequence[PreparedLigand] = ()
        done: Future[Answer] = Future()
        try:
            variants = prepared.read(record)
        except LigandError as error:
            done.set_result(FailedMolecule(error.stage, str(error)))
            return done
        return self._devices.submit(record, variants) or self._pool.submit(
            self._dock_on_cpu, record
        )

    def _prepare(self, record: Record) -> Answer:
        """Prepare a record in this thread's process, and hand it to a device."""
        if self._devices.is_gone:
            return self._dock_on_cpu(record)
        variants = self._host.dock(record)
        if isinstance(variants, FailedMolecule):
            return variants
        if isinstance(variants, DockedMolecule):
            raise AssertionError("a record is prepared, not docked")
        return self._devices.submit(record, variants) or self._dock_on_cpu(record)

    def _begin_to_finish(
        self,
        record: Record,
        variants: tuple[PreparedLigand, ...],
        minima: tuple[RefinedMinima, ...],
    ) -> Future[Outcome]:
        """Have poses made of what a device has found."""
        with self._lock:
            self._n_unfinished += 1
        unfinished = Unfinished(record.index, record.name, variants, minima)
        return self._pool.submit(self._finish, unfinished)

    def _finish(self, unfinished: Unfinished) -> Outcome:
        """Make poses of what a device has found, in this thread's process."""
        try:
            docked = self._host.dock(unfinished)
        finally:
            with self._lock:
                self._n_unfinished -= 1
        if isinstance(docked, tuple):
            raise AssertionError("what was searched is docked, not prepared")
        return docked

    def _dock_on_cpu(self, record: Record) -> Outcome:
        """Prepare and dock a record in this thread's docking process."""
        if self._devices.is_gone and not self._n_unfinished:
            self._host.rest()
        return self._cpu.dock(record)

    def _next(self, waiting: deque[tuple[Record, Future[Any]]]) -> tuple[Record, Outcome]:
        """Return what became of the first of the records that are on their way."""
        record, future = waiting.popleft()
        try:
            answer: Answer = future.result()
            while isinstance(answer, Future):
                answer = answer.result()
        except CancelledError as error:
            raise CampaignError(f"the run was stopped; {self._go_on}") from error
        return record, answer
