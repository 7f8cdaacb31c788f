"""From minima on the grid to poses: exact refinement, exact energies, clustering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from osong.atom_types import ATOM_TYPES
from osong.box import Box
from osong.ligands.packed import PackedLigand
from osong.receptor.model import Receptor
from osong.scoring.functions import ScoringFunction
from osong.scoring.grid import WALL_KCAL_PER_ANGSTROM
from osong.scoring.kernel_ligand import KernelLigand
from osong.search.chains import Minimum, box_corners, new_state, search_rules
from osong_kernels.arguments import ReceptorAtoms, SearchRules
from osong_kernels.cpu.refine import refine_poses
from osong_kernels.physics.rotation import axis_matrix, matrix_from_quaternion

__all__ = ["MAX_TICKS", "place_packed", "receptor_atoms", "refine", "refine_rules"]

MAX_TICKS: Final = 150
"""Evaluations of a pose in its refinement, at most."""
_REFINE_LIMIT_KCAL: Final = 1000.0


def receptor_atoms(receptor: Receptor, scoring: ScoringFunction) -> ReceptorAtoms:
    """Return the receptor's scored atoms as the exact kernels take them."""
    scored = receptor.atom_type >= 0

    def flags(name: str) -> npt.NDArray[np.float32]:
        return np.array([getattr(t, name) for t in ATOM_TYPES], np.float32)

    return ReceptorAtoms(
        xyz=np.ascontiguousarray(receptor.coords[scored].T, np.float32),
        atom_type=receptor.atom_type[scored].astype(np.int32),
        radius=np.array(scoring.radii, np.float32),
        is_hydrophobic=flags("is_hydrophobic"),
        is_donor=flags("is_donor"),
        is_acceptor=flags("is_acceptor"),
    )


def refine(
    minima: Sequence[Minimum],
    ligand: KernelLigand,
    receptor: ReceptorAtoms,
    box: Box,
    scoring: ScoringFunction,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return genotypes (n, 7 + T) and conformers (n,) of the minima, optimised exactly."""
    genotypes = np.array([m.genotype for m in minima], np.float32)
    conformers = np.array([m.conformer for m in minima], np.int32)
    low, high = box_corners(box)
    rules = refine_rules(ligand)
    refine_poses(
        ligand.topology,
        ligand.pairs,
        ligand.atom_type,
        receptor,
        scoring.weights,
        rules,
        low.astype(np.float32),
        high.astype(np.float32),
        np.float32(WALL_KCAL_PER_ANGSTROM),
        MAX_TICKS,
        conformers,
        genotypes,
        new_state(ligand),
    )
    return genotypes, conformers


def refine_rules(ligand: KernelLigand) -> SearchRules:
    """Return the rules of a pose's refinement."""
    rules = search_rules(ligand, limit=_REFINE_LIMIT_KCAL)
    return rules._replace(tolerance=1e-4, max_iterations=MAX_TICKS)


def place_packed(
    packed: PackedLigand,
    ligand: KernelLigand,
    genotype: npt.NDArray[np.float32],
    conformer: int,
) -> npt.NDArray[np.float64]:
    """Return the coordinates of all packed atoms, hydrogens included, (n_atoms, 3), angstrom."""
    gene = genotype.astype(np.float64)
    n_segments = packed.n_torsions + 1
    matrices = np.empty((n_segments, 3, 3))
    pivots = np.empty((n_segments, 3))
    reference = ligand.pivots[conformer]
    for s in range(n_segments):
        if s == 0:
            matrices[0] = np.reshape(matrix_from_quaternion(*gene[3:7]), (3, 3))
            pivots[0] = gene[:3]
            continue
        p = int(packed.parent[s])
        axis = packed.coords[conformer, packed.axis_atoms[s]].astype(np.float64)
        x, y, z = (axis[1] - axis[0]) / np.linalg.norm(axis[1] - axis[0])
        turn = axis_matrix(x, y, z, np.sin(gene[6 + s]), np.cos(gene[6 + s]))
        matrices[s] = matrices[p] @ np.reshape(turn, (3, 3))
        pivots[s] = pivots[p] + matrices[p] @ (reference[s] - reference[p])
    segment = packed.segment.astype(np.int64)
    local = packed.coords[conformer].astype(np.float64) - reference[segment]
    return np.einsum("nij,nj->ni", matrices[segment], local) + pivots[segment]
