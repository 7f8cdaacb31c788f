"""Protonation states at a pH, by dimorphite-dl."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["protonation_states"]

_ORDINARY_ACID_PKA = 9.0
"""Above this pH the answer of dimorphite-dl for phenols and ring N-H is left as it is."""

_SECOND_AMINE_PKA = 7.0
"""From this pH on, one of two amines two carbons apart is neutral."""


@cache
def _protonate_smiles() -> Callable[..., list[str]]:
    # Imported late: it takes half a second, and whoever docks a prepared library needs it never.
    from dimorphite_dl import protonate_smiles
    from loguru import logger

    logger.disable("dimorphite_dl")
    return protonate_smiles


def protonation_states(mol: Chem.Mol, ph: float, max_states: int) -> tuple[list[Chem.Mol], str]:
    """Return the protonation states of a molecule at a pH, the most populated first, and a note.

    Where dimorphite-dl finds no valid state the molecule stays as drawn, and the note says so.

    Parameters
    ----------
    mol
        Without hydrogens as atoms.
    ph
        A single state is the dominant one at this pH; further ones come from sites whose pKa is
        within one standard deviation of it.
    max_states
        Most states to return.
    """
    smiles = Chem.MolToSmiles(mol)
    with rdBase.BlockLogs():
        answers = _answers(smiles, ph, 0.0, 1)
        if max_states > 1:
            answers += _answers(smiles, ph, 1.0, max_states)
        states: dict[str, Chem.Mol] = {}
        for answer in answers:
            state = Chem.MolFromSmiles(answer)
            if state is not None and _same_skeleton(state, mol):
                state = _without_overstated_acids(state, ph)
                state = _without_neighbouring_cations(state, ph)
                states.setdefault(Chem.MolToSmiles(state), state)
    if not states:
        return [mol], "protonation failed: state kept as drawn"
    note = "" if next(iter(states)) == smiles else f"protonated for pH {ph:g}"
    return list(states.values())[:max_states], note


def _answers(smiles: str, ph: float, precision: float, limit: int) -> list[str]:
    return list(
        _protonate_smiles()(smiles, ph_min=ph, ph_max=ph, precision=precision, max_variants=limit)
    )


def _without_overstated_acids(mol: Chem.Mol, ph: float) -> Chem.Mol:
    """Give back the protons of pyridones and ordinary phenols, where dimorphite-dl took them.

    It has one pKa (7.2) for all ring N-H and one (7.1) for most aryl O-H, fitted over sets that
    span tetrazoles and nitrophenols. Pyridones, uracils, quinazolinones (9 to 12) and phenols
    without nitro groups or several halogens (9 to 10) are neutral in water and in proteins.
    """
    if ph > _ORDINARY_ACID_PKA:
        return mol
    fixed = Chem.RWMol(mol)
    changed = False
    rings = [set(ring) for ring in mol.GetRingInfo().AtomRings()]
    for atom in fixed.GetAtoms():
        if atom.GetFormalCharge() != -1:
            continue
        if atom.GetAtomicNum() == 7 and atom.GetIsAromatic():
            own = [ring for ring in rings if atom.GetIdx() in ring]
            acidic = any(_count(mol, ring, (7,)) >= 4 for ring in own)
        elif atom.GetAtomicNum() == 8 and atom.GetDegree() == 1:
            (carbon,) = atom.GetNeighbors()
            if not (carbon.GetIsAromatic() and carbon.GetAtomicNum() == 6):
                continue
            own = [ring for ring in rings if carbon.GetIdx() in ring]
            acidic = any(_is_activated(mol, ring) for ring in own)
        else:
            continue
        if not acidic:
            atom.SetFormalCharge(0)
            atom.SetNumExplicitHs(1)
            changed = True
    # Through SMILES: what depends on the hydrogens (possible stereochemistry) is found anew.
    repaired = Chem.MolFromSmiles(Chem.MolToSmiles(fixed)) if changed else None
    return mol if repaired is None else repaired


def _without_neighbouring_cations(mol: Chem.Mol, ph: float) -> Chem.Mol:
    """Take one proton from two amines that are two carbons apart, where dimorphite-dl gave both.

    It looks at each site by itself, but the first charge makes the second hard to bear: the
    second pKa of piperazine is 5.6, that of ethylenediamine 6.9 (CRC Handbook of Chemistry and
    Physics). The amine with fewer electron-drawing neighbours keeps its proton.
    """
    if ph < _SECOND_AMINE_PKA:
        return mol
    lost: set[int] = set()
    for match in sorted(mol.GetSubstructMatches(_neighbouring_amines())):
        pair = (match[0], match[-1])
        if not lost.intersection(pair):
            lost.add(max(pair, key=lambda k: _reluctance(mol, k)))
    if not lost:
        return mol
    fixed = Chem.RWMol(mol)
    for k in lost:
        atom = fixed.GetAtomWithIdx(k)
        atom.SetFormalCharge(0)
        atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))
    repaired = Chem.MolFromSmiles(Chem.MolToSmiles(fixed))
    return mol if repaired is None else repaired


@cache
def _neighbouring_amines() -> Chem.Mol:
    return Chem.MolFromSmarts("[NX4+;!H0]-[CX4]-[CX4]-[NX4+;!H0]")


def _reluctance(mol: Chem.Mol, k: int) -> tuple[int, int, int]:
    """Return how badly an amine bears a proton; the last entry breaks ties by the graph alone."""
    atom = mol.GetAtomWithIdx(k)
    second = [n for c in atom.GetNeighbors() for n in c.GetNeighbors() if n.GetIdx() != k]
    drawing = sum(n.GetIsAromatic() or n.GetAtomicNum() not in (1, 6) for n in second)
    unsaturated = sum(n.GetHybridization() != Chem.HybridizationType.SP3 for n in second)
    return drawing, unsaturated, list(Chem.CanonicalRankAtoms(mol))[k]


def _count(mol: Chem.Mol, atoms: set[int], numbers: tuple[int, ...]) -> int:
    return sum(mol.GetAtomWithIdx(k).GetAtomicNum() in numbers for k in atoms)


def _is_activated(mol: Chem.Mol, ring: set[int]) -> bool:
    """Return whether the ring bears a nitro group or at least three halogens."""
    attached = {n.GetIdx() for k in ring for n in mol.GetAtomWithIdx(k).GetNeighbors()} - ring
    nitro = any(
        mol.GetAtomWithIdx(k).GetAtomicNum() == 7
        and mol.GetAtomWithIdx(k).GetFormalCharge() == 1
        and _count(mol, {n.GetIdx() for n in mol.GetAtomWithIdx(k).GetNeighbors()}, (8,)) == 2
        for k in attached
    )
    return nitro or _count(mol, attached, (9, 17, 35, 53)) >= 3


def _same_skeleton(a: Chem.Mol, b: Chem.Mol) -> bool:
    return bool(a.GetNumHeavyAtoms() == b.GetNumHeavyAtoms() and a.GetNumBonds() == b.GetNumBonds())
