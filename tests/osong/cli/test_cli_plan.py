"""`osong plan` as a user runs it."""

from __future__ import annotations

import json
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
TEXT = """\
library = "a.smi"

[target]
receptor = "glycine.pdb"
center = [0, 0, 0]
size = [10, 10, 10]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.smi").write_text("CCO ethanol\nC1CC broken\n")
    (tmp_path / "glycine.pdb").write_text(STRUCTURE)
    (tmp_path / "gly.toml").write_text(TEXT)
    return tmp_path / "gly.toml"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, words)])


def test_a_plan_is_shown_and_nothing_is_written(file: Path) -> None:
    before = sorted(file.parent.rglob("*"))
    result = run(file)
    assert result.exit_code == 0, result.output
    assert "gly.toml: 2 molecules of a.smi, effort fast, scoring vina" in result.stdout
    assert f"results: {file.parent / 'gly'}" in result.stdout
    assert sorted(file.parent.rglob("*")) == before


def test_a_plan_for_scripts(file: Path) -> None:
    result = run(file, "--json", "--site", "generic", "--nodes", 3)
    assert result.exit_code == 0, result.output
    planned = json.loads(result.stdout)
    assert planned["n_dockings"] == 2
    assert planned["where"] == "site generic, 3 nodes"
    assert planned["problems"] == []


def test_a_sample_is_really_docked(file: Path) -> None:
    result = run(file, "--sample", 5, "--json")
    assert result.exit_code == 0, result.output
    time = json.loads(result.stdout)["time"]
    assert (time["n_measured"], time["n_failed"]) == (2, 1)
    assert time["seconds"] > 0


def test_what_cannot_be_is_said_after_the_plan_a_line_each(file: Path) -> None:
    file.write_text(TEXT + '[budget]\ncore_hours = 1e-9\ndisk = "1 B"\n')
    result = run(file)
    assert result.exit_code == 1
    assert "2 molecules" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"osong: error: {file}:9: budget.disk: the results need about")
    assert lines[1].startswith(f"osong: error: {file}:8: budget.core_hours: about")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("seed = 1\n" + TEXT, [":1: seed: belongs in [search]; move it there"]),
        ("seed = 1\nx = 2\n" + TEXT, [":1: seed: belongs in", ":2: x: is no key here; there are"]),
        ("library = a.smi\n", [":1: invalid value; texts stand in quotes"]),
        (TEXT.replace("glycine", "none"), [":4: target.receptor: "]),
    ],
)
def test_a_file_that_is_wrong_has_a_line_for_each_mistake(
    file: Path, text: str, messages: list[str]
) -> None:
    file.write_text(text)
    result = run(file)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"osong: error: {file}{message}")


def test_an_unknown_site_is_refused(file: Path) -> None:
    result = run(file, "--site", "atlantis")
    assert result.exit_code == 1
    assert result.stderr.startswith("osong: error: site 'atlantis' is unknown; choose one of")
    assert result.stderr.count("\n") == 1
