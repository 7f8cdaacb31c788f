"""AutoDock atom types of a molecule, and the Vina types that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdPartialCharges

from osong.atom_types import TYPE_INDEX, UNSCORED
from osong.errors import LigandError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VINA_ELEMENT", "AtomTyping", "type_atoms", "vina_types"]

_AUTODOCK_TYPE: Final = {
    6: "C", 7: "NA", 8: "OA", 9: "F", 12: "Mg", 14: "Si", 15: "P", 16: "S", 17: "Cl", 20: "Ca",
    25: "Mn", 26: "Fe", 30: "Zn", 35: "Br", 53: "I", 85: "At",
    # Metals that Vina knows although AutoDock has no type for them.
    11: "Na", 19: "K", 27: "Co", 28: "Ni", 29: "Cu", 48: "Cd", 80: "Hg", 92: "U",
}  # fmt: skip

_SUBSTITUTE: Final = {5: "C", 32: "Si", 33: "P", 34: "S"}
"""Elements without parameters of their own, docked with those of the neighbour that is closest
in size and polarity; Vina itself reads Se as S."""

_METALS: Final = frozenset({11, 12, 19, 20, 25, 26, 27, 28, 29, 30, 48, 80, 92})

VINA_ELEMENT: Final = {
    "H": "H", "HD": "H", "C": "C", "A": "C", "N": "N", "NA": "N", "O": "O", "OA": "O",
    "P": "P", "S": "S", "SA": "S", "Se": "S", "F": "F", "Cl": "Cl", "Br": "Br", "I": "I",
    "Si": "Si", "At": "At",
    "Mg": "Met", "Mn": "Met", "Zn": "Met", "Ca": "Met", "Fe": "Met", "Cu": "Met", "Na": "Met",
    "K": "Met", "Hg": "Met", "Co": "Met", "U": "Met", "Cd": "Met", "Ni": "Met",
}  # fmt: skip
"""Element class of Vina for each AutoDock atom type that Vina reads."""

_FIXED_TYPE: Final = {
    "S": "S_P", "P": "P_P", "F": "F_H", "Cl": "Cl_H", "Br": "Br_H", "I": "I_H", "Si": "Si",
    "At": "At", "Met": "Met_D",
}  # fmt: skip

_POLAR_PARENTS: Final = (7, 8, 9, 15, 16)


@dataclass(frozen=True)
class AtomTyping:
    """Types and charges of all atoms of a molecule, hydrogens included.

    Attributes
    ----------
    autodock
        AutoDock types; "H" marks hydrogens that AutoDock merges into their carbon.
    vina
        (n_atoms,) int8, row of ``osong.atom_types.ATOM_TYPES``, ``UNSCORED`` for hydrogens.
    charge
        (n_atoms,) float32, Gasteiger charge, elementary charge.
    notes
        What was decided for odd elements.
    """

    autodock: tuple[str, ...]
    vina: npt.NDArray[np.int8]
    charge: npt.NDArray[np.float32]
    notes: tuple[str, ...]


@cache
def _nitrogen_without_lone_pair() -> Chem.Mol:
    """SMARTS of the nitrogens that accept no hydrogen bond.

    Those of AutoDock's (and Meeko's) table: aniline and pyrrole, amide and the like, triazene,
    ammonium and pyridinium.
    """
    return Chem.MolFromSmarts("[$([#7X3v3][a]),$([#7X3v3][#6X3v4]),$([#7X3v3][NX2]=*),$([#7+1])]")


@cache
def _sulfur_acceptor() -> Chem.Mol:
    return Chem.MolFromSmarts("[SX2]")


def type_atoms(mol: Chem.Mol, adjacency: npt.NDArray[np.int32]) -> AtomTyping:
    """Return AutoDock types, Vina types and Gasteiger charges of a molecule.

    Parameters
    ----------
    mol
        Sanitized, with all hydrogens as atoms.
    adjacency
        (n_atoms, n_atoms) int32, 1 where two atoms are bonded.

    Raises
    ------
    LigandError
        At stage "type", where an element has no parameters.
    """
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    notes: list[str] = []
    autodock = _autodock_types(mol, numbers, adjacency, notes)
    charge = _gasteiger_charges(mol, notes)
    return AtomTyping(tuple(autodock), vina_types(autodock, adjacency), charge, tuple(notes))


def _autodock_types(
    mol: Chem.Mol,
    numbers: npt.NDArray[np.int_],
    adjacency: npt.NDArray[np.int32],
    notes: list[str],
) -> list[str]:
    polar = adjacency @ np.isin(numbers, _POLAR_PARENTS).astype(np.int32) > 0
    types: list[str] = []
    for i, number in enumerate(numbers.tolist()):
        if number == 1:
            types.append("HD" if polar[i] else "H")
        elif number in _AUTODOCK_TYPE:
            types.append(_AUTODOCK_TYPE[number])
        else:
            types.append(_substitute(number))
    for atom in mol.GetAromaticAtoms():
        if atom.GetAtomicNum() == 6:
            types[atom.GetIdx()] = "A"
    for (i,) in mol.GetSubstructMatches(_nitrogen_without_lone_pair(), maxMatches=len(types)):
        types[i] = "N"
    for (i,) in mol.GetSubstructMatches(_sulfur_acceptor(), maxMatches=len(types)):
        types[i] = "SA"
    notes.extend(_odd_elements(set(numbers.tolist())))
    return types


def _substitute(number: int) -> str:
    if number not in _SUBSTITUTE:
        symbol = Chem.GetPeriodicTable().GetElementSymbol(number)
        raise LigandError(
            f"no docking parameters for the element {symbol}; leave the molecule out, "
            "or replace the element by a similar one",
            stage="type",
        )
    return _SUBSTITUTE[number]


def _odd_elements(numbers: set[int]) -> list[str]:
    table = Chem.GetPeriodicTable()
    notes = [
        f"{table.GetElementSymbol(number)} docked with the parameters of {_SUBSTITUTE[number]}"
        for number in sorted(numbers & _SUBSTITUTE.keys())
    ]
    notes += [
        f"{table.GetElementSymbol(number)} docked as a bare metal ion"
        for number in sorted(numbers & _METALS)
    ]
    return notes


def _gasteiger_charges(mol: Chem.Mol, notes: list[str]) -> npt.NDArray[np.float32]:
    rdPartialCharges.ComputeGasteigerCharges(mol)
    charge = np.array(
        [atom.GetDoubleProp("_GasteigerCharge") for atom in mol.GetAtoms()], dtype=np.float32
    )
    if not np.isfinite(charge).all():
        # Gasteiger's method lacks parameters for many elements; formal charges are what is known.
        notes.append("no Gasteiger charges for this molecule: formal charges used")
        charge = np.array([atom.GetFormalCharge() for atom in mol.GetAtoms()], dtype=np.float32)
    return charge


def vina_types(autodock: Sequence[str], adjacency: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """Return the Vina type of each atom from its AutoDock type and its neighbours.

    Parameters
    ----------
    autodock
        AutoDock types, keys of ``VINA_ELEMENT``.
    adjacency
        (n_atoms, n_atoms) int32, 1 where two atoms are bonded.

    Returns
    -------
    (n_atoms,) int8, row of ``osong.atom_types.ATOM_TYPES``; ``UNSCORED`` for hydrogens.
    """
    elements = [VINA_ELEMENT[ad] for ad in autodock]
    is_hetero = np.array([element not in ("C", "H") for element in elements], dtype=np.int32)
    is_donor_hydrogen = np.array([ad == "HD" for ad in autodock], dtype=np.int32)
    polar = adjacency @ is_hetero > 0
    donor = adjacency @ is_donor_hydrogen > 0
    types = np.full(len(elements), UNSCORED, dtype=np.int8)
    for i, (element, ad) in enumerate(zip(elements, autodock, strict=True)):
        if element == "H":
            continue
        if element == "C":
            name = "C_P" if polar[i] else "C_H"
        elif element in ("N", "O"):
            roles = ("D" if donor[i] else "") + ("A" if ad in ("NA", "OA") else "")
            name = f"{element}_{roles or 'P'}"
        else:
            name = _FIXED_TYPE[element]
        types[i] = TYPE_INDEX[name]
    return types
