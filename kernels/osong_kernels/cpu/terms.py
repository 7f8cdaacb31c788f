"""Exact energies of a pose, atom by atom and term by term, in float64."""

from __future__ import annotations

import math
from typing import Any

from osong_kernels.compile import kernel
from osong_kernels.physics.pair_terms import pair_terms

__all__ = ["ligand_terms", "receptor_terms"]


@kernel
def receptor_terms(
    coords: Any, atom_type: Any, receptor_coords: Any, receptor_type: Any, r0: Any,
    is_hydrophobic: Any, is_hydrogen_bond: Any, weights: Any, terms: Any,
) -> None:  # fmt: skip
    """Fill ``terms`` (n, 5) float64, kcal/mol: what each ligand atom has from the receptor.

    ``coords`` (n, 3) and ``receptor_coords`` (m, 3) float64, angstrom; types int32; ``r0``,
    ``is_hydrophobic``, ``is_hydrogen_bond`` (n_types, n_types) float64.
    """
    terms[:] = 0.0
    cutoff2 = weights.cutoff * weights.cutoff
    for i in range(len(coords)):
        for j in range(len(receptor_coords)):
            dx = coords[i, 0] - receptor_coords[j, 0]
            dy = coords[i, 1] - receptor_coords[j, 1]
            dz = coords[i, 2] - receptor_coords[j, 2]
            r2 = dx * dx + dy * dy + dz * dz
            if r2 < cutoff2:
                a, b = atom_type[i], receptor_type[j]
                values = pair_terms(
                    math.sqrt(r2), r0[a, b], is_hydrophobic[a, b], is_hydrogen_bond[a, b], weights
                )
                for k in range(5):
                    terms[i, k] += values[k]


@kernel
def ligand_terms(
    coords: Any, atom_type: Any, pairs: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any,
    weights: Any, terms: Any,
) -> None:  # fmt: skip
    """Fill ``terms`` (n_pairs, 5) float64, kcal/mol: each of the ligand's own pairs.

    ``pairs`` (n_pairs, 2) int32; the rest as in ``receptor_terms``.
    """
    terms[:] = 0.0
    for p in range(len(pairs)):
        i, j = pairs[p, 0], pairs[p, 1]
        dx = coords[i, 0] - coords[j, 0]
        dy = coords[i, 1] - coords[j, 1]
        dz = coords[i, 2] - coords[j, 2]
        r = math.sqrt(dx * dx + dy * dy + dz * dz)
        if r < weights.cutoff:
            a, b = atom_type[i], atom_type[j]
            values = pair_terms(r, r0[a, b], is_hydrophobic[a, b], is_hydrogen_bond[a, b], weights)
            for k in range(5):
                terms[p, k] = values[k]
