"""The library's records in the campaign folder: a few Parquet files, written once, in order.

A campaign reads its own copy: an iterable can be read only once, a gz file only from its
beginning, and a file may change between two runs.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError
from osong.library import Record
from osong_workflows.folder import DiscardableFile, full_disk, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = [
    "FILE_RECORDS",
    "StagedFile",
    "StagedLibrary",
    "library_digest",
    "pick_staged",
    "read_staged",
    "stage_library",
    "staged_bytes",
]

_SCHEMA: Final = pa.schema(
    [("name", pa.string()), ("source", pa.string()), ("format", pa.string()), ("data", pa.string())]
)
_GROUP_RECORDS: Final = 4096
_GROUP_CHARACTERS: Final = 4 * 2**20
"""A row group is what a chunk reads at least; SDF records of 5 kB would make 20 MB of 4096."""
FILE_RECORDS: Final = 2**20
"""A thousand input files for 1e9 molecules."""


@dataclass(frozen=True)
class StagedFile:
    """One file of records: its name in the input folder and how many it holds."""

    name: str
    n_records: int


@dataclass(frozen=True)
class StagedLibrary:
    """What staging wrote: files in order, records in all, and the digest of the records."""

    files: tuple[StagedFile, ...]
    n_records: int
    digest: str
    n_bytes: int


class _Digest:
    """Hash of records: names, formats and data, in order; where they came from does not count."""

    def __init__(self) -> None:
        self._hash = blake2b(b"osong-library-1", digest_size=16)

    def update(self, row: dict[str, str]) -> None:
        fields = [row[key].encode() for key in ("name", "format", "data")]
        # Lengths first, so that no two lists of records run together to the same bytes.
        self._hash.update(b"%d,%d,%d:" % tuple(map(len, fields)) + b"".join(fields))

    def hex(self) -> str:
        return self._hash.hexdigest()


def library_digest(records: Iterable[Record]) -> str:
    """Return the digest that :func:`stage_library` would give, writing nothing."""
    digest = _Digest()
    for record in records:
        digest.update(_row(record))
    return digest.hex()


def stage_library(records: Iterable[Record], folder: Path) -> StagedLibrary:
    """Copy records into a folder that appears whole or not at all.

    Raises
    ------
    osong.errors.ResourceError
        The disk is full.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    for leftover in (temporary, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    with full_disk(folder.parent):
        temporary.mkdir()
    digest = _Digest()
    files: list[StagedFile] = []
    writer = _StagedWriter(temporary, files)
    try:
        for record in records:
            row = _row(record)
            digest.update(row)
            writer.add(row)
        writer.close()
    except BaseException:
        writer.abandon()
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    with full_disk(folder.parent):
        sync_folder(temporary)
        temporary.rename(folder)
        sync_folder(folder.parent)
    n_bytes = sum((folder / file.name).stat().st_size for file in files)
    return StagedLibrary(tuple(files), sum(file.n_records for file in files), digest.hex(), n_bytes)


def staged_bytes(records: Iterable[Record]) -> int:
    """Return what some records would take on the disk; nothing is written there."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist(list(map(_row, records)), _SCHEMA), sink, compression="zstd"
    )
    return int(sink.getvalue().size)


def read_staged(
    folder: Path, files: Iterable[StagedFile], start: int, n_records: int
) -> Iterator[Record]:
    """Yield records ``start`` to ``start + n_records`` (exclusive), reading no other row groups.

    Raises
    ------
    CampaignError
        A file is missing or damaged.
    """
    first, stop = 0, start + n_records
    for file in files:
        if first < stop and first + file.n_records > start:
            with _told(folder / file.name):
                yield from _read_file(folder / file.name, first, start, stop)
        first += file.n_records


def pick_staged(
    folder: Path, files: Iterable[StagedFile], rising: npt.NDArray[np.int64]
) -> Iterator[Record]:
    """Yield the records of some positions, (n,) int64, each above the one before it.

    Row groups that hold none of them are not read.

    Raises
    ------
    CampaignError
        A file is missing or damaged.
    """
    first = 0
    for file in files:
        begin, end = np.searchsorted(rising, [first, first + file.n_records])
        if begin < end:
            with _told(folder / file.name):
                yield from _pick_file(folder / file.name, first, rising[begin:end])
        first += file.n_records


def _pick_file(path: Path, first: int, rising: npt.NDArray[np.int64]) -> Iterator[Record]:
    """Yield a file's records of some positions; its first record is number ``first``."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            begin, end = np.searchsorted(rising, [first, first + n_rows])
            if begin < end:
                wanted = rising[begin:end]
                table = file.read_row_group(group, use_threads=False).take(wanted - first)
                for index, row in zip(wanted.tolist(), table.to_pylist(), strict=True):
                    yield Record(index=index, **row)
            first += n_rows


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file into one line."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise CampaignError(
            f"{path}: the campaign's copy of the library cannot be read ({error}); start "
            "the campaign again in a new folder"
        ) from error


def _read_file(path: Path, first: int, start: int, stop: int) -> Iterator[Record]:
    """Yield a file's records within [start, stop); its first record is number ``first``."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            low, high = max(start - first, 0), min(stop - first, n_rows)
            if low < high:
                table = file.read_row_group(group, use_threads=False).slice(low, high - low)
                for offset, row in enumerate(table.to_pylist()):
                    yield Record(index=first + low + offset, **row)
            first += n_rows


class _StagedWriter:
    """Writes rows into row groups of bounded size and files of bounded length."""

    def __init__(self, folder: Path, files: list[StagedFile]) -> None:
        self._folder = folder
        self._files = files
        self._rows: list[dict[str, str]] = []
        self._n_characters = 0
        self._n_in_file = 0
        self._sink: DiscardableFile | None = None
        self._writer: pq.ParquetWriter | None = None

    def add(self, row: dict[str, str]) -> None:
        """Take a row."""
        self._rows.append(row)
        self._n_characters += len(row["data"])
        if len(self._rows) >= _GROUP_RECORDS or self._n_characters >= _GROUP_CHARACTERS:
            self._flush()
            if self._n_in_file >= FILE_RECORDS:
                self._end_file()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._end_file()

    def abandon(self) -> None:
        """Close the file at hand without caring about its content."""
        if self._sink is not None and self._writer is not None:
            self._sink.discard(self._writer)

    def _name(self) -> str:
        return f"records-{len(self._files):05d}.parquet"

    def _flush(self) -> None:
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, _SCHEMA)
        with full_disk(self._folder.parent):
            if self._writer is None:
                self._sink = DiscardableFile(self._folder / self._name())
                self._writer = pq.ParquetWriter(
                    self._sink, _SCHEMA, compression="zstd", write_page_checksum=True
                )
            self._writer.write_table(table)
        self._n_in_file += len(self._rows)
        self._rows, self._n_characters = [], 0

    def _end_file(self) -> None:
        if self._writer is None or self._sink is None:
            return
        with full_disk(self._folder.parent):
            self._writer.close()
            self._sink.finish()
        self._files.append(StagedFile(self._name(), self._n_in_file))
        self._writer = self._sink = None
        self._n_in_file = 0


def _row(record: Record) -> dict[str, str]:
    """Return a record's texts, free of lone surrogates, which Parquet (UTF-8) cannot hold."""
    return {
        "name": _utf8(record.name),
        "source": _utf8(record.source),
        "format": record.format,
        "data": _utf8(record.data),
    }


def _utf8(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
