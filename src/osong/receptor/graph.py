"""The heavy atoms of a structure as one table, with their bonds and nearby metals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from osong.receptor.elements import is_metal
from osong.receptor.residues import STANDARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong.receptor.structure import Residue

__all__ = ["HeavyAtoms", "covalent_radius", "heavy_atoms"]

_RADIUS: Final = {
    "B": 0.84,
    "C": 0.76,
    "N": 0.71,
    "O": 0.66,
    "F": 0.57,
    "Si": 1.11,
    "P": 1.07,
    "S": 1.05,
    "Cl": 1.02,
    "As": 1.19,
    "Se": 1.20,
    "Br": 1.20,
    "Te": 1.38,
    "I": 1.39,
}
"""Covalent radii, angstrom (Cordero et al. 2008, doi:10.1039/b801115j)."""

_SLACK_WITHIN: Final = 0.40
_SLACK_BETWEEN: Final = 0.25  # a close contact of two residues is more often a clash than a bond
_PEPTIDE_ANGSTROM: Final = 2.0
_COORDINATION_ANGSTROM: Final = 2.8


@dataclass(frozen=True)
class HeavyAtoms:
    """Heavy atoms of all residues, in file order.

    Attributes
    ----------
    coords
        (n, 3) float64, angstrom.
    element, name
        Symbol and atom name of each.
    residue
        (n,) int64, index of each atom's residue.
    neighbours
        Covalently bound heavy atoms of each, ascending; metals are bound to nothing.
    near_metal
        (n,) bool, whether a metal ion lies within 2.8 angstrom.
    tree
        Of ``coords``.
    """

    coords: npt.NDArray[np.float64]
    element: list[str]
    name: list[str]
    residue: npt.NDArray[np.int64]
    neighbours: list[list[int]]
    near_metal: npt.NDArray[np.bool_]
    tree: cKDTree

    def outside(self, index: int) -> list[int]:
        """Return the bonded neighbours of an atom in other residues."""
        return [j for j in self.neighbours[index] if self.residue[j] != self.residue[index]]


def covalent_radius(element: str) -> float:
    """Return a covalent radius in angstrom; elements not in the table count as silicon."""
    return _RADIUS.get(element, 1.11)


def heavy_atoms(residues: Sequence[Residue]) -> HeavyAtoms:
    """Return the table of heavy atoms with bonds perceived from distances."""
    coords = np.concatenate([residue.coords for residue in residues])
    element = [atom.element for residue in residues for atom in residue.atoms.values()]
    name = [atom_name for residue in residues for atom_name in residue.atoms]
    owner = np.repeat(np.arange(len(residues)), [len(r.atoms) for r in residues])
    tree = cKDTree(coords)
    metal = np.array([is_metal(symbol) for symbol in element])
    neighbours: list[list[int]] = [[] for _ in element]
    near_metal = np.zeros(len(element), dtype=bool)
    pairs = tree.query_pairs(3.2, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))] if len(pairs) else pairs
    distance = np.linalg.norm(coords[pairs[:, 0]] - coords[pairs[:, 1]], axis=1)
    radius = np.array([covalent_radius(symbol) for symbol in element])
    for (i, j), d in zip(pairs.tolist(), distance.tolist(), strict=True):
        if metal[i] or metal[j]:
            near_metal[[i, j]] |= d < _COORDINATION_ANGSTROM
            continue
        same = owner[i] == owner[j]
        limit = radius[i] + radius[j] + (_SLACK_WITHIN if same else _SLACK_BETWEEN)
        if not same and owner[j] == owner[i] + 1 and (name[i], name[j]) == ("C", "N"):
            limit = _PEPTIDE_ANGSTROM
        if 0.5 < d < limit and (same or _may_link(residues, owner, (i, j), element, name)):
            neighbours[i].append(j)
            neighbours[j].append(i)
    return HeavyAtoms(coords, element, name, owner, neighbours, near_metal, tree)


def _may_link(
    residues: Sequence[Residue],
    owner: npt.NDArray[np.int64],
    pair: tuple[int, int],
    element: list[str],
    name: list[str],
) -> bool:
    """Return whether atoms of two residues are bonded rather than too close.

    Two standard residues are bonded along the chain or by a disulfide; anything else that is as
    close as a bond is a clash, which old structures and rebuilt side chains have.
    """
    i, j = pair
    if {element[i], element[j]} == {"O"}:
        return False
    if {residues[int(owner[k])].name for k in pair} <= STANDARD:
        ends = {name[i], name[j]}
        return {element[i], element[j]} == {"S"} or ends in ({"C", "N"}, {"O3'", "P"})
    return True
