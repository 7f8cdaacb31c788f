"""`ActiveStrategy`: which molecules of a library are docked, where not all of them are."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from osong.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from osong.active import ActiveSettings
    from osong_workflows.settings import CampaignSettings

__all__ = [
    "ActiveStrategy",
    "active_settings",
    "check_strategy",
    "make_strategy",
    "n_of",
    "n_rounds_of",
]

_USUAL_ROUNDS: Final = 6
_USUAL_TOP_SHARE: Final = 10
_LARGEST_USUAL_TOP: Final = 1000
_SMALLEST_USUAL_TOP: Final = 10


class ActiveStrategy(BaseModel):
    """Dock some, learn, dock what promises most of the rest, until a budget is spent.

    Attributes
    ----------
    kind
        "active".
    budget
        Most molecules to dock: their number, or a share of the library such as "2%".
    batch
        Molecules a round, likewise; None: a sixth of the first budget.
    acquisition, beta, most_similar
        What makes a molecule promising: see ``osong.active.Acquisition``.
    surrogate
        "mlp" (networks on fingerprints) or "graph" (on molecules; slower).
    initial
        How the first round is chosen: see ``osong.active.ActiveSettings``.
    top
        Size of the top whose recall is estimated; None: a tenth of the first budget, 10 to 1,000.
    patience
        Rounds without any new molecule in the top after which it ends.
    recall
        Share of the top at which it ends, once the lower end of the estimate reaches it; None:
        never.
    features
        Folder of the library's fingerprints, made where they are not there yet: campaigns over
        the same library share them. None: in the campaign's folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["active"] = "active"
    budget: int | str
    batch: int | str | None = None
    acquisition: Literal["greedy", "ucb", "thompson", "random"] = "greedy"
    beta: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    most_similar: float = Field(default=1.0, gt=0, le=1)
    surrogate: Literal["mlp", "graph"] = "mlp"
    initial: Literal["random", "diverse", "large"] = "large"
    top: int | None = Field(default=None, ge=1)
    patience: int = Field(default=3, ge=1)
    recall: float | None = Field(default=None, gt=0, le=1)
    features: str | None = Field(default=None, min_length=1)

    @field_validator("budget", "batch", mode="before")
    @classmethod
    def _amount(cls, value: object) -> object:
        """Check a number of molecules, or a share of them as a text with "%"."""
        if value is None or (type(value) is int and value >= 1):
            return value
        text = value.replace(",", "").replace("_", "").strip() if isinstance(value, str) else ""
        number = _number(text.removesuffix("%"))
        if text.endswith("%") and 0.0 < number <= 100.0:
            return f"{number:g}%"
        if not text.endswith("%") and 1.0 <= number < math.inf and number == int(number):
            return int(number)
        raise ValueError('should be a number of molecules, or a share such as "2%"')

    @property
    def until(self) -> dict[str, Any]:
        """What decides when it ends; a campaign may go on with another such."""
        return {"budget": self.budget, "patience": self.patience, "recall": self.recall}

    @property
    def picks(self) -> dict[str, Any]:
        """What decides which molecules are docked."""
        return self.model_dump(exclude={*self.until, "features"})


def make_strategy(
    strategy: str | Mapping[str, Any] | ActiveStrategy | None, budget: int | str | None = None
) -> ActiveStrategy | None:
    """Return a checked strategy; None where all molecules are to be docked.

    Parameters
    ----------
    strategy
        "active", or the fields of an `ActiveStrategy`.
    budget
        The field of that name, where it is not among them.

    Raises
    ------
    InputError
        A field is unknown or out of range, or there is no budget.
    """
    if isinstance(strategy, ActiveStrategy):
        return strategy
    if strategy is None:
        if budget is not None:
            raise InputError(f"a budget of {budget} needs the strategy 'active'")
        return None
    fields: dict[str, Any] = dict(strategy) if isinstance(strategy, Mapping) else {"kind": strategy}
    if budget is not None:
        fields["budget"] = budget
    if "budget" not in fields:
        raise InputError(
            'the strategy needs a budget: how many molecules to dock at most, or a share ("2%")'
        )
    if isinstance(fields.get("features"), (str, os.PathLike)):
        # The same folder from wherever the campaign goes on.
        fields["features"] = str(Path(fields["features"]).expanduser().absolute())
    try:
        return ActiveStrategy(**fields)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"][:1])
        what = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"strategy, {where}: {what}, got {problem['input']!r}") from error


def n_of(amount: int | str, n_records: int) -> int:
    """Return how many molecules an amount is of a library, rounded up.

    Examples
    --------
    >>> n_of("2%", 1001), n_of(300, 1001)
    (21, 300)
    """
    if isinstance(amount, int):
        return min(amount, n_records)
    # 2 % of 150 is 3.0000000000000004 otherwise.
    return math.ceil(round(float(amount.removesuffix("%")) * n_records / 100.0, 6))


def n_rounds_of(strategy: ActiveStrategy, n_records: int) -> int:
    """Return how many rounds a strategy has, if its budget ends it."""
    if strategy.batch is None:
        return _USUAL_ROUNDS
    return math.ceil(n_of(strategy.budget, n_records) / n_of(strategy.batch, n_records))


def check_strategy(settings: CampaignSettings) -> None:
    """Check that what a strategy needs is installed, before there is a folder.

    Raises
    ------
    MissingExtraError
        torch or Matplotlib is not.
    """
    if settings.strategy is None:
        return
    for package in ("torch", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra="ml", purpose="the strategy 'active'")


def active_settings(
    strategy: ActiveStrategy,
    n_records: int,
    *,
    seed: int,
    threads: int | None = None,
    begun: Mapping[str, Any] | None = None,
) -> ActiveSettings:
    """Return what a strategy means for a library.

    Parameters
    ----------
    n_records
        Molecules of the library.
    seed
        Of all that is random.
    threads
        Networks trained, and predictions made, at a time.
    begun
        The settings with which the run began: sizes that were derived from the first budget stay.

    Raises
    ------
    InputError
        A batch or a budget is too small.
    """
    from osong.active import Acquisition, ActiveSettings, SurrogateOptions
    from osong.active.settings import FEWEST

    budget = n_of(strategy.budget, n_records)
    if budget < FEWEST:
        raise InputError(
            f"budget {strategy.budget} is {budget} of {n_records:,} molecules: give at least "
            f"{FEWEST}, or dock all of them without a strategy"
        )
    known = begun or {}
    usual = max(FEWEST, math.ceil(budget / _USUAL_ROUNDS))
    asked = usual if strategy.batch is None else n_of(strategy.batch, n_records)
    usual_top = min(max(budget // _USUAL_TOP_SHARE, _SMALLEST_USUAL_TOP), _LARGEST_USUAL_TOP)
    return ActiveSettings(
        budget=budget,
        batch=known.get("batch") or min(asked, budget),
        initial=strategy.initial,
        n_top=strategy.top or known.get("n_top") or usual_top,
        patience=strategy.patience,
        recall=strategy.recall,
        acquisition=Acquisition(strategy.acquisition, strategy.beta, strategy.most_similar),
        surrogate=SurrogateOptions(kind=strategy.surrogate, threads=threads),
        seed=seed,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
