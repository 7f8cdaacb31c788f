"""A ligand PDBQT packed exactly as AutoDock Vina reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.ligands.atom_typing import VINA_ELEMENT, vina_types
from osong.ligands.packing import MAX_ATOMS, extended_segments, pack
from osong.ligands.pdbqt_tree import PdbqtTree, parse_pdbqt, vina_bonds
from osong.ligands.prepared import PreparedLigand, ligand_key
from osong.ligands.torsions import SegmentTree, torsion_count
from osong.ligands.vina_neighbours import vina_rank

if TYPE_CHECKING:
    from osong.ligands.packed import PackedLigand

__all__ = ["pack_pdbqt"]


def pack_pdbqt(text: str, *, name: str = "") -> PreparedLigand:
    """Return the ligand of a PDBQT with the tree, types and charges that it states.

    Bonds are found by distance, as Vina does. The molecule comes from the SMILES that Meeko
    leaves in the remarks; without it bond orders are unknown, all bonds are drawn single, and a
    note says so. Its TORSDOF line is ignored, as by Vina.

    Parameters
    ----------
    text
        Content of the file; of several models the first is read.
    name
        Name of the ligand; where empty, that of a "REMARK  Name =" line.

    Raises
    ------
    LigandError
        At stage "read" or "type", with the line that is wrong.
    """
    tree = parse_pdbqt(text)
    if len(tree.serial) > MAX_ATOMS:
        raise LigandError(
            f"{len(tree.serial)} atoms, more than the {MAX_ATOMS} that can be docked",
            stage="standardize",
        )
    positions = np.array(tree.position)
    adjacency = vina_bonds(tree.autodock, positions, _fixed_distances(tree))
    mol, file_index, notes = _molecule(tree, adjacency)
    mol, file_index, smiles = _in_smiles_order(mol, file_index)
    coords = mol.GetConformer().GetPositions()
    key = ligand_key(_heavy_smiles(mol), coords)
    packed = _pack(tree, adjacency, mol, file_index, key)
    return PreparedLigand(
        name=name or _name(tree),
        smiles=smiles,
        input_smiles=_heavy_smiles(mol),
        variant=0,
        notes=tuple(notes),
        packed=packed,
        source_index=tuple(int(k) for k in file_index),
    )


def _fixed_distances(tree: PdbqtTree) -> npt.NDArray[np.bool_]:
    member = extended_segments(
        np.array(tree.segment), tuple(tree.parent), np.array(tree.axis_atoms, dtype=np.int16)
    )
    return member.T @ member > 0


def _name(tree: PdbqtTree) -> str:
    for remark in tree.remarks:
        if remark.startswith("Name ="):
            return remark.removeprefix("Name =").strip()
    return ""


def _heavy_smiles(mol: Chem.Mol) -> str:
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False))


def _molecule(
    tree: PdbqtTree, adjacency: npt.NDArray[np.int32]
) -> tuple[Chem.Mol, npt.NDArray[np.int64], list[str]]:
    """Return the molecule with coordinates, the file's atom of each of its atoms (or -1), notes."""
    smiles = next((r[7:].strip() for r in tree.remarks if r.startswith("SMILES ")
                   and not r.startswith("SMILES IDX")), "")  # fmt: skip
    if smiles:
        found = _molecule_of_smiles(tree, smiles)
        if found is not None:
            return (*found, [])
        notes = ["REMARK SMILES does not fit the atoms: bond orders unknown, drawn single"]
    else:
        notes = ["PDBQT without REMARK SMILES: bond orders unknown, drawn single"]
    return (*_molecule_of_bonds(tree, adjacency), notes)


def _index_pairs(tree: PdbqtTree, prefix: str) -> list[tuple[int, int]]:
    numbers: list[int] = []
    for remark in tree.remarks:
        if remark.startswith(prefix):
            numbers += [int(word) for word in remark.removeprefix(prefix).split() if word.isdigit()]
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def _molecule_of_smiles(
    tree: PdbqtTree, smiles: str
) -> tuple[Chem.Mol, npt.NDArray[np.int64]] | None:
    """Return the molecule of the remark, all hydrogens added; None where it does not fit."""
    with rdBase.BlockLogs():
        plain = Chem.MolFromSmiles(smiles)
    if plain is None:
        return None
    mol = Chem.AddHs(plain)
    of_serial = {serial: k for k, serial in enumerate(tree.serial)}
    file_index = np.full(mol.GetNumAtoms(), -1, dtype=np.int64)
    for index, serial in _index_pairs(tree, "SMILES IDX"):
        if not 0 < index <= plain.GetNumAtoms() or serial not in of_serial:
            return None
        file_index[index - 1] = of_serial[serial]
    for parent, serial in _index_pairs(tree, "H PARENT"):
        if not 0 < parent <= plain.GetNumAtoms() or serial not in of_serial:
            return None
        neighbours = [n.GetIdx() for n in mol.GetAtomWithIdx(parent - 1).GetNeighbors()]
        free = [n for n in neighbours if n >= plain.GetNumAtoms() and file_index[n] < 0]
        if not free:
            return None
        file_index[free[0]] = of_serial[serial]
    if not _fits(tree, mol, plain.GetNumAtoms(), file_index):
        return None
    _set_coordinates(tree, mol, file_index)
    return mol, file_index


