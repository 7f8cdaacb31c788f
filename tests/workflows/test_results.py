"""Results of campaigns as tables, molecules and files."""

from __future__ import annotations

import io
import json
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from campaign_helpers import fake_screen, molecules, part_paths, reopen
from osong_fake_docker import fake_molecule
from rdkit import Chem

from osong.errors import CampaignError, InputError, MissingExtraError, ResourceError
from osong.hit_table import HitTable, draw_svg
from osong_workflows import merge
from osong_workflows.api import open_campaign, resume, status
from osong_workflows.events import (
    CampaignStarted,
    DoneElsewhere,
    MoleculesDone,
    PartSetAside,
    WorkerReady,
)
from osong_workflows.progress import ProgressBar, wants_progress

N = 50


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    library = [*molecules(N - 3), ("FAIL", "bad"), ("C#C", "twin"), ("C#CC", "twin")]
    return fake_screen(library, tmp_path_factory.mktemp("results") / "a=1", chunk_size=9)


def expected_energies() -> dict[str, float]:
    return {name: fake_molecule(data, 3).poses[0].energy for data, name in molecules(N - 3)}


def test_top_is_ranked(campaign):
    top = campaign.top(None)
    assert len(top) == N - 1
    assert top["rank"].tolist() == list(range(1, N))
    assert top["energy"].is_monotonic_increasing
    assert dict(zip(top["name"], top["energy"], strict=True)).items() >= expected_energies().items()
    assert campaign.top(7).equals(top.head(7))
    assert list(top.columns) == [
        "rank",
        "name",
        "energy",
        "ligand_efficiency",
        "n_heavy",
        "smiles",
        "n_variants",
        "index",
        "source",
    ]


def test_ledger_adds_up(campaign):
    ledger = campaign.ledger().to_pandas()
    assert len(ledger) == N
    failed = ledger[ledger["status"] == "failed"]
    assert failed["name"].tolist() == ["bad"]
    assert failed["stage"].tolist() == ["embed"]
    assert "poses" not in ledger.columns


def test_doubled_rows_are_noticed(campaign):
    parts = part_paths(campaign)
    with pytest.raises(CampaignError, match="do not add up"):
        merge.ledger_table([parts[0], *parts])


def test_poses_are_molecules(campaign):
    data, name = molecules(N)[20]
    expected = fake_molecule(data, 3)
    for poses in (campaign.poses(name), campaign.poses(20), campaign.poses(np.int64(20))):
        assert len(poses) == 3
        for mol, pose in zip(poses, expected.poses, strict=True):
            assert mol.GetProp("_Name") == name
            assert mol.GetProp("osong_energy") == f"{pose.energy:.3f}"
            assert [atom.GetSymbol() for atom in mol.GetAtoms()] == ["H", "O", "H"]
            np.testing.assert_array_equal(
                mol.GetConformer().GetPositions().astype(np.float32), pose.coords
            )


@pytest.mark.parametrize(
    ("molecule", "message"),
    [
        ("nobody", "no molecule is called 'nobody'"),
        ("twin", r"2 molecules are called 'twin'; give an index: \[48, 49\]"),
        ("bad", "has no pose: embed: .*made to fail"),
        (N, f"molecule {N}: the library has molecules 0 to {N - 1}"),
        (-1, "molecule -1"),
    ],
)
def test_poses_of_nobody(campaign, molecule, message):
    with pytest.raises(InputError, match=message):
        campaign.poses(molecule)


def test_sdf_has_the_best_first(campaign, tmp_path):
    assert campaign.to_sdf(tmp_path / "hits.sdf", 12, n_poses=2) == 12
    mols = list(Chem.SDMolSupplier(str(tmp_path / "hits.sdf"), removeHs=False))
    assert [mol.GetProp("_Name") for mol in mols[::2]] == campaign.top(12)["name"].tolist()
    assert [mol.GetProp("osong_pose") for mol in mols[:4]] == ["1", "2", "1", "2"]
    assert campaign.to_sdf(tmp_path / "all.sdf") == N - 1


def test_tables_as_files(campaign, tmp_path):
    top = campaign.top(10)
    assert campaign.to_csv(tmp_path / "h.csv", 10) == 10
    assert pd.read_csv(tmp_path / "h.csv")["name"].tolist() == top["name"].tolist()
    assert campaign.to_parquet(tmp_path / "h.parquet", 10) == 10
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "h.parquet"), top)
    assert campaign.to_smiles(tmp_path / "h.smi", 10) == 10
    first = (tmp_path / "h.smi").read_text().splitlines()[0]
    assert first == f"{top['smiles'][0]}\t{top['name'][0]}"


