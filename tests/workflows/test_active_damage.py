"""Campaigns with a strategy whose files are gone or damaged, and rounds that fail."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from active_helpers import BUDGET, UNREADABLE, active_screen, learnable, open_active, write_library
from campaign_helpers import fake_screen

from osong.active.state import ActiveFolder
from osong.errors import CampaignError, InputError
from osong_workflows.observing import observe

pytest.importorskip("torch", reason="needs osong[ml]")

FAKE = "osong_fake_docker:build"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("whole")
    return active_screen(write_library(place / "library.smi"), place / "run")


@pytest.fixture
def copy(whole: Any, tmp_path: Path) -> Path:
    """A finished campaign of three rounds, to be damaged."""
    return Path(shutil.copytree(whole.folder, tmp_path / "run"))


def resumed(folder: Path) -> Any:
    return open_active(folder).resume(runner="serial", progress=False)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_round_whose_folder_is_gone_is_docked_again(whole: Any, copy: Path, number: int) -> None:
    shutil.rmtree(copy / "rounds" / f"{number:03d}")
    status = open_active(copy).status()
    assert not status.is_finished
    assert status.n_left == 12
    assert observe(copy).status.n_left == 12
    again = resumed(copy)
    assert again.status().is_finished
    assert again.ledger().equals(whole.ledger())


def test_a_round_of_other_molecules_is_not_taken_for_that_which_was_asked(copy: Path) -> None:
    """Its energies would be other molecules'."""
    folder = ActiveFolder(copy / "active")
    first = folder.rounds()[0]
    (copy / "active" / "round-002" / "answers.parquet").unlink()
    (copy / "active" / "finished.json").unlink()
    folder.write_request(2, first.index, {})
    with pytest.raises(CampaignError, match=r"rounds/002: docks other molecules than .*round-002"):
        resumed(copy)
    assert not (copy / "active" / "round-002" / "answers.parquet").exists()


def test_a_request_that_is_gone_leaves_no_hole(whole: Any, copy: Path) -> None:
    """Neither status nor ledger pretend that the rounds after it are all there is."""
    (copy / "active" / "round-001" / "request.parquet").unlink()
    for look in (lambda: open_active(copy).status(), lambda: open_active(copy).ledger()):
        with pytest.raises(CampaignError, match=r"round-001/request.parquet: is missing and later"):
            look()
    # As told: what comes after it is chosen anew, and is what it was.
    shutil.rmtree(copy / "active" / "round-002")
    assert not open_active(copy).status().is_finished
    again = resumed(copy)
    assert again.ledger().equals(whole.ledger())


def test_settings_of_the_run_are_not_made_up(copy: Path) -> None:
    (copy / "active" / "active.json").unlink()
    (copy / "active" / "finished.json").unlink()
    with pytest.raises(CampaignError, match=r"active.json: is missing and rounds are there"):
        resumed(copy)


def test_results_need_no_fingerprints(whole: Any, copy: Path) -> None:
    shutil.rmtree(copy / "features")
    assert open_active(copy).ledger().equals(whole.ledger())
    assert open_active(copy).status().failures["fingerprint"] == len(UNREADABLE)


def test_shared_fingerprints_of_another_library_change_nothing_that_is_done(
    tmp_path: Path,
) -> None:
    library = write_library(tmp_path / "library.smi")
    place = tmp_path / "shared"
    strategy = {"kind": "active", "batch": 12, "top": 10, "features": place}
    done = fake_screen(library, tmp_path / "run", strategy=strategy, budget=12, docker=FAKE)
    ledger = done.ledger()
    shutil.rmtree(place)
    other = tmp_path / "other.smi"
    other.write_text("".join(f"{smiles}C {name}\n" for smiles, name in learnable()))
    fake_screen(other, tmp_path / "two", strategy=strategy, budget=12, docker=FAKE)
    assert done.ledger().equals(ledger)
    with pytest.raises(CampaignError, match="has fingerprints of another library than that of"):
        fake_screen(library, tmp_path / "run", strategy=strategy, budget=24, docker=FAKE)


