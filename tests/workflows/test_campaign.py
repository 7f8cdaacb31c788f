"""Campaigns from beginning to end with the fake docker: same results however they are run."""

from __future__ import annotations

import random

import pytest
from campaign_helpers import (
    FakeTarget,
    fake_screen,
    molecules,
    part_bytes,
    part_paths,
    per_ligand,
    read_calls,
    reopen,
)

from osong.errors import CampaignError, InputError
from osong_workflows.events import CampaignFinished, CampaignStarted, ChunkFinished, MoleculesDone

N = 90


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return fake_screen(molecules(N), tmp_path_factory.mktemp("finished") / "run")


def test_every_molecule_has_one_row_in_order(finished):
    ledger = finished.ledger()
    assert ledger["index"].to_pylist() == list(range(N))
    assert ledger["name"].to_pylist() == [f"m{i}" for i in range(N)]
    assert ledger["input"].to_pylist() == [smiles for smiles, _ in molecules(N)]
    assert set(ledger["status"].to_pylist()) == {"ok"}
    status = finished.status()
    assert (status.n_ok, status.n_failed, status.n_left) == (N, 0, 0)
    assert str(status).count("\n") == 0


def test_parts_hold_nothing_of_when_and_where(finished, tmp_path):
    again = fake_screen(molecules(N), tmp_path / "elsewhere")
    assert part_bytes(again) == part_bytes(finished)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("chunk_size", [7, 64])
def test_workers_and_chunks_change_no_result(finished, tmp_path, workers, chunk_size):
    campaign = fake_screen(
        molecules(N), tmp_path / "run", runner="local", workers=workers, chunk_size=chunk_size
    )
    assert per_ligand(campaign) == per_ligand(finished)
    assert campaign.top(N).equals(finished.top(N))


def test_worker_counts_give_the_same_bytes(tmp_path):
    one, two = (
        fake_screen(molecules(N), tmp_path / str(n), runner="local", workers=n, chunk_size=10)
        for n in (1, 2)
    )
    assert len(part_paths(one)) == 9
    assert part_bytes(one) == part_bytes(two)


def test_order_of_the_library_changes_no_result(finished, tmp_path):
    shuffled = molecules(N)
    random.Random(5).shuffle(shuffled)
    campaign = fake_screen(shuffled, tmp_path / "run")
    assert per_ligand(campaign) == per_ligand(finished)
    columns = ["rank", "name", "energy", "ligand_efficiency", "n_heavy", "smiles", "n_variants"]
    assert campaign.top(N)[columns].equals(finished.top(N)[columns])


def test_small_library_keeps_all_workers_busy(tmp_path):
    campaign = fake_screen(molecules(20), tmp_path / "run", runner="local", workers=2)
    assert campaign.plan.n_chunks >= 7


def test_the_same_call_again_does_nothing(tmp_path, calls):
    first = fake_screen(molecules(10), tmp_path / "run")
    before = part_bytes(first)
    events: list = []
    again = fake_screen(iter(molecules(10)), tmp_path / "run", subscribers=[events.append])
    assert part_bytes(again) == before
    assert sorted(read_calls(calls)) == list(range(10))
    (started,) = events
    assert isinstance(started, CampaignStarted)
    assert started.n_chunks_done == started.n_chunks


def test_events_add_up(tmp_path):
    events: list = []
    fake_screen([*molecules(11), ("FAIL", "bad")], tmp_path / "run", subscribers=[events.append])
    done = [event for event in events if isinstance(event, MoleculesDone)]
    chunks = [event for event in events if isinstance(event, ChunkFinished)]
    assert (sum(e.n_ok for e in done), sum(e.n_failed for e in done)) == (11, 1)
    assert (sum(e.n_ok for e in chunks), sum(e.n_failed for e in chunks)) == (11, 1)
    assert isinstance(events[0], CampaignStarted)
    assert isinstance(events[-1], CampaignFinished)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"effort": "balanced"}, "effort is 'fast' there and 'balanced' here"),
        ({"ligand_options": {"max_protomers": 2}}, "ligands.max_protomers"),
        ({"target": FakeTarget(key=b"another target..")}, "target_key"),
    ],
)
def test_folder_of_another_campaign_is_refused(tmp_path, change, named):
    first = fake_screen(molecules(5), tmp_path / "run")
    before = part_bytes(first)
    with pytest.raises(CampaignError, match="holds another campaign") as caught:
        fake_screen(molecules(5), tmp_path / "run", **change)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert part_bytes(first) == before


