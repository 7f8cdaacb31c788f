"""Which bonds turn, and the tree of rigid segments that they join."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from rdkit import Chem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SegmentTree", "active_torsions", "build_tree", "moves_heavy_atoms", "torsion_count"]

Bond: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class SegmentTree:
    """Rigid segments joined by rotatable bonds; segment 0 is the root, parents come first.

    Attributes
    ----------
    segment
        (n_atoms,) int64, segment of each atom.
    parent
        Parent of each segment; -1 for the root.
    axis_atoms
        Atom in the parent and atom in the segment of the bond that joins them; (-1, -1) for
        the root.
    """

    segment: npt.NDArray[np.int64]
    parent: tuple[int, ...]
    axis_atoms: tuple[Bond, ...]


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


def _matches(mol: Chem.Mol, smarts: str) -> Sequence[tuple[int, ...]]:
    return mol.GetSubstructMatches(_pattern(smarts), maxMatches=100_000)


def _bond(i: int, j: int) -> Bond:
    return (i, j) if i < j else (j, i)


def active_torsions(mol: Chem.Mol, autodock: Sequence[str]) -> list[Bond]:
    """Return the bonds that AutoDock tools turn, as Meeko chooses them, rings kept rigid.

    Single bonds outside rings, but not amides, thioamides and amidines (other than tertiary ones
    with two different substituents, whose two faces both occur), nor those to a triple
    bond, of which the triple bond itself stands for the common axis. A bond turns only where each
    of its atoms has another neighbour that AutoDock keeps; hydrogens on carbon are not kept.

    Parameters
    ----------
    mol
        Sanitized, with all hydrogens as atoms.
    autodock
        AutoDock type of each atom.
    """
    kept = [ad != "H" for ad in autodock]
    rigid = _amide_bonds(mol)
    alkyne_axes: set[Bond] = set()
    for i, j, k, m in _matches(mol, "*-*#*-*"):
        alkyne_axes.add(_bond(j, k))
        rigid.update((_bond(i, j), _bond(k, m)))
    rigid.update(_bond(i, j) for i, j, _ in _matches(mol, "*-*#[*X1]"))
    active = []
    for i, j in _acyclic_bonds(mol, alkyne_axes):
        if (i, j) not in rigid and _has_other(mol, i, j, kept) and _has_other(mol, j, i, kept):
            active.append((i, j))
    return sorted(active)


def _acyclic_bonds(mol: Chem.Mol, alkyne_axes: set[Bond]) -> Iterable[Bond]:
    for i, j in _matches(mol, "[!#1;!D1]-;!@[!#1;!D1]"):
        yield _bond(i, j)
    in_ring = mol.GetRingInfo().NumBondRings
    for i, j in alkyne_axes:
        if not in_ring(mol.GetBondBetweenAtoms(i, j).GetIdx()):
            yield i, j


def _has_other(mol: Chem.Mol, i: int, j: int, kept: Sequence[bool]) -> bool:
    return any(kept[n.GetIdx()] for n in mol.GetAtomWithIdx(i).GetNeighbors() if n.GetIdx() != j)


def _amide_bonds(mol: Chem.Mol) -> set[Bond]:
    bonds = {_bond(n, c) for n, c, _ in _matches(mol, "[NX3]-[CX3]=[O,N,S]")}
    tertiary = _matches(mol, "[NX3]([!#1])([!#1])-[CX3]=[O,N,S]") if bonds else ()
    if tertiary:
        rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
        bonds -= {_bond(n, c) for n, r1, r2, c, _ in tertiary if rank[r1] != rank[r2]}
    return bonds


def moves_heavy_atoms(bond: Bond, heavy_degree: npt.NDArray[np.int32]) -> bool:
    """Return whether heavy atoms move when the bond turns; false for OH, NH2 and the like."""
    return bool(heavy_degree[bond[0]] > 1 and heavy_degree[bond[1]] > 1)


def torsion_count(
    active: Iterable[Bond], is_heavy: npt.NDArray[np.bool_], heavy_degree: npt.NDArray[np.int32]
) -> float:
    """Return Vina's count: each atom of a rotatable bond adds one half if its partner has others.

    Both atoms must be heavy; "others" are further heavy neighbours.
    """
    count = 0.0
    for i, j in active:
        if is_heavy[i] and is_heavy[j]:
            count += 0.5 * (float(heavy_degree[i] > 1) + float(heavy_degree[j] > 1))
    return count


def build_tree(
    adjacency: npt.NDArray[np.int32], cuts: Sequence[Bond], weight: npt.NDArray[np.int64]
) -> SegmentTree:
    """Cut the molecule at the given bonds and root the pieces at the centre of their tree.

    Parameters
    ----------
    adjacency
        (n_atoms, n_atoms) int32, 1 where two atoms are bonded.
    cuts
        Bonds outside rings.
    weight
        (n_atoms,) int64; of several centres the piece of most weight becomes the root, which keeps
        the atoms that every torsion would have to move still.
    """
    piece = _pieces(adjacency, cuts)
    n_pieces = int(piece.max()) + 1
    neighbours: list[list[tuple[int, int, int]]] = [[] for _ in range(n_pieces)]
    for i, j in cuts:
        neighbours[piece[i]].append((int(piece[j]), i, j))
        neighbours[piece[j]].append((int(piece[i]), j, i))
    weights = np.bincount(piece, weights=weight, minlength=n_pieces)
    root = min(range(n_pieces), key=lambda p: (_depth(neighbours, p), -weights[p], p))
    return _rooted(piece, neighbours, root)


def _pieces(adjacency: npt.NDArray[np.int32], cuts: Sequence[Bond]) -> npt.NDArray[np.int64]:
    neighbours: list[set[int]] = [set() for _ in range(len(adjacency))]
    for i, j in np.argwhere(adjacency).tolist():
        neighbours[i].add(j)
    for i, j in cuts:
        neighbours[i].discard(j)
        neighbours[j].discard(i)
    piece = np.full(len(neighbours), -1, dtype=np.int64)
    n_pieces = 0
    for start in range(len(neighbours)):
        if piece[start] >= 0:
            continue
        stack = [start]
        piece[start] = n_pieces
        while stack:
            for other in neighbours[stack.pop()]:
                if piece[other] < 0:
                    piece[other] = n_pieces
                    stack.append(other)
        n_pieces += 1
    return piece


def _depth(neighbours: Sequence[Sequence[tuple[int, int, int]]], root: int) -> int:
    depth = {root: 0}
    queue = deque([root])
    while queue:
        here = queue.popleft()
        for other, _, _ in neighbours[here]:
            if other not in depth:
                depth[other] = depth[here] + 1
                queue.append(other)
    return max(depth.values())


def _rooted(
    piece: npt.NDArray[np.int64],
    neighbours: Sequence[Sequence[tuple[int, int, int]]],
    root: int,
) -> SegmentTree:
    """Return the tree, its pieces numbered breadth first from the root."""
    number = {root: 0}
    parent = [-1]
    axis_atoms = [(-1, -1)]
    queue = deque([root])
    while queue:
        here = queue.popleft()
        for other, inner, outer in sorted(neighbours[here], key=lambda link: link[1:]):
            if other not in number:
                number[other] = len(parent)
                parent.append(number[here])
                axis_atoms.append((inner, outer))
                queue.append(other)
    renumber = np.array([number[p] for p in range(len(number))], dtype=np.int64)
    return SegmentTree(renumber[piece], tuple(parent), tuple(axis_atoms))
