"""Flexible ring systems, and which conformers differ in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RingSystem", "distinct_conformers", "flexible_ring_systems"]

_MOST_SYMMETRIES = 24
_SAME_RING_RMSD = 0.30
"""angstrom; below it two geometries of a ring system count as one. An axial and an equatorial
substituent differ by 0.5 or more, noise after clean-up is below 0.15."""


@dataclass(frozen=True)
class RingSystem:
    """Fused rings of which one at least is flexible.

    Attributes
    ----------
    atoms
        Ring atoms and the heavy atoms attached to them (these tell axial from equatorial).
    largest_ring
        Size of its largest ring.
    symmetries
        Orders of ``atoms`` that no one could tell apart, the given one among them: a chair and
        its mirror image are one conformer of N-phenylmorpholine.
    """

    atoms: tuple[int, ...]
    largest_ring: int
    symmetries: tuple[tuple[int, ...], ...]


def flexible_ring_systems(mol: Chem.Mol) -> list[RingSystem]:
    """Return the ring systems that have more than one conformer."""
    bonds_of = [set(bonds) for bonds in mol.GetRingInfo().BondRings()]
    systems: list[tuple[set[int], list[int], bool]] = []
    for bonds in bonds_of:
        merged, sizes, flexible = set(bonds), [len(bonds)], _is_flexible(mol, bonds)
        apart = []
        for other in systems:
            if other[0] & merged:
                merged |= other[0]
                sizes += other[1]
                flexible = flexible or other[2]
            else:
                apart.append(other)
        systems = [*apart, (merged, sizes, flexible)]
    found = [(_with_attached(mol, bonds), max(sizes)) for bonds, sizes, flex in systems if flex]
    if not found:
        return []
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    return [RingSystem(atoms, size, _symmetries(mol, atoms, ranks)) for atoms, size in found]


def _is_flexible(mol: Chem.Mol, ring_bonds: set[int]) -> bool:
    """Return whether a ring puckers: enough of its bonds can turn at all.

    Three-membered rings cannot, four-membered ones hardly do.
    """
    if len(ring_bonds) < 5:
        return False
    turning = 0
    for index in ring_bonds:
        bond = mol.GetBondWithIdx(index)
        ends = (bond.GetBeginAtom(), bond.GetEndAtom())
        if bond.GetBondType() == Chem.BondType.SINGLE and not bond.GetIsConjugated():
            turning += all(a.GetHybridization() != Chem.HybridizationType.SP for a in ends)
    return turning >= 2


def _symmetries(
    mol: Chem.Mol, atoms: tuple[int, ...], ranks: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    graph = Chem.RWMol()
    for index in atoms:
        node = Chem.Atom(6)
        node.SetIsotope(ranks[index] + 1)  # only atoms of one rank match each other
        graph.AddAtom(node)
    for i in range(len(atoms)):
        for j in range(i):
            if mol.GetBondBetweenAtoms(atoms[i], atoms[j]) is not None:
                graph.AddBond(i, j, Chem.BondType.SINGLE)
    matches = graph.GetSubstructMatches(graph, uniquify=False, maxMatches=_MOST_SYMMETRIES)
    return (atoms, *(tuple(atoms[k] for k in match) for match in matches))


def _with_attached(mol: Chem.Mol, ring_bonds: set[int]) -> tuple[int, ...]:
    atoms: set[int] = set()
    for index in ring_bonds:
        bond = mol.GetBondWithIdx(index)
        atoms.update((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
    attached: set[int] = set()
    for index in sorted(atoms):
        neighbours = mol.GetAtomWithIdx(index).GetNeighbors()
        for neighbour in neighbours:
            if neighbour.GetAtomicNum() > 1 and neighbour.GetIdx() not in atoms:
                attached.add(neighbour.GetIdx())
                if _is_amide(mol.GetAtomWithIdx(index), neighbour):
                    attached.update(
                        n.GetIdx() for n in neighbour.GetNeighbors() if n.GetAtomicNum() > 1
                    )
    atoms |= attached
    return tuple(sorted(atoms))


def _is_amide(ring_atom: Chem.Atom, attached: Chem.Atom) -> bool:
    """Return whether the bond does not turn, so that what is beyond belongs to the shape."""
    return (
        ring_atom.GetAtomicNum() == 7
        and attached.GetAtomicNum() == 6
        and any(bond.GetBondType() == Chem.BondType.DOUBLE for bond in attached.GetBonds())
    )


def distinct_conformers(
    geometries: npt.NDArray[np.float64], systems: Sequence[RingSystem], *, limit: int
) -> list[int]:
    """Return the conformers that differ from all earlier ones in some ring system.

    Parameters
    ----------
    geometries
        (n_conformers, n_atoms, 3) float64, angstrom.
    systems
        The flexible ring systems.
    limit
        Most conformers to return.
    """
    kept: list[int] = []
    for k in range(len(geometries)):
        if len(kept) == limit:
            break
        if not any(_same_rings(geometries[k], geometries[other], systems) for other in kept):
            kept.append(k)
    return kept


def _same_rings(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], systems: Sequence[RingSystem]
) -> bool:
    return all(
        any(
            superposed_rmsd(a[list(system.atoms)], b[list(order)]) < _SAME_RING_RMSD
            for order in system.symmetries
        )
        for system in systems
    )


def superposed_rmsd(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the RMSD of two (n, 3) sets of points after the best superposition (Kabsch)."""
    a = a - a.mean(axis=0)
    b = b - b.mean(axis=0)
    u, singular, vt = np.linalg.svd(a.T @ b)
    if np.linalg.det(u) * np.linalg.det(vt) < 0.0:
        singular[-1] = -singular[-1]
    squared = (a * a).sum() + (b * b).sum() - 2.0 * singular.sum()
    return float(np.sqrt(max(squared, 0.0) / len(a)))
