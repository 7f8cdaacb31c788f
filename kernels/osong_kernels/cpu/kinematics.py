"""From genotypes to coordinates and from forces back to generalised gradients, lane by lane.

A genotype is (position 3, quaternion 4, torsions T); its gradient has 6 + T components: force,
torque about the root's pivot, and one number a torsion.
"""

from __future__ import annotations

from typing import Any

from osong_kernels.compile import inner
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.physics.ops import sine_cosine
from osong_kernels.physics.rotation import axis_matrix, matrix_from_quaternion

__all__ = ["place_atoms", "pull_back"]


@inner
def _store_frame(frames: Any, s: Any, x: Any, y: Any, z: Any, m: Any) -> None:
    store(frames, (s, 0), x)
    store(frames, (s, 1), y)
    store(frames, (s, 2), z)
    store(frames, (s, 3), m[0])
    store(frames, (s, 4), m[1])
    store(frames, (s, 5), m[2])
    store(frames, (s, 6), m[3])
    store(frames, (s, 7), m[4])
    store(frames, (s, 8), m[5])
    store(frames, (s, 9), m[6])
    store(frames, (s, 10), m[7])
    store(frames, (s, 11), m[8])


@inner
def _load_matrix(frames: Any, s: Any) -> Any:
    return (
        load(frames, (s, 3)), load(frames, (s, 4)), load(frames, (s, 5)),
        load(frames, (s, 6)), load(frames, (s, 7)), load(frames, (s, 8)),
        load(frames, (s, 9)), load(frames, (s, 10)), load(frames, (s, 11)),
    )  # fmt: skip


@inner
def _apply(m: Any, x: Any, y: Any, z: Any) -> Any:
    return (
        m[0] * x + m[1] * y + m[2] * z,
        m[3] * x + m[4] * y + m[5] * z,
        m[6] * x + m[7] * y + m[8] * z,
    )


@inner
def _multiply(a: Any, b: Any) -> Any:
    return (
        a[0] * b[0] + a[1] * b[3] + a[2] * b[6],
        a[0] * b[1] + a[1] * b[4] + a[2] * b[7],
        a[0] * b[2] + a[1] * b[5] + a[2] * b[8],
        a[3] * b[0] + a[4] * b[3] + a[5] * b[6],
        a[3] * b[1] + a[4] * b[4] + a[5] * b[7],
        a[3] * b[2] + a[4] * b[5] + a[5] * b[8],
        a[6] * b[0] + a[7] * b[3] + a[8] * b[6],
        a[6] * b[1] + a[7] * b[4] + a[8] * b[7],
        a[6] * b[2] + a[7] * b[5] + a[8] * b[8],
    )


@inner
def _place_frame(genotype: Any, parent: Any, axis: Any, offset: Any, frames: Any, s: Any) -> None:
    """Write pivot (3) and rotation matrix (9) of segment ``s``."""
    if s == 0:
        m = matrix_from_quaternion(
            load(genotype, (3,)), load(genotype, (4,)), load(genotype, (5,)), load(genotype, (6,))
        )
        _store_frame(frames, 0, load(genotype, (0,)), load(genotype, (1,)), load(genotype, (2,)), m)
        return
    p = parent[s]
    outer = _load_matrix(frames, p)
    x, y, z = _apply(outer, load(offset, (s, 0)), load(offset, (s, 1)), load(offset, (s, 2)))
    sine, cosine = sine_cosine(load(genotype, (6 + s,)))
    turn = axis_matrix(load(axis, (s, 0)), load(axis, (s, 1)), load(axis, (s, 2)), sine, cosine)
    _store_frame(
        frames,
        s,
        load(frames, (p, 0)) + x,
        load(frames, (p, 1)) + y,
        load(frames, (p, 2)) + z,
        _multiply(outer, turn),
    )


