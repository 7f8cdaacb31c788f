"""Ligands: from a molecule to the arrays that are docked, and back."""

from osong.ligands.options import LigandOptions
from osong.ligands.packed import PackedLigand
from osong.ligands.prepare import pack_pose, prepare_ligand
from osong.ligands.prepared import PreparedLigand
from osong.ligands.stages import STAGES

__all__ = [
    "STAGES",
    "LigandOptions",
    "PackedLigand",
    "PreparedLigand",
    "pack_pose",
    "prepare_ligand",
]
