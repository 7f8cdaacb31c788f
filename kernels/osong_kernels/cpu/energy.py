"""Energy and derivatives by coordinates of lane poses: receptor field and ligand pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.arguments import PairTable
from osong_kernels.compile import inner
from osong_kernels.cpu.lane_memory import gather_cell, load, store
from osong_kernels.cpu.lanes import any_lane, broadcast, overload
from osong_kernels.physics.interpolation import trilinear
from osong_kernels.physics.ops import floor_to_int, maximum, minimum, select, to_float
from osong_kernels.physics.pair_table import table_energy
from osong_kernels.physics.pair_terms import cap, pair_energy

__all__ = ["add_pair_energy", "field_energy"]


@inner
def _lattice_cell(x: Any, origin: Any, inverse_spacing: Any, n: Any) -> Any:
    """Return cell index, position inside the cell and overhang (lattice steps, signed)."""
    t = (x - origin) * inverse_spacing
    inside = minimum(maximum(t, 0.0), np.float32(n - 1))
    cell = minimum(floor_to_int(inside), np.int32(n - 2))
    return cell, inside - to_float(cell), t - inside


@inner
def field_energy(coords: Any, map_index: Any, field: Any, limit: Any, forces: Any) -> Any:
    """Return the energy of all atoms in the field and write their derivatives to ``forces``.

    Atoms outside of the lattice take the value at its border plus ``field.wall`` per angstrom.
    """
    nx, ny, nz = field.shape[0], field.shape[1], field.shape[2]
    map_size = np.int64(nx) * np.int64(ny) * np.int64(nz)
    step = np.float32(1.0 / field.spacing)
    wall = np.float32(field.wall)
    overhang_cost = np.float32(field.wall * field.spacing)
    total = broadcast(np.float32(0.0))
    for i in range(len(map_index)):
        ix, fx, ox = _lattice_cell(load(coords, (i, 0)), field.origin[0], step, nx)
        iy, fy, oy = _lattice_cell(load(coords, (i, 1)), field.origin[1], step, ny)
        iz, fz, oz = _lattice_cell(load(coords, (i, 2)), field.origin[2], step, nz)
        start = map_size * np.int64(map_index[i])
        cell = (ix * np.int32(ny) + iy) * np.int32(nz) + iz
        c = gather_cell(field.maps, start, cell, ny * nz, nz)
        value, dx, dy, dz = trilinear(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], fx, fy, fz)
        factor = broadcast(step)
        if any_lane(value > 0.0):
            value, factor = cap(value, limit)
            factor = factor * step
        total = total + value + (_magnitude(ox) + _magnitude(oy) + _magnitude(oz)) * overhang_cost
        store(forces, (i, 0), _outside(ox, dx * factor, wall))
        store(forces, (i, 1), _outside(oy, dy * factor, wall))
        store(forces, (i, 2), _outside(oz, dz * factor, wall))
    return total


@inner
def _magnitude(x: Any) -> Any:
    return maximum(x, -x)


@inner
def _outside(overhang: Any, inner_slope: Any, wall: Any) -> Any:
    """Return the derivative: that of the map inside, that of the wall outside."""
    beyond = select(overhang > 0.0, wall, inner_slope)
    return select(overhang < 0.0, -wall, beyond)


def _capped_pair(
    r2: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, limit: Any
) -> Any:
    """Return energy and slope of a pair by a ``PairTable``, or by ``PairWeights`` and a cap."""
    raise NotImplementedError("exists in jitted code only")


@overload(_capped_pair)
def _overload_capped_pair(
    r2: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, limit: Any
) -> Any:
    if weights.instance_class is PairTable:
        return lambda r2, r0, is_hydrophobic, is_hydrogen_bond, weights, limit: table_energy(
            r2, r0, is_hydrophobic, is_hydrogen_bond, weights
        )
    return lambda r2, r0, is_hydrophobic, is_hydrogen_bond, weights, limit: _exact_pair(
        r2, r0, is_hydrophobic, is_hydrogen_bond, weights, limit
    )


@inner
def _exact_pair(
    r2: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, limit: Any
) -> Any:
    energy, slope = pair_energy(r2, r0, is_hydrophobic, is_hydrogen_bond, weights)
    if any_lane(energy > 0.0):
        energy, factor = cap(energy, limit)
        slope = slope * factor
    return energy, slope


@inner
def add_pair_energy(coords: Any, pairs: Any, weights: Any, limit: Any, forces: Any) -> Any:
    """Return the energy of the ligand's own pairs and add their derivatives to ``forces``.

    ``weights`` is a ``PairTable``, which holds the cap too, or ``PairWeights``, four times slower.
    """
    total = broadcast(np.float32(0.0))
    cutoff2 = np.float32(weights.cutoff * weights.cutoff)
    for i in range(len(pairs.start) - 1):
        # unsigned: Numba would turn a negative index into one from the end, ten instructions a pair
        first, end = np.uintp(pairs.start[i]), np.uintp(pairs.start[i + 1])
        if first == end:
            continue
        xi, yi, zi = load(coords, (i, 0)), load(coords, (i, 1)), load(coords, (i, 2))
        fx, fy, fz = load(forces, (i, 0)), load(forces, (i, 1)), load(forces, (i, 2))
        for k in range(first, end):
            j = np.uintp(pairs.second[k])
            dx = xi - load(coords, (j, 0))
            dy = yi - load(coords, (j, 1))
            dz = zi - load(coords, (j, 2))
            r2 = dx * dx + dy * dy + dz * dz
            if not any_lane(r2 < cutoff2):
                continue
            energy, slope = _capped_pair(
                r2, pairs.r0[k], pairs.is_hydrophobic[k], pairs.is_hydrogen_bond[k], weights, limit
            )
            total = total + energy
            dx, dy, dz = dx * slope, dy * slope, dz * slope
            fx, fy, fz = fx + dx, fy + dy, fz + dz
            store(forces, (j, 0), load(forces, (j, 0)) - dx)
            store(forces, (j, 1), load(forces, (j, 1)) - dy)
            store(forces, (j, 2), load(forces, (j, 2)) - dz)
        store(forces, (i, 0), fx)
        store(forces, (i, 1), fy)
        store(forces, (i, 2), fz)
    return total
