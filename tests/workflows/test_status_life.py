"""Which pilots live, by their signs of life and whatever their clocks say."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from half_done import made_half_done, without_pilots  # noqa: F401 (fixtures)
from pilot_files import write_pilot

from osong_workflows import jobs
from osong_workflows.observing import observe
from osong_workflows.pilot_views import PilotReader
from osong_workflows.pilots import new_pilot, process_is_gone, ticks_at_start

if TYPE_CHECKING:
    from osong_workflows.pilot_views import PilotView


def lives(folder: Path) -> dict[str, str]:
    return {view.state.id: view.life for view in observe(folder).pilots}


class TestLife:
    def test_by_the_time_of_the_last_sign(self, campaign: Path) -> None:
        write_pilot(campaign, "fresh", age_s=30)
        write_pilot(campaign, "old", age_s=1000)
        write_pilot(campaign, "done", age_s=5000, state="ended", tasks=0)
        assert lives(campaign) == {"fresh": "at work", "old": "silent", "done": "ended"}

    def test_a_process_of_this_machine_is_looked_for(self, campaign: Path) -> None:
        me = psutil.Process()
        here = {
            "host": socket.gethostname(),
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "pid_namespace": Path("/proc/self/ns/pid").stat().st_ino,
            "process_start": ticks_at_start(me.pid),
        }
        write_pilot(campaign, "here", pid=me.pid, **here)
        write_pilot(campaign, "dead", pid=2**22 + 1, **here)
        write_pilot(campaign, "reused", pid=me.pid, **here | {"process_start": 1})
        assert lives(campaign) == {"here": "at work", "dead": "gone", "reused": "gone"}

    def test_a_zombie_is_gone(self) -> None:
        child = subprocess.Popen(["sleep", "60"])
        me = new_pilot("local")
        start = ticks_at_start(child.pid)
        state = me.model_copy(update={"pid": child.pid, "process_start": start})
        assert not process_is_gone(state, me)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_is_gone(state, me)
        child.wait()
        assert process_is_gone(state, me)

    def test_a_job_that_was_started_again_has_left_its_first_pilot(self, campaign: Path) -> None:
        write_pilot(campaign, "before", job="7_1", restart=0)
        write_pilot(campaign, "after", job="7_1", restart=1)
        write_pilot(campaign, "other", job="7_2", restart=0)
        assert lives(campaign) == {"before": "gone", "after": "at work", "other": "at work"}

    def test_a_silent_pilot_of_a_job_that_has_ended_is_gone(self, tmp_path: Path) -> None:
        for name in ("1", "2", "3"):
            write_pilot(tmp_path, f"node{name}", job=f"7_{name}", age_s=1000)
        states = [
            jobs.JobState("7_1", "pilot", "NODE_FAIL"),
            jobs.JobState("7_2", "pilot", "RUNNING"),
            jobs.JobState("7_3", "pilot", "UNKNOWN"),
        ]
        seen = {v.state.id: (v.life, v.job_state) for v in reader(tmp_path).read(states)}
        assert seen == {
            "node1": ("gone", "NODE_FAIL"),
            "node2": ("silent", "RUNNING"),
            "node3": ("silent", "UNKNOWN"),
        }

    def test_a_file_that_makes_no_sense_is_named(self, campaign: Path) -> None:
        write_pilot(campaign, "good")
        (campaign / "pilots" / "odd.json").write_text("{}")
        (campaign / "pilots" / ".good.json.tmp").write_text("{")
        seen = observe(campaign)
        assert [view.state.id for view in seen.pilots] == ["good"]
        assert any("odd.json" in note for note in seen.notes)


class Clocks:
    """A monotonic clock and a clock that is wrong by some seconds."""

    def __init__(self, wrong_s: float = 0.0) -> None:
        self.passed = 0.0
        self._begin = time.time() + wrong_s

    def monotonic(self) -> float:
        return 5000.0 + self.passed

    def now(self) -> float:
        return self._begin + self.passed


def reader(folder: Path, clocks: Clocks | None = None) -> PilotReader:
    clocks = clocks or Clocks()
    return PilotReader(folder / "pilots", monotonic=clocks.monotonic, now=clocks.now)


def only(views: tuple[PilotView, ...]) -> PilotView:
    (view,) = views
    return view


class TestClocks:
    """Once a counter was seen to move, no clock but the own monotonic one counts."""

    def test_a_pilot_that_beats_lives_though_the_clock_here_is_an_hour_ahead(
        self, tmp_path: Path
    ) -> None:
        clocks = Clocks(wrong_s=3600)
        pilots = reader(tmp_path, clocks)
        write_pilot(tmp_path, "node1", beat=7)
        assert only(pilots.read()).life == "silent"
        clocks.passed += 20
        write_pilot(tmp_path, "node1", beat=8)
        assert only(pilots.read()).life == "at work"
        clocks.passed += 100
        assert only(pilots.read()).life == "at work"
        clocks.passed += 100
        assert only(pilots.read()).life == "silent"

    def test_a_pilot_that_stopped_is_silent_though_the_clock_here_is_an_hour_behind(
        self, tmp_path: Path
    ) -> None:
        clocks = Clocks(wrong_s=-3600)
        pilots = reader(tmp_path, clocks)
        write_pilot(tmp_path, "node1")
        assert only(pilots.read()).life == "at work"
        clocks.passed += 121
        assert only(pilots.read()).life == "silent"
        assert pilots.clock_behind_s == pytest.approx(3600 - 121 - 1, abs=5)

    def test_the_newest_file_tells_that_others_are_old(self, tmp_path: Path) -> None:
        write_pilot(tmp_path, "fresh", age_s=0)
        write_pilot(tmp_path, "old", age_s=1000)
        views = {v.state.id: v.life for v in reader(tmp_path, Clocks(wrong_s=-3600)).read()}
        assert views == {"fresh": "at work", "old": "silent"}

    def test_clocks_that_differ_are_told(self, campaign: Path) -> None:
        write_pilot(campaign, "node1", clock_s=600)
        write_pilot(campaign, "node2", clock_s=-600)
        write_pilot(campaign, "node3", clock_s=20)
        notes = "\n".join(observe(campaign).notes)
        assert "clock of node1 is 10 min ahead" in notes
        assert "clock of node2 is 10 min behind" in notes
        assert "node3" not in notes