@inner
def place_atoms(
    genotype: Any, segment_start: Any, parent: Any, local: Any, axis: Any, offset: Any,
    frames: Any, coords: Any,
) -> None:  # fmt: skip
    """Fill ``frames`` (n_segments, 12, L) and ``coords`` (n_scored, 3, L)."""
    for s in range(len(parent)):
        _place_frame(genotype, parent, axis, offset, frames, s)
        m = _load_matrix(frames, s)
        px, py, pz = load(frames, (s, 0)), load(frames, (s, 1)), load(frames, (s, 2))
        for i in range(segment_start[s], segment_start[s + 1]):
            x, y, z = _apply(m, load(local, (i, 0)), load(local, (i, 1)), load(local, (i, 2)))
            store(coords, (i, 0), x + px)
            store(coords, (i, 1), y + py)
            store(coords, (i, 2), z + pz)


@inner
def _sum_segment(
    segment_start: Any, s: Any, frames: Any, coords: Any, forces: Any, wrench: Any
) -> None:
    """Write force (3) and torque about the pivot (3) of the atoms of one segment."""
    px, py, pz = load(frames, (s, 0)), load(frames, (s, 1)), load(frames, (s, 2))
    fx = px * 0.0
    fy, fz, tx, ty, tz = fx, fx, fx, fx, fx
    for i in range(segment_start[s], segment_start[s + 1]):
        gx, gy, gz = load(forces, (i, 0)), load(forces, (i, 1)), load(forces, (i, 2))
        dx = load(coords, (i, 0)) - px
        dy = load(coords, (i, 1)) - py
        dz = load(coords, (i, 2)) - pz
        fx, fy, fz = fx + gx, fy + gy, fz + gz
        tx = tx + (dy * gz - dz * gy)
        ty = ty + (dz * gx - dx * gz)
        tz = tz + (dx * gy - dy * gx)
    store(wrench, (s, 0), fx)
    store(wrench, (s, 1), fy)
    store(wrench, (s, 2), fz)
    store(wrench, (s, 3), tx)
    store(wrench, (s, 4), ty)
    store(wrench, (s, 5), tz)


@inner
def _hand_to_parent(frames: Any, axis: Any, wrench: Any, gradient: Any, s: Any, p: Any) -> None:
    """Write the torsion's gradient and add a segment's force and torque to its parent's."""
    fx, fy, fz = load(wrench, (s, 0)), load(wrench, (s, 1)), load(wrench, (s, 2))
    tx, ty, tz = load(wrench, (s, 3)), load(wrench, (s, 4)), load(wrench, (s, 5))
    m = _load_matrix(frames, s)
    # a rotation leaves its own axis where it is, so the child's matrix serves for the axis too
    ax, ay, az = _apply(m, load(axis, (s, 0)), load(axis, (s, 1)), load(axis, (s, 2)))
    store(gradient, (5 + s,), ax * tx + ay * ty + az * tz)
    dx = load(frames, (s, 0)) - load(frames, (p, 0))
    dy = load(frames, (s, 1)) - load(frames, (p, 1))
    dz = load(frames, (s, 2)) - load(frames, (p, 2))
    store(wrench, (p, 0), load(wrench, (p, 0)) + fx)
    store(wrench, (p, 1), load(wrench, (p, 1)) + fy)
    store(wrench, (p, 2), load(wrench, (p, 2)) + fz)
    store(wrench, (p, 3), load(wrench, (p, 3)) + tx + (dy * fz - dz * fy))
    store(wrench, (p, 4), load(wrench, (p, 4)) + ty + (dz * fx - dx * fz))
    store(wrench, (p, 5), load(wrench, (p, 5)) + tz + (dx * fy - dy * fx))


@inner
def pull_back(
    segment_start: Any, parent: Any, axis: Any, frames: Any, coords: Any, forces: Any,
    wrench: Any, gradient: Any,
) -> None:  # fmt: skip
    """Fill ``gradient`` (6 + T, L) from the energy's derivatives by coordinates, ``forces``."""
    n_segments = len(parent)
    for s in range(n_segments):
        _sum_segment(segment_start, s, frames, coords, forces, wrench)
    for s in range(n_segments - 1, 0, -1):
        _hand_to_parent(frames, axis, wrench, gradient, s, parent[s])
    for k in range(6):
        store(gradient, (k,), load(wrench, (0, k)))
