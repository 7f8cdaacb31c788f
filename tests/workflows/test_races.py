"""Two pilots at the same parts at the same moment: each finds things gone that were there."""

from __future__ import annotations

import shutil

import pytest
from campaign_helpers import fake_screen, molecules, part_bytes, part_paths, reopen
from test_disk import flip_a_bit
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import CampaignError
from osong_workflows import packing, sweeping
from osong_workflows.campaign import Campaign
from osong_workflows.events import Publisher
from osong_workflows.feed import Feed
from osong_workflows.part_names import set_aside
from osong_workflows.pilots import PilotWatch, new_pilot
from osong_workflows.run import Run
from osong_workflows.tasks import DockChunk, PackShard, WorkOrder

N = 24
SIZES = {"chunk_size": 4, "shard_chunks": 3}


@pytest.fixture
def done(tmp_path):
    return fake_screen(molecules(N), tmp_path / "done", **SIZES)


@pytest.fixture
def loose(done):
    """The same campaign, its first shard as the parts of its chunks; and who does its tasks."""
    expected = part_bytes(done)
    part_paths(done)[0].unlink()
    run = Run(WorkOrder(str(done.folder), done.settings.docker, "late", 0))
    try:
        for chunk in range(3):
            run.do(DockChunk(chunk))
        yield done, expected, run
    finally:
        run.close()


def test_damaged_part_that_another_pilot_sets_aside_first(done, monkeypatch):
    part = part_paths(done)[1]
    flip_a_bit(part)
    look = sweeping.part_problem

    def look_too_late(path, piece):
        problem = look(path, piece)
        if problem is not None:
            set_aside(done._folder, path)
        return problem

    monkeypatch.setattr(sweeping, "part_problem", look_too_late)
    told = []
    sweeping.check_parts(done._folder, done.plan, lambda *what: told.append(what))
    assert told == []
    assert not part.exists()
    assert [path.name for path in (done.folder / "damaged").iterdir()] == [part.name]


def test_part_that_goes_before_its_size_is_looked_at(done, monkeypatch):
    find = sweeping.finished_shards

    def find_and_lose(folder, plan):
        found = find(folder, plan)
        found[1].unlink()
        return found

    monkeypatch.setattr(sweeping, "finished_shards", find_and_lose)
    sweeping.check_parts(done._folder, done.plan, lambda *what: None)
    assert len(part_paths(done)) == 1


@pytest.mark.parametrize("moment", ["part_problem", "part_counts"])
def test_shard_that_another_pilot_packs_first(loose, monkeypatch, moment):
    """A pilot that was taken for dead wakes up and packs what is being packed."""
    done, expected, run = loose
    real = getattr(packing, moment)
    others = []

    def be_slower(*arguments):
        if not others:
            others.append("other")
            packing.pack_shard(done._folder, done.plan, 0, "other")
        return real(*arguments)

    monkeypatch.setattr(packing, moment, be_slower)
    result = run.do(PackShard(0))
    assert (others, result.redo, result.damaged) == (["other"], (), ())
    assert part_bytes(done) == expected
    assert not (done.folder / "parts" / "000000").exists()


def test_packed_file_that_is_swept_before_it_has_its_name(loose, monkeypatch):
    """Whoever finishes a campaign removes what stands under temporary names, of others too."""
    done, expected, run = loose
    rows = packing._groups

    def be_slower(*arguments):
        yield from rows(*arguments)
        monkeypatch.setattr(packing, "_groups", rows)
        packing.pack_shard(done._folder, done.plan, 0, "other")
        sweeping.sweep_finished(done._folder, PilotWatch(done._folder, new_pilot("serial")))

    monkeypatch.setattr(packing, "_groups", be_slower)
    result = run.do(PackShard(0))
    assert (result.redo, result.damaged) == ((), ())
    assert part_bytes(done) == expected
    assert list(done.folder.rglob("*.tmp")) == []


def test_two_pilots_sweep_at_the_same_moment(loose, monkeypatch):
    done, _, _ = loose
    place = done.folder / "parts" / "000000"
    (place / ".000001-late-01234567.tmp").write_bytes(b"half")
    look = sweeping.names_in

    def look_too_late(folder):
        names = look(folder)
        shutil.rmtree(place, ignore_errors=True)
        return names

    monkeypatch.setattr(sweeping, "names_in", look_too_late)
    sweeping.sweep_finished(done._folder, PilotWatch(done._folder, new_pilot("serial")))
    assert list(done.folder.rglob("*.tmp")) == []


def test_part_that_goes_while_its_shard_is_packed_is_done_again(loose, monkeypatch):
    done, expected, run = loose
    count = packing.part_counts

    def count_what_is_left(path):
        path.unlink(missing_ok=True)
        return count(path)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "part_counts", count_what_is_left)
        assert run.do(PackShard(0)).redo == (0,)
    run.do(DockChunk(0))
    run.do(PackShard(0))
    assert part_bytes(done) == expected


def test_failure_that_is_nobodys_doing_is_told(loose, monkeypatch):
    done, _, run = loose

    def fail(path):
        raise OSError("input/output error")

    monkeypatch.setattr(packing, "part_counts", fail)
    with pytest.raises(OSError, match="input/output"):
        run.do(PackShard(0))
    assert len(reopen(done).status().failures) == 0


def test_shard_whose_packing_loses_its_worker_for_ever_ends_the_run(loose):
    done, _, _ = loose
    me = new_pilot("srun")
    me.write(done._folder)
    feed = Feed(
        done._folder, done.plan, me, PilotWatch(done._folder, me), Publisher(), is_live=False
    )
    for _ in range(5):
        assert feed.take(wait=False) == PackShard(0)
        feed.lost(PackShard(0), "KilledWorker")
    assert feed.take(wait=False) == PackShard(0)
    with pytest.raises(CampaignError, match="shard 0 lost its worker 6 times"):
        feed.lost(PackShard(0), "KilledWorker")
    feed.close()


def test_shards_that_a_lost_pilot_did_not_pack_are_packed_at_the_end(loose, monkeypatch):
    """Every molecule has its row, but the pilot died before the last parts were joined."""
    done, expected, _ = loose
    assert done.status().is_finished
    assert part_bytes(done) != expected
    monkeypatch.setitem(Campaign.__init__.__kwdefaults__, "docker", done.settings.docker)
    result = CliRunner().invoke(app, ["finish", str(done.folder)])
    assert result.exit_code == 0, result.stderr
    assert part_bytes(done) == expected
    assert not (done.folder / "parts" / "000000").exists()
    assert not (done.folder / "claims").exists()


@pytest.mark.parametrize("runner", ["serial", "local"])
def test_docking_process_killed_as_it_starts_is_started_again(tmp_path, calls, runner):
    docker = "osong_fake_docker:build_killed_once"
    campaign = fake_screen(molecules(N), tmp_path / "run", docker=docker, runner=runner, **SIZES)
    assert calls.with_name("calls.txt.crashed").exists()
    assert campaign.status().n_ok == N
