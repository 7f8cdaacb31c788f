"""Pilots that stall, wake up late, get signals at bad moments; file systems with bad moments."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from campaign_helpers import fake_screen, molecules, part_bytes
from test_pilots import planned

from osong.errors import CampaignError, ResourceError
from osong_workflows import create
from osong_workflows import folder as folder_module
from osong_workflows.claims import Claims
from osong_workflows.events import Publisher
from osong_workflows.export import _whole
from osong_workflows.feed import Feed
from osong_workflows.folder import CampaignFolder, write_atomically
from osong_workflows.part_names import FinishedShards, find_results, finished_shards
from osong_workflows.parts import PartFile
from osong_workflows.pilot import _drainer
from osong_workflows.pilots import PilotState, PilotWatch, new_pilot, process_is_gone
from osong_workflows.plan import Plan, read_plan
from osong_workflows.run import Run
from osong_workflows.sweeping import check_parts, sweep_dead, sweep_finished
from osong_workflows.tasks import DockChunk, PackShard, TaskResult, WorkOrder


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A campaign of one shard of 15 chunks, and pilots on machines of their own."""

    def __init__(self, path: Path) -> None:
        self.folder = CampaignFolder.at(planned(molecules(60), path, chunk_size=4, shard_chunks=15))
        self.plan: Plan = read_plan(self.folder)
        self.clock = Clock()
        for place in (self.folder.parts, self.folder.pilots, self.folder.claims):
            place.mkdir(exist_ok=True)

    def pilot(self, name: str) -> PilotState:
        state = new_pilot("serial").model_copy(update={"id": name, "host": name, "boot_id": name})
        state.write(self.folder)
        return state

    def feed(self, name: str) -> Feed:
        me = self.pilot(name)
        watch = PilotWatch(self.folder, me, 120, self.clock)
        return Feed(self.folder, self.plan, me, watch, Publisher(), is_live=False, clock=self.clock)

    def taken_over(self) -> tuple[Feed, Feed, DockChunk]:
        """A slow pilot, another that has its shard now, and what the slow one had under way."""
        slow, other = self.feed("slow"), self.feed("other")
        task = slow.take(wait=False)
        assert isinstance(task, DockChunk)
        for _ in range(20):
            self.clock.now += 20
            if other.take(wait=False) is not None:
                return slow, other, task
        raise AssertionError("the shard was not taken over")


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "run")


def test_pilot_that_stalled_leaves_its_shard_to_who_took_it_over(stage):
    slow, _, task = stage.taken_over()
    slow.done(task, TaskResult(n_ok=4))
    assert slow.take(wait=False) is None, "the rest is the other's"
    assert slow.state().shards == ()


def test_pilot_that_stalled_leaves_a_shard_that_is_finished(stage):
    slow, other, task = stage.taken_over()
    key = stage.plan.shard(0).key[:16]
    (stage.folder.parts / f"000000-{key}-{'0' * 32}.parquet").write_bytes(b"x")
    other.done(PackShard(0), TaskResult())
    assert not list(stage.folder.claims.iterdir())
    slow.done(task, TaskResult(n_ok=4))
    stage.clock.now += 60
    assert slow.take(wait=False) is None
    assert slow.is_finished


def test_claim_of_the_same_generation_by_another_is_not_ours(stage):
    """Taken over, given up, claimed anew: the file has the old name and another's content."""
    slow, other, task = stage.taken_over()
    other.close()
    third = stage.feed("third")
    assert third.take(wait=False) is not None
    assert [path.name for path in stage.folder.claims.iterdir()] == ["000000.1"]
    slow.done(task, TaskResult(n_ok=4))
    stage.clock.now += 60
    assert slow.take(wait=False) is None


