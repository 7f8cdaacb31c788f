"""Positions of polar hydrogens, by geometry: the same structure always gives the same ones.

Vina and Vinardo score no hydrogens, so they need be in sensible places, not at a minimum of a
force field. Bonds that can turn (hydroxyl, thiol, water) point to an acceptor where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from osong.receptor.graph import HeavyAtoms
    from osong.receptor.perception import AtomChemistry

    Points = npt.NDArray[np.float64]

__all__ = ["place_hydrogens"]

_LENGTH: Final = {"O": 0.96, "N": 1.01, "S": 1.34}
_TETRAHEDRAL: Final = np.radians(109.5)
_TRIGONAL: Final = np.radians(120.0)
_N_TURNS: Final = 24
_REACH_ANGSTROM: Final = 3.6


def place_hydrogens(index: int, atoms: HeavyAtoms, chemistry: list[AtomChemistry]) -> Points:
    """Return (n_hydrogens, 3) float64 positions, angstrom, of one heavy atom's hydrogens."""
    atom = chemistry[index]
    center = atoms.coords[index]
    length = _LENGTH.get(atoms.element[index], 1.0)
    bound = atoms.neighbours[index]
    away = [_unit(center - atoms.coords[j]) for j in bound]
    if not bound:
        directions = _around_water(index, atoms, chemistry, length)[: atom.n_hydrogens]
    elif len(bound) == 1:
        directions = _on_a_chain(index, bound[0], atoms, chemistry, length)
    elif len(bound) == 2 and atom.n_hydrogens == 1 and atom.planar:
        directions = [_unit(away[0] + away[1])]
    elif len(bound) == 2:
        middle = _unit(away[0] + away[1])
        side = _unit(np.cross(away[0], away[1]))
        pair = [_unit(0.58 * middle + 0.82 * side), _unit(0.58 * middle - 0.82 * side)]
        directions = sorted(
            pair, key=lambda d: _discomfort(center + length * d, index, atoms, chemistry)
        )[: atom.n_hydrogens]
    else:
        directions = [_unit(np.sum(away, axis=0))][: atom.n_hydrogens]
    return np.array([center + length * d for d in directions]).reshape(-1, 3)


def _unit(vector: Points) -> Points:
    """Return a vector of length one; of a vector of length zero, the x axis."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])


def _perpendicular(axis: Points, hint: Points) -> Points:
    """Return a unit vector across an axis, in the half plane of the hint where it has one."""
    across = hint - (hint @ axis) * axis
    if float(np.linalg.norm(across)) < 1e-6:
        across = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
    return _unit(across)


def _cone(axis: Points, hint: Points, angle: float, turns: list[float]) -> list[Points]:
    """Return directions at an angle to the reversed axis, turned about it from the hint."""
    u = _perpendicular(axis, hint)
    v = np.cross(axis, u)
    along, across = -np.cos(angle), np.sin(angle)
    return [along * axis + across * (np.cos(t) * u + np.sin(t) * v) for t in turns]


def _on_a_chain(
    index: int, partner: int, atoms: HeavyAtoms, chemistry: list[AtomChemistry], length: float
) -> list[Points]:
    """Return directions for an atom with one neighbour: in its plane, or staggered, or turned."""
    atom = chemistry[index]
    axis = _unit(atoms.coords[index] - atoms.coords[partner])
    others = [j for j in atoms.neighbours[partner] if j != index]
    hint = atoms.coords[others[0]] - atoms.coords[partner] if others else np.zeros(3)
    angle = _TRIGONAL if atom.planar else _TETRAHEDRAL
    if atom.planar and atom.n_hydrogens == 2:
        return _cone(axis, hint, angle, [0.0, np.pi])
    if atom.n_hydrogens >= 2:
        turns = [np.pi / 3 + 2 * np.pi * k / 3 for k in range(atom.n_hydrogens)]
        return _cone(axis, hint, angle, turns)
    n_turns = 2 if atom.planar else _N_TURNS
    candidates = _cone(axis, hint, angle, [2 * np.pi * k / n_turns for k in range(n_turns)])
    center = atoms.coords[index]
    return [
        min(candidates, key=lambda d: _discomfort(center + length * d, index, atoms, chemistry))
    ]


def _around_water(
    index: int, atoms: HeavyAtoms, chemistry: list[AtomChemistry], length: float
) -> list[Points]:
    """Return two directions for a lone oxygen: the best of a sphere, then the best beside it."""
    center = atoms.coords[index]
    k = np.arange(96) + 0.5
    polar, turn = np.arccos(1 - 2 * k / 96), np.pi * (1 + 5**0.5) * k
    sphere = np.column_stack(
        [np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)]
    )

    def cost(direction: Points) -> float:
        return _discomfort(center + length * direction, index, atoms, chemistry)

    first = min(list(sphere), key=cost)
    turns = [2 * np.pi * t / _N_TURNS for t in range(_N_TURNS)]
    second = min(_cone(-first, np.zeros(3), np.radians(104.5), turns), key=cost)
    return [first, second]


def _discomfort(
    position: Points, index: int, atoms: HeavyAtoms, chemistry: list[AtomChemistry]
) -> float:
    """Return how badly a hydrogen lies: close to atoms that repel it, far from acceptors."""
    near = sorted(atoms.tree.query_ball_point(position, _REACH_ANGSTROM))
    total = 0.0
    for j in near:
        if j == index or j in atoms.neighbours[index]:
            continue
        distance = float(np.linalg.norm(atoms.coords[j] - position))
        accepts = chemistry[j].ad_type in ("OA", "NA") or (
            chemistry[j].ad_type == "SA" and not chemistry[j].n_hydrogens
        )
        floor = 1.7 if accepts else 2.6
        if distance < floor:
            total += 4.0 * (floor - distance) ** 2
        elif accepts:
            total -= 1.0 if distance < 2.3 else max(0.0, (3.0 - distance) / 0.7)
    return total
