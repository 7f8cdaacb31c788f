"""From genotypes to coordinates and from forces back to gradients, by the lanes of a warp."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from osong_kernels.cuda.compile import device, device_formula
from osong_kernels.cuda.elementary import sine_cosine
from osong_kernels.cuda.memory import peek, poke
from osong_kernels.cuda.warp import LANES, at, lane_index, warp_sync
from osong_kernels.physics import rotation

__all__ = ["frame_vector", "place_atoms", "place_frames", "pull_back"]

_ZERO: Final = np.float32(0.0)
_axis_matrix = device_formula(rotation.axis_matrix)
_matrix_from_quaternion = device_formula(rotation.matrix_from_quaternion)


@device
def _store_matrix(shared: Any, frame: Any, m: Any) -> None:
    """Write a rotation to the first three columns of a frame."""
    poke(shared, frame, 0, m[0])
    poke(shared, frame, 1, m[1])
    poke(shared, frame, 2, m[2])
    poke(shared, frame, 4, m[3])
    poke(shared, frame, 5, m[4])
    poke(shared, frame, 6, m[5])
    poke(shared, frame, 8, m[6])
    poke(shared, frame, 9, m[7])
    poke(shared, frame, 10, m[8])


@device
def _own_turns(
    arrays: Any, ligand: Any, conformer: Any, shared: Any, genes: Any, frames: Any
) -> None:
    """Write each segment's own turn and offset to its frame; of the root, where it is."""
    s = np.int32(lane_index())
    while s < ligand.n_segments:
        frame = frames + 12 * s
        if s == 0:
            _store_matrix(
                shared, frame,
                _matrix_from_quaternion(
                    peek(shared, genes, 3), peek(shared, genes, 4), peek(shared, genes, 5),
                    peek(shared, genes, 6),
                ),
            )  # fmt: skip
            for k in range(3):
                poke(shared, frame + 4 * k, 3, peek(shared, genes + k, 0))
        else:
            a = ligand.axis + 3 * (conformer * ligand.n_segments + s)
            sine, cosine = sine_cosine(peek(shared, genes + 6 + s, 0))
            turn = _axis_matrix(
                peek(arrays.axis, a, 0),
                peek(arrays.axis, a, 1),
                peek(arrays.axis, a, 2),
                sine,
                cosine,
            )
            _store_matrix(shared, frame, turn)
            for k in range(3):
                poke(shared, frame + 4 * k, 3, peek(arrays.offset, a + k, 0))
        s = np.int32(s + LANES)


@device
def place_frames(
    arrays: Any, ligand: Any, conformer: Any, shared: Any, genes: Any, frames: Any
) -> None:
    """Fill the frames (3 x 4 matrices) of all segments from a genotype in shared memory."""
    lane = lane_index()
    _own_turns(arrays, ligand, conformer, shared, genes, frames)
    warp_sync()
    for s in range(1, ligand.n_segments):
        outer = frames + 12 * peek(arrays.parent, ligand.segment + s, 0)
        own = frames + 12 * s
        # A lane has one column: it alone reads and writes it, so none waits for another.
        column = np.int32(lane)
        while column < 4:
            x = peek(shared, own + column, 0)
            y = peek(shared, own + 4 + column, 0)
            z = peek(shared, own + 8 + column, 0)
            turned = frame_vector(shared, outer, x, y, z)
            for row in range(3):
                moved = peek(shared, outer + 4 * row, 3) if column == 3 else _ZERO
                poke(shared, own + 4 * row + column, 0, turned[row] + moved)
            column = np.int32(column + LANES)
        warp_sync()


@device
def frame_vector(shared: Any, frame: Any, x: Any, y: Any, z: Any) -> Any:
    """Return a vector turned by a frame."""
    return (
        peek(shared, frame, 0) * x + peek(shared, frame, 1) * y + peek(shared, frame, 2) * z,
        peek(shared, frame, 4) * x + peek(shared, frame, 5) * y + peek(shared, frame, 6) * z,
        peek(shared, frame, 8) * x + peek(shared, frame, 9) * y + peek(shared, frame, 10) * z,
    )


