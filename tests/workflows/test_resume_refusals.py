"""What `osong resume` refuses before anything runs, in one line, however many ranks there are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from campaign_helpers import fake_screen, molecules
from test_mpi import MPIEXEC, needs_mpi
from typer.testing import CliRunner

from osong.cli.main import app
from osong.errors import CampaignError, InputError
from osong_workflows import mpi_world
from osong_workflows.mpi_world import folder_of_ranks, one_rank_speaks

OSONG = str(Path(sys.executable).with_name("osong"))
FILE = 'library = "lib.smi"\n\n[target]\nname = "EGFR"\n'


def refused(*words: object) -> str:
    """The one line that a command is refused with."""
    result = CliRunner().invoke(app, ["resume", *map(str, words)])
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_screen(molecules(4), tmp_path_factory.mktemp("runs") / "run1").folder


@pytest.mark.parametrize("runner", ["serial", "local", "slurm"])
@pytest.mark.parametrize(
    "words",
    [
        ["--interface", "ib0"],
        ["--dashboard"],
        ["--srun-flags", "-v"],
        ["--osong-command", "osong"],
    ],
)
def test_what_a_runner_does_not_heed(campaign: Path, runner: str, words: list[str]) -> None:
    line = refused(campaign, "--runner", runner, *words)
    assert f"{words[0]} goes with --runner srun" in line


def test_what_others_do_not_heed(campaign: Path) -> None:
    assert "--dashboard goes with" in refused(campaign, "--runner", "mpi", "--dashboard")
    assert "--site goes with --runner slurm" in refused(campaign, "--site", "generic")
    assert "--nodes goes with --runner slurm" in refused(campaign, "--nodes", "2")


def test_no_workers(campaign: Path) -> None:
    assert "--workers 0: give a number of at least 1" in refused(campaign, "--workers", "0")


def test_ranks_work_at_one_folder_that_is_there(campaign: Path, tmp_path: Path) -> None:
    assert folder_of_ranks(campaign) == campaign
    file = tmp_path / "egfr.toml"
    file.write_text(FILE)
    with pytest.raises(InputError, match=f"osong submit {file}; the ranks of MPI begin no camp"):
        folder_of_ranks(file)
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(CampaignError, match="no such file or folder"):
        folder_of_ranks(tmp_path / "nothing")
    for name in ("a", "b"):
        shutil.copytree(campaign, tmp_path / name)
    with pytest.raises(InputError, match=f"is 2 campaigns, .* such as {tmp_path / 'a'}"):
        folder_of_ranks(tmp_path)
    shutil.rmtree(tmp_path / "b")
    assert folder_of_ranks(tmp_path) == tmp_path / "a"


@pytest.mark.parametrize("name", ["PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"])
def test_one_rank_speaks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(mpi_world, "_SILENCE_S", 0.0)
    for each in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "0")
    with pytest.raises(InputError), one_rank_speaks():
        raise InputError("bad")
    monkeypatch.setenv(name, "2")
    with pytest.raises(SystemExit, match="1"), one_rank_speaks():
        raise InputError("bad")


@needs_mpi
def test_ranks_that_cannot_begin_a_campaign_end_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "egfr.toml"
    file.write_text(FILE)
    found = subprocess.run(
        [MPIEXEC, "-n", "3", OSONG, "resume", str(file), "--runner", "mpi"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode != 0
    assert found.stderr.count("the ranks of MPI begin no campaign") == 1
    assert list(tmp_path.iterdir()) == [file]
