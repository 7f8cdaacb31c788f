"""Campaigns with a strategy: rounds, resume, and the results of all rounds as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from active_helpers import (
    BATCH,
    BUDGET,
    DOCKER,
    FAILS,
    UNREADABLE,
    N,
    active_screen,
    learnable,
    open_active,
    picks_of,
    true_energies,
    write_library,
)
from campaign_helpers import FakeTarget, fake_screen, read_calls
from rdkit import Chem

from osong.errors import CampaignError, InputError
from osong_workflows.api import open_campaign, screen
from osong_workflows.campaign import Campaign
from osong_workflows.observing import log_lines, observe

pytest.importorskip("torch", reason="needs osong[ml]")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("library") / "library.smi")


@pytest.fixture(scope="module")
def done(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished campaign, which nobody changes."""
    return active_screen(library, tmp_path_factory.mktemp("done") / "run")


def test_rounds_until_the_budget_is_spent(done: Any) -> None:
    picks = picks_of(done)
    assert [len(batch) for batch in picks] == [BATCH] * 3
    docked = [index for batch in picks for index in batch]
    assert len(set(docked)) == BUDGET
    assert not set(docked) & set(UNREADABLE)
    # What is asked is docked: each round is a campaign with just these molecules.
    for number, batch in enumerate(picks):
        own = Campaign(done.folder / "rounds" / f"{number:03d}", docker=DOCKER)
        assert own.status().is_finished
        names = {learnable()[i][1] for i in batch}
        assert set(own.ledger()["name"].to_pylist()) == names


def test_it_learns(done: Any) -> None:
    """Later rounds are better than the random first one by more than chance would do."""
    energies = true_energies()
    first, *later = (
        np.mean([energies[i] for i in batch if i in energies]) for batch in picks_of(done)
    )
    assert max(later) < first - np.std(list(energies.values()))


def test_the_ledger_has_whoever_was_chosen_or_never_can_be(done: Any) -> None:
    rows = {row["index"]: row for row in done.ledger().to_pylist()}
    docked = {index for batch in picks_of(done) for index in batch}
    assert set(rows) == docked | set(UNREADABLE)
    for index, row in rows.items():
        smiles, name = learnable()[index]
        assert (row["name"], row["input"]) == (name, smiles)
        if index in UNREADABLE:
            assert (row["status"], row["stage"]) == ("failed", "fingerprint")
            assert name in row["reason"] or "C1CC" in row["reason"]
        elif index in FAILS:
            assert (row["status"], row["stage"]) == ("failed", "embed")
        else:
            assert row["energy"] == true_energies()[index]
    status = done.status()
    assert status.n_ok + status.n_failed == len(rows) == status.n_records
    assert status.is_finished
    assert f"of {BUDGET + 2}; 3 rounds, {N} molecules in the library" in str(status)
    assert f"ended: the budget of {BUDGET} molecules is spent" in str(status)


def test_hits_are_those_of_all_rounds(done: Any, tmp_path: Path) -> None:
    energies = true_energies()
    docked = [i for batch in picks_of(done) for i in batch if i in energies]
    best = sorted(docked, key=lambda i: (energies[i], learnable()[i][1]))
    top = done.top(5)
    assert top["index"].tolist() == best[:5]
    assert top["rank"].tolist() == [1, 2, 3, 4, 5]
    assert len(done.top(None)) == len(docked)
    name = learnable()[best[0]][1]
    assert done.poses(name)[0].GetIntProp("osong_index") == best[0]
    assert len(done.poses(best[0])) == 3
    assert done.to_sdf(tmp_path / "hits.sdf", 7, n_poses=2) == 7
    with Chem.SDMolSupplier(str(tmp_path / "hits.sdf")) as supplier:
        found = [mol.GetIntProp("osong_index") for mol in supplier]
    assert found == [index for index in best[:7] for _ in range(2)]
    assert done.to_csv(tmp_path / "hits.csv", 4) == 4
    with pytest.raises(InputError, match="is not docked: the strategy has not chosen it"):
        done.poses(next(i for i in range(N) if i not in set(docked) | set(FAILS)))
    with pytest.raises(InputError, match="n must be at least 1"):
        done.top(0)
    with pytest.raises(CampaignError, match="nothing is rescored yet"):
        done.top(3, rank_by="cnn_vs")


def test_duckdb_tells_molecules_by_their_library(done: Any) -> None:
    pytest.importorskip("duckdb")
    rows = done.duckdb().filter("status = 'ok'").project('"index", energy').fetchall()
    energies = true_energies()
    docked = {i for batch in picks_of(done) for i in batch} & set(energies)
    assert dict(rows) == {i: energies[i] for i in docked}


def test_the_same_call_does_nothing_more(library: Path, tmp_path: Path, calls: Path) -> None:
    first = active_screen(library, tmp_path / "run")
    n_calls = len(read_calls(calls))
    assert n_calls == BUDGET
    again = active_screen(library, tmp_path / "run")
    assert len(read_calls(calls)) == n_calls
    assert picks_of(again) == picks_of(first)


