"""Between rounds: which ligands are done, and where their worse chains go on; a warp a ligand.

The rules are those of the search on the CPU (``osong.search.chains``): the distinct minima that any
chain of a ligand has found, best first, are its elite; the worse half of each group of sixteen
chains goes on from them, but for every fourth group.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.cuda.chains import CONFORMER_OF_CURRENT, carried_words
from osong_kernels.cuda.compile import Offline, device, kernel
from osong_kernels.cuda.layout import N_SCALARS, POOL_SIZE, chain_words, pool_words
from osong_kernels.cuda.memory import peek, poke
from osong_kernels.cuda.minimise import CURRENT_ENERGY
from osong_kernels.cuda.place import ligand_of
from osong_kernels.cuda.pool import EMPTY, pool_coords, pool_genes
from osong_kernels.cuda.signatures import FLOATS, INTEGERS, LIGANDS
from osong_kernels.cuda.warp import (
    LANES,
    at,
    block_index,
    lane_index,
    warp_min,
    warp_sum,
    warp_sync,
    wide,
)

__all__ = [
    "GROUP",
    "OFFLINE",
    "exchange_chains",
    "gather_minima",
    "shared_bytes",
]

GROUP: Final = 16
"""Chains of a group, as many as lanes on the CPU."""
_SENT: Final = 8
_BEFORE_ALL: Final = np.float32(-1e30)
_NOWHERE: Final = np.float32(1e9)
_ZERO: Final = np.float32(0.0)
_chain_words = device(chain_words)
_pool_words = device(pool_words)


def shared_bytes() -> int:
    """Return the dynamic shared memory of a block: the simulator's sums, and ranks in a group."""
    return 4 * (max(LANES, 32) + GROUP)


@device
def _pool_of(arrays: Any, ligand: Any, index: Any) -> Any:
    """Return where the pool begins that has a candidate; candidates count chains, then places."""
    words = _pool_words(ligand.n_atoms, ligand.n_segments)
    return peek(arrays.pool_start, ligand.number, 0) + (index >> 3) * words


@device
def _next_candidate(
    arrays: Any, ligand: Any, n_chains: Any, pools: Any, energy: Any, index: Any, shared: Any
) -> Any:
    """Return energy and index of the best candidate after a given one; `EMPTY` if there is none."""
    best, place = EMPTY, _NOWHERE
    k = lane_index()
    while k < n_chains * POOL_SIZE:
        e = pools[wide(_pool_of(arrays, ligand, k) + (k & 7))]
        if e < best and (e > energy or (e == energy and np.float32(k) > index)):
            best, place = e, np.float32(k)
        k = np.int32(k + LANES)
    lowest = warp_min(best, shared)
    return lowest, warp_min(place if best == lowest else _NOWHERE, shared)


@device
def _is_new(
    arrays: Any, ligand: Any, pools: Any, index: Any, chosen: Any, first: Any, n_chosen: Any,
    limit2: Any, shared: Any,
) -> Any:  # fmt: skip
    """Return whether a candidate is farther than a limit (mean square) from all chosen ones."""
    n_genes, n_atoms = ligand.n_segments + 6, ligand.n_atoms
    own = pool_coords(_pool_of(arrays, ligand, index), index & 7, n_genes, n_atoms)
    for c in range(n_chosen):
        other_index = chosen[at(first + c)]
        other = pool_coords(
            _pool_of(arrays, ligand, other_index), other_index & 7, n_genes, n_atoms
        )
        total = _ZERO
        k = lane_index()
        while k < 3 * n_atoms:
            d = pools[wide(own + k)] - pools[wide(other + k)]
            total += d * d
            k = np.int32(k + LANES)
        if warp_sum(total, shared) < limit2 * np.float32(n_atoms):
            return False
    return True


@device
def _pick(
    arrays: Any, ligand: Any, n_chains: Any, pools: Any, limit2: Any, n_wanted: Any, chosen: Any,
    first: Any, shared: Any,
) -> Any:  # fmt: skip
    """Write the candidates that are distinct, best first, to ``chosen``; return their number."""
    energy, index = _BEFORE_ALL, -_NOWHERE
    n_chosen = np.int32(0)
    while n_chosen < n_wanted:
        energy, index = _next_candidate(arrays, ligand, n_chains, pools, energy, index, shared)
        if energy >= EMPTY:
            break
        candidate = np.int32(index)
        if _is_new(arrays, ligand, pools, candidate, chosen, first, n_chosen, limit2, shared):
            if lane_index() == 0:
                chosen[at(first + n_chosen)] = candidate
            warp_sync()
            n_chosen = np.int32(n_chosen + 1)
    return n_chosen


@device
def _lowest(arrays: Any, ligand: Any, n_chains: Any, pools: Any, shared: Any) -> Any:
    """Return the lowest energy that any chain has found."""
    best = EMPTY
    k = lane_index()
    while k < n_chains:
        best = min(best, pools[wide(_pool_of(arrays, ligand, k * POOL_SIZE))])
        k = np.int32(k + LANES)
    return warp_min(best, shared)


