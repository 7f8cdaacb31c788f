"""Timing of kernel calls: CPU seconds, the smallest of many."""

from __future__ import annotations

import time

from osong_benchmarks.cases import Call, kernel_function

__all__ = ["smallest_call_s"]

_MIN_CALLS = 3
_MAX_CALLS = 10_000


def smallest_call_s(call: Call, seconds: float) -> float:
    """Return the CPU seconds of a call, the smallest of as many as ``seconds`` allow (3 or more).

    The first is not counted, since it may compile. Every call gets fresh copies of what the kernel
    changes, made outside of the clock.
    """
    function = kernel_function(call.kernel)
    function(*call.fresh())
    smallest, total = float("inf"), 0.0
    for n_calls in range(_MAX_CALLS):
        arguments = call.fresh()
        started = time.process_time()
        function(*arguments)
        taken = time.process_time() - started
        smallest = min(smallest, taken)
        total += taken
        if total > seconds and n_calls + 1 >= _MIN_CALLS:
            break
    return smallest
