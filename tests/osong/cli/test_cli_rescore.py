"""`osong rescore` of files: every record a row, in order, the same bytes however it is run."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs osong[ml]")

import osong
from osong.cli.main import app
from osong.rescoring.files import COLUMNS, METADATA_KEY, SD_ITEMS, write_rescored
from osong.rescoring.rescorer import Rescorer
from osong.rescoring.stream import CnnScore, PoseRescorer, rescore_records
from osong.rescoring.weights import SHIPPED

if TYPE_CHECKING:
    from typer.testing import Result

    from osong.receptor import Target

MODEL = "crossdock_default2018"
NAMES = ["aspirin", "broken", "flat", "anilide", "far away", "phenol"]
GOOD = ["aspirin", "anilide", "phenol"]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def poses(egfr: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three poses in the box, and three records that cannot be scored."""
    box = np.array(egfr.box.center)
    texts = {
        "aspirin": _pose("aspirin", "CC(=O)Oc1ccccc1C(=O)O", box),
        "broken": "broken\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n$$$$\n",
        "flat": _flat("flat", "CCO"),
        "anilide": _pose("anilide", "CC(=O)Nc1ccc(Cl)cc1", box),
        "far away": _pose("far away", "CCO", box + 500.0),
        "phenol": _pose("phenol", "Oc1ccccc1", box),
    }
    assert list(texts) == NAMES
    path = tmp_path_factory.mktemp("poses") / "poses.sdf"
    path.write_text("".join(texts.values()))
    return path


def _pose(name: str, smiles: str, place: Any) -> str:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    positions = mol.GetConformer().GetPositions()
    mol.GetConformer().SetPositions(positions - positions.mean(axis=0) + place)
    mol.SetProp("_Name", name)
    mol.SetProp("vendor", f"shelf 0{len(name)}")
    mol.SetProp("CNNscore", "9.9")
    if name != "phenol":
        mol.SetProp("osong_energy", "-7.250")
        mol.SetProp("osong_scoring", "vina")
    return osong.library.sdf_text(mol)


def _flat(name: str, smiles: str) -> str:
    mol = Chem.MolFromSmiles(smiles)
    AllChem.Compute2DCoords(mol)
    mol.SetProp("_Name", name)
    return osong.library.sdf_text(mol)


def command(poses: Path, out: Path, *more: object) -> Result:
    words = ("-t", "EGFR", "--models", MODEL, "--device", "cpu", "--threads", 1)
    return run("rescore", poses, "--out", out, *words, *more)


def test_sd_file_keeps_order_names_and_properties(
    egfr: Target, poses: Path, rescorer: Rescorer, tmp_path: Path
) -> None:
    out = tmp_path / "rescored.sdf"
    result = command(poses, out)
    assert result.exit_code == 1, "there are failures"
    assert "6 poses in = 3 ok + 3 failed" in result.stdout
    assert f"networks: {MODEL} (float32, 1 rotation, cpu)" in result.stdout
    assert result.stderr.count("osong: not rescored: ") == 3
    assert "far away: no atom of the receptor is near" in result.stderr
    found = list(Chem.SDMolSupplier(str(out), removeHs=False))
    assert [mol.GetProp("_Name") for mol in found] == NAMES
    good = [mol for mol in found if mol.HasProp("CNNscore")]
    assert [mol.GetProp("_Name") for mol in good] == GOOD
    assert [mol.GetProp("vendor") for mol in good] == ["shelf 07", "shelf 07", "shelf 06"]
    expected = osong.rescore(good, egfr, rescorer=rescorer)
    values = [[float(mol.GetProp(item)) for item in SD_ITEMS] for mol in good]
    columns = ["cnn_score", "cnn_affinity", "cnn_vs", "cnn_variance"]
    np.testing.assert_allclose(values, expected[columns], atol=6e-7)
    reasons = {
        mol.GetProp("_Name"): mol.GetProp("osong_failed")
        for mol in found
        if mol.HasProp("osong_failed")
    }
    assert set(reasons) == set(NAMES) - set(GOOD)
    assert "no coordinates in space" in reasons["flat"]
    beside = json.loads((tmp_path / "rescored.sdf.rescoring.json").read_text())
    assert beside["networks"][0]["sha256"] == SHIPPED[MODEL]
    assert "Apache-2.0" in beside["networks"][0]["licence"]
    assert (beside["n_in"], beside["n_ok"], beside["n_failed"]) == (6, 3, 3)
    assert beside["target_key"] == egfr.key.hex()


def test_fused_score_where_the_file_has_energies(
    egfr: Target, poses: Path, rescorer: Rescorer, tmp_path: Path
) -> None:
    outs = [tmp_path / "a.sdf", tmp_path / "a.csv", tmp_path / "a.parquet"]
    results = [command(poses, out) for out in outs]
    for result in results:
        assert "no fused score of 1 pose: the energy is not known" in result.stdout
    found = list(Chem.SDMolSupplier(str(outs[0]), removeHs=False))
    texts = {mol.GetProp("_Name"): mol.GetProp("osong_fused") for mol in found
             if mol.HasProp("osong_fused")}  # fmt: skip
    assert list(texts) == ["aspirin", "anilide"]
    good = [mol for mol in found if mol.GetProp("_Name") in texts]
    expected = osong.rescore(good, egfr, rescorer=rescorer)["fused"]
    np.testing.assert_allclose([float(text) for text in texts.values()], expected, atol=2e-6)
    for table in (pd.read_csv(outs[1]), pd.read_parquet(outs[2])):
        known = table.set_index("name")["fused"].dropna()
        assert list(known.index) == list(texts)
        np.testing.assert_allclose(known, expected, atol=2e-6)
    beside = json.loads((tmp_path / "a.sdf.rescoring.json").read_text())
    assert set(beside["fusion"]["vina"]) == {"energy", "log_odds", "affinity"}
    assert list(beside["not_fused"].values()) == [1]


