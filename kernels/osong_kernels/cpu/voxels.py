"""Atom densities on a lattice around each pose: the lanes are sixteen points of a row.

A channel is filled after the other, so that it stays in the second-level cache while its atoms are
added. The Gaussian is a product of three, one an axis: sixteen values along the row are made once
an atom, and a row takes a square root but no exponential.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from osong_kernels.compile import inner, kernel
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential)
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES, lane_numbers
from osong_kernels.physics.atom_density import REACH, gaussian, tail
from osong_kernels.physics.ops import select, square_root
from osong_kernels.physics.rotation import matrix_from_quaternion

__all__ = ["voxelise"]

_RADIUS = 3  # row of a list of atoms, after the coordinates
_FAR2 = np.float32(1e6)  # square angstrom, farther than any atom reaches


@inner
def _list_near(
    coords: Any, channel: Any, radius: Any, first: Any, last: Any, center: Any, turn: Any,
    half: Any, n: Any, atoms: Any, kind: Any, count: Any,
) -> Any:  # fmt: skip
    """Append the atoms that reach into the lattice, turned about its middle; return their number.

    ``count[c + 1]`` grows by the atoms of channel c.
    """
    n_channels = len(count) - 1
    for a in range(first, last):
        c = channel[a]
        reach = half + np.float32(REACH) * radius[a]
        x, y, z = coords[a, 0] - center[0], coords[a, 1] - center[1], coords[a, 2] - center[2]
        if c < 0 or c >= n_channels or x * x + y * y + z * z > np.float32(3.0) * reach * reach:
            continue
        u = turn[0] * x + turn[1] * y + turn[2] * z
        v = turn[3] * x + turn[4] * y + turn[5] * z
        w = turn[6] * x + turn[7] * y + turn[8] * z
        if abs(u) < reach and abs(v) < reach and abs(w) < reach:
            atoms[0, n], atoms[1, n], atoms[2, n] = u, v, w
            atoms[_RADIUS, n] = radius[a]
            kind[n] = c
            count[c + 1] += 1
            n += 1
    return n


@inner
def _sort_by_channel(kind: Any, n: Any, count: Any, order: Any) -> None:
    """Make ``count`` the first place of each channel in ``order``; atoms keep their order."""
    for c in range(1, len(count)):
        count[c] += count[c - 1]
    for i in range(n):
        order[count[kind[i]]] = i
        count[kind[i]] += 1
    for c in range(len(count) - 1, 0, -1):
        count[c] = count[c - 1]
    count[0] = 0


@inner
def _indices_in_reach(place: Any, reach: Any, half: Any, spacing: Any, n: Any) -> Any:
    """Return the first point of an axis in reach, and the one behind the last."""
    first = math.ceil((place - reach + half) / spacing)
    last = math.floor((place + reach + half) / spacing)
    return max(np.int64(first), 0), min(np.int64(last), n - 1) + 1


@inner
def _fill_axis(
    place: Any, first: Any, end: Any, inverse: Any, half: Any, spacing: Any, axis: Any
) -> None:
    """Write squared distances along an axis to ``axis[0]`` and factors of the Gaussian behind."""
    for k in range(0, end - first, N_LANES):
        d = (lane_numbers() + np.float32(first + k)) * spacing - (half + place)
        store(axis[0, k:], (), d * d)
        store(axis[1, k:], (), gaussian(d * d, inverse))


@inner
def _add_atom(atoms: Any, a: Any, half: Any, spacing: Any, n: Any, axes: Any, grid: Any) -> None:
    """Add an atom to the rows of a channel."""
    x, y, z, radius = atoms[0, a], atoms[1, a], atoms[2, a], atoms[_RADIUS, a]
    reach = np.float32(REACH) * radius
    inverse = np.float32(1.0) / radius
    core2, reach2 = radius * radius, reach * reach
    x_first, x_end = _indices_in_reach(x, reach, half, spacing, n)
    y_first, y_end = _indices_in_reach(y, reach, half, spacing, n)
    z_first, z_end = _indices_in_reach(z, reach, half, spacing, n)
    _fill_axis(x, x_first, x_end, inverse, half, spacing, axes[0])
    _fill_axis(y, y_first, y_end, inverse, half, spacing, axes[1])
    for k in range(z_first, z_end, N_LANES):
        start = min(k, grid.shape[2] - N_LANES)  # lanes before k belong to the vector before
        d = (lane_numbers() + np.float32(start)) * spacing - (half + z)
        z2 = select(lane_numbers() < np.float32(k - start), _FAR2, d * d)
        z_factor = gaussian(z2, inverse)
        for i in range(x_first, x_end):
            x2, x_factor = axes[0, 0, i - x_first], axes[0, 1, i - x_first]
            for j in range(y_first, y_end):
                xy2 = x2 + axes[1, 0, j - y_first]
                if xy2 < reach2:
                    place = np.uintp(i), np.uintp(j), np.uintp(start)
                    d2 = z2 + xy2
                    inside = z_factor * (x_factor * axes[1, 1, j - y_first])
                    density = select(d2 < core2, inside, tail(square_root(d2), inverse))
                    row = grid[place[0], place[1], place[2] :]
                    store(row, (), load(row, ()) + density)


@kernel
def voxelise(
    receptor_coords: Any, receptor_channel: Any, receptor_radius: Any, coords: Any, channel: Any,
    radius: Any, pose_start: Any, centers: Any, rotations: Any, spacing: Any, grids: Any,
) -> None:  # fmt: skip
    """Fill ``grids`` (n_poses, n_channels, n, n, n) float32 with the densities of atoms.

    ``receptor_coords`` (n_receptor, 3) and ``coords`` (n_atoms, 3) float32 in angstrom; radii
    float32 in angstrom, above zero; channels int32, atoms of others than the grids have are left
    out. The atoms of pose p are ``pose_start[p]:pose_start[p + 1]``, int64. Point (i, j, k) of a
    lattice lies ``spacing`` * (i, j, k) angstrom from its lowest corner; its middle is the pose's
    place of ``centers`` (n_poses, 3) float32, angstrom, about which all atoms are turned by
    ``rotations`` (n_poses, 4) float32, unit quaternions. A value is the sum over the receptor's
    atoms and then the pose's, in their order: it depends on no other pose or channel.
    """
    n_poses, n_channels, n = grids.shape[:3]
    step = np.float32(spacing)
    half = np.float32(0.5) * step * np.float32(n - 1)
    most = 0
    for p in range(n_poses):
        most = max(most, pose_start[p + 1] - pose_start[p])
    capacity = len(receptor_coords) + most
    atoms = np.empty((4, capacity), np.float32)
    kind, order = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    count = np.empty(n_channels + 1, np.int64)
    axes = np.empty((2, 2, n + N_LANES), np.float32)
    short = np.empty((n, n, N_LANES) if n < N_LANES else (0, 0, N_LANES), np.float32)
    for p in range(n_poses):
        count[:] = 0
        turn = matrix_from_quaternion(
            rotations[p, 0], rotations[p, 1], rotations[p, 2], rotations[p, 3]
        )
        n_near = _list_near(
            receptor_coords, receptor_channel, receptor_radius, 0, len(receptor_coords),
            centers[p], turn, half, 0, atoms, kind, count,
        )  # fmt: skip
        n_near = _list_near(
            coords, channel, radius, pose_start[p], pose_start[p + 1],
            centers[p], turn, half, n_near, atoms, kind, count,
        )  # fmt: skip
        _sort_by_channel(kind, n_near, count, order)
        for c in range(n_channels):
            rows = grids[p, c] if n >= N_LANES else short
            rows[:] = np.float32(0.0)
            for i in range(count[c], count[c + 1]):
                _add_atom(atoms, order[i], half, step, n, axes, rows)
            if n < N_LANES:
                grids[p, c] = short[:, :, :n]
