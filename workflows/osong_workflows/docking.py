"""The docker of every real campaign: reads, prepares and docks one record with Osong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from osong.errors import CampaignError
from osong.ligands import LigandOptions
from osong_workflows.outcome import DockedMolecule, DockedPose, Docker
from osong_workflows.prepared import PREPARED, PreparedReader
from osong_workflows.preparing import prepare_record, warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong.library import Record
    from osong.ligands import PreparedLigand
    from osong.search import Pose
    from osong_workflows.settings import CampaignSettings

__all__ = ["DEFAULT_DOCKER", "build_docker"]

DEFAULT_DOCKER: Final = "osong_workflows.docking:build_docker"


def build_docker(target_path: str, settings: CampaignSettings) -> Docker:
    """Load the target, build its grid maps, compile, and return what docks one record.

    Runs once in each docking process; everything slow is done when it returns, so that no
    molecule's time limit pays for it.
    """
    from osong.receptor import Target
    from osong.search import DockingSession

    target = Target.load(target_path)
    if target.key.hex() != settings.target_key:
        raise CampaignError(
            f"{target_path}: is not the target that the campaign was made for; restore the file"
        )
    session = DockingSession(
        target,
        scoring=settings.scoring,
        effort=settings.effort,
        n_poses=settings.n_poses,
        seed=settings.seed,
        threads=1,
    )
    options = LigandOptions(**settings.ligands)
    prepared = PreparedReader(settings.library)
    session.dock(warm_up(options))

    def dock_record(record: Record) -> DockedMolecule:
        variants = (
            prepared.read(record) if record.format == PREPARED else prepare_record(record, options)
        )
        return _docked(session.dock(variants), variants)

    return dock_record


def _docked(poses: Sequence[Pose], variants: Sequence[PreparedLigand]) -> DockedMolecule:
    """Return the poses of one molecule as plain data."""
    from osong.pose_molecules import plain_smiles

    best = poses[0].ligand if poses else variants[0]
    notes = dict.fromkeys(note for variant in variants for note in variant.notes)
    return DockedMolecule(
        poses=tuple(_plain_pose(pose) for pose in poses),
        n_variants=len(variants),
        notes=tuple(notes),
        smiles=plain_smiles(best.smiles),
        n_heavy=best.packed.n_scored,
        properties=best.properties,
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
