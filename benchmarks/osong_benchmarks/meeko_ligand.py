"""Ligands for Vina and Rustina: through Meeko, as the authors of both recommend."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem import AllChem

from osong.errors import MissingExtraError

__all__ = ["docked_mols", "embedded", "meeko_pdbqt"]


def meeko_pdbqt(mol: Chem.Mol) -> str:
    """Return the PDBQT of a molecule with hydrogens and one conformer.

    Raises
    ------
    MissingExtraError
        If Meeko is not installed.
    ValueError
        If Meeko cannot write the molecule.
    """
    try:
        from meeko import MoleculePreparation, PDBQTWriterLegacy
    except ImportError as error:
        raise MissingExtraError("meeko", extra="peers", purpose="docking with peers") from error
    setup = MoleculePreparation().prepare(mol)[0]
    text, is_ok, problem = PDBQTWriterLegacy.write_string(setup)
    if not is_ok:
        raise ValueError(f"Meeko: {problem}")
    return str(text)


def docked_mols(pdbqt: str) -> list[Chem.Mol]:
    """Return the poses of a docked PDBQT, one molecule each, in their order."""
    from meeko import PDBQTMolecule, RDKitMolCreate

    (docked,) = RDKitMolCreate.from_pdbqt_mol(PDBQTMolecule(pdbqt, skip_typing=True))
    return [Chem.Mol(docked, confId=k) for k in range(docked.GetNumConformers())]


def embedded(mol_or_smiles: Chem.Mol | str, seed: int = 1) -> Chem.Mol:
    """Return a molecule with hydrogens in a conformer that RDKit makes (ETKDG version 3).

    Raises
    ------
    ValueError
        If RDKit finds no conformer.
    """
    mol = Chem.MolFromSmiles(mol_or_smiles) if isinstance(mol_or_smiles, str) else mol_or_smiles
    mol = Chem.AddHs(mol)
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = seed
    if AllChem.EmbedMolecule(mol, parameters) < 0:
        raise ValueError("RDKit finds no conformer")
    return mol
