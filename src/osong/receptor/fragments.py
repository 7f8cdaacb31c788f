"""Ring systems of common cofactors, known by their graph: where geometry is too coarse to tell.

Refined coordinates put a ring nitrogen's angle off by some degrees, enough to mistake the N7 of
an adenine for an NH. A fragment that is recognised by elements and bonds needs no angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from rdkit import Chem

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["known_atoms"]

_FRAGMENTS: Final = (
    "Nc1ncnc2c1ncn2*",  # adenine: ATP, NAD, FAD, coenzyme A, SAM
    "Nc1nc2c(ncn2*)c(=O)[nH]1",  # guanine
    "O=c1[nH]cnc2c1ncn2*",  # hypoxanthine
    "O=c1ccn(*)c(=O)[nH]1",  # uracil
    "Cc1cn(*)c(=O)[nH]c1=O",  # thymine
    "Nc1ccn(*)c(=O)n1",  # cytosine
    "NC(=O)c1ccc[n+](*)c1",  # nicotinamide, oxidised or reduced
    "Cc1cc2nc3c(=O)[nH]c(=O)nc3n(*)c2cc1C",  # isoalloxazine: FMN, FAD
    "Nc1nc2c(c(=O)[nH]1)NC(*)CN2",  # tetrahydropterin
    "Nc1nc2ncc(*)nc2c(=O)[nH]1",  # pterin: folate
    "Nc1nc(N)c2nc(*)cnc2n1",  # diaminopteridine: methotrexate
    "Cc1ncc(C[n+]2csc(*)c2C)c(N)n1",  # thiamine
)


@dataclass(frozen=True)
class _Fragment:
    query: Chem.Mol
    chemistry: tuple[tuple[str, int] | None, ...]  # AutoDock type and hydrogens; None: not known


@cache
def _fragments() -> tuple[_Fragment, ...]:
    return tuple(_build(smiles) for smiles in _FRAGMENTS)


def _build(smiles: str) -> _Fragment:
    """Return a fragment's query, which compares elements and numbers of neighbours only."""
    mol = Chem.MolFromSmiles(smiles)
    query = Chem.RWMol()
    for atom in mol.GetAtoms():
        number = atom.GetAtomicNum()
        query.AddAtom(Chem.AtomFromSmarts(f"[#{number}D{atom.GetDegree()}]" if number else "*"))
    for bond in mol.GetBonds():
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        query.AddBond(begin, end, Chem.BondType.SINGLE)
        added = query.GetBondBetweenAtoms(begin, end)
        query.ReplaceBond(added.GetIdx(), Chem.BondFromSmarts("~"))
    return _Fragment(query.GetMol(), tuple(_chemistry(atom) for atom in mol.GetAtoms()))


def _chemistry(atom: Chem.Atom) -> tuple[str, int] | None:
    number, n_hydrogens = atom.GetAtomicNum(), atom.GetTotalNumHs()
    if number == 6:
        return ("A" if atom.GetIsAromatic() else "C"), 0
    if number == 7:
        return ("NA" if not n_hydrogens and atom.GetDegree() == 2 else "N"), n_hydrogens
    if number == 8:
        return "OA", n_hydrogens
    return None


def known_atoms(mol: Chem.Mol) -> Iterator[tuple[int, str, int]]:
    """Yield (atom index, AutoDock type, polar hydrogens) of atoms in known fragments.

    Parameters
    ----------
    mol
        Heavy atoms with elements; bonds of any order.
    """
    for fragment in _fragments():
        for match in mol.GetSubstructMatches(fragment.query):
            for index, chemistry in zip(match, fragment.chemistry, strict=True):
                if chemistry is not None:
                    yield index, *chemistry
