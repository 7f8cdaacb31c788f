"""``osong.rescore``: what may be given, what comes back."""
# ruff: noqa: E402

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

torch = pytest.importorskip("torch", reason="needs osong[ml]")

from peer_networks import peer_folder

import osong
from osong.errors import InputError
from osong.rescoring.fused import PoseFuser, docked_energy
from osong.rescoring.fusion import shipped_fusion
from osong.rescoring.grids import GridMaker
from osong.rescoring.networks import Default2018
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.weights import SHIPPED

if TYPE_CHECKING:
    from osong import Target

COLUMNS = ["name", "cnn_score", "cnn_affinity", "cnn_vs", "cnn_variance", "fused"]
MODEL = "crossdock_default2018"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Rescorer:
    """A network of random weights, loaded once."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(5)
    torch.save(Default2018().state_dict(), folder / "net.pt")
    return Rescorer("net", device="cpu", weights=folder)


@pytest.fixture(scope="module")
def molecules(egfr: Target) -> list[Chem.Mol]:
    """Two ligands in the middle of the box, not docked."""
    made = []
    for name, smiles in (("aspirin", "CC(=O)Oc1ccccc1C(=O)O"), ("anilide", "CC(=O)Nc1ccc(Cl)cc1")):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(mol, randomSeed=7)
        place = mol.GetConformer().GetPositions()
        mol.GetConformer().SetPositions(place - place.mean(axis=0) + np.array(egfr.box.center))
        mol.SetProp("_Name", name)
        made.append(mol)
    return made


def rows(table: Any) -> Any:
    return table[COLUMNS[1:-1]].to_numpy()


def test_table_has_a_row_for_each_pose(
    egfr: Target, molecules: list[Chem.Mol], network: Rescorer
) -> None:
    table = osong.rescore(molecules, egfr, rescorer=network)
    assert list(table.columns) == COLUMNS
    assert table["name"].tolist() == ["aspirin", "anilide"]
    expected = network.scores(GridMaker(egfr.receptor).grids(molecules))
    assert table["cnn_score"].tolist() == expected.score.tolist()
    assert table["cnn_affinity"].tolist() == expected.affinity.tolist()
    assert table["cnn_vs"].tolist() == (expected.score * expected.affinity).tolist()
    assert table.attrs["rescoring"]["networks"][0]["name"] == "net"
    other_way = osong.rescore(molecules[::-1], egfr, rescorer=network)
    np.testing.assert_array_equal(rows(other_way), rows(table)[::-1])


def test_poses_may_come_in_every_form(
    egfr: Target, molecules: list[Chem.Mol], network: Rescorer
) -> None:
    """Packed poses store float32 in another order of atoms: equal to rounding."""
    expected = rows(osong.rescore(molecules[0], egfr, rescorer=network))
    packed = osong.pack_pose(molecules[0])
    pose = osong.Pose(
        energy=0.0, inter=0.0, intra=0.0, genotype=np.zeros(7, np.float32), conformer=0,
        coords=packed.packed.coords[0], ligand=packed, scoring="vina",
    )  # fmt: skip
    without_hydrogens = Chem.RemoveHs(molecules[0])
    for given in (packed, pose, without_hydrogens, iter([pose])):
        np.testing.assert_allclose(
            rows(osong.rescore(given, egfr, rescorer=network)), expected, rtol=1e-5, atol=1e-6
        )


def test_no_poses(egfr: Target, network: Rescorer) -> None:
    table = osong.rescore([], egfr, rescorer=network)
    assert list(table.columns) == COLUMNS
    assert len(table) == 0
    assert table["cnn_score"].dtype == np.float64


@pytest.mark.skipif(peer_folder() is None, reason="needs osong[ml]")
def test_networks_by_name(egfr: Target, molecules: list[Chem.Mol]) -> None:
    table = osong.rescore(
        molecules[:1], egfr, models="crossdock_default2018", rotations=4, device="cpu"
    )
    assert 0.0 <= table["cnn_score"][0] <= 1.0
    assert table["cnn_variance"][0] > 0.0
    facts = table.attrs["rescoring"]
    assert facts["rotations"] == 4
    assert "Apache-2.0" in facts["networks"][0]["licence"]


def test_pose_without_coordinates(egfr: Target, network: Rescorer) -> None:
    with pytest.raises(InputError, match="no coordinates in space"):
        osong.rescore(Chem.MolFromSmiles("CCO"), egfr, rescorer=network)


@pytest.mark.parametrize("what", ["poses", "target"])
def test_wrong_types(what: str, egfr: Target, network: Rescorer, tmp_path: Path) -> None:
    given: Any = {"poses": [], "target": egfr, what: [3] if what == "poses" else tmp_path}
    with pytest.raises(InputError, match=r"wanted osong\.(Pose|Target)"):
        osong.rescore(**given, rescorer=network)


@pytest.mark.skipif(peer_folder() is None, reason="needs osong[ml]")
def test_fused_joins_energy_and_networks(
    egfr: Target, molecules: list[Chem.Mol], rescorer: Rescorer
) -> None:
    packed = osong.pack_pose(molecules[0])
    poses = [
        osong.Pose(
            energy=energy, inter=0.0, intra=0.0, genotype=np.zeros(7, np.float32), conformer=0,
            coords=packed.packed.coords[0] + np.float32(shift), ligand=packed, scoring=scoring,
        )
        for energy, shift, scoring in ((-7.25, 0.0, "vina"), (-6.0, 0.5, "vinardo"))
    ]  # fmt: skip
    table = osong.rescore([*poses, molecules[1]], egfr, rescorer=rescorer)
    for row, pose in enumerate(poses):
        fusion = shipped_fusion(pose.scoring, "crossdock_default2018")
        said = table.iloc[row]
        expected = (
            -fusion.energy * pose.energy
            + fusion.log_odds * np.log(said["cnn_score"] / (1 - said["cnn_score"]))
            + fusion.affinity * said["cnn_affinity"]
        )
        assert said["fused"] == pytest.approx(expected, rel=1e-9)
        alone = osong.rescore(pose, egfr, rescorer=rescorer)
        assert alone["fused"][0] == said["fused"], "to the bit, whatever it comes with"
    assert np.isnan(table["fused"][2])
    facts = table.attrs["rescoring"]
    assert list(facts["fusion"]) == ["vina", "vinardo"]
    ((reason, n_poses),) = facts["not_fused"].items()
    assert n_poses == 1
    assert "energy is not known" in reason
    again = osong.rescore([pose.mol for pose in poses], egfr, rescorer=rescorer)
    np.testing.assert_allclose(again["fused"], table["fused"][:2], rtol=1e-4)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"networks": [{"name": "dense", "sha256": SHIPPED["dense"]}]}, "with dense; there are: "),
        ({"rotations": 4}, "not for 4 rotations in float32"),
        ({"dtype": "bfloat16"}, "not for 1 rotations in bfloat16"),
        ({"networks": [{"name": MODEL, "sha256": "0" * 64}]}, "not for the file of that name"),
        ({}, "osong_energy is 'low'"),
        ({"scoring": "ad4"}, "for ad4 with"),
    ],
)
def test_no_fused_score_where_no_weights_hold(says: dict[str, Any], reason: str) -> None:
    known = {
        "networks": [{"name": MODEL, "sha256": SHIPPED[MODEL]}],
        "rotations": 1,
        "dtype": "float32",
    }
    scoring = says.pop("scoring", "vina")
    networks: Any = SimpleNamespace(describe=lambda: known | says)
    fuser = PoseFuser(networks)
    mol = Chem.MolFromSmiles("C")
    mol.SetProp("osong_scoring", scoring)
    mol.SetProp("osong_energy", "-7.0" if says or scoring != "vina" else "low")
    assert np.isnan(fuser.fused(docked_energy(mol), 0.5, 6.0))
    assert reason in next(iter(fuser.without))