def test_shard_that_looks_free_in_an_old_listing_is_looked_at_again(stage, monkeypatch):
    """NFS shows the names in a folder as they were a minute ago."""
    key = stage.plan.shard(0).key[:16]
    (stage.folder.parts / f"000000-{key}-{'0' * 32}.parquet").write_bytes(b"x")
    monkeypatch.setattr("osong_workflows.feed.FinishedShards.look", lambda _: frozenset())
    feed = stage.feed("me")
    assert feed.take(wait=False) is None
    assert not list(stage.folder.claims.iterdir())


def test_pack_that_kills_its_worker_is_not_tried_for_ever(stage):
    feed = stage.feed("me")
    while isinstance(task := feed.take(wait=False), DockChunk):
        feed.done(task, TaskResult(n_ok=4))
    assert task == PackShard(0)
    for _ in range(5):
        feed.lost(PackShard(0), "KilledWorker")
        assert feed.take(wait=False) == PackShard(0)
    with pytest.raises(CampaignError, match="shard 0 lost its worker 6 times"):
        feed.lost(PackShard(0), "KilledWorker")


def test_lost_task_of_a_shard_that_is_another_s_now_is_dropped(stage):
    slow, _, task = stage.taken_over()
    stage.clock.now += 60
    slow.take(wait=False)
    slow.lost(task, "KilledWorker")
    assert slow.take(wait=False) is None


def test_chunk_that_another_did_meanwhile_is_not_docked_again(tmp_path, calls):
    campaign = fake_screen(molecules(12), tmp_path / "run", chunk_size=4)
    calls.unlink()
    order = WorkOrder(str(campaign.folder), "osong_fake_docker:build", "late")
    with contextlib.closing(Run(order)) as run:
        assert run.do(DockChunk(1)).n_ok == 4
    assert not calls.exists()


def test_step_of_the_clock_kills_no_pilot(tmp_path, monkeypatch):
    """The time at which a process began, as psutil tells it, moves with the clock."""
    folder = CampaignFolder.at(planned(molecules(12), tmp_path / "run", shard_chunks=1))
    plan = read_plan(folder)
    living, observer = new_pilot("local"), new_pilot("local")
    living.write(folder)
    with PartFile(folder.parts, plan.chunk(0), living.id):
        before = psutil._pslinux.boot_time()
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: before + 5)
        assert not process_is_gone(living, observer)
        sweep_dead(folder, PilotWatch(folder, observer))
        assert len(list(folder.parts.glob(".*.tmp"))) == 1


def test_sweeping_leaves_what_commands_are_writing(tmp_path):
    folder = CampaignFolder.at(planned(molecules(2), tmp_path / "run"))
    with _whole(folder.path / "hits.csv") as temporary:
        temporary.write_text("rank\n")
        sweep_finished(folder, PilotWatch(folder, new_pilot("local")))
    assert (folder.path / "hits.csv").read_text() == "rank\n"


