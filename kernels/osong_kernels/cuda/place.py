"""Where a warp keeps what it works at in shared memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from osong_kernels.cuda.compile import device
from osong_kernels.cuda.layout import (
    FIRST_ATOM,
    FIRST_AXIS,
    FIRST_DOF,
    FIRST_LOCAL,
    FIRST_PAIR,
    FIRST_SEGMENT,
    FIRST_WORD,
    N_ATOMS,
    N_COLUMNS,
    N_CONFORMERS,
    N_PAIRS,
    N_SCALARS,
    N_SEGMENTS,
)
from osong_kernels.cuda.warp import at

__all__ = ["Ligand", "Place", "ligand_of", "place_of"]


class Ligand(NamedTuple):
    """Sizes of a ligand and where it begins in `LigandArrays`; all int32."""

    number: Any
    n_atoms: Any
    n_segments: Any
    n_conformers: Any
    n_pairs: Any
    atom: Any
    local: Any
    segment: Any
    axis: Any
    dof: Any
    pair: Any


class Place(NamedTuple):
    """Where things begin in the shared memory of a block, in numbers of 32 bits; all int32.

    ``coords`` becomes the torques and ``forces``, integers while pairs are added up, the forces.
    Frames are rows of a 3 x 4 matrix: rotation and pivot.
    """

    coords: Any
    forces: Any
    frames: Any
    wrench: Any
    trial: Any
    base: Any
    direction: Any
    base_gradient: Any
    hessian: Any
    scalars: Any
    gradient: Any
    product: Any
    change: Any


@device
def ligand_of(arrays: Any, number: Any) -> Any:
    """Return a ligand of a batch."""
    row, table = number * N_COLUMNS, arrays.table
    return Ligand(
        np.int32(number), table[at(row + N_ATOMS)], table[at(row + N_SEGMENTS)],
        table[at(row + N_CONFORMERS)], table[at(row + N_PAIRS)], table[at(row + FIRST_ATOM)],
        table[at(row + FIRST_LOCAL)], table[at(row + FIRST_SEGMENT)],
        table[at(row + FIRST_AXIS)], table[at(row + FIRST_DOF)], table[at(row + FIRST_PAIR)],
    )  # fmt: skip


@device
def place_of(first: Any, n_atoms: Any, n_segments: Any) -> Any:
    """Return where the things of one warp begin, from the first number that it has on."""
    genes, dof = np.int32(6 + n_segments), np.int32(5 + n_segments)
    coords = np.int32(first + FIRST_WORD)
    forces = np.int32(coords + 3 * n_atoms)
    frames = np.int32(forces + 3 * n_atoms)
    wrench = np.int32(frames + 12 * n_segments)
    trial = np.int32(wrench + 6 * n_segments)
    base = np.int32(trial + genes)
    direction = np.int32(base + genes)
    base_gradient = np.int32(direction + dof)
    hessian = np.int32(base_gradient + dof)
    scalars = np.int32(hessian + (dof * (dof + 1) >> 1))
    gradient = np.int32(scalars + N_SCALARS)
    product = np.int32(gradient + dof)
    change = np.int32(product + dof)
    return Place(
        coords, forces, frames, wrench, trial, base, direction, base_gradient, hessian, scalars,
        gradient, product, change,
    )  # fmt: skip
