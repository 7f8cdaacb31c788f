from __future__ import annotations

import logging
import pickle

import pytest
from rdkit import Chem

from osong.errors import LigandError
from osong.library import Record, parse_record


def record(data, format_="smiles", name="x"):
    return Record(3, name, "lib.smi:4", format_, data)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("", "there is no SMILES"),
        ("C1CC", "unclosed ring"),
        ("CC(C)(C)(C)C", "valence"),
        ("c1cccc1", "kekulize"),
        ("[C,N]", "syntax error"),
        ("CC>>CO", "reaction"),
        ("\u0421\u0421\u041e", "cyrillic capital letter es"),
        ("C\x00C", "no printable character"),
        ("C~C", "query"),
        ("CCO |oops|", "CXSMILES|parse|CX"),
    ],
)
def test_reasons_a_chemist_understands(smiles, reason, capfd):
    with pytest.raises(LigandError, match=reason) as failure:
        parse_record(record(smiles, name="bad one"))
    message = str(failure.value)
    assert failure.value.stage == "read"
    assert message.startswith("lib.smi:4: 'bad one' cannot be read: ")
    assert message.endswith("correct the SMILES or take the line out")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")  # nothing of RDKit's log leaks


def test_rdkit_logs_as_before_after_a_failure(capfd):
    logger = logging.getLogger("rdkit")
    before = (list(logger.handlers), logger.level)
    with pytest.raises(LigandError):
        parse_record(record("C1CC"))
    assert (list(logger.handlers), logger.level) == before
    Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" in capfd.readouterr().err


def test_enhanced_stereo_is_read():
    mol = parse_record(record("C[C@H](N)C(=O)O |&1:1|"))
    assert len(mol.GetStereoGroups()) == 1


def test_long_names_are_cut_in_messages():
    with pytest.raises(LigandError) as failure:
        parse_record(record("C1CC", name="n" * 5000))
    assert len(str(failure.value)) < 300


def test_molecules_of_several_parts_and_dummies_go_through():
    assert parse_record(record("CC(=O)[O-].[Na+]")).GetNumAtoms() == 5
    assert parse_record(record("*c1ccccc1")).GetNumAtoms() == 7


def test_records_and_errors_cross_process_borders():
    broken = record("C1CC")
    assert pickle.loads(pickle.dumps(broken)) == broken
    with pytest.raises(LigandError) as failure:
        parse_record(broken)
    assert pickle.loads(pickle.dumps(failure.value)).stage == "read"
