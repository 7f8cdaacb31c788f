"""A chain's pool of distinct minima, in global memory; see ``cpu.search``.

A pool is one run of numbers: energies, conformers, genotypes, coordinates, each for all its places.
An empty place has the energy `EMPTY`: what divides and roots fast need know no infinity.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from osong_kernels.cuda.compile import device
from osong_kernels.cuda.elementary import is_number
from osong_kernels.cuda.layout import POOL_SIZE
from osong_kernels.cuda.memory import peek
from osong_kernels.cuda.warp import LANES, lane_index, warp_sum, warp_sync, wide

__all__ = ["EMPTY", "pool_coords", "pool_genes", "remember"]

EMPTY: Final = np.float32(1e30)
"""Energy of a place in a pool that holds nothing, kcal/mol."""
_ZERO: Final = np.float32(0.0)


@device
def pool_genes(pool: Any, slot: Any, n_genes: Any) -> Any:
    """Return where a place's genotype begins."""
    return pool + 2 * POOL_SIZE + slot * n_genes


@device
def pool_coords(pool: Any, slot: Any, n_genes: Any, n_atoms: Any) -> Any:
    """Return where a place's coordinates begin."""
    return pool + POOL_SIZE * (2 + n_genes) + slot * 3 * n_atoms


@device
def _is_same(
    pools: Any, pool: Any, slot: Any, ligand: Any, shared: Any, place: Any, limit2: Any
) -> Any:
    """Return whether the atoms of a place's pose are closer to the base's than a limit."""
    other = pool_coords(pool, slot, ligand.n_segments + 6, ligand.n_atoms)
    total = _ZERO
    k = np.int32(lane_index())
    while k < 3 * ligand.n_atoms:
        d = pools[wide(other + k)] - peek(shared, place.coords + k, 0)
        total += d * d
        k = np.int32(k + LANES)
    return warp_sum(total, shared) <= limit2 * np.float32(ligand.n_atoms)


@device
def _move(pools: Any, pool: Any, source: Any, target: Any, ligand: Any) -> None:
    """Copy one place to another; a lane reads only what it wrote itself."""
    n_genes, n_atoms = ligand.n_segments + 6, ligand.n_atoms
    lane = lane_index()
    k = np.int32(lane)
    while k < n_genes:
        pools[wide(pool_genes(pool, target, n_genes) + k)] = pools[
            wide(pool_genes(pool, source, n_genes) + k)
        ]
        k = np.int32(k + LANES)
    old = pool_coords(pool, source, n_genes, n_atoms)
    new = pool_coords(pool, target, n_genes, n_atoms)
    k = np.int32(lane)
    while k < 3 * n_atoms:
        pools[wide(new + k)] = pools[wide(old + k)]
        k = np.int32(k + LANES)
    if lane == 0:
        pools[wide(pool + target)] = pools[wide(pool + source)]
        pools[wide(pool + POOL_SIZE + target)] = pools[wide(pool + POOL_SIZE + source)]
    warp_sync()


@device
def _make_room(
    pools: Any, pool: Any, slot: Any, ligand: Any, shared: Any, place: Any, limit2: Any
) -> None:
    """Free a place; from there on forget the worse minima of the same pose."""
    end = slot
    for k in range(slot, POOL_SIZE):
        if pools[wide(pool + k)] >= EMPTY:
            break
        if not _is_same(pools, pool, k, ligand, shared, place, limit2):
            if end < k:
                _move(pools, pool, k, end, ligand)
            end += 1
    warp_sync()
    if lane_index() == 0:
        for k in range(end, POOL_SIZE):
            pools[wide(pool + k)] = EMPTY
    warp_sync()
    for back in range(min(end, POOL_SIZE - 1) - slot):
        k = min(end, POOL_SIZE - 1) - back
        _move(pools, pool, k - 1, k, ligand)


@device
def remember(
    pools: Any, pool: Any, energy: Any, conformer: Any, limit2: Any, ligand: Any, shared: Any,
    place: Any,
) -> None:  # fmt: skip
    """Keep the base, whose coordinates stand there, if it is new and good enough."""
    energy = energy if is_number(energy) else EMPTY
    if not energy < pools[wide(pool + POOL_SIZE - 1)]:
        return
    slot = 0
    while pools[wide(pool + slot)] <= energy:
        if _is_same(pools, pool, slot, ligand, shared, place, limit2):
            return
        slot += 1
    _make_room(pools, pool, slot, ligand, shared, place, limit2)
    n_genes = ligand.n_segments + 6
    genes = pool_genes(pool, slot, n_genes)
    coords = pool_coords(pool, slot, n_genes, ligand.n_atoms)
    lane = lane_index()
    k = np.int32(lane)
    while k < n_genes:
        pools[wide(genes + k)] = peek(shared, place.base + k, 0)
        k = np.int32(k + LANES)
    k = np.int32(lane)
    while k < 3 * ligand.n_atoms:
        pools[wide(coords + k)] = peek(shared, place.coords + k, 0)
        k = np.int32(k + LANES)
    if lane == 0:
        pools[wide(pool + slot)] = energy
        pools[wide(pool + POOL_SIZE + slot)] = np.float32(conformer)
    warp_sync()
