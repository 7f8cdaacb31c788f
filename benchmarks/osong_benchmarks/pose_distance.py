"""Distance of docked poses from the crystal."""

from __future__ import annotations

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdMolAlign

__all__ = ["heavy_atom_rmsd"]

_MAX_MATCHES = 10_000


def heavy_atom_rmsd(pose: Chem.Mol, crystal: Chem.Mol) -> float:
    """Return the symmetry-corrected heavy-atom RMSD, angstrom, without moving either.

    Where the two differ in protonation or bond orders, atoms are matched by element and
    connection alone.

    Raises
    ------
    ValueError
        If the heavy atoms are not those of the same molecule.
    """
    with rdBase.BlockLogs():
        a, b = Chem.RemoveHs(pose, sanitize=False), Chem.RemoveHs(crystal, sanitize=False)
        try:
            return float(rdMolAlign.CalcRMS(Chem.Mol(a), b, maxMatches=_MAX_MATCHES))
        except RuntimeError:
            return _skeleton_rmsd(_skeleton(a), _skeleton(b))


def _skeleton(mol: Chem.Mol) -> Chem.Mol:
    """Return the heavy atoms with single bonds, no charges."""
    plain = Chem.RWMol()
    index = {}
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() > 1:
            index[atom.GetIdx()] = plain.AddAtom(Chem.Atom(atom.GetAtomicNum()))
    for bond in mol.GetBonds():
        i, j = index.get(bond.GetBeginAtomIdx()), index.get(bond.GetEndAtomIdx())
        if i is not None and j is not None:
            plain.AddBond(i, j, Chem.BondType.SINGLE)
    conformer = Chem.Conformer(len(index))
    conformer.SetPositions(mol.GetConformer().GetPositions()[list(index)])
    plain.AddConformer(conformer)
    return plain.GetMol()


def _skeleton_rmsd(a: Chem.Mol, b: Chem.Mol) -> float:
    matches = a.GetSubstructMatches(b, uniquify=False, maxMatches=_MAX_MATCHES)
    if not matches or a.GetNumAtoms() != b.GetNumAtoms():
        raise ValueError("pose and crystal ligand are not the same molecule")
    order = np.array(matches)
    difference = a.GetConformer().GetPositions()[order] - b.GetConformer().GetPositions()
    return float(np.sqrt((difference**2).sum(axis=2).mean(axis=1).min()))
