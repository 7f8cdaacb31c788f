"""What is shown of a campaign: logs, panels, tables."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from half_done import drawn, made_half_done, without_pilots  # noqa: F401 (fixtures)
from pilot_files import stamp, write_log, write_pilot
from rich.console import Console

from osong_workflows import jobs
from osong_workflows.observing import log_lines, observe
from osong_workflows.panel import draw, draw_campaigns


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
