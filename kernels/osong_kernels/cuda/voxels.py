"""Atom densities on a lattice around each pose: a block is a tile of points of one pose.

The block turns the atoms and lists those in reach of its tile in shared memory, in their order;
each thread has a point and adds them up. Atoms come channel by channel, so a thread sums in a
register and writes each value once; nothing is shared between threads but the list.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import cuda, types

from osong_kernels.cuda.blocks import MAX_WARPS, block_place
from osong_kernels.cuda.compile import (
    IS_SIMULATED,
    Offline,
    device,
    device_formula,
    kernel,
)
from osong_kernels.cuda.memory import load_four
from osong_kernels.cuda.shared import load_shared, store_shared
from osong_kernels.cuda.tiles import LISTED_AT_ONCE, outside, shared_list
from osong_kernels.cuda.warp import LANES, at, block_sync, thread_index, wide
from osong_kernels.physics.atom_density import REACH
from osong_kernels.physics.atom_density import atom_density as _atom_density
from osong_kernels.physics.rotation import matrix_from_quaternion as _matrix_from_quaternion

__all__ = ["OFFLINE", "voxelise", "voxels_on_device"]

# Points on the edges of a tile. Eight in a row fill the 32 bytes that memory is written by.
_NX, _NY, _NZ = (2, 2, LANES // 4) if IS_SIMULATED else (4, 8, 8)
_THREADS: Final = _NX * _NY * _NZ
_REACH: Final = np.float32(REACH)
_HALF: Final = np.float32(0.5)
_MARGIN: Final = np.float32(0.001)  # angstrom: rounding never leaves out an atom
_ZERO: Final = np.float32(0.0)
_NONE: Final = np.int32(-1)

atom_density = device_formula(_atom_density)
matrix_from_quaternion = device_formula(_matrix_from_quaternion)


@device
def _write(grids: Any, first: Any, stride: Any, kind: Any, n_written: Any, total: Any) -> Any:
    """Write a channel's sum at a point, and zero to those passed over; return how many there are.

    A channel that came before grows: the pose's atoms may share one with the receptor's.
    """
    if kind < n_written:
        if kind >= 0:
            grids[first + wide(kind) * stride] += total
        return n_written
    for c in range(n_written, kind):
        grids[first + wide(c) * stride] = _ZERO
    grids[first + wide(kind) * stride] = total
    return np.int32(kind + 1)


@device
def _add_listed(
    listed: Any, kinds: Any, n_listed: Any, x: Any, y: Any, z: Any, grids: Any, first: Any,
    stride: Any, kind: Any, total: Any, n_written: Any,
) -> Any:  # fmt: skip
    """Add the listed atoms at a point.

    ``kind``, its sum so far and the number of channels written go from one list to the next.
    """
    for i in range(n_listed):
        atom_x, atom_y, atom_z, radius = load_shared(listed, np.int32(4 * i))
        its_kind = kinds[at(i)]
        if its_kind != kind:
            n_written = _write(grids, first, stride, kind, n_written, total)
            kind, total = its_kind, _ZERO
        dx, dy, dz = x - atom_x, y - atom_y, z - atom_z
        d2 = dx * dx + dy * dy + dz * dz
        if d2 < _REACH * _REACH * radius * radius:
            total += atom_density(d2, radius)
    return kind, total, n_written


@kernel
def _fill_tiles(
    receptor: Any, receptor_kind: Any, ligands: Any, ligand_kind: Any, pose_start: Any, frames: Any,
    n_tiles_y: Any, step: Any, n_channels: Any, n: Any, grids: Any,
) -> None:  # fmt: skip
    """Fill a tile of all channels of a pose's ``grids``, n points on each edge.

    ``receptor`` and ``ligands``: four numbers an atom, place and radius, ordered by channel (those
    of ``ligands`` within their pose). ``frames``: eight numbers a pose, its quaternion and centre.
    """
    listed = shared_list()
    kinds = cuda.shared.array(LISTED_AT_ONCE, types.int32)
    counts = cuda.shared.array(MAX_WARPS, types.int32)
    thread = thread_index()
    pose = np.int32(cuda.blockIdx.z)
    column = np.uint32(cuda.blockIdx.y)
    tile_x = np.int32(column // np.uint32(n_tiles_y)) * np.int32(_NX)
    tile_y = np.int32(column % np.uint32(n_tiles_y)) * np.int32(_NY)
    tile_z = np.int32(cuda.blockIdx.x * _NZ)
    ix = np.int32(tile_x + thread // (_NY * _NZ))
    iy = np.int32(tile_y + thread // _NZ % _NY)
    iz = np.int32(tile_z + thread % _NZ)
    is_inside = ix < n and iy < n and iz < n
    edge = wide(n)
    stride = edge * edge * edge
    first = wide(pose) * wide(n_channels) * stride + (wide(ix) * edge + wide(iy)) * edge + wide(iz)
    half = _HALF * step * np.float32(n - 1)
    low_x = step * np.float32(tile_x) - half
    low_y = step * np.float32(tile_y) - half
    low_z = step * np.float32(tile_z) - half
    x = step * np.float32(ix) - half
    y = step * np.float32(iy) - half
    z = step * np.float32(iz) - half
    qw, qx, qy, qz = load_four(frames, np.int32(8 * pose))
    center_x, center_y, center_z, _ = load_four(frames, np.int32(8 * pose + 4))
    turn = matrix_from_quaternion(qw, qx, qy, qz)
    kind, total, n_written = _NONE, _ZERO, np.int32(0)
    n_listed = np.int32(0)
    n_receptor = np.int32(len(receptor_kind))
    first_own = pose_start[at(pose)]
    n_atoms = n_receptor + pose_start[at(pose + 1)] - first_own
    for start in range(np.int32(0), n_atoms, np.int32(_THREADS)):
        a = start + thread
        is_near = False
        its_kind = _NONE
        u, v, w, radius = _ZERO, _ZERO, _ZERO, _ZERO
        if a < n_atoms:
            if a < n_receptor:
                atom_x, atom_y, atom_z, radius = load_four(receptor, np.int32(4 * a))
                its_kind = receptor_kind[at(a)]
            else:
                own = np.int32(first_own + a - n_receptor)
                atom_x, atom_y, atom_z, radius = load_four(ligands, np.int32(4 * own))
                its_kind = ligand_kind[at(own)]
            dx, dy, dz = atom_x - center_x, atom_y - center_y, atom_z - center_z
            u = turn[0] * dx + turn[1] * dy + turn[2] * dz
            v = turn[3] * dx + turn[4] * dy + turn[5] * dz
            w = turn[6] * dx + turn[7] * dy + turn[8] * dz
            dx = outside(u, low_x, step * np.float32(_NX - 1))
            dy = outside(v, low_y, step * np.float32(_NY - 1))
            dz = outside(w, low_z, step * np.float32(_NZ - 1))
            reach = _REACH * radius + _MARGIN
            is_near = dx * dx + dy * dy + dz * dz < reach * reach
        place, n_near = block_place(is_near, counts)
        if n_listed + n_near > LISTED_AT_ONCE:
            if is_inside:
                kind, total, n_written = _add_listed(
                    listed, kinds, n_listed, x, y, z, grids, first, stride, kind, total,
                    n_written,
                )  # fmt: skip
            block_sync()
            n_listed = np.int32(0)
        if is_near:
            store_shared(listed, np.int32(4 * (n_listed + place)), u, v, w, radius)
            kinds[at(n_listed + place)] = its_kind
        n_listed += n_near
    block_sync()
    if is_inside:
        kind, total, n_written = _add_listed(
            listed, kinds, n_listed, x, y, z, grids, first, stride, kind, total, n_written
        )  # fmt: skip
        n_written = _write(grids, first, stride, kind, n_written, total)
        for c in range(n_written, n_channels):
            grids[first + wide(c) * stride] = _ZERO


def _by_channel(
    coords: npt.NDArray[np.float32],
    radius: npt.NDArray[np.float32],
    channel: npt.NDArray[np.int32],
    pose: npt.NDArray[np.int64],
    n_channels: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the atoms with a channel, by pose and channel: four numbers each, channel, pose."""
    kept = np.flatnonzero((channel >= 0) & (channel < n_channels))
    kept = kept[np.lexsort((channel[kept], pose[kept]))]
    packed = np.zeros((max(1, len(kept)), 4), np.float32)
    packed[: len(kept), :3], packed[: len(kept), 3] = coords[kept], radius[kept]
    return packed.reshape(-1), channel[kept].astype(np.int32), pose[kept]


