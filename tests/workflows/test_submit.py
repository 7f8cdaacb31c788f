"""Submitting campaigns, with a stand-in for Slurm."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from campaign_helpers import FakeTarget
from slurm_stand_in import called, contents, has_done
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import CampaignError, InputError, ResourceError
from osong_workflows import sending, site_devices
from osong_workflows import submit as submitting
from osong_workflows.campaign_file import CampaignFile
from osong_workflows.file_tables import RunTable
from osong_workflows.folder import CampaignFolder
from osong_workflows.jobs import Jobs, change_jobs, read_jobs
from osong_workflows.outputs import Wishes, store_wishes
from osong_workflows.sites import Site
from osong_workflows.submit import continue_or_give_up, submit


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


def test_campaign_of_another_version_of_osong_is_refused(slurm, campaign):
    text = (campaign / "campaign.toml").read_text().replace(version("osong"), "0.0.1")
    (campaign / "campaign.toml").write_text(text)
    before = contents(campaign)
    for do in (submit, submitting.render):
        with pytest.raises(CampaignError, match=r"begun with Osong 0\.0\.1"):
            do(campaign, Site())
    assert contents(campaign) == before
    assert submit(campaign, Site(osong=("/opt/osong-0.0.1/bin/osong",))) is not None


def test_site_that_takes_no_such_job(slurm, campaign):
    before = contents(campaign)
    with pytest.raises(InputError, match="takes 1000"):
        submit(campaign, Site(name="here"), nodes=1001)
    assert contents(campaign) == before
    assert os.environ["PATH"].startswith(str(slurm))
