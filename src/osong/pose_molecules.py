"""Poses as they stand in a campaign's parts, and the way back to RDKit molecules and SDF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rdkit import Chem

from osong.library import parse_record
from osong.ligands.prepared import PreparedLigand, mol_from_explicit_smiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from osong.library import Record

__all__ = ["input_properties", "plain_smiles", "pose_molecule", "sdf_text"]

_WITH_PROPERTIES: Final = frozenset({"sdf", "mol"})
"""Record formats whose molecules can carry properties."""


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
    properties: Mapping[str, Any],
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
        if isinstance(value, float):
            mol.SetDoubleProp(key, value)
        elif isinstance(value, int):
            mol.SetIntProp(key, value)
        else:
            mol.SetProp(key, str(value))
    return mol


def input_properties(record: Record) -> dict[str, str]:
    """Return the properties that a molecule came with (the data items of an SD file)."""
    if record.format not in _WITH_PROPERTIES:
        return {}
    mol = parse_record(record)
    if isinstance(mol, PreparedLigand):
        return dict(mol.properties)
    return {key: mol.GetProp(key) for key in mol.GetPropNames()}


def sdf_text(mol: Chem.Mol) -> str:
    """Return a molecule as one record of an SD file."""
    return str(Chem.SDWriter.GetText(mol))
