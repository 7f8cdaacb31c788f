from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from osong.errors import InputError, LigandError
from osong.library import count_records, parse_record, read_records


def test_smiles_pairs_and_molecules():
    mol = Chem.MolFromSmiles("CCN")
    mol.SetProp("_Name", "amine")
    items = ["CCO", ("CCC", "propane"), mol, (mol, "renamed"), "CCF fluoride", ["CO", None]]
    records = list(read_records(items))
    assert [r.name for r in records] == [
        "molecule_000000",
        "propane",
        "amine",
        "renamed",
        "fluoride",
        "molecule_000005",
    ]
    assert [r.index for r in records] == list(range(6))
    assert records[3].source == "item:3"
    parsed = [parse_record(record) for record in records]
    assert [Chem.MolToSmiles(m) for m in parsed] == ["CCO", "CCC", "CCN", "CCN", "CCF", "CO"]
    assert [m.GetProp("_Name") for m in parsed] == [r.name for r in records]


def test_a_generator_is_read_as_it_comes():
    def endless():
        while True:
            yield "CCO"

    records = read_records(endless(), start=3, stop=5)
    assert [r.index for r in records] == [3, 4]


def test_a_molecule_comes_back_whole():
    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]"))
    AllChem.EmbedMultipleConfs(mol, 3, randomSeed=1)
    mol.SetProp("_Name", "alanine")
    mol.SetDoubleProp("pK", 2.34)
    mol.SetIntProp("count", 7)
    mol.GetAtomWithIdx(2).SetProp("label", "amine")
    (record,) = read_records([mol])
    back = parse_record(record)
    assert record.data.isascii()
    assert back.GetPropsAsDict()["pK"] == 2.34
    assert back.GetIntProp("count") == 7
    assert back.GetAtomWithIdx(2).GetProp("label") == "amine"
    assert Chem.MolToSmiles(back) == Chem.MolToSmiles(mol)
    assert back.GetNumConformers() == 3
    for i in range(3):
        expected = mol.GetConformer(i).GetPositions()
        np.testing.assert_array_equal(back.GetConformer(i).GetPositions(), expected)


def test_one_molecule_is_a_library_too():
    assert count_records(Chem.MolFromSmiles("CCO")) == 1


def test_a_molecule_nobody_sanitised_is_sanitised_or_fails():
    records = read_records(
        [
            Chem.MolFromSmiles("c1ccccc1O", sanitize=False),
            Chem.MolFromSmiles("CN(C)(C)C", sanitize=False),
        ]
    )
    good, bad = list(records)
    assert parse_record(good).GetRingInfo().NumRings() == 1
    with pytest.raises(LigandError, match=r"item:1.*valence"):
        parse_record(bad)


def test_none_is_a_record_that_fails():
    first, second = read_records([None, "CCO"])
    with pytest.raises(LigandError, match="None was given") as failure:
        parse_record(first)
    assert failure.value.stage == "read"
    assert parse_record(second).GetNumAtoms() == 3


def test_missing_values_of_pandas_are_records_that_fail():
    frame = pd.DataFrame({"smiles": ["CCO", None, np.nan], "name": ["a", "b", np.nan]})
    first, second, third = read_records(frame.itertuples(index=False))
    assert (first.format, second.format, third.format) == ("smiles", "none", "none")
    assert (first.name, second.name, third.name) == ("a", "b", "molecule_000002")


def test_text_that_no_file_can_hold_is_mended(tmp_path):
    (record,) = read_records([("CCO", "caf\udce9")])
    assert record.name == "caf?"
    path = tmp_path / "caf\udce9.smi"
    path.write_text("CCO\n")
    (record,) = read_records(path)
    for text in (record.name, record.source):
        text.encode()


def test_coordinates_that_are_no_numbers_fail():
    mol = Chem.AddHs(Chem.MolFromSmiles("CO"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    mol.GetConformer().SetAtomPosition(0, (float("nan"), 0.0, 0.0))
    with pytest.raises(LigandError, match="coordinate"):
        parse_record(next(read_records([mol])))


def test_paths_among_items_are_files(tmp_path):
    (tmp_path / "a.smi").write_text("CCO a\nCCN b\n")
    source = [Path(tmp_path / "a.smi"), "CCC", Path(tmp_path / "a.smi")]
    assert [r.index for r in read_records(source)] == [0, 1, 2, 3, 4]
    assert count_records(source) == 5


def test_what_is_no_library_is_refused():
    with pytest.raises(InputError, match="itertuples"):
        list(read_records(pd.DataFrame({"smiles": ["CCO"]})))
    with pytest.raises(InputError, match="item 1 of the library is a int"):
        list(read_records(["CCO", 5]))
    with pytest.raises(InputError, match="no molecule"):
        list(read_records([]))
    with pytest.raises(InputError, match=r"no such file.*list of strings"):
        read_records("CCO")
    frame = pd.DataFrame({"smiles": ["CCO"], "name": ["x"]})
    assert [r.name for r in read_records(frame.itertuples(index=False))] == ["x"]
