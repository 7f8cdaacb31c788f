"""Vina's energies from its tables in r squared, written a second time, for tests only.

AutoDock Vina 1.2.7 evaluates its terms at sqrt(i / 32) angstrom and gives every pair with
i = int(32 r^2) the mean of entries i and i + 1. That rounding alone moves a score by some
thousandths to hundredths of a kcal/mol.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

CUTOFF = 8.0
ENTRIES = 32.0
CAP = 1000.0

RADII = {
    "vina": {"C": 1.9, "N": 1.8, "O": 1.7, "S": 2.0, "P": 2.1, "F": 1.5, "Cl": 1.8, "Br": 2.0,
             "I": 2.2, "Si": 2.2, "At": 2.3, "Met": 1.2},
    "vinardo": {"C": 2.0, "N": 1.7, "O": 1.6, "S": 2.0, "P": 2.1, "F": 1.5, "Cl": 1.8, "Br": 2.0,
                "I": 2.2, "Si": 2.2, "At": 2.3, "Met": 1.2},
}  # fmt: skip


def formula(r: Float64, a: str, b: str, scoring: str) -> Float64:
    """Return the energy of a pair of types (names of ``ATOM_TYPES``) at distances r."""
    (kind_a, _, role_a), (kind_b, _, role_b) = a.partition("_"), b.partition("_")
    d = r - RADII[scoring][kind_a] - RADII[scoring][kind_b]
    overlap = np.where(d < 0.0, d * d, 0.0)
    both_hydrophobic = role_a == role_b == "H"
    bonded = ("D" in role_a and "A" in role_b) or ("A" in role_a and "D" in role_b)

    def ramp(good: float, bad: float) -> Float64:
        return np.clip((bad - d) / (bad - good), 0.0, 1.0)

    if scoring == "vina":
        energy = -0.035579 * np.exp(-((d / 0.5) ** 2))
        energy += -0.005156 * np.exp(-(((d - 3.0) / 2.0) ** 2))
        energy += 0.840245 * overlap
        energy += -0.035069 * both_hydrophobic * ramp(0.5, 1.5)
        energy += -0.587439 * bonded * ramp(-0.7, 0.0)
    else:
        energy = -0.045 * np.exp(-((d / 0.8) ** 2))
        energy += 0.8 * overlap
        energy += -0.035 * both_hydrophobic * ramp(0.0, 2.5)
        energy += -0.6 * bonded * ramp(-0.6, 0.0)
    return np.where(r < CUTOFF, energy, 0.0)


def rounded(r: Float64, a: str, b: str, scoring: str) -> Float64:
    """Return what Vina's table gives."""
    i = np.floor(ENTRIES * r * r)
    low, high = (formula(np.sqrt((i + k) / ENTRIES), a, b, scoring) for k in (0, 1))
    return np.where(r < CUTOFF, 0.5 * (low + high), 0.0)


def capped(energy: Float64) -> Float64:
    """Return Vina's soft limit of a positive energy."""
    return np.where(energy > 0.0, energy * CAP / (CAP + np.maximum(energy, 0.0)), energy)


def inter_and_intra(
    receptor: tuple[Float64, list[str]],
    ligand: tuple[Float64, list[str]],
    pairs: npt.NDArray[Any],
    scoring: str,
    table: Any = rounded,
) -> tuple[float, float]:
    """Return kcal/mol between receptor and ligand (each coordinates and types), and within it."""
    xyz, types = receptor
    coords, ligand_types = ligand
    names = np.array(types)
    by_atom = np.zeros(len(coords))
    for i, point in enumerate(coords):
        r = np.linalg.norm(xyz - point, axis=1)
        for name in set(types):
            near = r[(names == name) & (r < CUTOFF)]
            by_atom[i] += table(near, ligand_types[i], name, scoring).sum()
    intra = 0.0
    for i, j in pairs:
        r = np.array([np.linalg.norm(coords[i] - coords[j])])
        intra += float(capped(table(r, ligand_types[i], ligand_types[j], scoring))[0])
    return float(capped(by_atom).sum()), intra
