"""`sample_library`: how many records a library has, and some of them, without reading all of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from osong.errors import InputError
from osong.library.detect import FileKind, detect_kind
from osong.library.reader import file_pieces, library_files, made_name
from osong.library.record import FORMATS, Record
from osong.library.streams import COMPRESSIONS, read_lines, text_bytes
from osong.library.tables import count_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osong.library.columns import Column

__all__ = ["LibrarySample", "sample_library"]

_READ_RECORDS: Final = 20_000
_SMALL_BYTES: Final = 1 << 25
"""So much text is read to its end: half a million SMILES, a second or two."""
_UNPACKED: Final = 8
"""Compressed SMILES become so many times larger, about."""
_MAX_FILES: Final = 8
"""Text files of a folder to look into."""
_MAX_FOOTERS: Final = 256
"""Parquet files of a folder whose rows are asked for."""
_KEPT_RECORDS: Final = 4096
_KEPT_CHARACTERS: Final = 1 << 22


@dataclass(frozen=True)
class LibrarySample:
    """What a look at a library tells.

    Attributes
    ----------
    n_records
        Molecules.
    is_exact
        Whether they were counted; otherwise estimated from the share of bytes that was read.
    records
        Some thousand of them, evenly spread over what was read.
    """

    n_records: int
    is_exact: bool
    records: tuple[Record, ...]


def sample_library(
    source: str | Path,
    *,
    smiles_column: Column | None = None,
    name_column: Column | None = None,
    kind: str | None = None,
    n_read: int = _READ_RECORDS,
    small_bytes: int = _SMALL_BYTES,
) -> LibrarySample:
    """Count or estimate the records of a file or folder in bounded time and memory.

    Parquet files say how many rows they have. Small text is read to its end; of more, the first
    records of some files are, and the rest is estimated from the bytes.

    Parameters
    ----------
    source, smiles_column, name_column, kind
        As for `read_records`.
    n_read
        Records to read where there is more text.
    small_bytes
        Bytes of text that are read to their end.

    Raises
    ------
    InputError
        As `read_records`, for what was looked at.
    """
    files = library_files(Path(source))
    kept = _Thinned()
    columns = (smiles_column, name_column)
    look = _Look(kept, columns, kind, n_read)
    is_table = [_is_parquet(file, kind) for file in files]
    tables = [file for file, wanted in zip(files, is_table, strict=True) if wanted]
    texts = [file for file, wanted in zip(files, is_table, strict=True) if not wanted]
    n_rows, rows_exact = look.at_tables(tables)
    n_texts, texts_exact = look.at_texts(texts, small_bytes)
    n_records = n_rows + n_texts
    if n_records == 0:
        raise InputError(f"{source}: there is no molecule in it")
    return LibrarySample(n_records, rows_exact and texts_exact, tuple(kept))


class _Thinned:
    """Keeps every record, then every second, every fourth...: as many as memory may hold."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._n_characters = 0
        self._stride = 1
        self._n_seen = 0

    def add(self, record: Record) -> None:
        """Keep a record or not."""
        if self._n_seen % self._stride == 0:
            self._records.append(record)
            self._n_characters += len(record.data)
            if len(self._records) > _KEPT_RECORDS or self._n_characters > _KEPT_CHARACTERS:
                self._thin()
        self._n_seen += 1

    def _thin(self) -> None:
        self._records = self._records[::2]
        self._n_characters = sum(len(record.data) for record in self._records)
        self._stride *= 2

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)


class _Tap:
    """Passes lines on and counts their bytes."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.n_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.n_bytes += len(line) + 1
        return line


@dataclass
class _Look:
    """Looks into files one after the other; what it sees goes to ``kept``."""

    kept: _Thinned
    columns: tuple[Column | None, Column | None]
    kind: str | None
    n_read: int
    _index: int = 0

    def at_tables(self, files: Sequence[Path]) -> tuple[int, bool]:
        """Return the rows of Parquet files, and whether they are exact."""
        some = _spread(files, _MAX_FOOTERS)
        n_rows = sum(map(count_parquet, some))
        for file in _spread(some, _MAX_FILES):
            self._read(file, FileKind("parquet"), self._share(len(files)), None)
        return _scaled(n_rows, some, files), len(some) == len(files)

    def at_texts(self, files: Sequence[Path], small_bytes: int) -> tuple[int, bool]:
        """Return the records of text files, and whether they were counted."""
        if sum(map(_text_size, files)) <= small_bytes:
            some, limit = files, None
        else:
            some, limit = _spread(files, _MAX_FILES), self._share(len(files))
        n_records, is_exact = 0, len(some) == len(files)
        for file in some:
            tap, file_kind = _Tap(read_lines(file)), detect_kind(file, self.kind)
            n_here, is_whole = self._read(file, file_kind, limit, tap)
            if file_kind.kind == "parquet":  # under another name
                n_here = count_parquet(file)
            elif not is_whole:
                n_here = round(n_here * text_bytes(file) / max(tap.n_bytes, 1))
                is_exact = False
            n_records += n_here
        return _scaled(n_records, some, files), is_exact

    def _share(self, n_files: int) -> int:
        """Return how many records to read of each file."""
        return max(1, self.n_read // min(max(n_files, 1), _MAX_FILES))

    def _read(
        self, file: Path, kind: FileKind, limit: int | None, lines: Iterator[bytes] | None
    ) -> tuple[int, bool]:
        """Return how many records were read, and whether these are all."""
        where = os.fsencode(file).decode("utf-8", "replace")
        format_ = kind.kind if kind.kind in FORMATS else "smiles"
        pieces = file_pieces(file, kind, *self.columns, lines=lines)
        first = self._index
        for piece in islice(pieces, limit):
            name = piece.name or made_name(where, self._index)
            source = f"{where}:{piece.position}"
            self.kept.add(Record(self._index, name, source, format_, piece.data))
            self._index += 1
        n_here = self._index - first
        return n_here, limit is None or n_here < limit


def _is_parquet(file: Path, kind: str | None) -> bool:
    """Return whether a file is Parquet; by its name, as thousands of files are not opened."""
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() not in COMPRESSIONS]
    if kind is not None:
        return kind == "parquet"
    return bool(suffixes) and suffixes[-1] in (".parquet", ".pq")


def _text_size(file: Path) -> int:
    """Return the bytes of a file's text, roughly."""
    is_packed = file.suffix.lower() in COMPRESSIONS
    return file.stat().st_size * (_UNPACKED if is_packed else 1)


def _spread(files: Sequence[Any], n: int) -> Sequence[Any]:
    """Return at most `n` files, evenly spaced."""
    if len(files) <= n:
        return files
    return [files[i * len(files) // n] for i in range(n)]


def _scaled(n_records: int, some: Sequence[Path], files: Sequence[Path]) -> int:
    """Return the records of all files, from those of some, by their bytes."""
    if len(some) == len(files):
        return n_records
    n_bytes = sum(file.stat().st_size for file in some)
    return round(n_records * sum(file.stat().st_size for file in files) / max(n_bytes, 1))
