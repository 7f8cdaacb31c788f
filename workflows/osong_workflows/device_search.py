"""`DeviceSearch`: one supervised process for each device, fed with whatever molecules are ready.

A device that is free takes all that wait, up to a limit: batches are as large as preparation makes
them, and no molecule waits for others. Where enough wait while it is busy, it has its next batch
before it is done with this one. A batch that ends its process, takes too long or meets an
error is cut in halves, and these go to a new process. A molecule that fails alone goes to the CPU,
which has the last word on it; so do all of them when the last device has been given up.
"""

from __future__ import annotations

import math
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError, OsongError, ResourceError
from osong_workflows.device_docking import ForCpu, Found, Searched
from osong_workflows.device_worker import MAX_BATCH, Answer, DeviceWorker, Request
from osong_workflows.outcome import FailedMolecule, Outcome
from osong_workflows.supervisor import StartGate, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osong.backend import Device
    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong.search.minima import RefinedMinima
    from osong_workflows.child import Job
    from osong_workflows.events import Publisher

__all__ = ["DeviceSearch"]

_FEWEST_AHEAD: Final = MAX_BATCH // 4
"""So many have to wait for a batch that is sent while another is searched: fewer may grow to more
until the device is free, and a small batch takes it little less time than a large one."""
_NAMED: Final = 3
"""So many molecules that go to the CPU are named in a run; of a billion it may be a million."""
_TICK_S: Final = 0.5


