"""A molecule without its hydrogens, and the way back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem

__all__ = ["BareMolecule", "strip_hydrogens"]

_INDEX = "_osong_index"


@dataclass(frozen=True)
class BareMolecule:
    """The heavy atoms of a molecule, in their order, and the few hydrogens that have to stay.

    Attributes
    ----------
    mol
        Without hydrogens, but for isotopes, hydrides and the like.
    index
        (n_kept,) int64, number that each atom of ``mol`` has in the whole molecule.
    added
        (n_added,) int64, the same for the hydrogens, in the order in which RDKit adds them.
    """

    mol: Chem.Mol
    index: npt.NDArray[np.int64]
    added: npt.NDArray[np.int64]

    def complete(self, embedded: Chem.Mol) -> npt.NDArray[np.float64]:
        """Return the coordinates of all atoms, hydrogens put where they belong.

        Parameters
        ----------
        embedded
            ``mol`` with its conformers.

        Returns
        -------
        (n_conformers, n_atoms, 3) float64, angstrom, in the order of the whole molecule.
        """
        grown = Chem.AddHs(embedded, addCoords=True) if len(self.added) else embedded
        order = np.concatenate([self.index, self.added])
        coords = np.empty((grown.GetNumConformers(), len(order), 3))
        for k, conformer in enumerate(grown.GetConformers()):
            coords[k, order] = conformer.GetPositions()
        return coords


def whole_as_bare(mol: Chem.Mol) -> BareMolecule:
    """Return a molecule that keeps all its hydrogens."""
    return BareMolecule(mol, np.arange(mol.GetNumAtoms()), np.empty(0, dtype=np.int64))


def strip_hydrogens(mol: Chem.Mol) -> BareMolecule:
    """Return a molecule without the hydrogens that RDKit can put back.

    Parameters
    ----------
    mol
        With all hydrogens.
    """
    tagged = Chem.Mol(mol)
    for atom in tagged.GetAtoms():
        atom.SetIntProp(_INDEX, atom.GetIdx())
    bare = Chem.RemoveHs(tagged)
    index = [atom.GetIntProp(_INDEX) for atom in bare.GetAtoms()]
    kept = set(index)
    waiting = defaultdict(list)
    for atom in mol.GetAtoms():
        if atom.GetIdx() not in kept:
            (parent,) = atom.GetNeighbors()
            waiting[parent.GetIdx()].append(atom.GetIdx())
    # RDKit adds hydrogens atom by atom, in the order of the atoms that bear them.
    added = [hydrogen for i in index for hydrogen in waiting[i]]
    if [atom.GetTotalNumHs() for atom in bare.GetAtoms()] != [len(waiting[i]) for i in index]:
        return whole_as_bare(mol)
    return BareMolecule(bare, np.array(index), np.array(added, dtype=np.int64))
