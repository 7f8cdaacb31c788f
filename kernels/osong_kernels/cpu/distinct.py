"""Picking poses that differ."""

from __future__ import annotations

from typing import Any

from osong_kernels.compile import inner, kernel

__all__ = ["pick_distinct"]


@inner
def _closer_than(a: Any, b: Any, limit2: Any) -> Any:
    """Return whether the mean squared distance of two poses (n, 3) is below ``limit2``."""
    total = 0.0
    for i in range(a.shape[0]):
        for k in range(3):
            d = float(a[i, k]) - float(b[i, k])
            total += d * d
    return total < limit2 * a.shape[0]


@kernel
def pick_distinct(coords: Any, order: Any, min_rmsd: Any, chosen: Any) -> Any:
    """Fill ``chosen`` with poses, taken in ``order``, that are ``min_rmsd`` from all before them.

    ``coords`` (n_poses, n_atoms, 3) float32 and ``min_rmsd`` in angstrom; ``order`` (n_ordered,)
    int64; ``chosen`` (n_wanted,) int64, of which the first so many entries are set as the
    returned count says. Atoms are compared one to one, without superposition.
    """
    n_chosen = 0
    for pose in order:
        if n_chosen == len(chosen):
            break
        is_new = True
        for k in range(n_chosen):
            if _closer_than(coords[pose], coords[chosen[k]], min_rmsd * min_rmsd):
                is_new = False
                break
        if is_new:
            chosen[n_chosen] = pose
            n_chosen += 1
    return n_chosen