def test_a_budget_that_cannot_be_is_written_nowhere(copy: Path, whole: Any) -> None:
    library = whole.settings.library
    before = (copy / "campaign.toml").read_bytes()
    for budget in (10, 5):
        with pytest.raises(InputError, match="budget"):
            active_screen(Path(library), copy, budget)
        assert (copy / "campaign.toml").read_bytes() == before
        assert open_active(copy).status().is_finished


def test_a_smaller_budget_ends_what_has_more(copy: Path, whole: Any) -> None:
    less = active_screen(Path(whole.settings.library), copy, 24)
    assert less.status().is_finished
    assert "the budget of 24 molecules is spent" in str(less.status())
    assert less.status().n_ok + less.status().n_failed == BUDGET + len(UNREADABLE)


def test_pictures_that_cannot_be_drawn_stop_nothing(tmp_path: Path) -> None:
    library = write_library(tmp_path / "library.smi")
    active_screen(library, tmp_path / "run", 12)
    shutil.rmtree(tmp_path / "run" / "pictures")
    (tmp_path / "run" / "pictures").write_text("a file")
    events: list[str] = []
    more = active_screen(
        library, tmp_path / "run", 24, subscribers=[lambda e: events.append(type(e).__name__)]
    )
    assert more.status().is_finished
    assert "PicturesFailed" in events


def test_rounds_in_which_all_fails_are_followed_by_others(tmp_path: Path) -> None:
    """A row is final: what failed would fail again, and the budget is there for others."""
    rows = [(smiles, f"fail{i}") for i, (smiles, _) in enumerate(learnable(60)) if smiles != "C1CC"]
    source = tmp_path / "library.smi"
    source.write_text("".join(f"{smiles} {name}\n" for smiles, name in rows))
    done = active_screen(source, tmp_path / "run", 24)
    assert (done.status().n_ok, done.status().n_failed) == (0, 24)
    assert done.status().is_finished


def test_a_library_smaller_than_a_batch_is_one_round(tmp_path: Path) -> None:
    rows = [row for row in learnable(20) if row[0] != "C1CC"][:10]
    source = tmp_path / "library.smi"
    source.write_text("".join(f"{smiles} {name}\n" for smiles, name in rows))
    done = active_screen(source, tmp_path / "run", "100%", batch=10)
    assert done.status().is_finished
    source.write_text("".join(f"{smiles} {name}\n" for smiles, name in [*rows, ("C1CC", "bad")]))
    done = active_screen(source, tmp_path / "other", "100%", batch=11)
    assert "the whole library is docked" in str(done.status())
    nothing = tmp_path / "nothing.smi"
    nothing.write_text("".join(f"C1CC {i}\n" for i in range(20)))
    with pytest.raises(InputError, match="0 of 20 molecules have a fingerprint, too few to learn"):
        active_screen(nothing, tmp_path / "none", 12)


def test_json_tells_how_many_were_not_chosen(whole: Any) -> None:
    told = observe(whole.folder).as_dict()
    strategy = told["strategy"]
    n_in = told["n_ok"] + told["n_failed"] + told["n_left"] + strategy["n_not_chosen"]
    assert n_in == strategy["n_library"] == 240
    assert (strategy["n_rounds"], strategy["ended"]) == (3, "the budget of 36 molecules is spent")
    assert 0.0 <= strategy["recall"]["low"] <= strategy["recall"]["high"] <= 1.0


def test_looking_writes_nothing(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    campaign = open_active(copy)
    campaign.status()
    campaign.ledger()
    campaign.top(5)
    campaign.poses(int(campaign.top(1)["index"][0]))
    observe(copy, n_log=5)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_damage_of_what_was_not_read_is_one_line(copy: Path) -> None:
    path = copy / "active" / "unread.parquet"
    assert pq.read_table(path)["index"].to_pylist() == list(UNREADABLE)
    path.write_bytes(b"nothing")
    with pytest.raises(CampaignError, match=r"unread.parquet: is damaged .*remove it"):
        open_active(copy).ledger()
    path.unlink()
    assert isinstance(open_active(copy).ledger(), pa.Table)
