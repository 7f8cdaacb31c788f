"""What can be told of a campaign from its folder alone: counts, rates, advice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from half_done import N, drawn, made_half_done, part_paths_of, without_pilots  # noqa: F401 (fixtures)
from pilot_files import write_log, write_pilot

from osong.errors import CampaignError
from osong_workflows import jobs, part_names, status
from osong_workflows.folder import CampaignFolder
from osong_workflows.observing import observe
from osong_workflows.overview import Observer
from osong_workflows.plan import read_plan
from osong_workflows.status import StatusReader


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