def test_a_larger_budget_goes_on(library: Path, done: Any, tmp_path: Path, calls: Path) -> None:
    active_screen(library, tmp_path / "run", budget=24)
    assert len(read_calls(calls)) == 24
    # An open campaign knows it too: nothing but the settings says so.
    more = active_screen(library, tmp_path / "run", budget="15%")
    assert len(read_calls(calls)) == BUDGET  # 15 % of 240
    assert picks_of(more) == picks_of(done)
    assert 'budget = "15%"' in (tmp_path / "run" / "campaign.toml").read_text()
    assert open_active(more).resume(runner="serial", progress=False).status().is_finished
    assert len(read_calls(calls)) == BUDGET


@pytest.mark.parametrize("options", [{"runner": "local", "workers": 2}, {"chunk_size": 5}])
def test_neither_runner_nor_chunks_change_what_is_picked(
    library: Path, done: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    other = active_screen(library, tmp_path / "run", **options)
    assert picks_of(other) == picks_of(done)
    assert other.ledger().equals(done.ledger())


def test_another_seed_picks_others(library: Path, done: Any, tmp_path: Path) -> None:
    assert picks_of(active_screen(library, tmp_path / "run", seed=1)) != picks_of(done)


def test_pictures_and_their_figures(done: Any) -> None:
    folder = done.folder / "pictures"
    assert sorted(path.name for path in folder.iterdir()) == [
        "learning.png", "parity.png", "recall.png", "rounds.csv",
    ]  # fmt: skip
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in folder.glob("*.png"))
    header, *rows = (folder / "rounds.csv").read_text().splitlines()
    assert header.startswith("round,n_asked,n_docked,n_failed,best")
    assert [row.split(",")[1] for row in rows] == ["12", "24", "36"]


def test_its_status_is_that_of_all_rounds(done: Any) -> None:
    seen = observe(done.folder)
    assert seen.status.is_finished
    assert any("3 rounds" in note for note in seen.notes)
    told = json.loads(json.dumps(seen.as_dict()))
    assert (told["n_records"], told["is_finished"]) == (BUDGET + 2, True)
    events = [line.event for line in log_lines(done.folder, 500)]
    assert events.count("RoundBegun") == 3
    assert events.count("StrategyEnded") == 1
    assert "CampaignFinished" in events


def test_outputs_of_python_molecules(tmp_path: Path) -> None:
    """A library need not be a file."""
    smiles = [row for i, row in enumerate(learnable(60)) if i not in UNREADABLE]
    done = active_screen(
        [s for s, _ in smiles], tmp_path / "run", 24, docker="osong_fake_docker:build"
    )
    assert done.status().n_ok == 24


def test_what_a_strategy_cannot_be(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError, match="needs a budget"):
        fake_screen(library, out, strategy="active")
    with pytest.raises(InputError, match="budget of 5 needs the strategy 'active'"):
        fake_screen(library, out, budget=5)
    with pytest.raises(InputError, match=r'budget: should be a number .* such as "2%", got'):
        fake_screen(library, out, strategy="active", budget="120%")
    with pytest.raises(InputError, match="strategy, beta"):
        fake_screen(library, out, strategy={"kind": "active", "beta": -1.0}, budget=20)
    with pytest.raises(InputError, match="strategy, kind"):
        fake_screen(library, out, strategy="passive", budget=20)
    with pytest.raises(InputError, match="effort 'score' searches nothing"):
        fake_screen(library, out, strategy="active", budget=20, effort="score")
    assert not out.exists()
    with pytest.raises(InputError, match="budget 1% is 3 of 240 molecules: give at least 8"):
        active_screen(library, tmp_path / "tiny", "1%", batch=None)
    assert not (tmp_path / "tiny").exists()


def test_another_strategy_is_another_campaign(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    active_screen(library, out, 12)
    with pytest.raises(CampaignError, match=r"strategy.acquisition is 'greedy' there and 'ucb'"):
        active_screen(library, out, 12, acquisition="ucb")
    with pytest.raises(CampaignError, match=r"strategy.kind is 'active' there and 'all' here"):
        fake_screen(library, out, docker=DOCKER)
    changed = write_library(tmp_path / "changed.smi", N - 1)
    with pytest.raises(CampaignError, match="has other molecules or another order"):
        active_screen(changed, out, 24)
    assert open_active(out).status().is_finished


def test_a_part_that_was_damaged_is_docked_again(library: Path, tmp_path: Path) -> None:
    done = active_screen(library, tmp_path / "run", 24)
    ledger = done.ledger()
    part = next((tmp_path / "run" / "rounds" / "000" / "parts").glob("*.parquet"))
    part.unlink()
    assert not open_active(done).status().is_finished
    again = open_active(done).resume(runner="serial", progress=False)
    assert again.status().is_finished
    assert again.ledger().equals(ledger)


def test_open_campaign_knows_the_strategy(done: Any, tmp_path: Path, library: Path) -> None:
    opened = open_campaign(done.folder)
    assert type(opened).__name__ == "ActiveCampaign"
    assert opened.top(3).equals(done.top(3))
    small = tmp_path / "small.smi"
    small.write_text("CCO a\nCCC b\n")
    whole = screen(
        FakeTarget(), small, out=tmp_path / "whole", runner="serial",
        docker="osong_fake_docker:build", progress=False,
    )  # fmt: skip
    assert type(whole) is Campaign
