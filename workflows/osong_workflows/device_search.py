"""`DeviceSearch`: one supervised process for each device, fed with whatever molecules are ready.

A device that is free takes all that wait, up to a limit: batches are as large as preparation makes
them, and no molecule waits for others. A batch that ends its process, takes too long or meets an
error is cut in halves, and these go to a new process. A molecule that fails alone goes to the CPU,
which has the last word on it; so do all of them when the last device has been given up.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from osong.errors import CampaignError, OsongError, ResourceError
from osong_workflows.device_docking import Batch, ForCpu, Searched
from osong_workflows.outcome import FailedMolecule, Outcome
from osong_workflows.supervisor import StartGate, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osong.backend import Device
    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong_workflows.child import Job
    from osong_workflows.events import Publisher

__all__ = ["MAX_BATCH", "Answer", "DeviceSearch"]

Answer: TypeAlias = "Outcome | Future[Any]"
"""What became of a molecule, or where the next answer will be: at a device, or at the CPU."""

MAX_BATCH: Final = 256
"""Molecules that go to a device process together. With 128 chains each, the quickest search, these
are some sixteen times what an H100 has under way at a time; the session cuts them by memory."""
_MAX_FAILURES: Final = 2 * int(math.log2(MAX_BATCH))
"""One bad molecule fails a whole batch, then a half of it, and so on until it is alone, at worst
with nothing that works in between: 9 failures. Many more in a row are the device's own fault."""
_FAILURES_OF_TIME: Final = 4
"""A batch that took too long counts for so many: four halvings on, a CPU would be faster."""
_NAMED: Final = 3
"""So many molecules that go to the CPU are named in a run; of a billion it may be a million."""
_TICK_S: Final = 0.5


@dataclass(frozen=True, eq=False)
class _Request:
    """A molecule that waits for a device."""

    record: Record
    variants: tuple[PreparedLigand, ...]
    future: Future[Answer] = field(default_factory=Future)


class DeviceSearch:
    """Searches molecules on devices; the CPU takes over what they cannot do.

    Parameters
    ----------
    jobs
        What the process of each device is to do, by device.
    publisher
        Who hears of restarts.
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
        on_cpu: Callable[[Record], Future[Outcome]],
        say: Callable[[str], None],
        *,
        is_required: bool = False,
    ) -> None:
        self._jobs = tuple(jobs)
        self._publisher = publisher
        self._on_cpu = on_cpu
        self._say = say
        self._is_required = is_required
        self._stop = threading.Event()
        self._gate = StartGate()
        # No SimpleQueue: in Python 3.11 its get() with a timeout waits for ever when another thread
        # was faster and the time is up (the rest of the time is negative, which means no limit).
        self._waiting: queue.Queue[_Request] = queue.Queue()
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
            request = _Request(record, tuple(variants))
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
        worker = _DeviceWorker(supervisor, device, self._take, self._end, self._stop)
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

    def _take(self, limit: int) -> list[_Request]:
        """Return molecules that wait, none where there are none for a while."""
        try:
            taken = [self._waiting.get(timeout=_TICK_S)]
        except queue.Empty:
            return []
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

    def _end(self, request: _Request, answer: Searched) -> None:
        """Take a device's answer."""
        if not isinstance(answer, ForCpu):
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

    def _give_up(self, device: Device, why: str, worker: _DeviceWorker) -> None:
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
        if error is not None:
            raise error
        if is_last:
            while not self._waiting.empty():
                worker.hold(self._take(MAX_BATCH))
            for request in worker.pending:
                self._end(request, ForCpu(""))
        else:
            for request in worker.release():
                self._waiting.put(request)
        self._say(f"{text}; {'the CPU takes over' if is_last else 'the others go on'}")

    def _end_all(self, error: OsongError | OSError, pending: Sequence[_Request]) -> None:
        """End everything that waits with an error."""
        with self._lock:
            self._error = self._error or error
        left = list(pending)
        while not self._waiting.empty():
            left += self._take(MAX_BATCH)
        for request in left:
            request.future.set_exception(error)


