"""Atom densities on a lattice around each pose: the definition, in float64, atom by atom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from osong_kernels.physics.atom_density import atom_density
from osong_kernels.physics.rotation import matrix_from_quaternion

__all__ = ["voxelise"]

Float64 = npt.NDArray[np.float64]


def voxelise(
    receptor_coords: npt.NDArray[np.floating],
    receptor_channel: npt.NDArray[np.int32],
    receptor_radius: npt.NDArray[np.floating],
    coords: npt.NDArray[np.floating],
    channel: npt.NDArray[np.int32],
    radius: npt.NDArray[np.floating],
    pose_start: npt.NDArray[np.int64],
    centers: npt.NDArray[np.floating],
    rotations: npt.NDArray[np.floating],
    spacing: float,
    grids: npt.NDArray[np.floating],
) -> None:
    """Fill the grids; see ``cpu.voxels``."""
    for p in range(len(grids)):
        grids[p] = 0.0
        own = slice(int(pose_start[p]), int(pose_start[p + 1]))
        turn = np.array(matrix_from_quaternion(*(float(q) for q in rotations[p]))).reshape(3, 3)
        for atoms, channels, radii in (
            (receptor_coords, receptor_channel, receptor_radius),
            (coords[own], channel[own], radius[own]),
        ):
            placed = (atoms.astype(np.float64) - centers[p].astype(np.float64)) @ turn.T
            for place, c, r in zip(placed, channels, radii, strict=True):
                if 0 <= c < grids.shape[1]:
                    _add_atom(place, float(r), spacing, grids[p, c])


def _add_atom(
    place: Float64, radius: float, spacing: float, grid: npt.NDArray[np.floating]
) -> None:
    """Add one atom, at ``place`` from the middle of the lattice, to a channel."""
    points = spacing * (np.arange(len(grid)) - 0.5 * (len(grid) - 1))
    for i, x in enumerate(points - place[0]):
        for j, y in enumerate(points - place[1]):
            for k, z in enumerate(points - place[2]):
                grid[i, j, k] += atom_density(x * x + y * y + z * z, radius)
