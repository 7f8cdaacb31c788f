from __future__ import annotations

import gzip
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osong.library import count_records, read_records

N_LINES = 200_000
N_FEWER = 40_000  # for the formats that Python's memory tracing slows down most
MOST_BYTES = 4 << 20
"""Buffers and a batch of rows; the records of the smallest of these files would take 15 MB."""

SDF = """mol{i}
  test

  1  0  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0
M  END
$$$$
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries")
    smiles = [f"{'C' * (i % 50)}O" for i in range(N_LINES)]
    with gzip.open(folder / "a.smi.gz", "wt", compresslevel=1) as file:
        file.writelines(f"{s} molecule number {i}\n" for i, s in enumerate(smiles))
    with (folder / "a.csv").open("w") as file:
        file.write("name,smiles,text\n")
        file.writelines(
            f"m{i},{s},\"some 'text', quoted\"\n" for i, s in enumerate(smiles[:N_FEWER])
        )
    pq.write_table(
        pa.table({"smiles": smiles[:N_FEWER]}), folder / "a.parquet", row_group_size=10_000
    )
    with (folder / "a.sdf").open("w") as file:
        file.writelines(SDF.format(i=i) for i in range(N_FEWER))
    return folder


@pytest.mark.parametrize("name", ["a.smi.gz", "a.csv", "a.parquet", "a.sdf"])
def test_memory_stays_flat(libraries, name):
    path = libraries / name
    next(read_records(path))  # what is imported on the way is not of the file
    tracemalloc.start()
    try:
        n_records = sum(1 for _ in read_records(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_records == count_records(path) == (N_LINES if name == "a.smi.gz" else N_FEWER)
    assert peak < MOST_BYTES
