"""From a molecule to its `PreparedLigand` objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.ligands.atom_typing import type_atoms
from osong.ligands.embedding import embed
from osong.ligands.options import LigandOptions
from osong.ligands.packing import MAX_ATOMS, pack
from osong.ligands.prepared import PreparedLigand, ligand_key, mol_from_explicit_smiles
from osong.ligands.standardize import (
    carries_hydrogens,
    check_molecule,
    sanitize,
    smiles_to_mol,
    standardize,
)
from osong.ligands.torsions import (
    active_torsions,
    build_tree,
    moves_heavy_atoms,
    torsion_count,
)
from osong.ligands.variants import Variant, enumerate_variants

if TYPE_CHECKING:
    from osong.ligands.packed import PackedLigand

__all__ = ["DEFAULT_PH", "pack_pose", "prepare_ligand"]

DEFAULT_PH = 7.4


@dataclass(frozen=True)
class _Origin:
    """What a molecule was called and carried when it came in."""

    name: str
    smiles: str
    properties: tuple[tuple[str, str], ...]


def prepare_ligand(
    mol_or_smiles: Chem.Mol | str, *, name: str = "", options: LigandOptions | None = None
) -> list[PreparedLigand]:
    """Return the states of a molecule that are to be docked, each with its ring conformers.

    Parameters
    ----------
    mol_or_smiles
        An RDKit molecule or a SMILES. Coordinates are used only with ``keep_geometry``.
    name
        Name of the molecule; where empty, the molecule's own.
    options
        How to prepare.

    Raises
    ------
    LigandError
        With the stage at which the molecule failed, and why.
    """
    options = options or LigandOptions()
    mol, origin = _read(mol_or_smiles, name)
    if options.keep_geometry:
        mol, notes = standardize(mol)
        return [_pack_given_geometry(mol, origin, notes)]
    as_drawn = carries_hydrogens(mol)
    mol, notes = standardize(mol)
    ph = DEFAULT_PH if options.ph == "auto" else options.ph
    if options.ph == "auto" and as_drawn:
        ph = None
    variants = enumerate_variants(_canonical(mol), ph, options)
    return _prepare_variants(variants, origin, notes, options)


def pack_pose(mol: Chem.Mol, *, name: str = "") -> PreparedLigand:
    """Return the molecule packed with the geometry that it has, to score it as it lies.

    Nothing is protonated, desalted or changed; missing hydrogens are added with coordinates.

    Raises
    ------
    LigandError
        Where the molecule has no coordinates, is not one molecule or has no parameters.
    """
    mol, origin = _read(mol, name)
    check_molecule(mol)
    return _pack_given_geometry(mol, origin, [])


def _read(mol_or_smiles: Chem.Mol | str, name: str) -> tuple[Chem.Mol, _Origin]:
    if isinstance(mol_or_smiles, str):
        mol = smiles_to_mol(mol_or_smiles)
        return mol, _Origin(name, _input_smiles(mol), ())
    own_name = ""
    if mol_or_smiles.HasProp("_Name"):
        own_name = mol_or_smiles.GetProp("_Name")
    properties = tuple(
        (key, str(value))
        for key, value in sorted(mol_or_smiles.GetPropsAsDict(autoConvertStrings=False).items())
    )
    if mol_or_smiles.GetNumAtoms() > MAX_ATOMS * 10:
        raise LigandError(f"{mol_or_smiles.GetNumAtoms()} atoms: no ligand", stage="standardize")
    mol = sanitize(mol_or_smiles)
    return mol, _Origin(name or own_name, _input_smiles(mol), properties)


def _input_smiles(mol: Chem.Mol) -> str:
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False))


def _canonical(mol: Chem.Mol) -> Chem.Mol:
    """Return the molecule without hydrogens as atoms, its atoms in canonical order.

    All that follows sees this order, so nothing depends on how the molecule was drawn.
    """
    with rdBase.BlockLogs():
        smiles = Chem.MolToSmiles(Chem.RemoveHs(mol))
        canonical = Chem.MolFromSmiles(smiles)
    if canonical is None:
        raise LigandError(
            f"has no canonical form that RDKit reads again: {smiles}", stage="standardize"
        )
    return canonical


def _prepare_variants(
    variants: list[Variant], origin: _Origin, notes: list[str], options: LigandOptions
) -> list[PreparedLigand]:
    """Embed and pack each state; those without a geometry fail only where all do."""
    prepared: list[PreparedLigand] = []
    failure: LigandError | None = None
    for variant in variants:
        try:
            ligand = _prepare_variant(variant, len(prepared), origin, notes, options)
        except LigandError as error:
            if error.stage != "embed":
                raise
            failure = error
            continue
        prepared.append(ligand)
    if not prepared:
        raise failure or LigandError("no state to dock", stage="stereo")
    return prepared


def _prepare_variant(
    variant: Variant, number: int, origin: _Origin, notes: list[str], options: LigandOptions
) -> PreparedLigand:
    mol, smiles = _with_hydrogens(variant.smiles)
    key = ligand_key(variant.smiles)
    with rdBase.BlockLogs():
        coords = embed(mol, key, options)
    packed, type_notes = _pack_mol(mol, coords, key)
    return PreparedLigand(
        name=origin.name,
        smiles=smiles,
        input_smiles=origin.smiles,
        variant=number,
        notes=(*notes, *variant.notes, *type_notes),
        packed=packed,
        properties=origin.properties,
    )


def _with_hydrogens(smiles: str) -> tuple[Chem.Mol, str]:
    """Return the molecule with all hydrogens, and the SMILES that has its atom order."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if mol.GetNumAtoms() > MAX_ATOMS:
        raise LigandError(
            f"{mol.GetNumAtoms()} atoms, more than the {MAX_ATOMS} that can be docked",
            stage="standardize",
        )
    explicit = Chem.MolToSmiles(mol, canonical=False)
    return mol_from_explicit_smiles(explicit), explicit


