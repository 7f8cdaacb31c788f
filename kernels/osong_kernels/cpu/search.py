"""The search: sixteen Monte Carlo chains with local optimisation, in lockstep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from osong_kernels.compile import inner, kernel
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential and sine)
from osong_kernels.cpu.chains import restart, set_conformer
from osong_kernels.cpu.energy import add_pair_energy, field_energy
from osong_kernels.cpu.kinematics import place_atoms, pull_back
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES
from osong_kernels.cpu.minimise import (
    BASE_ENERGY,
    CURRENT_ENERGY,
    DONE,
    TRIALS,
    advance_lanes,
    fill_trials,
)
from osong_kernels.cpu.moves import ACCEPT, draw, mutate, random_start
from osong_kernels.physics.ops import select

__all__ = ["run_chains", "start_chains"]


@kernel
def start_chains(
    topology: Any, key: Any, first_chain: Any, low: Any, high: Any, state: Any
) -> None:
    """Put every chain at a random place in the box, in its own conformer.

    ``key`` is (2,) uint64, ``low`` and ``high`` (3,) float64 in angstrom, corners of the box.
    """
    for lane in range(N_LANES):
        chain = first_chain + lane
        set_conformer(state, topology, lane, chain % topology.local.shape[0])
        state.current_conformer[lane] = state.conformer[lane]
        state.step[lane] = 0
        state.scalars[CURRENT_ENERGY, lane] = np.float32(1e30)
        random_start(state, lane, key, chain, low, high)
        restart(state, lane)
    state.pool_energy[:] = np.inf


@inner
def _same_pose(a: Any, coords: Any, lane: Any, limit2: Any) -> Any:
    """Return whether a lane's atoms are closer to pose ``a`` than a limit (mean square)."""
    n = a.shape[0]
    total = 0.0
    for i in range(n):
        for k in range(3):
            d = a[i, k] - coords[i, k, lane]
            total += d * d
        if total > limit2 * n:
            return False
    return True


@inner
def _move_entry(state: Any, lane: Any, source: Any, target: Any) -> None:
    state.pool_energy[lane, target] = state.pool_energy[lane, source]
    state.pool_conformer[lane, target] = state.pool_conformer[lane, source]
    state.pool_genotype[lane, target] = state.pool_genotype[lane, source]
    state.pool_coords[lane, target] = state.pool_coords[lane, source]


@inner
def _make_room(state: Any, lane: Any, slot: Any, coords: Any, limit2: Any) -> None:
    """Free a slot of a lane's pool; from there on forget the worse minima of the same pose."""
    pool = state.pool_energy
    n_entries = pool.shape[1]
    end = slot
    for k in range(slot, n_entries):
        if pool[lane, k] == np.inf:
            break
        if not _same_pose(state.pool_coords[lane, k], coords, lane, limit2):
            if end < k:
                _move_entry(state, lane, k, end)
            end += 1
    pool[lane, end:] = np.inf
    for k in range(min(end, n_entries - 1), slot, -1):
        _move_entry(state, lane, k - 1, k)


@inner
def _remember(state: Any, lane: Any, energy: Any, coords: Any, rules: Any) -> None:
    """Keep a minimum in the lane's pool if it is new and good enough."""
    pool = state.pool_energy
    if not energy < pool[lane, pool.shape[1] - 1]:
        return
    limit2 = rules.pool_rmsd * rules.pool_rmsd
    slot = 0
    while pool[lane, slot] <= energy:
        if _same_pose(state.pool_coords[lane, slot], coords, lane, limit2):
            return
        slot += 1
    _make_room(state, lane, slot, coords, limit2)
    pool[lane, slot] = energy
    state.pool_conformer[lane, slot] = state.conformer[lane]
    for k in range(state.base.shape[0]):
        state.pool_genotype[lane, slot, k] = state.base[k, lane]
    for i in range(coords.shape[0]):
        for k in range(3):
            state.pool_coords[lane, slot, i, k] = coords[i, k, lane]


