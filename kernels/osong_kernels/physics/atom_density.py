"""Density of an atom at a distance: a Gaussian inside its radius, a parabola outside.

    density(d) = exp(-2 (d / r)^2)          up to d = r
               = exp(-2) (2 d / r - 3)^2    from there to d = 1.5 r, beyond it zero

Value and slope agree where they meet. This is how libmolgrid draws an atom whose Gaussian ends at
one radius (Sunseri and Koes 2020, doi:10.1021/acs.jcim.9b01145), what GNINA's networks were
trained with.
"""

from __future__ import annotations

from typing import Any, Final

from osong_kernels.compile import formula
from osong_kernels.physics.ops import exponential, minimum, select, square_root

__all__ = ["REACH", "atom_density", "gaussian", "tail"]

REACH: Final = 1.5
"""Radii from an atom's centre to where its density ends."""

_EXP_MINUS_2: Final = 0.1353352832366127


@formula
def gaussian(d2: Any, inverse: Any) -> Any:
    """Return the inner part at a squared distance; ``inverse`` is one over the radius.

    It is the product of the same along each axis.
    """
    return exponential(d2 * (inverse * inverse * -2.0))


@formula
def tail(d: Any, inverse: Any) -> Any:
    """Return the outer part at a distance, zero beyond the atom's reach."""
    below = minimum(d * (inverse * 2.0) - 3.0, 0.0)
    return below * below * _EXP_MINUS_2


@formula
def atom_density(d2: Any, radius: Any) -> Any:
    """Return the density at a squared distance from an atom."""
    inverse = 1.0 / radius
    inner = gaussian(d2, inverse)
    outer = tail(square_root(d2), inverse)
    return select(d2 < radius * radius, inner, outer)