def _fits(
    tree: PdbqtTree, mol: Chem.Mol, n_in_smiles: int, file_index: npt.NDArray[np.int64]
) -> bool:
    """Return whether each atom of the file is one of the molecule, and of its element."""
    given = file_index[file_index >= 0]
    if sorted(given.tolist()) != list(range(len(tree.serial))):
        return False
    if any(
        file_index[index] < 0 and mol.GetAtomWithIdx(index).GetAtomicNum() > 1
        for index in range(n_in_smiles)
    ):
        return False
    for index in np.flatnonzero(file_index >= 0).tolist():
        is_hydrogen = VINA_ELEMENT[tree.autodock[file_index[index]]] == "H"
        if is_hydrogen != (mol.GetAtomWithIdx(index).GetAtomicNum() == 1):
            return False
    return True


def _set_coordinates(tree: PdbqtTree, mol: Chem.Mol, file_index: npt.NDArray[np.int64]) -> None:
    """Give the atoms of the file their coordinates and the other hydrogens ideal ones."""
    positions = np.zeros((mol.GetNumAtoms(), 3))
    known = file_index >= 0
    positions[known] = np.array(tree.position)[file_index[known]]
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.Set3D(True)
    conformer.SetPositions(positions)
    mol.AddConformer(conformer, assignId=True)
    for index in np.flatnonzero(~known).tolist():
        (parent,) = mol.GetAtomWithIdx(index).GetNeighbors()
        Chem.SetTerminalAtomCoords(mol, index, parent.GetIdx())


def _molecule_of_bonds(
    tree: PdbqtTree, adjacency: npt.NDArray[np.int32]
) -> tuple[Chem.Mol, npt.NDArray[np.int64]]:
    """Return a molecule with single bonds where Vina sees bonds; no hydrogens are added."""
    editable = Chem.RWMol()
    for autodock in tree.autodock:
        atom = Chem.Atom(_symbol(autodock))
        atom.SetNoImplicit(True)
        editable.AddAtom(atom)
    for i, j in np.argwhere(np.triu(adjacency, k=1)).tolist():
        editable.AddBond(i, j, Chem.BondType.SINGLE)
    mol = editable.GetMol()
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    file_index = np.arange(len(tree.serial))
    _set_coordinates(tree, mol, file_index)
    return mol, file_index


def _symbol(autodock: str) -> str:
    element = VINA_ELEMENT[autodock]
    return autodock if element == "Met" or autodock == "Se" else element


def _in_smiles_order(
    mol: Chem.Mol, file_index: npt.NDArray[np.int64]
) -> tuple[Chem.Mol, npt.NDArray[np.int64], str]:
    smiles = Chem.MolToSmiles(mol)
    order = list(mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    return Chem.RenumberAtoms(mol, order), file_index[order], smiles


def _pack(
    tree: PdbqtTree,
    adjacency: npt.NDArray[np.int32],
    mol: Chem.Mol,
    file_index: npt.NDArray[np.int64],
    key: bytes,
) -> PackedLigand:
    """Pack the molecule's atoms: what the file says, and the added hydrogens on their parents."""
    autodock = [tree.autodock[k] if k >= 0 else "H" for k in file_index]
    known = file_index >= 0
    bonds = np.zeros((len(file_index), len(file_index)), dtype=np.int32)
    bonds[np.ix_(known, known)] = adjacency[np.ix_(file_index[known], file_index[known])]
    charge = np.where(known, np.array(tree.charge)[file_index], 0.0).astype(np.float32)
    in_mol = {int(k): index for index, k in enumerate(file_index) if k >= 0}
    axis_atoms = [(in_mol.get(a, -1), in_mol.get(b, -1)) for a, b in tree.axis_atoms]
    segment = np.array(tree.segment)[file_index]
    for index in np.flatnonzero(~known).tolist():
        (parent,) = mol.GetAtomWithIdx(index).GetNeighbors()
        segment[index] = segment[parent.GetIdx()]
    types = vina_types(autodock, bonds)
    is_heavy = types >= 0
    rotors = [(a, b) for a, b in axis_atoms[1:] if bonds[a, b]]
    return pack(
        key=key,
        coords=mol.GetConformer().GetPositions()[None],
        atom_type=types,
        charge=charge,
        tree=_without_hydrogen_rotors(segment, tree.parent, axis_atoms, is_heavy),
        adjacency=bonds,
        torsion_count=torsion_count(rotors, is_heavy, bonds @ is_heavy.astype(np.int32)),
        vina_rank=_vina_rank(tree, file_index),
    )


def _vina_rank(tree: PdbqtTree, file_index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place in Vina's model of each of the molecule's atoms; -1 for added ones."""
    rank = vina_rank(np.array(tree.segment), tree.axis_atoms)
    return np.where(file_index >= 0, rank[file_index], -1)


def _without_hydrogen_rotors(
    segment: npt.NDArray[np.int64],
    parent: list[int],
    axis_atoms: list[tuple[int, int]],
    is_heavy: npt.NDArray[np.bool_],
) -> SegmentTree:
    """Return the tree with branches that move no heavy atom merged into their parents."""
    segment = segment.copy()
    merged: set[int] = set()
    for child in range(len(parent) - 1, 0, -1):
        members = np.flatnonzero((segment == child) & is_heavy)
        has_branches = any(parent[s] == child for s in range(child + 1, len(parent))
                           if s not in merged)  # fmt: skip
        if not has_branches and set(members.tolist()) <= {axis_atoms[child][1]}:
            segment[segment == child] = parent[child]
            merged.add(child)
    kept = [s for s in range(len(parent)) if s not in merged]
    number = np.full(len(parent), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    return SegmentTree(
        number[segment],
        tuple(-1 if parent[s] < 0 else int(number[parent[s]]) for s in kept),
        tuple(axis_atoms[s] for s in kept),
    )
