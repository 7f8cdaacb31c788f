"""Exact energies of a pose, atom by atom and term by term: the definition, in plain loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from osong_kernels.physics.pair_terms import PairWeights, pair_terms

__all__ = ["ligand_terms", "receptor_terms"]

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]


def receptor_terms(
    coords: Float64,
    atom_type: Int32,
    receptor_coords: Float64,
    receptor_type: Int32,
    r0: Float64,
    is_hydrophobic: Float64,
    is_hydrogen_bond: Float64,
    weights: PairWeights,
    terms: Float64,
) -> None:
    """Fill what each ligand atom has from the receptor, (n, 5); see ``cpu.terms``."""
    terms[:] = 0.0
    for i, a in enumerate(atom_type):
        for j, b in enumerate(receptor_type):
            r = float(np.linalg.norm(coords[i] - receptor_coords[j]))
            if r < weights.cutoff:
                terms[i] += pair_terms(
                    r,
                    float(r0[a, b]),
                    float(is_hydrophobic[a, b]),
                    float(is_hydrogen_bond[a, b]),
                    weights,
                )


def ligand_terms(
    coords: Float64,
    atom_type: Int32,
    pairs: Int32,
    r0: Float64,
    is_hydrophobic: Float64,
    is_hydrogen_bond: Float64,
    weights: PairWeights,
    terms: Float64,
) -> None:
    """Fill each of the ligand's own pairs, (n_pairs, 5); see ``cpu.terms``."""
    terms[:] = 0.0
    for p, (i, j) in enumerate(pairs):
        r = float(np.linalg.norm(coords[i] - coords[j]))
        a, b = atom_type[i], atom_type[j]
        if r < weights.cutoff:
            terms[p] = pair_terms(
                r,
                float(r0[a, b]),
                float(is_hydrophobic[a, b]),
                float(is_hydrogen_bond[a, b]),
                weights,
            )
