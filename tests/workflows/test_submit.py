"""Submitting, submitting again, giving up and cancelling, with a stand-in for Slurm."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from campaign_helpers import DOCKER, FakeTarget, molecules
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import CampaignError, InputError, ResourceError
from osong_workflows import api, sending, site_devices
from osong_workflows import submit as submitting
from osong_workflows.campaign_file import CampaignFile
from osong_workflows.create import create_campaign
from osong_workflows.file_tables import RunTable
from osong_workflows.folder import CampaignFolder
from osong_workflows.jobs import (
    Jobs,
    JobState,
    Submission,
    change_jobs,
    describe_states,
    job_states,
    now,
    read_jobs,
    read_own_jobs,
)
from osong_workflows.outputs import Wishes, store_wishes
from osong_workflows.plan import read_plan
from osong_workflows.settings import make_settings
from osong_workflows.sites import Site
from osong_workflows.status import count_status
from osong_workflows.submit import cancel, continue_or_give_up, submit

SLURM = """#!/bin/sh
# Notes how it was called; prints <name>.out, or fails with <name>.err, where there is one.
here=$(dirname "$0")
name=$(basename "$0")
printf '%s\\n' "$name $*" >> "$here/called"
[ "$name" != sbatch ] || cat > "$here/script"
if [ -e "$here/$name.err" ]; then cat "$here/$name.err" >&2; exit 1; fi
if [ "$name" = sbatch ]; then
    number=$(($(cat "$here/number" 2>/dev/null || echo 100) + 1))
    echo $number > "$here/number"
    echo $number
    [ ! -e "$here/sbatch.once" ] || mv "$here/sbatch.once" "$here/sbatch.err"