def test_tables_have_the_same_rows(poses: Path, rescorer: Rescorer, tmp_path: Path) -> None:
    del rescorer  # skips where there are no weights
    command(poses, tmp_path / "a.parquet")
    command(poses, tmp_path / "a.csv")
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert tuple(table.columns) == COLUMNS
    assert table["name"].tolist() == NAMES
    assert table["index"].tolist() == list(range(6))
    assert (table["reason"].isna() == table["cnn_score"].notna()).all()
    described = json.loads(pq.read_metadata(tmp_path / "a.parquet").metadata[METADATA_KEY.encode()])
    assert described["networks"][0]["name"] == MODEL
    text = pd.read_csv(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(text[[*COLUMNS[:6]]], table[[*COLUMNS[:6]]], atol=6e-7, rtol=0)


def test_bytes_depend_on_neither_batches_nor_threads(
    egfr: Target, poses: Path, rescorer: Rescorer, tmp_path: Path
) -> None:
    written = set()
    for number, (n_at_once, threads) in enumerate([(256, 1), (1, 1), (4, 2)]):
        networks = rescorer if threads == 1 else Rescorer(MODEL, device="cpu", threads=threads)
        rows = rescore_records(
            osong.read_records(poses), PoseRescorer(egfr.receptor, networks), n_at_once=n_at_once
        )
        path = tmp_path / f"{number}.sdf"
        write_rescored(rows, path, dict)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_records_are_read_as_they_are_needed(egfr: Target, poses: Path, rescorer: Rescorer) -> None:
    n_read = 0

    def counted() -> Any:
        nonlocal n_read
        for record in osong.read_records(poses):
            n_read += 1
            yield record

    rows = rescore_records(counted(), PoseRescorer(egfr.receptor, rescorer), n_at_once=2)
    first = list(islice(rows, 2))
    assert n_read == 2
    assert isinstance(first[0].result, CnnScore)
    assert first[1].mol is None


def test_file_that_ends_early_loses_nothing_else(
    poses: Path, rescorer: Rescorer, tmp_path: Path
) -> None:
    del rescorer
    cut = tmp_path / "cut.sdf.gz"
    cut.write_bytes(gzip.compress(poses.read_bytes(), compresslevel=0)[:-2500])
    out = tmp_path / "cut.csv"
    result = command(cut, out)
    assert result.exit_code == 1
    assert "osong: error: " in result.stderr
    assert "were read before" in result.stderr
    assert pd.read_csv(out)["name"].tolist()[:2] == NAMES[:2]


def test_target_may_be_a_structure_that_has_the_ligand_too(
    rescorer: Rescorer, shared_data: Path, tmp_path: Path
) -> None:
    """The crystal's own ligand is taken out of the receptor by the place of the first pose."""
    del rescorer
    folder = shared_data / "redock" / "184l"
    with gzip.open(folder / "receptor.pdb.gz", "rt") as file:
        lines = [line for line in file if line.startswith(("ATOM", "HETATM"))]
    mol = Chem.RemoveHs(Chem.MolFromMolFile(str(folder / "ligand.sdf")))
    ligand = [
        f"HETATM{9000 + i:5d}  {atom.GetSymbol()}{i:<2d} XYZ L 900    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"  1.00  0.00          {atom.GetSymbol():>2s}\n"
        for i, (atom, (x, y, z)) in enumerate(
            zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True)
        )
    ]
    scores = []
    for name, extra in (("without", []), ("with", ligand)):
        receptor, out = tmp_path / f"{name}.pdb", tmp_path / f"{name}.csv"
        receptor.write_text("".join([*lines, *extra, "END\n"]))
        words = ("--models", MODEL, "--device", "cpu", "--threads", 1)
        result = run("rescore", folder / "ligand.sdf", "--target", receptor, "-o", out, *words)
        assert result.exit_code == 0, result.output
        assert ("receptor without L:XYZ 900" in result.stderr) == bool(extra)
        scores.append(pd.read_csv(out)["cnn_score"].tolist())
    assert scores[0] == scores[1]
    assert 0.0 < scores[0][0] < 1.0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--out", "poses.txt"), "rescored poses are written as .sdf, .sdf.gz, .csv, .parquet"),
        (("--models", "no_such"), "no network 'no_such' is known"),
        (("--rotations", 3), "rotations is 3"),
        (("--weights", "nowhere"), "nowhere: no such folder of weights"),
    ],
)
def test_bad_wishes_are_one_line(
    poses: Path, rescorer: Rescorer, tmp_path: Path, more: tuple[object, ...], message: str
) -> None:
    del rescorer
    result = command(poses, tmp_path / "x.sdf", *more)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_output_is_never_replaced_unasked(poses: Path, rescorer: Rescorer, tmp_path: Path) -> None:
    del rescorer
    out = tmp_path / "a.csv"
    out.write_text("mine")
    assert "exists already" in command(poses, out).stderr
    assert out.read_text() == "mine"
    assert command(poses, out, "--overwrite").exit_code == 1
    assert out.read_text().startswith("index,name,cnn_score")


def test_missing_extra_gives_the_line_that_installs_it(
    poses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osong.rescoring import rescorer as module

    monkeypatch.setattr(module, "find_spec", lambda _: None)
    result = command(poses, tmp_path / "x.sdf")
    assert result.exit_code == 1
    assert "pip install 'osong[ml]'" in result.stderr
