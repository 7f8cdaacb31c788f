"""Energy of a chain's trial point and what it gives to forces, by the lanes of a warp."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from osong_kernels.cuda.compile import device, device_formula
from osong_kernels.cuda.elementary import floor_to_int, maximum, minimum
from osong_kernels.cuda.memory import load_four, peek, poke
from osong_kernels.cuda.warp import LANES, add_integer, at, lane_index, warp_sync
from osong_kernels.physics import interpolation, pair_table, pair_terms

__all__ = [
    "add_field",
    "clear_forces",
    "pair_energy_by_formula",
    "pair_energy_by_table",
    "sum_pairs",
]

_ZERO: Final = np.float32(0.0)
_ONE: Final = np.float32(1.0)
_FORCE_UNIT: Final = np.float32(2.0**-20)
_FORCES_PER_UNIT: Final = np.float32(2.0**20)
"""Pair forces are added up as integers of 2^-20 kcal/mol/angstrom: in any order the same sum. A
pair gives some 10 at most (its energy is capped), so an atom may have 200 of them."""
_trilinear = device_formula(interpolation.trilinear)
_cap = device_formula(pair_terms.cap)
_formula = device_formula(pair_terms.pair_energy)
_table = device_formula(pair_table.table_energy)


@device
def pair_energy_by_table(r2: Any, r0: Any, kind: Any, weights: Any, limit: Any) -> Any:
    """Return energy and slope of a pair from a ``PairTable``, which holds the cap."""
    return _table(r2, r0, np.float32(kind & 1), np.float32(kind >> 1), weights)


@device
def pair_energy_by_formula(r2: Any, r0: Any, kind: Any, weights: Any, limit: Any) -> Any:
    """Return energy and slope of a pair by ``PairWeights``, capped."""
    energy, slope = _formula(r2, r0, np.float32(kind & 1), np.float32(kind >> 1), weights)
    energy, factor = _cap(energy, limit)
    return energy, slope * factor


@device
def clear_forces(ligand: Any, integers: Any, place: Any) -> None:
    """Set all forces to zero; the coordinates must be written too before they are read."""
    k = np.int32(lane_index())
    while k < 3 * ligand.n_atoms:
        poke(integers, place.forces + k, 0, 0)
        k = np.int32(k + LANES)


@device
def sum_pairs(
    arrays: Any, ligand: Any, pair_energy: Any, weights: Any, limit: Any, shared: Any,
    integers: Any, place: Any,
) -> Any:  # fmt: skip
    """Return this lane's share of the energy of the ligand's own pairs; add up their forces."""
    total = _ZERO
    cutoff2 = weights.cutoff * weights.cutoff
    p = np.int32(lane_index())
    while p < ligand.n_pairs:
        packed = peek(arrays.pair, ligand.pair + p, 0)
        i = place.coords + 3 * np.int32(packed & 0x7FFF)
        j = place.coords + 3 * np.int32((packed >> 15) & 0x7FFF)
        dx = peek(shared, i, 0) - peek(shared, j, 0)
        dy = peek(shared, i, 1) - peek(shared, j, 1)
        dz = peek(shared, i, 2) - peek(shared, j, 2)
        r2 = dx * dx + dy * dy + dz * dz
        if r2 < cutoff2:
            r0 = peek(arrays.pair_r0, ligand.pair + p, 0)
            energy, slope = pair_energy(r2, r0, np.int32(packed >> 30), weights, limit)
            total += energy
            scaled = slope * _FORCES_PER_UNIT
            shift = place.forces - place.coords
            _push(integers, i + shift, j + shift, dx * scaled)
            _push(integers, i + shift + 1, j + shift + 1, dy * scaled)
            _push(integers, i + shift + 2, j + shift + 2, dz * scaled)
        p = np.int32(p + LANES)
    warp_sync()
    return total


@device
def _push(integers: Any, i: Any, j: Any, force: Any) -> None:
    """Add a force to one atom and take it from another."""
    units = np.int32(force)
    add_integer(integers, at(i), units)
    add_integer(integers, at(j), -units)


@device
def _lattice_cell(x: Any, origin: Any, steps: Any, n: Any) -> Any:
    """Return cell index, position inside the cell and overhang (lattice steps, signed)."""
    t = (x - origin) * steps
    inside = minimum(maximum(t, _ZERO), np.float32(n - 1))
    cell = minimum(floor_to_int(inside), np.int32(n - 2))
    return cell, inside - np.float32(cell), t - inside


@device
def _outside(overhang: Any, slope: Any, wall: Any) -> Any:
    """Return the derivative: that of the map inside, that of the wall outside."""
    beyond = wall if overhang > _ZERO else slope
    return -wall if overhang < _ZERO else beyond


@device
def _field_at(field: Any, map_index: Any, x: Any, y: Any, z: Any, limit: Any) -> Any:
    """Return the energy of an atom in the field and its derivatives."""
    steps = _ONE / field.spacing
    ix, fx, ox = _lattice_cell(x, field.x, steps, field.nx)
    iy, fy, oy = _lattice_cell(y, field.y, steps, field.ny)
    iz, fz, oz = _lattice_cell(z, field.z, steps, field.nz)
    cell = ((map_index * field.nx + ix) * field.ny + iy) * field.nz + iz
    near = load_four(field.quads, np.int64(cell) * 4)
    far = load_four(field.quads, np.int64(cell + field.ny * field.nz) * 4)
    value, dx, dy, dz = _trilinear(
        near[0], near[1], near[2], near[3], far[0], far[1], far[2], far[3], fx, fy, fz
    )
    value, factor = _cap(value, limit)
    factor *= steps
    over = abs(ox) + abs(oy) + abs(oz)
    return (
        value + over * (field.wall * field.spacing),
        _outside(ox, dx * factor, field.wall),
        _outside(oy, dy * factor, field.wall),
        _outside(oz, dz * factor, field.wall),
    )


@device
def add_field(
    arrays: Any, ligand: Any, field: Any, limit: Any, shared: Any, integers: Any, place: Any
) -> Any:
    """Return this lane's share of the energy in the field.

    The pairs' forces, integers until now, become the atoms' whole forces, and the coordinates their
    torques about the root's pivot.
    """
    total = _ZERO
    px, py, pz = (
        peek(shared, place.frames, 3),
        peek(shared, place.frames, 7),
        peek(shared, place.frames, 11),
    )
    i = np.int32(lane_index())
    while i < ligand.n_atoms:
        c, f = place.coords + 3 * i, place.forces + 3 * i
        x, y, z = peek(shared, c, 0), peek(shared, c, 1), peek(shared, c, 2)
        map_index = peek(arrays.map_index, ligand.atom + i, 0)
        value, gx, gy, gz = _field_at(field, map_index, x, y, z, limit)
        total += value
        gx += np.float32(peek(integers, f, 0)) * _FORCE_UNIT
        gy += np.float32(peek(integers, f, 1)) * _FORCE_UNIT
        gz += np.float32(peek(integers, f, 2)) * _FORCE_UNIT
        x, y, z = x - px, y - py, z - pz
        poke(shared, f, 0, gx)
        poke(shared, f, 1, gy)
        poke(shared, f, 2, gz)
        poke(shared, c, 0, y * gz - z * gy)
        poke(shared, c, 1, z * gx - x * gz)
        poke(shared, c, 2, x * gy - y * gx)
        i = np.int32(i + LANES)
    warp_sync()
    return total
