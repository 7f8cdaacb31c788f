"""`RefinedMinima`: what a search finds of one ligand, before poses are made of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["RefinedMinima"]


class RefinedMinima(NamedTuple):
    """Minima of one ligand, refined, some hundred bytes in all.

    Attributes
    ----------
    genotypes
        (n, 7 + T) float32: position (angstrom), unit quaternion, torsions (radian).
    conformers
        (n,) int32: which of the ligand's geometries, mixed ones included.
    """

    genotypes: npt.NDArray[np.float32]
    conformers: npt.NDArray[np.int32]
