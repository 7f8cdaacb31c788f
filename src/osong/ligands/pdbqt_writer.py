"""PDBQT for other docking programs, with the SMILES that lets them restore bond orders."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.ligands.atom_typing import AtomTyping, type_atoms
from osong.ligands.origin import check_is_molecule
from osong.ligands.pose import pack_pose
from osong.ligands.prepare import prepare_ligand
from osong.ligands.prepared import PreparedLigand
from osong.ligands.torsions import SegmentTree, active_torsions, build_tree
from osong.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["pdbqt_string", "write_pdbqt"]

_REMARK_WIDTH = 79


def write_pdbqt(mol: Chem.Mol | PreparedLigand, path: str | Path) -> None:
    """Write a molecule as PDBQT, for AutoDock Vina, AutoDock-GPU and their kin.

    Parameters
    ----------
    mol
        With a conformer, which is written as it is, missing hydrogens added; without one, the
        molecule is prepared with the default options and its first state written.
    path
        File to write; it appears whole or not at all.

    Raises
    ------
    LigandError
        Where the molecule cannot be prepared.
    ResourceError
        Where the file cannot be written.
    """
    if isinstance(mol, PreparedLigand):
        prepared = mol
    else:
        check_is_molecule(mol)
        prepared = pack_pose(mol) if mol.GetNumConformers() else prepare_ligand(mol)[0]
    write_whole(path, pdbqt_string(prepared))


def pdbqt_string(prepared: PreparedLigand, coords: npt.NDArray[np.floating] | None = None) -> str:
    """Return the PDBQT of a prepared ligand; rotors of polar hydrogens are branches, too.

    Parameters
    ----------
    prepared
        The ligand.
    coords
        (n_atoms, 3), angstrom, in the order of the packed atoms; the first conformer, where it
        was given if it was, where left out.
    """
    mol = prepared.mol(coords)
    if mol.NeedsUpdatePropertyCache():
        raise LigandError(
            "came from a PDBQT file without bond orders, so its atoms cannot be typed anew; "
            "use that file",
            stage="type",
        )
    adjacency = Chem.GetAdjacencyMatrix(mol)
    with rdBase.BlockLogs():
        typing = type_atoms(mol, adjacency)
    active = active_torsions(mol, typing.autodock)
    kept = np.array([ad != "H" for ad in typing.autodock], dtype=np.int64)
    writer = _TreeWriter(mol, typing, build_tree(adjacency, active, kept), adjacency)
    writer.write_segment(0)
    remarks = [f"REMARK  Name = {' '.join(prepared.name.split())}"] if prepared.name else []
    remarks += _smiles_remarks(mol, writer.serial)
    return "\n".join([*remarks, *writer.lines, f"TORSDOF {len(active)}"]) + "\n"


@dataclass
class _TreeWriter:
    """Writes the segments depth first, numbering the atoms as it goes."""

    mol: Chem.Mol
    typing: AtomTyping
    tree: SegmentTree
    adjacency: npt.NDArray[np.int32]
    lines: list[str] = field(default_factory=list)
    serial: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.positions = self.mol.GetConformer().GetPositions()
        merged = np.array([ad == "H" for ad in self.typing.autodock])
        self.charge = self.typing.charge + self.adjacency @ (self.typing.charge * merged)
        self.children: dict[int, list[int]] = defaultdict(list)
        for child, parent in enumerate(self.tree.parent):
            self.children[parent].append(child)

    def write_segment(self, segment: int) -> None:
        """Write the atoms of a segment, its axis atom first, then the branches from it."""
        first = self.tree.axis_atoms[segment][1]
        atoms = [int(i) for i in np.flatnonzero(self.tree.segment == segment) if i != first]
        self.lines += ["ROOT"] if segment == 0 else []
        for index in ([first] if first >= 0 else []) + atoms:
            if self.typing.autodock[index] != "H":
                self.serial[index] = len(self.serial) + 1
                self.lines.append(self._atom_line(index))
        self.lines += ["ENDROOT"] if segment == 0 else []
        for child in self.children[segment]:
            inner = self.tree.axis_atoms[child][0]
            ends = f"{self.serial[inner]:3d} {len(self.serial) + 1:3d}"
            self.lines.append(f"BRANCH {ends}")
            self.write_segment(child)
            self.lines.append(f"ENDBRANCH {ends}")

    def _atom_line(self, index: int) -> str:
        position = "".join(f"{x:8.3f}" for x in self.positions[index])
        if len(position) != 24:
            raise LigandError(
                "coordinates are too large for the columns of a PDBQT file", stage="pack"
            )
        symbol = self.mol.GetAtomWithIdx(index).GetSymbol()
        name = f" {symbol:<3}" if len(symbol) == 1 else f"{symbol:<4}"
        return (
            f"ATOM  {self.serial[index]:5d} {name} UNL     1    {position}"
            f"  1.00  0.00    {self.charge[index]:+6.3f} {self.typing.autodock[index]:<2}"
        )


def _smiles_remarks(mol: Chem.Mol, serial: dict[int, int]) -> list[str]:
    """Return the lines that map a SMILES onto the atoms, as Meeko writes and reads them."""
    labelled = Chem.Mol(mol)
    for atom in labelled.GetAtoms():
        atom.SetIntProp("_full_index", atom.GetIdx())
    with rdBase.BlockLogs():
        heavy = Chem.RemoveHs(labelled)
    smiles = Chem.MolToSmiles(heavy)
    output_order = list(heavy.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    in_smiles = {
        heavy.GetAtomWithIdx(i).GetIntProp("_full_index"): k + 1 for k, i in enumerate(output_order)
    }
    pairs = [f" {in_smiles[i]} {number}" for i, number in serial.items() if i in in_smiles]
    parents = []
    for index, number in serial.items():
        if index not in in_smiles:
            (parent,) = mol.GetAtomWithIdx(index).GetNeighbors()
            parents.append(f" {in_smiles[parent.GetIdx()]} {number}")
    return [
        f"REMARK SMILES {smiles}",
        *_broken_lines("REMARK SMILES IDX", pairs),
        *_broken_lines("REMARK H PARENT", parents),
    ]


def _broken_lines(prefix: str, items: Iterable[str]) -> list[str]:
    lines = [prefix]
    for item in items:
        if len(lines[-1]) + len(item) >= _REMARK_WIDTH:
            lines.append(prefix)
        lines[-1] += item
    return lines
