"""From many parts to the best molecules, the ledger and poses: exactly, and damage is noticed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from osong.errors import CampaignError
from osong_workflows import export, merge, part_files
from osong_workflows.parts import PART_SCHEMA, RESCORED_SCHEMA


def make_row(index: int, energy: float | None = None, name: str = "") -> dict[str, object]:
    """A molecule of a part: water, three poses, failed where it has no energy."""
    row: dict[str, object] = dict.fromkeys(PART_SCHEMA.names)
    row |= {"index": index, "name": name or f"m{index}", "source": f"library.smi:{index + 1}"}
    row |= {"format": "smiles", "input": "O", "n_variants": 1}
    if energy is None:
        return row | {"status": "failed", "stage": "embed", "reason": "made to fail"}
    poses = [
        {
            "energy": energy + k,
            "inter": energy,
            "intra": 0.0,
            "variant": 0,
            "conformer": 0,
            "genotype": [0.0] * 7,
            "smiles": "[H]O[H]",
            "coords": [float(index), 1.0, 0.0, 0.0, 0.0, float(k), -1.0, 0.0, 0.0],
        }
        for k in range(3)
    ]
    return row | {"status": "ok", "energy": energy, "smiles": "O", "n_heavy": 1, "poses": poses}


def write_part(path: Path, rows: list[dict[str, object]], group: int = 4) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    table = pa.Table.from_pylist(rows, PART_SCHEMA)
    with pq.ParquetWriter(path, PART_SCHEMA, compression="zstd", write_page_checksum=True) as file:
        file.write_table(table, row_group_size=group)
    return path


def write_parts(folder: Path, rows: list[dict[str, object]], n_rows: int) -> list[Path]:
    """Cut rows into parts of some rows each."""
    return [
        write_part(folder / "parts" / f"{i:06d}.parquet", rows[i : i + n_rows])
        for i in range(0, len(rows), n_rows)
    ]


@st.composite
def cut_libraries(draw):
    """Rows with many ties, shuffled and cut into files with row groups of different size."""
    energies = st.one_of(st.none(), st.sampled_from([-9.5, -9.0, -8.25, -0.0, 0.0, 3.0]))
    names = st.sampled_from(["a", "b", "ä", "z" * 40])
    molecules = draw(st.lists(st.tuples(energies, names), max_size=40))
    rows = [make_row(i, energy, name) for i, (energy, name) in enumerate(molecules)]
    rows = draw(st.permutations(rows))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    files = [rows[i:j] for i, j in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return files, draw(st.integers(1, 7))


@settings(max_examples=150)
@given(cut_libraries(), st.one_of(st.none(), st.integers(1, 45)), st.booleans())
def test_best_are_those_of_a_plain_sort(library, n, is_cramped):
    files, group = library
    docked = [row for rows in files for row in rows if row["energy"] is not None]
    ranked = sorted(docked, key=lambda r: (r["energy"], r["name"].encode(), r["index"]))[:n]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        if is_cramped:
            # As for a million of a billion: rows are let go and joined again and again.
            stack.enter_context(patch.object(merge, "_SPARE_ROWS", 1))
            stack.enter_context(patch.object(merge, "_LOOSE_ROWS", 3))
            stack.enter_context(patch.object(part_files, "_ROWS_AT_ONCE", 5))
        parts = [write_part(Path(folder) / f"{i}.parquet", f, group) for i, f in enumerate(files)]
        best = merge.best_molecules(parts, n)
    assert best.to_pylist() == [{k: row[k] for k in best.column_names} for row in ranked]
    assert {"index", "name", "energy", "smiles"} <= set(best.column_names)


@pytest.mark.parametrize("n", [None, 1, 7, 20])
def test_best_for_their_size(tmp_path, monkeypatch, n):
    """Energies that fall with size: corrected, others come first, whichever way rows are cut."""
    monkeypatch.setattr(merge, "_SPARE_ROWS", 1)
    monkeypatch.setattr(merge, "_LOOSE_ROWS", 3)
    rows = [make_row(i, -2.0 - 0.3 * (i % 11) - 0.01 * i) for i in range(30)]
    for i, row in enumerate(rows):
        row["n_heavy"] = 4 + 5 * (i % 11)
    rows.append(make_row(30))
    docked = [row for row in rows if row["energy"] is not None]
    expected = sorted(docked, key=lambda row: row["energy"] / row["n_heavy"] ** (1 / 3))[:n]
    for number, n_rows in enumerate((3, 8, 40)):
        parts = write_parts(tmp_path / str(number), rows, n_rows)
        best = merge.best_molecules(parts, n, "energy_for_size")
        assert best["index"].to_pylist() == [row["index"] for row in expected]
        assert best["index"].to_pylist() != merge.best_molecules(parts, n)["index"].to_pylist()
        assert best["energy_for_size"][0].as_py() == pytest.approx(
            expected[0]["energy"] / expected[0]["n_heavy"] ** (1 / 3)
        )


def test_parts_of_earlier_versions_rank_without_what_they_lack(tmp_path):
    """Campaigns that rescored before there was a fused score go on ranking."""
    schema = pa.schema([f for f in RESCORED_SCHEMA if not f.name.startswith("fused")])
    rows = [make_row(i, -5.0) | {"cnn_score": 0.1 * i, "cnn_pose": 1} for i in range(6)]
    path = tmp_path / "0.parquet"
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table, path, write_page_checksum=True)
    best = merge.best_molecules([path], 2, "cnn_score")
    assert best["index"].to_pylist() == [5, 4]
    assert best["fused_pose"].null_count == 2


def test_all_molecules_tied_at_the_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "_SPARE_ROWS", 2)
    monkeypatch.setattr(merge, "_LOOSE_ROWS", 2)
    rows = [make_row(i, -7.0, f"n{50 - i:02d}") for i in range(50)]
    for number, some in enumerate((rows, rows[::-1])):
        best = merge.best_molecules(write_parts(tmp_path / str(number), some, 7), 5)
        assert best["index"].to_pylist() == [49, 48, 47, 46, 45]


def test_row_groups_without_good_energies_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "_SPARE_ROWS", 0)
    monkeypatch.setattr(merge, "_LOOSE_ROWS", 1)
    rows = [make_row(i, -20.0 + i) for i in range(40)]
    parts = write_parts(tmp_path, rows, 8)
    read = []
    plain = part_files.read_groups

    def spy(file, groups, columns):
        read.append((tuple(groups), tuple(columns)))
        return plain(file, groups, columns)

    monkeypatch.setattr(merge, "read_groups", spy)
    best = merge.best_molecules(parts, 3)
    assert best["index"].to_pylist() == [0, 1, 2]
    # Both row groups of the first part are read at once; its first alone has more than energies.
    assert read[0] == ((0, 1), ("energy",))
    assert len(read) == 2


def test_no_parts_no_rows():
    assert len(merge.best_molecules([], 5)) == len(merge.ledger_table([])) == 0
    assert list(merge.iter_ledger([])) == []
    assert merge.check_ledger([], 0).n_records == 0


def test_names_are_found_wherever_they_are(tmp_path):
    rows = [make_row(i, -1.0, name) for i, name in enumerate("bdacabzzä")]
    parts = write_parts(tmp_path, rows, 3)
    assert merge.find_by_name(parts, "a") == [2, 4]
    assert merge.find_by_name(parts, "z") == [6, 7]
    assert merge.find_by_name(parts, "ä") == [8]
    assert merge.find_by_name(parts, "bb") == []


def test_poses_of_some_rows(tmp_path):
    rows = [make_row(i, -float(i)) for i in range(20)]
    part = write_part(tmp_path / "part.parquet", rows)
    found = list(merge.pose_rows(part, [17, 3, 2, 99]))
    assert [row["index"] for row in found] == [2, 3, 17]
    assert [len(row["poses"]) for row in found] == [3, 3, 3]
    assert found[0] == rows[2] | {"notes": None}
    (row,) = merge.pose_rows(part, [17], n_poses=1)
    assert row["poses"] == rows[17]["poses"][:1]
    assert list(merge.pose_rows(part, [])) == []


def test_row_groups_without_wanted_molecules_are_not_read(tmp_path, monkeypatch):
    part = write_part(tmp_path / "part.parquet", [make_row(i, -1.0) for i in range(20)])
    read = []
    plain = part_files.read_groups
    monkeypatch.setattr(
        merge, "read_groups", lambda f, g, c: (read.append((*g, len(c))), plain(f, g, c))[1]
    )
    assert [row["index"] for row in merge.pose_rows(part, [9])] == [9]
    assert read == [(2, 1), (2, len(PART_SCHEMA))]


def test_ledger_streams_in_the_librarys_order(tmp_path, monkeypatch):
    rows = [make_row(i, None if i % 5 == 0 else -float(i % 7)) for i in range(30)]
    parts = write_parts(tmp_path, rows, 8)
    monkeypatch.setattr(part_files, "_ROWS_AT_ONCE", 6)
    streamed = pa.concat_tables(merge.iter_ledger(parts))
    assert streamed == merge.ledger_table(parts[::-1])
    assert streamed["index"].to_pylist() == list(range(30))
    assert "poses" not in streamed.column_names
    counts = merge.check_ledger(parts, 30)
    assert (counts.n_ok, counts.n_failed, counts.n_records) == (24, 6, 30)
    assert counts.failures == {"embed": 6}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0, 1, 2, 4, 5, 6], "molecule 3 is missing before 4; .*--verify"),
        ([0, 1, 2, 3, 3, 4], "molecule 3 is there twice"),
        ([0, 1, 2, 0, 1, 2], "molecule 0 is there twice"),
        ([3, 4, 5, 0, 1, 2], "molecule 0 is missing before 3"),
        ([0, 1, 2, 3, 4], "5 of 6 molecules have a row; run: osong resume"),
    ],
)
def test_a_ledger_that_does_not_add_up(tmp_path, numbers, message):
    parts = write_parts(tmp_path, [make_row(i, -1.0) for i in numbers], 3)
    with pytest.raises(CampaignError, match=message):
        merge.check_ledger(parts, 6)


@pytest.mark.parametrize(("field", "value"), [("status", "lost"), ("stage", None)])
def test_rows_that_are_neither_ok_nor_failed(tmp_path, field, value):
    parts = write_parts(tmp_path, [make_row(0, -1.0), make_row(1) | {field: value}], 2)
    with pytest.raises(CampaignError, match="neither ok nor failed"):
        merge.check_ledger(parts, 2)


def flip_byte(part: Path, column: str) -> None:
    """Change a byte in the middle of a column's data, as a disk might."""
    with pq.ParquetFile(part) as file:
        chunks = [file.metadata.row_group(0).column(i) for i in range(file.metadata.num_columns)]
    chunk = next(chunk for chunk in chunks if column in chunk.path_in_schema.split("."))
    end = chunk.data_page_offset + chunk.total_compressed_size
    if chunk.has_dictionary_page:
        end += chunk.dictionary_page_offset - chunk.data_page_offset
    data = bytearray(part.read_bytes())
    data[end - 3] ^= 1
    part.write_bytes(data)


