"""Effort "score": a campaign of poses that another program made."""

from __future__ import annotations

import numpy as np
import pytest
from campaign_helpers import part_bytes
from rdkit import Chem
from rdkit.Chem import AllChem
from typer.testing import CliRunner

import osong
from osong.cli.main import app
from osong.errors import InputError
from osong.library import PreparedMolecule, write_prepared
from osong.ligands import pack_pose, prepare_ligand, write_pdbqt
from osong.receptor import Receptor

SMILES = ("CC(=O)Nc1ccc(OC)cc1", "OCCN", "c1ccccc1C(=O)O", "CCO", "CC(C)C#N", "C1CC1O")


def embedded(smiles: str, name: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=5) == 0
    mol.SetProp("_Name", name)
    mol.SetProp("vendor", f"of {name}")
    return mol


@pytest.fixture(scope="module")
def target():
    rng = np.random.default_rng(4)
    coords = rng.uniform(-9, 9, (200, 3)).astype(np.float32)
    types = rng.integers(-1, 19, 200).astype(np.int8)
    text = np.array(["X"] * 200)
    receptor = Receptor(
        coords, types, np.zeros(200, np.float32), text, text, text, text, text, text
    )
    return osong.Target(receptor, osong.Box((0, 0, 0), (22, 22, 22)), "made up")


@pytest.fixture(scope="module")
def poses():
    return [embedded(smiles, f"m{i}") for i, smiles in enumerate(SMILES)]


@pytest.fixture(scope="module")
def sdf(poses, tmp_path_factory):
    path = tmp_path_factory.mktemp("poses") / "poses.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for mol in poses:
            writer.write(mol)
    return path


@pytest.fixture(scope="module")
def campaign(target, sdf, tmp_path_factory):
    out = tmp_path_factory.mktemp("score") / "run"
    return osong.screen(target, sdf, out=out, effort="score", runner="serial", progress=False)


def test_rows_are_the_scores_of_the_file(campaign, target, sdf):
    ledger = campaign.ledger().to_pylist()
    assert [row["status"] for row in ledger] == ["ok"] * len(SMILES)
    for row, mol in zip(ledger, Chem.SDMolSupplier(str(sdf), removeHs=False), strict=True):
        expected = osong.score(target, mol)
        assert row["energy"] == expected.total
        (pose,) = campaign.poses(row["name"])
        assert pose.GetProp("osong_inter") == f"{expected.inter:.3f}"
        assert pose.GetProp("vendor") == f"of {row['name']}"
        assert Chem.CanonSmiles(row["smiles"]) == Chem.CanonSmiles(SMILES[row["index"]])
        placed, given = (m.GetConformer().GetPositions() for m in (pose, mol))
        apart = np.linalg.norm(placed[:, None] - given, axis=-1)
        assert apart.min(axis=0).max() < 1e-3


def test_any_workers_give_the_same_bytes(campaign, target, sdf, tmp_path):
    chunks = {"chunk_size": campaign.plan.chunk_size, "progress": False}
    other = osong.screen(
        target, sdf, out=tmp_path / "run", effort="score", workers=2, seed=7, n_poses=9, **chunks
    )
    assert part_bytes(other) == part_bytes(campaign)


def test_what_has_no_pose_is_a_row_that_says_so(target, poses, tmp_path):
    far = Chem.Mol(poses[0])
    far.GetConformer().SetPositions(far.GetConformer().GetPositions() + 90.0)
    library = ["CCO", far, poses[1], "C1CC"]
    mixed = osong.screen(
        target, library, out=tmp_path / "run", effort="score", runner="serial", progress=False
    )
    rows = mixed.ledger().to_pylist()
    assert [row["stage"] for row in rows] == ["score", "score", None, "read"]
    assert "has no coordinates, so no pose to score: give a file" in rows[0]["reason"]
    assert "heavy atoms are outside the box" in rows[1]["reason"]
    assert rows[2]["energy"] == osong.score(target, poses[1]).total


def test_pdbqt_poses(target, poses, tmp_path):
    write_pdbqt(pack_pose(poses[0]), tmp_path / "pose.pdbqt")
    scored = osong.screen(
        target, tmp_path / "pose.pdbqt", out=tmp_path / "run", effort="score", runner="serial",
        progress=False,
    )  # fmt: skip
    (row,) = scored.ledger().to_pylist()
    assert row["energy"] == pytest.approx(osong.score(target, poses[0]).total, abs=0.01)


def test_a_prepared_library_is_refused_at_once(target, tmp_path):
    ligands = tuple(prepare_ligand("CCO", name="ethanol"))
    molecule = PreparedMolecule(0, "ethanol", "library.smi:1", ligands)
    write_prepared(tmp_path / "prepared", [molecule])
    with pytest.raises(InputError, match="prepared library, which has no poses to score; give"):
        osong.screen(target, tmp_path / "prepared", out=tmp_path / "run", effort="score")
    assert not (tmp_path / "run").exists()


def test_the_command_line(campaign, target, sdf, tmp_path):
    target.save(tmp_path / "target.osong")
    words = ["screen", str(sdf), "-r", str(tmp_path / "target.osong"), "--effort", "score"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run"), "--runner", "serial"])
    assert done.exit_code == 0, done.output
    assert osong.open_campaign(tmp_path / "run").top().equals(campaign.top())
