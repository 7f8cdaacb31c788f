"""A molecule packed exactly as it lies."""

from __future__ import annotations

from typing import Final

import numpy as np
from rdkit import Chem

from osong.errors import LigandError
from osong.ligands.assemble import pack_molecule
from osong.ligands.origin import Origin, input_smiles, read_molecule
from osong.ligands.prepared import PreparedLigand, ligand_key, mol_from_explicit_smiles
from osong.ligands.standardize import check_molecule

__all__ = ["pack_given_geometry", "pack_pose"]

_SAME_PLACE_ANGSTROM: Final = 0.1
"""A torsion about a bond of no length has no axis."""


def pack_pose(mol: Chem.Mol, *, name: str = "") -> PreparedLigand:
    """Return the molecule packed with the geometry that it has, to score it as it lies.

    Nothing is protonated, desalted or changed; missing hydrogens are added with coordinates.

    Raises
    ------
    LigandError
        Where the molecule has no coordinates, is not one molecule or has no parameters.
    """
    mol, origin = read_molecule(mol, name)
    check_molecule(mol)
    return pack_given_geometry(mol, origin, [])


def pack_given_geometry(mol: Chem.Mol, origin: Origin, notes: list[str]) -> PreparedLigand:
    """Pack a molecule with its own coordinates, its atoms in canonical order."""
    _check_geometry(mol)
    if len(Chem.GetMolFrags(mol)) > 1:
        raise LigandError("more than one molecule: score each by itself", stage="standardize")
    n_given = mol.GetNumAtoms()
    complete = Chem.AddHs(mol, addCoords=True)
    smiles = Chem.MolToSmiles(complete)
    order = list(complete.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    coords = complete.GetConformer().GetPositions()[order]
    renumbered = mol_from_explicit_smiles(smiles)
    key = ligand_key(input_smiles(renumbered), coords)
    packed, type_notes = pack_molecule(renumbered, coords[None], key, bonds_by_distance=True)
    return PreparedLigand(
        name=origin.name,
        smiles=smiles,
        input_smiles=origin.smiles,
        variant=0,
        notes=(*notes, *type_notes),
        packed=packed,
        properties=origin.properties,
        source_index=tuple(k if k < n_given else -1 for k in order),
    )


def _check_geometry(mol: Chem.Mol) -> None:
    """Refuse a molecule without coordinates, a drawing, and bonded atoms at one place."""
    if mol.GetNumConformers() == 0 or not np.isfinite(mol.GetConformer().GetPositions()).all():
        raise LigandError("has no coordinates to keep", stage="embed")
    positions = mol.GetConformer().GetPositions()
    if not mol.GetConformer().Is3D() and not positions[:, 2].any():
        raise LigandError(
            "is a drawing in two dimensions, so it has no coordinates to keep: give a file with "
            "3D coordinates, or dock it without keeping its geometry",
            stage="embed",
        )
    ends = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], np.int64)
    length = np.linalg.norm(np.diff(positions[ends.reshape(-1, 2)], axis=1)[:, 0], axis=1)
    if (length < _SAME_PLACE_ANGSTROM).any():
        i, j = ends[int(length.argmin())] + 1
        raise LigandError(
            f"the bonded atoms {i} and {j} lie at the same place: give other coordinates, or dock "
            "it without keeping its geometry",
            stage="embed",
        )
