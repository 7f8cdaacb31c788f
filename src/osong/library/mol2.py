"""MOL2 blocks as molecules, with what other programs than Corina write mended."""

from __future__ import annotations

from typing import Any, Final

from rdkit import Chem

__all__ = ["mol_from_mol2"]

_CHARGED: Final = {(7, 4): 1, (8, 3): 1, (16, 3): 1, (15, 4): 1, (5, 4): -1}
"""Formal charge of an atom whose bond orders sum to more than its neutral valence."""


def mol_from_mol2(text: str) -> Chem.Mol | None:
    """Return the molecule of a MOL2 block with all its hydrogens, None where no way leads to one.

    RDKit knows the atom types that Corina writes. Where those of another program (Open Babel,
    OpenEye, antechamber) make it give up, these are tried in turn: without its repair of charged
    groups, then with formal charges set from the bond orders.
    """
    if not text.startswith("@<TRIPOS>MOLECULE"):
        raise ValueError("there is no @<TRIPOS>MOLECULE line")
    mol: Any  # RDKit's stubs leave out that it may be None
    mol = Chem.MolFromMol2Block(text, sanitize=True, removeHs=False)
    if mol is None:
        mol = Chem.MolFromMol2Block(text, sanitize=True, removeHs=False, cleanupSubstructures=False)
    if mol is None:
        for cleanup in (True, False):
            raw: Any = Chem.MolFromMol2Block(
                text, sanitize=False, removeHs=False, cleanupSubstructures=cleanup
            )
            mol = _mended(raw) if raw is not None else None
            if mol is not None:
                break
    return mol


def _mended(mol: Chem.Mol) -> Chem.Mol | None:
    """Return the molecule with formal charges that fit its bonds, None where that is not enough."""
    for atom in mol.GetAtoms():
        if atom.GetFormalCharge() or atom.GetIsAromatic():
            continue
        bonds = round(sum(bond.GetBondTypeAsDouble() for bond in atom.GetBonds()))
        atom.SetFormalCharge(_CHARGED.get((atom.GetAtomicNum(), bonds), 0))
    try:
        Chem.SanitizeMol(mol)
    except ValueError:
        return None
    Chem.AssignStereochemistryFrom3D(mol)
    return mol