@kernel
def exchange_chains(
    arrays: Any, active: Any, n_chains: Any, n_done: Any, n_elite: Any, limit2: Any, gain: Any,
    patience: Any, elite: Any, best: Any, since: Any, chains: Any, pools: Any,
) -> None:  # fmt: skip
    """End a round of the active ligands: note what they found, and send chains on.

    ``n_done`` rounds were done before; ``elite`` (n_ligands * n_elite_at_most,) int32 is scratch;
    ``best`` (n_ligands,) float32 and ``since`` (n_ligands,) int32, the rounds without a minimum
    better by ``gain`` kcal/mol, are updated; ligands with ``patience`` of these are left alone.
    """
    shared = cuda.shared.array(0, types.float32)
    row = active[at(block_index())]
    ligand = ligand_of(arrays, row)
    found = _lowest(arrays, ligand, n_chains, pools, shared)
    old = best[at(row)]
    waited = np.int32(0) if found < old - gain else np.int32(since[at(row)] + 1)
    warp_sync()
    if lane_index() == 0:
        best[at(row)] = min(found, old)
        since[at(row)] = waited
    if waited >= patience:
        return
    first = np.int32(row * (at(len(elite)) // at(len(best))))
    n_chosen = _pick(arrays, ligand, n_chains, pools, limit2, n_elite, elite, first, shared)
    if n_chosen:
        for group in range(n_chains >> 4):
            if group & 3 != 3:
                turn = 7 * n_done + _SENT * group
                _send(arrays, ligand, group, turn, elite, first, n_chosen, chains, pools, shared)


@device
def _energy_of(arrays: Any, ligand: Any, chain: Any) -> Any:
    """Return where the current energy of a chain stands."""
    first = peek(arrays.chain_start, ligand.number, 0) + chain * _chain_words(ligand.n_segments)
    return first + carried_words(ligand.n_segments) - N_SCALARS + CURRENT_ENERGY


@device
def _rank(arrays: Any, ligand: Any, group: Any, lane: Any, chains: Any) -> Any:
    """Return how many chains of a group are worse than one of them."""
    own = chains[wide(_energy_of(arrays, ligand, group * GROUP + lane))]
    rank = 0
    for other in range(GROUP):
        energy = chains[wide(_energy_of(arrays, ligand, group * GROUP + other))]
        if energy > own or (energy == own and other > lane):
            rank += 1
    return rank


@device
def _send(
    arrays: Any, ligand: Any, group: Any, turn: Any, elite: Any, first: Any, n_elite: Any,
    chains: Any, pools: Any, shared: Any,
) -> None:  # fmt: skip
    """Send the worse half of a group on from the elite."""
    ranks = max(LANES, 32)
    k = lane_index()
    while k < GROUP:
        poke(shared, ranks + k, 0, np.float32(_rank(arrays, ligand, group, k, chains)))
        k = np.int32(k + LANES)
    warp_sync()
    k = lane_index()
    while k < GROUP:
        rank = np.int32(peek(shared, ranks + k, 0))
        if rank < _SENT:
            index = elite[at(first + at(turn + rank) % at(n_elite))]
            _go_on_from(arrays, ligand, group * GROUP + k, index, chains, pools)
        k = np.int32(k + LANES)
    warp_sync()


@device
def _go_on_from(arrays: Any, ligand: Any, chain: Any, index: Any, chains: Any, pools: Any) -> None:
    """Let a chain go on from a minimum, if that is better."""
    pool, slot = _pool_of(arrays, ligand, index), index & 7
    energy = pools[wide(pool + slot)]
    place = _energy_of(arrays, ligand, chain)
    if energy < chains[wide(place)]:
        chains[wide(place)] = energy
        scalars = place - CURRENT_ENERGY
        chains[wide(scalars + CONFORMER_OF_CURRENT)] = pools[wide(pool + POOL_SIZE + slot)]
        genes = pool_genes(pool, slot, ligand.n_segments + 6)
        for k in range(ligand.n_segments + 6):
            chains[wide(scalars + N_SCALARS + k)] = pools[wide(genes + k)]


@kernel
def gather_minima(
    arrays: Any, n_chains: Any, limit2: Any, chosen: Any, pools: Any, counts: Any, energies: Any,
    conformers: Any, genotypes: Any,
) -> None:  # fmt: skip
    """Write the distinct minima of every ligand, best first; a block a ligand.

    ``chosen`` (n_ligands * n_wanted,) int32 is scratch; fills ``counts`` (n_ligands,) int32,
    ``energies`` (n_ligands * n_wanted,) float32, kcal/mol, ``conformers`` (same) int32 and
    ``genotypes`` (n_ligands * n_wanted, n) float32, n being the genes of the largest ligand.
    """
    shared = cuda.shared.array(0, types.float32)
    row = block_index()
    ligand = ligand_of(arrays, row)
    n_wanted = np.int32(at(len(chosen)) // at(len(counts)))
    first = row * n_wanted
    n_found = _pick(arrays, ligand, n_chains, pools, limit2, n_wanted, chosen, first, shared)
    n_genes = ligand.n_segments + 6
    if lane_index() == 0:
        counts[at(row)] = n_found
    for p in range(n_found):
        index = chosen[at(first + p)]
        pool, slot = _pool_of(arrays, ligand, index), index & 7
        if lane_index() == 0:
            energies[at(first + p)] = pools[wide(pool + slot)]
            conformers[at(first + p)] = np.int32(pools[wide(pool + POOL_SIZE + slot)])
        k = lane_index()
        while k < n_genes:
            genotypes[at(first + p), at(k)] = pools[wide(pool_genes(pool, slot, n_genes) + k)]
            k = np.int32(k + LANES)


OFFLINE: Final = (
    Offline(
        "exchange_chains", exchange_chains,
        (
            LIGANDS, INTEGERS, *(types.int32,) * 3, *(types.float32,) * 2, types.int32, INTEGERS,
            FLOATS, INTEGERS, FLOATS, FLOATS,
        ),
        32, shared_bytes(),
    ),
    Offline(
        "gather_minima", gather_minima,
        (
            LIGANDS, types.int32, types.float32, INTEGERS, FLOATS, INTEGERS, FLOATS, INTEGERS,
            types.float32[:, ::1],
        ),
        32, shared_bytes(),
    ),
)  # fmt: skip
