"""Poses of one molecule as the plain data that goes to a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from osong.pose_molecules import plain_smiles
from osong_workflows.outcome import DockedMolecule, DockedPose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong.ligands import PreparedLigand
    from osong.search import Pose

__all__ = ["docked_molecule"]


def docked_molecule(
    poses: Sequence[Pose], variants: Sequence[PreparedLigand], backend: str = "cpu"
) -> DockedMolecule:
    """Return the poses of one molecule, best first, and what a row says besides.

    Parameters
    ----------
    variants
        All that were docked, with poses or without.
    backend
        Where that was done.
    """
    best = poses[0].ligand if poses else variants[0]
    notes = dict.fromkeys(note for variant in variants for note in variant.notes)
    return DockedMolecule(
        poses=tuple(_plain_pose(pose) for pose in poses),
        n_variants=len(variants),
        notes=tuple(notes),
        smiles=plain_smiles(best.smiles),
        n_heavy=best.packed.n_scored,
        properties=best.properties,
        backend=backend,
    )


def _plain_pose(pose: Pose) -> DockedPose:
    """Return a pose with its coordinates in the order of its SMILES."""
    packed = pose.ligand.packed
    coords = np.empty((packed.n_atoms, 3), dtype=np.float32)
    coords[packed.atom_index] = pose.coords
    return DockedPose(
        energy=float(pose.energy),
        inter=float(pose.inter),
        intra=float(pose.intra),
        variant=pose.ligand.variant,
        conformer=int(pose.conformer),
        genotype=np.asarray(pose.genotype, dtype=np.float32),
        smiles=pose.ligand.smiles,
        coords=coords,
    )
