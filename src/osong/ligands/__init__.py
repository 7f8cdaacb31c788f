"""Ligands: from a molecule to the arrays that are docked, and back."""

from osong.ligands.options import LigandOptions
from osong.ligands.packed import PackedLigand
from osong.ligands.pdbqt_reader import pack_pdbqt
from osong.ligands.pdbqt_writer import pdbqt_string, write_pdbqt
from osong.ligands.pose import pack_pose
from osong.ligands.prepare import prepare_ligand
from osong.ligands.prepared import PreparedLigand
from osong.ligands.stages import STAGES

__all__ = [
    "STAGES",
    "LigandOptions",
    "PackedLigand",
    "PreparedLigand",
    "pack_pdbqt",
    "pack_pose",
    "pdbqt_string",
    "prepare_ligand",
    "write_pdbqt",
]
