"""Types, torsions and coordinates of one molecule put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from osong.ligands.atom_typing import type_atoms, vina_types
from osong.ligands.packing import extended_segments, pack
from osong.ligands.pdbqt_tree import vina_bonds
from osong.ligands.torsions import (
    SegmentTree,
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
    mol: Chem.Mol,
    coords: npt.NDArray[np.float64],
    key: bytes,
    *,
    bonds_by_distance: bool = False,
) -> tuple[PackedLigand, tuple[str, ...]]:
    """Type the atoms, find the torsions and pack.

    Parameters
    ----------
    mol
        With all hydrogens as atoms.
    coords
        (n_conformers, n_atoms, 3), angstrom.
    key
        The ligand's key.
    bonds_by_distance
        For a pose that is scored as it lies: types, torsion count and pairs from the bonds that
        Vina finds by distance, as when it reads the pose's PDBQT. They differ from the molecule's
        where a crystal structure has overlong bonds, and at rings of three atoms. The tree is
        always that of the molecule.
    """
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
    seen, types = adjacency, typing.vina
    if bonds_by_distance:
        seen = _bonds_by_distance(typing.autodock, coords[0], written, kept > 0)
        types = vina_types(typing.autodock, seen)
    packed = pack(
        key=key,
        coords=coords,
        atom_type=types,
        charge=typing.charge,
        tree=build_tree(adjacency, cuts, is_heavy.astype(np.int64)),
        adjacency=seen,
        torsion_count=torsion_count(
            [bond for bond in active if seen[bond]], is_heavy, seen @ is_heavy.astype(np.int32)
        ),
        vina_rank=vina_rank(written.segment, written.axis_atoms),
    )
    return packed, typing.notes


def _bonds_by_distance(
    autodock: tuple[str, ...],
    coords: npt.NDArray[np.float64],
    written: SegmentTree,
    kept: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int32]:
    """Return the bonds that Vina finds between the atoms that a PDBQT keeps, (n, n) int32."""
    member = extended_segments(
        written.segment, written.parent, np.array(written.axis_atoms, dtype=np.int16)
    )
    is_fixed = (member.T @ member > 0)[np.ix_(kept, kept)]
    chosen = [ad for ad, is_kept in zip(autodock, kept, strict=True) if is_kept]
    bonds = np.zeros((len(autodock), len(autodock)), dtype=np.int32)
    bonds[np.ix_(kept, kept)] = vina_bonds(chosen, coords[kept], is_fixed)
    return bonds
