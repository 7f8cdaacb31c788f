"""Options of `osong screen` that say which molecules are docked."""

from __future__ import annotations

from pathlib import Path

import pytest

from osong.cli.strategy_options import StrategyChoice
from osong.errors import InputError


def test_what_is_not_given_is_left_to_the_strategy() -> None:
    assert StrategyChoice().options() == {}
    chosen = StrategyChoice(strategy="active", budget="2%").options()
    assert chosen == {"strategy": {"kind": "active"}, "budget": "2%"}


def test_every_option_reaches_its_field() -> None:
    chosen = StrategyChoice(
        "active", "2%", "100", "ucb", 2.0, 0.7, "graph", "diverse", 50, 5, 0.9, Path("f")
    ).options()
    assert chosen["strategy"] == {
        "kind": "active",
        "batch": "100",
        "acquisition": "ucb",
        "beta": 2.0,
        "most_similar": 0.7,
        "surrogate": "graph",
        "initial": "diverse",
        "top": 50,
        "patience": 5,
        "recall": 0.9,
        "features": "f",
    }


def test_options_of_a_strategy_need_one() -> None:
    with pytest.raises(InputError, match="--budget needs --strategy active"):
        StrategyChoice(budget="2%").options()
    with pytest.raises(InputError, match="--most-similar needs --strategy active"):
        StrategyChoice(most_similar=0.5).options()
    with pytest.raises(InputError, match="--strategy active needs --budget"):
        StrategyChoice(strategy="active").options()
