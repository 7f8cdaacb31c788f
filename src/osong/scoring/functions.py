"""The scoring functions: weights, pair tables, and how a count of torsions scales the energy.

Weights and shapes are those of AutoDock Vina 1.2.7 for ``vina`` (Trott and Olson 2010,
doi:10.1002/jcc.21334) and ``vinardo`` (Quiroga and Villarreal 2016,
doi:10.1371/journal.pone.0155183).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from osong.atom_types import ATOM_TYPES
from osong.errors import InputError
from osong_kernels.arguments import PairTable
from osong_kernels.physics.pair_table import tabulate_pairs
from osong_kernels.physics.pair_terms import PairWeights

__all__ = ["SCORING_FUNCTIONS", "ScoringFunction", "scoring_function"]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoringFunction:
    """One scoring function.

    Attributes
    ----------
    name
        As users write it.
    weights
        Weights and shapes of the pair terms.
    rotor_weight
        Weight of the torsion count: the reported energy is E / (1 + rotor_weight * count).
    radii
        (n_types,) angstrom: radius of each row of ``ATOM_TYPES``.
    """

    name: str
    weights: PairWeights
    rotor_weight: float
    radii: tuple[float, ...]

    @cached_property
    def r0(self) -> Float32:
        """(n_types, n_types) float32, angstrom: sum of radii of each pair of types."""
        radii = np.array(self.radii)
        return (radii[:, None] + radii[None, :]).astype(np.float32)

    @cached_property
    def is_hydrophobic(self) -> Float32:
        """(n_types, n_types) float32: 1.0 where both types are hydrophobic."""
        flags = np.array([t.is_hydrophobic for t in ATOM_TYPES])
        return (flags[:, None] & flags[None, :]).astype(np.float32)

    @cached_property
    def is_hydrogen_bond(self) -> Float32:
        """(n_types, n_types) float32: 1.0 where one type is a donor, the other an acceptor."""
        donor = np.array([t.is_donor for t in ATOM_TYPES])
        acceptor = np.array([t.is_acceptor for t in ATOM_TYPES])
        one_way = donor[:, None] & acceptor[None, :]
        return (one_way | one_way.T).astype(np.float32)

    def pair_table(self, limit: float) -> PairTable:
        """Return the pair terms, positive energies bent below ``limit``, as chains read them."""
        return _pair_table(self.weights, limit)

    def torsion_factor(self, torsion_count: float) -> float:
        """Return the factor that turns a sum of pair energies into the reported energy."""
        return 1.0 / (1.0 + self.rotor_weight * torsion_count)


@cache
def _pair_table(weights: PairWeights, limit: float) -> PairTable:
    return tabulate_pairs(weights, limit)


VINA: Final = ScoringFunction(
    name="vina",
    weights=PairWeights(
        gauss1_weight=-0.035579,
        gauss1_offset=0.0,
        gauss1_width=0.5,
        gauss2_weight=-0.005156,
        gauss2_offset=3.0,
        gauss2_width=2.0,
        repulsion_weight=0.840245,
        hydrophobic_weight=-0.035069,
        hydrophobic_good=0.5,
        hydrophobic_bad=1.5,
        hydrogen_bond_weight=-0.587439,
        hydrogen_bond_good=-0.7,
        hydrogen_bond_bad=0.0,
        cutoff=8.0,
    ),
    rotor_weight=0.05846,
    radii=tuple(t.vina_radius for t in ATOM_TYPES),
)

VINARDO: Final = ScoringFunction(
    name="vinardo",
    weights=PairWeights(
        gauss1_weight=-0.045,
        gauss1_offset=0.0,
        gauss1_width=0.8,
        gauss2_weight=0.0,
        gauss2_offset=0.0,
        gauss2_width=1.0,
        repulsion_weight=0.8,
        hydrophobic_weight=-0.035,
        hydrophobic_good=0.0,
        hydrophobic_bad=2.5,
        hydrogen_bond_weight=-0.6,
        hydrogen_bond_good=-0.6,
        hydrogen_bond_bad=0.0,
        cutoff=8.0,
    ),
    rotor_weight=0.05846,
    radii=tuple(t.vinardo_radius for t in ATOM_TYPES),
)

SCORING_FUNCTIONS: Final = {f.name: f for f in (VINA, VINARDO)}


def scoring_function(name: str) -> ScoringFunction:
    """Return a scoring function by its name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in SCORING_FUNCTIONS:
        known = ", ".join(sorted(SCORING_FUNCTIONS))
        raise InputError(f"scoring={name!r} is unknown: choose one of {known}")
    return SCORING_FUNCTIONS[name]