def voxels_on_device(
    receptor_coords: Any, receptor_channel: Any, receptor_radius: Any, coords: Any, channel: Any,
    radius: Any, pose_start: Any, centers: Any, rotations: Any, spacing: Any,
    grids: Any,
) -> None:  # fmt: skip
    """Fill ``grids`` (n_poses, n_channels, n, n, n) float32, which lie on the device.

    The other arguments as in ``cpu.voxels``, on the host; no dimension of ``grids`` is zero.
    """
    n_poses, n_channels, n = grids.shape[:3]
    receptor, receptor_kind, _ = _by_channel(
        receptor_coords, receptor_radius, receptor_channel,
        np.zeros(len(receptor_coords), np.int64), n_channels,
    )  # fmt: skip
    pose = np.repeat(np.arange(n_poses), np.diff(pose_start))
    own = slice(int(pose_start[0]), int(pose_start[-1]))
    ligands, ligand_kind, pose = _by_channel(
        coords[own], radius[own], channel[own], pose, n_channels
    )
    frames = np.zeros((n_poses, 8), np.float32)
    frames[:, :4], frames[:, 4:7] = rotations, centers
    n_tiles = -(-n // _NX), -(-n // _NY), -(-n // _NZ)
    _fill_tiles[(n_tiles[2], n_tiles[0] * n_tiles[1], n_poses), _THREADS](
        cuda.to_device(receptor),
        cuda.to_device(receptor_kind),
        cuda.to_device(ligands),
        cuda.to_device(ligand_kind),
        cuda.to_device(np.searchsorted(pose, np.arange(n_poses + 1)).astype(np.int32)),
        cuda.to_device(frames.reshape(-1)),
        np.int32(n_tiles[1]),
        np.float32(spacing),
        np.int32(n_channels),
        np.int32(n),
        grids.reshape(-1),
    )


def voxelise(
    receptor_coords: Any, receptor_channel: Any, receptor_radius: Any, coords: Any, channel: Any,
    radius: Any, pose_start: Any, centers: Any, rotations: Any, spacing: Any, grids: Any,
) -> None:  # fmt: skip
    """Fill the grids; see ``cpu.voxels``."""
    if grids.size == 0:
        return
    on_device = cuda.device_array(grids.shape, np.float32)
    voxels_on_device(
        receptor_coords, receptor_channel, receptor_radius, coords, channel, radius, pose_start,
        centers, rotations, spacing, on_device,
    )  # fmt: skip
    on_device.copy_to_host(grids)


_FLAT: Final = types.float32[::1]
_KINDS: Final = types.int32[::1]

OFFLINE: Final = (
    Offline(
        "voxelise",
        _fill_tiles,
        (
            _FLAT,
            _KINDS,
            _FLAT,
            _KINDS,
            _KINDS,
            _FLAT,
            types.int32,
            types.float32,
            types.int32,
            types.int32,
            _FLAT,
        ),
        _THREADS,
        n_wide_loads=4,
    ),
)
