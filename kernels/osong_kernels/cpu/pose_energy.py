"""Energy and gradient of given poses, sixteen at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import kernel
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential and sine)
from osong_kernels.cpu.energy import add_pair_energy, field_energy
from osong_kernels.cpu.kinematics import place_atoms, pull_back
from osong_kernels.cpu.lane_memory import store
from osong_kernels.cpu.lanes import N_LANES

__all__ = ["pose_energy"]


@kernel
def pose_energy(
    topology: Any, pairs: Any, field: Any, weights: Any, limit: Any, genotypes: Any,
    conformers: Any, energy: Any, gradient: Any, coords: Any,
) -> None:  # fmt: skip
    """Fill energy, gradient and coordinates of ``n`` poses in the field.

    Takes ``LigandTopology``, ``PairList``, ``Field``, ``PairWeights`` or ``PairTable``; ``limit``
    in kcal/mol caps positive energies (a table has its own cap for pairs). ``genotypes``
    (n, 7 + T) float32 and ``conformers`` (n,) int32; fills ``energy`` (n, 2) float32: receptor
    field and own pairs, kcal/mol; ``gradient`` (n, 6 + T) float32; ``coords`` (n, n_scored, 3)
    float32, angstrom.
    """
    n_poses, n_genes = genotypes.shape
    n_atoms, n_segments = topology.local.shape[1], topology.axis.shape[1]
    lane_genotype = np.empty((n_genes, N_LANES), np.float32)
    local = np.empty((n_atoms, 3, N_LANES), np.float32)
    axis = np.empty((n_segments, 3, N_LANES), np.float32)
    offset = np.empty((n_segments, 3, N_LANES), np.float32)
    frames = np.empty((n_segments, 12, N_LANES), np.float32)
    lane_coords = np.empty((n_atoms, 3, N_LANES), np.float32)
    forces = np.empty((n_atoms, 3, N_LANES), np.float32)
    wrench = np.empty((n_segments, 6, N_LANES), np.float32)
    lane_gradient = np.empty((n_genes - 1, N_LANES), np.float32)
    lane_energy = np.empty((2, N_LANES), np.float32)
    cap_limit = np.float32(limit)
    for first in range(0, n_poses, N_LANES):
        for lane in range(N_LANES):
            pose = min(first + lane, n_poses - 1)
            lane_genotype[:, lane] = genotypes[pose]
            local[:, :, lane] = topology.local[conformers[pose]]
            axis[:, :, lane] = topology.axis[conformers[pose]]
            offset[:, :, lane] = topology.offset[conformers[pose]]
        place_atoms(
            lane_genotype, topology.segment_start, topology.parent, local, axis, offset, frames,
            lane_coords,
        )  # fmt: skip
        field_part = field_energy(lane_coords, topology.map_index, field, cap_limit, forces)
        pair_part = add_pair_energy(lane_coords, pairs, weights, cap_limit, forces)
        store(lane_energy, (0,), field_part)
        store(lane_energy, (1,), pair_part)
        pull_back(
            topology.segment_start, topology.parent, axis, frames, lane_coords, forces, wrench,
            lane_gradient,
        )  # fmt: skip
        for lane in range(min(N_LANES, n_poses - first)):
            energy[first + lane] = lane_energy[:, lane]
            gradient[first + lane] = lane_gradient[:, lane]
            coords[first + lane] = lane_coords[:, :, lane]
