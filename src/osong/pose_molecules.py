"""Poses as they stand in a campaign's parts, and the way back to RDKit molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from osong.ligands.prepared import mol_from_explicit_smiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

__all__ = ["plain_smiles", "pose_molecule"]


def plain_smiles(explicit_smiles: str) -> str:
    """Return the canonical SMILES, without explicit hydrogens, of one that has them all.

    Examples
    --------
    >>> plain_smiles("[H]OC([H])([H])[H]")
    'CO'
    """
    mol = mol_from_explicit_smiles(explicit_smiles)
    # Molecules from PDBQT have no bond orders, and may not pass a sanitisation.
    mol.UpdatePropertyCache(strict=False)
    return str(Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False)))


def pose_molecule(
    explicit_smiles: str,
    coords: npt.NDArray[np.floating[Any]],
    name: str,
    properties: Mapping[str, object],
) -> Chem.Mol:
    """Return a pose as a molecule with bond orders, all hydrogens, name and properties.

    Parameters
    ----------
    coords
        (n_atoms, 3), angstrom, in the order of the SMILES.
    """
    mol = mol_from_explicit_smiles(explicit_smiles)
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.Set3D(True)
    conformer.SetPositions(np.asarray(coords, dtype=np.float64).reshape(-1, 3))
    mol.AddConformer(conformer)
    mol.SetProp("_Name", name)
    for key, value in properties.items():
        mol.SetProp(key, str(value))
    return mol
