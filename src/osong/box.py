"""`Box`: where to search, an axis-aligned box with centre and full edge lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from osong.errors import BoxError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rdkit import Chem

__all__ = ["Box"]

Vector: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Box:
    """An axis-aligned search box.

    Attributes
    ----------
    center
        Angstrom.
    size
        Full edge lengths, angstrom.

    Examples
    --------
    >>> box = Box(center=(0.0, 0.0, 0.0), size=(20.0, 20.0, 24.0))
    >>> box.volume
    9600.0
    >>> box.contains([[0.0, 0.0, 11.0], [0.0, 0.0, 13.0]])
    array([ True, False])
    """

    center: Vector
    size: Vector

    def __post_init__(self) -> None:
        """Turn both into plain floats and check them."""
        object.__setattr__(self, "center", _vector(self.center, "center"))
        object.__setattr__(self, "size", _vector(self.size, "size"))
        if min(self.size) <= 0:
            raise BoxError(f"box size must be positive in every direction, got {self.size}")

    @classmethod
    def around(cls, ligand: str | Path | Chem.Mol | npt.ArrayLike, padding: float = 4.0) -> Box:
        """Return the box around a ligand's heavy atoms with padding on each side.

        Parameters
        ----------
        ligand
            A file (SDF, MOL, MOL2, PDB, mmCIF or PDBQT; also ``.gz``; its first molecule), an
            RDKit molecule with a conformer, or (n_atoms, 3) coordinates in angstrom.
        padding
            Angstrom, added on each of the six sides.

        Raises
        ------
        BoxError
            The ligand has no usable coordinates or the padding is no finite number.
        """
        from osong.receptor.coordinates import ligand_coords

        coords, source = ligand_coords(ligand)
        return cls._around_coords(coords, padding, source)

    @classmethod
    def from_residues(
        cls, structure: str | Path, residues: Iterable[str], padding: float = 4.0
    ) -> Box:
        """Return the box around residues of a structure, each written as ``"A:123"``.

        Parameters
        ----------
        structure
            A PDB, mmCIF or PDBQT file (also ``.gz``).
        residues
            ``"chain:number"`` with the insertion code if there is one (``"A:52A"``); ``"123"``
            where the structure has one chain only.
        padding
            Angstrom, added on each of the six sides.

        Raises
        ------
        BoxError
            A residue is not there; the message says which chains are.
        """
        from osong.receptor.coordinates import residue_coords

        coords = residue_coords(Path(structure), list(residues))
        return cls._around_coords(coords, padding, str(structure))

    @classmethod
    def _around_coords(cls, coords: npt.NDArray[np.float64], padding: float, source: str) -> Box:
        if not math.isfinite(padding) or padding < 0:
            raise BoxError(f"padding must be a finite number of angstrom >= 0, got {padding}")
        low, high = coords.min(axis=0) - padding, coords.max(axis=0) + padding
        if not (high > low).all():
            raise BoxError(f"{source}: a box without extent; give padding > 0")
        return cls(tuple((low + high) / 2), tuple(high - low))

    @property
    def low(self) -> npt.NDArray[np.float64]:
        """(3,) float64, angstrom: the corner with the smallest coordinates."""
        return np.array(self.center) - np.array(self.size) / 2

    @property
    def high(self) -> npt.NDArray[np.float64]:
        """(3,) float64, angstrom: the corner with the largest coordinates."""
        return np.array(self.center) + np.array(self.size) / 2

    @property
    def volume(self) -> float:
        """Cubic angstrom."""
        return math.prod(self.size)

    def contains(self, coords: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which of (n, 3) points, in angstrom, lie in the box or on its surface."""
        points = np.asarray(coords, dtype=np.float64)
        return np.asarray(((points >= self.low) & (points <= self.high)).all(axis=-1))

    def distance(self, coords: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return how far (n, 3) points lie outside the box, in angstrom; 0 inside."""
        points = np.asarray(coords, dtype=np.float64)
        outside = np.maximum(np.maximum(self.low - points, points - self.high), 0.0)
        return np.asarray(np.sqrt((outside**2).sum(axis=-1)))

    def n_points(self, spacing: float = 0.375) -> tuple[int, int, int]:
        """Return the points of a lattice that covers the box, in each direction."""
        if not math.isfinite(spacing) or spacing <= 0:
            raise BoxError(f"grid spacing must be a positive number of angstrom, got {spacing}")
        x, y, z = (math.ceil(edge / spacing - 1e-9) + 1 for edge in self.size)
        return x, y, z


def _vector(values: Any, name: str) -> Vector:
    """Return three finite floats or say what came instead."""
    try:
        x, y, z = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise BoxError(f"box {name} must be three numbers in angstrom, got {values!r}") from error
    if not all(map(math.isfinite, (x, y, z))):
        raise BoxError(f"box {name} must be finite, got {(x, y, z)}")
    return x, y, z
