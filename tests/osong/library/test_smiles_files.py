from __future__ import annotations

import gzip

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from osong.errors import InputError, LigandError
from osong.library import count_records, parse_record, read_records
from osong.library.smiles_lines import smiles_and_name, split_smiles


def smiles_and_names(path, **options):
    return [(r.data, r.name) for r in read_records(path, **options)]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_are_records_with_smiles_name_and_line_number(tmp_path):
    path = write(tmp_path, "a.smi", "CCO ethanol\n\n# comment\nCCN\tamine\textra\nCCC\n")
    records = list(read_records(path))
    assert [(r.index, r.data, r.name) for r in records] == [
        (0, "CCO", "ethanol"),
        (1, "CCN", "amine"),
        (2, "CCC", "a_000002"),
    ]
    assert [r.source for r in records] == [f"{path}:1", f"{path}:4", f"{path}:5"]
    assert {r.format for r in records} == {"smiles"}


@pytest.mark.parametrize("header", ["smiles name", "SMILES\tID", "Canonical_SMILES", "smi"])
def test_a_header_is_no_molecule(tmp_path, header):
    path = write(tmp_path, "a.smi", f"{header}\nCCO x\n")
    assert [data for data, _ in smiles_and_names(path)] == ["CCO"]


def test_a_first_line_that_cannot_be_parsed_is_a_record(tmp_path):
    path = write(tmp_path, "a.smi", "C1CC broken\nCCO good\n")
    first, second = read_records(path)
    with pytest.raises(LigandError, match="unclosed ring"):
        parse_record(first)
    assert parse_record(second).GetProp("_Name") == "good"


def test_a_heading_further_down_is_a_record(tmp_path):
    path = write(tmp_path, "a.smi", "CCO a\nsmiles name\nCCN b\n")
    assert len(smiles_and_names(path)) == 3


def test_names_with_blanks_and_extensions_stay_whole():
    assert smiles_and_name("CCO my own name") == ("CCO", "my own name")
    assert smiles_and_name("C[C@H](N)O |&1:1| racemate one") == (
        "C[C@H](N)O |&1:1|",
        "racemate one",
    )
    assert smiles_and_name("\tname only") == ("", "name only")
    assert smiles_and_name("CCO |1| a | b") == ("CCO |1|", "a | b")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_line_ends_and_encodings(tmp_path, end, encoding):
    text = end.join(["CCO éthanol", "CCN amine", "CCC propane"])
    path = write(tmp_path, "a.smi", text.encode(encoding))
    assert smiles_and_names(path) == [("CCO", "éthanol"), ("CCN", "amine"), ("CCC", "propane")]


@pytest.mark.parametrize("name", ["a.smi.gz", "a.smi", "a.ism", "a.txt"])
def test_gzip_is_known_by_its_content(tmp_path, name):
    path = write(tmp_path, name, gzip.compress(b"CCO a\n") + gzip.compress(b"CCN b\n"))
    assert smiles_and_names(path) == [("CCO", "a"), ("CCN", "b")]


def test_zstandard_and_plain_text_with_a_wrong_suffix(tmp_path):
    path = write(tmp_path, "a.smi.zst", zstandard.compress(b"CCO a\nCCN b\n"))
    assert smiles_and_names(path) == [("CCO", "a"), ("CCN", "b")]
    plain = write(tmp_path, "b.smi.gz", b"CCO a\n")
    assert smiles_and_names(plain) == [("CCO", "a")]


def test_a_table_in_a_smiles_file_is_read_as_a_table(tmp_path):
    path = write(tmp_path, "a.smi", "id,smiles\nx1,CCO\nx2,CCN\n")
    assert smiles_and_names(path) == [("CCO", "x1"), ("CCN", "x2")]
    tabs = write(tmp_path, "a.txt", "ID\tSMILES\nx1\tCCO\n")
    assert smiles_and_names(tabs) == [("CCO", "x1")]


def test_unknown_suffix_goes_by_content(tmp_path):
    assert smiles_and_names(write(tmp_path, "library", "CCO a\n")) == [("CCO", "a")]
    with pytest.raises(InputError, match=r"cannot tell what this file is.*\.sdf"):
        list(read_records(write(tmp_path, "notes", "Hello, this is no chemistry\n")))
    assert len(list(read_records(tmp_path / "notes", kind="smiles"))) == 1


def test_start_and_stop_are_a_slice_of_the_indices(tmp_path):
    path = write(tmp_path, "a.smi", "".join(f"{'C' * (i + 1)}\n" for i in range(10)))
    whole = list(read_records(path))
    for start in range(12):
        for stop in [*range(start, 12), None]:
            assert list(read_records(path, start=start, stop=stop)) == whole[start:stop]
    with pytest.raises(InputError, match="start"):
        read_records(path, start=3, stop=2)


def test_folder_is_read_in_order_of_names(tmp_path):
    write(tmp_path, "b.smi", "CCN b\n")
    write(tmp_path, "a.csv", "smiles,name\nCCO,a\nCCC,a2\n")
    write(tmp_path, "notes.md", "no molecules")
    assert smiles_and_names(tmp_path) == [("CCO", "a"), ("CCC", "a2"), ("CCN", "b")]
    assert [r.index for r in read_records(tmp_path)] == [0, 1, 2]
    assert count_records(tmp_path) == 3
    assert [r.name for r in read_records(tmp_path, start=2)] == ["b"]


@given(
    st.lists(
        st.tuples(
            st.text(alphabet="CNO()=#123", min_size=1, max_size=20),
            st.text(alphabet="abcXYZ -_.éЖ|", max_size=20),
        ),
        max_size=30,
    )
)
def test_no_line_is_lost_or_mixed_up(rows):
    rows = [(smiles, name.strip()) for smiles, name in rows if not smiles.startswith("#")]
    lines = [f"{smiles}\t{name}".encode() for smiles, name in rows]
    pieces = list(split_smiles(iter(lines)))
    assert [(p.data, p.name) for p in pieces] == rows
