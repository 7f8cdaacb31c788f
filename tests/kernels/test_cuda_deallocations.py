"""Device memory is given back by two threads at once without harm."""

from __future__ import annotations

import logging
from collections import deque
from threading import Barrier, BrokenBarrierError, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from kernel_backends import HAS_NUMBA_CUDA, IS_SIMULATED

pytestmark = pytest.mark.skipif(
    not HAS_NUMBA_CUDA or IS_SIMULATED, reason="needs osong[cuda]; the simulator frees nothing"
)


class _Meeting(deque[Any]):
    """Has two threads that look whether it is empty see it before either takes anything."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = Barrier(2)

    def __len__(self) -> int:
        found = super().__len__()
        try:
            self.barrier.wait(0.3)
        except BrokenBarrierError:
            self.barrier.reset()
        return found


def _cleared_by_two(context: Any, *, is_guarded: bool) -> tuple[list[int], list[Exception]]:
    """Return what was freed of one entry, and what two threads met that gave it back."""
    from osong_kernels.cuda.deallocations import guard

    queue = context.memory_manager.deallocations
    freed: list[int] = []
    errors: list[Exception] = []
    if is_guarded:
        guard(context)
    queue._cons.append((freed.append, 5, 0))

    def clear() -> None:
        try:
            queue.clear()
        except IndexError as error:
            errors.append(error)

    queue._cons, plain = _Meeting(), queue._cons
    queue._cons.extend(plain)
    threads = [Thread(target=clear) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return freed, errors


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device's context as far as its queues go."""
    from numba.cuda.cudadrv import driver

    # there from a device's first use on
    monkeypatch.setattr(driver, "_logger", logging.getLogger(__name__), raising=False)
    return SimpleNamespace(
        deallocations=driver._PendingDeallocs(1000),
        memory_manager=SimpleNamespace(deallocations=driver._PendingDeallocs(1000)),
    )


def test_two_threads_give_back_together(context: Any) -> None:
    assert _cleared_by_two(context, is_guarded=True) == ([5], [])


def test_numba_alone_needs_the_guard(context: Any) -> None:
    """Should this fail, Numba has learnt it, and the guard may go."""
    freed, errors = _cleared_by_two(context, is_guarded=False)
    assert freed == [5]
    assert len(errors) == 1


def test_all_that_waits_is_given_back(context: Any) -> None:
    """By both queues, and also where freeing one thing frees another."""
    from osong_kernels.cuda.deallocations import give_back

    freed: list[int] = []
    memory = context.memory_manager.deallocations

    def free(number: int) -> None:
        freed.append(number)
        if number < 3:
            memory.add_item(free, number + 1, 10)

    memory.add_item(free, 1, 10)
    context.deallocations.add_item(free, 9, 10)
    give_back(context)
    assert sorted(freed) == [1, 2, 3, 9]
    assert len(memory) == len(context.deallocations) == 0
    give_back(context)
    assert len(freed) == 4
