"""Claims and leases: one holder at a time, dead pilots' shards go on, no clock is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from osong_workflows.claims import Claim, Claims
from osong_workflows.folder import CampaignFolder
from osong_workflows.pilots import PilotState, PilotWatch, new_pilot, read_pilots


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> CampaignFolder:
    folder = CampaignFolder.at(tmp_path)
    folder.pilots.mkdir()
    return folder


def pilot(folder: CampaignFolder, name: str, **fields: object) -> PilotState:
    """A pilot on another machine, whose file is there."""
    state = new_pilot("serial").model_copy(
        update={"id": name, "host": f"host-{name}", "boot_id": name, **fields}
    )
    state.write(folder)
    return state


def claims_of(folder: CampaignFolder, me: PilotState, clock: Clock | None = None) -> Claims:
    return Claims(folder, me.id, PilotWatch(folder, me, 100.0, clock or Clock()))


def test_one_of_many_gets_a_shard(folder):
    all_claims = [claims_of(folder, pilot(folder, f"p{i}")) for i in range(8)]
    barrier = threading.Barrier(8)
    got: list[Claim] = []

    def race(claims: Claims) -> None:
        for shard in range(50):
            barrier.wait()
            claim = claims.take(shard)
            if claim is not None:
                got.append(claim)

    threads = [threading.Thread(target=race, args=(claims,)) for claims in all_claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.shard for claim in got) == list(range(50))
    assert all_claims[0].generations() == dict.fromkeys(range(50), 1)


def test_released_shards_are_free(folder):
    ours, theirs = (claims_of(folder, pilot(folder, name)) for name in "ab")
    claim = ours.take(3)
    assert claim is not None
    assert ours.holds(claim)
    assert theirs.take(3) is None
    assert not theirs.holds(claim)
    theirs.release(claim)
    assert ours.holds(claim), "only the holder can give it up"
    ours.release(claim)
    assert theirs.generations() == {}
    assert theirs.take(3) is not None


def test_silent_pilot_loses_its_shard_after_the_lease(folder):
    clock = Clock()
    silent, me = pilot(folder, "silent"), pilot(folder, "me")
    assert claims_of(folder, silent).take(0) is not None
    mine = claims_of(folder, me, clock)
    assert mine.take_over(0, 1) is None
    clock.now += 99.0
    assert mine.take_over(0, 1) is None
    clock.now += 1.0
    claim = mine.take_over(0, 1)
    assert claim == Claim(0, 2, "me")
    assert not claim.needs_care
    assert Claim(0, 3, "me").needs_care, "two pilots died with it"


@pytest.mark.parametrize("hours", [-48, 0, 48])
def test_beating_pilot_keeps_its_shard_whatever_its_clock_says(folder, hours):
    clock = Clock()
    state, me = pilot(folder, "far"), pilot(folder, "me")
    claims_of(folder, state).take(0)
    mine = claims_of(folder, me, clock)
    for beat in range(1, 6):
        assert mine.take_over(0, 1) is None
        clock.now += 80.0
        state.model_copy(update={"beat": beat, "time": f"2026-01-{10 + hours // 24}"}).write(folder)
        mtime = 1e9 + 3600 * hours
        os.utime(folder.pilots / "far.json", (mtime, mtime))
    clock.now += 99.0
    assert mine.take_over(0, 1) is None, "its counter moved when it was last seen"


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "ended"},
        {"job": "77_3", "restart": 1},
    ],
)
def test_pilots_that_are_known_to_be_dead_lose_their_shards_at_once(folder, fields):
    claims_of(folder, pilot(folder, "gone", **fields)).take(0)
    me = pilot(folder, "me", job="77_3", restart=2)
    assert claims_of(folder, me).take_over(0, 1) is not None


def test_other_jobs_restarts_say_nothing(folder):
    claims_of(folder, pilot(folder, "lives", job="77_3", restart=1)).take(0)
    me = pilot(folder, "me", job="77_4", restart=2)
    assert claims_of(folder, me).take_over(0, 1) is None


def test_process_that_is_gone_from_this_machine_loses_its_shard_at_once(folder):
    script = (
        "import sys\n"
        "from osong_workflows.folder import CampaignFolder\n"
        "from osong_workflows.claims import Claims\n"
        "from osong_workflows.pilots import PilotWatch, new_pilot\n"
        "folder = CampaignFolder.at(sys.argv[1])\n"
        "me = new_pilot('serial')\n"
        "me.write(folder)\n"
        "Claims(folder, me.id, PilotWatch(folder, me)).take(0)\n"
        "print('claimed', flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    me = new_pilot("serial")
    me.write(folder)
    claims = claims_of(folder, me)
    assert claims.take_over(0, 1) is None
    process.kill()
    process.wait()
    assert claims.take_over(0, 1) is not None
    process.stdin.close()
    process.stdout.close()


def test_claim_whose_writer_died_is_taken_after_the_lease(folder):
    clock = Clock()
    folder.claims.mkdir()
    (folder.claims / "000005.1").touch()
    mine = claims_of(folder, pilot(folder, "me"), clock)
    assert mine.take_over(5, 1) is None
    clock.now += 100.0
    assert mine.take_over(5, 1) is not None


def test_pilot_that_was_robbed_does_not_release_what_another_holds(folder):
    clock = Clock()
    slow, me = pilot(folder, "slow"), pilot(folder, "me")
    theirs, mine = claims_of(folder, slow), claims_of(folder, me, clock)
    old = theirs.take(0)
    assert old is not None
    mine.take_over(0, 1)
    clock.now += 100.0
    new = mine.take_over(0, 1)
    assert new is not None
    assert not theirs.holds(old)
    theirs.release(old)
    assert mine.holds(new)
    mine.release(new)
    assert mine.generations() == {}


@pytest.mark.parametrize("text", ["", "{", '{"id": "../../x"}', "[]"])
def test_damaged_pilot_files_are_passed_over(folder, text):
    pilot(folder, "good")
    (folder.pilots / "bad.json").write_text(text)
    assert [state.id for state in read_pilots(folder)] == ["good"]
