"""`rescored.parquet`: the best molecules of a campaign, rescored once, kept, ranked and written."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs osong[ml]")

import osong
from osong.cli.main import app
from osong.errors import CampaignError, InputError
from osong.rescoring.fusion import shipped_fusion
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.size_bias import correct_for_size
from osong.rescoring.weights import SHIPPED
from osong_workflows import rescored_file, rescoring
from osong_workflows.campaign import Campaign
from osong_workflows.folder import CampaignFolder, locked_by

if TYPE_CHECKING:
    from osong.receptor import Target

MODEL = "crossdock_default2018"
LIBRARY = [
    ("Oc1ccccc1", "phenol"),
    ("C1CC", "unclosed"),
    ("CC(=O)N", "acetamide"),
    ("Clc1ccncc1", "chloropyridine"),
    ("CC(=O)Nc1ccc(O)cc1", "paracetamol"),
]


@pytest.fixture(scope="module")
def docked(egfr: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of four molecules that dock and one that cannot be read."""
    target = osong.Target(egfr.receptor, osong.Box(egfr.box.center, (12.0, 12.0, 12.0)), "EGFR")
    folder = tmp_path_factory.mktemp("rescoring") / "run"
    osong.screen(target, LIBRARY, out=folder, runner="serial", backend="cpu", progress=False)
    return folder


@pytest.fixture
def campaign(docked: Path, tmp_path: Path) -> Campaign:
    """A copy of it, to write into."""
    return Campaign(shutil.copytree(docked, tmp_path / "run"))


def file_of(campaign: Campaign) -> Path:
    return campaign.folder / "rescored.parquet"


def test_every_kept_pose_has_the_scores_of_osong_rescore(
    campaign: Campaign, egfr: Target, rescorer: Rescorer
) -> None:
    done = campaign.rescore(3, rescorer=rescorer)
    assert (done.n_in, done.n_ok, done.n_failed, done.n_kept, done.failures) == (3, 3, 0, 0, ())
    rows = pq.read_table(file_of(campaign)).to_pylist()
    assert [row["index"] for row in rows] == sorted(campaign.top(3)["index"])
    for row in rows:
        expected = osong.rescore(campaign.poses(row["index"]), egfr, rescorer=rescorer)
        assert [pose["score"] for pose in row["cnn_poses"]] == expected["cnn_score"].tolist()
        number = int(expected["cnn_score"].argmax())
        best = expected.iloc[number]
        assert row["cnn_pose"] == number + 1
        for column in ("cnn_score", "cnn_affinity", "cnn_vs", "cnn_variance"):
            assert row[column] == best[column]
    says = json.loads(pq.read_metadata(file_of(campaign)).metadata[b"osong.rescoring"])
    assert says["networks"][0]["sha256"] == SHIPPED[MODEL]
    assert "Apache-2.0" in says["networks"][0]["licence"]
    assert says["torch"] == [metadata.version("torch")]
    assert says["gninatorch"] == [metadata.version("gninatorch")]


def test_hits_rank_by_what_networks_say_and_by_energy_as_before(
    campaign: Campaign, rescorer: Rescorer, tmp_path: Path
) -> None:
    before = campaign.top()
    campaign.rescore(3, rescorer=rescorer)
    pd.testing.assert_frame_equal(campaign.top(), before)
    for rank_by in ("cnn_score", "cnn_affinity", "cnn_vs"):
        hits = campaign.top(rank_by=rank_by)
        assert sorted(hits["index"]) == sorted(before["index"][:3])
        assert all(first >= second for first, second in pairwise(hits[rank_by]))
        assert hits["rank"].tolist() == [1, 2, 3]
        energies = before.set_index("index")["energy"]
        assert hits["energy"].tolist() == [energies[i] for i in hits["index"]]
    assert len(campaign.top(2, rank_by="cnn_vs")) == 2
    with pytest.raises(InputError, match="rank_by is 'beauty'"):
        campaign.top(rank_by="beauty")  # type: ignore[arg-type]
    path = tmp_path / "hits.sdf"
    assert campaign.to_sdf(path, 2, n_poses=2, rank_by="cnn_vs") == 2
    mols = list(Chem.SDMolSupplier(str(path), removeHs=False))
    hits = campaign.top(2, rank_by="cnn_vs")
    firsts = mols[::2]
    assert [mol.GetIntProp("osong_pose") for mol in firsts] == hits["cnn_pose"].tolist()
    assert [mol.GetProp("CNNscore") for mol in firsts] == [f"{s:.6f}" for s in hits["cnn_score"]]
    assert mols[0].GetDoubleProp("CNNscore") >= mols[1].GetDoubleProp("CNNscore")


