"""Networks rank the hits of a campaign with a strategy: of all its rounds, and by the same ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="needs osong[ml]")

import osong
from osong.errors import CampaignError
from osong.rescoring.rescorer import Rescorer
from osong_workflows.active_campaign import ActiveCampaign

if TYPE_CHECKING:
    from osong.receptor import Target

TAILS = ("N", "O", "F", "Cl", "C", "CC", "CO", "CN", "C=O", "C#N")
LIBRARY = [(f"c1ccccc1{tail}", f"m{k}") for k, tail in enumerate(TAILS)]
LIBRARY += [(f"c1ccncc1{tail}", f"m{len(TAILS) + k}") for k, tail in enumerate(TAILS)]


@pytest.fixture(scope="module")
def docked(egfr: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of two rounds of eight molecules."""
    target = osong.Target(egfr.receptor, osong.Box(egfr.box.center, (12.0, 12.0, 12.0)), "EGFR")
    folder = tmp_path_factory.mktemp("active") / "run"
    strategy = {"kind": "active", "batch": 8, "top": 8, "initial": "random"}
    osong.screen(
        target, LIBRARY, out=folder, runner="serial", backend="cpu", n_poses=1,
        strategy=strategy, budget=16, progress=False,
    )  # fmt: skip
    return folder


@pytest.fixture
def campaign(docked: Path, tmp_path: Path) -> ActiveCampaign:
    """A copy of it, to write into."""
    return ActiveCampaign(shutil.copytree(docked, tmp_path / "run"))


def test_the_best_of_all_rounds_are_rescored(campaign: ActiveCampaign, rescorer: Rescorer) -> None:
    with pytest.raises(CampaignError, match="nothing is rescored yet; run: osong rescore"):
        campaign.top(3, rank_by="cnn_vs")
    steps: list[int] = []
    done = campaign.rescore(16, rescorer=rescorer, step=steps.append)
    assert (done.n_in, done.n_ok, done.n_failed, sum(steps)) == (16, 16, 0, 16)
    assert campaign.n_rescored() == 16
    ranked = campaign.top(None, rank_by="cnn_vs")
    assert sorted(ranked["index"]) == sorted(campaign.top(None)["index"])
    assert ranked["cnn_vs"].is_monotonic_decreasing
    for row in ranked.itertuples():
        assert LIBRARY[row.index][1] == row.name
    assert campaign.rescore(16, rescorer=rescorer).n_kept == 16
    sizes = campaign.top(None, rank_by="energy_for_size")
    assert sizes["energy_for_size"].is_monotonic_increasing


def test_networks_are_not_mixed_in_one_order(campaign: ActiveCampaign, rescorer: Rescorer) -> None:
    """Rows of other networks are put aside in every round, also where nothing new comes."""
    campaign.rescore(16, rescorer=rescorer)
    other = Rescorer("crossdock_default2018", rotations=4, device="cpu")
    done = campaign.rescore(1, rescorer=other)
    assert (done.n_in, done.n_aside) == (1, 16)
    ranked = campaign.top(None, rank_by="cnn_vs")
    assert ranked["index"].tolist() == campaign.top(1)["index"].tolist()
    # Those of before come back with their networks.
    assert campaign.rescore(16, rescorer=rescorer).n_kept == 16
    assert len(campaign.top(None, rank_by="cnn_vs")) == 16
