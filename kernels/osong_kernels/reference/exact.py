"""Exact (pairwise) energy of one pose and its gradient: what ``refine_poses`` goes down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from osong_kernels.arguments import LigandTopology, PairList, ReceptorAtoms
from osong_kernels.physics.pair_terms import PairWeights, cap, pair_energy
from osong_kernels.reference.pose_energy import pair_list_energy, place_atoms, pull_back

__all__ = ["exact_pose_energy", "receptor_energy", "wall_energy"]

Float64 = npt.NDArray[np.float64]


def receptor_energy(
    coords: Float64,
    atom_type: npt.NDArray[np.int32],
    receptor: ReceptorAtoms,
    weights: PairWeights,
    limit: float,
) -> tuple[float, Float64]:
    """Return the energy of atoms with the receptor and its derivatives by coordinates (n, 3)."""
    total = 0.0
    forces = np.zeros_like(coords)
    points = receptor.xyz.astype(np.float64).T
    for i, a in enumerate(atom_type):
        value = 0.0
        for j, b in enumerate(receptor.atom_type):
            difference = coords[i] - points[j]
            is_bond = (receptor.is_donor[a] > 0 and receptor.is_acceptor[b] > 0) or (
                receptor.is_acceptor[a] > 0 and receptor.is_donor[b] > 0
            )
            energy, slope = pair_energy(
                float(difference @ difference),
                float(receptor.radius[a]) + float(receptor.radius[b]),
                float(receptor.is_hydrophobic[a]) * float(receptor.is_hydrophobic[b]),
                float(is_bond),
                weights,
            )
            value += energy
            forces[i] += difference * slope
        value, factor = cap(value, limit)
        total += value
        forces[i] *= factor
    return total, forces


def wall_energy(coords: Float64, low: Float64, high: Float64, wall: float) -> tuple[float, Float64]:
    """Return the cost of atoms outside the box and its derivatives by coordinates (n, 3)."""
    below, above = np.maximum(low - coords, 0.0), np.maximum(coords - high, 0.0)
    return wall * float((below + above).sum()), wall * ((above > 0.0) * 1.0 - (below > 0.0) * 1.0)


def exact_pose_energy(
    topology: LigandTopology,
    pairs: PairList,
    atom_type: npt.NDArray[np.int32],
    receptor: ReceptorAtoms,
    weights: PairWeights,
    limit: float,
    low: Float64,
    high: Float64,
    wall: float,
    genotype: Float64,
    conformer: int,
) -> tuple[float, Float64, Float64]:
    """Return a pose's exact energy, its gradient (6 + T) and its coordinates (n_scored, 3)."""
    coords, pivots, matrices = place_atoms(topology, genotype, conformer)
    inter, inter_forces = receptor_energy(coords, atom_type, receptor, weights, limit)
    intra, intra_forces = pair_list_energy(coords, pairs, weights, limit)
    outside, wall_forces = wall_energy(coords, low, high, wall)
    gradient = pull_back(
        topology,
        topology.axis[conformer].astype(np.float64),
        pivots,
        matrices,
        coords,
        inter_forces + intra_forces + wall_forces,
    )
    return inter + intra + outside, gradient, coords
