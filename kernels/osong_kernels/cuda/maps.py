"""Receptor field on a lattice: a block is a tile of neighbouring points, a thread is a point.

The block lists the atoms in reach of its tile in shared memory, in their order, and its threads add
them up map by map. So each value is the sum over the atoms in reach of its point, in the atoms'
order: it depends on no tile and on no other map, and planes may be filled apart.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.cuda.blocks import MAX_WARPS, block_place
from osong_kernels.cuda.compile import (
    IS_SIMULATED,
    Offline,
    device,
    device_formula,
    kernel,
)
from osong_kernels.cuda.memory import load_four
from osong_kernels.cuda.shared import load_shared, store_shared
from osong_kernels.cuda.tiles import LISTED_AT_ONCE, outside, shared_list
from osong_kernels.cuda.warp import LANES, at, block_sync, thread_index
from osong_kernels.physics.pair_terms import PairWeights
from osong_kernels.physics.pair_terms import pair_energy as _pair_energy

__all__ = ["OFFLINE", "build_maps", "maps_on_device"]

# Points on the edges of a tile. Eight in a row fill the 32 bytes that memory is written by.
_NX, _NY, _NZ = (2, 2, LANES // 4) if IS_SIMULATED else (4, 4, 8)
_THREADS: Final = _NX * _NY * _NZ
_MARGIN: Final = np.float32(0.01)  # angstrom: rounding never leaves out an atom
_ZERO: Final = np.float32(0.0)

pair_energy = device_formula(_pair_energy)


@device
def _add_listed(
    listed: Any, n_listed: Any, probes: Any, n_types: Any, weights: Any, x: Any, y: Any, z: Any,
    maps: Any, ix: Any, iy: Any, iz: Any,
) -> None:  # fmt: skip
    """Add the listed atoms to all maps at a point."""
    for m in range(np.int32(len(maps))):
        energy = maps[at(m), at(ix), at(iy), at(iz)]
        row = m * n_types
        for i in range(n_listed):
            atom_x, atom_y, atom_z, kind = load_shared(listed, np.int32(4 * i))
            probe = np.int32(4 * (row + np.int32(kind)))
            r0, is_hydrophobic, is_hydrogen_bond, _ = load_four(probes, probe)
            dx, dy, dz = x - atom_x, y - atom_y, z - atom_z
            r2 = dx * dx + dy * dy + dz * dz
            energy += pair_energy(r2, r0, is_hydrophobic, is_hydrogen_bond, weights)[0]
        maps[at(m), at(ix), at(iy), at(iz)] = energy


@kernel
def _fill_tiles(
    atoms: Any, n_atoms: Any, probes: Any, n_types: Any, weights: Any, step: Any, first_x: Any,
    maps: Any,
) -> None:  # fmt: skip
    """Fill a tile of all ``maps`` (n_maps, n_x, ny, nz).

    ``atoms``: four numbers each, place from the lattice's origin and type. ``probes``: four numbers
    for each map and type of atom, sum of radii, flags of hydrophobic contact and hydrogen bond.
    """
    listed = shared_list()
    counts = cuda.shared.array(MAX_WARPS, types.int32)
    thread = thread_index()
    tile_x = np.int32(cuda.blockIdx.z * _NX)
    tile_y = np.int32(cuda.blockIdx.y * _NY)
    tile_z = np.int32(cuda.blockIdx.x * _NZ)
    ix = np.int32(tile_x + thread // (_NY * _NZ))
    iy = np.int32(tile_y + thread // _NZ % _NY)
    iz = np.int32(tile_z + thread % _NZ)
    _, n_x, ny, nz = maps.shape
    is_inside = ix < n_x and iy < ny and iz < nz
    x = step * np.float32(first_x + ix)
    y = step * np.float32(iy)
    z = step * np.float32(iz)
    reach = weights.cutoff + _MARGIN
    if is_inside:
        for m in range(len(maps)):
            maps[at(m), at(ix), at(iy), at(iz)] = _ZERO
    n_listed = np.int32(0)
    for start in range(np.int32(0), n_atoms, np.int32(_THREADS)):
        a = start + thread
        is_near = False
        atom_x, atom_y, atom_z, kind = _ZERO, _ZERO, _ZERO, _ZERO
        if a < n_atoms:
            atom_x, atom_y, atom_z, kind = load_four(atoms, np.int32(4 * a))
            dx = outside(atom_x, step * np.float32(first_x + tile_x), step * np.float32(_NX - 1))
            dy = outside(atom_y, step * np.float32(tile_y), step * np.float32(_NY - 1))
            dz = outside(atom_z, step * np.float32(tile_z), step * np.float32(_NZ - 1))
            is_near = dx * dx + dy * dy + dz * dz < reach * reach
        place, n_near = block_place(is_near, counts)
        if n_listed + n_near > LISTED_AT_ONCE:
            if is_inside:
                _add_listed(
                    listed, n_listed, probes, n_types, weights, x, y, z, maps, ix, iy, iz
                )  # fmt: skip
            block_sync()
            n_listed = np.int32(0)
        if is_near:
            place = np.int32(4 * (n_listed + place))
            store_shared(listed, place, atom_x, atom_y, atom_z, kind)
        n_listed += n_near
    block_sync()
    if is_inside:
        _add_listed(listed, n_listed, probes, n_types, weights, x, y, z, maps, ix, iy, iz)


def maps_on_device(
    coords: Any, atom_type: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, origin: Any, spacing: Any, first_x: Any, shape: tuple[int, int, int, int],
) -> Any:  # fmt: skip
    """Return maps (n_maps, n_x, ny, nz) float32, in kcal/mol, that stay on the device.

    Arguments as in ``cpu.maps``, on the host; no dimension of ``shape`` is zero.
    """
    atoms = np.zeros((max(1, len(coords)), 4), np.float32)
    atoms[: len(coords), :3] = coords - origin
    atoms[: len(coords), 3] = atom_type
    probes = np.zeros((*r0.shape, 4), np.float32)
    probes[..., 0], probes[..., 1], probes[..., 2] = r0, is_hydrophobic, is_hydrogen_bond
    maps = cuda.device_array(shape, np.float32)
    n_tiles = -(-shape[3] // _NZ), -(-shape[2] // _NY), -(-shape[1] // _NX)
    _fill_tiles[n_tiles, _THREADS](
        cuda.to_device(atoms.reshape(-1)),
        np.int32(len(coords)),
        cuda.to_device(probes.reshape(-1)),
        np.int32(r0.shape[1]),
        PairWeights._make(map(np.float32, weights)),
        np.float32(spacing),
        np.int32(first_x),
        maps,
    )
    return maps


def build_maps(
    coords: Any, atom_type: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, origin: Any, spacing: Any, first_x: Any, maps: Any,
) -> None:  # fmt: skip
    """Fill the maps' x planes from ``first_x`` on; see ``cpu.maps``."""
    if maps.size == 0:
        return
    maps[...] = maps_on_device(
        coords, atom_type, r0, is_hydrophobic, is_hydrogen_bond, weights, origin, spacing, first_x,
        maps.shape,
    ).copy_to_host()  # fmt: skip


_FLAT: Final = types.float32[::1]

OFFLINE: Final = (
    Offline(
        "build_maps",
        _fill_tiles,
        (
            _FLAT,
            types.int32,
            _FLAT,
            types.int32,
            types.NamedTuple((types.float32,) * len(PairWeights._fields), PairWeights),
            types.float32,
            types.int32,
            types.float32[:, :, :, ::1],
        ),
        _THREADS,
        n_wide_loads=3,
    ),
)
