"""Kernels of the search: a warp is a Monte Carlo chain; see ``cpu.search``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.arguments import PairTable
from osong_kernels.cuda.compile import Offline, device, kernel
from osong_kernels.cuda.elementary import exponential
from osong_kernels.cuda.energy import (
    add_field,
    clear_forces,
    pair_energy_by_formula,
    pair_energy_by_table,
    sum_pairs,
)
from osong_kernels.cuda.kinematics import place_atoms, place_frames, pull_back
from osong_kernels.cuda.layout import (
    FIRST_CHAIN,
    HEAD,
    LIMIT,
    N_COLUMNS,
    N_RULES,
    N_SCALARS,
    N_TICKS,
    POOL_RMSD,
    POOL_SIZE,
    TEMPERATURE,
    chain_words,
    pool_words,
    warp_words,
)
from osong_kernels.cuda.memory import peek, poke
from osong_kernels.cuda.minimise import (
    BASE_ENERGY,
    CURRENT_ENERGY,
    ITERATION,
    NOTHING_YET,
    begin,
    take_energy,
    write_progress,
)
from osong_kernels.cuda.moves import ACCEPT, draw, mutate, random_gene, random_place
from osong_kernels.cuda.place import ligand_of, place_of
from osong_kernels.cuda.pool import EMPTY, remember
from osong_kernels.cuda.signatures import FIELD, FLOATS, INTEGERS, LIGANDS, TABLE, WEIGHTS
from osong_kernels.cuda.warp import (
    LANES,
    alike,
    at,
    block_index,
    block_sync,
    block_threads,
    lane_index,
    thread_index,
    warp_index,
    warp_sum,
    warp_sync,
    wide,
)

__all__ = [
    "CONFORMER_OF_CURRENT",
    "OFFLINE",
    "carried_words",
    "run_chains_by_formula",
    "run_chains_by_table",
    "start_chains_of",
]

_ZERO: Final = np.float32(0.0)
_ONE: Final = np.float32(1.0)
_CONFORMER: Final = 7
CONFORMER_OF_CURRENT: Final = 8
_STEP: Final = 9
_chain_words = device(chain_words)
_pool_words = device(pool_words)


@device
def carried_words(n_segments: Any) -> Any:
    """Return how many of a chain's numbers come to shared memory: all but the current point."""
    return np.int32(_chain_words(n_segments) - (6 + n_segments))


