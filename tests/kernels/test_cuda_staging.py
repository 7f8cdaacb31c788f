"""Copies through page-locked memory, against a stream that copies as late as it may."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_backends import HAS_NUMBA_CUDA, IS_SIMULATED

if not HAS_NUMBA_CUDA:
    pytest.skip("needs osong[cuda]", allow_module_level=True)

from osong_kernels.cuda import staging
from osong_kernels.cuda.staging import Copies, Driver, Rooms


class LateStream:
    """Does nothing of what is asked for before somebody waits, and knows what is under way."""

    def __init__(self) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.n_waits = 0

    def synchronize(self) -> None:
        self.n_waits += 1
        for task in self.tasks:
            task()
        self.tasks.clear()


class FakeArray:
    """An array of a device that a stream copies to and from."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.content = np.full(shape, 77, dtype)
        self.shape, self.dtype = self.content.shape, self.content.dtype

    def copy_to_device(self, source: npt.NDArray[Any], stream: LateStream) -> None:
        assert source.flags.c_contiguous
        assert source.dtype == self.dtype
        assert source.shape == self.shape
        stream.tasks.append(lambda: np.copyto(self.content, source))

    def copy_to_host(self, target: npt.NDArray[Any], stream: LateStream) -> None:
        assert target.dtype == self.dtype
        stream.tasks.append(lambda: np.copyto(target, self.content))


class NoMemoryError(Exception):
    """What this driver says where nothing can be page-locked."""


