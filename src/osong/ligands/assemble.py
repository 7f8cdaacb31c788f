"""Types, torsions and coordinates of one molecule put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from osong.ligands.atom_typing import type_atoms
from osong.ligands.packing import pack
from osong.ligands.torsions import (
    active_torsions,
    build_tree,
    moves_heavy_atoms,
    torsion_count,
)
from osong.ligands.vina_neighbours import vina_rank

if TYPE_CHECKING:
    from osong.ligands.packed import PackedLigand

__all__ = ["pack_molecule"]


def pack_molecule(
    mol: Chem.Mol, coords: npt.NDArray[np.float64], key: bytes
) -> tuple[PackedLigand, tuple[str, ...]]:
    """Type the atoms, find the torsions and pack; coords are (n_conformers, n_atoms, 3)."""
    adjacency = Chem.GetAdjacencyMatrix(mol)
    with rdBase.BlockLogs():
        typing = type_atoms(mol, adjacency)
    is_heavy = typing.vina >= 0
    heavy_degree = adjacency @ is_heavy.astype(np.int32)
    active = active_torsions(mol, typing.autodock)
    cuts = [bond for bond in active if moves_heavy_atoms(bond, heavy_degree)]
    # Vina sees the molecule as its PDBQT has it, where rotors of polar hydrogens are branches.
    kept = np.array([autodock != "H" for autodock in typing.autodock], dtype=np.int64)
    written = build_tree(adjacency, active, kept)
    packed = pack(
        key=key,
        coords=coords,
        atom_type=typing.vina,
        charge=typing.charge,
        tree=build_tree(adjacency, cuts, is_heavy.astype(np.int64)),
        adjacency=adjacency,
        torsion_count=torsion_count(active, is_heavy, heavy_degree),
        vina_rank=vina_rank(written.segment, written.axis_atoms),
    )
    return packed, typing.notes