def test_file_that_cannot_be_written(campaign, tmp_path):
    with pytest.raises(ResourceError, match="nowhere"):
        campaign.to_csv(tmp_path / "nowhere" / "h.csv")


def test_other_libraries_open_results(campaign):
    frame = campaign.to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame.filter(pl.col("status") == "ok").height == N - 1
    relation = campaign.duckdb()
    assert isinstance(relation, duckdb.DuckDBPyRelation)
    rows = relation.aggregate("status, count(*) as n", "status").order("status").fetchall()
    assert rows == [("failed", 1), ("ok", N - 1)]
    (best,) = relation.order("energy").limit(1).project("name, len(poses)").fetchall()
    assert best == (campaign.top(1)["name"][0], 3)


@pytest.mark.parametrize(("package", "method"), [("polars", "to_polars"), ("duckdb", "duckdb")])
def test_missing_extras_say_what_to_install(campaign, monkeypatch, package, method):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'osong\[{package}\]'"):
        getattr(campaign, method)()


def test_hit_table_draws_structures(campaign):
    html = campaign.hits(4)._repr_html_()
    assert html.count("<svg") == 4
    assert html.count("<tr>") == 5
    assert "finished" in campaign._repr_html_()


def test_hit_table_escapes_names():
    frame = pd.DataFrame({"name": ["<script>"], "smiles": ["c1ccccc1C"]})
    html = HitTable(frame)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("smiles", ["c1ccccc1", "c1cccc1", "C(C)(C)(C)(C)C", "[Cl-]"])
def test_any_smiles_is_drawn(smiles):
    assert draw_svg(smiles).startswith("<svg")


def test_no_smiles_is_shown_as_text():
    assert draw_svg("<C(") == "&lt;C("


def test_names_of_several_lines_stay_on_one(tmp_path):
    campaign = fake_screen([("CCO", "two\nlines\tand more")], tmp_path / "run")
    campaign.to_smiles(tmp_path / "h.smi")
    assert (tmp_path / "h.smi").read_text() == "O\ttwo lines and more\n"


def test_unfinished_campaign_shows_what_it_has(campaign, tmp_path):
    some = fake_screen(molecules(12), tmp_path / "run", chunk_size=4)
    part_paths(some)[1].unlink()
    assert some.ledger()["index"].to_pylist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert len(some.top(None)) == 8
    assert "4 left, continue with: osong resume" in str(some.status())
    with pytest.raises(InputError, match=f"not docked yet; run: osong resume {some.folder}"):
        some.poses(5)
    for part in part_paths(some):
        part.unlink()
    assert len(some.ledger()) == len(some.top()) == 0
    with pytest.raises(
        CampaignError, match=f"nothing is docked yet; run: osong resume {some.folder}"
    ):
        some.duckdb()


def test_the_functions_of_the_api(campaign):
    assert open_campaign(campaign.folder).folder == campaign.folder
    assert status(campaign.folder) == campaign.status()
    with pytest.raises(CampaignError, match="was made with the docker"):
        resume(campaign.folder)


def test_progress_is_quiet_without_a_terminal(tmp_path, capfd):
    fake_screen(molecules(3), tmp_path / "run", progress=None)
    shown = capfd.readouterr()
    assert shown.out == ""
    # Where molecules are docked is told, once, wherever that goes.
    (line,) = shown.err.splitlines()
    assert line.startswith("backend cpu: ")
    assert wants_progress(True)
    assert not wants_progress(False)


def test_progress_shows_counts():
    from rich.console import Console

    text = io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=True, width=120))
    bar(CampaignStarted("run", 10, 2, 1, 4, 1, 2, "local"))
    bar(WorkerReady(1))
    bar(MoleculesDone(3, 0))
    bar(PartSetAside("part", "damaged/part", "broken"))
    bar(DoneElsewhere(1))
    bar(DoneElsewhere(2))
    bar.close()
    shown = text.getvalue()
    assert "7 ok, 1 failed 2 by others" in " ".join(shown.split())
    assert "10/10" in shown
    assert "damaged/part" in shown


def test_log_tells_the_run(campaign):
    (log,) = (campaign.folder / "logs").iterdir()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["campaign"] for line in lines} == {campaign.plan.key}
    assert lines[0]["event"] == "CampaignStarted"
    assert lines[-1]["event"] == "CampaignFinished"
    assert sum(line["event"] == "ChunkFinished" for line in lines) == 6


def test_looking_writes_nothing(campaign):
    before = {p: p.stat().st_mtime_ns for p in campaign.folder.rglob("*")}
    again = reopen(campaign)
    again.status(), again.top(), again.ledger()
    assert {p: p.stat().st_mtime_ns for p in campaign.folder.rglob("*")} == before