@inner
def _metropolis(state: Any, lane: Any, key: Any, chain: Any, rules: Any) -> Any:
    """Move the chain to the minimum just found, or stay; return whether it moved."""
    energy = state.scalars[BASE_ENERGY, lane]
    rise = energy - state.scalars[CURRENT_ENERGY, lane]
    if rise > 0.0:
        u = draw(key, chain, state.step[lane], ACCEPT, 0)[0]
        if u >= math.exp(-rise / rules.temperature):
            return False
    state.scalars[CURRENT_ENERGY, lane] = energy
    state.current_conformer[lane] = state.conformer[lane]
    for k in range(state.base.shape[0]):
        state.current[k, lane] = state.base[k, lane]
    return True


@kernel
def run_chains(
    topology: Any, pairs: Any, field: Any, weights: Any, rules: Any, key: Any, first_chain: Any,
    n_ticks: Any, state: Any,
) -> None:  # fmt: skip
    """Advance sixteen chains by ``n_ticks`` energy and gradient evaluations each.

    Takes ``LigandTopology``, ``PairList``, ``Field``, ``PairTable`` (or ``PairWeights``, which is
    slower) and ``SearchRules``; ``key`` is (2,) uint64; ``state`` is a ``ChainState``, changed in
    place. Each lane draws its random numbers by its chain's number, ``first_chain + lane``, so it
    never depends on another.
    """
    n_atoms = state.local.shape[0]
    n_segments = state.axis.shape[0]
    n_dof = state.direction.shape[0]
    frames = np.empty((n_segments, 12, N_LANES), np.float32)
    coords = np.empty((n_atoms, 3, N_LANES), np.float32)
    forces = np.empty((n_atoms, 3, N_LANES), np.float32)
    wrench = np.empty((n_segments, 6, N_LANES), np.float32)
    gradient = np.empty((n_dof, N_LANES), np.float32)
    scratch = np.empty((2 * n_dof, N_LANES), np.float32)
    base_coords = np.empty((n_atoms, 3, N_LANES), np.float32)
    limit = np.float32(rules.limit)
    # a line search may have begun in an earlier call: where its base is must be known again
    place_atoms(
        state.base, topology.segment_start, topology.parent, state.local, state.axis,
        state.offset, frames, base_coords,
    )  # fmt: skip
    for _ in range(n_ticks):
        place_atoms(
            state.trial, topology.segment_start, topology.parent, state.local, state.axis,
            state.offset, frames, coords,
        )  # fmt: skip
        energy = field_energy(coords, topology.map_index, field, limit, forces)
        energy = energy + add_pair_energy(coords, pairs, weights, limit, forces)
        pull_back(
            topology.segment_start, topology.parent, state.axis, frames, coords, forces, wrench,
            gradient,
        )  # fmt: skip
        advance_lanes(state, energy, gradient, topology.metric, rules, scratch)
        _keep_accepted(state, coords, base_coords)
        for lane in range(N_LANES):
            if state.scalars[DONE, lane] > 0.0:
                _finish(state, topology, lane, key, first_chain + lane, rules, base_coords)
        fill_trials(state)


@inner
def _keep_accepted(state: Any, coords: Any, base_coords: Any) -> None:
    """Copy the coordinates of the lanes whose trial was just accepted."""
    accepted = load(state.scalars, (TRIALS,)) < 0.5
    for i in range(len(coords)):
        for k in range(3):
            kept = load(base_coords, (i, k))
            store(base_coords, (i, k), select(accepted, load(coords, (i, k)), kept))


@inner
def _finish(
    state: Any, topology: Any, lane: Any, key: Any, chain: Any, rules: Any, base_coords: Any
) -> None:
    """End a lane's local optimisation and begin the next from a mutation."""
    if _metropolis(state, lane, key, chain, rules):
        _remember(state, lane, state.scalars[BASE_ENERGY, lane], base_coords, rules)
    state.step[lane] += 1
    mutate(state, topology, lane, key, chain, rules)
    restart(state, lane)
