"""The timed call of ``voxelise``: poses in the made-up pocket, as GNINA's networks see them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from osong.scoring.functions import VINA

__all__ = ["N_GRIDS", "voxel_values"]

N_GRIDS: Final = 4
_N_CHANNELS: Final = 14  # of the receptor, and as many of the ligand
_N_POINTS: Final = 48
_SPACING: Final = 0.5


def voxel_values(
    receptor_coords: npt.NDArray[np.float64],
    receptor_type: npt.NDArray[np.int32],
    coords: npt.NDArray[np.float64],
    atom_type: npt.NDArray[np.int32],
) -> dict[str, Any]:
    """Return the arguments: a pose in several places, turned, by the types of Vina's atoms."""
    rng = np.random.default_rng(11)
    shifts = rng.uniform(-1.0, 1.0, (N_GRIDS, 1, 3))
    poses = (coords[None] + shifts).astype(np.float32)
    quaternions = rng.normal(size=(N_GRIDS, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1)[:, None]
    radii = np.asarray(VINA.radii, np.float32)
    types = np.tile(atom_type, N_GRIDS)
    return {
        "receptor_coords": receptor_coords.astype(np.float32),
        "receptor_channel": (receptor_type % _N_CHANNELS).astype(np.int32),
        "receptor_radius": radii[receptor_type],
        "coords": poses.reshape(-1, 3),
        "channel": (_N_CHANNELS + types % _N_CHANNELS).astype(np.int32),
        "radius": radii[types],
        "pose_start": np.arange(N_GRIDS + 1) * len(coords),
        "centers": poses.mean(axis=1),
        "rotations": quaternions.astype(np.float32),
        "spacing": _SPACING,
        "grids": np.zeros((N_GRIDS, 2 * _N_CHANNELS, *(_N_POINTS,) * 3), np.float32),
    }
