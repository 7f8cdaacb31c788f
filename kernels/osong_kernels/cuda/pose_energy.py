"""Energy and gradient of given poses, a warp a pose; see ``cpu.pose_energy``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import cuda, types

from osong_kernels.arguments import PairTable
from osong_kernels.cuda.compile import Offline, kernel
from osong_kernels.cuda.device_memory import (
    bundle_to_device,
    empty,
    single_precision,
    to_device,
    to_host,
)
from osong_kernels.cuda.energy import (
    add_field,
    clear_forces,
    pair_energy_by_formula,
    pair_energy_by_table,
    sum_pairs,
)
from osong_kernels.cuda.kinematics import place_atoms, place_frames, pull_back
from osong_kernels.cuda.layout import LigandInput, pack_ligands, warp_words
from osong_kernels.cuda.place import ligand_of, place_of
from osong_kernels.cuda.search import NO_RULES, device_field
from osong_kernels.cuda.signatures import FIELD, INTEGERS, LIGANDS, TABLE, WEIGHTS
from osong_kernels.cuda.warp import LANES, at, block_index, lane_index, warp_sum, warp_sync

__all__ = ["OFFLINE", "pose_energy", "poses_by_formula", "poses_by_table"]

_NO_KEY: Final = np.zeros(2, np.uint64)


def _make_pose_energy(pair_energy: Any) -> Any:
    """Return the kernel with one way of computing the ligand's own pairs."""

    def pose_energy_of(
        arrays: Any, field: Any, weights: Any, limit: Any, genotypes: Any, conformers: Any,
        energy: Any, gradient: Any, coords: Any,
    ) -> None:  # fmt: skip
        """Fill energy, gradient and coordinates of poses of the first ligand; a block a pose."""
        shared = cuda.shared.array(0, types.float32)
        bits = cuda.shared.array(0, types.int32)
        pose = block_index()
        ligand = ligand_of(arrays, 0)
        place = place_of(0, ligand.n_atoms, ligand.n_segments)
        conformer = conformers[pose]
        lane = lane_index()
        k = np.int32(lane)
        while k < genotypes.shape[1]:
            shared[at(place.trial + k)] = genotypes[pose, k]
            k = np.int32(k + LANES)
        warp_sync()
        place_frames(arrays, ligand, conformer, shared, place.trial, place.frames)
        clear_forces(ligand, bits, place)
        place_atoms(arrays, ligand, conformer, shared, place)
        i = np.int32(lane)
        while i < ligand.n_atoms:
            for axis in range(3):
                coords[pose, i, axis] = shared[at(place.coords + 3 * i + axis)]
            i = np.int32(i + LANES)
        own = sum_pairs(arrays, ligand, pair_energy, weights, limit, shared, bits, place)
        in_pairs = warp_sum(own, shared)
        own = add_field(arrays, ligand, field, limit, shared, bits, place)
        in_field = warp_sum(own, shared)
        pull_back(arrays, ligand, conformer, shared, place)
        k = np.int32(lane)
        while k < gradient.shape[1]:
            gradient[pose, k] = shared[at(place.gradient + k)]
            k = np.int32(k + LANES)
        if lane == 0:
            energy[pose, 0] = in_field
            energy[pose, 1] = in_pairs

    return kernel(pose_energy_of)


poses_by_table = _make_pose_energy(pair_energy_by_table)
poses_by_formula = _make_pose_energy(pair_energy_by_formula)


def pose_energy(
    topology: Any, pairs: Any, field: Any, weights: Any, limit: Any, genotypes: Any,
    conformers: Any, energy: Any, gradient: Any, coords: Any,
) -> None:  # fmt: skip
    """Fill energy, gradient and coordinates of poses in the field; see ``cpu.pose_energy``."""
    if len(genotypes) == 0:
        return  # a device refuses a launch of no blocks
    n_atoms, n_segments = topology.local.shape[1], len(topology.parent)
    ligand = LigandInput(topology, pairs, NO_RULES, _NO_KEY, 0)
    arrays = bundle_to_device(pack_ligands([ligand], 1))
    found = tuple(empty(x.shape, np.float32) for x in (energy, gradient, coords))
    run = poses_by_table if isinstance(weights, PairTable) else poses_by_formula
    run[len(genotypes), LANES, 0, 4 * warp_words(n_atoms, n_segments)](
        arrays, device_field(field), bundle_to_device(single_precision(weights)),
        np.float32(limit), to_device(genotypes.astype(np.float32)), to_device(conformers), *found,
    )  # fmt: skip
    for target, array in zip((energy, gradient, coords), found, strict=True):
        target[:] = to_host(array)


_ROWS: Final = types.float32[:, ::1]
OFFLINE: Final = tuple(
    Offline(
        name, compiled,
        (
            LIGANDS, FIELD, weights, types.float32, _ROWS, INTEGERS, _ROWS, _ROWS,
            types.float32[:, :, ::1],
        ),
        32, 4 * warp_words(30, 7), n_wide_loads=2,
    )
    for name, compiled, weights in (
        ("pose_energy", poses_by_formula, WEIGHTS), ("pose_energy, table", poses_by_table, TABLE),
    )
)  # fmt: skip
