"""From a `PackedLigand` to the bundles of arrays that kernels take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from osong.atom_types import ATOM_TYPES
from osong.errors import InputError
from osong.ligands.packed import PackedLigand
from osong.scoring.functions import ScoringFunction
from osong_kernels.arguments import LigandTopology, PairList

__all__ = ["KernelLigand", "first_metric", "segment_pivots"]

_STIFFEST = 1.0
"""square angstrom; keeps the metric finite where a torsion moves atoms on its own axis alone."""


@dataclass(frozen=True)
class KernelLigand:
    """A ligand in kernel order: scored atoms sorted by segment.

    Attributes
    ----------
    topology, pairs
        What the kernels take.
    order
        (n_scored,) int64: packed index of each atom in kernel order.
    atom_type
        (n_scored,) int32: type of each atom in kernel order.
    pivots
        (n_conformers, n_segments, 3) float64, angstrom: pivots in the reference geometry; the
        root's is the mean of its scored atoms, that of the others the far atom of their bond.
    """

    topology: LigandTopology
    pairs: PairList
    order: npt.NDArray[np.int64]
    atom_type: npt.NDArray[np.int32]
    pivots: npt.NDArray[np.float64]

    @classmethod
    def from_packed(
        cls, packed: PackedLigand, scoring: ScoringFunction, map_of_type: npt.NDArray[np.int32]
    ) -> KernelLigand:
        """Sort atoms by segment and split coordinates into local ones.

        Raises
        ------
        InputError
            If an index leads out of its array, as in a damaged prepared library: kernels check
            none.
        """
        if not _is_sound(packed):
            raise InputError(
                "the arrays of this prepared ligand do not belong together, so it is damaged: "
                "prepare it anew"
            )
        n = packed.n_scored
        order = np.argsort(packed.segment[:n], kind="stable")
        atom_type = packed.atom_type[order].astype(np.int32)
        axis, pivots, offset = _segment_geometry(packed)
        segment = packed.segment[order].astype(np.int64)
        coords = packed.coords[:, order].astype(np.float64)
        local = coords - pivots[:, segment]
        starts = np.searchsorted(segment, np.arange(len(packed.parent) + 1))
        topology = LigandTopology(
            segment_start=starts.astype(np.int32),
            parent=packed.parent.astype(np.int32),
            local=np.ascontiguousarray(local, np.float32),
            axis=np.ascontiguousarray(axis, np.float32),
            offset=np.ascontiguousarray(offset, np.float32),
            map_index=map_of_type[atom_type].astype(np.int32),
            metric=first_metric(coords[0], segment, packed.parent, pivots[0], axis[0]),
        )
        pairs = _pair_list(packed.pairs, order, atom_type, scoring)
        return cls(topology, pairs, order, atom_type, pivots)


def first_metric(
    coords: npt.NDArray[np.float64],
    segment: npt.NDArray[np.int64],
    parent: npt.NDArray[np.integer],
    pivots: npt.NDArray[np.float64],
    axis: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Return ``LigandTopology.metric`` from a reference geometry.

    If every atom sat in a well of the same stiffness, the curvature along a degree of freedom would
    be the sum over the atoms that it moves of their squared lever arms; its inverse, relative to a
    translation, would be the right first step. Its square root is taken: between powers of 0.3 and
    1 searches did not differ, with none at all they took twice as long.

    Parameters
    ----------
    coords
        (n_scored, 3), angstrom, in kernel order.
    segment
        (n_scored,) segment of each atom.
    parent
        (n_segments,).
    pivots, axis
        (n_segments, 3).
    """
    n, n_segments = len(coords), len(parent)
    moment = np.full(5 + n_segments, float(n))
    moment[3:6] = _STIFFEST + 2.0 / 3.0 * ((coords - pivots[0]) ** 2).sum()
    for s in range(1, n_segments):
        moves = np.zeros(n_segments, bool)
        moves[s] = True
        for child in range(s + 1, n_segments):
            moves[child] = moves[parent[child]]
        arms = np.cross(coords[moves[segment]] - pivots[s], axis[s])
        moment[5 + s] = _STIFFEST + (arms**2).sum()
    return np.sqrt(n / moment).astype(np.float32)


def _is_sound(packed: PackedLigand) -> bool:
    """Return whether every index of a ligand's arrays leads to something, at a finite place."""
    n, n_segments = packed.n_atoms, len(packed.parent)
    types = packed.atom_type[: max(packed.n_scored, 0)]
    return (
        0 < packed.n_scored <= n
        and bool(np.isfinite(packed.coords).all())
        and packed.coords.shape[1:] == (n, 3)
        and len(packed.coords) > 0
        and len(packed.segment) == n
        and len(packed.axis_atoms) == n_segments > 0
        and _is_within(types, len(ATOM_TYPES))
        and _is_within(packed.segment, n_segments)
        and bool((packed.parent[1:] < np.arange(1, n_segments)).all())
        and _is_within(packed.parent[1:], n_segments)
        and _is_within(packed.axis_atoms[1:], n)
        and _is_within(packed.pairs, packed.n_scored)
    )


def _is_within(index: npt.NDArray[np.integer], end: int) -> bool:
    return bool(((index >= 0) & (index < end)).all())


def segment_pivots(packed: PackedLigand) -> npt.NDArray[np.float64]:
    """Return `KernelLigand.pivots` of a ligand."""
    return _segment_geometry(packed)[1]


def _segment_geometry(
    packed: PackedLigand,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return axis, pivot and pivot minus parent's pivot, each (n_conformers, n_segments, 3)."""
    coords = packed.coords.astype(np.float64)
    pivots = np.zeros((packed.n_conformers, len(packed.parent), 3))
    axis = np.zeros_like(pivots)
    offset = np.zeros_like(pivots)
    axis[:, 0, 2] = 1.0
    in_root = np.flatnonzero(packed.segment[: packed.n_scored] == 0)
    pivots[:, 0] = coords[:, in_root].mean(axis=1)
    for s in range(1, len(packed.parent)):
        near, far = packed.axis_atoms[s]
        pivots[:, s] = coords[:, far]
        bond = coords[:, far] - coords[:, near]
        axis[:, s] = bond / np.linalg.norm(bond, axis=1, keepdims=True)
        offset[:, s] = pivots[:, s] - pivots[:, packed.parent[s]]
    return axis, pivots, offset


def _pair_list(
    pairs: npt.NDArray[np.int16],
    order: npt.NDArray[np.int64],
    atom_type: npt.NDArray[np.int32],
    scoring: ScoringFunction,
) -> PairList:
    """Return the pairs in kernel order, grouped by their first atom."""
    n = len(order)
    position = np.empty(n, np.int64)
    position[order] = np.arange(n)
    moved = np.sort(position[pairs.astype(np.int64).reshape(-1, 2)], axis=1)
    moved = moved[np.lexsort((moved[:, 1], moved[:, 0]))]
    first, second = moved[:, 0], moved[:, 1]
    types = atom_type[first], atom_type[second]
    return PairList(
        start=np.searchsorted(first, np.arange(n + 1)).astype(np.int32),
        second=second.astype(np.int32),
        r0=scoring.r0[types],
        is_hydrophobic=scoring.is_hydrophobic[types],
        is_hydrogen_bond=scoring.is_hydrogen_bond[types],
    )
