"""Strategies as they are asked for: amounts, what is whose, and what stays what it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from campaign_helpers import DOCKER, FakeTarget, fake_screen

from osong.errors import InputError, MissingExtraError
from osong_workflows.settings import CampaignSettings, make_settings, read_settings
from osong_workflows.strategy import active_settings, make_strategy, n_of, n_rounds_of


def settings(**more: Any) -> CampaignSettings:
    fields: dict[str, Any] = {
        "target_name": "fake",
        "target_key": FakeTarget().key.hex(),
        "scoring": "vina",
        "effort": "fast",
        "n_poses": 3,
        "seed": 0,
        "molecule_timeout_s": 600.0,
        "docker": DOCKER,
    }
    return make_settings(**(fields | more))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (300, 300),
        ("300", 300),
        ("1,000", 1000),
        ("2%", "2%"),
        (" 2.50 % ", "2.5%"),
        ("100%", "100%"),
    ],
)
def test_amounts(given: Any, kept: Any) -> None:
    strategy = make_strategy("active", given)
    assert strategy is not None
    assert strategy.budget == kept


@pytest.mark.parametrize("bad", [0, -3, "0%", "101%", "many", "", "2.5", 0.02, True, "nan%", "inf"])
def test_amounts_that_are_none(bad: Any) -> None:
    with pytest.raises(InputError, match="strategy, budget: should be a number of molecules"):
        make_strategy("active", bad)


def test_shares_are_rounded_up() -> None:
    assert n_of("2%", 150) == 3
    assert n_of("2%", 151) == 4
    assert n_of(20, 10) == 10
    assert n_of("0.001%", 1_000_000_000) == 10_000


def test_sizes_follow_from_the_first_budget_and_stay() -> None:
    strategy = make_strategy("active", "2%")
    assert strategy is not None
    first = active_settings(strategy, 30_000, seed=4)
    assert (first.budget, first.batch, first.n_top, first.seed) == (600, 100, 60, 4)
    more = make_strategy("active", "10%")
    assert more is not None
    later = active_settings(more, 30_000, seed=4, begun=first.asked())
    assert (later.budget, later.batch, later.n_top) == (3000, 100, 60)
    assert later.asked() == first.asked()
    small = make_strategy({"kind": "active", "batch": "1%", "top": 5}, 100)
    assert small is not None
    assert n_rounds_of(small, 1000) == 10
    assert active_settings(small, 1000, seed=0).n_top == 5
    # A batch larger than the budget is one round, and stays so.
    large = make_strategy({"kind": "active", "batch": 50}, 20)
    assert large is not None
    one = active_settings(large, 1000, seed=0)
    assert one.batch == 20
    assert active_settings(large, 1000, seed=0, begun=one.asked()) == one


def test_a_campaign_file_of_its_own_comes_back(tmp_path: Path) -> None:
    asked = settings(strategy=make_strategy({"kind": "active", "recall": 0.9}, "2%"))
    path = tmp_path / "campaign.toml"
    path.write_text(asked.to_toml())
    assert read_settings(path) == asked


def test_when_to_stop_is_no_part_of_what_a_campaign_is() -> None:
    one = settings(strategy=make_strategy("active", "2%"))
    until = {"kind": "active", "patience": 9, "recall": 0.5, "features": "/elsewhere"}
    other = settings(strategy=make_strategy(until, 77))
    assert one.differences(other) == []
    assert one.digest() == other.digest()
    picks = settings(strategy=make_strategy({"kind": "active", "beta": 2.0}, "2%"))
    assert one.differences(picks) == ["strategy.beta is 1.0 there and 2.0 here"]
    assert one.digest() != picks.digest()
    whole = settings()
    assert "strategy.kind is 'active' there and 'all' here" in one.differences(whole)


def test_campaigns_without_one_are_what_they_were() -> None:
    """Folders that older versions made must still be theirs."""
    asked = settings(osong="0.1.0")
    assert "strategy" not in asked.to_toml()
    assert asked.digest() == "3bfd5829bd70b495aefabe9fc9ebf5a2"


@pytest.mark.parametrize("package", ["torch", "matplotlib"])
def test_a_missing_package_is_named_before_there_is_a_folder(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(MissingExtraError, match=rf"{package}.*osong\[ml\]"):
        fake_screen(["CCO", "CCN"], tmp_path / "run", strategy="active", budget=20)
    assert not (tmp_path / "run").exists()
