"""The receptor's atoms for the device, and exact energies of a pose with them, by a warp."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from osong_kernels.cuda.compile import device, device_formula
from osong_kernels.cuda.elementary import minimum
from osong_kernels.cuda.memory import load_four, peek, poke
from osong_kernels.cuda.warp import LANES, at, lane_index, warp_max, warp_sum, warp_sync, wide
from osong_kernels.physics import pair_terms

__all__ = ["DeviceReceptor", "has_left", "list_atoms", "pack_receptor", "sum_receptor"]

_ZERO: Final = np.float32(0.0)
_ONE: Final = np.float32(1.0)
_FORCE_UNIT: Final = np.float32(2.0**-20)
_MARGIN: Final = np.float32(1.0)
"""angstrom an atom may move before the atoms near the pose are listed anew."""
_cap = device_formula(pair_terms.cap)
_pair_energy = device_formula(pair_terms.pair_energy)


class DeviceReceptor(NamedTuple):
    """Receptor atoms and types.

    Attributes
    ----------
    places
        (n * 4,) float32: x, y, z, radius, angstrom.
    roles
        (n * 4,) float32: hydrophobic, donor, acceptor, 0.
    types
        (n_types * 4,) float32: radius, hydrophobic, donor, acceptor of each type of ligand atom.
    low, high
        (3,) float32, angstrom: corners of the box.
    wall
        float32, kcal/mol per angstrom outside.
    """

    places: Any
    roles: Any
    types: Any
    low: Any
    high: Any
    wall: Any


def pack_receptor(
    receptor: Any, low: npt.NDArray[Any], high: npt.NDArray[Any], wall: float
) -> DeviceReceptor:
    """Return ``ReceptorAtoms`` and a box as the device reads them, in the memory of the host."""
    of = receptor.atom_type
    n = len(of)
    places, roles = np.zeros((n, 4), np.float32), np.zeros((n, 4), np.float32)
    places[:, :3], places[:, 3] = receptor.xyz.T, receptor.radius[of]
    roles[:, 0] = receptor.is_hydrophobic[of]
    roles[:, 1], roles[:, 2] = receptor.is_donor[of], receptor.is_acceptor[of]
    kinds = np.stack(
        [receptor.radius, receptor.is_hydrophobic, receptor.is_donor, receptor.is_acceptor], axis=1
    )
    return DeviceReceptor(
        places.reshape(-1), roles.reshape(-1), kinds.astype(np.float32).reshape(-1),
        low.astype(np.float32), high.astype(np.float32), np.float32(wall),
    )  # fmt: skip


@device
def has_left(ligand: Any, shared: Any, place: Any, listed: Any) -> Any:
    """Return whether an atom moved so far that the list of atoms near it is out of date."""
    farthest = _ZERO
    i = lane_index()
    while i < ligand.n_atoms:
        total = _ZERO
        for k in range(3):
            d = peek(shared, place.coords + 3 * i + k, 0) - peek(shared, listed + 3 * i + k, 0)
            total += d * d
        farthest = max(farthest, total)
        i = np.int32(i + LANES)
    return warp_max(farthest, shared) > _MARGIN * _MARGIN


@device
def _is_near(ligand: Any, shared: Any, place: Any, x: Any, y: Any, z: Any, reach2: Any) -> Any:
    for i in range(ligand.n_atoms):
        dx = peek(shared, place.coords + 3 * i, 0) - x
        dy = peek(shared, place.coords + 3 * i, 1) - y
        dz = peek(shared, place.coords + 3 * i, 2) - z
        if dx * dx + dy * dy + dz * dz < reach2:
            return True
    return False


@device
def list_atoms(
    ligand: Any, receptor: Any, cutoff: Any, lists: Any, first: Any, shared: Any, place: Any,
    listed: Any,
) -> Any:  # fmt: skip
    """List this lane's receptor atoms near any atom of the pose; return how many there are.

    A lane looks at every 32nd atom, and has every 32nd place of the list from ``first`` on, so the
    order of all sums is fixed.
    """
    reach = cutoff + _MARGIN
    n_found = np.int32(0)
    a = lane_index()
    while a < len(receptor.places) >> 2:
        x, y, z, _ = load_four(receptor.places, at(a * 4))
        if _is_near(ligand, shared, place, x, y, z, reach * reach):
            lists[wide(first + n_found * LANES + lane_index())] = a
            n_found = np.int32(n_found + 1)
        a = np.int32(a + LANES)
    k = lane_index()
    while k < 3 * ligand.n_atoms:
        poke(shared, listed + k, 0, peek(shared, place.coords + k, 0))
        k = np.int32(k + LANES)
    warp_sync()
    return n_found


@device
def _atom_energy(
    receptor: Any, weights: Any, kind: Any, x: Any, y: Any, z: Any, lists: Any, first: Any,
    n_listed: Any,
) -> Any:  # fmt: skip
    """Return this lane's share of a ligand atom's energy with the receptor and its derivatives."""
    radius, hydrophobic, donor, acceptor = load_four(receptor.types, at(kind * 4))
    cutoff2 = weights.cutoff * weights.cutoff
    value, gx, gy, gz = _ZERO, _ZERO, _ZERO, _ZERO
    for k in range(n_listed):
        a = lists[wide(first + k * LANES + lane_index())]
        ax, ay, az, other = load_four(receptor.places, at(a * 4))
        dx, dy, dz = x - ax, y - ay, z - az
        r2 = dx * dx + dy * dy + dz * dz
        if r2 < cutoff2:
            is_oily, is_donor, is_acceptor, _ = load_four(receptor.roles, at(a * 4))
            bond = minimum(is_acceptor * donor + is_donor * acceptor, _ONE)
            energy, slope = _pair_energy(r2, radius + other, hydrophobic * is_oily, bond, weights)
            value += energy
            gx += dx * slope
            gy += dy * slope
            gz += dz * slope
    return value, gx, gy, gz


@device
def _wall(x: Any, low: Any, high: Any, wall: Any) -> Any:
    """Return the cost of a coordinate outside the box, and its derivative."""
    if x < low:
        return (low - x) * wall, -wall
    if x > high:
        return (x - high) * wall, wall
    return _ZERO, _ZERO


@device
def sum_receptor(
    arrays: Any, ligand: Any, receptor: Any, weights: Any, limit: Any, lists: Any, first: Any,
    n_listed: Any, shared: Any, bits: Any, place: Any,
) -> Any:  # fmt: skip
    """Return the energy of all atoms with the receptor and the box's walls, to all lanes.

    The pairs' forces become the atoms' whole forces, and coordinates become torques, as in
    ``energy.add_field``.
    """
    total = _ZERO
    for i in range(ligand.n_atoms):
        c, f = place.coords + 3 * i, place.forces + 3 * i
        x, y, z = peek(shared, c, 0), peek(shared, c, 1), peek(shared, c, 2)
        kind = peek(arrays.atom_type, ligand.atom + i, 0)
        value, gx, gy, gz = _atom_energy(receptor, weights, kind, x, y, z, lists, first, n_listed)
        value = warp_sum(value, shared)
        gx, gy, gz = warp_sum(gx, shared), warp_sum(gy, shared), warp_sum(gz, shared)
        value, factor = _cap(value, limit)
        wx, sx = _wall(x, receptor.low[0], receptor.high[0], receptor.wall)
        wy, sy = _wall(y, receptor.low[1], receptor.high[1], receptor.wall)
        wz, sz = _wall(z, receptor.low[2], receptor.high[2], receptor.wall)
        total += value + wx + wy + wz
        warp_sync()  # one lane writes over the coordinates that all have read
        if lane_index() == 0:
            gx = gx * factor + sx + np.float32(peek(bits, f, 0)) * _FORCE_UNIT
            gy = gy * factor + sy + np.float32(peek(bits, f, 1)) * _FORCE_UNIT
            gz = gz * factor + sz + np.float32(peek(bits, f, 2)) * _FORCE_UNIT
            x -= peek(shared, place.frames, 3)
            y -= peek(shared, place.frames, 7)
            z -= peek(shared, place.frames, 11)
            poke(shared, f, 0, gx)
            poke(shared, f, 1, gy)
            poke(shared, f, 2, gz)
            poke(shared, c, 0, y * gz - z * gy)
            poke(shared, c, 1, z * gx - x * gz)
            poke(shared, c, 2, x * gy - y * gx)
    warp_sync()
    return total
