"""Submitting to, cancelling in and resuming with a real Slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from campaign_helpers import part_bytes, read_calls, reopen
from slurm_bed import slurm, wait_for
from slurm_campaigns import begin, is_same, log_of, make, site
from typer.testing import CliRunner

from osong.cli.main import app
from osong_workflows.jobs import read_jobs
from osong_workflows.submit import cancel, submit

pytestmark = pytest.mark.slow


def test_cancel_then_go_on_elsewhere(in_slurm, tmp_path, undisturbed, monkeypatch):
    it = begin(tmp_path, "it's a $(run) 100%", 40, 0.2, site())
    wait_for(it.has_begun, "has begun")
    result = CliRunner().invoke(app, ["cancel", str(it.folder)])
    assert result.exit_code == 0, result.stderr
    assert "cancelled pilots: 1 running; finishing job: 1 pending (Dependency)" in result.stdout
    wait_for(it.is_over, "is over")
    assert set(it.states().values()) == {"CANCELLED"}
    kept = part_bytes(reopen(it.folder))
    assert kept, "what is finished stays"
    assert not reopen(it.folder).status().is_finished
    n_calls = len(read_calls(it.calls))
    campaign = reopen(it.folder).resume(runner="serial", progress=False)
    is_same(campaign, undisturbed(it.n))
    assert kept.items() <= part_bytes(campaign).items()
    assert len(read_calls(it.calls)) == n_calls, "the test's own process notes no calls"


def test_refused_partition_is_one_line_and_the_folder_is_as_it_was(in_slurm, tmp_path):
    folder = make(tmp_path / "run", 4)
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(
        app, ["submit", str(folder), "--site", "generic", "--partition", "nope"]
    )
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "invalid partition specified: nope" in result.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("option", ["--constraint=sunny", "--mem=9999999"])
def test_what_slurm_cannot_do_is_said_in_its_words(in_slurm, tmp_path, option):
    folder = make(tmp_path / "run", 4)
    result = CliRunner().invoke(
        app, ["submit", str(folder), "--site", str(profile(tmp_path, option))]
    )
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "sbatch: error" in result.stderr


def profile(folder: Path, option: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f'cores_per_node = 1\nextra = ["{option}"]\n')
    return path


def test_dry_run_is_accepted_by_slurm_as_it_is_printed(in_slurm, tmp_path):
    """What it prints can be pasted into a shell."""
    folder = make(tmp_path / "it's 100% $HOME", 4)
    before = sorted(folder.rglob("*"))
    mine = profile(tmp_path, '--comment=a \\"b\\" #c')
    result = CliRunner().invoke(app, ["submit", str(folder), "--site", str(mine), "--dry-run"])
    assert result.exit_code == 0, result.stderr
    assert sorted(folder.rglob("*")) == before
    pilots = result.stdout[: result.stdout.index("\nEND") + 4]
    job = slurm("bash", "-c", pilots.replace("sbatch ", "sbatch --hold ", 1)).strip()
    shown = slurm("scontrol", "show", "job", job)
    slurm("scancel", job)
    assert 'Comment=a "b" #c' in shown
    assert f"WorkDir={folder}" in shown


def test_pilot_that_cannot_begin_is_tried_again(in_slurm, tmp_path):
    folder = make(tmp_path / "run", 4)
    submit(folder, site(osong=("/nowhere/osong",), setup=()))
    wait_for(lambda: "an error, try again" in log_of(folder), "an error")
    assert cancel(folder)
    assert "No such file" in log_of(folder)


def test_campaign_that_gets_nowhere_is_given_up(in_slurm, tmp_path):
    it = begin(tmp_path, "run", 4, 60.0, site())
    for n in (1, 2, 3, 4):
        wait_for(lambda n=n: len(read_jobs(it.folder).submissions) == n, f"submission {n}")
        wait_for(lambda: read_jobs(it.folder).submissions[-1].finish, "its finishing job")
        slurm("scancel", read_jobs(it.folder).submissions[-1].pilots)
    wait_for(lambda: read_jobs(it.folder).given_up, "given up")
    wait_for(it.is_over, "is over")
    assert "3 submissions in a row finished no molecule" in read_jobs(it.folder).given_up
    assert it.states()[read_jobs(it.folder).submissions[-1].finish] == "FAILED"
    assert "nobody works at them" in it.log()


def test_resume_with_slurm_submits_once_and_watches_to_the_end(in_slurm, tmp_path, undisturbed):
    folder = make(tmp_path / "run", 20)
    own = tmp_path / "own.toml"
    lines = [
        f"{key} = {json.dumps(value)}"
        for key, value in site().model_dump(exclude_defaults=True, exclude={"name"}).items()
    ]
    own.write_text("\n".join(lines))
    command = ["resume", str(folder), "--runner", "slurm", "--site", str(own), "--nodes", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    is_same(reopen(folder), undisturbed(20))
    (submission,) = read_jobs(folder).submissions
    assert submission.n_pilots == 2
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert len(read_jobs(folder).submissions) == 1, "it is finished"
