from __future__ import annotations

import csv
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osong.errors import InputError
from osong.library import count_records, read_records


def rows_of(path, **options):
    return [(r.data, r.name) for r in read_records(path, **options)]


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "header",
    ["name,smiles", "ID,SMILES", "zinc_id,canonical_smiles", "Compound ID,isomeric SMILES"],
)
def test_usual_column_names_are_found(tmp_path, header):
    path = write(tmp_path, "a.csv", f"{header}\nx1,CCO\nx2,CCN\n")
    assert rows_of(path) == [("CCO", "x1"), ("CCN", "x2")]


def test_columns_can_be_named_or_numbered(tmp_path):
    path = write(tmp_path, "a.csv", "smiles,other,who\nCCO,CCN,x\n")
    assert rows_of(path, smiles_column="other", name_column="who") == [("CCN", "x")]
    assert rows_of(path, smiles_column=1, name_column=2) == [("CCN", "x")]


def test_missing_column_lists_the_columns(tmp_path):
    path = write(tmp_path, "a.csv", "first,second\nx,1.0\n")
    with pytest.raises(InputError, match=r"'first', 'second'.*smiles_column"):
        list(read_records(path))
    with pytest.raises(InputError, match=r"no column 'third'.*'first', 'second'"):
        list(read_records(path, smiles_column="third"))
    with pytest.raises(InputError, match="no column 7"):
        list(read_records(path, smiles_column=7))


def test_quotes_bom_crlf_and_cells_over_lines(tmp_path):
    text = '\ufeffname,note,smiles\r\n"a, b","two\r\nlines",CCO\r\n"say ""x""",,CCN\r\n'
    path = write(tmp_path, "a.csv", text)
    assert rows_of(path) == [("CCO", "a, b"), ("CCN", 'say "x"')]


def test_a_stray_quote_costs_no_other_row(tmp_path):
    text = 'smiles,name\n"CCO,bad\nCCN,good\nCCC,"also, good"\n' + "C,x\n" * 100
    path = write(tmp_path, "a.csv", text)
    rows = rows_of(path)
    assert len(rows) == 103
    assert rows[:3] == [('"CCO', "bad"), ("CCN", "good"), ("CCC", "also, good")]


def test_short_rows_and_empty_smiles_are_records_and_blank_rows_are_none(tmp_path):
    path = write(tmp_path, "a.csv", "name,smiles\nx\n,,\n\n   \ny,\nz,CCO\n")
    assert rows_of(path) == [("", "x"), ("", "y"), ("CCO", "z")]


def test_comments_and_a_commented_header(tmp_path):
    path = write(tmp_path, "a.csv", "# made by hand\n#SMILES,id\n# note\nCCO,1\n#2,x\n")
    assert rows_of(path) == [("CCO", "1")]
    last = write(tmp_path, "b.csv", "id,smiles\n#1,CCO\n")
    assert rows_of(last) == [("CCO", "#1")]


def test_tables_without_a_header(tmp_path):
    path = write(tmp_path, "a.tsv", "CCO\tethanol\nCCN\tamine\n")
    assert rows_of(path) == [("CCO", "ethanol"), ("CCN", "amine")]
    numbered = write(tmp_path, "b.csv", "m1,CCO\nm2,CCN\n")
    assert rows_of(numbered, smiles_column=1) == [("CCO", "m1"), ("CCN", "m2")]


def test_semicolons(tmp_path):
    path = write(tmp_path, "a.csv", "name;smiles;value\nx;CCO;1,5\n")
    assert rows_of(path) == [("CCO", "x")]


def parquet(path, n_rows, group):
    table = pa.table(
        {
            "other": list(range(n_rows)),
            "SMILES": ["C" * (i % 7 + 1) if i % 5 else None for i in range(n_rows)],
            "zinc_id": [i * 10 for i in range(n_rows)],
        }
    )
    pq.write_table(table, path, row_group_size=group)
    return path


def test_parquet_rows_with_missing_values_and_numbers_as_names(tmp_path):
    path = parquet(tmp_path / "a.parquet", 25, 4)
    whole = list(read_records(path))
    assert len(whole) == count_records(path) == 25
    assert (whole[5].data, whole[5].name) == ("", "50")
    assert (whole[6].data, whole[6].name) == ("CCCCCCC", "60")
    assert whole[6].source == f"{path}:6"
    for start in (0, 3, 4, 11, 24, 25, 40):
        assert list(read_records(path, start=start)) == whole[start:]
    assert list(read_records(path, start=5, stop=9)) == whole[5:9]


def test_parquet_in_a_folder_keeps_the_indices(tmp_path):
    parquet(tmp_path / "a.parquet", 10, 4)
    parquet(tmp_path / "b.parquet", 7, 4)
    whole = list(read_records(tmp_path))
    assert [r.index for r in whole] == list(range(17))
    for start in (9, 10, 12):
        assert list(read_records(tmp_path, start=start)) == whole[start:]


def test_parquet_can_be_compressed_or_damaged(tmp_path):
    path = parquet(tmp_path / "a.parquet", 9, 4)
    packed = write(tmp_path, "b.parquet.gz", gzip.compress(path.read_bytes()))
    assert rows_of(packed) == rows_of(path)
    assert count_records(packed) == 9
    broken = write(tmp_path, "c.parquet", path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"c\.parquet"):
        list(read_records(broken))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "d.parquet")
    with pytest.raises(InputError, match=r"no column.*'x'"):
        list(read_records(tmp_path / "d.parquet"))


CELLS = st.text(alphabet=st.sampled_from('abcXYZ ,;"\n1é'), min_size=1, max_size=12).filter(
    lambda cell: cell.strip() == cell
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12))
def test_what_a_csv_writer_writes_comes_back(tmp_path, rows):
    path = tmp_path / "h.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "note", "name"])
        writer.writerows([f"C{i}", note, name] for i, (note, name) in enumerate(rows))
    assert rows_of(path) == [(f"C{i}", name) for i, (_, name) in enumerate(rows)]
