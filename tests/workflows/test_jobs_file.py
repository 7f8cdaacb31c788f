"""The file of jobs, and what Slurm says of them."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from slurm_stand_in import called, finish, submission

from osong.errors import CampaignError
from osong_workflows import submit as submitting
from osong_workflows.jobs import (
    Jobs,
    JobState,
    change_jobs,
    describe_states,
    job_states,
    read_jobs,
    read_own_jobs,
)
from osong_workflows.sites import Site
from osong_workflows.submit import cancel, submit


def test_file_is_written_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        change_jobs(tmp_path, lambda jobs: Jobs(submissions=(submission(),)))
    finally:
        os.umask(before)
    assert oct((tmp_path / "jobs.json").stat().st_mode & 0o777) == "0o644"
    assert read_own_jobs(tmp_path).submissions
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs.json", "jobs.lock"]


def test_jobs_of_which_slurm_says_nothing_may_be_there(slurm, campaign, monkeypatch):
    submit(campaign, Site())
    (slurm / "called").unlink()
    monkeypatch.setattr(submitting, "_PAUSES_S", (0.0, 0.0))
    for name in ("squeue", "scontrol"):
        (slurm / f"{name}.err").write_text("slurm_load_jobs error: Socket timed out\n")
    for do in (finish, lambda folder: submitting.submit_and_watch(folder, "generic")):
        with pytest.raises(CampaignError, match="does not say whether job 101"):
            do(campaign)
    with pytest.raises(CampaignError, match="Socket timed out"):
        cancel(campaign)
    assert read_jobs(campaign).given_up == "", "the job after other pilots may still go on"
    names = [line.split()[0] for line in called(slurm)]
    assert set(names) == {"squeue", "scontrol"}
    assert names[:6] == ["squeue", "scontrol"] * 3, "patient, one question each time"


def test_copied_folder_has_no_jobs(slurm, campaign, tmp_path):
    submit(campaign, Site())
    shutil.copytree(campaign, tmp_path / "copy")
    assert read_jobs(tmp_path / "copy") == Jobs()
    assert cancel(tmp_path / "copy") == []
    campaign.rename(tmp_path / "moved")
    assert len(read_jobs(tmp_path / "moved").submissions) == 1


def test_states_of_all_jobs_come_from_one_call(slurm):
    jobs = [submission(pilots=str(10 * i), finish=str(10 * i + 1)) for i in range(1, 40)]
    (slurm / "squeue.out").write_text(
        "10_0|RUNNING|None|node[1-4]\n10_1|PENDING|Resources|\n11|PENDING|Dependency|\n"
        "20_0|FAILED|NonZeroExitCode|node2\nrubbish\n999|RUNNING|None|x\n"
    )
    states = job_states(jobs)
    assert len(called(slurm)) == 1
    assert states[:4] == [
        JobState("10_0", "pilot", "RUNNING", "None", "node[1-4]"),
        JobState("10_1", "pilot", "PENDING", "Resources"),
        JobState("11", "finish", "PENDING", "Dependency"),
        JobState("20_0", "pilot", "FAILED", "NonZeroExitCode", "node2"),
    ]
    assert {state.state for state in states[4:]} == {"ENDED"}, "Slurm forgets after a while"
    assert len(states) == 2 + 1 + 1 + 1 + 2 * 37
    assert [state.is_active for state in states[:5]] == [True, True, True, False, False]


def test_no_jobs_no_question(slurm):
    assert job_states([]) == []
    assert called(slurm) == []


def test_jobs_that_slurm_has_forgotten(slurm):
    (slurm / "squeue.err").write_text("slurm_load_jobs error: Invalid job id specified\n")
    assert [state.state for state in job_states([submission()])] == ["ENDED", "ENDED"]


def test_scontrol_is_asked_where_squeue_fails(slurm):
    (slurm / "squeue.err").write_text("slurm_load_jobs error: Unable to contact controller\n")
    (slurm / "scontrol.out").write_text(
        "JobId=1 ArrayJobId=1 ArrayTaskId=0 JobState=RUNNING Reason=None NodeList=node1 X=y=z\n"
    )
    states = job_states([submission(finish="")])
    assert states == [JobState("1_0", "pilot", "RUNNING", "None", "node1")]


def test_nothing_is_known_where_there_is_no_slurm(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    states = job_states([submission()])
    assert [state.state for state in states] == ["UNKNOWN", "UNKNOWN"]
    assert not any(state.is_active for state in states)
    assert describe_states(states) == "pilots: 1 unknown; finishing job: 1 unknown"


def test_file_that_is_damaged_or_of_another_version_is_one_line(tmp_path):
    for text in ("{", '{"format": 2}', '{"format": 1, "more": 1}', "[]"):
        (tmp_path / "jobs.json").write_text(text)
        with pytest.raises(CampaignError, match=r"jobs\.json: cannot be read") as caught:
            read_jobs(tmp_path)
        assert "\n" not in str(caught.value)


def test_job_ids_are_numbers_before_they_reach_a_command(tmp_path):
    change_jobs(tmp_path, lambda jobs: Jobs(submissions=(submission(),)))
    text = (tmp_path / "jobs.json").read_text().replace('"pilots": "1"', '"pilots": "--help"')
    (tmp_path / "jobs.json").write_text(text)
    with pytest.raises(CampaignError, match="cannot be read"):
        read_jobs(tmp_path)


def test_many_writers_lose_nothing(tmp_path):
    def add(number: int) -> None:
        mine = submission(nodes=number)
        change_jobs(tmp_path, lambda jobs: Jobs(submissions=(*jobs.submissions, mine)))

    threads = [threading.Thread(target=add, args=(i,)) for i in range(1, 41)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(s.nodes for s in read_jobs(tmp_path).submissions) == list(range(1, 41))
