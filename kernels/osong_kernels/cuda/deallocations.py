"""Numba's queues of device memory to be given back, made safe for several threads.

An array that is no longer needed only joins a queue; who makes the queue too long empties it. Numba
does that by looking whether there is an entry and then taking it, and while the driver frees one,
other threads run: of two that empty a queue at once, one takes from a queue that has become empty,
and an IndexError ends its search (numba-cuda 0.30.4; ``tests/kernels/test_cuda_deallocations.py``
fails when it no longer does, and then this module may go).
"""

from __future__ import annotations

from threading import RLock
from typing import Any

from osong_kernels.cuda.compile import IS_SIMULATED

if not IS_SIMULATED:
    from numba.cuda.cudadrv.driver import _PendingDeallocs
else:  # nothing is given back
    _PendingDeallocs = object

__all__ = ["give_back", "guard"]

# A destructor may free further arrays, whose memory joins the queue: by the same thread.
_LOCK = RLock()


class _Guarded(_PendingDeallocs):
    """A queue that one thread at a time adds to and empties."""

    def add_item(self, *args: Any, **kws: Any) -> None:
        with _LOCK:
            super().add_item(*args, **kws)

    def clear(self) -> None:
        with _LOCK:
            super().clear()


def guard(context: Any) -> None:
    """Make the queues of a device's context safe for threads; does nothing where they are.

    Arrays know their queue, so it is not replaced but becomes one of another class.
    """
    with _LOCK:
        for queue in (context.deallocations, context.memory_manager.deallocations):
            if type(queue) is _PendingDeallocs:
                queue.__class__ = _Guarded


def give_back(context: Any) -> None:
    """Give back the memory of all arrays that are no longer needed, and what else waits."""
    guard(context)
    context.deallocations.clear()
    context.memory_manager.deallocations.clear()
