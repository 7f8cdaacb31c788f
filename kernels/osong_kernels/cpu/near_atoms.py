"""Atoms near a box of lattice points, sixteen atoms at a time.

Lists of atoms are float32 arrays (4, n): three coordinates (angstrom) and the type. ``n`` is a
multiple of the lanes; places beyond the atoms stand far away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from osong_kernels.compile import inner
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES, MaskLanes
from osong_kernels.physics.ops import maximum, square_root

__all__ = ["FAR_AWAY", "N_ROWS", "TYPE", "indices_near", "keep_near", "padded"]

TYPE = 3
N_ROWS = 4
FAR_AWAY = np.float32(1e15)


@intrinsic
def _mask_bits(typingctx: Any, mask: Any) -> Any:
    """Return the lanes of a mask as the low bits of an integer."""
    if mask != MaskLanes:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(N_LANES)), ir.IntType(64))

    return types.int64(mask), codegen


@intrinsic
def _lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Return the place of the lowest 1 in an integer that is not 0."""
    if bits != types.int64:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(bits), codegen


@inner
def padded(n: Any) -> Any:
    """Return the length of a list that can hold ``n`` atoms."""
    return (n // N_LANES + 1) * N_LANES


@inner
def _distance2(atoms: Any, i: Any, low: Any, high: Any) -> Any:
    """Return the squared distance of sixteen atoms from a box."""
    x, y, z = load(atoms[0, i:], ()), load(atoms[1, i:], ()), load(atoms[2, i:], ())
    dx = maximum(maximum(low[0] - x, x - high[0]), 0.0)
    dy = maximum(maximum(low[1] - y, y - high[1]), 0.0)
    dz = maximum(maximum(low[2] - z, z - high[2]), 0.0)
    return dx * dx + dy * dy + dz * dz


@inner
def keep_near(atoms: Any, n: Any, low: Any, high: Any, limit2: Any, kept: Any) -> Any:
    """Copy the atoms within a distance of the box to ``kept``, in their order; count them."""
    n_kept = 0
    for i in range(0, n, N_LANES):
        bits = _mask_bits(_distance2(atoms, i, low, high) < limit2)
        while bits != 0:
            atom = i + _lowest_bit(bits)
            for row in range(N_ROWS):
                kept[row, n_kept] = atoms[row, atom]
            n_kept += 1
            bits &= bits - 1
    for i in range(n_kept, min(n_kept + N_LANES, kept.shape[1])):
        kept[0, i] = FAR_AWAY
    return n_kept


@inner
def indices_near(
    atoms: Any, n: Any, low: Any, high: Any, limit2: Any, near: Any, distance: Any
) -> Any:
    """Write the indices of the atoms within the limit to ``near``, in their order; count them.

    ``distance`` gets the distance of each of the ``n`` atoms from the box.
    """
    n_near = 0
    for i in range(0, n, N_LANES):
        d2 = _distance2(atoms, i, low, high)
        store(distance[i:], (), square_root(d2))
        bits = _mask_bits(d2 < limit2)
        while bits != 0:
            near[n_near] = i + _lowest_bit(bits)
            n_near += 1
            bits &= bits - 1
    return n_near
