"""Each benchmark once, at its smallest size."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from osong_benchmarks.__main__ import main


def run(shared_data: Path, out: Path, command: str, *more: str) -> None:
    main([command, "--data", str(shared_data), "--out", str(out), *more])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.usefixtures("vina_installed")
def test_redock(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programs = ["osong fast", "osong balanced same conformer", "vina 1"]
    arguments = ("redock", "--only", "1ac8", "--programs", *programs)
    run(shared_data, tmp_path, *arguments)
    shown = capsys.readouterr().out
    assert "| osong balanced same conformer |" in shown
    rows = lines(tmp_path / "redock.jsonl")
    assert [row["program"] for row in rows] == programs
    for row in rows:
        assert row["energies"][0] < -3.0
        assert row["rescored"]["total"] == pytest.approx(row["energies"][0], abs=0.1)
        assert row["rescored_by"] == "vina"
        assert row["cpu"]["dock"] > 0
        assert datetime.fromisoformat(row["started"]).tzinfo is not None
    run(shared_data, tmp_path, *arguments)  # nothing is docked twice
    assert "cpu s" not in capsys.readouterr().out


@pytest.mark.slow
def test_nasty(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["obfuzz_cve-2025-10996.smi", "obfuzz_graphsym-highdegree.smi", "variant_nan_coord.sdf",
             "rdkit_empty.sdf", "gemmi_SO3.cif"]  # fmt: skip
    run(shared_data, tmp_path, "nasty", "--only", *files)
    rows = {row["file"]: row for row in lines(tmp_path / "nasty.jsonl")}
    assert set(rows) == set(files)
    assert rows["obfuzz_cve-2025-10996.smi"]["outcomes"] == {"read": 1}
    assert rows["variant_nan_coord.sdf"]["outcomes"].get("ok", 0) == 0
    assert all(sum(row["outcomes"].values()) == row["n"] for row in rows.values())
    assert "No crash, no time-out." in capsys.readouterr().out


@pytest.mark.slow
def test_memory(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shared_data, tmp_path, "memory", "--n", "12", "--prepare-only", "--every-s", "0.1")
    result = json.loads((tmp_path / "memory_prepare_12.json").read_text())
    assert (result["n"], result["n_ok"]) == (12, 12)
    assert result["samples"][-1][1] <= 12
    assert result["n_files"] < 12
    assert "12 molecules prepared, not docked" in capsys.readouterr().out


@pytest.mark.slow
def test_screen(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shared_data, tmp_path, "screen", "--n", "3", "--no-campaign")
    result = json.loads((tmp_path / "screen_fast_3.json").read_text())
    assert {"read", "prepare: embed", "search", "refine"} <= set(result["stages"])
    assert result["unknown"] == []  # every function that is timed is still where it was
    assert all(seconds >= 0 for seconds in result["stages"].values())
    assert "ligands a second and core" in capsys.readouterr().out
