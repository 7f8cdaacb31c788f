from __future__ import annotations

import gzip
import random

import pytest
import zstandard

from osong.errors import InputError
from osong.library import count_records, read_records

RNG = random.Random(5)
LINES = [f"{'C' * RNG.randint(1, 60)}{RNG.choice('NOSF')} m{i}" for i in range(20_000)]
TEXT = ("\n".join(LINES) + "\n").encode()


def read_until_error(path):
    records = []
    with pytest.raises(InputError) as failure:
        records.extend(iter_into(records, read_records(path)))
    return records, str(failure.value)


def iter_into(records, source):
    for record in source:
        records.append(record)
    return []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_file_cut_short_gives_its_whole_lines_and_then_an_error(tmp_path, pack, share):
    packed = pack(TEXT)
    path = tmp_path / "a.smi.gz"
    path.write_bytes(packed[: int(len(packed) * share)])
    records, message = read_until_error(path)
    assert [f"{r.data} {r.name}" for r in records] == LINES[: len(records)]
    assert "a.smi.gz" in message
    assert "ends early or is damaged" in message
    if records:
        assert f"({len(records)} records were read before)" in message
    with pytest.raises(InputError, match="ends early"):
        count_records(path)


def test_a_flipped_bit_is_seen(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[len(packed) // 2] ^= 0x10
    path = tmp_path / "a.smi.gz"
    path.write_bytes(packed)
    _, message = read_until_error(path)
    assert "download it again" in message


def test_only_the_wanted_part_needs_to_be_whole(tmp_path):
    packed = gzip.compress(TEXT)
    path = tmp_path / "a.smi.gz"
    path.write_bytes(packed[: len(packed) * 9 // 10])
    whole, _ = read_until_error(path)
    for stop in (0, 50, len(whole)):
        assert list(read_records(path, stop=stop)) == whole[:stop]


EMPTY = [(name, b"") for name in ("a.smi", "a.csv.gz", "a.sdf", "a.mol2", "a.pdbqt")]
EMPTY += [(name, b"\n\n  \n") for name, _ in EMPTY]
EMPTY += [(name, b"# nothing\n") for name in ("a.smi", "a.csv.gz", "a.mol2")]
EMPTY += [(name, b"smiles,name\n") for name in ("a.smi", "a.csv.gz")]


@pytest.mark.parametrize(("name", "content"), EMPTY)
def test_an_empty_library_is_an_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(InputError, match="no molecule"):
        list(read_records(path))
    with pytest.raises(InputError, match="no molecule"):
        count_records(path)


def test_missing_unreadable_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match=r"absent\.smi: there is no such file"):
        read_records(tmp_path / "absent.smi")
    with pytest.raises(InputError, match="no file of molecules in this folder"):
        read_records(tmp_path)
    (tmp_path / "a.smi").write_bytes(b"%PDF-1.7\n")
    with pytest.raises(InputError, match="PDF document"):
        list(read_records(tmp_path / "a.smi"))
    with pytest.raises(InputError, match="unknown file kind 'xyz'"):
        list(read_records(tmp_path / "a.smi", kind="xyz"))


def test_a_line_without_end_is_refused_not_swallowed(tmp_path):
    path = tmp_path / "a.smi"
    path.write_bytes(b"CCO a\n" + b"C" * (17 << 20))
    records, message = read_until_error(path)
    assert [r.name for r in records] == ["a"]
    assert "line 2 has more than 16 MB" in message
