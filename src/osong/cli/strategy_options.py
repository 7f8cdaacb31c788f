"""The options of `osong screen` that say which molecules of a library are docked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from osong.errors import InputError

__all__ = ["StrategyChoice"]

_STRATEGY = "Strategy: which molecules are docked (osong\\[ml])"


@dataclass(frozen=True)
class StrategyChoice:
    """Which molecules of a library are docked, as it was asked for."""

    strategy: Annotated[
        Literal["active"] | None,
        typer.Option(
            help="active: dock some, learn, dock what promises most of the rest; all by default.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            help="Most molecules to dock, or a share of the library; a larger one goes on.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            help="Molecules a round; a sixth of the budget by default.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    acquisition: Annotated[
        Literal["greedy", "ucb", "thompson", "random"] | None,
        typer.Option(
            help="What promises most: the guess (greedy, the default), or the uncertain too.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    beta: Annotated[
        float | None,
        typer.Option(
            metavar="B",
            help="With ucb: how many deviations uncertainty is worth; 1 by default.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    most_similar: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="No two molecules of a round are more alike (Tanimoto, 0 to 1).",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    surrogate: Annotated[
        Literal["mlp", "graph"] | None,
        typer.Option(
            help="What learns: networks on fingerprints (mlp, the default), or on graphs (slower).",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    initial: Annotated[
        Literal["random", "diverse", "large"] | None,
        typer.Option(
            help="How the first round is chosen; half at random and half large by default.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Size of the top of which the share found is estimated.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="End after so many rounds without a new molecule in the top; 3 by default.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None
    stop_recall: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="End once this share of the top (0 to 1) is found, as far as can be told.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None

    features: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The library's fingerprints, for all campaigns over it; made if not there.",
            rich_help_panel=_STRATEGY,
        ),
    ] = None

    def options(self) -> dict[str, Any]:
        """Return arguments of `osong.screen`; none where all molecules are to be docked.

        Raises
        ------
        InputError
            Options of a strategy are given without one.
        """
        fields = {
            "acquisition": self.acquisition,
            "batch": self.batch,
            "beta": self.beta,
            "most_similar": self.most_similar,
            "surrogate": self.surrogate,
            "initial": self.initial,
            "top": self.top,
            "patience": self.patience,
            "recall": self.stop_recall,
            "features": None if self.features is None else str(self.features),
        }
        given = {name: value for name, value in fields.items() if value is not None}
        if self.strategy is None:
            if given or self.budget is not None:
                first = "budget" if self.budget is not None else next(iter(given))
                raise InputError(f"--{first.replace('_', '-')} needs --strategy active")
            return {}
        if self.budget is None:
            raise InputError("--strategy active needs --budget: how many molecules, or 2%")
        return {"strategy": {"kind": self.strategy, **given}, "budget": self.budget}
