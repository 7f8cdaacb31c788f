"""What the threads of a warp do together, in a fixed order; and what else device functions need.

A warp is one search chain; its lanes share the chain's atoms, pairs and matrix elements. Numba's
simulator knows no warps: there, a block is one warp of `LANES` threads, lanes meet at the block's
barrier, and sums go through a few numbers of shared memory. ``scratch``, at least `LANES` numbers
of float32 that belong to the warp, is for that; on a device nothing touches it.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from numba import cuda

from osong_kernels.cuda.compile import IS_SIMULATED, device

__all__ = [
    "LANES",
    "add_integer",
    "alike",
    "at",
    "block_index",
    "block_sync",
    "block_threads",
    "lane_index",
    "lowest_bit",
    "sum_of_eight",
    "thread_index",
    "warp_index",
    "warp_max",
    "warp_min",
    "warp_sum",
    "warp_sync",
    "wide",
]

LANES: Final = int(os.environ.get("OSONG_SIMULATED_LANES", "8")) if IS_SIMULATED else 32
"""Threads of a warp. Simulated ones are slow, so there are fewer unless the environment says so."""

if IS_SIMULATED:
    from numba.cuda.simulator.kernel import _get_kernel_context as _context

    def at(index: Any) -> Any:
        """Return an index that is not negative."""
        return int(index)

    wide = at

    def block_index() -> Any:
        """Return the number of this block."""
        return _context().blockIdx.x

    def thread_index() -> Any:
        """Return the number of this thread in its block."""
        return _context().threadIdx.x

    def block_threads() -> Any:
        """Return how many threads a block has."""
        return _context().blockDim.x

    def block_sync() -> None:
        """Wait for all threads of the block."""
        _context().syncthreads()

    warp_sync = block_sync
    lane_index = thread_index

    def warp_index() -> Any:
        """Return the number of this warp in its block."""
        return 0

    def add_integer(array: Any, index: Any, value: Any) -> None:
        """Add to an element that other threads add to at the same time."""
        _context().atomic.add(array, index, value)

    def _all_lanes(value: Any, scratch: Any) -> Any:
        """Return the values of all lanes."""
        block_sync()
        scratch[thread_index()] = value
        block_sync()
        values = scratch[:LANES].copy()
        block_sync()
        return values

    def alike(value: Any) -> Any:
        """Return a value that all lanes have, in a way that the compiler knows that they do."""
        return value

    def warp_sum(value: Any, scratch: Any) -> Any:
        """Return the sum over all lanes, to all of them."""
        return _all_lanes(value, scratch).sum()

    def sum_of_eight(value: Any, scratch: Any) -> Any:
        """Return the sum over this lane's eight (0 to 7, 8 to 15, ...), to all of them."""
        first = thread_index() // 8 * 8
        return _all_lanes(value, scratch)[first : first + 8].sum()

    def lowest_bit(bits: Any) -> Any:
        """Return the place of the lowest bit that is set, from 0; one must be."""
        return (int(bits) & -int(bits)).bit_length() - 1

    def warp_max(value: Any, scratch: Any) -> Any:
        """Return the largest value of all lanes, to all of them."""
        return _all_lanes(value, scratch).max()

    def warp_min(value: Any, scratch: Any) -> Any:
        """Return the smallest value of all lanes, to all of them."""
        return _all_lanes(value, scratch).min()

else:
    _ALL = 0xFFFFFFFF

    @device
    def alike(value: Any) -> Any:
        """Return a value that all lanes have, in a way that the compiler knows that they do.

        Where it does not, it has each branch ready for lanes that part: a third more registers,
        and a barrier behind every loop.
        """
        return cuda.shfl_sync(_ALL, value, 0)

    @device
    def at(index: Any) -> Any:
        """Return an index that is not negative: 32 bits, and no test for counting from the end."""
        return np.uint32(index)

    @device
    def wide(index: Any) -> Any:
        """Return an index that is not negative, 64 bits."""
        return np.uint64(index)

    @device
    def block_index() -> Any:
        """Return the number of this block."""
        return np.int32(cuda.blockIdx.x)

    @device
    def thread_index() -> Any:
        """Return the number of this thread in its block."""
        return np.int32(cuda.threadIdx.x)

    @device
    def block_threads() -> Any:
        """Return how many threads a block has."""
        return np.int32(cuda.blockDim.x)

    @device
    def block_sync() -> None:
        """Wait for all threads of the block."""
        cuda.syncthreads()

    @device
    def warp_sync() -> None:
        """Wait for all lanes; what they wrote to shared memory can be read."""
        cuda.syncwarp()

    @device
    def lane_index() -> Any:
        """Return the number of this lane."""
        return np.int32(cuda.threadIdx.x & 31)

    @device
    def warp_index() -> Any:
        """Return the number of this warp in its block."""
        return alike(np.int32(cuda.threadIdx.x >> 5))

    @device
    def add_integer(array: Any, index: Any, value: Any) -> None:
        """Add to an element that other threads add to at the same time."""
        cuda.atomic.add(array, index, value)

    @device
    def warp_sum(value: Any, scratch: Any) -> Any:
        """Return the sum over all lanes, to all of them."""
        value += cuda.shfl_xor_sync(_ALL, value, 16)
        value += cuda.shfl_xor_sync(_ALL, value, 8)
        value += cuda.shfl_xor_sync(_ALL, value, 4)
        value += cuda.shfl_xor_sync(_ALL, value, 2)
        value += cuda.shfl_xor_sync(_ALL, value, 1)
        return alike(value)

    @device
    def sum_of_eight(value: Any, scratch: Any) -> Any:
        """Return the sum over this lane's eight (0 to 7, 8 to 15, ...), to all of them."""
        value += cuda.shfl_xor_sync(_ALL, value, 4)
        value += cuda.shfl_xor_sync(_ALL, value, 2)
        value += cuda.shfl_xor_sync(_ALL, value, 1)
        return value

    @device
    def lowest_bit(bits: Any) -> Any:
        """Return the place of the lowest bit that is set, from 0; one must be."""
        return np.int32(cuda.ffs(bits) - 1)

    @device
    def warp_max(value: Any, scratch: Any) -> Any:
        """Return the largest value of all lanes, to all of them."""
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 16))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 8))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 4))
        value = max(value, cuda.shfl_xor_sync(_ALL, value, 2))
        return alike(max(value, cuda.shfl_xor_sync(_ALL, value, 1)))

    @device
    def warp_min(value: Any, scratch: Any) -> Any:
        """Return the smallest value of all lanes, to all of them."""
        value = min(value, cuda.shfl_xor_sync(_ALL, value, 16))
        value = min(value, cuda.shfl_xor_sync(_ALL, value, 8))
        value = min(value, cuda.shfl_xor_sync(_ALL, value, 4))
        value = min(value, cuda.shfl_xor_sync(_ALL, value, 2))
        return alike(min(value, cuda.shfl_xor_sync(_ALL, value, 1)))
