"""Pilots that share a campaign: packing, two at once, warnings, death, molecules that kill."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from campaign_helpers import (
    DOCKER,
    FakeTarget,
    fake_screen,
    molecules,
    part_bytes,
    part_paths,
    per_ligand,
    read_calls,
    reopen,
)
from test_disk import empty, flip_a_bit, truncate

from osong.errors import CampaignError, CampaignStoppedError
from osong_workflows.create import create_campaign
from osong_workflows.events import PartSetAside, ShardClaimed
from osong_workflows.pilot import PilotOptions
from osong_workflows.pilots import read_pilots
from osong_workflows.settings import dump_ligand_options, make_settings

N = 60
SIZES = {"chunk_size": 4, "shard_chunks": 3}


def planned(library, out: Path, **sizes: int) -> Path:
    """A campaign of which nothing is docked."""
    target = FakeTarget()
    settings = make_settings(
        target_name=target.name,
        target_key=target.key.hex(),
        scoring="vina",
        effort="fast",
        n_poses=3,
        seed=0,
        molecule_timeout_s=600.0,
        docker=DOCKER,
        # As fake_screen has it.
        ligands=dump_ligand_options(None),
    )
    return create_campaign(target, library, out, settings, **(SIZES | sizes)).path


def start_pilot(folder: Path, runner: str = "serial", pause: float = 0.02, **options: object):
    """Start a pilot in a process group of its own."""
    script = (
        "from pathlib import Path\n"
        "from campaign_helpers import reopen\n"
        "from osong.errors import CampaignStoppedError\n"
        "from osong_workflows.pilot import PilotOptions\n"
        f"options = PilotOptions(beat_s=0.1, heeds_signals=True, **{options!r})\n"
        "try:\n"
        f"    reopen(Path({str(folder)!r})).resume(runner={runner!r}, pilot=options)\n"
        "except CampaignStoppedError:\n"
        "    raise SystemExit(75)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OSONG_FAKE_PAUSE": str(pause),
    }
    return subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)


def wait_for_calls(calls: Path, n: int) -> None:
    deadline = time.monotonic() + 120
    while len(read_calls(calls)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The campaign as one undisturbed serial run does it."""
    return fake_screen(molecules(N), tmp_path_factory.mktemp("quiet") / "run", **SIZES)


def assert_same(campaign, quiet) -> None:
    assert part_bytes(campaign) == part_bytes(quiet)
    assert per_ligand(campaign) == per_ligand(quiet)
    assert campaign.ledger().equals(quiet.ledger())
    assert campaign.top(N).equals(quiet.top(N))
    folder = campaign.folder
    assert not any((folder / "parts").glob("[0-9]*[0-9]")), "parts of chunks are gone"
    assert not (folder / "claims").exists()
    assert list(folder.rglob("*.tmp")) == []


def test_shards_are_packed_and_read_like_parts(quiet, tmp_path):
    assert [path.name[:6] for path in part_paths(quiet)] == [f"{i:06d}" for i in range(5)]
    assert quiet.plan.n_chunks == 15
    flat = fake_screen(molecules(N), tmp_path / "flat", chunk_size=12)
    assert per_ligand(flat) == per_ligand(quiet)
    assert flat.top(N).equals(quiet.top(N))
    assert len(quiet.poses("m17")) == 3


def test_runners_pack_the_same_bytes(quiet, tmp_path):
    local = fake_screen(molecules(N), tmp_path / "local", runner="local", workers=3, **SIZES)
    assert_same(local, quiet)


def test_packing_in_large_groups_depends_on_no_part(tmp_path, monkeypatch):
    monkeypatch.setattr("osong_workflows.packing._ROWS_PER_GROUP", 7)
    import pyarrow.parquet as pq

    campaign = fake_screen(molecules(N), tmp_path / "run", chunk_size=5, shard_chunks=12)
    (part,) = part_paths(campaign)
    with pq.ParquetFile(part) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert sizes == [7] * 8 + [4]
        assert file.read()["index"].to_pylist() == list(range(N))


def test_two_pilots_share_and_nothing_is_docked_twice(tmp_path, calls, quiet):
    folder = planned(molecules(N), tmp_path / "run")
    pilots = [start_pilot(folder), start_pilot(folder, "local")]
    assert [process.wait(timeout=120) for process in pilots] == [0, 0]
    assert sorted(read_calls(calls)) == list(range(N))
    assert_same(reopen(folder), quiet)
    states = read_pilots(reopen(folder)._folder)
    assert sorted(state.state for state in states) == ["ended", "ended"]
    assert sum(state.n_ok for state in states) == N
    assert all(state.n_ok for state in states), "both worked"


