"""More geometries of a ligand from the few that were embedded: their segments, put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from osong.ligands.packed import PackedLigand

__all__ = ["mix_conformers"]

Float64 = npt.NDArray[np.float64]


def mix_conformers(packed: PackedLigand, n_wanted: int) -> PackedLigand:
    """Return the ligand with more geometries appended, whose segments come from different ones.

    Inside a segment, and from it to the bonds that leave it, lengths and angles are those of the
    conformer that it is taken from; it is turned onto the bond that it hangs on. So a handful of
    embedded geometries stands for their many combinations, at no cost. Which segment comes from
    where depends on the ligand's key alone.

    Parameters
    ----------
    packed
        With conformers that are aligned, as packing leaves them.
    n_wanted
        Geometries to return; as many as there are where nothing can be mixed.
    """
    n_given, n_segments = packed.n_conformers, len(packed.parent)
    if n_given < 2 or n_segments < 2 or n_wanted <= n_given:
        return packed
    generator = np.random.default_rng(int.from_bytes(packed.key, "little"))
    source = generator.integers(0, n_given, (n_wanted - n_given, n_segments))
    mixed = _put_together(packed, source).astype(np.float32)
    return replace(packed, coords=np.concatenate([packed.coords, mixed]))


def _put_together(packed: PackedLigand, source: npt.NDArray[np.int64]) -> Float64:
    """Return (n, n_atoms, 3): segment s of the k-th from conformer ``source[k, s]``."""
    n, n_segments = source.shape
    coords = packed.coords.astype(np.float64)
    mixed = np.empty((n, *coords.shape[1:]))
    turn = np.tile(np.eye(3), (n, n_segments, 1, 1))
    for s in range(n_segments):
        atoms = np.flatnonzero(packed.segment == s)
        own = coords[source[:, s]]
        if s == 0:
            mixed[:, atoms] = own[:, atoms]
            continue
        p = int(packed.parent[s])
        near, far = packed.axis_atoms[s]
        above = coords[source[:, p]]
        bond = np.einsum("nij,nj->ni", turn[:, p], above[:, far] - above[:, near])
        as_it_was = np.einsum("nij,nj->ni", turn[:, p], own[:, far] - own[:, near])
        turn[:, s] = _shortest_turns(as_it_was, bond) @ turn[:, p]
        local = own[:, atoms] - own[:, far][:, None]
        place = mixed[:, near] + bond
        mixed[:, atoms] = np.einsum("nij,nmj->nmi", turn[:, s], local) + place[:, None]
    return mixed


def _shortest_turns(start: Float64, end: Float64) -> Float64:
    """Return the rotations (n, 3, 3) that bring directions (n, 3) onto others, by least turning."""
    a = start / np.linalg.norm(start, axis=1, keepdims=True)
    b = end / np.linalg.norm(end, axis=1, keepdims=True)
    cross = np.cross(a, b)
    skew = np.zeros((len(a), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -cross[:, 2], cross[:, 1], -cross[:, 0]
    skew -= skew.transpose(0, 2, 1)
    # Of aligned conformers the two directions of a bond are never opposite.
    cosine = (a * b).sum(axis=1)[:, None, None]
    return np.eye(3) + skew + skew @ skew / np.maximum(1.0 + cosine, 1e-6)
