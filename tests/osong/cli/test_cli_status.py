"""`osong status`: one campaign, several, JSON, logs, watching; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import osong
from osong.cli.main import app
from osong.cli.status import _with_numbers

if TYPE_CHECKING:
    from typer.testing import Result

    from osong.receptor import Target


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def succeed(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def runs(egfr: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished campaign of three molecules and one in which none docked."""
    folder = tmp_path_factory.mktemp("runs")
    pocket = folder / "pocket.target"
    osong.Target(egfr.receptor, osong.Box(egfr.box.center, (12.0, 12.0, 12.0)), "EGFR").save(pocket)
    libraries = {"good": "Oc1ccccc1\tphenol\nC1CC\tbroken\nCC(=O)N\tacetamide\n", "bad": "C1\tc\n"}
    for name, text in libraries.items():
        library = folder / f"{name}.smi"
        library.write_text(text)
        run("screen", library, "-r", pocket, "--out", folder / name, "--runner", "serial")
    return folder


def test_one_campaign_is_told_in_full(runs: Path) -> None:
    text = succeed("status", runs / "good")
    for words in (
        "2 ok, 1 failed of 3 molecules; finished",
        "EGFR, vina, fast",
        "broken: ",
        f"osong top {runs / 'good'}",
    ):
        assert words in text, words


def test_several_are_a_table(runs: Path) -> None:
    lines = (line.split() for line in succeed("status", runs).splitlines())
    rows = {cells[0]: cells for cells in lines if cells}
    assert rows["good"][1:7] == ["EGFR", "100.0", "%", "2", "1", "0"]
    assert rows["bad"][1:7] == ["EGFR", "100.0", "%", "0", "1", "0"]


def test_json_is_an_object_a_line(runs: Path) -> None:
    bad, good = map(json.loads, succeed("status", runs, "--json").splitlines())
    assert (good["folder"], good["n_ok"], good["n_failed"]) == (str(runs / "good"), 2, 1)
    assert good["failures"]["read"]["first"] == "broken"
    assert bad["is_finished"]
    assert bad["log"] == []
    (alone,) = succeed("status", runs / "good", "--json", "--log", 2).splitlines()
    assert json.loads(alone)["log"][-1]["event"] == "CampaignFinished"


def test_log_shows_the_last_lines(runs: Path) -> None:
    lines = succeed("status", runs / "good", "--log").splitlines()
    assert "campaign finished: " in lines[-1]
    assert len(lines) > 2
    assert succeed("status", runs / "good", "--log", 2).splitlines() == lines[-2:]


def test_watching_what_is_finished_ends_at_once(runs: Path) -> None:
    assert "2 ok, 1 failed" in succeed("status", runs / "good", "--watch")
    assert len(succeed("status", "-w", 0.5, runs).splitlines()) == 2


def test_one_damaged_campaign_does_not_hide_the_others(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "good").symlink_to(runs / "good")
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "campaign.toml").write_bytes((runs / "good" / "campaign.toml").read_bytes())
    (odd / "plan.json").write_text("{")
    for words in (["status", tmp_path], ["status", tmp_path, "--json"]):
        result = run(*words)
        assert result.exit_code == 1
        assert "good" in result.stdout
        assert result.stderr.startswith(f"osong: error: {odd}")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--watch", "-3"], ["--watch", "1e9"], ["--log", "0"]])
def test_numbers_out_of_range_are_refused(runs: Path, words: list[str]) -> None:
    result = run("status", runs / "good", *words)
    assert result.exit_code == 1
    assert words[0] in result.stderr


def test_missing_numbers_are_put_in() -> None:
    assert _with_numbers(["--watch", "run1"]) == ["--watch", "-1.0", "run1"]
    assert _with_numbers(["run1", "--log"]) == ["run1", "--log", "20"]
    assert _with_numbers(["run1", "-w", "5", "--json"]) == ["run1", "-w", "5", "--json"]
    assert _with_numbers(["--log", "-3", "run1"]) == ["--log", "-3", "run1"]


@pytest.mark.parametrize("command", ["screen", "resume"])
def test_a_campaign_in_which_nothing_docked_is_an_error(runs: Path, command: str) -> None:
    place = {
        "screen": [runs / "bad.smi", "-r", runs / "pocket.target", "--out", runs / "bad"],
        "resume": [runs / "bad"],
    }
    result = run(command, *place[command], "--runner", "serial")
    assert result.exit_code == 1
    assert "none of 1 molecule docked; 1 failed at stage 'read'" in result.stderr
