"""Several devices that are made up: who searches what, in which order answers come, who takes over.

A device adds 100 to each number of a batch; those it waits for, and fails at, the tests decide.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from osong.backend import Device
from osong.errors import InputError, MissingExtraError, ResourceError
from osong.search.device_pool import DevicePool

DEVICES = tuple(Device(i, "Fake", 2**30, (9, 0)) for i in range(3))
TIME_LIMIT_S = 30.0
Batch = list[int]


class Bench:
    """Notes what devices do."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.searched: list[tuple[int, int]] = []
        self.threads: dict[int, set[str]] = {}
        self.told: list[str] = []
        self.before: Callable[[int, int], None] = lambda device, number: None
        self._lock = threading.Lock()

    def open(self, device: Device) -> Callable[[Batch], Batch]:
        with self._lock:
            self.opened.append(device.index)
        self.before(device.index, -1)

        def search(batch: Batch) -> Batch:
            name = threading.current_thread().name
            with self._lock:
                self.searched.append((device.index, batch[0]))
                self.threads.setdefault(device.index, set()).add(name)
            self.before(device.index, batch[0])
            return [number + 100 for number in batch]

        return search

    def pool(self, n_devices: int) -> DevicePool[Batch, Batch]:
        return DevicePool(DEVICES[:n_devices], self.open, self.told.append)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def batches(n: int) -> Iterator[Batch]:
    return ([number] for number in range(n))


def answers(n: int) -> list[tuple[Batch, Batch]]:
    return [([number], [number + 100]) for number in range(n)]


def test_all_devices_work_at_once_each_in_a_thread_of_its_own(bench: Bench) -> None:
    meeting = threading.Barrier(3)
    bench.before = lambda device, number: number in (0, 1, 2) and meeting.wait(TIME_LIMIT_S)
    assert list(bench.pool(3).search(batches(20))) == answers(20)
    assert sorted(bench.opened) == [0, 1, 2]
    assert sorted(number for _, number in bench.searched) == list(range(20))
    assert all(len(names) == 1 for names in bench.threads.values())
    assert len(set.union(*bench.threads.values())) == 3
    assert bench.told == []


def test_answers_come_in_order_and_few_batches_are_taken(bench: Bench) -> None:
    taken = itertools.count()
    may_end = threading.Event()
    bench.before = lambda device, number: number == 0 and may_end.wait(TIME_LIMIT_S)

    def library() -> Iterator[Batch]:
        for number in range(20):
            # The first one waits until no more are taken than there is room for.
            if next(taken) == 5:
                may_end.set()
            yield [number]

    pool = bench.pool(3)
    searching = pool.search(library())
    assert next(searching) == ([0], [100])
    assert next(taken) <= 7, "two for each device"
    assert list(searching) == answers(20)[1:]


def test_one_batch_needs_one_device(bench: Bench) -> None:
    assert list(bench.pool(3).search(batches(1))) == answers(1)
    assert bench.opened == [0]


def test_nothing_needs_none(bench: Bench) -> None:
    assert list(bench.pool(3).search(batches(0))) == []
    assert bench.opened == []


def test_a_batch_of_a_device_that_fails_is_done_by_another(bench: Bench) -> None:
    def fail(device: int, number: int) -> None:
        if device == 1 and number >= 0:
            raise ResourceError("fell off\n  the bus")

    bench.before = fail
    pool = bench.pool(3)
    assert list(pool.search(batches(20))) == answers(20)
    assert pool.error is None
    assert bench.told == ["device 1 (Fake) is given up: fell off the bus; the others go on"]
    assert sum(device == 1 for device, _ in bench.searched) == 1


def test_after_the_last_device_what_is_left_comes_with_the_answers_that_there_are(
    bench: Bench,
) -> None:
    """Device 1 does batch 1 and fails at its next; device 0 fails at batch 0 after that."""
    is_alone = threading.Event()

    def fail(device: int, number: int) -> None:
        if device == 0:
            is_alone.wait(TIME_LIMIT_S)
            raise ResourceError("out of memory")
        if number > 1:
            is_alone.set()
            raise ResourceError("lost")

    bench.before = fail
    pool = bench.pool(2)
    rest = batches(20)
    assert list(pool.search(rest)) == []
    assert str(pool.error) in ("out of memory", "lost"), "whichever came last"
    assert len(bench.told) == 1
    left = list(pool.left())
    assert left[:2] == [([0], None), ([1], [101])]
    assert [batch for batch, _ in left] + list(rest) == [[number] for number in range(20)]
    assert list(pool.left()) == []


@pytest.mark.parametrize(
    "error", [ResourceError("busy"), MissingExtraError("x", extra="y", purpose="z")]
)
def test_a_device_that_cannot_be_opened_has_failed(
    bench: Bench, error: ResourceError | MissingExtraError
) -> None:
    def refuse(device: int, number: int) -> None:
        raise error

    bench.before = refuse
    pool = bench.pool(1)
    assert list(pool.search(batches(3))) == []
    assert pool.error is error
    assert bench.told == []


def test_what_was_found_before_comes_before_the_end(bench: Bench) -> None:
    def fail(device: int, number: int) -> None:
        if number == 4:
            raise ResourceError("lost")

    bench.before = fail
    pool = bench.pool(1)
    assert list(pool.search(batches(9))) == answers(4)
    assert pool.error is not None


def test_an_error_that_is_no_device_s_is_raised_and_threads_end(bench: Bench) -> None:
    def fail(device: int, number: int) -> None:
        if number == 3:
            raise InputError("no such scoring")

    bench.before = fail
    before = threading.active_count()
    with pytest.raises(InputError, match="no such scoring"):
        list(bench.pool(3).search(batches(9)))
    assert threading.active_count() == before


def test_who_stops_asking_stops_the_devices(bench: Bench) -> None:
    before = threading.active_count()
    searching = bench.pool(3).search(batches(1000))
    assert next(searching) == ([0], [100])
    searching.close()
    assert threading.active_count() == before
    assert len(bench.searched) < 20


def test_reading_goes_on_while_devices_search(bench: Bench) -> None:
    is_read = threading.Event()
    bench.before = lambda device, number: number == 0 and is_read.wait(TIME_LIMIT_S)

    def library() -> Iterator[Batch]:
        yield [0]
        is_read.set()
        yield [1]

    assert list(bench.pool(1).search(library())) == answers(2)
    assert is_read.is_set()