fi
[ "$name" != scancel ] || : > "$here/squeue.out"
[ ! -e "$here/$name.out" ] || cat "$here/$name.out"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Slurm's commands."""
    commands = tmp_path / "slurm bin"
    commands.mkdir()
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        (commands / name).write_text(SLURM)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("OSONG_SITE", raising=False)
    return commands


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A campaign of which nothing is done."""
    settings = make_settings(
        target_name="fake",
        target_key=FakeTarget().key.hex(),
        scoring="vina",
        effort="fast",
        n_poses=1,
        seed=0,
        molecule_timeout_s=10.0,
        docker=DOCKER,
    )
    create_campaign(FakeTarget(), molecules(4), tmp_path / "run", settings, workers=1)
    return tmp_path / "run"


def called(slurm: Path) -> list[str]:
    path = slurm / "called"
    return path.read_text().splitlines() if path.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def submission(**fields: object) -> Submission:
    values = {
        "pilots": "1",
        "finish": "2",
        "site": Site(name="here"),
        "nodes": 1,
        "n_pilots": 1,
        "nodes_each": 1,
        "time": now(),
        "n_done": 0,
    }
    return Submission.model_validate(values | fields)


def has_done(monkeypatch: pytest.MonkeyPatch, n_ok: int) -> None:
    """Let the campaign look as if some molecules were done."""
    monkeypatch.setattr(
        submitting, "count_status", lambda *args: replace(count_status(*args), n_ok=n_ok)
    )


def test_submission_is_an_array_and_a_job_after_it_and_both_are_noted(slurm, campaign):
    site = Site(name="here", nodes_per_pilot=2)
    done = submit(campaign, site, nodes=6)
    assert done == read_jobs(campaign).submissions[0]
    assert (done.pilots, done.finish, done.n_pilots, done.nodes_each) == ("101", "102", 3, 2)
    assert (done.site, done.nodes, done.n_done, done.by) == (site, 6, 0, "user")
    assert called(slurm) == [
        f"sbatch --parsable --chdir={campaign} --output={campaign}/logs/slurm-%A_%a.out",
        f"sbatch --parsable --chdir={campaign} --output={campaign}/logs/slurm-%A-finish.out "
        "--dependency=afterany:101",
    ]
    assert (campaign / "logs").is_dir(), "slurmd makes no folders"
    assert oct((campaign / "jobs.json").stat().st_mode & 0o022) == "0o0"
    assert submit(campaign, site).nodes == 2, "one pilot if nobody says more"
    assert len(read_jobs(campaign).submissions) == 2


def test_environment_of_the_job_that_submits_is_not_handed_on(slurm, campaign, monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "4000")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("PMI_RANK", "0")
    (slurm / "sbatch").write_text(f"#!/bin/sh\nenv > '{slurm}/env'\necho 7\n")
    submit(campaign, Site())
    given = (slurm / "env").read_text()
    assert "SLURM_MEM" not in given
    assert "PMI_RANK" not in given
    assert "SLURM_CONF=/etc/slurm.conf" in given


@pytest.mark.parametrize("said", ["Submitted batch job 7", "", "7x"])
def test_answer_that_is_no_job_id_is_refused(slurm, campaign, said):
    (slurm / "sbatch").write_text(f"#!/bin/sh\necho '{said}'\n")
    before = contents(campaign)
    with pytest.raises(CampaignError, match="is no job id"):
        submit(campaign, Site())
    assert contents(campaign) == before


def test_id_with_a_cluster_is_understood(slurm, campaign):
    (slurm / "sbatch").write_text("#!/bin/sh\necho '7;big'\n")
    assert submit(campaign, Site()).pilots == "7"


def test_refusal_is_slurms_own_message_and_leaves_the_folder_as_it_was(slurm, campaign):
    before = contents(campaign)
    (slurm / "sbatch.err").write_text("sbatch: error: invalid partition specified: nope\n")
    with pytest.raises(CampaignError, match="invalid partition specified: nope") as caught:
        submit(campaign, Site(partition="nope"))
    assert "\n" not in str(caught.value)
    assert contents(campaign) == before


def test_without_slurm_there_is_one_line_and_the_folder_is_as_it_was(
    slurm, campaign, monkeypatch, tmp_path
):
    before = contents(campaign)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "generic"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "sbatch is not on this machine" in result.stderr
    assert contents(campaign) == before


def test_array_without_a_job_after_it_is_taken_back(slurm, campaign):
    (slurm / "sbatch.once").write_text("sbatch: error: QOSMaxSubmitJobPerUserLimit\n")
    with pytest.raises(CampaignError, match="QOSMaxSubmitJobPerUserLimit"):
        submit(campaign, Site())
    assert called(slurm)[-1] == "scancel --quiet 101"


def test_nothing_is_sent_where_it_cannot_be_noted(slurm, campaign):
    (campaign / "jobs.json").write_text("{")
    before = contents(campaign)
    for options in ([], ["--dry-run"]):
        result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "generic", *options])
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "jobs.json: cannot be read" in result.stderr
        assert "http" not in result.stderr
    assert called(slurm) == []
    assert contents(campaign) == before


@pytest.mark.parametrize("n_notes", [1, 2])
@pytest.mark.parametrize("error", [ResourceError("disk full"), KeyboardInterrupt()])
def test_what_was_sent_and_could_not_be_noted_is_taken_back(
    slurm, campaign, monkeypatch, error, n_notes
):
    notes = []

    def change(folder: Path, how: Callable[[Jobs], Jobs]) -> Jobs:
        notes.append(how)
        if len(notes) == n_notes:
            raise error
        return change_jobs(folder, how)

    monkeypatch.setattr(sending, "change_jobs", change)
    with pytest.raises(type(error)):
        submit(campaign, Site())
    assert called(slurm)[-1] == ("scancel --quiet 101", "scancel --quiet 102 101")[n_notes - 1]
    assert read_jobs(campaign).submissions == ()


def test_ctrl_c_between_the_two_jobs_leaves_none(slurm, campaign, monkeypatch):
    real, batches = sending._sbatch, []

    def sbatch(batch: object) -> str:
        batches.append(batch)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return real(batch)

    monkeypatch.setattr(sending, "_sbatch", sbatch)
    with pytest.raises(KeyboardInterrupt):
        submit(campaign, Site())
    assert called(slurm)[-1] == "scancel --quiet 101"


def test_job_that_cannot_be_taken_back_is_named(slurm, campaign):
    (slurm / "sbatch.once").write_text("sbatch: error: QOSMaxSubmitJobPerUserLimit\n")
    (slurm / "scancel.err").write_text("scancel: error: not now\n")
    with pytest.raises(CampaignError, match=r"QOSMax.*not now.*by hand: scancel 101"):
        submit(campaign, Site())
    assert [s.pilots for s in read_jobs(campaign).submissions] == ["101"]


def test_finished_campaign_is_not_submitted(slurm, campaign, monkeypatch):
    has_done(monkeypatch, 4)
    assert submit(campaign, Site()) is None
    assert continue_or_give_up(campaign).submission is None
    result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "generic"])
    assert result.exit_code == 0
    assert "is finished" in result.stdout
    result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "generic", "--dry-run"])
    assert "is finished" in result.stdout
    assert "#SBATCH" not in result.stdout
    assert called(slurm) == []


def test_cancel_of_a_finished_campaign_advises_nothing(slurm, campaign, monkeypatch):
    done = replace(
        count_status(CampaignFolder(campaign), read_plan(CampaignFolder(campaign))), n_ok=4
    )
    monkeypatch.setattr(api, "status", lambda folder: done)
    result = CliRunner().invoke(app, ["cancel", str(campaign)])
    assert result.exit_code == 0, result.stderr
    assert "no job waits or runs; the campaign is finished" in result.stdout


def test_a_campaign_for_devices_is_not_submitted_to_a_site_without(slurm, campaign):
    store_wishes(CampaignFolder.at(campaign), Wishes(run=RunTable(backend="cuda")))
    with pytest.raises(InputError, match=r"site 'plain' asks for no GPUs; set gpus_per_node"):
        submit(campaign, Site(name="plain"))
    assert not (slurm / "called").exists()
    assert submit(campaign, Site(name="fat", gpus_per_node=4)) is not None


@pytest.mark.parametrize(
    ("backend", "line"),
    [
        ("cuda", "whether GPUs work there, and ends with an error if not"),
        ("auto", "whether GPUs work there, and docks on its cores if not"),
        ("cpu", "jobs ask for GPUs and leave them idle: backend cpu is asked for"),
    ],
)
def test_what_becomes_of_gpus_is_said_before_jobs_are_submitted(
    slurm, campaign, monkeypatch, backend, line
):
    # The docker of tests knows no device, which would be said instead.
    monkeypatch.setattr(site_devices, "why_no_device", lambda settings: "")
    store_wishes(CampaignFolder.at(campaign), Wishes(run=RunTable(backend=backend)))
    for options in ([], ["--dry-run"]):
        result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "neuron", *options])
        assert result.exit_code == 0, result.stderr
        assert " ".join(result.stderr.split()).endswith(line)
    assert site_devices.device_note(campaign, Site(name="plain")) == ""


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_file_for_devices_makes_nothing_for_a_site_without(slurm, tmp_path, options):
    (tmp_path / "r.pdb").touch()
    (tmp_path / "l.smi").write_text("C a\n")
    file = tmp_path / "mine.toml"
    file.write_text(
        'library = "l.smi"\nrun.backend = "cuda"\n[target]\nreceptor = "r.pdb"\n'
        "center = [0, 0, 0]\nsize = [20, 20, 20]\n"
    )
    before = contents(tmp_path)
    result = CliRunner().invoke(app, ["submit", str(file), "--site", "generic", *options])
    assert result.exit_code == 1
    assert "wants backend cuda and site 'generic' asks for no GPUs" in result.stderr
    assert contents(tmp_path) == before


def test_folder_of_another_version_is_refused(slurm, campaign):
    plan = json.loads((campaign / "plan.json").read_text())
    (campaign / "plan.json").write_text(json.dumps(plan | {"format": 99}))
    before = contents(campaign)
    for options in ([], ["--dry-run"]):
        result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "generic", *options])
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "plan.json" in result.stderr
    assert contents(campaign) == before
    assert called(slurm) == []


def test_dry_run_prints_all_and_does_nothing(slurm, campaign):
    before = contents(campaign)
    result = CliRunner().invoke(
        app,
        ["submit", str(campaign), "--site", "lumi", "-A", "project_1", "-N", "128", "--dry-run"],
    )
    assert result.exit_code == 0
    assert "untested" in result.stderr
    assert f"sbatch --parsable --chdir={campaign} " in result.stdout
    assert "--dependency=afterany:ARRAY_JOB" in result.stdout
    assert "#SBATCH --account=project_1\n" in result.stdout
    assert "#SBATCH --array=0-1\n" in result.stdout
    assert contents(campaign) == before
    assert called(slurm) == []


def test_campaign_file_becomes_one_campaign_a_target(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(
        CampaignFile, "load_targets", lambda self: [FakeTarget("a"), FakeTarget("b", key=b"1" * 16)]
    )
    (tmp_path / "r.pdb").touch()
    (tmp_path / "l.smi").write_text("C a\nCC b\n")
    box = 'receptor = "r.pdb"\ncenter = [0, 0, 0]\nsize = [20, 20, 20]\n'
    file = tmp_path / "mine.toml"
    targets = "".join(f'[[target]]\nlabel = "{name}"\n{box}' for name in "ab")
    file.write_text(f'library = "l.smi"\nout = "runs"\n{targets}')
    command = ["submit", str(file), "--site", "generic"]
    result = CliRunner().invoke(app, [*command, "--dry-run"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("sbatch --parsable") == 4
    assert not (tmp_path / "runs").exists()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    folders = sorted((tmp_path / "runs").iterdir())
    assert [len(read_jobs(folder).submissions) for folder in folders] == [1, 1]
    assert len(called(slurm)) == 4
    file.write_text(f'library = "l.smi"\nout = "runs"\n[search]\nseed = 7\n{targets}')
    result = CliRunner().invoke(app, [*command, "--dry-run"])
    assert result.exit_code == 1, "as without --dry-run"
    assert "seed" in result.stderr


def test_command_says_what_it_submitted_and_what_it_cancelled(slurm, campaign):
    result = CliRunner().invoke(app, ["submit", str(campaign), "--site", "generic"])
    assert result.exit_code == 0, result.stderr
    assert "1 pilot of 1 node for 12:00:00 as job 101; job 102 comes after" in result.stdout
    (slurm / "squeue.out").write_text("101_0|RUNNING|None|n1\n102|PENDING|Dependency|\n")
    result = CliRunner().invoke(app, ["cancel", str(campaign)])
    assert result.exit_code == 0, result.stderr
    assert "cancelled pilots: 1 running; finishing job: 1 pending (Dependency)" in result.stdout
    result = CliRunner().invoke(app, ["cancel", str(campaign)])
    assert "no job waits or runs" in result.stdout


# What comes after the pilots.


def finish(campaign: Path) -> submitting.Continued:
    """Do as the job that comes after the last submission."""
    return finish_as(campaign, read_jobs(campaign).submissions[-1].finish)


def finish_as(campaign: Path, job: str) -> submitting.Continued:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", job)
        return continue_or_give_up(campaign)


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


def test_slurm_that_answers_late_is_waited_for(slurm, campaign, monkeypatch):
    submit(campaign, Site())
    answers = [[JobState("101", "pilot", "UNKNOWN")], [JobState("101", "pilot", "ENDED")]]
    monkeypatch.setattr(submitting, "job_states", lambda submissions: answers.pop(0))
    monkeypatch.setattr(submitting, "_PAUSES_S", (0.0, 0.0))
    assert finish(campaign).submission is not None


def test_copied_folder_has_no_jobs(slurm, campaign, tmp_path):
    submit(campaign, Site())
    shutil.copytree(campaign, tmp_path / "copy")
    assert read_jobs(tmp_path / "copy") == Jobs()
    assert cancel(tmp_path / "copy") == []
    campaign.rename(tmp_path / "moved")
    assert len(read_jobs(tmp_path / "moved").submissions) == 1


def test_campaign_of_another_version_of_osong_is_refused(slurm, campaign):
    text = (campaign / "campaign.toml").read_text().replace(version("osong"), "0.0.1")
    (campaign / "campaign.toml").write_text(text)
    before = contents(campaign)
    for do in (submit, submitting.render):
        with pytest.raises(CampaignError, match=r"begun with Osong 0\.0\.1"):
            do(campaign, Site())
    assert contents(campaign) == before
    assert submit(campaign, Site(osong=("/opt/osong-0.0.1/bin/osong",))) is not None


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


# What Slurm says.


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


# The file.


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


def test_site_that_takes_no_such_job(slurm, campaign):
    before = contents(campaign)
    with pytest.raises(InputError, match="takes 1000"):
        submit(campaign, Site(name="here"), nodes=1001)
    assert contents(campaign) == before
    assert os.environ["PATH"].startswith(str(slurm))
