"""How much search a ligand gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from osong.errors import InputError

__all__ = ["EFFORTS", "Effort", "effort_named"]


@dataclass(frozen=True)
class Effort:
    """A budget: chains, rounds, and when a search that finds nothing better ends.

    Attributes
    ----------
    name
        As users write it.
    n_groups
        Groups of sixteen lockstep chains.
    steps
        Energy evaluations of a chain in a round, for each degree of freedom (see ``ticks``).
    max_rounds
        Rounds after which the search ends.
    patience
        Rounds without a better minimum after which it ends early.
    n_refined
        Distinct minima that go to the exact refinement.
    n_conformers
        Geometries to choose from; where a ligand has fewer, its segments are mixed.
    """

    name: str
    n_groups: int
    steps: int
    max_rounds: int
    patience: int
    n_refined: int
    n_conformers: int

    def ticks(self, n_torsions: int, n_atoms: int) -> int:
        """Return the energy evaluations of one chain in one round."""
        return self.steps * (6 + n_torsions) + 2 * n_atoms


EFFORTS: Final = {
    effort.name: effort
    for effort in (
        Effort("fast", 8, 5, 60, 5, 12, 16),
        Effort("balanced", 48, 5, 400, 10, 24, 24),
        Effort("thorough", 96, 5, 800, 16, 32, 32),
    )
}


def effort_named(name: str) -> Effort:
    """Return an effort by its name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in EFFORTS:
        raise InputError(f"effort={name!r} is unknown: choose one of {', '.join(EFFORTS)}")
    return EFFORTS[name]
