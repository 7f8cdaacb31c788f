"""The states of a molecule that are docked: tautomers, protomers, stereoisomers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.MolStandardize import rdMolStandardize

from osong.errors import LigandError
from osong.ligands.prepared import ligand_key
from osong.ligands.protonation import protonation_states

if TYPE_CHECKING:
    from osong.ligands.options import LigandOptions

__all__ = ["Variant", "enumerate_variants"]


@dataclass(frozen=True)
class Variant:
    """One state of a molecule: its canonical SMILES and how it came about."""

    smiles: str
    notes: tuple[str, ...]


def enumerate_variants(mol: Chem.Mol, ph: float | None, options: LigandOptions) -> list[Variant]:
    """Return the states to dock, each once, in an order that depends on the molecule alone.

    Parameters
    ----------
    mol
        Standardized, without hydrogens as atoms, in canonical atom order.
    ph
        pH of the protonation states; None keeps the state as drawn.
    options
        Numbers of states.
    """
    variants: dict[str, Variant] = {}
    for tautomer, tautomer_note in _tautomers(mol, options):
        states, ph_note = [tautomer], ""
        if ph is not None:
            states, ph_note = protonation_states(tautomer, ph, options.max_protomers)
        for state in states:
            isomers, stereo_note = _stereoisomers(state, options.max_stereoisomers)
            notes = tuple(n for n in (tautomer_note, ph_note, stereo_note) if n)
            for smiles in isomers:
                variants.setdefault(smiles, Variant(smiles, notes))
    return list(variants.values())


def _tautomers(mol: Chem.Mol, options: LigandOptions) -> list[tuple[Chem.Mol, str]]:
    if not options.tautomers:
        return [(mol, "")]
    with rdBase.BlockLogs():
        enumerator = rdMolStandardize.TautomerEnumerator()
        enumerator.SetMaxTautomers(100)
        enumerator.SetMaxTransforms(200)
        enumerator.SetRemoveSp3Stereo(False)
        enumerator.SetRemoveBondStereo(False)
        try:
            found = enumerator.Enumerate(mol)
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise LigandError(f"tautomers: {reason}", stage="tautomers") from error
        scored = sorted(
            (-enumerator.ScoreTautomer(tautomer), Chem.MolToSmiles(tautomer))
            for tautomer in found.tautomers
        )
        kept = [smiles for _, smiles in scored[: options.max_tautomers]]
        note = f"{len(kept)} of {len(scored)} tautomers" if len(scored) > 1 else ""
        return [(Chem.MolFromSmiles(smiles), note) for smiles in kept]


def _stereoisomers(mol: Chem.Mol, max_isomers: int) -> tuple[list[str], str]:
    """Return canonical SMILES of the isomers, sorted, and a note where there was a choice."""
    smiles = Chem.MolToSmiles(mol)
    with rdBase.BlockLogs():
        try:
            centres = _unassigned(mol)
            if not centres:
                return [smiles], ""
            seed = int.from_bytes(ligand_key(smiles)[:4], "little")
            choices = _choices(len(centres), max_isomers, Random(seed))
            isomers = {_with_stereo(mol, centres, choice) for choice in choices}
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise LigandError(f"stereoisomers: {reason}", stage="stereo") from error
    if len(isomers) < 2:
        return sorted(isomers), ""
    note = f"stereochemistry unassigned: {len(isomers)} isomers"
    if len(choices) < 2 ** len(centres):
        note += f" of up to {2 ** len(centres)}"
    return sorted(isomers), note


def _unassigned(mol: Chem.Mol) -> list[Chem.StereoInfo]:
    """Return the centres and double bonds to enumerate.

    Amines that carry a hydrogen are left out: they lose it, turn over and take it back faster
    than they bind, so no isomer of them exists. Of the bridgeheads of a ring system the first
    decides the others: the cage would be impossible otherwise.
    """
    found = []
    decided = _decided_bridgeheads(mol)
    for info in Chem.FindPotentialStereo(mol):
        if info.specified != Chem.StereoSpecified.Unspecified:
            continue
        if info.type == Chem.StereoType.Atom_Tetrahedral:
            atom = mol.GetAtomWithIdx(info.centeredOn)
            is_amine = atom.GetAtomicNum() == 7 and atom.GetTotalNumHs(includeNeighbors=True) > 0
            if not is_amine and info.centeredOn not in decided:
                found.append(info)
        elif info.type == Chem.StereoType.Bond_Double and all(_ends(mol, info)):
            found.append(info)
    return found


def _ends(mol: Chem.Mol, info: Chem.StereoInfo) -> list[list[int]]:
    """Return the atoms attached to each end of a double bond, its own and hydrogens left out.

    An imine N-H has none: like an amine's, its hydrogen is too quick for isomers to exist.
    """
    around = list(info.controllingAtoms)
    return [[k for k in pair if k < mol.GetNumAtoms()] for pair in (around[:2], around[2:])]


def _decided_bridgeheads(mol: Chem.Mol) -> set[int]:
    """Return the bridgeheads that are not the first of their ring system."""
    bridgeheads: list[int] = []
    if not rdMolDescriptors.CalcNumBridgeheadAtoms(mol, bridgeheads):
        return set()
    rings = [set(ring) for ring in mol.GetRingInfo().AtomRings()]
    decided: set[int] = set()
    for first in sorted(bridgeheads):
        if first in decided:
            continue
        system = {first}
        grown = True
        while grown:
            joined = set().union(*(ring for ring in rings if len(ring & system) > 0), system)
            grown = len(joined) > len(system)
            system = joined
        decided |= {other for other in bridgeheads if other in system and other != first}
    return decided


def _choices(n_centres: int, limit: int, rng: Random) -> list[int]:
    """Return up to limit numbers whose bits say which way each centre goes."""
    if 2**n_centres <= limit:
        return list(range(2**n_centres))
    chosen: dict[int, None] = {}
    while len(chosen) < limit:
        chosen[rng.getrandbits(n_centres)] = None
    return list(chosen)


def _with_stereo(mol: Chem.Mol, centres: list[Chem.StereoInfo], choice: int) -> str:
    isomer = Chem.Mol(mol)
    for k, info in enumerate(centres):
        bit = choice >> k & 1
        if info.type == Chem.StereoType.Atom_Tetrahedral:
            isomer.GetAtomWithIdx(info.centeredOn).SetChiralTag(
                Chem.ChiralType.CHI_TETRAHEDRAL_CW if bit else Chem.ChiralType.CHI_TETRAHEDRAL_CCW
            )
        else:
            bond = isomer.GetBondWithIdx(info.centeredOn)
            first, second = _ends(mol, info)
            bond.SetStereoAtoms(first[0], second[0])
            bond.SetStereo(Chem.BondStereo.STEREOCIS if bit else Chem.BondStereo.STEREOTRANS)
    # Twice through SMILES: centres that turn out not to be any lose their marks.
    return Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(isomer)))
