"""The pair terms of the Vina family of scoring functions.

With surface distance d = r - r0 (r0 the sum of the two radii) the energy of a pair is

    w1 exp(-((d - o1) / s1)^2) + w2 exp(-((d - o2) / s2)^2) + w3 min(d, 0)^2
    + w4 [both hydrophobic] ramp(d; good, bad) + w5 [donor and acceptor] ramp(d; good, bad)

where ramp falls from 1 at ``good`` to 0 at ``bad``; beyond the cutoff it is zero. References:
Vina, Trott and Olson 2010, doi:10.1002/jcc.21334; Vinardo, Quiroga and Villarreal 2016,
doi:10.1371/journal.pone.0155183.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from osong_kernels.compile import formula
from osong_kernels.physics.ops import exponential, inverse_square_root, maximum, minimum, select

__all__ = ["N_TERMS", "TERM_NAMES", "PairWeights", "cap", "pair_energy", "pair_terms"]

TERM_NAMES: Final = ("gauss1", "gauss2", "repulsion", "hydrophobic", "hydrogen_bond")
N_TERMS: Final = len(TERM_NAMES)


class PairWeights(NamedTuple):
    """Weights (kcal/mol) and shapes (angstrom) of the pair terms of one scoring function."""

    gauss1_weight: float
    gauss1_offset: float
    gauss1_width: float
    gauss2_weight: float
    gauss2_offset: float
    gauss2_width: float
    repulsion_weight: float
    hydrophobic_weight: float
    hydrophobic_good: float
    hydrophobic_bad: float
    hydrogen_bond_weight: float
    hydrogen_bond_good: float
    hydrogen_bond_bad: float
    cutoff: float


@formula
def _gauss(d: Any, weight: Any, offset: Any, width: Any) -> Any:
    """Return a Gaussian term and its derivative."""
    x = (d - offset) * (1.0 / width)
    energy = exponential(-(x * x)) * weight
    return energy, energy * x * (-2.0 / width)


@formula
def _ramp(d: Any, weight: Any, good: Any, bad: Any) -> Any:
    """Return a term that falls linearly from ``weight`` at good to 0 at bad, and its derivative."""
    steepness = 1.0 / (bad - good)
    x = (bad - d) * steepness
    energy = minimum(maximum(x, 0.0), 1.0) * weight
    return energy, select((x > 0.0) & (x < 1.0), -steepness * weight, weight * 0.0)


@formula
def _repulsion(d: Any, weight: Any) -> Any:
    """Return the quadratic overlap term and its derivative."""
    overlap = minimum(d, 0.0)
    return overlap * overlap * weight, overlap * (2.0 * weight)


@formula
def pair_terms(r: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, w: Any) -> Any:
    """Return the five terms of a pair at distance ``r`` (angstrom), in kcal/mol, no cutoff.

    ``is_hydrophobic`` and ``is_hydrogen_bond`` are 1.0 or 0.0, ``w`` is a ``PairWeights``.
    """
    d = r - r0
    return (
        _gauss(d, w.gauss1_weight, w.gauss1_offset, w.gauss1_width)[0],
        _gauss(d, w.gauss2_weight, w.gauss2_offset, w.gauss2_width)[0],
        _repulsion(d, w.repulsion_weight)[0],
        _ramp(d, w.hydrophobic_weight * is_hydrophobic, w.hydrophobic_good, w.hydrophobic_bad)[0],
        _ramp(
            d,
            w.hydrogen_bond_weight * is_hydrogen_bond,
            w.hydrogen_bond_good,
            w.hydrogen_bond_bad,
        )[0],
    )


@formula
def pair_energy(r2: Any, r0: Any, is_hydrophobic: Any, is_hydrogen_bond: Any, w: Any) -> Any:
    """Return the energy of a pair and its derivative by r, divided by r.

    ``r2`` is the squared distance in square angstrom. The force on the first atom's coordinates
    is the second value times the difference vector.
    """
    inverse_r = inverse_square_root(maximum(r2, 1e-12))
    r = r2 * inverse_r
    d = r - r0
    g1, dg1 = _gauss(d, w.gauss1_weight, w.gauss1_offset, w.gauss1_width)
    g2, dg2 = _gauss(d, w.gauss2_weight, w.gauss2_offset, w.gauss2_width)
    rep, drep = _repulsion(d, w.repulsion_weight)
    hyd, dhyd = _ramp(
        d, is_hydrophobic * w.hydrophobic_weight, w.hydrophobic_good, w.hydrophobic_bad
    )
    hb, dhb = _ramp(
        d, is_hydrogen_bond * w.hydrogen_bond_weight, w.hydrogen_bond_good, w.hydrogen_bond_bad
    )
    energy = g1 + g2 + rep + hyd + hb
    slope = (dg1 + dg2 + drep + dhyd + dhb) * inverse_r
    inside = r < w.cutoff
    return select(inside, energy, energy * 0.0), select(inside, slope, slope * 0.0)


@formula
def cap(energy: Any, limit: Any) -> Any:
    """Return a positive energy bent to stay below ``limit``, and the factor of its derivative.

    Vina softens clashes by e v / (v + e): v = 10 kcal/mol while searching, 1000 when scoring.
    """
    factor = select(energy > 0.0, limit / (limit + maximum(energy, 0.0)), energy * 0.0 + 1.0)
    return energy * factor, factor * factor
