"""Receptor field on a lattice: tiles of 2 x 2 x 4 neighbouring points are the lanes.

A compact tile has 1.2 times as many atoms in reach as a single point; sixteen points in a row, as
the lanes stood before, 1.5 times, and filled the end of each row badly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from osong_kernels.compile import inner, kernel
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential)
from osong_kernels.cpu.gauss_pieces import (
    FAR_DEGREE,
    NEAR_DEGREE,
    PIECE_ANGSTROM,
    fit_pieces,
    n_pieces,
)
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES
from osong_kernels.cpu.near_atoms import FAR_AWAY, N_ROWS, TYPE, indices_near, keep_near, padded
from osong_kernels.physics.ops import select, square_root
from osong_kernels.physics.pair_terms import pair_terms

__all__ = ["build_maps"]

_NX, _NY, _NZ = 2, 2, 4  # a tile; _NX * _NY * _NZ = N_LANES
_BLOCK = 8  # points on an edge of a block of tiles
_MARGIN = 0.01  # angstrom: rounding never makes a list of atoms too short


class _Probes(NamedTuple):
    """The requested maps; those with the same radius make one group and share most terms."""

    group: Any  # (n_maps,) int64
    r0: Any  # (n_maps, n_types) float32, angstrom
    group_r0: Any  # (n_groups, n_types) float32, angstrom
    is_hydrophobic: Any  # (n_maps, n_types) float32
    is_hydrogen_bond: Any  # (n_maps, n_types) float32
    pieces: Any  # (n_types, n_groups, n_pieces, NEAR_DEGREE + 1) float32
    is_fitted: Any  # (n_types, n_groups) bool: whether the pieces are good
    half: Any  # angstrom: half of what one piece covers
    own_reach: Any  # (n_types,) angstrom: up to where maps of one radius may differ
    reach: Any  # (n_types, n_groups) angstrom: up to where low degrees are not enough


class _Tile(NamedTuple):
    """Memory for one tile: its atoms and the sums at its points."""

    low: Any  # (3,) float32, angstrom
    high: Any
    points: Any  # (3, L) float32, angstrom: from the first point
    near: Any  # indices of atoms
    distance: Any  # of each atom from the tile, angstrom
    shared: Any  # (n_groups, L) kcal/mol
    own: Any  # (n_maps, L) kcal/mol


@inner
def _group_maps(r0: Any) -> Any:
    """Return the group of each map, and the tables of the groups."""
    group = np.empty(len(r0), np.int64)
    first = np.empty(len(r0), np.int64)
    n_groups = 0
    for m in range(len(r0)):
        group[m] = n_groups
        for g in range(n_groups):
            if (r0[m] == r0[first[g]]).all():
                group[m] = g
        if group[m] == n_groups:
            first[n_groups] = m
            n_groups += 1
    return group, r0[first[:n_groups]]


@inner
def _make_probes(
    atom_type: Any, tables: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any,
    spacing: Any,
) -> Any:  # fmt: skip
    """Group the maps and fit the pieces of all types that the receptor has."""
    group, group_r0 = _group_maps(tables)
    n_groups, n_types = group_r0.shape
    # the tile's diagonal
    span = spacing * np.sqrt((_NX - 1.0) ** 2 + (_NY - 1.0) ** 2 + (_NZ - 1.0) ** 2)
    pieces = np.zeros((n_types, n_groups, n_pieces(weights.cutoff), NEAR_DEGREE + 1), np.float32)
    beyond_contact = max(weights.hydrophobic_bad, weights.hydrogen_bond_bad, 0.0)
    is_fitted = np.zeros((n_types, n_groups), np.bool_)
    reach = np.zeros((n_types, n_groups), np.float32)
    own_reach = np.zeros(n_types, np.float32)
    is_there = np.zeros(n_types, np.bool_)
    for t in atom_type:
        is_there[t] = True
    for t in range(n_types):
        for g in range(n_groups if is_there[t] else 0):
            r0 = float(group_r0[g, t])
            first_far = fit_pieces(r0, span, weights, pieces[t, g])
            is_fitted[t, g] = first_far >= 0
            own_reach[t] = max(own_reach[t], np.float32(r0 + beyond_contact))
            reach[t, g] = max(r0, first_far * PIECE_ANGSTROM) if is_fitted[t, g] else np.inf
    # rounding of the distances must not lead to a piece that needs the higher degree
    reach += np.float32(_MARGIN)
    half = np.float32(0.5 * (span + PIECE_ANGSTROM))
    return _Probes(
        group,
        tables,
        group_r0,
        is_hydrophobic,
        is_hydrogen_bond,
        pieces,
        is_fitted,
        half,
        own_reach,
        reach,
    )


@inner
def _differences(atoms: Any, a: Any, tile: Any) -> Any:
    """Return the squared distances of an atom from the points of the tile."""
    dx = load(tile.points, (0,)) - (atoms[0, a] - tile.low[0])
    dy = load(tile.points, (1,)) - (atoms[1, a] - tile.low[1])
    dz = load(tile.points, (2,)) - (atoms[2, a] - tile.low[2])
    return dx * dx + dy * dy + dz * dz


@inner
def _polynomial(u: Any, pieces: Any, t: Any, g: Any, piece: Any, degree: Any) -> Any:
    """Return a piece at ``u``."""
    value = u * pieces[t, g, piece, degree] + pieces[t, g, piece, degree - 1]
    for p in range(degree - 2, -1, -1):
        value = value * u + pieces[t, g, piece, np.uint64(p)]
    return value


@inner
def _add_atoms(atoms: Any, n_near: Any, probes: Any, weights: Any, tile: Any) -> None:
    """Add what the atoms of the tile give: polynomials, and the other terms where they reach.

    In the atoms' order, whatever other maps are built: a map has the same bytes in any company.
    """
    for i in range(n_near):
        a = np.uint64(tile.near[i])
        t = np.uint64(np.int64(atoms[TYPE, a]))
        distance = tile.distance[a]
        k = np.int64(distance * np.float32(1.0 / PIECE_ANGSTROM))
        piece = np.uint64(k)
        r = square_root(_differences(atoms, a, tile))
        is_inside = r < np.float32(weights.cutoff)
        u = r - (np.float32(k) * np.float32(PIECE_ANGSTROM) + probes.half)
        for g in range(len(probes.group_r0)):
            if distance < probes.reach[t, g]:
                energy = _close_energy(r, u, distance, t, g, piece, probes, weights)
            else:
                energy = _polynomial(u, probes.pieces, t, g, piece, FAR_DEGREE)
            store(tile.shared, (g,), load(tile.shared, (g,)) + select(is_inside, energy, 0.0))
        if distance < probes.own_reach[t]:
            _add_own(r, is_inside, distance, t, probes, weights, tile.own)


@inner
def _close_energy(
    r: Any, u: Any, distance: Any, t: Any, g: Any, piece: Any, probes: Any, weights: Any
) -> Any:
    """Return the Gaussian terms and the repulsion."""
    r0 = probes.group_r0[g, t]
    if probes.is_fitted[t, g]:
        energy = _polynomial(u, probes.pieces, t, g, piece, NEAR_DEGREE)
    else:  # on coarse lattices for instance
        gauss1, gauss2, _, _, _ = pair_terms(r, r0, 0.0, 0.0, weights)
        energy = gauss1 + gauss2
    if distance < r0:
        energy = energy + pair_terms(r, r0, 0.0, 0.0, weights)[2]
    return energy


@inner
def _add_own(
    r: Any, is_inside: Any, distance: Any, t: Any, probes: Any, weights: Any, own: Any
) -> None:
    """Add the terms that maps of one radius do not share: hydrophobic contact, hydrogen bond."""
    for m in range(len(own)):
        r0 = probes.r0[m, t]
        flags = probes.is_hydrophobic[m, t], probes.is_hydrogen_bond[m, t]
        if flags[0] != 0.0 and distance < r0 + np.float32(weights.hydrophobic_bad):
            energy = pair_terms(r, r0, flags[0], flags[1], weights)[3]
            store(own, (m,), load(own, (m,)) + select(is_inside, energy, 0.0))
        if flags[1] != 0.0 and distance < r0 + np.float32(weights.hydrogen_bond_bad):
            energy = pair_terms(r, r0, flags[0], flags[1], weights)[4]
            store(own, (m,), load(own, (m,)) + select(is_inside, energy, 0.0))


@inner
def _make_tile(n_atoms: Any, n_groups: Any, n_maps: Any, step: Any) -> Any:
    """Return memory for one tile with up to ``n_atoms`` atoms in reach."""
    points = np.empty((3, N_LANES), np.float32)
    for lane in range(N_LANES):
        points[0, lane] = step * np.float32(lane // (_NY * _NZ))
        points[1, lane] = step * np.float32(lane // _NZ % _NY)
        points[2, lane] = step * np.float32(lane % _NZ)
    return _Tile(
        np.empty(3, np.float32), np.empty(3, np.float32), points,
        np.empty(n_atoms, np.int32), np.empty(n_atoms, np.float32),
        np.empty((n_groups, N_LANES), np.float32), np.empty((n_maps, N_LANES), np.float32),
    )  # fmt: skip


@inner
def _listed(coords: Any, atom_type: Any, origin: Any) -> Any:
    """Return the list of all atoms, with coordinates from the origin."""
    atoms = np.zeros((N_ROWS, padded(len(coords))), np.float32)
    atoms[0] = FAR_AWAY
    for a in range(len(coords)):
        for k in range(3):
            atoms[k, a] = coords[a, k] - origin[k]
        atoms[TYPE, a] = atom_type[a]
    return atoms


@inner
def _span(tile: Any, step: Any, first: Any, n: Any) -> None:
    """Let ``low`` and ``high`` be the corners of n points an axis from ``first`` on."""
    for k in range(3):
        tile.low[k] = step * np.float32(first[k])
        tile.high[k] = step * np.float32(first[k] + n[k] - 1)


@inner
def _fill_tile(
    atoms: Any, n: Any, limit2: Any, probes: Any, weights: Any, tile: Any, block: Any, x: Any,
    y: Any, z: Any,
) -> None:  # fmt: skip
    """Write the energies of a tile to its place in ``block``."""
    n_near = indices_near(atoms, n, tile.low, tile.high, limit2, tile.near, tile.distance)
    tile.shared[:] = np.float32(0.0)
    tile.own[:] = np.float32(0.0)
    _add_atoms(atoms, n_near, probes, weights, tile)
    for m in range(len(tile.own)):
        for lane in range(N_LANES):
            block[m, x + lane // (_NY * _NZ), y + lane // _NZ % _NY, z + lane % _NZ] = (
                tile.shared[probes.group[m], lane] + tile.own[m, lane]
            )


@inner
def _fill_block(
    lists: Any, n: Any, step: Any, first: Any, end: Any, limit2: Any, probes: Any, weights: Any,
    tile: Any, block: Any,
) -> None:  # fmt: skip
    """Fill ``block`` for the points from ``first`` to ``end``, by groups of 2 x 2 x 2 tiles."""
    sizes = (2 * _NX, 2 * _NY, 2 * _NZ)
    for x in range(first[0], end[0], sizes[0]):
        for y in range(first[1], end[1], sizes[1]):
            for z in range(first[2], end[2], sizes[2]):
                _span(tile, step, (x, y, z), sizes)
                n_here = keep_near(lists[2], n, tile.low, tile.high, limit2, lists[3])
                for ix in range(x, min(x + sizes[0], end[0]), _NX):
                    for iy in range(y, min(y + sizes[1], end[1]), _NY):
                        for iz in range(z, min(z + sizes[2], end[2]), _NZ):
                            _span(tile, step, (ix, iy, iz), (_NX, _NY, _NZ))
                            _fill_tile(
                                lists[3], n_here, limit2, probes, weights, tile, block,
                                ix - first[0], iy - first[1], iz - first[2],
                            )  # fmt: skip


@kernel
def build_maps(
    coords: Any, atom_type: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, origin: Any, spacing: Any, first_x: Any, maps: Any,
) -> None:  # fmt: skip
    """Fill ``maps`` (n_maps, n_x, ny, nz) float32 in kcal/mol for x planes from ``first_x`` on.

    ``coords`` (n, 3) float32 in angstrom and ``atom_type`` (n,) int32 are the receptor's scored
    atoms; ``r0``, ``is_hydrophobic``, ``is_hydrogen_bond`` are (n_maps, n_types) float32;
    ``origin`` (3,) float32 and ``spacing`` in angstrom. Tiles stand at even planes of the whole
    lattice, so threads may share it by planes, at best by an even number, with the same result.
    """
    n_maps, n_x, ny, nz = maps.shape
    step = np.float32(spacing)
    limit2 = np.float32((weights.cutoff + _MARGIN) ** 2)
    probes = _make_probes(atom_type, r0, is_hydrophobic, is_hydrogen_bond, weights, spacing)
    atoms = _listed(coords, atom_type, origin)
    lists = np.empty((4, *atoms.shape), np.float32)
    tile = _make_tile(atoms.shape[1], len(probes.group_r0), n_maps, step)
    block = np.empty((n_maps, _BLOCK, _BLOCK, _BLOCK), np.float32)
    start_x, end_x = first_x // _NX * _NX, first_x + n_x
    for x in range(start_x, end_x, _BLOCK):
        _span(tile, step, (x, 0, 0), (_BLOCK, ny, nz))
        n_slab = keep_near(atoms, len(coords), tile.low, tile.high, limit2, lists[0])
        for y in range(0, ny, _BLOCK):
            _span(tile, step, (x, y, 0), (_BLOCK, _BLOCK, nz))
            n_column = keep_near(lists[0], n_slab, tile.low, tile.high, limit2, lists[1])
            for z in range(0, nz, _BLOCK):
                _span(tile, step, (x, y, z), (_BLOCK, _BLOCK, _BLOCK))
                n = keep_near(lists[1], n_column, tile.low, tile.high, limit2, lists[2])
                end = min(x + _BLOCK, end_x), min(y + _BLOCK, ny), min(z + _BLOCK, nz)
                _fill_block(
                    lists, n, step, (x, y, z), end, limit2, probes, weights, tile, block
                )  # fmt: skip
                from_x = max(x, first_x)
                maps[:, from_x - first_x : end[0] - first_x, y : end[1], z : end[2]] = block[
                    :, from_x - x : end[0] - x, : end[1] - y, : end[2] - z
                ]
