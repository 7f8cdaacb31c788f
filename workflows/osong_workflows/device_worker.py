"""`DeviceWorker`: keeps one device in work, and halves what fails there."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from osong.errors import OsongError
from osong_workflows.device_docking import Batch, ForCpu, Searched
from osong_workflows.outcome import FailedMolecule, Outcome
from osong_workflows.supervisor import Supervisor

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from osong.backend import Device
    from osong.library import Record
    from osong.ligands import PreparedLigand

__all__ = ["MAX_BATCH", "Answer", "DeviceWorker", "Request"]

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


@dataclass(frozen=True, eq=False)
class Request:
    """A molecule that waits for a device."""

    record: Record
    variants: tuple[PreparedLigand, ...]
    future: Future[Answer] = field(default_factory=Future)


class DeviceWorker:
    """Keeps one device in work, and halves what fails there.

    Parameters
    ----------
    supervisor
        Of the device's process.
    device
        For messages.
    take
        Returns molecules that wait, so many at most.
    take_ahead
        The same if they are worth a batch while another is searched; waits for none.
    end
        Takes an answer.
    stop
        Set from elsewhere when the run is to end early.
    """

    def __init__(
        self,
        supervisor: Supervisor[tuple[Searched, ...]],
        device: Device,
        take: Callable[[int], list[Request]],
        take_ahead: Callable[[int], list[Request]],
        end: Callable[[Request, Searched], None],
        stop: threading.Event,
    ) -> None:
        self._supervisor = supervisor
        self._device = device
        self._take = take
        self._take_ahead = take_ahead
        self._end = end
        self._stop = stop
        self._batches: deque[list[Request]] = deque()
        self._limit = MAX_BATCH
        self._ceiling = MAX_BATCH
        self._n_failures = 0
        self._is_careful = False
        self._ahead: tuple[list[Request], Batch] | None = None
        self.has_worked = False

    @property
    def pending(self) -> list[Request]:
        """Molecules that were taken and have no answer."""
        return [
            request for batch in self._batches for request in batch if not request.future.done()
        ]

    def hold(self, requests: list[Request]) -> None:
        """Keep molecules until they have an answer."""
        self._batches.append(requests)

    def release(self) -> list[Request]:
        """Return what is pending, and forget it."""
        left = self.pending
        self._batches.clear()
        return left

    def run(self) -> str:
        """Search until the run is stopped; return why the device is of no use any more."""
        while not self._stop.is_set():
            if not self._batches:
                self._is_careful = False
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

    def _first(self) -> list[Request]:
        """Return the first batch, cut to the size that is known to fit."""
        batch = self._batches[0]
        if len(batch) > self._ceiling:
            self._batches[0] = batch[self._ceiling :]
            self._batches.appendleft(batch[: self._ceiling])
        return self._batches[0]

    def _search(self, batch: list[Request]) -> str:
        """Search the first batch; return what went wrong, "" where nothing did."""
        try:
            answer = self._supervisor.dock(self._sent(batch), self._next)
        except OsongError as error:
            if self._stop.is_set():
                return ""
            return self._fail(batch, str(error), is_too_much=True)
        if isinstance(answer, FailedMolecule):
            if self._stop.is_set():
                return ""
            is_late = answer.stage == "time"
            self._n_failures += is_late * (_FAILURES_OF_TIME - 1)
            return self._fail(batch, answer.reason, is_too_much=is_late)
        if len(answer) != len(batch):
            return self._fail(batch, f"{len(answer)} answers to {len(batch)} molecules")
        self._n_failures = 0
        self.has_worked = True
        self._limit = min(2 * self._limit, self._ceiling)
        for request, searched in zip(batch, answer, strict=True):
            self._end(request, searched)
        self._batches.popleft()
        return ""

    def _fail(self, batch: list[Request], why: str, *, is_too_much: bool = False) -> str:
        """Halve the first batch, or leave its one molecule to the CPU.

        Batches become no larger than half of one that was too much for memory or time.
        """
        # Whatever the process was doing or getting ready: the next one begins anew.
        self._supervisor.close()
        self._n_failures += 1
        # Until all that is here has an answer, nothing else is at the device when something fails.
        self._is_careful, self._ahead = True, None
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

    def _next(self) -> Batch | None:
        """Return the batch that the device may get ready while it searches the first one."""
        if self._is_careful or len(self._batches) > 1:
            return None
        taken = self._take_ahead(self._limit)
        if not taken:
            return None
        self.hold(taken)
        self._ahead = taken, self._batch(taken)
        return self._ahead[1]

    def _sent(self, batch: list[Request]) -> Batch:
        """Return what is sent of a batch, or was while another was searched."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead is not None and ahead[0] is batch else self._batch(batch)

    def _batch(self, batch: list[Request]) -> Batch:
        n_more = len(batch) - 1
        name = batch[0].record.name + (f" and {n_more} more" if n_more else "")
        return Batch(
            index=batch[0].record.index,
            name=f"{name} on device {self._device.index}",
            molecules=tuple(request.variants for request in batch),
        )
