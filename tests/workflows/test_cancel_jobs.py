"""Cancelling the jobs of a campaign, with a stand-in for Slurm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from slurm_stand_in import called, finish, submission
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import CampaignError
from osong_workflows import api, sending
from osong_workflows import submit as submitting
from osong_workflows.folder import CampaignFolder
from osong_workflows.jobs import Jobs, change_jobs, read_jobs
from osong_workflows.plan import read_plan
from osong_workflows.sites import Site
from osong_workflows.status import count_status
from osong_workflows.submit import cancel, submit


def test_cancel_of_a_finished_campaign_advises_nothing(slurm, campaign, monkeypatch):
    done = replace(
        count_status(CampaignFolder(campaign), read_plan(CampaignFolder(campaign))), n_ok=4
    )
    monkeypatch.setattr(api, "status", lambda folder: done)
    result = CliRunner().invoke(app, ["cancel", str(campaign)])
    assert result.exit_code == 0, result.stderr
    assert "no job waits or runs; the campaign is finished" in result.stdout


@pytest.mark.parametrize("n_sent", [1, 2])
def test_cancel_while_a_job_submits_again_stands(slurm, campaign, monkeypatch, n_sent):
    submit(campaign, Site())
    real, batches = sending._sbatch, []

    def sbatch(batch: object) -> str:
        batches.append(batch)
        if len(batches) == n_sent:
            submitting._note_given_up(campaign, "cancelled at noon")
        return real(batch)

    monkeypatch.setattr(sending, "_sbatch", sbatch)
    done = finish(campaign)
    assert done.submission is None
    assert "taken back: cancelled at noon" in done.message
    assert called(slurm)[-1] == ("scancel --quiet 103", "scancel --quiet 104 103")[n_sent - 1]
    jobs = read_jobs(campaign)
    assert (jobs.given_up, len(jobs.submissions)) == ("cancelled at noon", 1)


def test_what_a_finishing_job_sent_just_before_is_cancelled_too(slurm, campaign, monkeypatch):
    submit(campaign, Site())
    (slurm / "squeue.out").write_text("102|RUNNING|None|n1\n")
    note, real = submitting._note_given_up, submitting.run_slurm

    def late(folder: Path, why: str) -> None:
        mine = submission(pilots="103", finish="104", by="finish")
        change_jobs(folder, lambda jobs: Jobs(submissions=(*jobs.submissions, mine)))
        note(folder, why)

    def run(*command: str) -> str:
        said = real(*command)
        if "102" in command:
            (slurm / "squeue.out").write_text("103_0|PENDING|Resources|\n104|PENDING||\n")
        return said

    monkeypatch.setattr(submitting, "_note_given_up", late)
    monkeypatch.setattr(submitting, "run_slurm", run)
    cancel(campaign)
    assert "scancel --quiet 104 103" in called(slurm)
    assert "cancelled at" in read_jobs(campaign).given_up


def test_cancelled_campaign_is_not_submitted_by_a_job(slurm, campaign):
    submit(campaign, Site())
    (slurm / "squeue.out").write_text("101_0|RUNNING|None|n1\n102|PENDING|Dependency|\n")
    states = cancel(campaign)
    assert [(s.job, s.kind, s.state) for s in states] == [
        ("101_0", "pilot", "RUNNING"),
        ("102", "finish", "PENDING"),
    ]
    assert "scancel --quiet 102 101" in called(slurm), "the job that would submit again goes first"
    done = finish(campaign)
    assert done.submission is None
    assert "cancelled at" in done.message


def test_element_that_comes_back_is_cancelled_again(slurm, campaign, monkeypatch):
    """It was about to go back into the queue when it was cancelled."""
    submit(campaign, Site())
    (slurm / "squeue.out").write_text("101_0|COMPLETING|None|n1\n101_1|RUNNING||\n")
    script = (slurm / "scancel").read_text().replace(": >", "echo '101_0|PENDING|BeginTime|' >", 1)
    (slurm / "scancel").write_text(script + f"[ -e '{slurm}/again' ] && : > '{slurm}/squeue.out'\n")
    with (slurm / "scancel").open("a") as file:
        file.write(f": > '{slurm}/again'\n")
    cancel(campaign)
    assert [line for line in called(slurm) if line.startswith("scancel")] == [
        "scancel --quiet 101"
    ] * 2


def test_cancel_where_slurm_cannot_be_asked(slurm, campaign, monkeypatch, tmp_path):
    submit(campaign, Site())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CampaignError, match="is not on this machine"):
        cancel(campaign)


@pytest.mark.parametrize("name", [".", "nowhere"])
def test_cancel_of_what_is_no_campaign(slurm, tmp_path, name):
    with pytest.raises(CampaignError):
        cancel(tmp_path / name)
    assert called(slurm) == []