class DeviceSearch:
    """Searches molecules on devices; the CPU takes over what they cannot do.

    Parameters
    ----------
    jobs
        What the process of each device is to do, by device.
    publisher
        Who hears of restarts.
    finish
        Has poses made of what was found of a record's variants.
    on_cpu
        Has a record docked by the CPU.
    say
        Hears, in a line, what became of a device or of a molecule that it cannot take.
    is_required
        A device that cannot start is an error of the run, not a reason to use the CPU.
    """

    def __init__(
        self,
        jobs: Sequence[tuple[Device, Job]],
        publisher: Publisher,
        finish: Callable[
            [Record, tuple[PreparedLigand, ...], tuple[RefinedMinima, ...]], Future[Outcome]
        ],
        on_cpu: Callable[[Record], Future[Outcome]],
        say: Callable[[str], None],
        *,
        is_required: bool = False,
    ) -> None:
        self._jobs = tuple(jobs)
        self._publisher = publisher
        self._finish = finish
        self._on_cpu = on_cpu
        self._say = say
        self._is_required = is_required
        self._stop = threading.Event()
        self._gate = StartGate()
        # No SimpleQueue: in Python 3.11 its get() with a timeout waits for ever when another thread
        # was faster and the time is up (the rest of the time is negative, which means no limit).
        self._waiting: queue.Queue[Request] = queue.Queue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._n_left = len(self._jobs)
        self._has_worked = False
        self._n_refused = 0
        self._error: OsongError | OSError | None = None

    @property
    def is_gone(self) -> bool:
        """Whether all devices have been given up."""
        return self._n_left == 0

    def submit(self, record: Record, variants: Sequence[PreparedLigand]) -> Future[Answer] | None:
        """Have a molecule searched; None where no device is left to do so.

        Raises
        ------
        OsongError
            The run was stopped, or a device that it cannot do without does not work.
        OSError
            A line about a device could not be written.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            if self.is_gone:
                return None
            if not self._threads:
                self._begin()
            request = Request(record, tuple(variants))
            self._waiting.put(request)
            return request.future

    def stop(self) -> None:
        """Make what is under way end soon, without an outcome."""
        self._stop.set()

    def close(self) -> None:
        """End all device processes."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _begin(self) -> None:
        for device, job in self._jobs:
            name = f"osong-device-{device.index}"
            thread = threading.Thread(target=self._work, args=(device, job), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, device: Device, job: Job) -> None:
        """Search what waits until the run ends or the device is given up."""
        supervisor: Supervisor[tuple[Searched, ...]] = Supervisor(
            job, self._publisher, self._stop, self._gate, attempts=1
        )
        worker = DeviceWorker(
            supervisor, device, self._take, self._take_ahead, self._end, self._stop
        )
        error: OsongError | OSError | None = CampaignError(
            "the thread of a device ended; this is an error of Osong, please report it"
        )
        try:
            why = worker.run()
            if self._stop.is_set():
                error = CampaignError(f"the run was stopped; {job.go_on}")
            else:
                self._give_up(device, why, worker)
                error = None
        except (OsongError, OSError) as failure:
            # A device that is asked for does not work, or a line of the log cannot be written.
            error = failure
        finally:
            # Whatever happened: somebody waits for each of its molecules.
            if error is not None:
                self._end_all(error, worker.pending)
            supervisor.close()

    def _take(self, limit: int) -> list[Request]:
        """Return molecules that wait, none where there are none for a while."""
        try:
            first = self._waiting.get(timeout=_TICK_S)
        except queue.Empty:
            return []
        return self._take_more(first, limit)

    def _take_ahead(self, limit: int) -> list[Request]:
        """Return molecules that wait if they are enough for a batch, at once."""
        if self._waiting.qsize() < _FEWEST_AHEAD * max(1, self._n_left):
            return []
        try:
            first = self._waiting.get_nowait()
        except queue.Empty:
            return []
        return self._take_more(first, limit)

    def _take_more(self, first: Request, limit: int) -> list[Request]:
        """Return a molecule with others that wait."""
        taken = [first]
        # Others that are free want some too.
        share = math.ceil((1 + self._waiting.qsize()) / max(1, self._n_left))
        while len(taken) < min(limit, share):
            try:
                taken.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return [
            request
            for request in taken
            if request.future.running() or request.future.set_running_or_notify_cancel()
        ]

    def _end(self, request: Request, answer: Searched) -> None:
        """Take a device's answer."""
        if isinstance(answer, Found):
            finished = self._finish(request.record, request.variants, answer.minima)
            request.future.set_result(finished)
            return
        if isinstance(answer, FailedMolecule):
            request.future.set_result(answer)
            return
        request.future.set_result(self._on_cpu(request.record))
        if answer.reason:
            # Last: a full disk is no reason not to have the molecule docked.
            self._say_refused(request.record, answer.reason)

    def _say_refused(self, record: Record, reason: str) -> None:
        """Name a molecule that a device cannot take, unless enough of them were named."""
        with self._lock:
            self._n_refused += 1
            number = self._n_refused
        if number <= _NAMED:
            name = record.name or f"molecule {record.index}"
            self._say(f"{name}: docked by the CPU, since {reason}")
        elif number == _NAMED + 1:
            self._say("more molecules that devices cannot take are docked by the CPU, unnamed")

    def _give_up(self, device: Device, why: str, worker: DeviceWorker) -> None:
        """Leave a device's molecules to the others, or to the CPU where there are none.

        Raises
        ------
        ResourceError
            None has worked, and the run is to have one.
        """
        text = f"device {device.index} ({device.name}) is given up: {why}"
        with self._lock:
            self._n_left -= 1
            is_last = self.is_gone
            self._has_worked = self._has_worked or worker.has_worked
            if self._error is None and is_last and self._is_required and not self._has_worked:
                self._error = ResourceError(
                    f"backend cuda: {text}; run osong doctor, or dock on CPUs with backend auto"
                )
            error = self._error
            if error is None and not is_last:
                # Before anybody else is the last one, who looks for molecules once.
                for request in worker.release():
                    self._waiting.put(request)
        if error is not None:
            raise error
        if is_last:
            while not self._waiting.empty():
                worker.hold(self._take(MAX_BATCH))
            for request in worker.pending:
                self._end(request, ForCpu(""))
        self._say(f"{text}; {'the CPU takes over' if is_last else 'the others go on'}")

    def _end_all(self, error: OsongError | OSError, pending: Sequence[Request]) -> None:
        """End everything that waits with an error."""
        with self._lock:
            self._error = self._error or error
        left = list(pending)
        while not self._waiting.empty():
            left += self._take(MAX_BATCH)
        for request in left:
            request.future.set_exception(error)
