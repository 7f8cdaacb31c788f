"""Fingerprints made by processes: every record is a row whatever it does, and the same files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from osong.active import FeatureStore, feature_files, write_features
from osong.active.fingerprint_pool import FingerprintPool
from osong.active.fingerprint_process import make_row
from osong.errors import InputError, LigandError, ResourceError
from osong.library.reader import read_records
from osong.library.record import Record

SMILES = ["CCO", "c1ccccc1O", "C1CC", "CC(=O)Nc1ccc(O)cc1", "", "C" * 40]


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let processes find the makers of these tests."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return "fake_makers"


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _named(*names: str) -> list[Record]:
    return list(read_records([("CCO", name) for name in names]))


def _rows(pool: FingerprintPool, records: list[Record], size: int) -> list[tuple]:
    parts = [records[k : k + size] for k in range(0, len(records), size)]
    return [row for _, rows in pool.rows((part, part) for part in parts) for row in rows]


def test_files_are_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    smiles = [f"{'C' * (k % 9 + 1)}{'ON('[k % 3]}" for k in range(9000)]
    done: list[int] = []
    one = write_features(smiles, tmp_path / "1", workers=1, records_per_shard=8192)
    two = write_features(
        smiles, tmp_path / "2", workers=2, records_per_shard=8192, step=done.append
    )
    assert one.n_failed == 3000
    assert one.digest == two.digest
    assert _contents(tmp_path / "1") == _contents(tmp_path / "2")
    assert sum(done) == 9000
    assert len(done) > 10
    done.clear()
    write_features(smiles, tmp_path / "2", step=done.append)  # only a look at the library
    assert sum(done) == 9000


def test_records_themselves_are_a_library(tmp_path: Path) -> None:
    """A campaign's own copy gives the same fingerprints as the file that it was made of."""
    n_opened = 0

    def fresh() -> Iterator[Record]:
        nonlocal n_opened
        n_opened += 1
        return read_records(SMILES)

    store = write_features(fresh, tmp_path / "a")
    assert write_features(fresh, tmp_path / "a") == store
    assert n_opened == 2
    assert write_features(SMILES, tmp_path / "b").digest == store.digest
    with pytest.raises(InputError, match="the library has changed"):
        store.check_library(lambda: read_records(SMILES[:4]))
    with pytest.raises(InputError, match="there is no molecule in it"):
        write_features(lambda: iter(()), tmp_path / "c")
    with pytest.raises(InputError, match="record 3 stands where 0 was expected"):
        write_features(lambda: read_records(SMILES, start=3), tmp_path / "d")


def test_records_that_say_where_their_molecule_is(tmp_path: Path) -> None:
    known = {"hash:0": "CCO", "hash:1": "C1CC", "hash:3": "c1ccccc1"}
    asked: list[str] = []

    def prepared() -> Iterator[Record]:
        return (Record(k, f"m{k}", f"lib:{k}", "prepared", f"hash:{k}") for k in range(4))

    def smiles_of(record: Record) -> str:
        asked.append(record.data)
        if record.data not in known:
            raise LigandError("failed when the library was prepared", stage="embed")
        return known[record.data]

    store = write_features(prepared, tmp_path / "f", smiles_of=smiles_of)
    (batch,) = store.batches(with_smiles=True)
    assert batch.smiles == ("CCO", "c1ccccc1")
    failures = dict(store.failures())
    assert failures[2] == "failed when the library was prepared"
    assert failures[1].startswith("lib:1: 'm1' cannot be read")
    assert asked == [f"hash:{k}" for k in range(4)]
    store.check_library(prepared)
    assert len(asked) == 4
    with pytest.raises(InputError, match=r"of format 'prepared'.*give smiles_of"):
        write_features(prepared, tmp_path / "g")


def test_molecules_that_end_their_process_are_rows(makers: str) -> None:
    """One exits, one crashes, one is a bug, one hangs; all others have their fingerprints."""
    names = [f"m{k}" for k in range(60)]
    bad = {7: "exit", 8: "segfault", 30: "bug", 59: "hang"}
    records = _named(*(bad.get(k, name) for k, name in enumerate(names)))
    with FingerprintPool(2, maker=f"{makers}:misbehaving", limit_s=1.0) as pool:
        rows = _rows(pool, records, 20)
    good = make_row(records[0])
    assert [k for k, row in enumerate(rows) if row != good] == list(bad)
    reasons = [rows[k][2] or "" for k in bad]
    assert "item:7: 'exit' has no fingerprint: its process ended itself with code 3" in reasons[0]
    assert "its process died of SIGSEGV" in reasons[1]
    assert "unexpected error: KeyError: 'unheard of'" in reasons[2]
    assert "it took longer than 1 s" in reasons[3]
    assert all("\n" not in reason for reason in reasons)


