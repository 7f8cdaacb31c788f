"""From whatever came in to one clean molecule: read, check, desalt, normalise."""

from __future__ import annotations

from functools import cache
from typing import Final

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from osong.errors import LigandError
from osong.ligands.packing import MAX_ATOMS

__all__ = ["carries_hydrogens", "check_molecule", "sanitize", "smiles_to_mol", "standardize"]

_SALT_METALS: Final = (3, 4, 11, 12, 19, 20, 37, 38, 55, 56)


def smiles_to_mol(smiles: str) -> Chem.Mol:
    """Return the molecule of a SMILES, hydrogens that are written as atoms kept.

    Raises
    ------
    LigandError
        At stage "read" for a SMILES that is none, "sanitize" for impossible chemistry.
    """
    parameters = Chem.SmilesParserParams()
    parameters.removeHs = False
    parameters.sanitize = False
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles, parameters) if smiles.strip() else None
    if mol is None:
        shown = smiles if len(smiles) <= 80 else smiles[:77] + "..."
        raise LigandError(f"not a SMILES that can be read: {shown!r}", stage="read")
    return sanitize(mol)


def sanitize(mol: Chem.Mol) -> Chem.Mol:
    """Return a sanitized copy with stereochemistry assigned.

    Raises
    ------
    LigandError
        At stage "sanitize", with RDKit's reason.
    """
    mol = Chem.Mol(mol)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
            Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
        except (ValueError, RuntimeError) as error:
            raise LigandError(_problem(mol, error), stage="sanitize") from error
    return mol


def _problem(mol: Chem.Mol, error: Exception) -> str:
    problems = [problem.Message() for problem in Chem.DetectChemistryProblems(mol)]
    return "; ".join(dict.fromkeys(problems)) or str(error).splitlines()[0]


def carries_hydrogens(mol: Chem.Mol) -> bool:
    """Return whether the molecule has hydrogens as atoms, and none implied on heteroatoms.

    Then its protonation state is the chemist's choice, not a matter of how formulae are drawn.
    """
    if not any(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms()):
        return False
    return not any(
        atom.GetTotalNumHs() for atom in mol.GetAtoms() if atom.GetAtomicNum() not in (1, 6)
    )


def check_molecule(mol: Chem.Mol) -> None:
    """Refuse what is not one real molecule of a size that can be docked.

    Raises
    ------
    LigandError
        At stage "standardize".
    """
    reason = _what_is_wrong(mol)
    if reason:
        raise LigandError(reason, stage="standardize")


def _what_is_wrong(mol: Chem.Mol) -> str:
    if mol.GetNumHeavyAtoms() == 0:
        return "no heavy atoms"
    if mol.GetNumAtoms() > MAX_ATOMS:
        return f"{mol.GetNumAtoms()} atoms, more than the {MAX_ATOMS} that can be docked"
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            return "contains a dummy atom or R group; draw the whole molecule"
        if atom.HasQuery():
            return "contains a query atom; draw one definite molecule"
    for bond in mol.GetBonds():
        if bond.HasQuery() or bond.GetBondType() in (
            Chem.BondType.ZERO,
            Chem.BondType.UNSPECIFIED,
            Chem.BondType.HYDROGEN,
        ):
            return "contains a query or zero-order bond; draw definite bonds"
    return ""


def standardize(mol: Chem.Mol) -> tuple[Chem.Mol, list[str]]:
    """Return the largest organic fragment, normalised, and what was done to get there.

    Parameters
    ----------
    mol
        Sanitized; hydrogens as atoms or not.

    Raises
    ------
    LigandError
        At stage "standardize".
    """
    notes: list[str] = []
    if any(atom.HasQuery() or atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        check_molecule(mol)
    with rdBase.BlockLogs():
        try:
            mol = _split_salts(mol, notes)
            mol = _largest_fragment(mol, notes)
            check_molecule(mol)
            before = Chem.MolToSmiles(mol)
            normal = _normalizer().normalize(mol)
            if Chem.MolToSmiles(normal) != before:
                notes.append("functional groups normalised")
                mol = normal
        except (ValueError, RuntimeError) as error:
            if isinstance(error, LigandError):
                raise
            raise LigandError(str(error).splitlines()[0], stage="standardize") from error
    check_molecule(mol)
    _note_oddities(mol, notes)
    return mol, notes


@cache
def _normalizer() -> rdMolStandardize.Normalizer:
    return rdMolStandardize.Normalizer()


@cache
def _fragment_chooser() -> rdMolStandardize.LargestFragmentChooser:
    return rdMolStandardize.LargestFragmentChooser(preferOrganic=True)


def _split_salts(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    """Cut covalently drawn bonds to alkali and alkaline earth metals (sodium carboxylates)."""
    cuts = []
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() in _SALT_METALS and atom.GetDegree():
            cuts += [(atom.GetIdx(), n.GetIdx()) for n in atom.GetNeighbors()]
    if not cuts:
        return mol
    editable = Chem.RWMol(mol)
    for metal, other in cuts:
        if editable.GetBondBetweenAtoms(metal, other) is None:
            continue
        order = int(editable.GetBondBetweenAtoms(metal, other).GetBondTypeAsDouble())
        editable.RemoveBond(metal, other)
        for index, charge in ((metal, order), (other, -order)):
            atom = editable.GetAtomWithIdx(index)
            atom.SetFormalCharge(atom.GetFormalCharge() + charge)
    notes.append("bonds to alkali or alkaline earth metals drawn as ions")
    return sanitize(editable.GetMol())


def _largest_fragment(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    if len(Chem.GetMolFrags(mol)) < 2:
        return mol
    chosen = _fragment_chooser().choose(mol)
    removed = mol.GetNumHeavyAtoms() - chosen.GetNumHeavyAtoms()
    notes.append(f"salt or solvent removed ({removed} heavy atoms)")
    return chosen


def _note_oddities(mol: Chem.Mol, notes: list[str]) -> None:
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        notes.append("radical kept as drawn")
    if any(atom.GetIsotope() for atom in mol.GetAtoms()):
        notes.append("isotope labels kept")
