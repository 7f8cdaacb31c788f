"""Writing prepared libraries: whole shards only, and an index file that comes last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from osong.errors import InputError, ResourceError
from osong.library.prepared import (
    FORMAT,
    INDEX_FILE,
    LOCK_FILE,
    VERSION,
    PreparedLibrary,
    Shard,
    resume_index,
    shard_files,
    shard_metadata,
    shard_molecules,
)
from osong.library.prepared_table import SCHEMA, PreparedMolecule, molecule_digest, table_of

__all__ = ["check_prepared_folder", "write_prepared"]

_GROUP_MOLECULES: Final = 256
"""Molecules a row group, about 1 MB: what a reader holds at a time."""


def write_prepared(
    folder: str | Path,
    molecules: Iterable[PreparedMolecule],
    *,
    options: Mapping[str, Any] | None = None,
    molecules_per_shard: int = 8192,
    resume: bool = False,
) -> PreparedLibrary:
    """Write a prepared library, shard by shard, and return what is in it.

    Each shard gets its name only once it is whole and on the disk, ``library.json`` comes last:
    a folder without it is unfinished. `molecules` come with rising indices.

    Parameters
    ----------
    options
        How the ligands were prepared; anything that JSON can hold.
    resume
        Keep the whole shards of a run that was interrupted; `molecules` then begin with index
        `resume_index`.

    Raises
    ------
    InputError
        Where the folder holds something else, a finished library or (without `resume`) an
        unfinished one; where indices do not rise; where there is no molecule.
    ResourceError
        Where the disk is full or cannot be written.
    """
    folder = Path(folder)
    options = json.loads(json.dumps(dict(options or {})))
    check_prepared_folder(folder, options, resume=resume)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    tally = _Tally()
    for shard in shard_files(folder):
        tally.add_shard(Shard(shard.name, tuple(shard_metadata(shard, "osong.groups"))))
        for molecule in shard_molecules(shard):
            tally.add(molecule)
    source = iter(molecules)
    while batch := _take(source, min(molecules_per_shard, _GROUP_MOLECULES)):
        number = len(tally.shards)
        path = folder / f"shard-{number:05d}.parquet"
        with _no_disk_left(path):
            tally.add_shard(_write_shard(path, batch, source, molecules_per_shard, options, tally))
    if tally.n_molecules == 0:
        raise InputError(f"{folder}: there is no molecule to write")
    library = tally.library(folder, options)
    with _no_disk_left(folder / INDEX_FILE):
        _write_index(library)
    return library


def _take(source: Iterator[PreparedMolecule], n: int) -> list[PreparedMolecule]:
    return list(islice(source, n))


def _write_shard(
    path: Path,
    batch: list[PreparedMolecule],
    source: Iterator[PreparedMolecule],
    molecules_per_shard: int,
    options: Mapping[str, Any],
    tally: _Tally,
) -> Shard:
    """Write one shard: `batch`, then more of `source`, under a temporary name until it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    groups: list[int] = []
    try:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            while batch:
                for molecule in batch:
                    tally.add(molecule)
                writer.write_table(table_of(batch))
                groups.append(len(batch))
                room = molecules_per_shard - sum(groups)
                batch = _take(source, min(room, _GROUP_MOLECULES)) if room > 0 else []
            writer.add_key_value_metadata(
                {"osong.groups": json.dumps(groups), "osong.options": json.dumps(options)}
            )
        _sync_and_rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return Shard(path.name, tuple(groups))


def _write_index(library: PreparedLibrary) -> None:
    """Write ``library.json``, which makes the library a finished one."""
    path = library.folder / INDEX_FILE
    content = {
        "format": FORMAT,
        "version": VERSION,
        "n_molecules": library.n_molecules,
        "n_failed": library.n_failed,
        "n_ligands": library.n_ligands,
        "content_hash": library.content_hash,
        "options": library.options,
        "shards": [{"file": shard.file, "groups": shard.groups} for shard in library.shards],
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _sync_and_rename(temporary, path)


def _sync_and_rename(temporary: Path, path: Path) -> None:
    """Give a file its name once its bytes are on the disk."""
    for target in (temporary, path.parent):
        if target is not temporary:
            temporary.replace(path)
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _no_disk_left(path: Path) -> Iterator[None]:
    """Turn the system's refusals into an error that names the file."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}): free some space or choose "
            "another folder; whole shards are kept"
        ) from error


class _Tally:
    """Counts and the running hash of the molecules written so far."""

    def __init__(self) -> None:
        self.n_molecules = 0
        self.n_failed = 0
        self.n_ligands = 0
        self.last_index = -1
        self.shards: list[Shard] = []
        self._digest = blake2b(digest_size=16)

    def add(self, molecule: PreparedMolecule) -> None:
        """Count one molecule in."""
        if molecule.index <= self.last_index:
            raise InputError(
                f"{molecule.source}: molecule {molecule.index} ('{molecule.name}') comes after "
                f"{self.last_index}: molecules of a prepared library are written once, in order"
            )
        if bool(molecule.ligands) == bool(molecule.stage):
            raise InputError(
                f"{molecule.source}: molecule {molecule.index} ('{molecule.name}') must have "
                "either ligands or the stage at which it failed"
            )
        self.last_index = molecule.index
        self.n_molecules += 1
        self.n_failed += not molecule.ligands
        self.n_ligands += len(molecule.ligands)
        self._digest.update(molecule_digest(molecule))

    def add_shard(self, shard: Shard) -> None:
        """Count one shard in."""
        self.shards.append(shard)

    def library(self, folder: Path, options: Mapping[str, Any]) -> PreparedLibrary:
        """Return the sum of it all."""
        return PreparedLibrary(
            folder=folder,
            n_molecules=self.n_molecules,
            n_failed=self.n_failed,
            n_ligands=self.n_ligands,
            content_hash=self._digest.hexdigest(),
            options=options,
            shards=tuple(self.shards),
        )


def check_prepared_folder(folder: Path, options: Mapping[str, Any], *, resume: bool) -> None:
    """Make the folder, or refuse one that holds something which must not be lost.

    `write_prepared` does it first; a folder where another process is writing stays as it is.
    """
    options = json.loads(json.dumps(dict(options)))
    if (folder / INDEX_FILE).exists():
        raise InputError(f"{folder}: there is a prepared library already: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}): choose another") from error
    shards = shard_files(folder)
    ours = {LOCK_FILE, *(shard.name for shard in shards)}
    names = sorted(file.name for file in folder.iterdir())
    others = [name for name in names if name not in ours and not name.endswith(".tmp")]
    if others:
        raise InputError(f"{folder}: holds other files ({others[0]}): choose another folder")
    if shards and not resume:
        raise InputError(
            f"{folder}: holds an unfinished prepared library: go on with resume=True from "
            f"molecule {resume_index(folder)}, or delete it"
        )
    for shard in shards:
        if shard_metadata(shard, "osong.options") != options:
            raise InputError(f"{shard}: was prepared with other options: choose another folder")
