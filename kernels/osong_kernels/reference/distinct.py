"""Picking poses that differ: the definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["pick_distinct"]


def pick_distinct(
    coords: npt.NDArray[np.floating],
    order: npt.NDArray[np.int64],
    min_rmsd: float,
    chosen: npt.NDArray[np.int64],
) -> int:
    """Fill ``chosen`` and return how many there are; see ``cpu.distinct``."""
    picked: list[int] = []
    for pose in order:
        difference = coords[picked].astype(np.float64) - coords[pose].astype(np.float64)
        rmsds = np.sqrt((difference**2).sum(axis=2).mean(axis=1))
        if len(picked) < len(chosen) and (rmsds >= min_rmsd).all():
            picked.append(int(pose))
    chosen[: len(picked)] = picked
    return len(picked)
