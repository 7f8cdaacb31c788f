"""From atom types, a segment tree and coordinates to the arrays of a `PackedLigand`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from osong.atom_types import UNSCORED
from osong.ligands.alignment import align_conformers, different_conformers
from osong.ligands.packed import PackedLigand
from osong.ligands.vina_neighbours import neighbours

if TYPE_CHECKING:
    from osong.ligands.torsions import SegmentTree

__all__ = ["MAX_ATOMS", "pack"]

MAX_ATOMS = 1000
"""Most atoms of a ligand, hydrogens included: far beyond what can be docked, and what keeps the
cubic parts of conformer generation within seconds."""


def pack(
    *,
    key: bytes,
    coords: npt.NDArray[np.float64],
    atom_type: npt.NDArray[np.int8],
    charge: npt.NDArray[np.float32],
    tree: SegmentTree,
    adjacency: npt.NDArray[np.int32],
    torsion_count: float,
    vina_rank: npt.NDArray[np.int64],
) -> PackedLigand:
    """Return the packed ligand: scored atoms first, each group ordered by segment.

    Parameters
    ----------
    key
        16 bytes.
    coords
        (n_conformers, n_atoms, 3) float64, angstrom, atoms in the order of the molecule.
    atom_type
        (n_atoms,) int8.
    charge
        (n_atoms,) float32, elementary charge.
    tree
        The segments.
    adjacency
        (n_atoms, n_atoms) int32, 1 where two atoms are bonded.
    torsion_count
        Vina's own.
    vina_rank
        (n_atoms,) int64, place of each atom in Vina's model; decides pairs at small rings.
    """
    is_hydrogen = atom_type == UNSCORED
    order = np.lexsort((np.arange(len(atom_type)), tree.segment, is_hydrogen))
    n_scored = int((~is_hydrogen).sum())
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    segment = tree.segment[order]
    axis_atoms = np.array(
        [(-1, -1) if i < 0 else (position[i], position[j]) for i, j in tree.axis_atoms],
        dtype=np.int16,
    )
    scored = order[:n_scored]
    bonded = adjacency[np.ix_(scored, scored)]
    rigid = extended_segments(segment[:n_scored], tree.parent, axis_atoms)
    parent = np.array(tree.parent, dtype=np.int16)
    fixed_to = extended_segments(segment, tree.parent, axis_atoms) > 0
    packed_coords = different_conformers(
        align_conformers(coords[:, order], fixed_to, parent, axis_atoms)
    )
    return PackedLigand(
        key=key,
        coords=np.ascontiguousarray(packed_coords, dtype=np.float32),
        atom_type=atom_type[order],
        charge=charge[order],
        segment=segment.astype(np.int16),
        parent=parent,
        axis_atoms=axis_atoms,
        pairs=_variable_pairs(neighbours(bonded, coords[0, scored], vina_rank[scored]), rigid),
        torsion_count=torsion_count,
        atom_index=order.astype(np.int16),
        n_scored=n_scored,
    )


def extended_segments(
    segment: npt.NDArray[np.int64], parent: tuple[int, ...], axis_atoms: npt.NDArray[np.int16]
) -> npt.NDArray[np.float32]:
    """Return (n_segments, n_atoms): 1 where an atom keeps its distance to all of a segment.

    These are the segment's own atoms and the far atoms of the bonds that it turns about: an atom
    on an axis does not move.
    """
    member = (np.arange(len(parent))[:, None] == segment[None, :]).astype(np.float32)
    for child in range(1, len(parent)):
        inner, outer = axis_atoms[child]
        member[child, inner] = 1.0
        member[parent[child], outer] = 1.0
    return member


def _variable_pairs(
    near: npt.NDArray[np.bool_], rigid: npt.NDArray[np.float32]
) -> npt.NDArray[np.int16]:
    """Return (n_pairs, 2): pairs that are no near neighbours, not within one extended segment."""
    fixed = (rigid.T @ rigid) > 0
    return np.argwhere(np.triu(~(near | fixed), k=1)).astype(np.int16)
