"""The commands as a user runs them, on a real receptor and small molecules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from rdkit import Chem
from typer.testing import CliRunner

import osong
from osong.cli.main import app
from osong.errors import ResourceError
from osong.search.many import dock_many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from osong.receptor import Target

COMMANDS = [
    ["prepare", "target"],
    ["prepare", "library"],
    ["dock"],
    ["screen"],
    ["plan"],
    ["status"],
    ["resume"],
    ["top"],
    ["rescore"],
    ["explain"],
    ["doctor"],
    ["bench"],
    ["bench", "page"],
    ["bench", "compare"],
    ["bench", "schema"],
]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def succeed(*words: object) -> str:
    """Run a command that has to succeed; return what it printed on stdout."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(*words: object) -> str:
    """Run a command that has to be refused; return its one line."""
    result = run(*words)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("osong: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="module")
def pocket(egfr: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EGFR with a box that small molecules fill: quick to make maps of."""
    path = tmp_path_factory.mktemp("target") / "pocket.target"
    osong.Target(egfr.receptor, osong.Box(egfr.box.center, (12.0, 12.0, 12.0)), "EGFR").save(path)
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "small.smi"
    path.write_text("Oc1ccccc1\tphenol\nC1CC\tbroken\nCC(=O)N\tacetamide\n")
    return path


@pytest.fixture(scope="module")
def campaign(pocket: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run1"
    printed = succeed("screen", library, "-r", pocket, "--out", folder, "--runner", "serial")
    assert "phenol" in printed
    assert "2 ok, 1 failed" in printed
    assert "unclosed ring" in printed
    assert str(folder / "hits.sdf") in printed
    return folder


def test_version() -> None:
    assert succeed("--version") == f"osong {osong.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str]) -> None:
    text = succeed(*command, "--help")
    assert "Usage: " in text
    if command != ["doctor"]:
        assert f"osong {' '.join(command)} " in text.partition("Usage: ")[2].partition("\n")[2]


def test_doctor_finds_what_the_tests_run_with() -> None:
    findings = {f["topic"]: f for f in json.loads(succeed("doctor", "--json"))}
    for topic in ("Python", "cores", "memory", "rdkit", "numba", "GPU", "MPI", "Slurm"):
        assert findings[topic]["state"] in ("ok", "optional")
        assert findings[topic]["value"]
    printed = succeed("doctor")
    assert all(topic in printed for topic in findings)


def test_prepare_target_reports_and_saves(egfr: Target, tmp_path: Path) -> None:
    saved, pdbqt = tmp_path / "egfr.target", tmp_path / "egfr.pdbqt"
    printed = succeed("prepare", "target", "-t", "EGFR", "-o", saved, "--pdbqt", pdbqt)
    assert "nothing changed" in printed
    assert str(saved) in printed
    assert osong.Target.load(saved).key == egfr.key
    assert pdbqt.read_text().startswith(("REMARK", "ATOM"))


def test_prepare_library_keeps_every_molecule(library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    printed = succeed("prepare", "library", library, "-o", folder)
    assert "2 molecules of 3 ready" in printed
    assert "1 molecule failed (read): " in printed
    assert "a prepared library already" in refuse("prepare", "library", library, "-o", folder)


def test_dock_writes_poses_and_never_over_others(pocket: Path, tmp_path: Path) -> None:
    out = tmp_path / "poses.sdf"
    words = ["dock", "Oc1ccccc1", "-r", pocket, "-o", out, "--effort", "fast", "-n", "2"]
    assert "kcal/mol" in succeed(*words)
    poses = list(Chem.SDMolSupplier(str(out), removeHs=False))
    assert 1 <= len(poses) <= 2
    assert Chem.MolToSmiles(Chem.RemoveHs(poses[0])) == "Oc1ccccc1"
    first = out.read_bytes()
    assert "exists already" in refuse(*words)
    succeed(*words, "--overwrite")
    assert out.read_bytes() == first, "the same seed gives the same bytes"


def test_dock_goes_on_after_a_ligand_that_fails(
    pocket: Path, library: Path, tmp_path: Path
) -> None:
    out = tmp_path / "poses.pdbqt"
    result = run("dock", library, "-r", pocket, "-o", out, "--effort", "fast", "-n", "1")
    assert result.exit_code == 1
    assert "not docked: " in result.stderr
    assert "1 of 3 ligands not docked" in result.stderr
    assert "acetamide" in result.stdout
    assert out.read_text().count("ENDMDL") == 2


def test_poses_found_before_a_device_fails_are_written(
    pocket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object, **options: object) -> Iterator[object]:
        yield next(dock_many(*arguments, **options))
        raise ResourceError("device 0: out of memory")

    monkeypatch.setattr("osong.search.many.dock_many", failing)
    out = tmp_path / "poses.pdbqt"
    result = run("dock", "CCO", "CO", "-r", pocket, "-o", out, "--effort", "fast", "-n", 1)
    assert result.exit_code == 1
    assert result.stderr == "osong: error: device 0: out of memory\n"
    assert out.read_text().count("REMARK  Name = CCO\n") == 1


def test_dock_takes_salts_and_names_smiles_after_themselves(pocket: Path, tmp_path: Path) -> None:
    out = tmp_path / "poses.pdbqt"
    printed = succeed("dock", "CCN.Cl", "CCO", "-r", pocket, "-o", out, "--effort", "fast", "-n", 1)
    assert "CCN.Cl: salt or solvent removed" in printed
    assert "CCO: " not in printed, "nothing was done to it"
    written = out.read_text()
    assert written.count("REMARK  Name = CCN.Cl\n") == written.count("REMARK  Name = CCO\n") == 1


@pytest.fixture
def odd_table(tmp_path: Path) -> Path:
    """A table whose columns have no usual names."""
    path = tmp_path / "odd.csv"
    path.write_text("first,second,third\n1,CCO,ethanol\n2,CCN,ethylamine\n")
    return path


def test_columns_of_a_table_can_be_named(pocket: Path, odd_table: Path, tmp_path: Path) -> None:
    columns = ["--smiles-column", "second", "--name-column", 2]
    message = refuse("dock", odd_table, "-r", pocket, "-o", tmp_path / "poses.sdf")
    assert "--smiles-column" in message
    out = tmp_path / "poses.sdf"
    printed = succeed(
        "dock", odd_table, "-r", pocket, "-o", out, "--effort", "fast", "-n", 1, *columns
    )
    assert "ethylamine" in printed
    run1 = tmp_path / "run1"
    words = ["screen", odd_table, "-r", pocket, "--out", run1, "--runner", "serial", *columns]
    assert "2 ok, 0 failed" in succeed(*words)


def test_dock_refuses_what_is_no_ligand(pocket: Path, tmp_path: Path) -> None:
    message = refuse("dock", "nothing.sdf", "-r", pocket, "-o", tmp_path / "poses.sdf")
    assert "nothing.sdf: there is no such file" in message


def test_explain_adds_up(pocket: Path, campaign: Path, tmp_path: Path) -> None:
    hits, table = campaign / "hits.sdf", tmp_path / "atoms.csv"
    printed = succeed("explain", hits, "-r", pocket, "--pose", "1", "-o", table)
    assert "phenol: -" in printed
    assert "hydrophobic" in printed
    atoms = pd.read_csv(table)
    score = osong.score(osong.Target.load(pocket), next(iter(Chem.SDMolSupplier(str(hits)))))
    assert atoms["energy"].sum() == pytest.approx(score.inter)
    assert "acetamide" in succeed("explain", hits, "-r", pocket)
    assert "there is no pose 9" in refuse("explain", hits, "-r", pocket, "--pose", "9")
    nowhere = tmp_path / "missing" / "atoms.csv"
    assert str(nowhere) in refuse("explain", hits, "-r", pocket, "-o", nowhere)


def test_status_and_resume_of_a_finished_campaign(campaign: Path) -> None:
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (campaign / "parts").iterdir())
    assert "2 ok, 1 failed" in succeed("status", campaign)
    assert "phenol" in succeed("resume", campaign, "--runner", "serial")
    after = sorted((p.name, p.stat().st_mtime_ns) for p in (campaign / "parts").iterdir())
    assert after == before


@pytest.mark.parametrize("suffix", ["csv", "parquet", "smi", "sdf"])
def test_top_writes(campaign: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"hits.{suffix}"
    assert "1 molecule: " in succeed("top", campaign, "-n", "1", "-o", path)
    if suffix == "csv":
        assert pd.read_csv(path)["name"].tolist() == ["phenol"]
    elif suffix == "parquet":
        assert pd.read_parquet(path)["name"].tolist() == ["phenol"]
    elif suffix == "smi":
        assert path.read_text() == "Oc1ccccc1\tphenol\n"
    else:
        assert next(iter(Chem.SDMolSupplier(str(path)))).GetProp("_Name") == "phenol"


def test_top_refuses_other_files(campaign: Path, tmp_path: Path) -> None:
    assert "hits are written as" in refuse("top", campaign, "-o", tmp_path / "hits.xyz")


def test_another_target_does_not_go_into_the_same_folder(
    pocket: Path, library: Path, campaign: Path
) -> None:
    parts = {p: p.read_bytes() for p in (campaign / "parts").iterdir()}
    refuse("screen", library, "-r", pocket, "--out", campaign, "--seed", "1", "--runner", "serial")
    assert {p: p.read_bytes() for p in (campaign / "parts").iterdir()} == parts


@pytest.mark.parametrize("command", ["status", "resume", "top"])
def test_folder_that_is_no_campaign_is_named(tmp_path: Path, command: str) -> None:
    assert str(tmp_path) in refuse(command, tmp_path)


def test_empty_library_is_refused(pocket: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.smi"
    empty.touch()
    assert "empty.smi" in refuse("screen", empty, "-r", pocket, "--out", tmp_path / "run")
