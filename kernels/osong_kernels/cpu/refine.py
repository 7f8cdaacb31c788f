"""Local optimisation of poses under the exact (pairwise) energy."""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import inner, kernel
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential and sine)
from osong_kernels.cpu.chains import restart, set_conformer
from osong_kernels.cpu.energy import add_pair_energy
from osong_kernels.cpu.exact import exact_energy, list_neighbours
from osong_kernels.cpu.kinematics import place_atoms, pull_back
from osong_kernels.cpu.lane_memory import load
from osong_kernels.cpu.lanes import N_LANES
from osong_kernels.cpu.minimise import CURRENT_ENERGY, DONE, advance_lanes, fill_trials

__all__ = ["refine_poses"]

_MARGIN = np.float32(1.0)  # angstrom an atom may move before its neighbours are listed anew


@inner
def _has_left(coords: Any, listed: Any, lane: Any) -> Any:
    """Return whether an atom of one lane moved so far that its list is out of date."""
    for i in range(coords.shape[0]):
        d2 = 0.0
        for k in range(3):
            d = coords[i, k, lane] - listed[i, k, lane]
            d2 += d * d
        if d2 > _MARGIN * _MARGIN:
            return True
    return False


@inner
def _read_lanes(topology: Any, genotypes: Any, conformers: Any, first: Any, state: Any) -> None:
    for lane in range(N_LANES):
        pose = min(first + lane, len(genotypes) - 1)
        set_conformer(state, topology, lane, conformers[pose])
        for k in range(genotypes.shape[1]):
            state.trial[k, lane] = genotypes[pose, k]
        state.scalars[CURRENT_ENERGY, lane] = np.float32(1e30)
        restart(state, lane)


@inner
def _write_done(state: Any, genotypes: Any, first: Any, is_written: Any, is_last: Any) -> Any:
    """Write lanes that have converged (all, in the last round); return how many are left."""
    n_left = 0
    for lane in range(min(N_LANES, len(genotypes) - first)):
        if is_written[lane]:
            continue
        if state.scalars[DONE, lane] > 0.0 or is_last:
            is_written[lane] = True
            for k in range(genotypes.shape[1]):
                genotypes[first + lane, k] = state.base[k, lane]
        else:
            n_left += 1
    return n_left


@kernel
def refine_poses(
    topology: Any, pairs: Any, atom_type: Any, receptor: Any, weights: Any, rules: Any, low: Any,
    high: Any, wall: Any, max_ticks: Any, conformers: Any, genotypes: Any, state: Any,
) -> None:  # fmt: skip
    """Move ``genotypes`` (n, 7 + T) float32 to the nearest minima of the exact energy, in place.

    Takes ``LigandTopology``, ``PairList``, the atoms' types (n_scored,) int32, ``ReceptorAtoms``,
    ``PairWeights``, ``SearchRules``; ``low`` and ``high`` (3,) float32, angstrom: the box;
    ``wall`` kcal/mol per angstrom outside; ``conformers`` (n,) int32; ``state`` is scratch.
    """
    n_atoms, n_segments = state.local.shape[0], state.axis.shape[0]
    n_dof = state.direction.shape[0]
    frames = np.empty((n_segments, 12, N_LANES), np.float32)
    coords = np.empty((n_atoms, 3, N_LANES), np.float32)
    listed = np.empty((n_atoms, 3, N_LANES), np.float32)
    forces = np.empty((n_atoms, 3, N_LANES), np.float32)
    wrench = np.empty((n_segments, 6, N_LANES), np.float32)
    gradient = np.empty((n_dof, N_LANES), np.float32)
    scratch = np.empty((2 * n_dof, N_LANES), np.float32)
    energy = np.empty((1, N_LANES), np.float32)
    n_blocks = receptor.xyz.shape[1] // N_LANES + 1
    lists = np.empty((N_LANES, 7, n_blocks, N_LANES), np.float32)
    counts = np.zeros(N_LANES, np.int32)
    limit = np.float32(rules.limit)
    reach = np.float32(weights.cutoff) + _MARGIN
    for first in range(0, len(genotypes), N_LANES):
        _read_lanes(topology, genotypes, conformers, first, state)
        # lanes beyond the last pose have nothing to do, like those that have converged
        is_written = np.arange(N_LANES) >= len(genotypes) - first
        for tick in range(max_ticks):
            place_atoms(
                state.trial, topology.segment_start, topology.parent, state.local, state.axis,
                state.offset, frames, coords,
            )  # fmt: skip
            for lane in range(N_LANES):
                if is_written[lane]:
                    continue
                if tick == 0 or _has_left(coords, listed, lane):
                    list_neighbours(coords, lane, receptor, reach, lists, counts)
                    listed[:, :, lane] = coords[:, :, lane]
            exact_energy(
                coords, atom_type, lists, counts, receptor, weights, limit, low, high, wall,
                is_written, forces, energy[0],
            )  # fmt: skip
            total = load(energy, (0,)) + add_pair_energy(coords, pairs, weights, limit, forces)
            pull_back(
                topology.segment_start, topology.parent, state.axis, frames, coords, forces,
                wrench, gradient,
            )  # fmt: skip
            advance_lanes(state, total, gradient, topology.metric, rules, scratch)
            if _write_done(state, genotypes, first, is_written, tick == max_ticks - 1) == 0:
                break
            fill_trials(state)
