"""Copies of a batch between host and device through page-locked memory of the host.

From ordinary memory a driver copies piece by piece and has the caller wait; from page-locked memory
the device copies by itself while the host goes on, also while it works in another stream.

A piece of page-locked memory must not be written again before the copy that reads it is over.
Therefore a room of it is used from its front to its back, its front only after the stream has been
waited for (`Copies._wait`, the one place), and it goes from one batch to the next only after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import cuda

from osong_kernels.cuda.compile import IS_SIMULATED

__all__ = ["LARGEST_ROOM", "Copies", "Driver", "Rooms", "copies_through"]

LARGEST_ROOM: Final = 64 * 2**20
"""Bytes. Of what is page-locked nobody else has anything; what needs more is copied without."""
_SMALLEST_ROOM: Final = 2**20
_ALIGNMENT: Final = 64

Bytes = npt.NDArray[np.uint8]


def _pinned(n_bytes: int) -> Bytes:
    found: Bytes = cuda.pinned_array(n_bytes, np.uint8)
    return found


def _driver_errors() -> tuple[type[Exception], ...]:
    from numba.cuda.cudadrv.error import CudaDriverError

    return (CudaDriverError, MemoryError)


@dataclass(frozen=True)
class Driver:
    """What copies need of a device; tests have another.

    Attributes
    ----------
    pinned
        Returns page-locked bytes of the host.
    array
        Returns an array on the device, of a shape and a type.
    refusals
        What ``pinned`` raises where there is no such memory.
    """

    pinned: Callable[[int], Bytes]
    array: Callable[[Any, Any], Any]
    refusals: tuple[type[Exception], ...]


class Rooms:
    """Page-locked rooms that no batch has at present: at most as many as batches at once."""

    def __init__(self) -> None:
        self._free: list[Bytes] = []
        self._lock = Lock()

    def take(self, n_bytes: int, driver: Driver) -> Bytes | None:
        """Return a room of at least a size; None if the host has none."""
        with self._lock:
            for k, room in enumerate(self._free):
                if len(room) >= n_bytes:
                    return self._free.pop(k)
            if self._free:
                self._free.pop()  # too small for what comes now; a larger one takes its place
        try:
            return driver.pinned(max(_SMALLEST_ROOM, 1 << (n_bytes - 1).bit_length()))
        except driver.refusals:
            return None

    def put(self, room: Bytes) -> None:
        """Take a room back that no copy reads or writes any more."""
        with self._lock:
            self._free.append(room)


class Copies:
    """Copies to and from a device in one stream, in the order in which they are asked for.

    Attributes
    ----------
    stream
        Of the device.
    """

    def __init__(self, stream: Any, driver: Driver, rooms: Rooms) -> None:
        self.stream, self._driver, self._rooms = stream, driver, rooms
        self._room: Bytes | None = None
        self._n_used = 0

    def send(self, *arrays: npt.NDArray[Any]) -> tuple[Any, ...]:
        """Return arrays on the device with the contents of those of the host, which are free."""
        held = tuple(self._driver.array(array.shape, array.dtype) for array in arrays)
        for pieces in self._groups(arrays):
            for k, piece in pieces:
                self._send_into(held[k], arrays[k], piece)
        return held

    def send_into(self, held: Any, array: npt.NDArray[Any]) -> None:
        """Overwrite an array of the device."""
        for pieces in self._groups((array,)):
            for _, piece in pieces:
                self._send_into(held, array, piece)

    def fetch(self, *held: Any) -> tuple[npt.NDArray[Any], ...]:
        """Return copies of arrays of the device, once all before them in the stream is done."""
        found = tuple(np.empty(array.shape, array.dtype) for array in held)
        for pieces in self._groups(found):
            for k, piece in pieces:
                held[k].copy_to_host(found[k] if piece is None else piece, stream=self.stream)
            self._wait()
            for k, piece in pieces:
                if piece is not None:
                    found[k][...] = piece
        return found

    def close(self) -> None:
        """Wait for the stream, and give the room to others."""
        self._wait()
        if self._room is not None:
            self._rooms.put(self._room)
            self._room = None

    def _send_into(
        self, held: Any, array: npt.NDArray[Any], piece: npt.NDArray[Any] | None
    ) -> None:
        if piece is None:
            held.copy_to_device(np.ascontiguousarray(array), stream=self.stream)
            self._wait()
            return
        piece[...] = array
        held.copy_to_device(piece, stream=self.stream)

    def _wait(self) -> None:
        """Wait for all copies; from then on the room is free from its front."""
        self.stream.synchronize()
        self._n_used = 0

    def _groups(
        self, arrays: tuple[npt.NDArray[Any], ...]
    ) -> Iterator[list[tuple[int, npt.NDArray[Any] | None]]]:
        """Yield numbers of arrays with a piece of the room each; None where it goes without.

        Those of one yield have room together; all arrays in one go where they fit.
        """
        sizes = [-(-array.nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays]
        numbers = [k for k, array in enumerate(arrays) if array.nbytes]
        together = sum(sizes) <= LARGEST_ROOM
        for group in [numbers] if together else [[k] for k in numbers]:
            place = self._place(sum(sizes[k] for k in group))
            pieces: list[tuple[int, npt.NDArray[Any] | None]] = []
            for k in group:
                pieces.append((k, None if place is None else self._view(place, arrays[k])))
                place = None if place is None else place + sizes[k]
            yield pieces

    def _view(self, place: int, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
        assert self._room is not None
        return self._room[place : place + like.nbytes].view(like.dtype).reshape(like.shape)

    def _place(self, n_bytes: int) -> int | None:
        """Return where in the room so many bytes are free; None if they never are."""
        if n_bytes > LARGEST_ROOM:
            return None
        if self._room is None or self._n_used + n_bytes > len(self._room):
            self._wait()
            if self._room is None or n_bytes > len(self._room):
                # the old room goes: nothing is copied from it any more
                self._room = self._rooms.take(n_bytes, self._driver)
            if self._room is None:
                return None
        place, self._n_used = self._n_used, self._n_used + n_bytes
        return place


class _NoCopies:
    """The simulator's: arrays stay where they are."""

    stream = 0

    def send(self, *arrays: npt.NDArray[Any]) -> tuple[Any, ...]:
        return arrays

    def send_into(self, held: Any, array: npt.NDArray[Any]) -> None:
        held[...] = array

    def fetch(self, *held: Any) -> tuple[npt.NDArray[Any], ...]:
        return tuple(np.asarray(array) for array in held)


_ROOMS: dict[int, Rooms] = {}


@contextmanager
def copies_through(stream: Any) -> Iterator[Copies | _NoCopies]:
    """Give a way to copy in a stream of the thread's device; all copies are over at the end.

    With the stream 0, in which the host waits for every copy, it is a new one.
    """
    if IS_SIMULATED:
        yield _NoCopies()
        return
    from osong_kernels.cuda.deallocations import guard

    context = cuda.current_context()
    guard(context)
    rooms = _ROOMS.setdefault(context.device.id, Rooms())
    copies = Copies(
        stream or cuda.stream(), Driver(_pinned, cuda.device_array, _driver_errors()), rooms
    )
    try:
        yield copies
    finally:
        copies.close()
