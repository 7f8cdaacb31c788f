"""`DevicePool`: batches go to whichever device is free, and answers come back in their order."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Final, Generic, TypeVar

from osong.backend import Device
from osong.errors import MissingExtraError, ResourceError

__all__ = ["DevicePool"]

_Batch = TypeVar("_Batch")
_Answers = TypeVar("_Answers")

_AHEAD: Final = 2
"""Batches for each device that are taken and not answered yet: one that is searched, and one that
waits, or has its answers and waits for those of a slower device."""


class DevicePool(Generic[_Batch, _Answers]):
    """Searches batches with several devices, a thread for each.

    A device begins when there is a batch for it: one molecule needs one device. A device that fails
    is given up, and its batch goes to another one. Devices are threads of one process, so what a
    session does in Python takes turns; campaigns have a process for each.

    Parameters
    ----------
    devices
        Which ones.
    open_session
        Gets a device ready in its thread; returns what searches a batch there.
    tell
        Takes one line on a device that is given up while others go on.
    """

    def __init__(
        self,
        devices: tuple[Device, ...],
        open_session: Callable[[Device], Callable[[_Batch], _Answers]],
        tell: Callable[[str], None],
    ) -> None:
        self._threads = [_DeviceThread(device, open_session) for device in devices]
        self._idle = deque(self._threads)
        self._tell = tell
        self._running: dict[Future[_Answers], tuple[int, _DeviceThread[_Batch, _Answers]]] = {}
        self._batches: dict[int, _Batch] = {}
        self._waiting: list[int] = []
        self._answers: dict[int, _Answers] = {}
        self._n_taken = self._n_given = 0
        self.error: MissingExtraError | ResourceError | None = None

    def search(self, batches: Iterator[_Batch]) -> Generator[tuple[_Batch, _Answers], None, None]:
        """Yield batches with their answers, until there are no more or no device is left.

        In the latter case ``error`` is that of the last one, and `left` has what was taken.
        """
        try:
            while True:
                self._hand_out(batches)
                if self._n_given in self._answers:
                    number = self._n_given
                    self._n_given += 1
                    yield self._batches.pop(number), self._answers.pop(number)
                elif self._running:
                    self._collect()
                else:
                    return
        finally:
            for thread in self._threads:
                thread.close()

    def left(self) -> Iterator[tuple[_Batch, _Answers | None]]:
        """Yield the batches that were taken and not given back, in their order.

        Some may have their answers: a device that was faster had them.
        """
        for number in sorted(self._batches):
            yield self._batches.pop(number), self._answers.pop(number, None)

    def _hand_out(self, batches: Iterator[_Batch]) -> None:
        """Give idle devices work, and have the next batch ready before one of them asks."""
        while self._idle and (self._waiting or self._take(batches)):
            thread = self._idle.popleft()
            number = heapq.heappop(self._waiting)
            self._running[thread.submit(self._batches[number])] = number, thread
        if self._running and not self._waiting:
            self._take(batches)

    def _take(self, batches: Iterator[_Batch]) -> bool:
        """Take a batch; return whether there was one, and room for it."""
        if self._n_taken - self._n_given >= _AHEAD * len(self._threads):
            return False
        for batch in batches:
            self._batches[self._n_taken] = batch
            heapq.heappush(self._waiting, self._n_taken)
            self._n_taken += 1
            return True
        return False

    def _collect(self) -> None:
        """Wait for a device; take its answers, or give it up."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        for future in done:
            number, thread = self._running.pop(future)
            try:
                self._answers[number] = future.result()
            except (MissingExtraError, ResourceError) as error:
                heapq.heappush(self._waiting, number)
                self._give_up(thread, error)
            else:
                self._idle.append(thread)

    def _give_up(
        self, thread: _DeviceThread[_Batch, _Answers], error: MissingExtraError | ResourceError
    ) -> None:
        thread.close()
        self._threads.remove(thread)
        if not self._threads:
            self.error = error
            return
        device, reason = thread.device, " ".join(str(error).split())
        self._tell(f"device {device.index} ({device.name}) is given up: {reason}; the others go on")


class _DeviceThread(Generic[_Batch, _Answers]):
    """One device and the thread that has its context."""

    def __init__(
        self, device: Device, open_session: Callable[[Device], Callable[[_Batch], _Answers]]
    ) -> None:
        self.device = device
        self._open = open_session
        self._session: Callable[[_Batch], _Answers] | None = None
        self._pool = ThreadPoolExecutor(1, f"osong-device-{device.index}")

    def submit(self, batch: _Batch) -> Future[Any]:
        """Have a batch searched."""
        return self._pool.submit(self._search, batch)

    def close(self) -> None:
        """End the thread when what it does is done."""
        self._pool.shutdown(cancel_futures=True)
        self._session = None

    def _search(self, batch: _Batch) -> _Answers:
        if self._session is None:
            self._session = self._open(self.device)
        return self._session(batch)
