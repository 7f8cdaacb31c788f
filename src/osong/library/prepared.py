"""Prepared libraries: folders of Parquet shards of ligands ready to dock."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import InputError
from osong.library.prepared_table import (
    PreparedMolecule,
    molecules_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "FORMAT",
    "INDEX_FILE",
    "LOCK_FILE",
    "VERSION",
    "PreparedLibrary",
    "Shard",
    "is_prepared",
    "open_prepared",
    "read_prepared",
    "resume_index",
    "shard_files",
    "shard_metadata",
    "shard_molecules",
]

INDEX_FILE: Final = "library.json"
LOCK_FILE: Final = ".lock"
"""Held by whoever writes the library; not part of it."""
FORMAT: Final = "osong prepared library"
VERSION: Final = 2


@dataclass(frozen=True)
class Shard:
    """One file of a prepared library and the molecules of each of its row groups."""

    file: str
    groups: tuple[int, ...]

    @property
    def n_molecules(self) -> int:
        """Molecules in the shard, failed ones included."""
        return sum(self.groups)


@dataclass(frozen=True)
class PreparedLibrary:
    """What ``library.json`` says of a prepared library.

    Attributes
    ----------
    n_molecules
        Molecules that went in: those with ligands and those that failed.
    n_failed
        Molecules without ligands; each has its row with stage and reason.
    n_ligands
        Variants of all molecules together.
    content_hash
        Hash of all molecules in their order; it does not depend on how they lie in shards.
    options
        How the ligands were prepared, as given to `write_prepared`.
    """

    folder: Path
    n_molecules: int
    n_failed: int
    n_ligands: int
    content_hash: str
    options: Mapping[str, Any] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()


def resume_index(folder: str | Path) -> int:
    """Return the index of the first molecule that an unfinished prepared library lacks."""
    shards = shard_files(Path(folder))
    if not shards:
        return 0
    with _readable(shards[-1]), pq.ParquetFile(shards[-1]) as file:
        last = file.read_row_group(file.num_row_groups - 1, columns=["index"])
    return int(last["index"][-1].as_py()) + 1


def shard_files(folder: Path) -> list[Path]:
    """Return the whole shards of a folder in their order."""
    return sorted(folder.glob("shard-*.parquet"))


def shard_metadata(path: Path, key: str) -> Any:
    """Return what a shard says of itself under one key."""
    with _readable(path):
        return json.loads(pq.read_metadata(path).metadata[key.encode()])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into an error that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(
            f"{path}: is missing or damaged ({error}): prepare the library anew"
        ) from error


def is_prepared(path: str | Path) -> bool:
    """Tell whether `path` is the folder of a finished prepared library."""
    try:
        content = json.loads((Path(path) / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def open_prepared(folder: str | Path) -> PreparedLibrary:
    """Return what is in a prepared library, without reading its ligands.

    Raises
    ------
    InputError
        Where there is none, an unfinished one, or one of a newer version of Osong.
    """
    folder = Path(folder)
    if not is_prepared(folder):
        state = "is unfinished" if folder.is_dir() and shard_files(folder) else "is no such folder"
        raise InputError(f"{folder}: a prepared library was expected, this {state}")
    content = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    if content.get("version") != VERSION:
        raise InputError(
            f"{folder}: version {content.get('version')} of prepared libraries, this Osong reads "
            f"version {VERSION}: update Osong or prepare the library anew"
        )
    return PreparedLibrary(
        folder=folder,
        n_molecules=content["n_molecules"],
        n_failed=content["n_failed"],
        n_ligands=content["n_ligands"],
        content_hash=content["content_hash"],
        options=content["options"],
        shards=tuple(Shard(s["file"], tuple(s["groups"])) for s in content["shards"]),
    )


def read_prepared(
    folder: str | Path, start: int = 0, stop: int | None = None
) -> Iterator[PreparedMolecule]:
    """Yield the molecules of a prepared library from position `start` up to before `stop`.

    One row group (some hundred molecules) is in memory at a time; shards and row groups before
    `start` are not read. Positions count molecules, failed ones included, and are the indices
    where a whole library was prepared.

    Raises
    ------
    InputError
        Where there is no such library, or a shard is missing or damaged.
    """
    library = open_prepared(folder)
    return _read(library, start, library.n_molecules if stop is None else stop)


def _read(library: PreparedLibrary, start: int, stop: int) -> Iterator[PreparedMolecule]:
    """Yield molecules by their position, row group by row group."""
    position = 0
    for shard in library.shards:
        if position >= stop:
            return
        if position + shard.n_molecules <= start:
            position += shard.n_molecules
            continue
        path = library.folder / shard.file
        with _readable(path):
            file = pq.ParquetFile(path)
        with file:
            for group, n_molecules in enumerate(shard.groups):
                if position + n_molecules > start and position < stop:
                    with _readable(path):
                        table = file.read_row_group(group)
                    begin, end = max(start - position, 0), stop - position
                    yield from islice(molecules_of(table), begin, end)
                position += n_molecules


def shard_molecules(path: Path) -> Iterator[PreparedMolecule]:
    """Yield all molecules of one shard."""
    with _readable(path):
        file = pq.ParquetFile(path)
    with file:
        for group in range(file.num_row_groups):
            with _readable(path):
                table = file.read_row_group(group)
            yield from molecules_of(table)