def _pack_mol(
    mol: Chem.Mol, coords: npt.NDArray[np.float64], key: bytes
) -> tuple[PackedLigand, tuple[str, ...]]:
    """Type the atoms, find the torsions and pack; coords are (n_conformers, n_atoms, 3)."""
    adjacency = Chem.GetAdjacencyMatrix(mol)
    with rdBase.BlockLogs():
        typing = type_atoms(mol, adjacency)
    is_heavy = typing.vina >= 0
    heavy_degree = adjacency @ is_heavy.astype(np.int32)
    active = active_torsions(mol, typing.autodock)
    cuts = [bond for bond in active if moves_heavy_atoms(bond, heavy_degree)]
    packed = pack(
        key=key,
        coords=coords,
        atom_type=typing.vina,
        charge=typing.charge,
        tree=build_tree(adjacency, cuts, is_heavy.astype(np.int64)),
        adjacency=adjacency,
        torsion_count=torsion_count(active, is_heavy, heavy_degree),
    )
    return packed, typing.notes


def _pack_given_geometry(mol: Chem.Mol, origin: _Origin, notes: list[str]) -> PreparedLigand:
    """Pack a molecule with its own coordinates, its atoms in canonical order."""
    if mol.GetNumConformers() == 0 or not np.isfinite(mol.GetConformer().GetPositions()).all():
        raise LigandError("has no coordinates to keep", stage="embed")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise LigandError("more than one molecule: score each by itself", stage="standardize")
    n_given = mol.GetNumAtoms()
    complete = Chem.AddHs(mol, addCoords=True)
    smiles = Chem.MolToSmiles(complete)
    order = list(complete.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    coords = complete.GetConformer().GetPositions()[order]
    renumbered = mol_from_explicit_smiles(smiles)
    key = ligand_key(_input_smiles(renumbered), coords)
    packed, type_notes = _pack_mol(renumbered, coords[None], key)
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
