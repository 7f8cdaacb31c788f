"""Turn rebuilt side chains out of the way of what surrounds them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from osong.receptor.structure import Residue

    Coords = npt.NDArray[np.float64]

__all__ = ["relieve_clashes"]

_AXES: Final = (
    ("CA", "CB"),
    ("CB", "CG"),
    ("CB", "CG1"),
    ("CG", "CD"),
    ("CG", "SD"),
    ("CD", "CE"),
    ("CD", "NE"),
)
_CLOSE_ANGSTROM: Final = 3.0  # heavy atoms that are not bonded
_TOUCH_ANGSTROM: Final = 2.6
_BOND_ANGSTROM: Final = 2.0
_TURNS: Final = tuple(np.arange(12) * np.pi / 6)


def relieve_clashes(residues: list[Residue], index: int, new: set[str]) -> None:
    """Rotate the bonds of a rebuilt side chain, in steps of 30 degrees, where it clashes.

    Only atoms that were not in the file move; the first two bonds are searched together, the
    further ones in turn.
    """
    residue = residues[index]
    names = list(residue.atoms)
    axes = [(a, b, moved) for a, b in _AXES if (moved := _behind(residue, a, b)) and moved <= new]
    if not axes:
        return
    others = [r.coords for i, r in enumerate(residues) if i != index and r.atoms]
    backbone = [residue.atoms[n].position for n in ("N", "C", "O") if n in residue.atoms]
    tree = cKDTree(np.concatenate([*others, np.array(backbone)]))
    mobile = [names.index(n) for n in sorted(set().union(*(m for _, _, m in axes)) - {"CB", "CG"})]
    mobile = mobile or [names.index(n) for n in sorted(axes[0][2])]
    coords = residue.coords
    if _crowding(coords[mobile], tree, _TOUCH_ANGSTROM) == 0.0:
        return
    turns = [(names.index(a), names.index(b), [names.index(n) for n in m]) for a, b, m in axes]
    coords = _search(coords, turns[:2], mobile, tree)
    for turn in turns[2:]:
        coords = _search(coords, [turn], mobile, tree)
    for name, position in zip(names, np.round(coords, 3), strict=True):
        if name in new:
            residue.atoms[name] = replace(residue.atoms[name], position=position)


def _behind(residue: Residue, start: str, end: str) -> set[str]:
    """Return the atoms that turn about the bond from start to end; none where it is in a ring."""
    if not residue.has(start, end) or residue.name == "PRO":
        return set()
    reached, front = {end}, [end]
    while front:
        here = residue.atoms[front.pop()]
        for name, atom in residue.atoms.items():
            bonded = float(np.linalg.norm(atom.position - here.position)) < _BOND_ANGSTROM
            if bonded and name not in reached and (here.name, name) != (end, start):
                reached.add(name)
                front.append(name)
    return set() if start in reached else reached - {end}


def _search(
    coords: Coords, turns: list[tuple[int, int, list[int]]], mobile: list[int], tree: cKDTree
) -> Coords:
    """Return the least crowded of all combinations of turns; the given one on ties."""
    best, least = coords, _crowding(coords[mobile], tree, _CLOSE_ANGSTROM)
    for angles in product(_TURNS, repeat=len(turns)):
        trial = coords
        for (a, b, moved), angle in zip(turns, angles, strict=True):
            trial = _rotated(trial, a, b, moved, angle)
        crowding = _crowding(trial[mobile], tree, _CLOSE_ANGSTROM)
        if crowding < least - 1e-9:
            best, least = trial, crowding
    return best


def _rotated(coords: Coords, a: int, b: int, moved: list[int], angle: float) -> Coords:
    """Return coordinates with some atoms turned about the axis from a to b (Rodrigues)."""
    axis = (coords[b] - coords[a]) / np.linalg.norm(coords[b] - coords[a])
    arm = coords[moved] - coords[b]
    turned = (
        arm * np.cos(angle)
        + np.cross(axis, arm) * np.sin(angle)
        + np.outer(arm @ axis, axis) * (1 - np.cos(angle))
    )
    out = coords.copy()
    out[moved] = coords[b] + turned
    return out


def _crowding(coords: Coords, tree: cKDTree, limit: float) -> float:
    """Return how far atoms intrude on others, in square angstrom."""
    distance, _ = tree.query(coords, k=3, distance_upper_bound=limit)
    return float((np.clip(limit - distance, 0.0, None) ** 2).sum())
