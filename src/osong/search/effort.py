"""How much search a ligand gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from osong.errors import InputError

__all__ = ["EFFORTS", "Effort", "effort_named"]


@dataclass(frozen=True)
class Effort:
    """A budget: chains, rounds, and when the chains' agreement ends the search early.

    Attributes
    ----------
    name
        As users write it.
    n_groups
        Groups of sixteen lockstep chains.
    steps
        Energy evaluations of a chain in a round, for each degree of freedom beyond a floor
        (see ``ticks``).
    min_rounds, max_rounds
        Rounds before the chains may stop, and rounds after which they must.
    agreement
        Groups that must have found the best minimum by themselves before an early stop.
    n_refined
        Distinct minima that go to the exact refinement.
    """

    name: str
    n_groups: int
    steps: int
    min_rounds: int
    max_rounds: int
    agreement: int
    n_refined: int

    def ticks(self, n_torsions: int, n_atoms: int) -> int:
        """Return the energy evaluations of one chain in one round."""
        return self.steps * (10 + n_torsions) + 10 * n_atoms


EFFORTS: Final = {
    effort.name: effort
    for effort in (
        Effort("fast", 1, 30, 1, 4, 1, 12),
        Effort("balanced", 4, 40, 2, 8, 3, 20),
        Effort("thorough", 8, 80, 3, 16, 6, 32),
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
