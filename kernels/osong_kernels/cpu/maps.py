"""Receptor field on a lattice: sixteen neighbouring lattice points along z are the lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import inner, kernel
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential)
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES, lane_numbers
from osong_kernels.physics.pair_terms import pair_energy

__all__ = ["build_maps"]


@inner
def _atoms_near_column(
    coords: Any, slab: Any, n_slab: Any, x: Any, y: Any, cutoff2: Any, near: Any
) -> Any:
    """Write the atoms of ``slab`` within the cutoff of the line (x, y) to ``near``; count them."""
    n_near = 0
    for k in range(n_slab):
        atom = slab[k]
        dx, dy = coords[atom, 0] - x, coords[atom, 1] - y
        if dx * dx + dy * dy < cutoff2:
            near[n_near] = atom
            n_near += 1
    return n_near


@inner
def _add_block(
    coords: Any, atom_type: Any, near: Any, n_near: Any, x: Any, y: Any, z: Any, spacing: Any,
    r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, block: Any,
) -> None:  # fmt: skip
    """Fill ``block`` (n_maps, L) for the points z, z + spacing, ..."""
    block[:] = np.float32(0.0)
    z_lanes = lane_numbers() * spacing + z
    reach = np.float32(weights.cutoff)
    top = z + spacing * np.float32(N_LANES - 1) + reach
    for k in range(n_near):
        atom = near[k]
        za = coords[atom, 2]
        if za < z - reach or za > top:
            continue
        dx, dy = coords[atom, 0] - x, coords[atom, 1] - y
        dz = z_lanes - za
        r2 = dz * dz + (dx * dx + dy * dy)
        t = atom_type[atom]
        for m in range(len(block)):
            energy, _ = pair_energy(
                r2, r0[m, t], is_hydrophobic[m, t], is_hydrogen_bond[m, t], weights
            )
            store(block, (m,), load(block, (m,)) + energy)


@kernel
def build_maps(
    coords: Any, atom_type: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, origin: Any, spacing: Any, first_x: Any, maps: Any,
) -> None:  # fmt: skip
    """Fill ``maps`` (n_maps, n_x, ny, nz) float32 in kcal/mol for x planes from ``first_x`` on.

    ``coords`` (n, 3) float32 in angstrom and ``atom_type`` (n,) int32 are the receptor's scored
    atoms; ``r0``, ``is_hydrophobic``, ``is_hydrogen_bond`` are (n_maps, n_types) float32;
    ``origin`` (3,) float32 and ``spacing`` in angstrom. Planes are independent: threads may
    share a lattice by planes, with the same result.
    """
    n_maps, n_x, ny, nz = maps.shape
    slab = np.empty(len(coords), np.int32)
    near = np.empty(len(coords), np.int32)
    block = np.empty((n_maps, N_LANES), np.float32)
    step = np.float32(spacing)
    cutoff = np.float32(weights.cutoff)
    for ix in range(n_x):
        x = origin[0] + step * np.float32(first_x + ix)
        n_slab = 0
        for atom in range(len(coords)):
            if abs(coords[atom, 0] - x) < cutoff:
                slab[n_slab] = atom
                n_slab += 1
        for iy in range(ny):
            y = origin[1] + step * np.float32(iy)
            n_near = _atoms_near_column(coords, slab, n_slab, x, y, cutoff * cutoff, near)
            for iz in range(0, nz, N_LANES):
                z = origin[2] + step * np.float32(iz)
                _add_block(
                    coords, atom_type, near, n_near, x, y, z, step, r0, is_hydrophobic,
                    is_hydrogen_bond, weights, block,
                )  # fmt: skip
                n_filled = min(N_LANES, nz - iz)
                for m in range(n_maps):
                    maps[m, ix, iy, iz : iz + n_filled] = block[m, :n_filled]
