"""From genotypes to coordinates and from forces back to gradients, by the lanes of a warp."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from osong_kernels.cuda.compile import device, device_formula
from osong_kernels.cuda.elementary import sine_cosine
from osong_kernels.cuda.warp import LANES, at, lane_index, warp_sync
from osong_kernels.physics import rotation

__all__ = ["frame_vector", "place_atoms", "place_frames", "pull_back"]

_ZERO: Final = np.float32(0.0)
_axis_matrix = device_formula(rotation.axis_matrix)
_matrix_from_quaternion = device_formula(rotation.matrix_from_quaternion)


@device
def _store_matrix(shared: Any, frame: Any, m: Any) -> None:
    """Write a rotation to the first three columns of a frame."""
    shared[at(frame)] = m[0]
    shared[at(frame + 1)] = m[1]
    shared[at(frame + 2)] = m[2]
    shared[at(frame + 4)] = m[3]
    shared[at(frame + 5)] = m[4]
    shared[at(frame + 6)] = m[5]
    shared[at(frame + 8)] = m[6]
    shared[at(frame + 9)] = m[7]
    shared[at(frame + 10)] = m[8]


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
                    shared[at(genes + 3)], shared[at(genes + 4)], shared[at(genes + 5)],
                    shared[at(genes + 6)],
                ),
            )  # fmt: skip
            for k in range(3):
                shared[at(frame + 4 * k + 3)] = shared[at(genes + k)]
        else:
            a = ligand.axis + 3 * (conformer * ligand.n_segments + s)
            sine, cosine = sine_cosine(shared[at(genes + 6 + s)])
            turn = _axis_matrix(
                arrays.axis[at(a)], arrays.axis[at(a + 1)], arrays.axis[at(a + 2)], sine, cosine
            )
            _store_matrix(shared, frame, turn)
            for k in range(3):
                shared[at(frame + 4 * k + 3)] = arrays.offset[at(a + k)]
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
        outer = frames + 12 * arrays.parent[at(ligand.segment + s)]
        own = frames + 12 * s
        # A lane has one column: it alone reads and writes it, so none waits for another.
        column = np.int32(lane)
        while column < 4:
            x = shared[at(own + column)]
            y = shared[at(own + 4 + column)]
            z = shared[at(own + 8 + column)]
            turned = frame_vector(shared, outer, x, y, z)
            for row in range(3):
                moved = shared[at(outer + 4 * row + 3)] if column == 3 else _ZERO
                shared[at(own + 4 * row + column)] = turned[row] + moved
            column = np.int32(column + LANES)
        warp_sync()


@device
def frame_vector(shared: Any, frame: Any, x: Any, y: Any, z: Any) -> Any:
    """Return a vector turned by a frame."""
    return (
        shared[at(frame)] * x + shared[at(frame + 1)] * y + shared[at(frame + 2)] * z,
        shared[at(frame + 4)] * x + shared[at(frame + 5)] * y + shared[at(frame + 6)] * z,
        shared[at(frame + 8)] * x + shared[at(frame + 9)] * y + shared[at(frame + 10)] * z,
    )


@device
def place_atoms(arrays: Any, ligand: Any, conformer: Any, shared: Any, place: Any) -> None:
    """Fill the coordinates from the frames."""
    local = ligand.local + 3 * conformer * ligand.n_atoms
    i = np.int32(lane_index())
    while i < ligand.n_atoms:
        frame = place.frames + 12 * arrays.segment_of[at(ligand.atom + i)]
        x, y, z = frame_vector(
            shared, frame, arrays.local[at(local + 3 * i)], arrays.local[at(local + 3 * i + 1)],
            arrays.local[at(local + 3 * i + 2)],
        )  # fmt: skip
        shared[at(place.coords + 3 * i)] = x + shared[at(frame + 3)]
        shared[at(place.coords + 3 * i + 1)] = y + shared[at(frame + 7)]
        shared[at(place.coords + 3 * i + 2)] = z + shared[at(frame + 11)]
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
            arrays.segment_start[at(first + s)], arrays.segment_start[at(first + s + 1)]
        ):
            total += shared[at(source + 3 * i)]
        shared[at(place.wrench + entry)] = total
        entry = np.int32(entry + LANES)
    warp_sync()
    # A lane adds up one component over the whole tree, so no lane waits for another.
    c = np.int32(lane)
    while c < 6:
        for k in range(1, n_segments):
            s = n_segments - k
            p = arrays.parent[at(ligand.segment + s)]
            shared[at(place.wrench + 6 * p + c)] += shared[at(place.wrench + 6 * s + c)]
        shared[at(place.gradient + c)] = shared[at(place.wrench + c)]
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
        shared, frame, arrays.axis[at(a)], arrays.axis[at(a + 1)], arrays.axis[at(a + 2)]
    )
    dx = shared[at(frame + 3)] - shared[at(place.frames + 3)]
    dy = shared[at(frame + 7)] - shared[at(place.frames + 7)]
    dz = shared[at(frame + 11)] - shared[at(place.frames + 11)]
    fx, fy, fz = shared[at(w)], shared[at(w + 1)], shared[at(w + 2)]
    tx = shared[at(w + 3)] - (dy * fz - dz * fy)
    ty = shared[at(w + 4)] - (dz * fx - dx * fz)
    tz = shared[at(w + 5)] - (dx * fy - dy * fx)
    shared[at(place.gradient + 5 + s)] = ax * tx + ay * ty + az * tz