@pytest.mark.slow
def test_pilots_killed_at_random_beside_one_that_lives(tmp_path, calls, quiet):
    folder = planned(molecules(N), tmp_path / "run")
    moments = random.Random(7)
    survivor = start_pilot(folder, pause=0.1, lease_s=5.0)
    for _ in range(4):
        victim = start_pilot(folder, "local", pause=0.1)
        time.sleep(moments.uniform(0.5, 2.5))
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    assert survivor.wait(timeout=120) == 0
    assert_same(reopen(folder), quiet)


@pytest.mark.parametrize(("number", "grace"), [(signal.SIGUSR1, 60.0), (signal.SIGTERM, 60.0)])
def test_warned_pilot_ends_its_chunk_and_leaves_the_rest(tmp_path, calls, quiet, number, grace):
    folder = planned(molecules(N), tmp_path / "run")
    process = start_pilot(folder, pause=0.1, grace_s=grace)
    wait_for_calls(calls, 6)
    process.send_signal(number)
    assert process.wait(timeout=60) == 75
    assert len(read_calls(calls)) % 4 == 0, "chunks under way were finished"
    assert not list((folder / "claims").iterdir()), "others need not wait for a lease"
    done = len(read_calls(calls))
    campaign = reopen(folder)
    assert campaign.status().n_left == N - done
    campaign.resume(runner="serial")
    assert sorted(read_calls(calls)) == list(range(N)), "nothing was docked twice"
    assert_same(campaign, quiet)


@pytest.mark.parametrize("runner", ["local", "serial"])
def test_warned_pilot_gives_up_what_takes_too_long(tmp_path, calls, runner):
    folder = planned([*molecules(3), ("HANG", "hang")], tmp_path / "run", chunk_size=2)
    process = start_pilot(folder, runner, grace_s=0.5)
    wait_for_calls(calls, 4)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 75


def test_claims_of_a_killed_pilot_are_taken_over_with_a_higher_generation(tmp_path, calls, quiet):
    folder = planned(molecules(N), tmp_path / "run")
    process = start_pilot(folder, pause=0.1)
    wait_for_calls(calls, 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    events: list = []
    reopen(folder).resume(runner="serial", subscribers=[events.append])
    claimed = [event for event in events if isinstance(event, ShardClaimed)]
    assert sorted(event.shard for event in claimed) == list(range(5))
    assert [event.generation for event in claimed if event.generation > 1] == [2]
    assert_same(reopen(folder), quiet)


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, empty])
def test_damaged_part_of_a_chunk_is_done_again_before_packing(tmp_path, calls, quiet, damage):
    folder = planned(molecules(N), tmp_path / "run")
    process = start_pilot(folder, pause=0.05)
    loose = folder / "parts" / "000000"
    while not loose.is_dir() or not list(loose.glob("*.parquet")):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    damage(sorted(loose.glob("*.parquet"))[0])
    events: list = []
    reopen(folder).resume(runner="serial", subscribers=[events.append])
    assert len([event for event in events if isinstance(event, PartSetAside)]) == 1
    assert len(list((folder / "damaged").iterdir())) == 1
    assert_same(reopen(folder), quiet)


def test_part_damaged_while_the_shard_is_under_way_is_found_at_packing(
    tmp_path, monkeypatch, quiet
):
    from osong_workflows import run

    damaged = []
    pack = run.pack_shard

    def damage_first(folder, plan, index, *rest):
        if not damaged:
            part = sorted(folder.shard_parts(index).glob("*.parquet"))[1]
            flip_a_bit(part)
            damaged.append(part)
        return pack(folder, plan, index, *rest)

    monkeypatch.setattr(run, "pack_shard", damage_first)
    campaign = fake_screen(molecules(N), tmp_path / "run", **SIZES)
    assert len(damaged) == 1
    assert_same(campaign, quiet)


def test_large_results_are_checked_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("osong_workflows.continuing._VERIFIED_BYTES", 10)
    campaign = fake_screen(molecules(N), tmp_path / "run", **SIZES)
    before = part_bytes(campaign)
    flip_a_bit(part_paths(campaign)[1])
    reopen(campaign).resume(runner="serial")
    assert part_bytes(campaign) != before, "not looked at: it would take hours"
    reopen(campaign).resume(runner="serial", verify=True)
    assert part_bytes(campaign) == before


def test_finishing_packs_what_the_last_pilot_left(tmp_path, quiet):
    """It died after its last chunk: every molecule has its row, in files of chunks."""
    from osong_workflows.run import Run
    from osong_workflows.tasks import DockChunk, WorkOrder

    campaign = reopen(planned(molecules(N), tmp_path / "run"))
    with contextlib.closing(Run(WorkOrder(str(campaign.folder), DOCKER, "died"))) as run:
        for chunk in range(campaign.plan.n_chunks):
            run.do(DockChunk(chunk))
    assert campaign.status().is_finished
    assert part_paths(campaign) == []
    assert campaign.pack().is_finished
    assert_same(campaign, quiet)