def test_a_process_that_is_killed_by_chance_costs_nothing(makers: str, tmp_path: Path) -> None:
    records = _named("a", f"once@{tmp_path / 'mark'}", "b")
    with FingerprintPool(1, maker=f"{makers}:misbehaving") as pool:
        rows = _rows(pool, records, 3)
    assert (tmp_path / "mark").exists()
    assert rows == [make_row(record) for record in records]


def test_where_everything_dies_no_library_of_failures_is_written(
    makers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osong.active.fingerprint_pool._MOST_IN_A_ROW", 2)
    with (
        pytest.raises(ResourceError, match="3 molecules in a row ended the process"),
        FingerprintPool(1, maker=f"{makers}:always_exits") as pool,
    ):
        _rows(pool, _named(*"abcde"), 5)


def test_a_process_that_cannot_start_is_told(makers: str) -> None:
    with (
        pytest.raises(ResourceError, match=r"cannot start.*no attribute 'absent'"),
        FingerprintPool(1, maker=f"{makers}:absent") as pool,
    ):
        _rows(pool, _named("a"), 1)


def test_leaving_early_ends_the_processes(makers: str) -> None:
    with FingerprintPool(1, maker=f"{makers}:misbehaving") as pool:
        parts = iter([_named("a"), _named("b"), _named("c"), _named("hang")])
        next(pool.rows((part, part) for part in parts))
        (process,) = [one._process for one in pool._processes]
        assert process is not None
    assert process.poll() is not None


class _Counted:
    """A library that says how many fingerprints were made of it."""

    def __init__(self, smiles: list[str]) -> None:
        self.smiles = smiles
        self.made: list[int] = []

    def records(self) -> Iterator[Record]:
        return read_records(self.smiles)

    def smiles_of(self, record: Record) -> str:
        self.made.append(record.index)
        return record.data

    def write(self, folder: Path) -> FeatureStore:
        return write_features(
            self.records, folder, records_per_shard=8192, smiles_of=self.smiles_of
        )


def test_an_interrupted_store_goes_on_with_the_missing_shards(tmp_path: Path) -> None:
    library = _Counted(["CCO", "CCN"] * 5000)
    whole = library.write(tmp_path / "f")
    before = _contents(tmp_path / "f")
    library.made.clear()
    (tmp_path / "f" / "features.json").unlink()
    again = library.write(tmp_path / "f")
    assert (again, library.made) == (whole, [])
    (tmp_path / "f" / "features.json").unlink()
    (tmp_path / "f" / "features-00001.parquet").write_bytes(b"half")
    (tmp_path / "f" / ".features-00001.parquet.1234.tmp").write_bytes(b"half")
    assert library.write(tmp_path / "f") == whole
    assert library.made == list(range(8192, 10_000))
    assert _contents(tmp_path / "f") == before


@pytest.mark.parametrize("change", ["first shard", "last shard", "longer"])
def test_an_interrupted_store_of_a_library_that_changed_is_refused(
    tmp_path: Path, change: str
) -> None:
    smiles = ["CCO", "CCN"] * 4500
    _Counted(smiles).write(tmp_path / "f")
    (tmp_path / "f" / "features.json").unlink()
    if change == "longer":
        smiles = [*smiles, "C"]
    else:
        smiles = [*smiles]
        smiles[5 if change == "first shard" else 8500] = "CCCl"
    with pytest.raises(InputError, match="begun here are of another library") as caught:
        _Counted(smiles).write(tmp_path / "f")
    assert "\n" not in str(caught.value)


def test_a_library_that_ends_in_an_error_leaves_whole_shards_only(tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        for record in read_records(["CCO"] * 13_000):
            if record.index == 12_500:
                raise InputError("the disk is on fire")
            yield record

    with pytest.raises(InputError, match="on fire"):
        write_features(broken, tmp_path / "f", records_per_shard=8192, workers=2)
    assert sorted(_contents(tmp_path / "f")) == ["features-00000.json", "features-00000.parquet"]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_files.pq.ParquetWriter, "write_table", full)
    with pytest.raises(ResourceError, match=r"cannot be written .No space left") as caught:
        write_features(SMILES, tmp_path / "f")
    assert "\n" not in str(caught.value)
    assert _contents(tmp_path / "f") == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"records_per_shard": 100}, "multiple of 8192"),
        ({"workers": 0}, "workers is 0: give at least 1"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        write_features(SMILES, tmp_path / "f", **options)  # type: ignore[arg-type]
