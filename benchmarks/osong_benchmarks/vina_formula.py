"""Vina's energy of a pose in NumPy, with exact pair terms or as Vina rounds them.

Vina does not evaluate its pair terms at r but reads them from a table in r squared, 32 entries per
square angstrom, each entry the mean of the formula at its two ends. Terms that are steep at short
distance (hydrogen bonds, repulsion) differ visibly by that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from osong.ligands.prepared import PreparedLigand
from osong.receptor.model import Receptor
from osong.scoring.functions import ScoringFunction

__all__ = ["Energies", "pose_energies"]

Array = npt.NDArray[np.float64]
_ENTRIES_PER_SQUARE_ANGSTROM = 32
_CAP_KCAL = 1000.0


class Energies(NamedTuple):
    """kcal/mol, as ``vina.score()`` reports them."""

    total: float
    inter: float
    intra: float


def pose_energies(
    receptor: Receptor, ligand: PreparedLigand, scoring: ScoringFunction, *, rounded: bool
) -> Energies:
    """Return the energies of a packed pose.

    Parameters
    ----------
    receptor
        The receptor.
    ligand
        The pose: its first conformer, in the receptor's frame.
    scoring
        Weights and shapes.
    rounded
        Read pair energies as from Vina's table; otherwise by the formula.
    """
    packed = ligand.packed
    n = packed.n_scored
    xyz = _as_in_file(packed.coords[0, :n])
    types = packed.atom_type[:n].astype(np.int64)
    scored = receptor.atom_type >= 0
    receptor_xyz = _as_in_file(receptor.coords[scored])
    receptor_types = receptor.atom_type[scored].astype(np.int64)
    tree = cKDTree(receptor_xyz)
    inter = 0.0
    for position, atom_type in zip(xyz, types, strict=True):
        near = tree.query_ball_point(position, scoring.weights.cutoff)
        r2 = ((receptor_xyz[near] - position) ** 2).sum(axis=1)
        energies = _pair(r2, np.full(len(near), atom_type), receptor_types[near], scoring, rounded)
        inter += float(_capped(energies.sum()))
    i, j = packed.pairs.astype(np.int64).reshape(-1, 2).T
    r2 = ((xyz[i] - xyz[j]) ** 2).sum(axis=1)
    intra = float(_capped(_pair(r2, types[i], types[j], scoring, rounded)).sum())
    return Energies(inter * scoring.torsion_factor(packed.torsion_count), inter, intra)


def _as_in_file(coords: npt.NDArray[np.float32]) -> Array:
    """Return PDBQT coordinates as Vina reads them: float32 could fall into the next table entry."""
    exact: Array = coords.astype(np.float64)
    return np.round(exact, 3)


def _capped(energy: npt.ArrayLike) -> Array:
    energy = np.asarray(energy, dtype=np.float64)
    return np.where(energy > 0, energy * _CAP_KCAL / (_CAP_KCAL + np.maximum(energy, 0)), energy)


def _pair(
    r2: Array,
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    scoring: ScoringFunction,
    rounded: bool,
) -> Array:
    """Return pair energies (n,) at squared distances (n,) of types ``a`` and ``b`` (n,)."""
    if not rounded:
        return _formula(np.sqrt(r2), a, b, scoring)
    entry = np.floor(_ENTRIES_PER_SQUARE_ANGSTROM * r2)
    ends = (np.sqrt((entry + k) / _ENTRIES_PER_SQUARE_ANGSTROM) for k in (0, 1))
    low, high = (_formula(r, a, b, scoring) for r in ends)
    return np.where(r2 < scoring.weights.cutoff**2, 0.5 * (low + high), 0.0)


def _formula(
    r: Array, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], scoring: ScoringFunction
) -> Array:
    w = scoring.weights
    radii = np.array(scoring.radii)
    d = r - radii[a] - radii[b]
    energy = (
        w.gauss1_weight * np.exp(-(((d - w.gauss1_offset) / w.gauss1_width) ** 2))
        + w.gauss2_weight * np.exp(-(((d - w.gauss2_offset) / w.gauss2_width) ** 2))
        + w.repulsion_weight * np.minimum(d, 0.0) ** 2
        + w.hydrophobic_weight
        * scoring.is_hydrophobic[a, b]
        * _ramp(d, w.hydrophobic_good, w.hydrophobic_bad)
        + w.hydrogen_bond_weight
        * scoring.is_hydrogen_bond[a, b]
        * _ramp(d, w.hydrogen_bond_good, w.hydrogen_bond_bad)
    )
    return np.where(r < w.cutoff, energy, 0.0)


def _ramp(d: Array, good: float, bad: float) -> Array:
    return np.clip((bad - d) / (bad - good), 0.0, 1.0)
