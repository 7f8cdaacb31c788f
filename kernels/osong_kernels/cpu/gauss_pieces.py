"""The two Gaussian terms of a pair as polynomials of r, piece by piece.

A tile of lattice points sees an atom at distances from s to s + ``span``, a short interval: one
polynomial serves all of it, at a third of the work of two exponentials. Piece k is for
k <= s / PIECE_ANGSTROM < k + 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from osong_kernels.compile import inner
from osong_kernels.physics.pair_terms import pair_terms

__all__ = ["FAR_DEGREE", "NEAR_DEGREE", "PIECE_ANGSTROM", "fit_pieces", "n_pieces"]

PIECE_ANGSTROM = 0.125
NEAR_DEGREE = 12
"""Enough for Vina's narrow Gaussian (0.5 A) on a lattice of 0.375 A."""
FAR_DEGREE = 5
"""Enough for Vina's wide Gaussian (2 A), some 1.5 A beyond contact and farther."""

_TOLERANCE_KCAL = 3e-7
_N_NODES = 16


@inner
def n_pieces(cutoff: Any) -> Any:
    """Return the number of pieces up to the cutoff."""
    return math.ceil(cutoff / PIECE_ANGSTROM) + 1


@inner
def _chebyshev_matrices() -> Any:
    """Return values at nodes to Chebyshev coefficients, and those to powers of the variable."""
    n = NEAR_DEGREE + 2
    transform = np.empty((n, _N_NODES))
    for j in range(n):
        for i in range(_N_NODES):
            transform[j, i] = math.cos(j * math.pi * (i + 0.5) / _N_NODES) * 2.0 / _N_NODES
    transform[0] *= 0.5
    powers = np.zeros((n, n))
    powers[0, 0] = 1.0
    powers[1, 1] = 1.0
    for j in range(2, n):
        for p in range(n):
            powers[j, p] = (2.0 * powers[j - 1, p - 1] if p > 0 else 0.0) - powers[j - 2, p]
    return transform, powers


@inner
def fit_pieces(r0: Any, span: Any, weights: Any, pieces: Any) -> Any:
    """Fill ``pieces`` (n, NEAR_DEGREE + 1) with powers of r minus the middle of each piece.

    Returns the first of the pieces that are, with all that follow, of FAR_DEGREE only; -1 if the
    polynomials do not come within the tolerance: Gaussians too narrow for the span.
    """
    transform, powers = _chebyshev_matrices()
    half = 0.5 * (span + PIECE_ANGSTROM)
    values, series = np.empty(_N_NODES), np.empty(NEAR_DEGREE + 2)
    first_far = 0
    for k in range(len(pieces)):
        middle = k * PIECE_ANGSTROM + half
        for i in range(_N_NODES):
            r = middle + half * math.cos(math.pi * (i + 0.5) / _N_NODES)
            gauss1, gauss2, _, _, _ = pair_terms(r, r0, 0.0, 0.0, weights)
            values[i] = gauss1 + gauss2
        degree = FAR_DEGREE
        for j in range(NEAR_DEGREE + 2):
            series[j] = (transform[j] * values).sum()
            if j > FAR_DEGREE and abs(series[j]) > _TOLERANCE_KCAL:
                degree = j
        if degree > NEAR_DEGREE:
            return -1
        if degree > FAR_DEGREE:
            degree = NEAR_DEGREE
            first_far = k + 1
        scale = 1.0
        for p in range(NEAR_DEGREE + 1):
            pieces[k, p] = (series[: degree + 1] * powers[: degree + 1, p]).sum() * scale
            scale /= half
    return first_far
