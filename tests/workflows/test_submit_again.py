"""The job after the pilots submits what is left, or gives up."""

from __future__ import annotations

import os

import pytest
from slurm_stand_in import called, finish, finish_as, has_done, submission
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import CampaignError
from osong_workflows import sending
from osong_workflows import submit as submitting
from osong_workflows.jobs import Jobs, JobState, change_jobs, read_jobs
from osong_workflows.sites import Site
from osong_workflows.submit import cancel, continue_or_give_up, submit


def test_work_that_is_left_is_submitted_again_as_it_was(slurm, campaign, monkeypatch):
    mine = submission(pilots="11", finish="12", nodes=3, n_pilots=3, site=Site(partition="a"))
    other = submission(pilots="13", finish="14", site=Site(partition="b"))
    change_jobs(campaign, lambda jobs: Jobs(submissions=(mine, other)))
    has_done(monkeypatch, 1)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    done = continue_or_give_up(campaign)
    assert "3 molecules are left; submitted again as job 101" in done.message
    assert not done.given_up
    assert (done.submission.site, done.submission.nodes) == (mine.site, 3)
    assert (done.submission.by, done.submission.n_done) == ("finish", 1)


def test_three_submissions_in_vain_are_the_end(slurm, campaign, monkeypatch):
    has_done(monkeypatch, 2)
    first = submission(n_done=0)
    change_jobs(campaign, lambda jobs: Jobs(submissions=(first,)))
    for _ in range(3):
        assert finish(campaign).submission is not None
    done = finish(campaign)
    assert done.submission is None
    assert done.given_up
    assert "3 submissions in a row finished no molecule" in read_jobs(campaign).given_up
    assert "osong submit" in done.message
    assert finish(campaign).submission is None, "once given up, always"
    has_done(monkeypatch, 3)
    assert submit(campaign, Site()) is not None
    assert read_jobs(campaign).given_up == "", "the user knows better"
    assert finish(campaign).submission is not None


def test_nobody_but_the_job_after_the_pilots_submits_what_a_folder_says(slurm, campaign):
    """A folder may be a stranger's; what it says of a site is shell."""
    change_jobs(campaign, lambda jobs: Jobs(submissions=(submission(site=Site(setup=("x",))),)))
    for command in (["finish", str(campaign)], ["resume", str(campaign), "--runner", "slurm"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert "osong submit" in result.stderr or "--site NAME" in result.stderr
    assert not [line for line in called(slurm) if line.startswith("sbatch")]


def test_submissions_of_a_user_are_not_counted_as_in_vain(slurm, campaign):
    change_jobs(campaign, lambda jobs: Jobs(submissions=(submission(),) * 9))
    assert finish(campaign).submission is not None


def test_two_do_not_submit_what_is_left(slurm, campaign, monkeypatch):
    submit(campaign, Site())
    real, batches = sending._sbatch, []

    def sbatch(batch: object) -> str:
        batches.append(batch)
        if len(batches) == 1:
            submit(campaign, Site())
        return real(batch)

    monkeypatch.setattr(sending, "_sbatch", sbatch)
    assert finish(campaign).submission is None
    jobs = read_jobs(campaign)
    assert [s.by for s in jobs.submissions] == ["user", "user"]
    assert jobs.given_up == ""
    assert called(slurm)[-1].startswith("scancel --quiet ")


def test_site_that_somebody_else_wrote_is_not_submitted(slurm, campaign):
    change_jobs(campaign, lambda jobs: Jobs(submissions=(submission(site=Site(setup=("x",))),)))
    path = campaign / "jobs.json"
    path.chmod(0o664)
    for do in (finish, cancel, lambda folder: submit(folder, Site()), submitting.submit_and_watch):
        with pytest.raises(CampaignError, match="others may write it"):
            do(campaign)
    assert read_jobs(campaign).submissions, "to look at it is no danger"
    path.chmod(0o644)
    path.rename(campaign / "elsewhere")
    path.symlink_to("elsewhere")
    with pytest.raises(CampaignError, match="cannot be read"):
        finish_as(campaign, "2")
    path.unlink()
    if os.geteuid() == 0:
        (campaign / "elsewhere").rename(path)
        os.chown(path, 65534, 65534)
        with pytest.raises(CampaignError, match="not a file of yours"):
            finish(campaign)
    assert called(slurm) == []


def test_slurm_that_answers_late_is_waited_for(slurm, campaign, monkeypatch):
    submit(campaign, Site())
    answers = [[JobState("101", "pilot", "UNKNOWN")], [JobState("101", "pilot", "ENDED")]]
    monkeypatch.setattr(submitting, "job_states", lambda submissions: answers.pop(0))
    monkeypatch.setattr(submitting, "_PAUSES_S", (0.0, 0.0))
    assert finish(campaign).submission is not None


def test_progress_forgives_submissions_in_vain(slurm, campaign, monkeypatch):
    change_jobs(campaign, lambda jobs: Jobs(submissions=(submission(by="finish"),) * 9))
    has_done(monkeypatch, 1)
    assert finish(campaign).submission is not None


def test_while_other_pilots_are_there_nothing_is_submitted(slurm, campaign):
    others = (submission(), submission(pilots="3", finish="4"))
    change_jobs(campaign, lambda jobs: Jobs(submissions=others))
    (slurm / "squeue.out").write_text("1_0|COMPLETED|None|n\n3_0|PENDING|Resources|\n2|RUNNING||\n")
    done = finish(campaign)
    assert (done.submission, done.given_up) == (None, False)
    assert "1 pending (Resources)" in done.message


def test_job_that_may_not_submit_says_so_in_the_jobs_file(slurm, campaign):
    change_jobs(campaign, lambda jobs: Jobs(submissions=(submission(),)))
    (slurm / "sbatch.err").write_text("sbatch: error: Access denied\n")
    assert finish(campaign).given_up
    assert "could not be submitted again from a job" in read_jobs(campaign).given_up
    assert "Access denied" in read_jobs(campaign).given_up