def test_energy_and_networks_choose_the_pose(
    campaign: Campaign, egfr: Target, rescorer: Rescorer, tmp_path: Path
) -> None:
    campaign.rescore(3, rescorer=rescorer)
    fusion = shipped_fusion("vina", MODEL)
    rows = pq.read_table(file_of(campaign)).to_pylist()
    for row in rows:
        part = next(campaign.pose_rows(np.array([row["index"]])))
        said = osong.rescore(campaign.poses(row["index"]), egfr, rescorer=rescorer)
        values = (
            [pose["energy"] for pose in part["poses"]],
            said["cnn_score"],
            said["cnn_affinity"],
        )
        assert row["fused_poses"] == fusion.score(*values).tolist()
        assert row["fused_pose"] == fusion.order(*values)[0] + 1
    hits = campaign.top(rank_by="cnn_vs").set_index("name")
    assert hits["fused_pose"].to_dict() == {row["name"]: row["fused_pose"] for row in rows}
    for rank_by in ("cnn_vs", "energy"):
        path = tmp_path / f"{rank_by}.sdf"
        assert campaign.to_sdf(path, 3, n_poses=9, rank_by=rank_by, pose_by="fused") == 3
        mols = list(Chem.SDMolSupplier(str(path), removeHs=False))
        assert all(mol.GetProp("osong_scoring") == "vina" for mol in mols)
        for name, pose in hits["fused_pose"].items():
            mine = [mol for mol in mols if mol.GetProp("_Name") == name]
            assert mine[0].GetIntProp("osong_pose") == pose
            scores = [mol.GetDoubleProp("osong_fused") for mol in mine]
            assert scores == sorted(scores, reverse=True)
    path = tmp_path / "by_energy.sdf"
    campaign.to_sdf(path, 3, n_poses=2, rank_by="cnn_vs", pose_by="energy")
    numbers = [mol.GetIntProp("osong_pose") for mol in Chem.SDMolSupplier(str(path))]
    assert numbers == [1, 2] * 3
    says = json.loads(pq.read_metadata(file_of(campaign)).metadata[b"osong.rescoring"])
    assert says["fusion"]["vina"]["energy"] == fusion.energy


def test_no_pose_is_chosen_without_a_fused_score(
    campaign: Campaign, rescorer: Rescorer, tmp_path: Path
) -> None:
    path = tmp_path / "hits.sdf"
    with pytest.raises(CampaignError, match="nothing is rescored yet"):
        campaign.to_sdf(path, 1, pose_by="fused")
    campaign.rescore(1, rescorer=rescorer)
    with pytest.raises(CampaignError, match=r"its poses are not rescored.* run: osong rescore"):
        campaign.to_sdf(path, 3, pose_by="fused")
    with pytest.raises(InputError, match="rank_by is 'fused', which orders the poses of one"):
        campaign.top(rank_by="fused")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pose_by is 'luck'"):
        campaign.to_sdf(path, 1, pose_by="luck")  # type: ignore[arg-type]
    done = campaign.rescore(1, rescorer=Rescorer(MODEL, 4, device="cpu"))
    assert "without rotations and in float32, not for 4 rotations" in " ".join(done.notes)
    assert campaign.top(rank_by="cnn_vs")["fused_pose"].isna().all()
    with pytest.raises(
        CampaignError, match=r"no fused score, since no weights .*vina with default"
    ):
        campaign.to_sdf(path, 1, rank_by="cnn_vs", pose_by="fused")
    assert not path.exists()


def test_energies_corrected_for_size(campaign: Campaign, tmp_path: Path) -> None:
    expected = correct_for_size(campaign.top(None))
    hits = campaign.top(None, rank_by="energy_for_size")
    assert hits["index"].tolist() == expected["index"].tolist()
    assert hits["energy_for_size"].tolist() == expected["energy_for_size"].tolist()
    first = campaign.top(2, rank_by="energy_for_size")
    pd.testing.assert_frame_equal(first, hits[:2])
    run = CliRunner().invoke
    out = tmp_path / "hits.csv"
    words = ["top", str(campaign.folder), "--correct-size"]
    assert run(app, [*words, "-o", str(out)]).exit_code == 0
    assert pd.read_csv(out)["index"].tolist() == hits["index"].tolist()
    assert "by size" in run(app, words).stdout
    wrong = run(app, [*words, "--rank-by", "cnn_vs"])
    assert wrong.exit_code == 1
    assert "corrects energies, not cnn_vs" in wrong.stderr
    wrong = run(app, [*words, "--pose-by", "fused"])
    assert "orders the poses of an .sdf file" in wrong.stderr


