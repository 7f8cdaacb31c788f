"""Which atoms Vina takes for neighbours within three bonds, small rings included.

Vina does not see the longest bond of a ring of three atoms, whose third atom is closer to both
ends. And it walks the bonds depth first without returning to an atom that it has seen, even where
it now comes by a shorter way: at rings of four atoms it so misses some atoms that are three bonds
away, which ones depends on the order of the atoms in its model. The energies of those pairs count.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["neighbours", "vina_rank"]

_REACH: Final = 3


def vina_rank(
    segment: npt.NDArray[np.int64], axis_atoms: Sequence[tuple[int, int]]
) -> npt.NDArray[np.int64]:
    """Return the place of each atom of a PDBQT in Vina's model, (n_atoms,) int64.

    The atom that a branch turns about stands right after the atom that it hangs on; branches
    follow their parents, depth first.

    Parameters
    ----------
    segment
        (n_atoms,) int64, the branch of each atom, atoms in the order of the file; 0 is the root.
    axis_atoms
        The bond of each branch: (atom of the parent, atom of the branch).
    """
    hanging: dict[int, list[int]] = defaultdict(list)
    for branch, (inner, _) in enumerate(axis_atoms):
        hanging[inner].append(branch)
    order: list[int] = []
    waiting = [0]
    while waiting:
        branch = waiting.pop()
        axis_atom = axis_atoms[branch][1]
        atoms = np.flatnonzero((segment == branch) & (np.arange(len(segment)) != axis_atom))
        members = [axis_atom, *atoms.tolist()] if branch else atoms.tolist()
        for atom in members:
            order += [] if branch and atom == axis_atom else [atom]
            order += [axis_atoms[child][1] for child in hanging[atom]]
        waiting += [child for atom in members for child in hanging[atom]][::-1]
    rank = np.empty(len(segment), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def neighbours(
    bonded: npt.NDArray[np.int32],
    coords: npt.NDArray[np.float64],
    rank: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Return (n, n): whether Vina finds the second atom within three bonds of the first.

    Only the entries of an atom and one of higher rank are Vina's; it looks at no others.

    Parameters
    ----------
    bonded
        (n, n) int32, 1 where two atoms are bonded.
    coords
        (n, 3) float64, angstrom.
    rank
        (n,) int64, place of each atom in Vina's model.
    """
    if not _has_small_ring(bonded):
        step = bonded.astype(np.float32) + np.eye(len(bonded), dtype=np.float32)
        near: npt.NDArray[np.bool_] = (step @ step @ step) > 0
        return near
    bonded = _without_longest_of_three(bonded, coords)
    found = np.zeros(bonded.shape, dtype=np.bool_)
    lists = [sorted(np.flatnonzero(row).tolist(), key=rank.__getitem__) for row in bonded]
    for atom in range(len(bonded)):
        _walk(atom, _REACH, lists, found[atom])
    is_first = rank[:, None] < rank[None, :]
    return np.where(is_first, found, found.T)


def _has_small_ring(bonded: npt.NDArray[np.int32]) -> bool:
    """Return whether two atoms are joined by two ways of one or two bonds."""
    paths = bonded @ bonded
    np.fill_diagonal(paths, 0)
    return bool(((paths > 1) | ((paths > 0) & (bonded > 0))).any())


def _without_longest_of_three(
    bonded: npt.NDArray[np.int32], coords: npt.NDArray[np.float64]
) -> npt.NDArray[np.int32]:
    distance = np.linalg.norm(coords[:, None] - coords[None], axis=-1)
    seen = bonded.copy()
    for i, j in np.argwhere(np.triu(bonded, k=1)).tolist():
        third = (bonded[i] > 0) & (bonded[j] > 0)
        if (third & (distance[i] < distance[i, j]) & (distance[j] < distance[i, j])).any():
            seen[i, j] = seen[j, i] = 0
    return seen


def _walk(atom: int, left: int, lists: list[list[int]], seen: npt.NDArray[np.bool_]) -> None:
    if seen[atom]:
        return
    seen[atom] = True
    if left > 0:
        for other in lists[atom]:
            _walk(other, left - 1, lists, seen)
