"""`read_records` and `count_records`: any library as a stream of records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdkit import Chem

from osong.errors import InputError
from osong.library.detect import SUFFIXES, FileKind, detect_kind
from osong.library.items import item_piece
from osong.library.record import FORMATS, Piece, Record
from osong.library.smiles_lines import split_smiles
from osong.library.streams import read_lines, strip_compression
from osong.library.structures import split_mol2, split_pdbqt, split_sdf
from osong.library.tables import count_parquet, split_parquet, split_table

if TYPE_CHECKING:
    from osong.library.columns import Column

__all__ = [
    "Source",
    "count_records",
    "file_pieces",
    "library_files",
    "made_name",
    "read_records",
]

Source = str | Path | Iterable[Any]
"""A file, a folder, or an iterable of SMILES, (SMILES, name) pairs, molecules or paths."""


def read_records(
    source: Source,
    *,
    smiles_column: Column | None = None,
    name_column: Column | None = None,
    kind: str | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Record]:
    """Yield the records of a library, one after the other, from `start` up to before `stop`.

    Files are split into records as text and never held whole in memory; nothing is parsed, so a
    malformed record harms no other. Blank lines and comments are no records, an empty entry (no
    SMILES beside a name, nothing between two ``$$$$``) is one.

    Parameters
    ----------
    source
        A file (``.smi``, ``.csv``, ``.tsv``, ``.parquet``, ``.sdf``, ``.mol``, ``.mol2``,
        ``.pdbqt``; ``.gz``, ``.zst`` or ``.bz2`` may follow), a folder of such files (read in the
        order of their names), or an iterable whose items are SMILES strings, (SMILES or molecule,
        name) pairs, RDKit molecules or `pathlib.Path` files.
    smiles_column, name_column
        Name or position (from 0) of the columns of a table; by default the usual names are looked
        for. In SD files `name_column` is the data item that holds the name.
    kind
        One of `osong.library.detect.KINDS`, for files whose name and content do not tell.
    start, stop
        Range of record indices, as in a slice.

    Raises
    ------
    InputError
        At once where a file is missing, unreadable or has no SMILES column; after the last good
        record where its data end early; at the end where the library has no record at all.
    """
    if start < 0 or (stop is not None and stop < start):
        raise InputError(f"records {start} to {stop}: start must not be negative or after stop")
    if isinstance(source, str | Path):
        library_files(Path(source))
    pieces = _numbered_pieces(source, smiles_column, name_column, kind, start)
    return _records(pieces, source, start, stop)


def _records(
    pieces: Iterator[tuple[int, str, str, Piece]], source: Source, start: int, stop: int | None
) -> Iterator[Record]:
    """Turn pieces into records; say how far a damaged library could be read."""
    index = -1
    try:
        for index, where, format_, piece in pieces:
            if stop is not None and index >= stop:
                return
            if index >= start:
                name = piece.name or made_name(where, index)
                yield Record(index, name, f"{where}:{piece.position}", format_, piece.data)
            if index + 1 == stop:  # without a look at the next, which may be damaged
                return
    except InputError as error:
        if index < 0:
            raise
        raise InputError(f"{error} ({index + 1} records were read before)") from error
    if index < 0 and start == 0:
        what = "the library" if not isinstance(source, str | Path) else str(source)
        raise InputError(f"{what}: there is no molecule in it")


def _numbered_pieces(
    source: Source,
    smiles_column: Column | None,
    name_column: Column | None,
    kind: str | None,
    start: int,
) -> Iterator[tuple[int, str, str, Piece]]:
    """Yield (index, file or "item", format, piece) over all of a library."""
    index = 0
    for number, part in enumerate(_parts(source)):
        if not isinstance(part, Path):
            format_, piece = item_piece(part, number)
            yield index, "item", format_, piece
            index += 1
            continue
        file_kind = detect_kind(part, kind)
        skipped = 0
        if file_kind.kind == "parquet" and index < start:
            skipped = min(start - index, count_parquet(part))
            index += skipped
        where = os.fsencode(part).decode("utf-8", "replace")
        format_ = file_kind.kind if file_kind.kind in FORMATS else "smiles"
        for piece in file_pieces(part, file_kind, smiles_column, name_column, skipped):
            yield index, where, format_, piece
            index += 1


def file_pieces(
    path: Path,
    file_kind: FileKind,
    smiles_column: Column | None,
    name_column: Column | None,
    skipped: int = 0,
    lines: Iterator[bytes] | None = None,
) -> Iterator[Piece]:
    """Yield the pieces of one file; `skipped` rows of a Parquet file are left out.

    `lines` are those of the file, for whoever watches how far it is read.
    """
    if file_kind.kind == "parquet":
        return split_parquet(path, smiles_column, name_column, skipped)
    lines = read_lines(path) if lines is None else lines
    if file_kind.kind == "table":
        return split_table(lines, path, file_kind.delimiter, smiles_column, name_column)
    if file_kind.kind == "mol2":
        return split_mol2(lines, path)
    if file_kind.kind == "pdbqt":
        return split_pdbqt(lines, path)
    if file_kind.kind == "sdf":
        return split_sdf(lines, path, name_column if isinstance(name_column, str) else None)
    if isinstance(smiles_column, str):
        raise InputError(
            f"{path}: a SMILES file has no column '{smiles_column}': leave smiles_column "
            "(--smiles-column) out, or give kind='csv' or 'tsv' (--kind)"
        )
    return split_smiles(lines)


def _parts(source: Source) -> Iterator[Any]:
    """Yield the files of a library as paths, and whatever else it holds as it is."""
    if isinstance(source, str | Path):
        yield from library_files(Path(source))
        return
    if hasattr(source, "columns"):
        raise InputError(
            "a data frame is no list of molecules: pass "
            "frame[['smiles', 'name']].itertuples(index=False)"
        )
    for item in [source] if isinstance(source, Chem.Mol) else source:
        if isinstance(item, Path):
            yield from library_files(item)
        else:
            yield item


def library_files(path: Path) -> list[Path]:
    """Return the files of a library: the file itself, or those of a folder in order of name.

    In a folder only files with a suffix of `SUFFIXES` count; hidden files and sub-folders do not.

    Raises
    ------
    InputError
        Where there is no such file or folder, or nothing in the folder to read.
    """
    if path.is_dir():
        if (path / "library.json").exists():
            raise InputError(f"{path}: this is a prepared library: read it with read_prepared")
        files = sorted(file for file in path.iterdir() if _is_library_file(file))
        if not files:
            raise InputError(
                f"{path}: no file of molecules in this folder (of the kinds "
                f"{', '.join(sorted(SUFFIXES))})"
            )
        return files
    if not path.exists():
        hint = "" if path.suffix else " (SMILES themselves are given as a list of strings)"
        raise InputError(f"{path}: there is no such file{hint}: check the path")
    return [path]


def _is_library_file(path: Path) -> bool:
    suffix = strip_compression(path).suffix.lower()
    return path.is_file() and not path.name.startswith(".") and suffix in SUFFIXES


def made_name(where: str, index: int) -> str:
    """Return the name of an unnamed record: after its file, and its number in the library."""
    stem, is_numbered = _stem(where)
    return f"{stem}_{index:06d}" if is_numbered else stem


@lru_cache(maxsize=8)  # taking paths apart took two thirds of the time of unnamed records
def _stem(where: str) -> tuple[str, bool]:
    """Return what unnamed records of a file are called, and whether with a number."""
    if where == "item":
        return "molecule", True
    file = strip_compression(Path(where))
    # A .mol file holds one molecule, which people name by the file.
    return file.stem, file.suffix.lower() != ".mol"


def count_records(
    source: Source,
    *,
    smiles_column: Column | None = None,
    name_column: Column | None = None,
    kind: str | None = None,
) -> int:
    """Return the number of records of a library, as `read_records` splits it.

    Raises
    ------
    InputError
        As `read_records`, at the place where it would.
    """
    if not isinstance(source, str | Path):
        return sum(1 for _ in read_records(source, smiles_column=smiles_column, kind=kind))
    total = 0
    for path in library_files(Path(source)):
        file_kind = detect_kind(path, kind)
        if file_kind.kind == "parquet":
            total += count_parquet(path)
        else:
            pieces = file_pieces(path, file_kind, smiles_column, name_column)
            total += sum(1 for _ in pieces)
    if total == 0:
        raise InputError(f"{source}: there is no molecule in it")
    return total
