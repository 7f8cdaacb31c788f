"""RMSD that knows which atoms of a ligand are interchangeable."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.ligands.prepared import PreparedLigand

__all__ = ["symmetric_rmsd", "symmetries"]

_MAX_SYMMETRIES: Final = 1000


def symmetries(ligand: PreparedLigand) -> npt.NDArray[np.int64]:
    """Return the permutations of scored atoms that leave the molecular graph as it is.

    (n_permutations, n_scored) int64, the identity among them; at most 1,000 are listed. Bond
    orders and charges are ignored, so both oxygens of a carboxylate are alike.
    """
    n = ligand.packed.n_scored
    plain = Chem.RWMol()
    mol = ligand.mol()
    index = ligand.packed.atom_index[:n].astype(int)
    position = {int(a): k for k, a in enumerate(index)}
    for a in index:
        plain.AddAtom(Chem.Atom(mol.GetAtomWithIdx(int(a)).GetAtomicNum()))
    for bond in mol.GetBonds():
        i, j = position.get(bond.GetBeginAtomIdx()), position.get(bond.GetEndAtomIdx())
        if i is not None and j is not None:
            plain.AddBond(i, j, Chem.BondType.SINGLE)
    query = plain.GetMol()
    matches = query.GetSubstructMatches(query, uniquify=False, maxMatches=_MAX_SYMMETRIES)
    return np.array(matches or [tuple(range(n))], np.int64).reshape(-1, n)


def symmetric_rmsd(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], permutations: npt.NDArray[np.int64]
) -> float:
    """Return the smallest RMSD of two poses (n, 3) in angstrom over the permutations."""
    difference = a[permutations] - b[None]
    return float(np.sqrt((difference**2).sum(axis=2).mean(axis=1).min()))
