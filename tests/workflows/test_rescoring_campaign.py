"""`rescore = "gnina"`: poses are scored by networks where they were docked, once, in the parts."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from campaign_helpers import part_bytes, part_paths
from rdkit import Chem
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs osong[ml]")

import osong
from osong.cli.campaign import print_results
from osong.cli.main import app
from osong.errors import CampaignError, InputError, MissingExtraError
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.stream import CnnScore
from osong.rescoring.weights import SHIPPED, shipped_folder
from osong.search import DockingSession
from osong_workflows.campaign import Campaign
from osong_workflows.cnn_columns import CNN_COLUMNS
from osong_workflows.device_docking import Unfinished, build_host
from osong_workflows.outcome import DockedMolecule
from osong_workflows.parts import PART_SCHEMA
from osong_workflows.plain_poses import docked_molecule
from osong_workflows.planning import plan_campaign
from osong_workflows.pose_rescoring import BYTES_PER_RESCORER, pose_rescorer, rescoring_seconds
from osong_workflows.settings import DEFAULT_MODELS, make_settings

if TYPE_CHECKING:
    from osong.receptor import Target

LIBRARY = [
    ("Oc1ccccc1", "phenol"),
    ("C1CC", "unclosed"),
    ("CC(=O)N", "acetamide"),
    ("Clc1ccncc1", "chloropyridine"),
]


@pytest.fixture(scope="module", autouse=True)
def weights() -> None:
    try:
        shipped_folder()
    except MissingExtraError:
        pytest.skip("needs osong[ml]")


@pytest.fixture(scope="module")
def pocket(egfr: Target) -> Target:
    return osong.Target(egfr.receptor, osong.Box(egfr.box.center, (12.0, 12.0, 12.0)), "EGFR")


def screen(target: Target, out: Path, **options: Any) -> Campaign:
    wishes: dict[str, Any] = {
        "runner": "serial",
        "backend": "cpu",
        "progress": False,
        "rescore": "gnina",
    } | options
    campaign: Any = osong.screen(target, LIBRARY, out=out, **wishes)
    return Campaign(campaign.folder)


@pytest.fixture(scope="module")
def campaign(pocket: Target, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    folder = tmp_path_factory.mktemp("rescoring") / "run"
    return screen(pocket, folder, chunk_size=2, shard_chunks=2)


def rows_of(campaign: Campaign) -> list[dict[str, Any]]:
    return [row for part in part_paths(campaign) for row in pq.read_table(part).to_pylist()]


def test_every_pose_has_the_scores_of_osong_rescore(campaign: Campaign, egfr: Target) -> None:
    rescorer = Rescorer(DEFAULT_MODELS, device="cpu")
    rows = rows_of(campaign)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    for row in rows:
        if row["status"] == "failed":
            assert all(row[name] is None for name in CNN_COLUMNS)
            continue
        poses = campaign.poses(row["index"])
        expected = osong.rescore(poses, egfr, rescorer=rescorer)
        assert [pose["score"] for pose in row["cnn_poses"]] == expected["cnn_score"].tolist()
        number = int(expected["cnn_score"].argmax())
        assert row["cnn_pose"] == number + 1
        assert row["cnn_vs"] == expected["cnn_vs"].iloc[number]
        fused = expected["fused"]  # energies of data items have three digits
        np.testing.assert_allclose(row["fused_poses"], fused, atol=2e-3)
        assert row["fused_pose"] == np.argmax(row["fused_poses"]) + 1
        texts = [f"{score:.6f}" for score in expected["cnn_score"]]
        assert [mol.GetProp("CNNscore") for mol in poses] == texts


def test_poses_are_those_of_a_campaign_without(
    campaign: Campaign, pocket: Target, tmp_path: Path
) -> None:
    plain = screen(pocket, tmp_path / "plain", rescore=None, chunk_size=2, shard_chunks=2)
    assert pq.read_schema(part_paths(plain)[0]).names == PART_SCHEMA.names
    for with_scores, without in zip(rows_of(campaign), rows_of(plain), strict=True):
        assert {name: with_scores[name] for name in PART_SCHEMA.names} == without
    text = (plain.folder / "campaign.toml").read_text()
    assert "rescore" not in text, "older versions read it"
    assert "networks" not in text
    with pytest.raises(CampaignError, match="nothing is rescored yet"):
        plain.top(rank_by="cnn_vs")


def test_bytes_do_not_depend_on_the_runner(
    campaign: Campaign, pocket: Target, tmp_path: Path
) -> None:
    other = screen(
        pocket, tmp_path / "run", runner="local", workers=2, chunk_size=2, shard_chunks=2
    )
    assert part_bytes(other) == part_bytes(campaign)


def test_hits_rank_by_what_networks_say(campaign: Campaign, tmp_path: Path) -> None:
    by_energy = campaign.top()
    assert "cnn_score" not in by_energy
    for rank_by in ("cnn_score", "cnn_affinity", "cnn_vs"):
        hits = osong.open_campaign(campaign.folder).top(rank_by=rank_by)
        assert sorted(hits["name"]) == sorted(by_energy["name"])
        assert all(first >= second for first, second in pairwise(hits[rank_by]))
        assert (
            osong.open_campaign(campaign.folder).top(1, rank_by=rank_by)["name"].tolist()
            == hits["name"][:1].tolist()
        )
    path = tmp_path / "hits.sdf"
    campaign.to_sdf(path, 2, rank_by="cnn_vs")
    mols = list(Chem.SDMolSupplier(str(path), removeHs=False))
    hits = campaign.top(2, rank_by="cnn_vs")
    assert [mol.GetProp("_Name") for mol in mols] == hits["name"].tolist()
    assert [mol.GetIntProp("osong_pose") for mol in mols] == hits["cnn_pose"].tolist()
    result = CliRunner().invoke(app, ["top", str(campaign.folder), "--rank-by", "cnn_vs"])
    assert "CNN_VS" in result.stdout


def test_rescoring_some_again_does_not_take_the_others_out_of_the_ranks(
    campaign: Campaign, tmp_path: Path
) -> None:
    copy = Campaign(shutil.copytree(campaign.folder, tmp_path / "run"))
    before = copy.top(rank_by="cnn_vs")
    assert copy.n_rescored() is None
    copy.rescore(1, models=DEFAULT_MODELS, device="cpu")
    pd.testing.assert_frame_equal(copy.top(rank_by="cnn_vs"), before)
    assert copy.to_sdf(tmp_path / "hits.sdf", rank_by="cnn_vs") == len(before)
    command = ["top", str(copy.folder), "--rank-by", "cnn_vs"]
    assert "are ranked" not in CliRunner().invoke(app, command).stdout
    copy.rescore(1, models="dense", device="cpu")
    assert len(copy.top(rank_by="cnn_vs")) == copy.n_rescored() == 1
    assert "1 of 3 molecules that docked are ranked" in CliRunner().invoke(app, command).stdout


def test_screening_ends_with_how_to_rank_by_networks(
    campaign: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Campaign(shutil.copytree(campaign.folder, tmp_path / "run"))
    print_results(copy, 2)
    printed = capsys.readouterr().out
    assert f"networks: {DEFAULT_MODELS} scored the poses" in printed
    assert f"osong top {copy.folder} --rank-by cnn_vs" in printed
    shutil.copytree(campaign.folder, tmp_path / "plain")
    plain = Campaign(tmp_path / "plain")
    plain._settings = _settings(osong.Target.load(plain.folder / "target.osong"), rescore="")
    print_results(plain, 2)
    assert "networks" not in capsys.readouterr().out


def test_a_part_that_is_lost_is_made_again(campaign: Campaign) -> None:
    before = part_bytes(campaign)
    part_paths(campaign)[0].unlink()
    campaign.resume(runner="serial", backend="cpu", progress=False)
    assert part_bytes(campaign) == before


def test_networks_are_part_of_the_campaign(campaign: Campaign, pocket: Target) -> None:
    text = (campaign.folder / "campaign.toml").read_text()
    assert 'rescore = "gnina"' in text
    assert SHIPPED[DEFAULT_MODELS] in text
    assert "Apache-2.0" in text
    for options, differs in (
        ({"rescore": None}, "rescore is 'gnina' there and '' here"),
        ({"rescore_models": "dense"}, "networks is"),
    ):
        with pytest.raises(CampaignError, match=differs):
            screen(pocket, campaign.folder, **options)


def test_poses_of_another_program_are_scored_too(
    campaign: Campaign, pocket: Target, tmp_path: Path
) -> None:
    library = tmp_path / "poses.sdf"
    campaign.to_sdf(library)
    scored: Any = osong.screen(
        pocket, library, out=tmp_path / "run", effort="score", rescore="gnina", runner="serial"
    )
    found = {row["name"]: row for row in rows_of(Campaign(scored.folder))}
    for row in rows_of(campaign):
        if row["status"] == "ok":
            first, again = row["cnn_poses"][0], found[row["name"]]["cnn_poses"][0]
            np.testing.assert_allclose(again["score"], first["score"], atol=2e-3)


def test_poses_that_a_device_found_are_scored_by_the_host(
    pocket: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pocket.save(tmp_path / "target.osong")
    work = build_host(str(tmp_path / "target.osong"), _settings(pocket))
    pose = _pose(list(pocket.box.center))
    monkeypatch.setattr(DockingSession, "finish", lambda *_: [pose])
    molecule = work(Unfinished(0, "methane", (pose.ligand,), ()))
    assert isinstance(molecule, DockedMolecule)
    assert molecule.backend == "cuda"
    (score,) = molecule.cnn
    expected = osong.rescore(pose, pocket, models=DEFAULT_MODELS, device="cpu")
    assert isinstance(score, CnnScore)
    assert score.score == expected["cnn_score"][0]


def test_pose_that_networks_cannot_see_has_a_reason(pocket: Target) -> None:
    add = pose_rescorer(pocket, _settings(pocket))
    pose = _pose([500.0, 0.0, 0.0])
    lost = docked_molecule([pose], [pose.ligand])
    assert add(lost).cnn == (
        "no atom of the receptor is near the pose: were both read from files of the same frame?",
    )


def _pose(place: list[float]) -> osong.Pose:
    (ligand,) = osong.prepare_ligand("C", name="methane")
    return osong.Pose(
        energy=0.0, inter=0.0, intra=0.0, genotype=np.zeros(7, np.float32), conformer=0,
        coords=ligand.packed.coords[0] + np.array(place, np.float32), ligand=ligand,
        scoring="vina",
    )  # fmt: skip


def _settings(target: Target, **more: Any) -> Any:
    fields = {"rescore": "gnina"} | more
    return make_settings(
        target_name=target.name, target_key=target.key.hex(), scoring="vina", effort="fast",
        n_poses=3, seed=0, molecule_timeout_s=600.0, docker="a:b", **fields,
    )  # fmt: skip


def test_what_cannot_be_is_one_line(
    pocket: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="rescore_models is 'fast'; a campaign takes networks"):
        screen(pocket, tmp_path / "a", rescore_models="fast")
    with pytest.raises(InputError, match="campaign: rescore: "):
        screen(pocket, tmp_path / "a", rescore="magic")
    from osong.rescoring import rescorer

    monkeypatch.setattr(rescorer, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'osong\[ml\]'"):
        screen(pocket, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    result = CliRunner().invoke(
        app, ["screen", "drugs", "-t", "EGFR", "-o", str(tmp_path / "b"), "--rescore-models", "x"]
    )
    assert "--rescore-models needs --rescore gnina" in result.stderr


def test_digest_of_a_campaign_without_is_what_it_was(pocket: Target) -> None:
    plain = _settings(pocket, rescore="", rescore_models="dense")
    assert plain.networks == {}
    assert plain.digest() == _settings(pocket, rescore="").digest()
    assert plain.digest() != _settings(pocket).digest()
    assert _settings(pocket, rescore_models="dense").digest() != _settings(pocket).digest()


def test_plan_counts_networks(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO ethanol\nCC(=O)N acetamide\n")
    plans = []
    for search in ("", '[search]\nrescore = "gnina"\n', '[search]\nrescore_models = "dense"\n'):
        path = tmp_path / "egfr.toml"
        path.write_text(f'library = "a.smi"\n[[target]]\nname = "EGFR"\n{search}')
        plans.append(plan_campaign(path))
    plain, rescored, ignored = plans
    seconds = rescoring_seconds({DEFAULT_MODELS: ""}, 3)
    assert seconds == pytest.approx(0.039)
    assert rescored.time.seconds == pytest.approx(plain.time.seconds + seconds)
    assert rescored.core_hours > plain.core_hours == ignored.core_hours
    memory = [plan.targets[0].memory_bytes_per_worker for plan in plans]
    assert memory == [memory[0], memory[0] + BYTES_PER_RESCORER, memory[0]]
