"""AutoDock atom types to the types of :data:`osong.atom_types.ATOM_TYPES`, as Vina does it.

Vina reads no bonds: it joins atoms whose distance is below 1.1 times the sum of their covalent
radii unless a third atom lies closer to both. A carbon with a heteroatom neighbour is polar, a
nitrogen or oxygen with a polar hydrogen is a donor, ``NA`` and ``OA`` are acceptors
(Trott and Olson 2010, doi:10.1002/jcc.21334).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from osong.atom_types import TYPE_INDEX, UNSCORED

__all__ = ["AD_TYPES", "METALS", "perceive_bonds", "vina_atom_types"]

METALS: Final = ("Mg", "Mn", "Zn", "Ca", "Fe", "Cu", "Na", "K", "Hg", "Co", "U", "Cd", "Ni")
"""Metals that Vina accepts in a receptor; it treats all of them alike but for their radius."""

_METAL_RADIUS: Final = {"Mg": 1.30, "Mn": 1.39, "Zn": 1.31, "Ca": 1.74, "Fe": 1.25}
_OTHER_METAL_RADIUS: Final = 1.75

AD_TYPES: Final[dict[str, tuple[str, float]]] = {
    "C": ("C", 0.77),
    "A": ("C", 0.77),
    "N": ("N", 0.75),
    "NA": ("N", 0.75),
    "O": ("O", 0.73),
    "OA": ("O", 0.73),
    "P": ("P", 1.06),
    "S": ("S", 1.02),
    "SA": ("S", 1.02),
    "Se": ("Se", 1.02),
    "H": ("H", 0.37),
    "HD": ("H", 0.37),
    "F": ("F", 0.71),
    "I": ("I", 1.33),
    "Cl": ("Cl", 0.99),
    "Br": ("Br", 1.14),
    "Si": ("Si", 1.11),
    "At": ("At", 1.44),
} | {m: (m, _METAL_RADIUS.get(m, _OTHER_METAL_RADIUS)) for m in METALS}
"""AutoDock type: (element, covalent radius in angstrom that Vina perceives bonds by)."""

_BOND_ALLOWANCE: Final = 1.1
_PLAIN: Final = {
    "P": "P_P",
    "S": "S_P",
    "Se": "S_P",
    "F": "F_H",
    "Cl": "Cl_H",
    "Br": "Br_H",
    "I": "I_H",
    "Si": "Si",
    "At": "At",
}


def perceive_bonds(
    coords: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return the bonds that Vina perceives between atoms.

    Parameters
    ----------
    coords
        (n, 3) float64, angstrom.
    radii
        (n,) float64, covalent radii in angstrom.

    Returns
    -------
    (n_bonds, 2) int64, pairs of atoms, the smaller index first, sorted.
    """
    tree = cKDTree(coords)
    pairs = _close_pairs(tree, radii)
    left, right = pairs[:, 0], pairs[:, 1]
    d2 = ((coords[left] - coords[right]) ** 2).sum(axis=1)
    close = d2 < (_BOND_ALLOWANCE * (radii[left] + radii[right])) ** 2
    pairs, d2 = pairs[close], d2[close]
    if not len(pairs):
        return pairs
    # Candidates for a third atom between two others: all that are near the first of them.
    near = tree.query_ball_point(coords[pairs[:, 0]], np.sqrt(d2) + 1e-6)
    owner = np.repeat(np.arange(len(pairs)), [len(n) for n in near])
    third = np.concatenate([np.asarray(n, dtype=np.int64) for n in near])
    to_left = ((coords[pairs[owner, 0]] - coords[third]) ** 2).sum(axis=1)
    to_right = ((coords[pairs[owner, 1]] - coords[third]) ** 2).sum(axis=1)
    is_end = (third == pairs[owner, 0]) | (third == pairs[owner, 1])
    between = ~is_end & (to_left < d2[owner]) & (to_right < d2[owner])
    blocked = np.zeros(len(pairs), dtype=bool)
    blocked[owner[between]] = True
    pairs = pairs[~blocked]
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def _close_pairs(tree: cKDTree, radii: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return pairs of atoms that may be bonded; few atoms (metals, iodine) reach far."""
    usual = 1.15  # the largest radius but those of iodine, astatine and metals
    pairs = [tree.query_pairs(2 * _BOND_ALLOWANCE * usual, output_type="ndarray")]
    wide = np.flatnonzero(radii > usual)
    if len(wide):
        found = tree.query_ball_point(tree.data[wide], 2 * _BOND_ALLOWANCE * float(radii.max()))
        first = np.repeat(wide, [len(f) for f in found])
        second = np.concatenate([np.asarray(f, dtype=np.int64) for f in found])
        extra = np.column_stack([first, second])[first != second]
        extra.sort(axis=1)
        pairs.append(extra)
    return np.unique(np.concatenate(pairs).astype(np.int64), axis=0)


def vina_atom_types(
    coords: npt.NDArray[np.float64], ad_types: npt.NDArray[np.str_]
) -> npt.NDArray[np.int8]:
    """Return the type of each atom, exactly as AutoDock Vina 1.2.7 assigns it.

    Parameters
    ----------
    coords
        (n, 3) float64, angstrom.
    ad_types
        (n,) str, AutoDock types, each a key of :data:`AD_TYPES`.

    Returns
    -------
    (n,) int8, rows of ``ATOM_TYPES``; ``UNSCORED`` for hydrogens.
    """
    names, inverse = np.unique(ad_types, return_inverse=True)
    element = np.array([AD_TYPES[name][0] for name in names])[inverse]
    radii = np.array([AD_TYPES[name][1] for name in names])[inverse]
    bonds = perceive_bonds(np.asarray(coords, dtype=np.float64), radii)
    is_hetero = ~np.isin(ad_types, ["C", "A", "H", "HD"])
    near_hetero = _any_neighbour(bonds, is_hetero)
    is_donor = _any_neighbour(bonds, ad_types == "HD")
    is_acceptor = np.isin(ad_types, ["NA", "OA"])

    out = np.full(len(ad_types), UNSCORED, dtype=np.int8)
    carbon = element == "C"
    out[carbon] = np.where(near_hetero[carbon], TYPE_INDEX["C_P"], TYPE_INDEX["C_H"])
    for symbol in ("N", "O"):
        table = np.array([[TYPE_INDEX[f"{symbol}_{t}"] for t in ("P", "A")]])
        table = np.vstack([table, [TYPE_INDEX[f"{symbol}_{t}"] for t in ("D", "DA")]])
        mask = element == symbol
        out[mask] = table[is_donor[mask].astype(int), is_acceptor[mask].astype(int)]
    for symbol, name in _PLAIN.items():
        out[element == symbol] = TYPE_INDEX[name]
    out[np.isin(element, METALS)] = TYPE_INDEX["Met_D"]
    return out


def _any_neighbour(
    bonds: npt.NDArray[np.int64], flag: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return, for each atom, whether any atom bonded to it carries the flag."""
    out = np.zeros(len(flag), dtype=bool)
    out[bonds[flag[bonds[:, 1]], 0]] = True
    out[bonds[flag[bonds[:, 0]], 1]] = True
    return out
