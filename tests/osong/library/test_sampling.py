"""A look at a library: exact where that is cheap, near where it is not, always bounded."""

from __future__ import annotations

import bz2
import gzip
import random
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from osong.errors import InputError
from osong.library import read_records
from osong.library.sampling import LibrarySample, sample_library

PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def smiles_lines(n: int) -> list[str]:
    """Lines as different in length as those of real libraries."""
    numbers = random.Random(5)
    return ["C" * numbers.randint(3, 60) + f"N\tmolecule{i}" for i in range(n)]


def write(path: Path, n: int) -> Path:
    path.write_bytes(
        PACKERS[path.suffix if path.suffix in PACKERS else ""](
            "".join(f"{line}\n" for line in smiles_lines(n)).encode()
        )
    )
    return path


@pytest.mark.parametrize("packing", PACKERS)
def test_a_small_file_is_counted_and_its_records_are_those_of_the_reader(
    tmp_path: Path, packing: str
) -> None:
    path = write(tmp_path / f"a.smi{packing}", 500)
    sample = sample_library(path)
    assert sample == LibrarySample(500, True, tuple(read_records(path)))


@pytest.mark.parametrize("packing", PACKERS)
def test_of_a_large_file_the_number_is_near(tmp_path: Path, packing: str) -> None:
    path = write(tmp_path / f"a.smi{packing}", 60_000)
    sample = sample_library(path, n_read=2000, small_bytes=1000)
    assert not sample.is_exact
    assert sample.n_records == pytest.approx(60_000, rel=0.05)
    assert len(sample.records) == 2000


def test_utf_16_has_two_bytes_a_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text("\n".join(smiles_lines(20_000)), encoding="utf-16")
    sample = sample_library(path, n_read=2000, small_bytes=1000)
    assert sample.n_records == pytest.approx(20_000, rel=0.05)


def test_of_a_folder_some_files_are_looked_at(tmp_path: Path) -> None:
    sizes = [3000, 1, 2000, 500, 1500] * 5
    for i, size in enumerate(sizes):
        write(tmp_path / f"{i:03d}.smi", size)
    assert sample_library(tmp_path).n_records == sum(sizes)
    sample = sample_library(tmp_path, n_read=800, small_bytes=1000)
    assert not sample.is_exact
    assert sample.n_records == pytest.approx(sum(sizes), rel=0.1)
    assert len({record.source.partition(":")[0] for record in sample.records}) == 8


def test_parquet_says_how_many_rows_it_has(tmp_path: Path) -> None:
    table = pa.table({"smiles": ["CCO"] * 5000, "name": [f"m{i}" for i in range(5000)]})
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table, tmp_path / "b.dat")
    write(tmp_path / "c.smi", 10)
    sample = sample_library(tmp_path, n_read=100)
    assert (sample.n_records, sample.is_exact) == (5010, True)
    assert len(sample.records) == 110
    assert sample_library(tmp_path / "b.dat", n_read=100).n_records == 5000


def test_records_that_are_kept_are_spread_and_bounded(tmp_path: Path) -> None:
    sample = sample_library(write(tmp_path / "a.smi", 10_000))
    indices = [record.index for record in sample.records]
    assert len(indices) <= 4096
    assert {b - a for a, b in pairwise(indices)} == {4}
    long = tmp_path / "long.smi"
    long.write_text("".join("C" * 20_000 + f" m{i}\n" for i in range(1000)))
    assert sum(len(record.data) for record in sample_library(long).records) <= 1 << 22


def test_columns_count(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("code,structure\nx1,CCO\nx2,CCN\n")
    sample = sample_library(path, smiles_column="structure", name_column="code")
    assert [(r.name, r.data) for r in sample.records] == [("x1", "CCO"), ("x2", "CCN")]
    assert sample.is_exact


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        sample_library(tmp_path / "no.smi")
    (tmp_path / "empty.smi").touch()
    with pytest.raises(InputError, match=r"empty\.smi: there is no molecule in it"):
        sample_library(tmp_path / "empty.smi")
    cut = tmp_path / "cut.smi.gz"
    cut.write_bytes(write(tmp_path / "whole.smi.gz", 1000).read_bytes()[:3000])
    with pytest.raises(InputError, match="ends early or is damaged"):
        sample_library(cut)
