"""The pair terms as piecewise cubics of the surface distance: what chains search with.

With d = r - r0 the energy of a pair, its cap included, depends on d and on two roles alone, so
four short rows of cubics hold it for every pair of a scoring function. Knots lie at both ends of
the hydrogen bond's ramp, the one steep kink; that of the hydrophobic ramp is rounded. Why, and
how far it is from the formula: ``docs/adr/0009-pair-table.md``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from osong_kernels.arguments import PairTable
from osong_kernels.compile import formula
from osong_kernels.physics.ops import (
    inverse_square_root,
    look_up,
    maximum,
    minimum,
    select,
    to_float,
    truncate,
)
from osong_kernels.physics.pair_terms import PairWeights, cap, pair_energy

__all__ = ["N_SEGMENTS", "table_energy", "tabulate_pairs"]

N_SEGMENTS: Final = 32
"""As many as one vector permutation can choose from two registers of sixteen."""

_LAST: Final = float(N_SEGMENTS - 1)
_SEGMENTS_OF_RAMP: Final = 3
_SMALLEST_R0: Final = 3.0  # angstrom: two fluorines; the table ends where they meet the cutoff
_DEEPEST: Final = -4.0  # angstrom: two large atoms at one place
_BESIDE: Final = 1e-7  # angstrom: where a slope is taken on one side of a kink


@formula
def table_energy(r2: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, table: Any) -> Any:
    """Return the capped energy of a pair and its derivative by r, divided by r, from the table.

    Takes what ``pair_terms.pair_energy`` takes, with a ``PairTable`` for the weights.
    """
    kind = int(is_hydrophobic) + 2 * int(is_hydrogen_bond)
    r2 = maximum(r2, 1e-12)
    inverse_r = inverse_square_root(r2)
    d = r2 * inverse_r - (r0 + table.first)  # from the first knot on
    segment = truncate(minimum(maximum(d * (1.0 / table.step), 0.0), _LAST))
    f = d - to_float(segment) * table.step
    c0 = look_up(table.coefficients, (kind, 0), segment)
    c1 = look_up(table.coefficients, (kind, 1), segment)
    c2 = look_up(table.coefficients, (kind, 2), segment)
    c3 = look_up(table.coefficients, (kind, 3), segment)
    p2 = c3 * f + c2
    p1 = p2 * f + c1
    slope = ((c3 * f + p2) * f + p1) * inverse_r
    inside = r2 < table.cutoff * table.cutoff
    return select(inside, p1 * f + c0, 0.0), select(inside, slope, 0.0)


def tabulate_pairs(weights: PairWeights, limit: float) -> PairTable:
    """Return the cubics of the capped pair energy; ``limit`` in kcal/mol is the cap.

    Each cubic has the values and slopes of the formula at both its knots; the first, which also
    serves all closer contacts, is a parabola from its right knot to the energy at -4 angstrom.
    """
    step = (weights.hydrogen_bond_bad - weights.hydrogen_bond_good) / _SEGMENTS_OF_RAMP
    n_above = np.ceil((weights.cutoff - _SMALLEST_R0 - weights.hydrogen_bond_bad) / step)
    first = weights.hydrogen_bond_bad - (N_SEGMENTS - n_above) * step
    coefficients = np.zeros((4, 4, N_SEGMENTS))
    for kind in range(4):
        coefficients[kind, :3, 0] = _contact(first, step, kind, weights, limit)
        for k in range(1, N_SEGMENTS):
            left = first + k * step
            e0, s0 = _capped(left + _BESIDE, kind, weights, limit)
            e1, s1 = _capped(left + step - _BESIDE, kind, weights, limit)
            rise = (e1 - e0) / step
            coefficients[kind, :, k] = (
                e0, s0, (3.0 * rise - 2.0 * s0 - s1) / step, (s0 + s1 - 2.0 * rise) / step**2,
            )  # fmt: skip
    return PairTable(
        coefficients.astype(np.float32),
        np.float32(first),
        np.float32(step),
        np.float32(weights.cutoff),
    )


def _contact(
    first: float, step: float, kind: int, weights: PairWeights, limit: float
) -> tuple[float, float, float]:
    """Return the parabola of the first segment, in powers of the distance from its left knot."""
    right = first + step
    energy, slope = _capped(right - _BESIDE, kind, weights, limit)
    width = _DEEPEST - right
    curvature = ((_capped(_DEEPEST, kind, weights, limit)[0] - energy) / width - slope) / width
    return (
        energy - slope * step + curvature * step**2,
        slope - 2.0 * curvature * step,
        curvature,
    )


def _capped(d: float, kind: int, weights: PairWeights, limit: float) -> tuple[float, float]:
    """Return the capped energy at a surface distance, and its derivative."""
    r = 10.0  # any distance: with the cutoff out of the way only d matters
    no_cutoff = weights._replace(cutoff=2.0 * r)
    energy, slope = pair_energy(r * r, r - d, float(kind & 1), float(kind >> 1), no_cutoff)
    energy, factor = cap(energy, limit)
    return energy, slope * r * factor
