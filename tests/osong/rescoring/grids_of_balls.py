"""Grids like those of real complexes, made from a seed: soft balls in some of the channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGE = 48
_POINTS = np.arange(EDGE) * 0.5 - 11.75
_RADIUS = 1.9
_FREE = 6.0


def ball_grids(n_poses: int, n_channels: int = 28, seed: int = 2026) -> NDArray[np.float32]:
    """Return (n_poses, n_channels, 48, 48, 48) float32: every other channel is empty.

    Atoms of the receptor leave the middle free, those of the ligand fill it.
    """
    random = np.random.Generator(np.random.Philox(seed))
    grids = np.zeros((n_poses, n_channels, EDGE, EDGE, EDGE), dtype=np.float32)
    for grid in grids:
        for channel in range(0, n_channels, 2):
            is_receptor = channel < n_channels // 2
            reach, n_balls = (13.0, 36) if is_receptor else (4.0, 4)
            for centre in random.uniform(-reach, reach, (n_balls, 3)):
                if not is_receptor or np.linalg.norm(centre) > _FREE:
                    _add_ball(grid[channel], centre)
    return grids


def _add_ball(channel: NDArray[np.float32], centre: NDArray[np.float64]) -> None:
    near = [np.flatnonzero(np.abs(_POINTS - c) < 1.5 * _RADIUS) for c in centre]
    if not all(len(part) for part in near):
        return
    x, y, z = ((_POINTS[part] - c) ** 2 for part, c in zip(near, centre, strict=True))
    squared = x[:, None, None] + y[:, None] + z
    density = np.exp(-2.0 * squared / _RADIUS**2) * (squared < (1.5 * _RADIUS) ** 2)
    channel[np.ix_(*near)] += density.astype(np.float32)