class Host:
    """Page-locked memory, counted."""

    def __init__(self, limit: int = 1 << 40) -> None:
        self.rooms: list[npt.NDArray[np.uint8]] = []
        self.limit = limit

    def pinned(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if n_bytes > self.limit:
            raise NoMemoryError
        self.rooms.append(np.zeros(n_bytes, np.uint8))
        return self.rooms[-1]

    def driver(self) -> Driver:
        return Driver(self.pinned, FakeArray, (NoMemoryError,))


def some(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    return rng.random(n, np.float32)


@pytest.fixture(autouse=True)
def small_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_SMALLEST_ROOM", 256)
    monkeypatch.setattr(staging, "LARGEST_ROOM", 4096)


@pytest.mark.parametrize("limit", [1 << 40, 0], ids=["page-locked", "refused"])
@pytest.mark.parametrize("seed", range(6))
def test_every_copy_has_what_was_asked_for(seed: int, limit: int) -> None:
    """Whatever is sent and fetched in between; arrays of the host are overwritten at once."""
    rng = np.random.default_rng(seed)
    stream, host = LateStream(), Host(limit)
    copies = Copies(stream, host.driver(), Rooms())
    there: list[tuple[Any, npt.NDArray[Any]]] = []
    for _ in range(60):
        kind = rng.integers(3)
        if kind == 0:
            arrays = [some(rng, rng.integers(0, 700)) for _ in range(rng.integers(1, 5))]
            arrays[0] = arrays[0].astype(np.int64)[::-1]
            held = copies.send(*arrays)
            there += [(a, b.copy()) for a, b in zip(held, arrays, strict=True)]
            for array in arrays:
                array[...] = -1
        elif kind == 1 and there:
            array, content = there[rng.integers(len(there))]
            content[...] = rng.integers(0, 9, len(content))
            copies.send_into(array, content)
        elif there:
            chosen = [there[k] for k in rng.integers(0, len(there), rng.integers(1, 4))]
            found = copies.fetch(*(array for array, _ in chosen))
            for one, (_, content) in zip(found, chosen, strict=True):
                np.testing.assert_array_equal(one, content)
                assert not any(np.shares_memory(one, room) for room in host.rooms)
    copies.close()
    assert not stream.tasks
    for array, content in there:
        np.testing.assert_array_equal(array.content, content)
    assert all(len(room) <= 4096 for room in host.rooms)
    assert bool(host.rooms) == (limit > 0)


def test_what_fits_is_sent_without_waiting() -> None:
    stream, host = LateStream(), Host()
    copies = Copies(stream, host.driver(), Rooms())
    copies.send(*(np.ones(10, np.float32) for _ in range(8)))
    n_waits = stream.n_waits
    copies.send(np.ones(0, np.float32), np.ones((0, 4), np.int32))
    assert len(stream.tasks) == 8
    assert stream.n_waits == n_waits
    copies.close()


def test_a_room_goes_on_to_the_next_batch_once_its_copies_are_over() -> None:
    rooms, host = Rooms(), Host()
    first, second, third = (LateStream() for _ in range(3))
    one = Copies(first, host.driver(), rooms)
    (sent,) = one.send(np.full(10, 3.0, np.float32))
    other = Copies(second, host.driver(), rooms)
    other.send(np.full(10, 4.0, np.float32))
    assert len(host.rooms) == 2  # the first is not over
    one.close()
    assert not first.tasks
    assert (sent.content == 3.0).all()
    Copies(third, host.driver(), rooms).send(np.full(10, 5.0, np.float32))
    assert len(host.rooms) == 2
    assert (sent.content == 3.0).all()


def test_a_room_whose_copies_may_not_be_over_goes_to_nobody() -> None:
    class BrokenStream(LateStream):
        def synchronize(self) -> None:
            if self.tasks:
                raise OSError("the device has failed")

    rooms, host = Rooms(), Host()
    broken = Copies(BrokenStream(), host.driver(), rooms)
    broken.send(np.ones(10, np.float32))
    with pytest.raises(OSError, match="failed"):
        broken.close()
    Copies(LateStream(), host.driver(), rooms).send(np.ones(10, np.float32))
    assert len(host.rooms) == 2


def test_rooms_grow_and_small_ones_are_not_kept() -> None:
    rooms, host = Rooms(), Host()
    for n in (100, 100, 900, 100):
        copies = Copies(LateStream(), host.driver(), rooms)
        copies.send(np.ones(n, np.uint8))
        copies.close()
    assert [len(room) for room in host.rooms] == [256, 1024]


@pytest.mark.skipif(IS_SIMULATED, reason="the simulator has other arrays")
def test_numbas_arrays_are_copied_from_the_room_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba may make a copy first, which would be gone before the device has read it."""
    from numba.cuda.cudadrv import devicearray, devices, driver

    class Memory(driver.MemoryPointer):  # type: ignore[misc, unused-ignore]
        def __init__(self, content: npt.NDArray[np.uint8]) -> None:
            self.content, self._cuda_memsize_ = content, len(content)

        def view(self, start: int, stop: int | None = None) -> Memory:
            return Memory(self.content[start:stop])

    def array(shape: Any, dtype: Any) -> Any:
        like = np.empty(shape, dtype)
        memory = Memory(np.zeros(like.nbytes, np.uint8))
        return devicearray.DeviceNDArray(shape, like.strides, like.dtype, gpu_data=memory)

    def copy(target: Any, source: Any, size: int, stream: Any) -> None:
        on_host = source if isinstance(source, np.ndarray) else target
        assert np.shares_memory(on_host, host.rooms[0])
        assert stream is one_stream
        a, b = (
            x.reshape(-1).view(np.uint8) if isinstance(x, np.ndarray) else x.gpu_data.content
            for x in (target, source)
        )
        a[:size] = b[:size]

    monkeypatch.setattr(driver, "host_to_device", copy)
    monkeypatch.setattr(driver, "device_to_host", copy)
    monkeypatch.setattr(devices._runtime, "ensure_context", nullcontext)
    host, one_stream = Host(), LateStream()
    copies = Copies(one_stream, Driver(host.pinned, array, ()), Rooms())
    arrays = [
        np.arange(5, dtype=np.int32), np.ones((3, 4), np.float32), np.ones((1, 3), np.float32),
        np.arange(7, dtype=np.uint64)[::-1],
    ]  # fmt: skip
    arrays[0].flags.writeable = False
    held = copies.send(*arrays)
    copies.send_into(held[0][:2], np.array([8, 9], np.int32))
    found = copies.fetch(*held)
    np.testing.assert_array_equal(found[0], [8, 9, 2, 3, 4])
    for one, sent in zip(found[1:], arrays[1:], strict=True):
        np.testing.assert_array_equal(one, sent)
