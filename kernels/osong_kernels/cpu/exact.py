"""Exact (pairwise) receptor energy of lane poses.

Here the lanes of the inner loop are sixteen receptor atoms, not sixteen poses: poses lie in
different places, so each has its own list of receptor atoms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import inner
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES, any_lane
from osong_kernels.physics.ops import minimum
from osong_kernels.physics.pair_terms import cap, pair_energy

__all__ = ["exact_energy", "list_neighbours"]

_FAR = np.float32(1e6)  # where the padding of a list stands, angstrom


@inner
def list_neighbours(
    coords: Any, lane: Any, receptor: Any, reach: Any, lists: Any, counts: Any
) -> None:
    """List the receptor atoms within ``reach`` of any atom of one lane's pose.

    Fills ``lists`` (L, 7, capacity / L, L): x, y, z, radius and three roles, in blocks of lanes;
    ``counts`` (L,) int32 becomes the number of blocks.
    """
    n_atoms = coords.shape[0]
    low = np.empty(3, np.float32)
    high = np.empty(3, np.float32)
    for k in range(3):
        low[k] = coords[0, k, lane]
        high[k] = coords[0, k, lane]
        for i in range(n_atoms):
            low[k] = min(low[k], coords[i, k, lane])
            high[k] = max(high[k], coords[i, k, lane])
    n_found = 0
    for a in range(receptor.xyz.shape[1]):
        if not _is_near(coords, lane, receptor.xyz, a, low, high, reach):
            continue
        block, column = n_found // N_LANES, n_found % N_LANES
        t = receptor.atom_type[a]
        for k in range(3):
            lists[lane, k, block, column] = receptor.xyz[k, a]
        lists[lane, 3, block, column] = receptor.radius[t]
        lists[lane, 4, block, column] = receptor.is_hydrophobic[t]
        lists[lane, 5, block, column] = receptor.is_donor[t]
        lists[lane, 6, block, column] = receptor.is_acceptor[t]
        n_found += 1
    counts[lane] = (n_found + N_LANES - 1) // N_LANES
    for slot in range(n_found, counts[lane] * N_LANES):
        for k in range(7):
            lists[lane, k, slot // N_LANES, slot % N_LANES] = _FAR


@inner
def _is_near(coords: Any, lane: Any, xyz: Any, a: Any, low: Any, high: Any, reach: Any) -> Any:
    for k in range(3):
        if xyz[k, a] < low[k] - reach or xyz[k, a] > high[k] + reach:
            return False
    for i in range(coords.shape[0]):
        dx = coords[i, 0, lane] - xyz[0, a]
        dy = coords[i, 1, lane] - xyz[1, a]
        dz = coords[i, 2, lane] - xyz[2, a]
        if dx * dx + dy * dy + dz * dz < reach * reach:
            return True
    return False


@inner
def _sum_lanes(buffer: Any, row: Any) -> Any:
    total = 0.0
    for lane in range(N_LANES):
        total += buffer[row, lane]
    return total


@inner
def _atom_energy(
    x: Any, y: Any, z: Any, t: Any, lists: Any, lane: Any, n_blocks: Any, receptor: Any,
    weights: Any, buffer: Any,
) -> Any:  # fmt: skip
    """Return the energy of one ligand atom with its lane's receptor atoms, and its derivatives."""
    buffer[:] = np.float32(0.0)
    radius = receptor.radius[t]
    hydrophobic, donor, acceptor = (
        receptor.is_hydrophobic[t],
        receptor.is_donor[t],
        receptor.is_acceptor[t],
    )
    cutoff2 = np.float32(weights.cutoff * weights.cutoff)
    for b in range(n_blocks):
        dx = x - load(lists, (lane, 0, b))
        dy = y - load(lists, (lane, 1, b))
        dz = z - load(lists, (lane, 2, b))
        r2 = dx * dx + dy * dy + dz * dz
        if not any_lane(r2 < cutoff2):
            continue
        hydrogen_bond = minimum(
            load(lists, (lane, 6, b)) * donor + load(lists, (lane, 5, b)) * acceptor, 1.0
        )
        energy, slope = pair_energy(
            r2, load(lists, (lane, 3, b)) + radius, load(lists, (lane, 4, b)) * hydrophobic,
            hydrogen_bond, weights,
        )  # fmt: skip
        store(buffer, (0,), load(buffer, (0,)) + energy)
        store(buffer, (1,), load(buffer, (1,)) + dx * slope)
        store(buffer, (2,), load(buffer, (2,)) + dy * slope)
        store(buffer, (3,), load(buffer, (3,)) + dz * slope)
    return (
        _sum_lanes(buffer, 0), _sum_lanes(buffer, 1), _sum_lanes(buffer, 2), _sum_lanes(buffer, 3),
    )  # fmt: skip


@inner
def exact_energy(
    coords: Any, atom_type: Any, lists: Any, counts: Any, receptor: Any, weights: Any, limit: Any,
    low: Any, high: Any, wall: Any, is_idle: Any, forces: Any, energy: Any,
) -> None:  # fmt: skip
    """Fill ``energy`` (L,) and ``forces`` (n, 3, L) of all lanes; atoms outside the box hit a wall.

    ``low`` and ``high`` (3,) float32 are the box's corners, ``wall`` kcal/mol per angstrom; lanes
    where ``is_idle`` (L,) bool is set get zeros.
    """
    buffer = np.empty((4, N_LANES), np.float32)
    gradient = np.empty(3, np.float32)
    for lane in range(N_LANES):
        energy[lane] = 0.0
        forces[:, :, lane] = 0.0
        if is_idle[lane]:
            continue
        total = 0.0
        for i in range(coords.shape[0]):
            x, y, z = coords[i, 0, lane], coords[i, 1, lane], coords[i, 2, lane]
            value, gradient[0], gradient[1], gradient[2] = _atom_energy(
                x, y, z, atom_type[i], lists, lane, counts[lane], receptor, weights, buffer
            )
            value, factor = cap(value, limit)
            total += value
            for k in range(3):
                slope = gradient[k] * factor
                below = low[k] - coords[i, k, lane]
                above = coords[i, k, lane] - high[k]
                if below > 0.0:
                    total += below * wall
                    slope -= wall
                if above > 0.0:
                    total += above * wall
                    slope += wall
                forces[i, k, lane] = slope
        energy[lane] = total
