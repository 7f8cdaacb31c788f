"""Campaigns with the real chemistry and search: a small receptor, a few molecules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from campaign_helpers import per_ligand
from rdkit import Chem

import osong
from osong.errors import LigandError
from osong.library import PreparedMolecule, Record, parse_record, read_records, write_prepared
from osong.ligands import LigandOptions, prepare_ligand
from osong_workflows.docking import build_docker
from osong_workflows.prepared import PreparedReader

SHARED = Path(__file__).parents[3] / "shared" / "data" / "redock"
LIBRARY = [("CCO", "ethanol"), ("c1ccccc1C(=O)O", "benzoate"), ("C1CC", "unclosed")]


@pytest.fixture(scope="module")
def target():
    index = SHARED / "index.tsv"
    if not index.exists():
        pytest.skip(f"{index} is missing: the shared test data are not beside the checkout")
    folder = next(path.parent for path in sorted(SHARED.glob("*/receptor.pdbqt.gz")))
    ligand = folder / "ligand.sdf"
    return osong.Target.from_file(
        folder / "receptor.pdbqt.gz", box=osong.Box.around(ligand, padding=3.0)
    )


@pytest.fixture(scope="module")
def campaign(target, tmp_path_factory):
    return osong.screen(
        target, LIBRARY, out=tmp_path_factory.mktemp("real") / "run", runner="serial", n_poses=2
    )


@pytest.mark.slow
def test_a_campaign_gives_the_poses_of_dock(campaign, target):
    assert campaign.ledger()["status"].to_pylist() == ["ok", "ok", "failed"]
    assert campaign.ledger()["stage"].to_pylist()[2] == "read"
    for smiles, name in LIBRARY[:2]:
        docked = osong.dock(target, smiles, effort="fast", n_poses=2)
        poses = campaign.poses(name)
        assert len(poses) == len(docked)
        for mol, pose in zip(poses, docked, strict=True):
            assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(pose.mol)
            np.testing.assert_allclose(
                mol.GetConformer().GetPositions(), pose.mol.GetConformer().GetPositions(), atol=1e-5
            )
            assert mol.GetProp("osong_energy") == pose.mol.GetProp("osong_energy")


@pytest.mark.slow
def test_local_runner_and_order_change_nothing(campaign, target, tmp_path):
    other = osong.screen(
        target, LIBRARY[::-1], out=tmp_path / "run", runner="local", workers=2, n_poses=2
    )
    assert other.plan.chunk_size != campaign.plan.chunk_size or other.plan.n_chunks == 3
    mine, theirs = per_ligand(campaign), per_ligand(other)
    for rows in (mine, theirs):
        # Its reason names the line of the library.
        rows["unclosed"].pop("reason")
    assert mine == theirs


@pytest.mark.slow
def test_properties_and_names_come_back(target, tmp_path):
    mol = Chem.MolFromSmiles("c1ccccc1O")
    mol.SetProp("_Name", "phenol from the shelf")
    mol.SetProp("price", "12 EUR")
    campaign = osong.screen(target, [mol], out=tmp_path / "run", runner="serial")
    assert campaign.to_sdf(tmp_path / "hits.sdf") == 1
    (hit,) = Chem.SDMolSupplier(str(tmp_path / "hits.sdf"))
    assert hit.GetProp("_Name") == "phenol from the shelf"
    assert hit.GetProp("price") == "12 EUR"
    assert Chem.MolToSmiles(hit) == Chem.MolToSmiles(mol)


def prepared(record: Record) -> PreparedMolecule:
    """What preparing a library does with each record."""
    try:
        ligands = prepare_ligand(parse_record(record), name=record.name)
    except LigandError as error:
        return PreparedMolecule(
            record.index, record.name, record.source, error=str(error), stage=error.stage
        )
    return PreparedMolecule(record.index, record.name, record.source, tuple(ligands))


@pytest.mark.slow
def test_prepared_library_gives_the_same_poses(campaign, target, tmp_path):
    write_prepared(tmp_path / "prepared", (prepared(record) for record in read_records(LIBRARY)))
    other = osong.screen(
        target, tmp_path / "prepared", out=tmp_path / "run", runner="serial", n_poses=2
    )
    assert other.ledger()["stage"].to_pylist() == campaign.ledger()["stage"].to_pylist()
    assert other.top()["energy"].tolist() == campaign.top()["energy"].tolist()


@pytest.mark.slow
def test_a_file_is_planned_again_on_resume(target, tmp_path):
    source = tmp_path / "library.smi"
    source.write_text("CCO ethanol\n")
    campaign = osong.screen(target, source, out=tmp_path / "run", runner="serial")
    before = per_ligand(campaign)
    (campaign.folder / "plan.json").unlink()
    for part in (campaign.folder / "parts").iterdir():
        part.unlink()
    again = osong.open_campaign(campaign.folder).resume(runner="serial")
    assert per_ligand(again) == before


def test_another_prepared_library_is_refused(tmp_path):
    reader = PreparedReader(str(tmp_path))
    with pytest.raises(osong.errors.CampaignError, match="needs the library it began with"):
        reader.read(Record(0, "a", "b", "prepared", "hash:0"))


def test_damaged_prepared_library_is_no_molecules_fault(tmp_path):
    records = read_records(["CCO", "CCN", "CCC"])
    library = write_prepared(tmp_path, (prepared(record) for record in records))
    shard = tmp_path / library.shards[0].file
    shard.write_bytes(shard.read_bytes()[:-100])
    reader = PreparedReader(str(tmp_path))
    for position in (0, 1, 2):
        data = f"{library.content_hash}:{position}"
        with pytest.raises(osong.errors.CampaignError, match=shard.name):
            reader.read(Record(position, "a", "b", "prepared", data))


def test_another_target_file_is_refused(target, tmp_path):
    from osong_workflows.settings import CampaignSettings

    target.save(tmp_path / "target.osong")
    settings = CampaignSettings(
        target_name="x",
        target_key="00",
        scoring="vina",
        effort="fast",
        n_poses=1,
        seed=0,
        molecule_timeout_s=1,
        docker="x",
    )
    with pytest.raises(osong.errors.CampaignError, match="not the target"):
        build_docker(str(tmp_path / "target.osong"), settings)


def test_plain_smiles_of_real_ligands():
    from osong.pose_molecules import plain_smiles

    for smiles in ("C[C@H](N)C(=O)O", "c1ccc2[nH]ccc2c1", "C/C=C/Cl"):
        (ligand, *_) = prepare_ligand(smiles, options=LigandOptions(ph=None))
        assert plain_smiles(ligand.smiles) == Chem.CanonSmiles(smiles)