READERS = {
    "best": (lambda parts: merge.best_molecules(parts, 3), "energy"),
    "best_others": (lambda parts: merge.best_molecules(parts, 3), "smiles"),
    "name": (lambda parts: merge.find_by_name(parts, "m1"), "name"),
    "table": (merge.ledger_table, "reason"),
    "stream": (lambda parts: list(merge.iter_ledger(parts)), "reason"),
    "check": (lambda parts: merge.check_ledger(parts, 12), "index"),
    "poses": (lambda parts: list(merge.pose_rows(parts[0], [1])), "coords"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shard", [".", "000007"])
def test_damaged_pages_are_noticed(tmp_path, reader, shard):
    read, column = READERS[reader]
    rows = [make_row(i, None if i == 2 else -1.0 - i) for i in range(12)]
    part = write_part(tmp_path / "run" / "parts" / shard / "part.parquet", rows, group=12)
    read([part])  # it can be read before
    flip_byte(part, column)
    with pytest.raises(CampaignError, match="damaged") as caught:
        read([part])
    assert str(part) in str(caught.value)
    assert str(caught.value).endswith(f"run: osong resume {tmp_path / 'run'} --verify")
    assert "\n" not in str(caught.value)


def test_truncated_part_is_noticed(tmp_path):
    (part,) = write_parts(tmp_path, [make_row(0, -1.0)], 3)
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(CampaignError, match=r"damaged .*--verify"):
        merge.best_molecules([part], 1)


def test_part_that_is_packed_meanwhile(tmp_path):
    with pytest.raises(CampaignError, match=r"is gone; .*run the same command again"):
        merge.best_molecules([tmp_path / "000001.parquet"], 1)


def test_sdf_of_molecules_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_IN_MEMORY", 500)  # so that the temporary file is used
    rows = [make_row(i, -1.0) | {"properties": json.dumps({"vendor": f"v{i}"})} for i in range(20)]
    parts = write_parts(tmp_path, rows, 6)
    asked = [13, 2, 19, 0, 12, 7]
    opened = []

    def locate(index: int) -> Path:
        opened.append(parts[index // 6])
        return opened[-1]

    assert export.write_sdf(tmp_path / "some.sdf", asked, partial(export.rows_of, locate), 2) == 6
    mols = list(Chem.SDMolSupplier(str(tmp_path / "some.sdf"), removeHs=False))
    assert [mol.GetIntProp("osong_index") for mol in mols[::2]] == asked
    assert [mol.GetIntProp("osong_pose") for mol in mols] == [1, 2] * 6
    assert [mol.GetProp("vendor") for mol in mols[1::2]] == [f"v{i}" for i in asked]
    assert [mol.GetConformer().GetPositions()[0, 0] for mol in mols[::2]] == asked
    # Each part is read once, whatever the order of ranks.
    assert opened == sorted(opened)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["some.sdf"]


def test_sdf_of_a_molecule_without_part(tmp_path):
    nowhere = partial(export.rows_of, lambda _: None)
    with pytest.raises(CampaignError, match="molecule 3 is not docked; run: osong resume"):
        export.write_sdf(tmp_path / "some.sdf", [3], nowhere, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["csv", "parquet", "smiles"])
def test_slices_of_a_hit_table_make_one_file(tmp_path, monkeypatch, kind):
    parts = write_parts(tmp_path, [make_row(i, -1.0 - i / 3) for i in range(11)], 6)
    best = merge.best_molecules(parts, 10)
    export.write_hits(tmp_path / "whole", best, kind)
    monkeypatch.setattr(export, "_SLICE", 3)
    assert export.write_hits(tmp_path / "sliced", best, kind) == 10
    if kind == "parquet":
        sliced = pq.read_table(tmp_path / "sliced")
        assert sliced == pq.read_table(tmp_path / "whole")
        assert sliced["rank"].to_pylist() == list(range(1, 11))
    else:
        assert (tmp_path / "sliced").read_text() == (tmp_path / "whole").read_text()
    assert export.write_hits(tmp_path / "none", best.slice(0, 0), kind) == 0
