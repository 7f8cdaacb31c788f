"""Outputs of a campaign file: written by `osong resume` too, found by the file's name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from osong.cli.main import app

if TYPE_CHECKING:
    from typer.testing import Result

STRUCTURE = """\
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.460   0.000   0.000  1.00  0.00           C
ATOM      3  C   GLY A   1       2.010   1.420   0.000  1.00  0.00           C
ATOM      4  O   GLY A   1       1.250   2.390   0.000  1.00  0.00           O
END
"""
TARGET = '[[target]]\nreceptor = "glycine.pdb"\ncenter = [0, 0, 0]\nsize = [10, 10, 10]\n'
TEXT = 'library = "a.smi"\n' + TARGET + '[outputs]\nhits = 1\nfiles = ["sdf", "csv"]\n'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign file with a finished campaign."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "a.smi").write_text("CCO ethanol\nCC(=O)N acetamide\n")
    (folder / "glycine.pdb").write_text(STRUCTURE)
    (folder / "gly.toml").write_text(TEXT)
    printed = succeed("resume", folder / "gly.toml", "--runner", "serial", "--quiet")
    for name in ("hits.sdf", "hits.csv"):
        assert f"output: {folder / 'gly' / name}\n" in printed
    return folder / "gly.toml"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def succeed(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def n_poses(file: Path) -> int:
    return (file.parent / "gly" / "hits.sdf").read_text().count("$$$$")


def test_resume_writes_the_outputs_that_are_missing_or_old(file: Path) -> None:
    poses, table = (file.parent / "gly" / name for name in ("hits.sdf", "hits.csv"))
    assert (n_poses(file), len(table.read_text().splitlines())) == (1, 2)
    first = table.stat().st_ino
    printed = succeed("resume", file, "--runner", "serial")
    assert "poses of the" not in printed
    assert table.stat().st_ino == first
    poses.unlink()
    (file.parent / "gly" / ".hits.sdf.killed.tmp").write_text("half")
    succeed("resume", file, "--runner", "serial", "--quiet")
    assert n_poses(file) == 1
    assert list(poses.parent.glob(".*.tmp")) == []
    # What is asked for may change; a table that is older than that is written anew.
    file.write_text(TEXT.replace("hits = 1", "hits = 2"))
    succeed("resume", file, "--runner", "serial")
    assert (n_poses(file), len(table.read_text().splitlines())) == (2, 3)
    os.utime(table, ns=(1, 1))
    succeed("resume", file.parent / "gly", "--runner", "serial", "--quiet")
    assert table.stat().st_mtime_ns > 1


def test_screen_leaves_the_outputs_of_a_file_alone(file: Path) -> None:
    before = n_poses(file)
    campaign = file.parent / "gly"
    words = ["-r", campaign / "target.osong", "--out", campaign, "--hits", 1 + before % 2]
    printed = succeed("screen", file.parent / "a.smi", *words, "--runner", "serial")
    assert f"output: {campaign / 'hits.sdf'}" in printed
    assert n_poses(file) == before


def test_top_and_finish_take_a_campaign_file(file: Path) -> None:
    assert "ethanol" in succeed("top", file)
    printed = succeed("finish", file)
    assert f"wrote {file.parent / 'gly' / 'hits.csv'}" in printed
    assert "2 ok" in printed


@pytest.mark.parametrize("command", ["top", "finish"])
def test_a_file_of_several_campaigns_is_refused(file: Path, command: str) -> None:
    both = file.with_name("both.toml")
    text = TARGET + 'label = "gly"\n' + TARGET + 'label = "b"\n'
    both.write_text('library = "a.smi"\nout = "runs"\n' + text)
    for label in ("gly", "b"):
        place = file.parent / "runs" / label
        place.mkdir(parents=True, exist_ok=True)
        for name in ("campaign.toml", "plan.json"):
            (place / name).write_bytes((file.parent / "gly" / name).read_bytes())
    result = run(command, both)
    assert result.exit_code == 1
    assert "both.toml: has 2 campaigns; give the folder of one: " in result.stderr
    assert result.stderr.count("\n") == 1
