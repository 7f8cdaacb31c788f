"""A stand-in for the commands of Slurm, and campaigns to submit to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from campaign_helpers import DOCKER, FakeTarget, molecules

from osong_workflows import submit as submitting
from osong_workflows.active_status import status_of
from osong_workflows.create import create_campaign
from osong_workflows.jobs import Submission, now, read_jobs
from osong_workflows.settings import make_settings
from osong_workflows.sites import Site
from osong_workflows.submit import continue_or_give_up

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
        submitting, "status_of", lambda folder: replace(status_of(folder), n_ok=n_ok)
    )


def finish(campaign: Path) -> submitting.Continued:
    """Do as the job that comes after the last submission."""
    return finish_as(campaign, read_jobs(campaign).submissions[-1].finish)


def finish_as(campaign: Path, job: str) -> submitting.Continued:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", job)
        return continue_or_give_up(campaign)
