from __future__ import annotations

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.errors import ResourceError
from osong.library import parse_record, read_records, write_sdf, write_smiles

SMILES = [
    "C[C@H](N)C(=O)[O-]",
    "C[C@@H](O)/C=C/C#N",
    "F/C=C\\Cl",
    "c1ccc2[nH]ccc2c1",
    "C[N+](C)(C)CC(=O)[O-]",
    "[O-][N+](=O)c1ccccc1",
    "[2H]C([2H])([2H])O",
    "C[S@](=O)c1ccccc1",
    "OB(O)c1ccccc1",
]


def molecules(smiles):
    for i, text in enumerate(smiles):
        mol = Chem.AddHs(Chem.MolFromSmiles(text))
        assert AllChem.EmbedMolecule(mol, randomSeed=3) == 0
        mol.SetProp("_Name", f"molecule {i}")
        mol.SetProp("note", f"line one\nline {i}")
        mol.SetDoubleProp("energy", -7.25 - i)
        yield mol


@pytest.mark.parametrize("name", ["out.sdf", "out.sdf.gz"])
def test_sd_files_come_back_as_written(tmp_path, name):
    path = tmp_path / name
    assert write_sdf(molecules(SMILES), path) == len(SMILES)
    assert path.read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    records = list(read_records(path))
    assert len(records) == len(SMILES)
    for record, mol, smiles in zip(records, molecules(SMILES), SMILES, strict=True):
        back = parse_record(record)
        assert back.GetProp("_Name") == mol.GetProp("_Name")
        assert back.GetProp("note") == mol.GetProp("note")
        assert back.GetDoubleProp("energy") == mol.GetDoubleProp("energy")
        assert Chem.MolToSmiles(Chem.RemoveHs(back)) == Chem.CanonSmiles(smiles)
        assert [a.GetFormalCharge() for a in back.GetAtoms()] == [
            a.GetFormalCharge() for a in mol.GetAtoms()
        ]
        assert (
            abs(back.GetConformer().GetPositions() - mol.GetConformer().GetPositions()).max() < 1e-4
        )


def test_smiles_files_come_back_as_written(tmp_path):
    path = tmp_path / "out.smi.gz"
    assert write_smiles(molecules(SMILES), path) == len(SMILES)
    records = list(read_records(path))
    assert [r.name for r in records] == [f"molecule {i}" for i in range(len(SMILES))]
    assert [Chem.CanonSmiles(r.data) for r in records] == [Chem.CanonSmiles(s) for s in SMILES]


def test_large_molecules_are_written_as_v3000(tmp_path):
    large = Chem.MolFromSmiles("C" * 1200 + "[O-]")
    small = Chem.MolFromSmiles("CCO")
    path = tmp_path / "out.sdf"
    write_sdf([large, small], path)
    text = path.read_text()
    assert (text.count("V3000"), text.count("V2000")) == (1, 1)
    first, second = [parse_record(record) for record in read_records(path)]
    assert Chem.MolToSmiles(first) == Chem.MolToSmiles(large)
    assert second.GetNumAtoms() == 3


@pytest.mark.parametrize(
    "value", ["a\n\nb", "a\n$$$$\nb", "$$$$", "> <x>\ny", "\n", "a\r\n\r\nb", " \n x"]
)
def test_values_that_would_break_the_record_stay_in_it(tmp_path, value):
    mol = Chem.MolFromSmiles("CCO")
    mol.SetProp("_Name", "two\nlines")
    mol.SetProp("before", "1")
    mol.SetProp("value<x>", value)
    mol.SetProp("zlast", "2")
    path = tmp_path / "out.sdf"
    write_sdf([mol, mol], path)
    records = list(read_records(path))
    assert [r.name for r in records] == ["two lines", "two lines"]
    for record in records:
        back = parse_record(record)
        assert (back.GetProp("before"), back.GetProp("zlast")) == ("1", "2")
        kept = [word for word in value.split() if "$" not in word]
        found = back.GetProp("value_x_") if back.HasProp("value_x_") else ""
        assert found.split() == kept or "$" in value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ab \n\r$>", max_size=30))
def test_no_value_loses_a_molecule_or_a_property(tmp_path, value):
    mol = Chem.MolFromSmiles("CCO")
    mol.SetProp("_Name", value)
    mol.SetProp("a", value)
    mol.SetProp("b", "last")
    path = tmp_path / "h.sdf"
    write_sdf([mol, mol], path)
    records = list(read_records(path))
    assert len(records) == 2
    assert [parse_record(record).GetProp("b") for record in records] == ["last", "last"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "out.sdf.gz"
    write_sdf(molecules(SMILES[:2]), path)
    before = path.read_bytes()

    def failing():
        yield from molecules(SMILES[:1])
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_sdf(failing(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.sdf.gz"]
    with pytest.raises(ResourceError, match=r"absent/out\.sdf: cannot be written"):
        write_sdf(molecules(SMILES[:1]), tmp_path / "absent" / "out.sdf")


def test_nothing_to_write_gives_an_empty_file(tmp_path):
    assert write_smiles([], tmp_path / "out.smi.gz") == 0
    assert gzip.decompress((tmp_path / "out.smi.gz").read_bytes()) == b""
