"""Local optimisation of poses under the exact energy, a warp a pose; see ``cpu.refine``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.cuda.compile import Offline, device, kernel
from osong_kernels.cuda.device_memory import (
    bundle_to_device,
    single_precision,
    to_device,
    to_host,
)
from osong_kernels.cuda.energy import clear_forces, pair_energy_by_formula, sum_pairs
from osong_kernels.cuda.kinematics import place_atoms, place_frames, pull_back
from osong_kernels.cuda.layout import HEAD, LIMIT, N_RULES, LigandInput, pack_ligands, warp_words
from osong_kernels.cuda.memory import peek, poke
from osong_kernels.cuda.minimise import NOTHING_YET, begin, take_energy, write_progress
from osong_kernels.cuda.place import ligand_of, place_of
from osong_kernels.cuda.receptor import has_left, list_atoms, pack_receptor, sum_receptor
from osong_kernels.cuda.signatures import FLOATS, INTEGERS, LIGANDS, RECEPTOR, WEIGHTS
from osong_kernels.cuda.warp import LANES, alike, at, block_index, lane_index, warp_sum, warp_sync

__all__ = ["OFFLINE", "list_words", "refine_poses", "refine_poses_of", "refine_words"]

_ZERO: Final = np.float32(0.0)
_NO_KEY: Final = np.zeros(2, np.uint64)


def refine_words(n_atoms: int, n_segments: int) -> int:
    """Return how many numbers of shared memory a pose needs while it is refined."""
    return warp_words(n_atoms, n_segments) + 3 * n_atoms


def list_words(n_receptor: int) -> int:
    """Return how many numbers of global memory a pose needs for its list of receptor atoms."""
    return (n_receptor + LANES - 1) // LANES * LANES


@device
def _copy_genes(
    arrays: Any, row: Any, genotypes: Any, pose: Any, shared: Any, is_coming: Any
) -> None:
    """Bring a genotype to the trial point, where a fresh start begins, or the base back."""
    ligand = ligand_of(arrays, row)
    place = place_of(0, ligand.n_atoms, ligand.n_segments)
    k = lane_index()
    while k < ligand.n_segments + 6:
        if is_coming:
            poke(shared, place.trial + k, 0, genotypes[at(pose), at(k)])
        else:
            genotypes[at(pose), at(k)] = peek(shared, place.base + k, 0)
        k = np.int32(k + LANES)
    if is_coming and lane_index() == 0:
        write_progress(shared, place.scalars, begin(NOTHING_YET))
    warp_sync()


@device
def _place(
    arrays: Any, receptor: Any, weights: Any, words: Any, lists: Any, first: Any, n_listed: Any,
    tick: Any, shared: Any, bits: Any,
) -> Any:  # fmt: skip
    """Place the atoms of the trial point; return how many receptor atoms this lane has listed."""
    ligand = ligand_of(arrays, alike(peek(bits, HEAD, 0)))
    place = place_of(0, ligand.n_atoms, ligand.n_segments)
    conformer = alike(peek(bits, HEAD, 1))
    listed = np.int32(words - 3 * ligand.n_atoms)
    place_frames(arrays, ligand, conformer, shared, place.trial, place.frames)
    clear_forces(ligand, bits, place)
    place_atoms(arrays, ligand, conformer, shared, place)
    if tick == 0 or has_left(ligand, shared, place, listed):
        return list_atoms(ligand, receptor, weights.cutoff, lists, first, shared, place, listed)
    return n_listed


@device
def _evaluate(
    arrays: Any, rules: Any, receptor: Any, weights: Any, lists: Any, first: Any, n_listed: Any,
    shared: Any, bits: Any,
) -> Any:  # fmt: skip
    """Return the exact energy of the trial point; its gradient stands there afterwards."""
    ligand = ligand_of(arrays, alike(peek(bits, HEAD, 0)))
    place = place_of(0, ligand.n_atoms, ligand.n_segments)
    limit = peek(rules, N_RULES * ligand.number + LIMIT, 0)
    own = sum_pairs(arrays, ligand, pair_energy_by_formula, weights, limit, shared, bits, place)
    energy = warp_sum(own, shared)
    energy += sum_receptor(
        arrays, ligand, receptor, weights, limit, lists, first, n_listed, shared, bits, place
    )
    pull_back(arrays, ligand, alike(peek(bits, HEAD, 1)), shared, place)
    return energy


@kernel
def refine_poses_of(
    arrays: Any, rules: Any, counts: Any, receptor: Any, weights: Any, max_ticks: Any, words: Any,
    n_listed_at_most: Any, conformers: Any, genotypes: Any, lists: Any,
) -> None:  # fmt: skip
    """Move poses to the nearest minima of the exact energy, in place; a block of one warp a pose.

    ``rules`` (n_ligands * 9,) float32 are those of refinement; ``counts`` (n_ligands,) int32 says
    how many poses of each ligand there are, of ``len(conformers) / n_ligands`` places; ``lists``
    (n_poses * n_listed_at_most,) int32 is scratch.
    """
    shared = cuda.shared.array(0, types.float32)
    bits = cuda.shared.array(0, types.int32)
    pose = block_index()
    n_places = at(len(conformers)) // at(len(counts))
    row = np.int32(at(pose) // at(n_places))
    if pose - row * n_places >= counts[at(row)]:
        return
    # As in ``chains``: each part of a tick reads them again.
    if lane_index() == 0:
        poke(bits, HEAD, 0, row)
        poke(bits, HEAD, 1, conformers[at(pose)])
    _copy_genes(arrays, row, genotypes, pose, shared, True)
    first = np.int64(pose) * n_listed_at_most
    n_listed = np.int32(0)
    for tick in range(max_ticks):
        n_listed = _place(
            arrays, receptor, weights, words, lists, first, n_listed, tick, shared, bits
        )
        energy = _evaluate(arrays, rules, receptor, weights, lists, first, n_listed, shared, bits)
        if take_energy(arrays, rules, energy, shared, bits, 0):
            break
    _copy_genes(arrays, peek(bits, HEAD, 0), genotypes, pose, shared, False)


def refine_poses(
    topology: Any, pairs: Any, atom_type: Any, receptor: Any, weights: Any, rules: Any, low: Any,
    high: Any, wall: Any, max_ticks: Any, conformers: Any, genotypes: Any, state: Any,
) -> None:  # fmt: skip
    """Move ``genotypes`` to the nearest minima of the exact energy; see ``cpu.refine``."""
    if len(genotypes) == 0 or max_ticks == 0:
        return  # a device refuses a launch of no blocks
    n_atoms, n_segments = topology.local.shape[1], len(topology.parent)
    ligand = LigandInput(topology, pairs, rules, _NO_KEY, 0, 0, atom_type)
    arrays = bundle_to_device(pack_ligands([ligand], 1))
    held = to_device(genotypes)
    n_listed, n_poses = list_words(receptor.xyz.shape[1]), len(genotypes)
    words = refine_words(n_atoms, n_segments)
    refine_poses_of[n_poses, LANES, 0, 4 * words](
        arrays, arrays.rules, to_device(np.array([n_poses], np.int32)),
        bundle_to_device(pack_receptor(receptor, low, high, wall)), single_precision(weights),
        np.int32(max_ticks), np.int32(words), np.int32(n_listed), to_device(conformers), held,
        to_device(np.zeros(n_poses * n_listed, np.int32)),
    )  # fmt: skip
    genotypes[:] = to_host(held)


OFFLINE: Final = (
    Offline(
        "refine_poses", refine_poses_of,
        (
            LIGANDS, FLOATS, INTEGERS, RECEPTOR, WEIGHTS, *(types.int32,) * 3, INTEGERS,
            types.float32[:, ::1], INTEGERS,
        ),
        32, 4 * refine_words(30, 7), n_wide_loads=2,
    ),
)  # fmt: skip
