"""What the lanes of a warp do together: sums and votes, in a fixed order.

A warp is one search chain; its lanes share the chain's atoms, pairs and matrix elements. Numba's
simulator knows no warps: there, a block is one warp of `LANES` threads, lanes meet at the block's
barrier, and sums go through a few numbers of shared memory. ``scratch``, at least `LANES` numbers of
float32 that belong to the warp, is for that; on a device nothing touches it.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from numba import cuda

from osong_kernels.cuda.compile import IS_SIMULATED, device

__all__ = ["LANES", "lane_of_thread", "warp_first", "warp_max", "warp_of_thread", "warp_sum", "warp_sync"]

LANES: Final = int(os.environ.get("OSONG_SIMULATED_LANES", "8")) if IS_SIMULATED else 32
"""Threads of a warp. Simulated ones are slow, so there are fewer unless the environment says so."""

if IS_SIMULATED:

    def warp_sync() -> None:
        """Wait for all lanes; what they wrote to shared memory can be read."""
        cuda.syncthreads()

    def lane_of_thread() -> Any:
        """Return the number of this lane."""
        return cuda.threadIdx.x

    def warp_of_thread() -> Any:
        """Return the number of this warp in its block."""
        return 0

    def warp_sum(value: Any, scratch: Any) -> Any:
        """Return the sum over all lanes, to all of them."""
        cuda.syncthreads()
        scratch[cuda.threadIdx.x] = value
        cuda.syncthreads()
        total = np.float32(0.0)
        for lane in range(LANES):
            total += scratch[lane]
        cuda.syncthreads()
        return total

    def warp_max(value: Any, scratch: Any) -> Any:
        """Return the largest value of all lanes, to all of them."""
        cuda.syncthreads()
        scratch[cuda.threadIdx.x] = value
        cuda.syncthreads()
        largest = max(scratch[lane] for lane in range(LANES))
        cuda.syncthreads()
        return largest

    def warp_first(value: Any, scratch: Any) -> Any:
        """Return the first lane's value to all lanes."""
        cuda.syncthreads()
        scratch[cuda.threadIdx.x] = value
        cuda.syncthreads()
        first = scratch[0]
        cuda.syncthreads()
        return first

else:
    _ALL = 0xFFFFFFFF

    @device
    def warp_sync() -> None:
        """Wait for all lanes; what they wrote to shared memory can be read."""
        cuda.syncwarp()

    @device
    def lane_of_thread() -> Any:
        """Return the number of this lane."""
        return np.int32(cuda.threadIdx.x & 31)

    @device
    def warp_of_thread() -> Any:
        """Return the number of this warp in its block."""
        return np.int32(cuda.threadIdx.x >> 5)

    @device
    def warp_sum(value: Any, scratch: Any) -> Any:
        """Return the sum over all lanes, to all of them."""
        value += cuda.shfl_xor_sync(_ALL, value, 16)
        value += cuda.shfl_xor_sync(_ALL, value, 8)
        value += cuda.shfl_xor_sync(_ALL, value, 4)
        value += cuda.shfl_xor_sync(_ALL, value, 2)
        value += cuda.shfl_xor_sync(_ALL, value, 1)
        return value

    @device
    def warp_max(value: Any, scratch: Any) -> Any:
        """Return the largest value of all lanes, to all of them."""
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 16))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 8))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 4))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 2))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 1))
        return value

    @device
    def warp_first(value: Any, scratch: Any) -> Any:
        """Return the first lane's value to all lanes."""
        return cuda.shfl_sync(_ALL, value, 0)