@kernel
def start_chains_of(
    arrays: Any, n_chains: Any, low: Any, high: Any, chains: Any, pools: Any
) -> None:
    """Put every chain of every ligand at a random place in the box; a thread a chain.

    ``low`` and ``high`` (3,) float32, angstrom; see ``layout`` for the rest.
    """
    number = block_index() * block_threads() + thread_index()
    row = np.int32(at(number) // at(n_chains))
    chain = np.int32(number - row * n_chains)
    if row >= len(arrays.chain_start) - 1:
        return
    ligand = ligand_of(arrays, row)
    first = peek(arrays.chain_start, row, 0) + chain * _chain_words(ligand.n_segments)
    named = chain + peek(arrays.table, N_COLUMNS * row + FIRST_CHAIN, 0)
    for k in range(_chain_words(ligand.n_segments)):
        chains[wide(first + k)] = _ZERO
    genes = random_place(arrays.key, row, named, low, high)
    chains[wide(first)] = genes[0]
    chains[wide(first + 1)] = genes[1]
    chains[wide(first + 2)] = genes[2]
    chains[wide(first + 3)] = genes[3]
    chains[wide(first + 4)] = genes[4]
    chains[wide(first + 5)] = genes[5]
    chains[wide(first + 6)] = genes[6]
    for k in range(7, ligand.n_segments + 6):
        chains[wide(first + k)] = random_gene(arrays.key, row, named, k)
    scalars = first + carried_words(ligand.n_segments) - N_SCALARS
    conformer = np.float32(at(named) % at(ligand.n_conformers))
    chains[wide(scalars + CURRENT_ENERGY)] = NOTHING_YET
    chains[wide(scalars + ITERATION)] = -_ONE
    chains[wide(scalars + _CONFORMER)] = conformer
    chains[wide(scalars + CONFORMER_OF_CURRENT)] = conformer
    pool = peek(arrays.pool_start, row, 0) + chain * _pool_words(ligand.n_atoms, ligand.n_segments)
    for k in range(POOL_SIZE):
        pools[wide(pool + k)] = EMPTY


@device
def _metropolis(arrays: Any, row: Any, named: Any, step: Any, base: Any, current: Any) -> Any:
    """Return whether the chain moves to the minimum just found."""
    rise = base - current
    if rise <= _ZERO:
        return True
    u = draw(arrays.key, row, named, step, ACCEPT, 0)[0]
    return u < exponential(-rise / peek(arrays.rules, N_RULES * row + TEMPERATURE, 0))


@device
def _next_start(arrays: Any, chains: Any, pools: Any, shared: Any, bits: Any, first: Any) -> None:
    """End a local optimisation, and begin the next from a mutation.

    ``first`` is where the warp's shared memory begins.
    """
    row, chain = alike(peek(bits, first + HEAD, 0)), peek(bits, first + HEAD, 1)
    ligand = ligand_of(arrays, row)
    place = place_of(first, ligand.n_atoms, ligand.n_segments)
    scalars = place.scalars
    n_genes = ligand.n_segments + 6
    named = peek(arrays.table, N_COLUMNS * row + FIRST_CHAIN, 0) + chain
    conformer = np.int32(peek(shared, scalars + _CONFORMER, 0))
    current_conformer = np.int32(peek(shared, scalars + CONFORMER_OF_CURRENT, 0))
    step = np.int32(peek(shared, scalars + _STEP, 0))
    energy = peek(shared, scalars + CURRENT_ENERGY, 0)
    found = peek(shared, scalars + BASE_ENERGY, 0)
    current = peek(arrays.chain_start, row, 0) + chain * _chain_words(ligand.n_segments)
    current += carried_words(ligand.n_segments)
    k = lane_index()
    if _metropolis(arrays, row, named, step, found, energy):
        energy = found
        current_conformer = conformer
        place_frames(arrays, ligand, conformer, shared, place.base, place.frames)
        place_atoms(arrays, ligand, conformer, shared, place)
        limit = peek(arrays.rules, N_RULES * row + POOL_RMSD, 0)
        pool = peek(arrays.pool_start, row, 0) + chain * _pool_words(
            ligand.n_atoms, ligand.n_segments
        )
        remember(pools, pool, energy, conformer, limit * limit, ligand, shared, place)
        while k < n_genes:
            chains[wide(current + k)] = peek(shared, place.base + k, 0)
            k = np.int32(k + LANES)
    k = lane_index()
    while k < n_genes:
        poke(shared, place.trial + k, 0, chains[wide(current + k)])
        k = np.int32(k + LANES)
    warp_sync()
    step = np.int32(step + 1)
    tried = mutate(arrays, ligand, named, step, current_conformer, shared, place)
    if lane_index() == 0:
        write_progress(shared, scalars, begin(energy))
        poke(shared, scalars + _CONFORMER, 0, np.float32(tried))
        poke(shared, scalars + CONFORMER_OF_CURRENT, 0, np.float32(current_conformer))
        poke(shared, scalars + _STEP, 0, np.float32(step))
    warp_sync()


@device
def _evaluate(
    arrays: Any, field: Any, pair_energy: Any, weights: Any, shared: Any, bits: Any, first: Any
) -> Any:
    """Return the energy of the trial point; its gradient stands in shared memory afterwards."""
    row = alike(peek(bits, first + HEAD, 0))
    ligand = ligand_of(arrays, row)
    place = place_of(first, ligand.n_atoms, ligand.n_segments)
    limit = peek(arrays.rules, N_RULES * row + LIMIT, 0)
    conformer = np.int32(peek(shared, place.scalars + _CONFORMER, 0))
    place_frames(arrays, ligand, conformer, shared, place.trial, place.frames)
    clear_forces(ligand, bits, place)
    place_atoms(arrays, ligand, conformer, shared, place)
    energy = sum_pairs(arrays, ligand, pair_energy, weights, limit, shared, bits, place)
    energy += add_field(arrays, ligand, field, limit, shared, bits, place)
    energy = warp_sum(energy, shared)
    pull_back(arrays, ligand, conformer, shared, place)
    return energy


def _make_run_chains(pair_energy: Any, is_table: bool) -> Any:
    """Return the kernel with one way of computing the ligand's own pairs."""

    def run_chains_of(
        arrays: Any, active: Any, n_chains: Any, field: Any, weights: Any, chains: Any, pools: Any,
        words: Any,
    ) -> None:  # fmt: skip
        """Advance all chains of the active ligands by their ticks; a warp a chain.

        ``active`` (n,) int32 are rows of ``arrays.table``; a block has chains of one ligand.
        ``words`` is how many numbers of dynamic shared memory a warp has.
        """
        shared = cuda.shared.array(0, types.float32)
        bits = cuda.shared.array(0, types.int32)
        table = weights
        if is_table:
            coefficients = cuda.shared.array((4, 4, 32), types.float32)
            k = thread_index()
            while k < 512:
                kind, power, segment = at(k >> 7), at((k >> 5) & 3), at(k & 31)
                coefficients[kind, power, segment] = weights.coefficients[kind, power, segment]
                k = np.int32(k + block_threads())
            block_sync()
            table = PairTable(coefficients, weights.first, weights.step, weights.cutoff)
        n_warps = at(block_threads()) // at(LANES)
        n_blocks = at(n_chains + n_warps - 1) // n_warps
        turn = at(block_index()) // n_blocks
        row = active[at(turn)]
        chain = np.int32((block_index() - turn * n_blocks) * n_warps + warp_index())
        first = np.int32(warp_index() * words)
        if chain < n_chains:
            # Read again by each part of a tick: what follows from them would else be kept in
            # registers from one part to the next, twice as many as any part needs.
            if lane_index() == 0:
                poke(bits, first + HEAD, 0, row)
                poke(bits, first + HEAD, 1, chain)
            _carry(arrays, row, chain, chains, shared, first, True)
            for _ in range(peek(arrays.table, N_COLUMNS * row + N_TICKS, 0)):
                energy = _evaluate(arrays, field, pair_energy, table, shared, bits, first)
                if take_energy(arrays, arrays.rules, energy, shared, bits, first):
                    _next_start(arrays, chains, pools, shared, bits, first)
            row, chain = alike(peek(bits, first + HEAD, 0)), peek(bits, first + HEAD, 1)
            _carry(arrays, row, chain, chains, shared, first, False)

    return kernel(run_chains_of)


@device
def _carry(
    arrays: Any, row: Any, chain: Any, chains: Any, shared: Any, first: Any, is_coming: Any
) -> None:
    """Bring what a chain carries to shared memory, or back."""
    ligand = ligand_of(arrays, row)
    place = place_of(first, ligand.n_atoms, ligand.n_segments)
    start = peek(arrays.chain_start, row, 0) + chain * _chain_words(ligand.n_segments)
    k = lane_index()
    while k < carried_words(ligand.n_segments):
        if is_coming:
            poke(shared, place.trial + k, 0, chains[wide(start + k)])
        else:
            chains[wide(start + k)] = peek(shared, place.trial + k, 0)
        k = np.int32(k + LANES)
    warp_sync()


run_chains_by_table = _make_run_chains(pair_energy_by_table, True)
run_chains_by_formula = _make_run_chains(pair_energy_by_formula, False)

_WARPS: Final = 4
_SHARED: Final = 4 * _WARPS * warp_words(30, 7)
OFFLINE: Final = (
    Offline(
        "start_chains", start_chains_of, (LIGANDS, types.int32, *(FLOATS,) * 4), 128,
    ),
    Offline(
        "run_chains", run_chains_by_table,
        (LIGANDS, INTEGERS, types.int32, FIELD, TABLE, FLOATS, FLOATS, types.int32),
        32 * _WARPS, _SHARED, n_wide_loads=2,
    ),
    Offline(
        "run_chains, exact pairs", run_chains_by_formula,
        (LIGANDS, INTEGERS, types.int32, FIELD, WEIGHTS, FLOATS, FLOATS, types.int32),
        32 * _WARPS, _SHARED, n_wide_loads=2,
    ),
)  # fmt: skip
