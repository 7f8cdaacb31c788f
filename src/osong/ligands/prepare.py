"""From a molecule to its `PreparedLigand` objects."""

from __future__ import annotations

from dataclasses import replace

from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.ligands.assemble import pack_molecule
from osong.ligands.embedding import embed
from osong.ligands.options import LigandOptions
from osong.ligands.origin import Origin, read_molecule
from osong.ligands.packing import MAX_ATOMS
from osong.ligands.pose import pack_given_geometry
from osong.ligands.prepared import PreparedLigand, ligand_key, mol_from_explicit_smiles
from osong.ligands.standardize import carries_hydrogens, standardize
from osong.ligands.variants import Variant, enumerate_variants

__all__ = ["DEFAULT_PH", "prepare_ligand"]

DEFAULT_PH = 7.4


def prepare_ligand(
    mol_or_smiles: Chem.Mol | str, *, name: str = "", options: LigandOptions | None = None
) -> list[PreparedLigand]:
    """Return the states of a molecule that are to be docked, each with its conformers.

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
    mol, origin = read_molecule(mol_or_smiles, name)
    if options.keep_geometry:
        mol, notes = standardize(mol)
        return [pack_given_geometry(mol, origin, notes)]
    as_drawn = carries_hydrogens(mol)
    mol, notes = standardize(mol)
    ph = DEFAULT_PH if options.ph == "auto" else options.ph
    if options.ph == "auto" and as_drawn:
        ph = None
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        ph = None  # pKa rules are for closed shells: they would protonate a nitroxide.
    variants = enumerate_variants(_canonical(mol), ph, options)
    return _prepare_variants(variants, origin, notes, options)


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
    variants: list[Variant], origin: Origin, notes: list[str], options: LigandOptions
) -> list[PreparedLigand]:
    """Embed and pack each state; those without a geometry are left out, and a note says so."""
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
    n_lost = len(variants) - len(prepared)
    if not n_lost:
        return prepared
    note = f"{n_lost} of {len(variants)} states left out: no 3D geometry"
    return [replace(ligand, notes=(*ligand.notes, note)) for ligand in prepared]


def _prepare_variant(
    variant: Variant, number: int, origin: Origin, notes: list[str], options: LigandOptions
) -> PreparedLigand:
    mol, smiles = _with_hydrogens(variant.smiles)
    key = ligand_key(variant.smiles)
    with rdBase.BlockLogs():
        coords = embed(mol, key, options)
    packed, type_notes = pack_molecule(mol, coords, key)
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
