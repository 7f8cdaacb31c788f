"""What all threads of a block do together, in a fixed order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from osong_kernels.cuda.compile import IS_SIMULATED, device
from osong_kernels.cuda.warp import (
    block_sync,
    block_threads,
    lane_index,
    thread_index,
    warp_index,
)

__all__ = ["MAX_WARPS", "block_any", "block_place"]

MAX_WARPS = 32
"""No block has more warps."""

if IS_SIMULATED:
    from numba.cuda.simulator.kernel import _get_kernel_context as _context

    def block_any(is_so: Any) -> Any:
        """Return whether it is so for any thread of the block, to all of them; a barrier."""
        return _context().syncthreads_or(is_so) != 0

    def block_place(is_counted: Any, counts: Any) -> Any:
        """Return how many threads before this one, and how many of all, are counted; a barrier.

        ``counts``, `MAX_WARPS` integers of shared memory, is scratch.
        """
        thread = thread_index()
        block_sync()
        counts[thread] = is_counted
        block_sync()
        before, total = counts[:thread].sum(), counts[: block_threads()].sum()
        block_sync()
        return before, total

else:
    _ALL = 0xFFFFFFFF

    @device
    def block_any(is_so: Any) -> Any:
        """Return whether it is so for any thread of the block, to all of them; a barrier."""
        return cuda.syncthreads_or(np.int32(is_so)) != 0

    @device
    def block_place(is_counted: Any, counts: Any) -> Any:
        """Return how many threads before this one, and how many of all, are counted; a barrier.

        ``counts``, `MAX_WARPS` integers of shared memory, is scratch.
        """
        votes = np.uint32(cuda.ballot_sync(_ALL, is_counted))
        below = (np.uint32(1) << np.uint32(lane_index())) - np.uint32(1)
        before = np.int32(cuda.popc(votes & below))
        warp = warp_index()
        if lane_index() == 0:
            counts[warp] = np.int32(cuda.popc(votes))
        block_sync()
        total = np.int32(0)
        for w in range(np.int32(block_threads() >> np.int32(5))):
            n = counts[w]
            if w < warp:
                before += n
            total += n
        block_sync()
        return before, total
