"""AutoDock Vina's intermolecular terms in plain float64 NumPy, for tests only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from osong.atom_types import ATOM_TYPES

WEIGHTS = (-0.035579, -0.005156, 0.840245, -0.035069, -0.587439)


def intermolecular_energy(
    receptor_coords: npt.NDArray[np.float64],
    receptor_types: npt.NDArray[np.int8],
    ligand_coords: npt.NDArray[np.float64],
    ligand_types: npt.NDArray[np.int8],
) -> float:
    """Return kcal/mol, summed over all pairs of scored atoms within 8 angstrom."""
    total = 0.0
    r_keep, l_keep = receptor_types >= 0, ligand_types >= 0
    radius = np.array([t.vina_radius for t in ATOM_TYPES])
    hydrophobic = np.array([t.is_hydrophobic for t in ATOM_TYPES])
    donor = np.array([t.is_donor for t in ATOM_TYPES])
    acceptor = np.array([t.is_acceptor for t in ATOM_TYPES])
    b = receptor_types[r_keep].astype(int)
    for xyz, a in zip(ligand_coords[l_keep], ligand_types[l_keep].astype(int), strict=True):
        r = np.linalg.norm(receptor_coords[r_keep] - xyz, axis=1)
        d = r - (radius[a] + radius[b])
        terms = (
            np.exp(-((d / 0.5) ** 2)),
            np.exp(-(((d - 3.0) / 2.0) ** 2)),
            np.where(d < 0, d * d, 0.0),
            (hydrophobic[a] & hydrophobic[b]) * np.clip((1.5 - d) / 1.0, 0.0, 1.0),
            ((donor[a] & acceptor[b]) | (acceptor[a] & donor[b])) * np.clip(-d / 0.7, 0.0, 1.0),
        )
        pair = sum(w * t for w, t in zip(WEIGHTS, terms, strict=True))
        total += float(np.where(r < 8.0, pair, 0.0).sum())
    return total