class _DeviceWorker:
    """Keeps one device in work, and halves what fails there.

    Parameters
    ----------
    supervisor
        Of the device's process.
    device
        For messages.
    take
        Returns molecules that wait, so many at most.
    end
        Takes an answer.
    stop
        Set from elsewhere when the run is to end early.
    """

    def __init__(
        self,
        supervisor: Supervisor[tuple[Searched, ...]],
        device: Device,
        take: Callable[[int], list[_Request]],
        end: Callable[[_Request, Searched], None],
        stop: threading.Event,
    ) -> None:
        self._supervisor = supervisor
        self._device = device
        self._take = take
        self._end = end
        self._stop = stop
        self._batches: deque[list[_Request]] = deque()
        self._limit = MAX_BATCH
        self._ceiling = MAX_BATCH
        self._n_failures = 0
        self.has_worked = False

    @property
    def pending(self) -> list[_Request]:
        """Molecules that were taken and have no answer."""
        return [
            request for batch in self._batches for request in batch if not request.future.done()
        ]

    def hold(self, requests: list[_Request]) -> None:
        """Keep molecules until they have an answer."""
        self._batches.append(requests)

    def release(self) -> list[_Request]:
        """Return what is pending, and forget it."""
        left = self.pending
        self._batches.clear()
        return left

    def run(self) -> str:
        """Search until the run is stopped; return why the device is of no use any more."""
        while not self._stop.is_set():
            if not self._batches:
                taken = self._take(self._limit)
                if taken:
                    self.hold(taken)
                continue
            try:
                self._supervisor.start()
            except OsongError as error:
                return str(error)
            why = self._search(self._first())
            if why and self._n_failures >= _MAX_FAILURES:
                return f"it failed {self._n_failures} times in a row, the last time with: {why}"
        return ""

    def _first(self) -> list[_Request]:
        """Return the first batch, cut to the size that is known to fit."""
        batch = self._batches[0]
        if len(batch) > self._ceiling:
            self._batches[0] = batch[self._ceiling :]
            self._batches.appendleft(batch[: self._ceiling])
        return self._batches[0]

    def _search(self, batch: list[_Request]) -> str:
        """Search the first batch; return what went wrong, "" where nothing did."""
        try:
            answer = self._supervisor.dock(self._batch(batch))
        except OsongError as error:
            if self._stop.is_set():
                return ""
            # Its process ends when it has said this: no memory, most likely.
            self._supervisor.close()
            return self._fail(batch, str(error), is_too_much=True)
        if isinstance(answer, FailedMolecule):
            if self._stop.is_set():
                return ""
            is_late = answer.stage == "time"
            self._n_failures += is_late * (_FAILURES_OF_TIME - 1)
            return self._fail(batch, answer.reason, is_too_much=is_late)
        if len(answer) != len(batch):
            self._supervisor.close()
            return self._fail(batch, f"{len(answer)} answers to {len(batch)} molecules")
        self._n_failures = 0
        self.has_worked = True
        self._limit = min(2 * self._limit, self._ceiling)
        for request, searched in zip(batch, answer, strict=True):
            self._end(request, searched)
        self._batches.popleft()
        return ""

    def _fail(self, batch: list[_Request], why: str, *, is_too_much: bool = False) -> str:
        """Halve the first batch, or leave its one molecule to the CPU.

        Batches become no larger than half of one that was too much for memory or time.
        """
        self._n_failures += 1
        half = len(batch) // 2
        self._limit = max(1, half)
        if is_too_much:
            # A single one: it was this molecule, then, and not how many they were.
            self._ceiling = half or MAX_BATCH
        if half and self._n_failures < _MAX_FAILURES:
            self._batches.popleft()
            self._batches.extendleft((batch[half:], batch[:half]))
        elif not half:
            self._end(batch[0], ForCpu(f"device {self._device.index} failed with it: {why}"))
            self._batches.popleft()
        return why

    def _batch(self, batch: list[_Request]) -> Batch:
        n_more = len(batch) - 1
        name = batch[0].record.name + (f" and {n_more} more" if n_more else "")
        return Batch(
            index=batch[0].record.index,
            name=f"{name} on device {self._device.index}",
            molecules=tuple(request.variants for request in batch),
        )
