"""Receptor fields on a lattice, one map per kind of ligand atom, built when first needed."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
import psutil

from osong.box import Box
from osong.errors import ResourceError
from osong.ligands.packed import PackedLigand
from osong.machine import usable_memory
from osong.receptor.model import Receptor
from osong.scoring.functions import ScoringFunction
from osong_kernels.arguments import Field
from osong_kernels.cpu.maps import build_maps
from osong_kernels.reference.pose_energy import field_energy

__all__ = ["CAP_KCAL", "SPACING_ANGSTROM", "WALL_KCAL_PER_ANGSTROM", "GridMaps", "grid_energies"]

SPACING_ANGSTROM: Final = 0.375
WALL_KCAL_PER_ANGSTROM: Final = 20.0
"""Steep enough that no contact pays for leaving the box, mild enough for float32 line searches."""

CAP_KCAL: Final = 1000.0
"""Positive energies of an atom or a pair are bent to stay below this, as in Vina's final scores."""

_PLANES: Final = 48
"""Planes of one call: few enough that four threads have work in a small box."""

_MAX_POINTS: Final = 2**31 - 1  # cells of one map are addressed by int32 in the kernels


class GridMaps:
    """Maps of one receptor in one box under one scoring function.

    Types that no pair term tells apart (equal radius and roles) share a map.

    Parameters
    ----------
    receptor, box, scoring
        What to map and where.

    Raises
    ------
    ResourceError
        If the lattice cannot be addressed or all maps would not fit into free memory.
    """

    def __init__(self, receptor: Receptor, box: Box, scoring: ScoringFunction) -> None:
        self.scoring = scoring
        cells = [max(1, math.ceil(edge / SPACING_ANGSTROM)) for edge in box.size]
        self.shape: tuple[int, int, int] = (cells[0] + 1, cells[1] + 1, cells[2] + 1)
        self.origin = np.array(
            [c - 0.5 * n * SPACING_ANGSTROM for c, n in zip(box.center, cells, strict=True)]
        ).astype(np.float32)
        signatures = _signatures(scoring)
        self._rows = sorted(set(signatures), key=signatures.index)
        self.map_of_type = np.array([self._rows.index(s) for s in signatures], np.int32)
        self._type_of_map = [signatures.index(s) for s in self._rows]
        self._check_size(box)
        scored = receptor.atom_type >= 0
        self._coords = np.ascontiguousarray(receptor.coords[scored], np.float32)
        self._types = receptor.atom_type[scored].astype(np.int32)
        self._maps = np.zeros((len(self._rows), *self.shape), np.float32)
        self._is_built = np.zeros(len(self._rows), bool)
        self._lock = threading.Lock()

    @property
    def n_points(self) -> int:
        """Lattice points of one map."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Bytes of all maps, built or not."""
        return self._maps.nbytes

    def _check_size(self, box: Box) -> None:
        if self.n_points > _MAX_POINTS:
            raise ResourceError(
                f"a box of {_edges(box)} has {self.n_points:,} lattice points, more than the "
                f"{_MAX_POINTS:,} that can be addressed: dock into several smaller boxes"
            )
        needed = self.n_points * len(self._rows) * 4
        free = min(psutil.virtual_memory().available, usable_memory())
        if needed > free:
            raise ResourceError(
                f"grid maps of a box of {_edges(box)} need {needed / 2**30:.1f} GiB and "
                f"{free / 2**30:.1f} GiB are free: make the box smaller or use several boxes"
            )

    def ensure(self, atom_types: Iterable[int], threads: int = 1) -> None:
        """Build the maps that these ligand atom types need and that are not there yet.

        Threads share the lattice by planes; the maps do not depend on their number.
        """
        wanted = {int(self.map_of_type[t]) for t in atom_types}
        with self._lock:
            missing = np.array([m for m in sorted(wanted) if not self._is_built[m]], np.int64)
            if len(missing) == 0:
                return
            chunks = range(0, self.shape[0], _PLANES)
            if threads == 1:
                for first in chunks:
                    self._build(missing, first)
            else:
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(lambda first: self._build(missing, first), chunks))
            self._is_built[missing] = True

    def _build(self, missing: npt.NDArray[np.int64], first: int) -> None:
        """Build some planes of the missing maps, ``first`` and those after it."""
        types = [self._type_of_map[m] for m in missing]
        last = min(first + _PLANES, self.shape[0])
        built = np.empty((len(missing), last - first, *self.shape[1:]), np.float32)
        build_maps(
            self._coords,
            self._types,
            np.ascontiguousarray(self.scoring.r0[types]),
            np.ascontiguousarray(self.scoring.is_hydrophobic[types]),
            np.ascontiguousarray(self.scoring.is_hydrogen_bond[types]),
            self.scoring.weights,
            self.origin,
            SPACING_ANGSTROM,
            first,
            built,
        )
        self._maps[missing, first:last] = built

    def field(self) -> Field:
        """Return the maps as the kernels take them; ``ensure`` the types first."""
        return Field(
            self._maps.reshape(-1),
            np.array(self.shape, np.int32),
            self.origin,
            SPACING_ANGSTROM,
            WALL_KCAL_PER_ANGSTROM,
        )

    def values(self, atom_type: int) -> npt.NDArray[np.float32]:
        """Return the map of a ligand atom type, (nx, ny, nz) float32, kcal/mol."""
        self.ensure([atom_type])
        return self._maps[self.map_of_type[atom_type]]


def _signatures(scoring: ScoringFunction) -> list[tuple[object, ...]]:
    """Return for each type what tells it apart as a ligand atom."""
    return [
        (r, tuple(scoring.is_hydrophobic[t]), tuple(scoring.is_hydrogen_bond[t]))
        for t, r in enumerate(scoring.radii)
    ]


def _edges(box: Box) -> str:
    return " x ".join(f"{edge:g}" for edge in box.size) + " A"


def grid_energies(maps: GridMaps, packed: PackedLigand) -> npt.NDArray[np.float64]:
    """Return the energy in the maps of each scored atom of a pose, (n_scored,), kcal/mol.

    The pose is the ligand's first reference conformer; the interpolation is the reference one,
    in float64.
    """
    types = packed.atom_type[: packed.n_scored]
    maps.ensure(types.tolist())
    n = packed.n_scored
    energy = np.empty(n)
    for i, (t, point) in enumerate(zip(types, packed.coords[0, :n], strict=True)):
        value, _ = field_energy(
            point[None].astype(np.float64), maps.map_of_type[[t]], maps.field(), CAP_KCAL
        )
        energy[i] = value
    return energy
