"""Conformers brought to the torsions and the place of the first one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["align_conformers", "different_conformers"]

_SAME_GEOMETRY = 0.05
"""angstrom, RMSD; cages and flat rings come out of every embedding alike within 0.02."""

Float64 = npt.NDArray[np.float64]


def align_conformers(
    coords: Float64, extended: npt.NDArray[np.bool_], parent: npt.NDArray[np.integer],
    axis_atoms: npt.NDArray[np.integer],
) -> Float64:  # fmt: skip
    """Return the conformers with the root superposed on the first one's, and its torsions.

    A genotype then means nearly the same pose with every conformer, so a search can change the
    shape of a ring, or a bond angle, and keep what it has found.

    Parameters
    ----------
    coords
        (n_conformers, n_atoms, 3) float64, angstrom.
    extended
        (n_segments, n_atoms): atoms that keep their distances to all of a segment, its own first.
    parent
        (n_segments,); -1 for the root.
    axis_atoms
        (n_segments, 2): the bond that joins a segment to its parent, the parent's atom first.
    """
    first, aligned = coords[0], coords.copy()
    if len(coords) == 1:
        return aligned
    root = np.flatnonzero(extended[0])
    for k in range(1, len(coords)):
        aligned[k] = _superpose(aligned[k], aligned[k, root], first[root])
    beyond = _subtrees(parent)
    for s in range(1, len(parent)):
        near, far = axis_atoms[s]
        fitted = np.flatnonzero(extended[s])
        moved = np.flatnonzero(extended[beyond[s]].any(axis=0))
        pivot = aligned[1:, far][:, None]
        axis = aligned[1:, far] - aligned[1:, near]
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        angle = _best_turn(aligned[1:, fitted] - pivot, first[fitted] - first[far], axis)
        aligned[1:, moved] = _turn(aligned[1:, moved] - pivot, axis, angle) + pivot
    return aligned


def different_conformers(coords: Float64) -> Float64:
    """Return the aligned conformers (n, n_atoms, 3) that are not just an earlier one again."""
    kept = [0]
    for k in range(1, len(coords)):
        squared = ((coords[kept] - coords[k]) ** 2).sum(axis=2).mean(axis=1)
        if squared.min() > _SAME_GEOMETRY**2:
            kept.append(k)
    return coords[kept]


def _subtrees(parent: npt.NDArray[np.integer]) -> list[list[int]]:
    """Return each segment with all that hang on it."""
    found = [[s] for s in range(len(parent))]
    for s in range(len(parent) - 1, 0, -1):
        found[int(parent[s])] += found[s]
    return found


def _superpose(points: Float64, moving: Float64, fixed: Float64) -> Float64:
    """Return ``points`` moved as brings ``moving`` closest to ``fixed`` (Kabsch 1976)."""
    a, b = moving.mean(axis=0), fixed.mean(axis=0)
    u, _, vt = np.linalg.svd((moving - a).T @ (fixed - b))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (points - a) @ (u @ flip @ vt) + b


def _best_turn(v: Float64, wanted: Float64, axis: Float64) -> Float64:
    """Return the (n,) turns about ``axis`` that bring ``v`` (n, m, 3) closest to ``wanted``."""
    along = (v * axis[:, None]).sum(axis=2, keepdims=True) * axis[:, None]
    sine = (np.cross(axis[:, None], v) * wanted).sum(axis=(1, 2))
    cosine = ((v - along) * wanted).sum(axis=(1, 2))
    return np.arctan2(sine, cosine)


def _turn(v: Float64, axis: Float64, angle: Float64) -> Float64:
    """Return ``v`` (n, m, 3) turned about unit axes (n, 3) (Rodrigues' formula)."""
    u = axis[:, None]
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    along = (v * u).sum(axis=2, keepdims=True) * u
    return along + (v - along) * cosine + np.cross(u, v) * sine
