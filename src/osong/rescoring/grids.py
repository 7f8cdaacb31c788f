"""Grids of atom densities around poses: what GNINA's networks look at.

A pose's grid has 28 channels (14 kinds of receptor atom, 14 of ligand atom) on 48 x 48 x 48 points
0.5 angstrom apart. Its middle is the mean place of the ligand's heavy atoms, as in libmolgrid
(Sunseri and Koes 2020, doi:10.1021/acs.jcim.9b01145).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from osong.backend import choose_backend
from osong.errors import InputError
from osong.receptor.model import Receptor
from osong.rescoring.atom_channels import (
    N_LIGAND_CHANNELS,
    N_RECEPTOR_CHANNELS,
    AtomChannels,
    channels_of_ligand,
    channels_of_receptor,
)
from osong_kernels.cpu.voxels import voxelise

__all__ = ["N_CHANNELS", "N_POINTS", "SHAPE", "SPACING", "GridMaker", "PoseAtoms"]

N_CHANNELS: Final = N_RECEPTOR_CHANNELS + N_LIGAND_CHANNELS
N_POINTS: Final = 48
SPACING: Final = 0.5
"""Angstrom between points: the grid's edge is 23.5."""
SHAPE: Final = (N_CHANNELS, N_POINTS, N_POINTS, N_POINTS)

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PoseAtoms:
    """The heavy atoms of a pose.

    Attributes
    ----------
    coords
        (n, 3) float32, angstrom, in the receptor's frame.
    channel
        (n,) int32, channel of the ligand's map, from 0.
    radius
        (n,) float32, angstrom.
    notes
        What was decided for odd elements.
    """

    coords: Float32
    channel: npt.NDArray[np.int32]
    radius: Float32
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, mol: Chem.Mol, coords: npt.ArrayLike | None = None) -> PoseAtoms:
        """Return the drawn atoms of a molecule.

        Parameters
        ----------
        mol
            Such as ``Pose.mol`` or a molecule of an SDF file; hydrogens may be atoms or not.
        coords
            (n_atoms, 3), angstrom, in the molecule's order; by default its conformer's.

        Raises
        ------
        InputError
            If it has no heavy atom, or no coordinates that are numbers.
        """
        return cls.several(mol, [_conformer(mol) if coords is None else coords])[0]

    @classmethod
    def several(cls, mol: Chem.Mol, coords: Sequence[npt.ArrayLike]) -> list[PoseAtoms]:
        """Return the drawn atoms of several poses of a molecule, whose types are found once."""
        if mol.NeedsUpdatePropertyCache():
            raise InputError(f"{_name(mol)}: read without sanitizing it; call Chem.SanitizeMol")
        drawn = channels_of_ligand(mol)
        heavy = drawn.channel >= 0
        if not heavy.any():
            raise InputError(f"{_name(mol)}: no heavy atoms, so there is nothing to draw")
        return [_placed(mol, drawn, heavy, place) for place in coords]

    @property
    def center(self) -> npt.NDArray[np.float64]:
        """(3,) float64, angstrom: the middle of the pose's grid."""
        return np.asarray(self.coords.mean(axis=0, dtype=np.float64))


class GridMaker:
    """Makes the grids of poses in one receptor.

    Parameters
    ----------
    receptor
        With polar hydrogens, which tell the donors.
    threads
        Cores to use; no value depends on it.
    as_prepared
        See `channels_of_receptor`: take protonation and rings from the receptor alone, which
        differs from what the networks have learned with.

    Attributes
    ----------
    notes
        What was decided for odd elements of the receptor.
    """

    def __init__(self, receptor: Receptor, *, threads: int = 1, as_prepared: bool = False) -> None:
        if threads < 1:
            raise InputError(f"threads is {threads}; at least 1")
        drawn = channels_of_receptor(receptor, as_prepared=as_prepared)
        heavy = drawn.channel >= 0
        self.threads = threads
        self.notes = drawn.notes
        self._coords = np.ascontiguousarray(receptor.coords[heavy], np.float32)
        self._channel = drawn.channel[heavy]
        self._radius = drawn.radius[heavy]

    @property
    def can_fill_devices(self) -> bool:
        """Whether `grids` can be made in a device's memory here (``osong doctor`` says why not)."""
        return _has_device()

    def grids(
        self,
        poses: Sequence[PoseAtoms | Chem.Mol],
        rotations: npt.ArrayLike | None = None,
        out: Any = None,
    ) -> Any:
        """Return the grids of poses, (n, 28, 48, 48, 48) float32: 12.4 MB each.

        Parameters
        ----------
        poses
            Molecules with coordinates, or what `PoseAtoms` made of them.
        rotations
            (n, 4), quaternions (w, x, y, z) by which receptor and ligand are turned about the
            middle of each grid; nothing is turned where left out.
        out
            To be filled and returned, C-contiguous: an array (memory that was written before is
            filled twice as fast as new one), or a tensor of torch on a CUDA device, which then
            makes the grids itself (`can_fill_devices`). By default a new array.

        Raises
        ------
        InputError
            If a pose cannot be drawn, or an array has another shape or dtype.
        """
        atoms = [pose if isinstance(pose, PoseAtoms) else PoseAtoms.of(pose) for pose in poses]
        filled = _checked(out, len(atoms))
        turns = _quaternions(rotations, len(atoms))
        if not atoms:
            return filled
        start = np.cumsum([0, *(len(pose.coords) for pose in atoms)]).astype(np.int64)
        coords = np.concatenate([pose.coords for pose in atoms])
        channel = np.concatenate([pose.channel for pose in atoms]) + np.int32(N_RECEPTOR_CHANNELS)
        radius = np.concatenate([pose.radius for pose in atoms])
        centers = np.stack([pose.center for pose in atoms]).astype(np.float32)
        drawn = self._coords, self._channel, self._radius, coords, channel, radius
        if _is_of_device(filled):
            _fill_on_device(drawn, start, centers, turns, filled)
            return filled

        def fill(part: slice) -> None:
            starts = start[part.start : part.stop + 1]
            voxelise(*drawn, starts, centers[part], turns[part], SPACING, filled[part])

        parts = _parts(len(atoms), self.threads)
        if len(parts) == 1:
            fill(parts[0])
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(fill, parts))
        return filled


