"""The drugs that come with Osong: read whole, each a molecule that can be docked."""

from __future__ import annotations

import pytest
from rdkit import Chem

from osong.library import parse_record, read_records
from osong.ligands import prepare_ligand
from osong.quickstart import DRUGS

RECORDS = {record.name: record for record in read_records(DRUGS)}


def test_there_are_more_than_a_hundred_with_names_of_their_own() -> None:
    assert len(RECORDS) == len(DRUGS.read_text().splitlines()) > 100
    assert {"erlotinib", "gefitinib", "lapatinib", "osimertinib", "afatinib"} <= set(RECORDS)


def test_each_is_one_neutral_molecule_of_its_own_with_its_stereochemistry() -> None:
    mols = {name: parse_record(record) for name, record in RECORDS.items()}
    assert len({Chem.MolToSmiles(mol) for mol in mols.values()}) == len(mols)
    for name, mol in mols.items():
        assert len(Chem.GetMolFrags(mol)) == 1, name
        assert Chem.GetFormalCharge(mol) == 0, name


@pytest.mark.parametrize("name", ["dexamethasone", "spironolactone", "prednisolone"])
def test_crowded_steroids_get_a_geometry(name: str) -> None:
    """They need more attempts than most molecules."""
    (ligand,) = prepare_ligand(parse_record(RECORDS[name]), name=name)
    assert ligand.packed.n_torsions > 0
