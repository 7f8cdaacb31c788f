"""`write_features`: fingerprints of a library on disk, made by several processes, once."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from osong.active.feature_source import RecordsDigest, digest_next, records_of
from osong.active.fingerprint_pool import FingerprintPool
from osong.active.fingerprints import FINGERPRINT
from osong.active.store import (
    GROUP,
    INDEX_FILE,
    SCHEMA,
    VERSION,
    FeatureStore,
    FeatureStoreShard,
    file_digest,
)
from osong.errors import InputError, LigandError, ResourceError
from osong.library.record import FORMATS
from osong.machine import usable_cores
from osong.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from osong.active.feature_source import FeatureSource
    from osong.active.fingerprint_pool import Item
    from osong.active.fingerprint_process import Row
    from osong.library.record import Record

__all__ = ["write_features"]

_SHARD: Final = 32 * GROUP
_BLOCK: Final = 512
"""Records that a process takes at a time, a quarter of a second of work; groups divide by it."""


def write_features(
    source: FeatureSource,
    folder: str | Path,
    *,
    records_per_shard: int = _SHARD,
    workers: int | None = None,
    smiles_of: Callable[[Record], str] | None = None,
    step: Callable[[int], None] = lambda n: None,
) -> FeatureStore:
    """Make the fingerprints of a library and write them into a folder; return the store.

    A folder that has them already is returned after a look at the library. Shards are written whole
    and named last, the index file comes after all of them: what was interrupted goes on with the
    first shard that is not there. A molecule that crashes or hangs the process that works at it is
    a row with its reason, as one that cannot be read. The files are the same for any number of
    processes.

    Parameters
    ----------
    source
        A library, as `osong.library.read_records` takes it, or what gives a fresh stream of its
        records, numbered from 0.
    records_per_shard
        Molecules a file, a multiple of 8,192.
    workers
        Processes that make fingerprints; as many as there are cores if not given. Each takes 150
        MB, and 1,536 records are held for it. This process reads and writes for all of them, 15
        microseconds a molecule, so that more than some 30 wait for it.
    smiles_of
        Gives the SMILES of a record whose data say only where its molecule is to be found. Called
        here, for each record whose fingerprint is made, in order; its `LigandError` is a row.
    step
        Hears how many more records are done, some hundred at a time.

    Raises
    ------
    InputError
        Where the library cannot be read or is not the one whose fingerprints are there.
    ResourceError
        Where they cannot be written, or no process can start.
    """
    folder = Path(folder)
    if (folder / INDEX_FILE).exists():
        store = FeatureStore.open(folder)
        store.check_library(source, step=step)
        return store
    if records_per_shard % GROUP or records_per_shard <= 0:
        raise InputError(f"records_per_shard is {records_per_shard}: give a multiple of {GROUP}")
    n_workers = usable_cores() if workers is None else workers
    if n_workers < 1:
        raise InputError(f"workers is {workers}: give at least 1")
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    records = records_of(source)
    shards = _kept_shards(folder, records_per_shard)
    _pass_over(folder, shards, records, records_per_shard, step)
    with FingerprintPool(n_workers) as pool, _Writer(folder, shards, records_per_shard) as writer:
        for part, rows in pool.rows(_blocks(records, smiles_of)):
            writer.add(part, rows)
            step(len(part))
    _write_index(folder, shards)
    for left_behind in folder.glob(".features-*.tmp"):  # by runs that were killed
        left_behind.unlink(missing_ok=True)
    return FeatureStore.open(folder)


def _write_index(folder: Path, shards: Sequence[FeatureStoreShard]) -> None:
    content = {
        "version": VERSION,
        "fingerprint": FINGERPRINT,
        "n_records": sum(shard.n_records for shard in shards),
        "n_failed": sum(shard.n_failed for shard in shards),
        "shards": [vars(shard) for shard in shards],
    }
    write_whole(folder / INDEX_FILE, json.dumps(content, indent=1) + "\n")


def _kept_shards(folder: Path, records_per_shard: int) -> list[FeatureStoreShard]:
    """Return the whole shards that an interrupted run has left, up to the first that is not."""
    kept: list[FeatureStoreShard] = []
    while not kept or kept[-1].n_records == records_per_shard:
        path = _shard_path(folder, len(kept))
        try:
            content = path.with_suffix(".json").read_text(encoding="utf-8")
            shard = FeatureStoreShard(**json.loads(content))
            is_whole = file_digest(path) == shard.checksum
        except (OSError, ValueError, TypeError):
            break
        if not is_whole or shard.n_records > records_per_shard:
            break
        kept.append(shard)
    return kept


def _pass_over(
    folder: Path,
    shards: Sequence[FeatureStoreShard],
    records: Iterator[Record],
    records_per_shard: int,
    step: Callable[[int], None],
) -> None:
    """Read the records of shards that are there, and refuse any others."""
    is_same = all(
        digest_next(records, shard.n_records, step).hex() == shard.digest for shard in shards
    )
    if is_same and shards and shards[-1].n_records < records_per_shard:
        is_same = next(records, None) is None  # a short shard is the last
    if not is_same:
        raise InputError(
            f"{folder}: the fingerprints that were begun here are of another library, or of this "
            "one before it changed: remove the folder, or choose another"
        )


def _blocks(
    records: Iterator[Record], smiles_of: Callable[[Record], str] | None
) -> Iterator[tuple[list[Record], list[Item]]]:
    """Yield some records at a time, as they stand in the library and as they can be read."""
    while part := list(islice(records, _BLOCK)):
        yield part, [_readable_item(record, smiles_of) for record in part]


def _readable_item(record: Record, smiles_of: Callable[[Record], str] | None) -> Item:
    if smiles_of is None:
        if record.format not in FORMATS:
            raise InputError(
                f"{record.source}: a record of format '{record.format}' says where its molecule is "
                "to be found, not what it is: give smiles_of"
            )
        return record
    try:
        return replace(record, format="smiles", data=smiles_of(record))
    except LigandError as error:
        return str(error)


class _Writer:
    """Writes rows into groups and shards; a shard that is unfinished after an error is removed.

    Parameters
    ----------
    shards
        Those that are there; those that are finished are added.
    """

    def __init__(
        self, folder: Path, shards: list[FeatureStoreShard], records_per_shard: int
    ) -> None:
        self._folder = folder
        self._shards = shards
        self._records_per_shard = records_per_shard
        self._begin_shard()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._digest.n:
                self._end_shard()
        finally:
            if self._file is not None:
                with suppress(OSError):  # what led here is what is to be told
                    self._file.close()
            self._temporary.unlink(missing_ok=True)

    def add(self, records: Sequence[Record], rows: Sequence[Row]) -> None:
        """Take the next records and their rows, as many as divide a group (but at the end)."""
        self._digest.update(records)
        self._rows += [(record.index, *row) for record, row in zip(records, rows, strict=True)]
        if len(self._rows) >= GROUP:
            self._write_group()
        if self._digest.n >= self._records_per_shard:
            self._end_shard()

    def _begin_shard(self) -> None:
        self._path = _shard_path(self._folder, len(self._shards))
        self._temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex[:12]}.tmp")
        self._file: pq.ParquetWriter | None = None
        self._rows: list[tuple[int, bytes | None, str | None, str | None]] = []
        self._digest = RecordsDigest()
        self._n_failed = 0

    def _write_group(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)
        ]
        self._n_failed += arrays[1].null_count
        with _writable(self._folder):
            if self._file is None:
                self._file = pq.ParquetWriter(
                    self._temporary, SCHEMA, compression="zstd", write_page_checksum=True
                )
            self._file.write_table(pa.table(arrays, schema=SCHEMA), row_group_size=GROUP)
        self._rows = []

    def _end_shard(self) -> None:
        if self._rows:
            self._write_group()
        if self._file is None:
            raise AssertionError("a shard has rows")
        with _writable(self._folder):
            self._file.close()
            shard = FeatureStoreShard(
                self._path.name, self._digest.n, self._n_failed, self._digest.hex(),
                file_digest(self._temporary),
            )  # fmt: skip
            self._temporary.replace(self._path)
        write_whole(self._path.with_suffix(".json"), json.dumps(vars(shard)))
        self._shards.append(shard)
        self._begin_shard()


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"features-{number:05d}.parquet"


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{folder}: fingerprints cannot be written ({error.strerror or error}): free some "
            "space or choose another folder"
        ) from error