@cache
def _has_device() -> bool:
    return choose_backend("auto").name == "cuda"


def _is_of_device(memory: Any) -> bool:
    return hasattr(memory, "__cuda_array_interface__")


def _fill_on_device(
    drawn: tuple[Float32, Int32, Float32, Float32, Int32, Float32],
    start: npt.NDArray[np.int64],
    centers: Float32,
    turns: Float32,
    out: Any,
) -> None:
    """Let the device that holds ``out`` fill it with receptor and poses, three arrays each."""
    from osong_kernels.cuda.device_memory import lent
    from osong_kernels.cuda.voxels import voxels_on_device

    with lent(out, out.get_device()) as grids:
        voxels_on_device(*drawn, start, centers, turns, SPACING, grids)


def _conformer(mol: Chem.Mol) -> npt.NDArray[np.float64]:
    if not mol.GetNumConformers() or not mol.GetConformer().Is3D():
        raise InputError(f"{_name(mol)}: no coordinates in space; dock it first (osong.dock)")
    return np.asarray(mol.GetConformer().GetPositions())


def _placed(
    mol: Chem.Mol, drawn: AtomChannels, heavy: npt.NDArray[np.bool_], coords: npt.ArrayLike
) -> PoseAtoms:
    places = np.asarray(coords, np.float32)
    if places.shape != (len(heavy), 3):
        raise InputError(
            f"{_name(mol)}: coordinates have shape {places.shape}; wanted ({len(heavy)}, 3)"
        )
    kept = np.ascontiguousarray(places[heavy])
    if not np.isfinite(kept).all():
        raise InputError(f"{_name(mol)}: coordinates of a pose are not numbers")
    return PoseAtoms(kept, drawn.channel[heavy], drawn.radius[heavy], drawn.notes)


def _name(mol: Chem.Mol) -> str:
    if mol.HasProp("_Name") and mol.GetProp("_Name"):
        return str(mol.GetProp("_Name"))
    return Chem.MolToSmiles(mol) or "molecule without atoms"


def _checked(out: Any, n_poses: int) -> Any:
    """Return memory for the grids: what was given, if it is as it must be."""
    shape = (n_poses, *SHAPE)
    if out is None:
        return np.empty(shape, np.float32)
    if _is_of_device(out):
        memory = out.__cuda_array_interface__
        is_contiguous = memory.get("strides") is None
        is_single = memory["typestr"] == np.dtype(np.float32).str
    else:
        is_contiguous, is_single = out.flags.c_contiguous, out.dtype == np.float32
    if tuple(out.shape) != shape or not is_single or not is_contiguous:
        raise InputError(
            f"out is {out.dtype} of shape {tuple(out.shape)}; wanted C-contiguous float32 of "
            f"{shape}"
        )
    return out


def _quaternions(rotations: npt.ArrayLike | None, n_poses: int) -> Float32:
    """Return unit quaternions, (n_poses, 4)."""
    if rotations is None:
        return np.tile(np.array([1.0, 0.0, 0.0, 0.0], np.float32), (n_poses, 1))
    given = np.asarray(rotations, np.float64)
    if given.shape != (n_poses, 4):
        raise InputError(f"rotations have shape {given.shape}; wanted ({n_poses}, 4) quaternions")
    length = np.linalg.norm(given, axis=1, keepdims=True)
    if not (np.isfinite(given).all() and (length > 0.0).all()):
        raise InputError("rotations hold a quaternion that is zero or no number")
    return np.ascontiguousarray(given / length, np.float32)


def _parts(n: int, threads: int) -> list[slice]:
    """Return up to ``threads`` even parts of n poses."""
    bounds = np.linspace(0, n, min(n, threads) + 1).astype(int).tolist()
    return [slice(first, last) for first, last in pairwise(bounds)]
