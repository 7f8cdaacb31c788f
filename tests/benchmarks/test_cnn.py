"""The benchmark of GNINA's networks, once, at its smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong_benchmarks.__main__ import main
from osong_benchmarks.cnn import moved_poses


def test_poses_move_ever_farther() -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    start = mol.GetConformer().GetPositions()
    poses = [pose.GetConformer().GetPositions() for pose in moved_poses(mol, 5)]
    np.testing.assert_allclose(poses[0], start, atol=1e-9)
    assert all(np.abs(pose - start).max() > 0.05 for pose in poses[1:])
    for pose in poses:
        np.testing.assert_allclose(
            np.linalg.norm(pose[0] - pose[1]), np.linalg.norm(start[0] - start[1])
        )


def test_one_network_of_one_complex(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="needs osong[ml]")
    pytest.importorskip("rustina", reason="needs osong[peers]")
    main(["cnn", "--data", str(shared_data), "--out", str(tmp_path), "--only", "1ac8", "--poses",
          "2", "--models", "crossdock_default2018"])  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "cnn.jsonl").read_text().splitlines()]
    assert {(row["program"], row["models"]) for row in rows} == {
        ("Osong", "grids"),
        ("Osong float32", "crossdock_default2018"),
        ("Osong bfloat16", "crossdock_default2018"),
        ("gninatorch, 1 at a time", "crossdock_default2018"),
        ("gninatorch, 16 at a time", "crossdock_default2018"),
        ("Rustina score_cnn", "fast"),
    }
    assert all(row["seconds"] > 0 for row in rows)
    (osong,) = [row for row in rows if row["program"] == "Osong float32"]
    assert osong["from_gninatorch"] < 1e-4
    shown = capsys.readouterr().out
    assert "| networks | program |" in shown
    assert "| crossdock_default2018 | Osong float32 |" in shown