@device
def place_atoms(arrays: Any, ligand: Any, conformer: Any, shared: Any, place: Any) -> None:
    """Fill the coordinates from the frames."""
    local = ligand.local + 3 * conformer * ligand.n_atoms
    i = np.int32(lane_index())
    while i < ligand.n_atoms:
        frame = place.frames + 12 * peek(arrays.segment_of, ligand.atom + i, 0)
        a = local + 3 * i
        x, y, z = peek(arrays.local, a, 0), peek(arrays.local, a, 1), peek(arrays.local, a, 2)
        x, y, z = frame_vector(shared, frame, x, y, z)
        poke(shared, place.coords + 3 * i, 0, x + peek(shared, frame, 3))
        poke(shared, place.coords + 3 * i, 1, y + peek(shared, frame, 7))
        poke(shared, place.coords + 3 * i, 2, z + peek(shared, frame, 11))
        i = np.int32(i + LANES)
    warp_sync()


@device
def pull_back(arrays: Any, ligand: Any, conformer: Any, shared: Any, place: Any) -> None:
    """Fill the gradient from each atom's force and its torque about the root's pivot."""
    lane = lane_index()
    n_segments = ligand.n_segments
    first = ligand.segment + ligand.number
    entry = np.int32(lane)
    while entry < 6 * n_segments:
        s = np.int32(at(entry) // at(6))
        c = entry - 6 * s
        source = place.forces + c if c < 3 else place.coords + c - 3
        total = _ZERO
        for i in range(
            peek(arrays.segment_start, first + s, 0), peek(arrays.segment_start, first + s, 1)
        ):
            total += peek(shared, source + 3 * i, 0)
        poke(shared, place.wrench + entry, 0, total)
        entry = np.int32(entry + LANES)
    warp_sync()
    # A lane adds up one component over the whole tree, so no lane waits for another.
    c = np.int32(lane)
    while c < 6:
        for k in range(1, n_segments):
            s = n_segments - k
            p = peek(arrays.parent, ligand.segment + s, 0)
            total = peek(shared, place.wrench + 6 * p + c, 0) + peek(
                shared, place.wrench + 6 * s + c, 0
            )
            poke(shared, place.wrench + 6 * p + c, 0, total)
        poke(shared, place.gradient + c, 0, peek(shared, place.wrench + c, 0))
        c = np.int32(c + LANES)
    warp_sync()
    s = np.int32(lane + 1)
    while s < n_segments:
        _torsion_gradient(arrays, ligand, conformer, shared, place, s)
        s = np.int32(s + LANES)
    warp_sync()


@device
def _torsion_gradient(
    arrays: Any, ligand: Any, conformer: Any, shared: Any, place: Any, s: Any
) -> None:
    """Write the torque about a segment's bond: its axis times the torque about its pivot."""
    frame, w = place.frames + 12 * s, place.wrench + 6 * s
    a = ligand.axis + 3 * (conformer * ligand.n_segments + s)
    # A rotation leaves its own axis where it is, so the segment's frame serves for the axis.
    ax, ay, az = frame_vector(
        shared, frame, peek(arrays.axis, a, 0), peek(arrays.axis, a, 1), peek(arrays.axis, a, 2)
    )
    dx = peek(shared, frame, 3) - peek(shared, place.frames, 3)
    dy = peek(shared, frame, 7) - peek(shared, place.frames, 7)
    dz = peek(shared, frame, 11) - peek(shared, place.frames, 11)
    fx, fy, fz = peek(shared, w, 0), peek(shared, w, 1), peek(shared, w, 2)
    tx = peek(shared, w, 3) - (dy * fz - dz * fy)
    ty = peek(shared, w, 4) - (dz * fx - dx * fz)
    tz = peek(shared, w, 5) - (dx * fy - dy * fx)
    poke(shared, place.gradient + 5 + s, 0, ax * tx + ay * ty + az * tz)