def test_more_molecules_keep_those_that_are_there(
    campaign: Campaign, rescorer: Rescorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescored_file, "_FILE", "at_once.parquet")
    campaign.rescore(10, rescorer=rescorer)
    monkeypatch.undo()
    assert campaign.rescore(2, rescorer=rescorer).n_kept == 0
    seen = _count(rescorer, monkeypatch)
    done = campaign.rescore(10, rescorer=rescorer)
    assert (done.n_in, done.n_ok, done.n_kept) == (4, 4, 2)
    assert seen == [sum(len(campaign.poses(i)) for i in campaign.top()["index"][2:])]
    assert (
        file_of(campaign).read_bytes()
        == file_of(campaign).with_name("at_once.parquet").read_bytes()
    )
    written = file_of(campaign).stat().st_mtime_ns
    assert campaign.rescore(10, rescorer=rescorer).n_kept == 4
    assert len(seen) == 1 or seen[1:] == [0]
    assert file_of(campaign).stat().st_mtime_ns == written


def _count(rescorer: Rescorer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of poses of each call of the networks."""
    seen: list[int] = []
    original = rescorer.iter_scores

    def iter_scores(source: Any, poses: Any) -> Any:
        seen.append(len(poses))
        return original(source, poses)

    monkeypatch.setattr(rescorer, "iter_scores", iter_scores)
    return seen


def test_work_that_was_cut_off_is_kept(
    campaign: Campaign, rescorer: Rescorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescoring, "_AT_ONCE", 1)
    monkeypatch.setattr(rescoring, "_WRITE_EVERY_S", -1.0)
    monkeypatch.setattr(rescoring, "_WRITE_SHARE", -1.0)
    steps = 0

    def step(n: int) -> None:
        nonlocal steps
        steps += n
        if steps == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        campaign.rescore(10, rescorer=rescorer, step=step)
    half = campaign.folder / ".rescored.parquet.0123.tmp"
    half.write_bytes(b"half")
    assert campaign.rescore(10, rescorer=rescorer).n_kept == 3
    assert not half.exists()


def test_what_was_scored_is_kept_whatever_ends_it(
    campaign: Campaign, rescorer: Rescorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescoring, "_AT_ONCE", 1)
    steps = []

    def step(n: int) -> None:
        steps.append(n)
        if sum(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        campaign.rescore(10, rescorer=rescorer, step=step)
    assert campaign.rescore(10, rescorer=rescorer).n_kept == 3


def test_rows_of_other_networks_are_put_aside_and_come_back(
    campaign: Campaign, rescorer: Rescorer
) -> None:
    campaign.rescore(2, rescorer=rescorer)
    before = campaign.top(rank_by="cnn_score")
    turned = Rescorer(MODEL, 4, device="cpu")
    done = campaign.rescore(1, rescorer=turned)
    assert (done.n_kept, done.n_aside) == (0, 2)
    assert done.aside is not None
    assert done.aside.exists()
    assert (campaign.top(rank_by="cnn_score")["cnn_variance"] > 0).all()
    back = campaign.rescore(2, rescorer=rescorer)
    assert (back.n_kept, back.n_aside) == (2, 1)
    assert not done.aside.exists(), "they have the file again"
    pd.testing.assert_frame_equal(campaign.top(rank_by="cnn_score"), before)
    assert campaign.rescore(1, rescorer=turned).n_kept == 1


def test_rows_put_aside_outlive_a_file_that_is_gone(campaign: Campaign, rescorer: Rescorer) -> None:
    """Whoever removes a damaged file, as the message says, keeps what other networks said."""
    campaign.rescore(2, rescorer=rescorer)
    done = campaign.rescore(1, rescorer=Rescorer(MODEL, 4, device="cpu"))
    file_of(campaign).unlink()
    assert done.aside is not None
    assert campaign.rescore(1, rescorer=rescorer).n_kept == 1
    assert campaign.rescore(2, rescorer=rescorer).n_kept == 2
    assert len(campaign.top(rank_by="cnn_vs")) == 2


def test_molecule_that_cannot_be_scored_is_a_row(
    campaign: Campaign, rescorer: Rescorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osong.rescoring.grids import PoseAtoms

    original = PoseAtoms.of

    def of(mol: Chem.Mol) -> PoseAtoms:
        if mol.GetProp("_Name") == "phenol":
            raise InputError("phenol: cannot be drawn")
        return original(mol)

    monkeypatch.setattr(PoseAtoms, "of", of)
    done = campaign.rescore(10, rescorer=rescorer)
    assert (done.n_in, done.n_ok, done.n_failed) == (4, 3, 1)
    assert done.failures == (("phenol", "phenol: cannot be drawn"),)
    assert "phenol" not in set(campaign.top(rank_by="cnn_vs")["name"])


def test_what_cannot_be_is_one_line(campaign: Campaign, rescorer: Rescorer) -> None:
    with pytest.raises(CampaignError, match="nothing is rescored yet; run: osong rescore"):
        campaign.top(rank_by="cnn_vs")
    with pytest.raises(InputError, match="n must be at least 1"):
        campaign.rescore(0, rescorer=rescorer)
    folder = CampaignFolder.at(campaign.folder)
    with (
        locked_by(folder.path / "rescoring.lock", "campaign's rescoring"),
        pytest.raises(CampaignError, match="is working in this campaign's rescoring"),
    ):
        campaign.rescore(1, rescorer=rescorer)
    campaign.rescore(1, rescorer=rescorer)
    good = file_of(campaign).read_bytes()
    file_of(campaign).write_bytes(good[: len(good) // 2])
    for look in (
        lambda: campaign.top(rank_by="cnn_vs"),
        lambda: campaign.rescore(1, rescorer=rescorer),
    ):
        with pytest.raises(CampaignError, match=r"is damaged .*remove it, then run: osong rescore"):
            look()


def test_commands(campaign: Campaign, rescorer: Rescorer, tmp_path: Path) -> None:
    del rescorer  # skips where there are no weights
    words = ("--models", MODEL, "--device", "cpu", "--threads", "1")

    def run(*more: object) -> Any:
        return CliRunner().invoke(app, [str(word) for word in more])

    result = run("rescore", campaign.folder, "--top", 3, *words)
    assert result.exit_code == 0, result.output
    assert "3 molecules in = 3 ok + 0 failed: " in result.stdout
    assert f"networks: {MODEL} (float32, 1 rotation, cpu)" in result.stdout
    assert "--rank-by cnn_vs" in result.stdout
    inner = campaign.folder / "parts"
    for wrong, message in (
        (inner, f"{inner}: is no campaign folder, but {campaign.folder} is"),
        (tmp_path / "nosuchrun", "nosuchrun: there is no such file of poses, nor such a campaign"),
        (tmp_path, f"{tmp_path}: is no campaign folder, and has no file of molecules"),
    ):
        result = run("rescore", wrong, "--top", 3, *words)
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert "(3 were there already)" in run("rescore", campaign.folder, "--top", 3, *words).stdout
    result = run("top", campaign.folder, "--rank-by", "cnn_vs")
    assert "CNN_VS" in result.stdout
    assert "3 of 4 molecules that docked are ranked: the others are not rescored" in result.stdout
    assert "are ranked" not in run("top", campaign.folder).stdout
    assert "CNN_VS" not in run("top", campaign.folder).stdout
    out = tmp_path / "hits.csv"
    assert run("top", campaign.folder, "--rank-by", "cnn_score", "-o", out).exit_code == 0
    assert pd.read_csv(out)["cnn_score"].is_monotonic_decreasing
    out = tmp_path / "hits.sdf"
    chosen = ("-n", 3, "--poses", 2, "--pose-by", "fused", "-o", out)
    assert run("top", campaign.folder, *chosen).exit_code == 0
    fused = [mol.GetDoubleProp("osong_fused") for mol in Chem.SDMolSupplier(str(out))]
    assert all(first >= second for first, second in zip(fused[::2], fused[1::2], strict=True))
    # A file of hits has what a fused score needs.
    again = tmp_path / "again.csv"
    target = ("-t", campaign.folder / "target.osong")
    result = run("rescore", out, "-o", again, *target, "--models", MODEL, "--device", "cpu")
    assert "no fused score" not in result.stdout
    np.testing.assert_allclose(pd.read_csv(again)["fused"], fused, atol=3e-3)
    assert "energy_for_size" in run("top", campaign.folder, "--rank-by", "fused").stderr
    assert "in its own folder" in run("rescore", campaign.folder, "-o", out).stderr
    assert "its own target" in run("rescore", campaign.folder, "-t", "EGFR").stderr
