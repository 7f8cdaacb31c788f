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
    """

    atoms: tuple[int, ...]
    largest_ring: int


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
    return [
        RingSystem(_with_attached(mol, bonds), max(sizes))
        for bonds, sizes, flexible in systems
        if flexible
    ]


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


def _with_attached(mol: Chem.Mol, ring_bonds: set[int]) -> tuple[int, ...]:
    atoms: set[int] = set()
    for index in ring_bonds:
        bond = mol.GetBondWithIdx(index)
        atoms.update((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
    for index in tuple(atoms):
        neighbours = mol.GetAtomWithIdx(index).GetNeighbors()
        atoms.update(n.GetIdx() for n in neighbours if n.GetAtomicNum() > 1)
    return tuple(sorted(atoms))


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
        superposed_rmsd(a[list(system.atoms)], b[list(system.atoms)]) < _SAME_RING_RMSD
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
