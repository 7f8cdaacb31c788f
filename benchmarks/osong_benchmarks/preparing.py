"""A docker that prepares molecules and does not dock them, to see preparation by itself.

The campaign's machinery (records, watched processes, parts, ledger) stays as it is. The "pose" of
a molecule is the conformer that was made for it, its energies are zero.
"""

from __future__ import annotations

import numpy as np

from osong.library import Record, parse_record
from osong.ligands import LigandOptions, PreparedLigand, prepare_ligand
from osong_workflows.outcome import DockedMolecule, DockedPose, Docker
from osong_workflows.settings import CampaignSettings

__all__ = ["DOCKER", "build_docker"]

DOCKER = "osong_benchmarks.preparing:build_docker"


def build_docker(target_path: str, settings: CampaignSettings) -> Docker:
    """Return what prepares one record; the target is not looked at."""
    options = LigandOptions(**settings.ligands)

    def prepare_record(record: Record) -> DockedMolecule:
        parsed = parse_record(record)
        if isinstance(parsed, PreparedLigand):
            variants = [parsed]
        else:
            variants = prepare_ligand(parsed, name=record.name, options=options)
        return DockedMolecule(
            poses=tuple(_conformer_as_pose(ligand) for ligand in variants[:1]),
            n_variants=len(variants),
            notes=variants[0].notes,
            smiles=variants[0].input_smiles,
            n_heavy=variants[0].packed.n_scored,
        )

    return prepare_record


def _conformer_as_pose(ligand: PreparedLigand) -> DockedPose:
    packed = ligand.packed
    coords = np.empty((packed.n_atoms, 3), np.float32)
    coords[packed.atom_index] = packed.coords[0]
    genotype = np.zeros(7 + packed.n_torsions, np.float32)
    genotype[3] = 1.0
    return DockedPose(0.0, 0.0, 0.0, ligand.variant, 0, genotype, ligand.smiles, coords)
