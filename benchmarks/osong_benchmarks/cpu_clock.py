"""CPU seconds of this process, its threads and its finished children."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import TypeVar

__all__ = ["cpu_seconds", "timed"]

T = TypeVar("T")


def cpu_seconds() -> float:
    """Return the CPU time so far; its resolution is that of the kernel's accounting, 1 us."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total


def timed(into: dict[str, float], stage: str, work: Callable[[], T]) -> T:
    """Do the work and add its CPU seconds to a stage."""
    started = cpu_seconds()
    value = work()
    into[stage] = round(into.get(stage, 0.0) + cpu_seconds() - started, 4)
    return value