def test_scratch_sees_the_writing_and_keeps_nothing(tmp_path, monkeypatch, quiet):
    monkeypatch.setenv("MY_SCRATCH", str(tmp_path / "scratch"))
    campaign = reopen(planned(molecules(N), tmp_path / "run"))
    written = []
    from osong_workflows import parts

    copy = parts._copy_durably

    def spy(source, target):
        written.append(source.parent)
        copy(source, target)

    monkeypatch.setattr(parts, "_copy_durably", spy)
    reopen(campaign).resume(runner="serial", scratch="$MY_SCRATCH/osong")
    assert set(written) == {tmp_path / "scratch" / "osong"}
    assert len(written) == 15 + 5
    assert list((tmp_path / "scratch" / "osong").iterdir()) == []
    assert_same(campaign, quiet)


@pytest.mark.slow
def test_molecule_that_kills_its_watcher_is_found_and_blamed(tmp_path, calls):
    """Two pilots die with it; the third is careful, and sees who did it."""
    library = [*molecules(5), ("PARENT", "killer"), *molecules(9)[5:]]
    planned(library, tmp_path / "run", chunk_size=3, shard_chunks=1)
    codes = []
    for _ in range(3):
        process = start_pilot(tmp_path / "run")
        codes.append(process.wait(timeout=120))
        if codes[-1] == 0:
            break
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    rows = per_ligand(reopen(tmp_path / "run"))
    assert rows["killer"]["stage"] == "crash"
    assert "SIGKILL" in rows["killer"]["reason"]
    assert [row["status"] for name, row in rows.items() if name != "killer"] == ["ok"] * 9


def test_clocks_of_pilots_may_differ(tmp_path, calls, quiet, monkeypatch):
    """A pilot a day ahead and one a day behind share the work as any two."""
    folder = planned(molecules(N), tmp_path / "run")
    shifted = []
    for days in (-1, 1):
        script = (
            "import datetime, time\n"
            "real = time.time\n"
            f"time.time = lambda: real() + {days} * 86400\n"
            "from pathlib import Path\n"
            "from campaign_helpers import reopen\n"
            f"reopen(Path({str(folder)!r})).resume(runner='serial')\n"
        )
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OSONG_FAKE_PAUSE": "0.02",
        }
        shifted.append(subprocess.Popen([sys.executable, "-c", script], env=environment))
    assert [process.wait(timeout=120) for process in shifted] == [0, 0]
    assert sorted(read_calls(calls)) == list(range(N))
    assert_same(reopen(folder), quiet)


def test_part_of_another_campaign_is_not_taken_for_ours(tmp_path, quiet):
    import shutil

    other = fake_screen(molecules(N), tmp_path / "other", seed=1, **SIZES)
    campaign = reopen(planned(molecules(N), tmp_path / "run"))
    stranger = part_paths(other)[0]
    shutil.copy(stranger, campaign.folder / "parts" / stranger.name)
    assert campaign.status().n_left == N
    with pytest.raises(CampaignError, match="another campaign"):
        campaign.resume(runner="serial")
    assert [path.name for path in part_paths(campaign)] == [stranger.name], "nothing was touched"
    (campaign.folder / "parts" / stranger.name).unlink()
    campaign.resume(runner="serial")
    assert_same(campaign, quiet)


def test_stopping_from_another_thread(tmp_path, calls):
    """What a signal does, asked of the feed itself."""
    from osong_workflows import pilot as pilot_module

    folder = planned(molecules(N), tmp_path / "run")
    feeds = []
    make = pilot_module.Feed

    def keep(*arguments, **options):
        feeds.append(make(*arguments, **options))
        return feeds[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pilot_module, "Feed", keep)
        patch.setenv("OSONG_FAKE_PAUSE", "0.05")
        timer = threading.Thread(target=lambda: (wait_for_calls(calls, 3), feeds[0].drain(30.0)))
        timer.start()
        with pytest.raises(CampaignStoppedError, match="molecules left"):
            reopen(folder).resume(runner="local", workers=2, pilot=PilotOptions(beat_s=0.1))
        timer.join()
    assert 0 < reopen(folder).status().n_ok < N


def test_chunk_that_loses_its_worker_for_ever_ends_the_run(tmp_path):
    from osong_workflows.events import Publisher
    from osong_workflows.feed import Feed
    from osong_workflows.pilots import PilotWatch, new_pilot

    campaign = reopen(planned(molecules(N), tmp_path / "run"))
    me = new_pilot("srun")
    me.write(campaign._folder)
    watch = PilotWatch(campaign._folder, me)
    feed = Feed(campaign._folder, campaign.plan, me, watch, Publisher(), is_live=False)
    task = feed.take(wait=True)
    assert task is not None
    assert not task.with_care
    for _ in range(5):
        feed.lost(task, "KilledWorker")
        task = next(t for t in iter(lambda: feed.take(wait=False), None) if t.chunk == 0)
        assert task.with_care
    with pytest.raises(CampaignError, match="chunk 0 lost its worker 6 times"):
        feed.lost(task, "KilledWorker")
    feed.close()
