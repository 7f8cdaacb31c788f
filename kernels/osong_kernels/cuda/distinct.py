"""Picking poses that differ: a block goes through the poses, its warps compare."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.cuda.blocks import block_any
from osong_kernels.cuda.compile import IS_SIMULATED, Offline, device, kernel
from osong_kernels.cuda.warp import (
    LANES,
    at,
    block_sync,
    block_threads,
    lane_index,
    thread_index,
    warp_index,
    warp_sum,
)

__all__ = ["OFFLINE", "pick_distinct", "pick_in_block"]

_THREADS: Final = LANES if IS_SIMULATED else 256
_LANE_BITS: Final = np.int32(LANES.bit_length() - 1)
_ZERO: Final = np.float32(0.0)


@device
def _squared_distance(coords: Any, a: Any, b: Any, scratch: Any) -> Any:
    """Return the sum of squared differences of two poses, to all lanes of the warp."""
    total = _ZERO
    for i in range(lane_index(), np.int32(coords.shape[1]), np.int32(LANES)):
        d = coords[at(a), at(i)] - coords[at(b), at(i)]
        total += d * d
    return warp_sum(total, scratch)


@device
def pick_in_block(coords: Any, order: Any, limit: Any, chosen: Any, scratch: Any) -> Any:
    """Fill ``chosen`` and return how many there are, to all threads of the block.

    Poses are taken in ``order``; one is chosen where all chosen before are at least ``limit``
    away. Each warp compares it with some of those, its lanes share the coordinates.

    ``coords`` (n_poses, 3 n_atoms) float32, angstrom; ``order`` and ``chosen`` integers; ``limit``
    float32, square angstrom: the number of atoms times the squared RMSD; ``scratch`` as in `warp`.
    """
    n_warps = np.int32(block_threads() >> _LANE_BITS)
    n_chosen = np.int32(0)
    for k in range(np.int32(len(order))):
        if n_chosen == len(chosen):
            break
        pose = order[at(k)]
        is_close = False
        c = warp_index()
        while c < n_chosen and not is_close:  # a range whose step is no constant would divide
            is_close = _squared_distance(coords, pose, chosen[at(c)], scratch) < limit
            c += n_warps
        if not block_any(is_close):
            if thread_index() == 0:
                chosen[at(n_chosen)] = pose
            block_sync()
            n_chosen += np.int32(1)
    return n_chosen


@kernel
def _pick(coords: Any, order: Any, limit: Any, chosen: Any, n_chosen: Any) -> None:
    scratch = cuda.shared.array(LANES, types.float32)
    n = pick_in_block(coords, order, limit, chosen, scratch)
    if thread_index() == 0:
        n_chosen[0] = n


def pick_distinct(coords: Any, order: Any, min_rmsd: Any, chosen: Any) -> int:
    """Fill ``chosen`` and return how many there are; see ``cpu.distinct``.

    Sums are in float32: with an RMSD of ``min_rmsd`` to the last digits a pose may be either.
    """
    if len(order) == 0 or len(chosen) == 0:
        return 0
    n_poses, n_atoms, _ = coords.shape
    limit = np.float32(min_rmsd * min_rmsd * n_atoms)
    on_device = cuda.to_device(chosen)
    n_chosen = cuda.device_array(1, np.int32)
    flat = cuda.to_device(coords.reshape(n_poses, 3 * n_atoms))
    _pick[1, _THREADS](flat, cuda.to_device(order), limit, on_device, n_chosen)
    on_device.copy_to_host(chosen)
    return int(n_chosen.copy_to_host()[0])


OFFLINE: Final = (
    Offline(
        "pick_distinct",
        _pick,
        (
            types.float32[:, ::1],
            types.int64[::1],
            types.float32,
            types.int64[::1],
            types.int32[::1],
        ),
        _THREADS,
    ),
)
