"""Fingerprints of a library, made once: a folder of Parquet shards and an index file.

Every record of the library is a row, one that has no fingerprint too, with its reason: the rows are
the ledger. A digest of the records as they stood in the library tells whether it is still the same.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from osong.active.fingerprints import FINGERPRINT, N_BYTES, record_fingerprint
from osong.errors import InputError, LigandError, ResourceError
from osong.library.reader import read_records
from osong.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from osong.library.reader import Source
    from osong.library.record import Record

__all__ = ["FeatureBatch", "FeatureStore", "FeatureStoreShard", "write_features"]

_INDEX_FILE: Final = "features.json"
_VERSION: Final = 1
_GROUP: Final = 8192
"""Molecules a row group, 4 MB of bits: what a reader holds at a time."""
_SHARD: Final = 32 * _GROUP
_SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("fingerprint", pa.binary(N_BYTES)),
        pa.field("smiles", pa.string()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class FeatureBatch:
    """Molecules that follow each other in the library; those without a fingerprint are left out.

    Attributes
    ----------
    index
        (n,) int64: positions in the library, rising.
    bits
        (n, n_bytes) uint8: packed fingerprints.
    smiles
        One a molecule; empty where they were not asked for.
    """

    index: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint8]
    smiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureStoreShard:
    """One file of a store.

    Attributes
    ----------
    file
        Its name in the folder.
    n_records, n_failed
        Rows, and how many have no fingerprint.
    digest
        Of the records as they stood in the library.
    checksum
        Of the file.
    """

    file: str
    n_records: int
    n_failed: int
    digest: str
    checksum: str


@dataclass(frozen=True)
class FeatureStore:
    """Fingerprints of a library on disk.

    Attributes
    ----------
    folder
        Where they are.
    shards
        Its files, in the order of the library.
    """

    folder: Path
    shards: tuple[FeatureStoreShard, ...]

    @classmethod
    def open(cls, folder: str | Path) -> FeatureStore:
        """Return the store in a folder.

        Raises
        ------
        InputError
            Where there is none, it is unfinished, of another recipe, or a file of it is missing.
        """
        folder = Path(folder)
        path = folder / _INDEX_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            version, recipe = content["version"], content["fingerprint"]
            shards = tuple(FeatureStoreShard(**row) for row in content["shards"])
        except FileNotFoundError:
            raise InputError(
                f"{folder}: there are no finished fingerprints here (no {_INDEX_FILE}): make them "
                "with osong.active.write_features"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: is damaged: remove the folder and make the fingerprints anew"
            ) from error
        if (version, recipe) != (_VERSION, FINGERPRINT):
            raise InputError(
                f"{path}: fingerprints '{recipe}' of version {version}, wanted '{FINGERPRINT}' of "
                f"version {_VERSION}: remove the folder and make them anew"
            )
        for shard in shards:
            if not (folder / shard.file).is_file():
                raise InputError(f"{folder / shard.file}: is missing: make the fingerprints anew")
        return cls(folder, shards)

    @property
    def n_records(self) -> int:
        """Molecules of the library."""
        return sum(shard.n_records for shard in self.shards)

    @property
    def n_failed(self) -> int:
        """Those without a fingerprint; the others number ``n_records - n_failed``."""
        return sum(shard.n_failed for shard in self.shards)

    @property
    def digest(self) -> str:
        """What tells this library from any other."""
        return _digest([FINGERPRINT, *(shard.digest for shard in self.shards)])

    def batches(self, *, with_smiles: bool = False) -> Iterator[FeatureBatch]:
        """Yield the molecules that have a fingerprint, some thousand at a time."""
        columns = ["index", "fingerprint", *(["smiles"] if with_smiles else [])]
        for shard in self.shards:
            path = self.folder / shard.file
            try:
                with pq.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        yield _batch(file.read_row_group(group, columns=columns), with_smiles)
            except (pa.ArrowException, OSError) as error:
                raise InputError(
                    f"{path}: cannot be read ({_line(error)}): make the fingerprints anew"
                ) from error

    def take(self, indices: npt.NDArray[np.int64], *, with_smiles: bool = False) -> FeatureBatch:
        """Return the molecules at some positions of the library, in that order.

        Raises
        ------
        InputError
            Where one of them is not in the store or has no fingerprint.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        order = np.argsort(wanted, kind="stable")
        rising = wanted[order]
        bits = np.zeros((len(wanted), N_BYTES), dtype=np.uint8)
        smiles = [""] * (len(wanted) if with_smiles else 0)
        n_found = 0
        for batch in self._groups_with(rising, with_smiles):
            where = np.searchsorted(batch.index, rising)
            hit = where < len(batch.index)
            hit[hit] = batch.index[where[hit]] == rising[hit]
            bits[order[hit]] = batch.bits[where[hit]]
            for target, row in zip(order[hit], where[hit], strict=True):
                if with_smiles:
                    smiles[target] = batch.smiles[row]
            n_found += int(hit.sum())
        if n_found != len(wanted):
            raise InputError(
                f"{self.folder}: {len(wanted) - n_found} of {len(wanted)} molecules that were "
                "asked for have no fingerprint: give positions of the library, and none that failed"
            )
        return FeatureBatch(wanted, bits, tuple(smiles))

    def failures(self) -> Iterator[tuple[int, str]]:
        """Yield position and reason of every molecule without a fingerprint."""
        for shard in self.shards:
            if shard.n_failed:
                table = pq.read_table(self.folder / shard.file, columns=["index", "reason"])
                table = table.filter(pa.compute.is_valid(table["reason"]))
                yield from zip(table["index"].to_pylist(), table["reason"].to_pylist(), strict=True)

    def check(self) -> None:
        """Read every file once and compare its checksum.

        Raises
        ------
        InputError
            Where one was changed.
        """
        for shard in self.shards:
            path = self.folder / shard.file
            if _file_digest(path) != shard.checksum:
                raise InputError(f"{path}: was changed or is damaged: make the fingerprints anew")

    def check_library(self, source: Source) -> None:
        """Compare a library with the one whose fingerprints these are.

        Raises
        ------
        InputError
            Where they differ; the message says from which record on.
        """
        records = read_records(source)
        begin = 0
        for shard in self.shards:
            part = list(islice(records, shard.n_records))
            if len(part) != shard.n_records or _records_digest(part) != shard.digest:
                raise InputError(
                    f"the library has changed: records {begin} to {begin + shard.n_records - 1} "
                    f"are not those of {self.folder}; restore it, or make fingerprints of the new "
                    "one in another folder and begin anew"
                )
            begin += shard.n_records
        if next(records, None) is not None:
            raise InputError(
                f"the library has changed: it has more than the {begin} records of {self.folder}; "
                "restore it, or make fingerprints of the new one in another folder and begin anew"
            )

    def _groups_with(
        self, rising: npt.NDArray[np.int64], with_smiles: bool
    ) -> Iterator[FeatureBatch]:
        """Yield only those groups of rows that hold one of some rising positions."""
        columns = ["index", "fingerprint", *(["smiles"] if with_smiles else [])]
        begin = 0
        for shard in self.shards:
            numbers = rising[(rising >= begin) & (rising < begin + shard.n_records)] - begin
            if len(numbers):
                with pq.ParquetFile(self.folder / shard.file) as file:
                    for group in np.unique(numbers // _GROUP):
                        table = file.read_row_group(int(group), columns=columns)
                        yield _batch(table, with_smiles)
            begin += shard.n_records


def write_features(
    source: Source, folder: str | Path, *, records_per_shard: int = _SHARD
) -> FeatureStore:
    """Make the fingerprints of a library and write them into a folder; return the store.

    A folder that has them already is returned after a look at the library. Shards are written whole
    and named last, the index file comes after all of them: what was interrupted goes on with the
    first shard that is not there.

    Parameters
    ----------
    source
        A library, as `osong.library.read_records` takes it.
    records_per_shard
        Molecules a file, a multiple of 8,192.

    Raises
    ------
    InputError
        Where the library cannot be read or is not the one whose fingerprints are there.
    ResourceError
        Where they cannot be written.
    """
    folder = Path(folder)
    if (folder / _INDEX_FILE).exists():
        store = FeatureStore.open(folder)
        store.check_library(source)
        return store
    if records_per_shard % _GROUP or records_per_shard <= 0:
        raise InputError(f"records_per_shard is {records_per_shard}: give a multiple of {_GROUP}")
    shards: list[FeatureStoreShard] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        records = read_records(source)
        while part := list(islice(records, records_per_shard)):
            shards.append(_whole_shard(folder, len(shards), part))
    except OSError as error:
        raise ResourceError(
            f"{folder}: fingerprints cannot be written ({error.strerror or error}): free some "
            "space or choose another folder"
        ) from error
    content = {
        "version": _VERSION,
        "fingerprint": FINGERPRINT,
        "n_records": sum(shard.n_records for shard in shards),
        "n_failed": sum(shard.n_failed for shard in shards),
        "shards": [vars(shard) for shard in shards],
    }
    write_whole(folder / _INDEX_FILE, json.dumps(content, indent=1) + "\n")
    return FeatureStore.open(folder)


def _whole_shard(folder: Path, number: int, records: Sequence[Record]) -> FeatureStoreShard:
    """Write one shard unless it is there from a run that was interrupted."""
    path = folder / f"features-{number:05d}.parquet"
    note = path.with_suffix(".json")
    digest = _records_digest(records)
    if path.exists() and note.exists():
        kept = FeatureStoreShard(**json.loads(note.read_text(encoding="utf-8")))
        if kept.digest == digest and _file_digest(path) == kept.checksum:
            return kept
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    n_failed = 0
    try:
        with pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
            for begin in range(0, len(records), _GROUP):
                table = _table(records[begin : begin + _GROUP])
                n_failed += table["fingerprint"].null_count
                writer.write_table(table, row_group_size=_GROUP)
        shard = FeatureStoreShard(
            path.name, len(records), n_failed, digest, _file_digest(temporary)
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    write_whole(note, json.dumps(vars(shard)))
    return shard


def _table(records: Sequence[Record]) -> pa.Table:
    bits: list[bytes | None] = []
    smiles: list[str | None] = []
    reasons: list[str | None] = []
    for record in records:
        try:
            packed, text = record_fingerprint(record)
        except LigandError as error:
            bits.append(None)
            smiles.append(None)
            reasons.append(str(error))
        else:
            bits.append(packed.tobytes())
            smiles.append(text)
            reasons.append(None)
    columns = [[record.index for record in records], bits, smiles, reasons]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    return pa.table(arrays, schema=_SCHEMA)


def _batch(table: pa.Table, with_smiles: bool) -> FeatureBatch:
    """Return rows with a fingerprint as arrays; the bits are Arrow's own memory."""
    if table["fingerprint"].null_count:
        table = table.filter(pa.compute.is_valid(table["fingerprint"]))
    column = table["fingerprint"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    data = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
    begin = column.offset * N_BYTES
    bits = data[begin : begin + len(column) * N_BYTES].reshape(-1, N_BYTES)
    smiles = tuple(table["smiles"].to_pylist()) if with_smiles else ()
    return FeatureBatch(table["index"].to_numpy(), bits, smiles)


def _records_digest(records: Iterable[Record]) -> str:
    digest = blake2b(digest_size=16)
    for record in records:
        text = f"{record.index}\0{record.format}\0{record.name}\0{record.data}\0"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _digest(parts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
