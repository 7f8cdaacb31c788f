"""Receptor field on a lattice: the definition, in float64 and plain loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from osong_kernels.physics.pair_terms import PairWeights, pair_energy

__all__ = ["build_maps"]

Float64 = npt.NDArray[np.float64]


def build_maps(
    coords: npt.NDArray[np.floating],
    atom_type: npt.NDArray[np.int32],
    r0: npt.NDArray[np.floating],
    is_hydrophobic: npt.NDArray[np.floating],
    is_hydrogen_bond: npt.NDArray[np.floating],
    weights: PairWeights,
    origin: npt.NDArray[np.floating],
    spacing: float,
    first_x: int,
    maps: npt.NDArray[np.floating],
) -> None:
    """Fill the maps' x planes from ``first_x`` on; see ``cpu.maps``."""
    n_maps, n_x, ny, nz = maps.shape
    xyz = coords.astype(np.float64)
    corner = origin.astype(np.float64)
    for m in range(n_maps):
        tables = r0[m], is_hydrophobic[m], is_hydrogen_bond[m]
        for ix in range(n_x):
            for iy in range(ny):
                for iz in range(nz):
                    point = corner + spacing * np.array([first_x + ix, iy, iz])
                    maps[m, ix, iy, iz] = _probe_energy(point, xyz, atom_type, *tables, weights)


def _probe_energy(
    point: Float64,
    coords: Float64,
    atom_type: npt.NDArray[np.int32],
    r0: npt.NDArray[np.floating],
    is_hydrophobic: npt.NDArray[np.floating],
    is_hydrogen_bond: npt.NDArray[np.floating],
    weights: PairWeights,
) -> float:
    """Return the energy of one ligand atom at ``point`` with all receptor atoms."""
    total = 0.0
    for j, t in enumerate(atom_type):
        difference = point - coords[j]
        total += pair_energy(
            float(difference @ difference),
            float(r0[t]),
            float(is_hydrophobic[t]),
            float(is_hydrogen_bond[t]),
            weights,
        )[0]
    return total
