"""What can be told of a campaign from its folder alone: counts, pilots, rates, logs."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from campaign_helpers import fake_screen, molecules
from pilot_files import stamp, write_log, write_pilot
from rich.console import Console

from osong.errors import CampaignError
from osong_workflows import jobs, part_names, status
from osong_workflows.folder import CampaignFolder
from osong_workflows.observing import log_lines, observe
from osong_workflows.overview import Observer
from osong_workflows.panel import draw, draw_campaigns
from osong_workflows.pilot_views import PilotReader
from osong_workflows.pilots import new_pilot, process_is_gone, ticks_at_start
from osong_workflows.plan import read_plan
from osong_workflows.status import StatusReader

if TYPE_CHECKING:
    from osong_workflows.pilot_views import PilotView

N = 60


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 molecules in chunks of 10, of which four are done; two of the 40 failed."""
    library = molecules(N)
    library[3] = ("FAIL_late", "late")
    library[2] = ("FAIL_first", "first")
    folder = fake_screen(library, tmp_path_factory.mktemp("run") / "run1", chunk_size=10).folder
    for part in part_paths_of(folder)[4:]:
        part.unlink()
    return folder


def part_paths_of(folder: Path) -> list[Path]:
    return sorted((folder / "parts").rglob("*.parquet"))


@pytest.fixture
def campaign(half_done: Path) -> Path:
    """The same, without any pilot or log."""
    for name in ("pilots", "logs"):
        for path in (half_done / name).glob("*"):
            path.unlink()
    return half_done


def lives(folder: Path) -> dict[str, str]:
    return {view.state.id: view.life for view in observe(folder).pilots}


def drawn(folder: Path, width: int = 80, *, n_log: int = 0) -> str:
    console = Console(
        width=width, record=True, force_terminal=True, highlight=False, file=io.StringIO()
    )
    console.print(observe(folder, n_log=n_log))
    return console.export_text()


