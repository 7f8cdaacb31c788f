"""What memory a run may give to each of its processes."""

from __future__ import annotations

from typing import Final

from osong.errors import ResourceError
from osong_workflows.allocation import allocated_cores, allocated_memory

__all__ = ["affordable_workers", "share_of_memory"]

_OWN_MEMORY: Final = 512 * 2**20
"""What this process keeps for itself of the memory of the job."""


def affordable_workers(bytes_per_worker: int) -> int:
    """Return as many workers as there are cores, fewer where memory would not suffice.

    Raises
    ------
    ResourceError
        Not even one fits.
    """
    by_memory = (allocated_memory() - _OWN_MEMORY) // bytes_per_worker
    if by_memory < 1:
        raise ResourceError(
            f"one worker needs about {(bytes_per_worker + _OWN_MEMORY) / 2**30:.1f} GiB of memory "
            f"and this job may use {allocated_memory() / 2**30:.1f} GiB: take a smaller box or a "
            "bigger machine, or say workers=1 (--workers 1) to try all the same"
        )
    return min(allocated_cores(), by_memory)


def share_of_memory(workers: int) -> int:
    """Return the bytes that each of some docking processes may hold."""
    return int(max(allocated_memory() - _OWN_MEMORY, _OWN_MEMORY) * 0.95) // workers
