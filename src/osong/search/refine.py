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
from osong.search.minima import RefinedMinima
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
) -> RefinedMinima:
    """Return the minima optimised exactly, in their order."""
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
    return RefinedMinima(genotypes, conformers)


def refine_rules(ligand: KernelLigand) -> SearchRules:
    """Return the rules of a pose's refinement."""
    rules = search_rules(ligand, limit=_REFINE_LIMIT_KCAL)
    return rules._replace(tolerance=1e-4, max_iterations=MAX_TICKS)


def place_packed(
    packed: PackedLigand,
    pivots: npt.NDArray[np.float64],
    genotypes: npt.NDArray[np.float32],
    conformers: npt.NDArray[np.int32],
) -> npt.NDArray[np.float64]:
    """Return the coordinates of all packed atoms, hydrogens included, in each of n poses.

    Parameters
    ----------
    packed
        The ligand with the geometries that were searched.
    pivots
        Their `segment_pivots`.
    genotypes, conformers
        (n, 7 + T) and (n,).

    Returns
    -------
    (n, n_atoms, 3) float64, angstrom.
    """
    genes = genotypes.astype(np.float64)
    n, n_segments = len(genes), packed.n_torsions + 1
    reference = pivots[conformers]
    geometry = packed.coords[conformers].astype(np.float64)
    turns = np.empty((n, n_segments, 3, 3))
    places = np.empty((n, n_segments, 3))
    turns[:, 0] = _matrices(matrix_from_quaternion(*genes[:, 3:7].T))
    places[:, 0] = genes[:, :3]
    for s in range(1, n_segments):
        p = int(packed.parent[s])
        near, far = packed.axis_atoms[s]
        axis = geometry[:, far] - geometry[:, near]
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        angle = genes[:, 6 + s]
        turn = _matrices(
            axis_matrix(axis[:, 0], axis[:, 1], axis[:, 2], np.sin(angle), np.cos(angle))
        )
        turns[:, s] = turns[:, p] @ turn
        offset = reference[:, s] - reference[:, p]
        places[:, s] = places[:, p] + np.einsum("nij,nj->ni", turns[:, p], offset)
    segment = packed.segment.astype(np.int64)
    local = geometry - reference[:, segment]
    return np.einsum("naij,naj->nai", turns[:, segment], local) + places[:, segment]


def _matrices(entries: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Return (n, 3, 3) matrices, given their nine entries row by row, (n,) each."""
    return np.stack(entries, axis=-1).reshape(-1, 3, 3)