class TestCounts:
    def test_what_is_done_is_counted_from_the_files(self, campaign: Path) -> None:
        seen = observe(campaign).status
        assert (seen.n_ok, seen.n_failed, seen.n_left, seen.n_records) == (38, 2, 20, N)
        assert (seen.n_chunks, seen.n_chunks_done) == (6, 4)
        assert seen.failures == {"embed": 2}

    def test_who_docked_is_told_once_it_is_not_the_cpu_alone(
        self, campaign: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = observe(campaign)
        assert seen.status.backends == seen.as_dict()["backends"] == {"cpu": 38}
        assert seen.status.counts.startswith("38 ok, 2 failed")
        on_devices = part_paths_of(campaign)[:2]

        def footer(part: Path) -> object:
            found = part_names.part_footer(part)
            if part not in on_devices:
                return found
            by = {"cuda": found.n_ok - 1, "cpu": 1}
            return found._replace(backends=Counter(by))

        monkeypatch.setattr(status, "part_footer", footer)
        seen = observe(campaign)
        assert seen.status.backends == {"cpu": 22, "cuda": 16}
        assert seen.status.counts.startswith("38 ok (16 on devices, 22 on CPUs), 2 failed")
        assert "38 ok (16 on devices, 22 on CPUs), 2 failed" in " ".join(drawn(campaign).split())
        only_cuda = replace(seen.status, backends={"cuda": 38})
        assert only_cuda.ok == "38 ok (38 on devices)"

    def test_the_first_failure_of_each_stage_comes_with_its_reason(self, campaign: Path) -> None:
        example = observe(campaign).examples["embed"]
        assert example.name == "first"
        assert "made to fail" in example.reason

    def test_a_footer_is_read_once(self, campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[Path] = []

        def count(part: Path) -> object:
            read.append(part)
            return part_names.part_footer(part)

        monkeypatch.setattr(status, "part_footer", count)
        observer = Observer(campaign)
        first, second = observer.look().status, observer.look().status
        assert first == second
        assert sorted(read) == part_paths_of(campaign)

    def test_a_file_that_is_packed_between_listing_and_reading_is_not_damaged(
        self, campaign: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = part_paths_of(campaign)[0]
        hidden = gone.with_suffix(".hidden")

        def vanish(part: Path) -> object:
            if part == gone and gone.exists():
                gone.rename(hidden)
            return part_names.part_footer(part)

        monkeypatch.setattr(status, "part_footer", vanish)
        folder = CampaignFolder.at(campaign)
        try:
            seen = StatusReader(folder, read_plan(folder)).count()
        finally:
            hidden.rename(gone)
        assert (seen.n_chunks_done, seen.n_damaged) == (3, 0)

    def test_looking_writes_nothing(self, campaign: Path) -> None:
        write_pilot(campaign, "node1")
        before = {path: path.stat() for path in [campaign, *campaign.rglob("*")]}
        observe(campaign, n_log=3)
        after = {path: path.stat() for path in [campaign, *campaign.rglob("*")]}
        assert before.keys() == after.keys()
        assert all(before[p].st_mtime_ns == after[p].st_mtime_ns for p in before)

    def test_no_campaign_and_damaged_plan_are_errors(self, campaign: Path, tmp_path: Path) -> None:
        with pytest.raises(CampaignError, match="no campaign folder"):
            observe(tmp_path)
        (tmp_path / "campaign.toml").write_bytes((campaign / "campaign.toml").read_bytes())
        (tmp_path / "plan.json").write_text('{"format": 77}')
        with pytest.raises(CampaignError, match=r"plan\.json"):
            observe(tmp_path)


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


class TestRate:
    def test_tasks_under_way_times_the_speed_of_a_core(self, campaign: Path) -> None:
        write_pilot(campaign, "quick", n_ok=20, core_seconds=10.0, tasks=9, n_threads=4)
        write_pilot(campaign, "new", n_ok=0, core_seconds=0.0, tasks=2)
        write_pilot(
            campaign, "slow", n_ok=20, core_seconds=90.0, tasks=0, age_s=7200, state="ended"
        )
        seen = observe(campaign)
        assert seen.rate.per_core == pytest.approx(40 / 100)
        # The new pilot has no speed of its own yet: it gets that of all.
        assert seen.rate.now == pytest.approx(4 * 2.0 + 2 * 0.4)
        assert (seen.rate.busy, seen.rate.threads) == (6, 12)

    def test_hours_in_which_nobody_worked_do_not_count(self, campaign: Path) -> None:
        write_pilot(campaign, "first", age_s=36_000, state="ended")
        write_pilot(campaign, "beside", age_s=36_000, state="ended")
        write_pilot(campaign, "second", age_s=0)
        assert observe(campaign).rate.overall == pytest.approx(40 / 7200, rel=0.01)

    def test_time_left_says_how_it_was_estimated(self, campaign: Path) -> None:
        assert observe(campaign).time_left_s is None
        write_pilot(campaign, "node1", n_ok=40, core_seconds=40.0, tasks=1)
        seen = observe(campaign)
        assert seen.time_left_s == pytest.approx(20)
        assert seen.estimate == "about 20 s: 20 molecules at 1.0/s (1 thread busy, 1.0/s a core)"

    def test_the_end_takes_as_long_as_a_chunk_however_many_work(self, campaign: Path) -> None:
        write_pilot(campaign, "node1", n_ok=40, core_seconds=40.0, tasks=8)
        seen = observe(campaign)
        assert seen.time_left_s == pytest.approx(10)
        assert seen.estimate.startswith("at most about 10 s: the last chunks, 10 molecules each")

    def test_where_nobody_works_the_work_is_told(self, campaign: Path) -> None:
        write_pilot(campaign, "node1", age_s=9000, n_ok=40, core_seconds=40_000.0)
        seen = observe(campaign)
        assert seen.time_left_s is None
        assert seen.estimate == "nobody works; 5 h 33 min of one core are left"


class TestAdvice:
    def test_who_is_at_work(self, campaign: Path) -> None:
        for name in "abcdef":
            write_pilot(campaign, f"node-{name}")
        seen = observe(campaign)
        assert seen.who.startswith("at work: 6 pilots on node-")
        assert "and 2 more, 48 of 48 threads busy" in seen.who
        assert seen.advice == ""

    def test_nobody_is(self, campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        seen = observe(campaign)
        assert seen.who == "nobody is at work"
        assert seen.advice == f"go on with: osong resume {campaign}"
        write_pilot(campaign, "node1", age_s=7200)
        assert "no sign of life of 1 pilot for 2 h" in observe(campaign).who

    def test_jobs_that_wait(self, campaign: Path) -> None:
        seen = replace(observe(campaign), jobs=(jobs.JobState("7_1", "pilot", "PENDING"),))
        assert "jobs wait" in seen.who
        assert seen.advice.startswith("wait for the jobs")

    def test_slurm_is_asked_once_a_minute_only(
        self, campaign: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def ask(submissions: object) -> list[jobs.JobState]:
            asked.append(submissions)
            return [jobs.JobState("7_1", "pilot", "PENDING", "Resources")]

        monkeypatch.setattr("osong_workflows.overview.job_states", ask)
        observer = Observer(campaign)
        for _ in range(3):
            assert observer.look().jobs[0].state == "PENDING"
        assert len(asked) == 1

    def test_damaged_jobs_file_is_a_note(self, campaign: Path) -> None:
        path = campaign / "jobs.json"
        path.write_text("{")
        try:
            seen = observe(campaign)
        finally:
            path.unlink()
        assert any("jobs.json" in note for note in seen.notes)
        assert seen.status.n_ok == 38


class TestJson:
    def test_names_are_those_of_the_documentation(self, campaign: Path) -> None:
        write_pilot(campaign, "node1", n_ok=10, core_seconds=5.0, rejected=[["node9", "no disk"]])
        write_log(campaign, "node1", (1e9, "ChunkFinished", {"chunk": 3}))
        values = json.loads(json.dumps(observe(campaign, n_log=1).as_dict()))
        page = Path(__file__).parents[2] / "docs" / "watching.md"
        text = page.read_text(encoding="utf-8")
        for name in [*values, *values["rate"], *values["pilots"][0], *values["failures"]["embed"]]:
            assert f"`{name}`" in text, f"{name} is not documented"
        assert values["failures"]["embed"]["count"] == 2
        assert values["pilots"][0]["rejected"] == [{"host": "node9", "reason": "no disk"}]
        assert values["log"][0]["chunk"] == 3


class TestLogs:
    def test_lines_of_all_logs_are_merged_by_time(self, campaign: Path) -> None:
        write_log(
            campaign,
            "node1",
            (1000.0, "CampaignStarted", {"runner": "srun", "n_records": 1234}),
            (3000.0, "ChunkFinished", {"chunk": 5, "n_ok": 9, "seconds": 1.5}),
        )
        write_log(campaign, "node2", (2000.0, "WorkerRestarted", {"name": "odd", "reason": ""}))
        lines = log_lines(campaign, 10)
        assert [line.event for line in lines] == [
            "CampaignStarted",
            "WorkerRestarted",
            "ChunkFinished",
        ]
        assert str(lines[0]).endswith(
            " node1.cluster:4242 campaign started: runner srun, records 1,234"
        )
        assert str(lines[1]).endswith("worker restarted: name odd")
        assert [line.event for line in log_lines(campaign, 2)] == [
            "WorkerRestarted",
            "ChunkFinished",
        ]

    def test_only_ends_are_read_and_torn_lines_left_out(self, campaign: Path) -> None:
        many = [(1000.0 + i, "ChunkFinished", {"chunk": i, "text": "x" * 99}) for i in range(5000)]
        path = write_log(campaign, "node1", *many)
        with path.open("a") as file:
            file.write('{"time": "' + stamp(9000) + '", "host": "a\n[]\n{"torn')
        assert [line.fields["chunk"] for line in log_lines(campaign, 3)] == [4997, 4998, 4999]

    def test_no_logs(self, campaign: Path) -> None:
        assert log_lines(campaign, 5) == []


class TestDrawing:
    @pytest.mark.parametrize("width", [80, 140])
    def test_everything_is_there(self, campaign: Path, width: int) -> None:
        write_pilot(
            campaign,
            "node1",
            job="4711_1",
            n_ok=40,
            core_seconds=40.0,
            n_restarts=3,
            rejected=[["node9", "no space left"]],
        )
        write_pilot(campaign, "node2", job="4711_2", age_s=7200)
        write_pilot(
            campaign, "node3", job="4711_3", age_s=7200, state="ended", error="the disk\nis full"
        )
        write_log(campaign, "node1", (1e9, "ChunkFinished", {"chunk": 3}))
        text = drawn(campaign, width, n_log=5)
        assert max(len(line) for line in text.splitlines()) <= width
        for words in (
            "fake, vina, fast",
            "66.7 %",
            "38 ok, 2 failed of 60 molecules; 20 left",
            "8.0/s now",
            "1.0/s a core",
            "at work: 1 pilot on node1, 8 of 8 threads busy",
            "4711_1",
            "silent",
            "2 h",
            "1 pilot ended, 1 with an error",
            "node3, job 4711_3, 2 h ago: the disk is full",
            "worker sent away: node9: no space left",
            "3 docking processes had to be started again",
            "first: item",
            "chunk finished: chunk 3",
        ):
            assert words in text, words
        assert ("sent away  Slurm" in text) == (width == 140)

    def test_jobs_and_why_nothing_is_submitted_any_more(self, campaign: Path) -> None:
        pending = tuple(jobs.JobState(f"7_{i}", "pilot", "PENDING", "Resources") for i in range(3))
        console = Console(width=100, record=True, file=io.StringIO())
        seen = replace(observe(campaign), jobs=pending)
        console.print(seen)
        console.print(replace(observe(campaign), given_up="it was in vain", site="my site"))
        text = console.export_text()
        assert "pilots: 3 pending (Resources)" in text
        assert "nothing is submitted any more: it was in vain" in text
        assert f"osong submit {campaign} --site 'my site'" in " ".join(text.split())
        assert seen.as_dict()["jobs"][0]["state"] == "PENDING"

    def test_pilots_that_have_no_room_are_counted(self, campaign: Path) -> None:
        for number in range(9):
            write_pilot(campaign, f"node{number}")
            write_pilot(campaign, f"lost{number}", age_s=9000 + number)
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(draw(observe(campaign), n_pilots=4))
        text = console.export_text()
        assert "and 5 more pilots at work" in text
        assert "and 4 more pilots lost earlier" in text
        assert "lost4" in text, "the latest are shown"
        assert "lost5" not in text

    def test_names_are_no_markup(self, campaign: Path) -> None:
        write_pilot(
            campaign, "node1", node="node[red]1", state="ended", error="[bold]odd[/nothing]"
        )
        assert "node[red]1, 1 s ago: [bold]odd[/nothing]" in drawn(campaign)

    def test_several_are_a_table(self, campaign: Path) -> None:
        write_pilot(campaign, "node1", n_ok=40, core_seconds=40.0)
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(draw_campaigns([observe(campaign), observe(campaign)]))
        rows = [line for line in console.export_text().splitlines() if "run1" in line]
        assert len(rows) == 2
        assert "66.7 %" in rows[0]
