"""What came in: the molecule as it was given, its name and its properties."""

from __future__ import annotations

from dataclasses import dataclass

from rdkit import Chem, rdBase

from osong.errors import LigandError
from osong.ligands.packing import MAX_ATOMS
from osong.ligands.standardize import sanitize, smiles_to_mol

__all__ = ["Origin", "check_is_molecule", "input_smiles", "read_molecule"]


@dataclass(frozen=True)
class Origin:
    """What a molecule was called and carried when it came in."""

    name: str
    smiles: str
    properties: tuple[tuple[str, str], ...]


def read_molecule(mol_or_smiles: Chem.Mol | str, name: str) -> tuple[Chem.Mol, Origin]:
    """Return the sanitized molecule, hydrogens as given, and what it came with.

    Raises
    ------
    LigandError
        At stage "read" or "sanitize".
    """
    if isinstance(mol_or_smiles, str):
        mol = smiles_to_mol(mol_or_smiles)
        return mol, Origin(name, input_smiles(mol), ())
    check_is_molecule(mol_or_smiles)
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
    return mol, Origin(name or own_name, input_smiles(mol), properties)


def check_is_molecule(given: object) -> None:
    """Refuse what is no RDKit molecule.

    Raises
    ------
    LigandError
        At stage "read".
    """
    if not isinstance(given, Chem.Mol):
        what = (
            "None, which is what RDKit gives for what it cannot read"
            if given is None
            else (f"a {type(given).__name__}")
        )
        raise LigandError(f"this is {what}, not an RDKit molecule: check the input", stage="read")


def input_smiles(mol: Chem.Mol) -> str:
    """Return the canonical SMILES without hydrogens as atoms."""
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False))
