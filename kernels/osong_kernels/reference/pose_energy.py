"""Energy and gradient of poses: the definition, in float64 and plain loops."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from osong_kernels.arguments import Field, LigandTopology, PairList, PairTable
from osong_kernels.physics.interpolation import trilinear
from osong_kernels.physics.pair_table import table_energy
from osong_kernels.physics.pair_terms import PairWeights, cap, pair_energy
from osong_kernels.physics.rotation import axis_matrix, matrix_from_quaternion

__all__ = ["field_energy", "pair_list_energy", "place_atoms", "pose_energy", "pull_back"]

Float64 = npt.NDArray[np.float64]


def place_atoms(
    topology: LigandTopology, genotype: Float64, conformer: int
) -> tuple[Float64, Float64, Float64]:
    """Return coordinates (n, 3), and pivots (S, 3) and rotation matrices (S, 3, 3) of segments."""
    n_segments = len(topology.parent)
    local = topology.local[conformer].astype(np.float64)
    axis = topology.axis[conformer].astype(np.float64)
    offset = topology.offset[conformer].astype(np.float64)
    pivots = np.zeros((n_segments, 3))
    matrices = np.zeros((n_segments, 3, 3))
    coords = np.zeros_like(local)
    for s in range(n_segments):
        if s == 0:
            pivots[0] = genotype[:3]
            matrices[0] = np.array(matrix_from_quaternion(*genotype[3:7])).reshape(3, 3)
        else:
            p = topology.parent[s]
            sine, cosine = math.sin(genotype[6 + s]), math.cos(genotype[6 + s])
            x, y, z = (float(u) for u in axis[s])
            turn = np.array(axis_matrix(x, y, z, sine, cosine)).reshape(3, 3)
            pivots[s] = pivots[p] + matrices[p] @ offset[s]
            matrices[s] = matrices[p] @ turn
        for i in range(topology.segment_start[s], topology.segment_start[s + 1]):
            coords[i] = pivots[s] + matrices[s] @ local[i]
    return coords, pivots, matrices


def field_energy(
    coords: Float64, map_index: npt.NDArray[np.int32], field: Field, limit: float
) -> tuple[float, Float64]:
    """Return the energy of atoms in the field and its derivatives by coordinates (n, 3)."""
    nx, ny, nz = (int(n) for n in field.shape)
    maps = field.maps.reshape(-1, nx, ny, nz)
    total = 0.0
    forces = np.zeros_like(coords)
    for i, point in enumerate(coords):
        t = (point - field.origin.astype(np.float64)) / field.spacing
        inside = np.clip(t, 0.0, np.array([nx, ny, nz]) - 1.0)
        cell = np.minimum(np.floor(inside), np.array([nx, ny, nz]) - 2.0).astype(int)
        x, y, z = cell
        corners = maps[map_index[i], x : x + 2, y : y + 2, z : z + 2].astype(np.float64)
        value, *slopes = trilinear(*corners.reshape(-1), *(inside - cell))
        value, factor = cap(value, limit)
        overhang = t - inside
        total += value + field.wall * field.spacing * np.abs(overhang).sum()
        forces[i] = np.array(slopes) * factor / field.spacing
        forces[i, overhang > 0] = field.wall
        forces[i, overhang < 0] = -field.wall
    return total, forces


def pair_list_energy(
    coords: Float64, pairs: PairList, weights: PairWeights | PairTable, limit: float
) -> tuple[float, Float64]:
    """Return the energy of the ligand's own pairs and its derivatives by coordinates (n, 3)."""
    total = 0.0
    forces = np.zeros_like(coords)
    for i in range(len(pairs.start) - 1):
        for k in range(pairs.start[i], pairs.start[i + 1]):
            j = pairs.second[k]
            difference = coords[i] - coords[j]
            pair = (
                float(difference @ difference),
                float(pairs.r0[k]),
                float(pairs.is_hydrophobic[k]),
                float(pairs.is_hydrogen_bond[k]),
            )
            if isinstance(weights, PairTable):
                energy, slope = table_energy(*pair, _in_float64(weights))
            else:
                energy, slope = pair_energy(*pair, weights)
                energy, factor = cap(energy, limit)
                slope *= factor
            total += energy
            forces[i] += difference * slope
            forces[j] -= difference * slope
    return total, forces


def _in_float64(table: PairTable) -> PairTable:
    return PairTable(table.coefficients.astype(np.float64), *(np.float64(x) for x in table[1:]))


def pull_back(
    topology: LigandTopology,
    axis: Float64,
    pivots: Float64,
    matrices: Float64,
    coords: Float64,
    forces: Float64,
) -> Float64:
    """Return the gradient by the degrees of freedom (6 + T)."""
    n_segments = len(topology.parent)
    gradient = np.zeros(5 + n_segments)
    gradient[:3] = forces.sum(axis=0)
    gradient[3:6] = np.cross(coords - pivots[0], forces).sum(axis=0)
    for s in range(1, n_segments):
        moved = [s]
        for t in range(s + 1, n_segments):
            if topology.parent[t] in moved:
                moved.append(t)
        torque = np.zeros(3)
        for t in moved:
            atoms = slice(topology.segment_start[t], topology.segment_start[t + 1])
            torque += np.cross(coords[atoms] - pivots[s], forces[atoms]).sum(axis=0)
        gradient[5 + s] = (matrices[s] @ axis[s]) @ torque
    return gradient


def pose_energy(
    topology: LigandTopology,
    pairs: PairList,
    field: Field,
    weights: PairWeights | PairTable,
    limit: float,
    genotypes: Float64,
    conformers: npt.NDArray[np.int32],
    energy: Float64,
    gradient: Float64,
    coords: Float64,
) -> None:
    """Fill energy, gradient and coordinates of poses; see ``cpu.pose_energy``."""
    for n, genotype in enumerate(genotypes.astype(np.float64)):
        conformer = int(conformers[n])
        xyz, pivots, matrices = place_atoms(topology, genotype, conformer)
        in_field, field_forces = field_energy(xyz, topology.map_index, field, limit)
        in_pairs, pair_forces = pair_list_energy(xyz, pairs, weights, limit)
        energy[n] = in_field, in_pairs
        coords[n] = xyz
        gradient[n] = pull_back(
            topology,
            topology.axis[conformer].astype(np.float64),
            pivots,
            matrices,
            xyz,
            field_forces + pair_forces,
        )
