"""`ActiveSettings`: how a run of active learning goes, and when it ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from osong.active.acquisition import Acquisition
from osong.active.surrogate import SurrogateOptions
from osong.errors import InputError

__all__ = ["FEWEST", "INITIAL", "ActiveSettings", "Initial"]

Initial = Literal["random", "diverse", "large"]
INITIAL: Final = ("random", "diverse", "large")
FEWEST: Final = 8
"""Molecules of a batch: with fewer nothing can be held out."""


@dataclass(frozen=True)
class ActiveSettings:
    """How a run goes.

    Attributes
    ----------
    budget
        Most molecules to dock; those that fail count.
    batch
        Molecules a round.
    initial
        How the first round is chosen: at random; "diverse", far from each other; or "large", half
        of them at random and half those with the most fragments, as docking favours size.
    n_top
        Size of the top whose recall counts.
    patience, recall
        See `osong.active.stopping.StoppingRule`.
    acquisition
        What makes a molecule promising.
    surrogate
        What is trained; its seed and `seed` are the same.
    seed
        Decides everything that is random.
    """

    budget: int
    batch: int
    initial: Initial = "random"
    n_top: int = 100
    patience: int = 3
    recall: float | None = None
    acquisition: Acquisition = field(default_factory=Acquisition)
    surrogate: SurrogateOptions = field(default_factory=SurrogateOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < FEWEST:
            raise InputError(
                f"batch is {self.batch}: give at least {FEWEST}, what a surrogate needs"
            )
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: give 0 or more")
        if self.budget < self.batch:
            raise InputError(f"a budget of {self.budget} is less than one batch of {self.batch}")
        if self.initial not in INITIAL:
            raise InputError(f"initial is '{self.initial}': choose {', '.join(INITIAL)}")
        if self.n_top < 1 or self.patience < 1:
            raise InputError("n_top and patience must be at least 1")
        if self.recall is not None and not 0.0 < self.recall <= 1.0:
            raise InputError(f"recall is {self.recall}: give a share above 0, at most 1")

    def asked(self) -> dict[str, Any]:
        """Return what decides the picks, for the folder; where it is computed does not.

        Nor does when to stop: a run may go on with a larger budget.
        """
        content = asdict(self)
        for name in ("device", "threads", "seed"):
            del content["surrogate"][name]
        for name in self.until():
            del content[name]
        return content

    def until(self) -> dict[str, Any]:
        """Return what decides when a run ends."""
        return {"budget": self.budget, "patience": self.patience, "recall": self.recall}