def test_two_writers_of_one_file(tmp_path):
    path = tmp_path / "wishes.json"
    write_atomically(path, b"0" * 20_000)
    torn = []
    writers = [
        threading.Thread(
            target=lambda byte=byte: [write_atomically(path, byte * 20_000) for _ in range(60)]
        )
        for byte in (b"1", b"2")
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        data = path.read_bytes()
        if len(set(data)) != 1 or len(data) != 20_000:
            torn.append(data)
    for writer in writers:
        writer.join()
    assert not torn
    assert [path.name for path in tmp_path.iterdir()] == ["wishes.json"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_bad_moment_of_the_file_system_is_no_damage(tmp_path, monkeypatch, number):
    campaign = fake_screen(molecules(8), tmp_path / "run", chunk_size=4)
    before = part_bytes(campaign)
    really_open = Path.open

    def fail(self, *arguments, **options):
        if self.suffix == ".parquet":
            raise OSError(number, os.strerror(number), str(self))
        return really_open(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        with pytest.raises(ResourceError, match="cannot be read now"):
            check_parts(campaign._folder, campaign.plan, lambda *told: pytest.fail(str(told)))
    assert part_bytes(campaign) == before


def test_signal_as_a_pilot_begins_to_wait(stage, monkeypatch):
    """A handler that takes a lock which the interrupted code holds would wait for ever."""
    claims = Claims(stage.folder, "other", PilotWatch(stage.folder, stage.pilot("other")))
    assert claims.take(0) is not None
    feed = stage.feed("me")
    before = signal.signal(signal.SIGUSR1, _drainer(feed, 5.0))
    nap = time.sleep

    def nap_with_a_signal(seconds):
        os.kill(os.getpid(), signal.SIGUSR1)
        nap(min(seconds, 0.01))

    monkeypatch.setattr("osong_workflows.feed.time.sleep", nap_with_a_signal)
    try:
        assert feed.take(wait=True) is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert feed.state().state == "stopping"


def test_stale_handle_as_a_claim_is_given_up_hides_nothing(stage, monkeypatch):
    feed = stage.feed("me")
    feed.take(wait=False)

    def fail(self, *arguments, **options):
        raise OSError(errno.ESTALE, "Stale file handle", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        feed.close()
    assert feed.state().shards == ()


def test_beginning_that_fails_leaves_what_another_process_has_begun(tmp_path, monkeypatch):
    """Where the file system has no locks, two may begin the same campaign."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_module.fcntl, "flock", no_locks)
    make, begun, go_on = create._plan, threading.Event(), threading.Event()

    def plan(*arguments):
        if threading.current_thread().name == "slow":
            begun.set()
            go_on.wait(20)
            raise ResourceError("the disk is full")
        return make(*arguments)

    monkeypatch.setattr(create, "_plan", plan)
    told: list[str] = []

    def begin_slowly() -> None:
        try:
            planned(molecules(8), tmp_path / "run")
        except ResourceError as error:
            told.append(str(error))

    slow = threading.Thread(target=begin_slowly, name="slow")
    slow.start()
    begun.wait(20)
    folder = CampaignFolder.at(planned(molecules(8), tmp_path / "run"))
    go_on.set()
    slow.join()
    assert told == ["the disk is full"]
    assert read_plan(folder).n_records == 8
    assert folder.settings.exists()
    assert find_results(folder, read_plan(folder)).parts == ()


def test_pilot_without_workers_sees_that_others_have_finished(stage):
    feed = stage.feed("me")
    assert not feed.is_over
    key = stage.plan.shard(0).key[:16]
    (stage.folder.parts / f"000000-{key}-{'0' * 32}.parquet").write_bytes(b"x")
    assert not feed.is_over, "it looks now and then, not always"
    stage.clock.now += 60
    assert feed.is_over


def test_finer_shards_are_begun_after_all_others(stage):
    stage.plan = stage.plan.model_copy(
        update={"n_records": 40, "chunk_size": 4, "shard_chunks": 2, "n_coarse": 3, "fine_size": 1}
    )
    feeds = [stage.feed(f"pilot-{i}") for i in range(3)]
    begun: list[int] = []
    while tasks := [task for feed in feeds if (task := feed.take(wait=False))]:
        begun += [stage.plan.shard_of(task.chunk) for task in tasks]
    assert set(begun) == set(range(stage.plan.n_shards))
    assert stage.plan.n_shards == 3 + 8
    assert set(begun[:6]) == {0, 1, 2}


def test_looking_again_sees_what_came_and_what_went(stage):
    parts, plan = stage.folder.parts, stage.plan.model_copy(update={"shard_chunks": 4})
    seen = FinishedShards(stage.folder, plan)
    for index in range(plan.n_shards):
        assert seen.look() == set(range(index)) == set(finished_shards(stage.folder, plan))
        (parts / f"{index:06d}-{plan.shard(index).key[:16]}-{'0' * 32}.parquet").touch()
        (parts / f"{index:06d}-{'f' * 16}-{'0' * 32}.parquet").touch()
    next(parts.glob(f"000000-{plan.shard(0).key[:16]}*")).unlink()
    assert seen.look() == set(range(1, plan.n_shards))