def test_settings_alone_bind_nobody(tmp_path):
    """What fails leaves nothing; what is killed before its plan leaves settings."""
    folder = tmp_path / "run"
    folder.mkdir()

    def broken():
        yield "C"
        raise InputError("the library breaks off")

    with pytest.raises(InputError, match="breaks off"):
        fake_screen(broken(), folder)
    assert list(folder.iterdir()) == []
    other = fake_screen(molecules(5), tmp_path / "other")
    (folder / "campaign.toml").write_text((other.folder / "campaign.toml").read_text())
    campaign = fake_screen(molecules(5), folder, seed=1)
    assert campaign.settings.seed == 1
    assert campaign.status().n_ok == 5


def test_another_library_is_refused(tmp_path):
    first = fake_screen(molecules(5), tmp_path / "run")
    before = part_bytes(first)
    with pytest.raises(CampaignError, match="other molecules or another order"):
        fake_screen(molecules(6), tmp_path / "run")
    assert part_bytes(first) == before


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(CampaignError, match="not empty and holds no campaign"):
        fake_screen(molecules(5), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_as_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(CampaignError, match="is a file"):
        fake_screen(molecules(5), tmp_path / "run")


@pytest.mark.parametrize("library", [[], iter(())])
def test_empty_library_leaves_no_folder(tmp_path, library):
    with pytest.raises(InputError, match="no molecule"):
        fake_screen(library, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_library_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.smi"):
        fake_screen(tmp_path / "nowhere.smi", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_library_that_breaks_off_leaves_no_folder(tmp_path):
    def library():
        yield from molecules(5)
        raise InputError("the library ends early")

    with pytest.raises(InputError, match="ends early"):
        fake_screen(library(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runner": "cloud"}, "runner 'cloud' is unknown"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"n_poses": 0}, "n_poses"),
        ({"chunk_size": 0}, "chunk_size must be at least 1"),
        ({"molecule_timeout_s": -1}, "molecule_timeout_s"),
        ({"ligand_options": {"ph_": 7}}, "ph_"),
        ({"ligand_options": 7.4}, "ligand_options must be"),
    ],
)
def test_bad_options_are_one_line(tmp_path, options, message):
    with pytest.raises(InputError, match=message) as caught:
        fake_screen(molecules(3), tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_library_may_change_after_planning(tmp_path, monkeypatch):
    source = tmp_path / "library.smi"
    source.write_text("".join(f"{smiles} {name}\n" for smiles, name in molecules(12)))
    undisturbed = fake_screen(source, tmp_path / "a")
    campaign = fake_screen(source, tmp_path / "b")
    for part in part_paths(campaign)[2:]:
        part.unlink()
    source.write_text("another library\n")
    assert per_ligand(reopen(campaign).resume(runner="serial")) == per_ligand(undisturbed)


def test_settings_cannot_change_under_way(tmp_path):
    campaign = fake_screen(molecules(12), tmp_path / "run")
    part_paths(campaign)[0].unlink()
    settings = campaign.folder / "campaign.toml"
    settings.write_text(settings.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(CampaignError, match="was changed after the campaign began"):
        reopen(campaign).resume(runner="serial")


def test_campaign_of_another_version_is_not_mixed(tmp_path, monkeypatch):
    campaign = fake_screen(molecules(12), tmp_path / "run")
    part_paths(campaign)[0].unlink()
    monkeypatch.setattr("osong_workflows.continuing.version", lambda name: "99.0")
    with pytest.raises(CampaignError, match=r"this is 99\.0"):
        reopen(campaign).resume(runner="serial")


def test_a_folder_cannot_choose_what_runs(tmp_path):
    from osong_workflows.api import Campaign

    campaign = fake_screen(molecules(3), tmp_path / "run")
    with pytest.raises(CampaignError, match="was made with the docker"):
        Campaign(campaign.folder).resume()


def test_no_campaign_folder(tmp_path):
    with pytest.raises(CampaignError, match="no campaign folder"):
        reopen(tmp_path)


def test_nothing_listens_to_other_machines(tmp_path):
    """A campaign opens no door on a shared machine, and two at a time do not fight for a port."""
    import psutil

    heard: set[str] = set()

    def listen(event: object) -> None:
        connections = psutil.Process().net_connections("inet")
        heard.update(c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN)

    fake_screen(molecules(6), tmp_path / "run", runner="local", workers=2, subscribers=[listen])
    assert heard == {"127.0.0.1"}


def test_columns_of_a_table_can_be_named(tmp_path):
    source = tmp_path / "library.csv"
    source.write_text("structure,nothing,code\nCCO,1,A\nCCN,2,B\n")
    campaign = fake_screen(source, tmp_path / "run", smiles_column="structure", name_column="code")
    assert campaign.ledger()["name"].to_pylist() == ["A", "B"]
    assert campaign.ledger()["input"].to_pylist() == ["CCO", "CCN"]
    assert campaign.settings.reading == {"smiles_column": "structure", "name_column": "code"}
    assert reopen(campaign).settings == campaign.settings
