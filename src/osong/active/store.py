"""Fingerprints of a library, made once: a folder of Parquet shards and an index file.

Every record of the library is a row, one that has no fingerprint too, with its reason: the rows are
the ledger. A digest of the records as they stood in the library tells whether it is still the same.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from osong.active.feature_source import digest_next, records_of
from osong.active.fingerprints import FINGERPRINT, N_BYTES
from osong.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from osong.active.feature_source import FeatureSource

__all__ = [
    "GROUP",
    "INDEX_FILE",
    "SCHEMA",
    "VERSION",
    "FeatureBatch",
    "FeatureStore",
    "FeatureStoreShard",
    "file_digest",
]

INDEX_FILE: Final = "features.json"
VERSION: Final = 1
GROUP: Final = 8192
"""Molecules a row group, 4 MB of bits: what a reader holds at a time."""
SCHEMA: Final = pa.schema(
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
        path = folder / INDEX_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            version, recipe = content["version"], content["fingerprint"]
            shards = tuple(FeatureStoreShard(**row) for row in content["shards"])
        except FileNotFoundError:
            raise InputError(
                f"{folder}: there are no finished fingerprints here (no {INDEX_FILE}): make them "
                "with osong.active.write_features"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: is damaged: remove the folder and make the fingerprints anew"
            ) from error
        if (version, recipe) != (VERSION, FINGERPRINT):
            raise InputError(
                f"{path}: fingerprints '{recipe}' of version {version}, wanted '{FINGERPRINT}' of "
                f"version {VERSION}: remove the folder and make them anew"
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
        """Yield the molecules that have a fingerprint, some thousand at a time.

        Raises
        ------
        InputError
            Where a file cannot be read or is damaged.
        """
        columns = ["index", "fingerprint", *(["smiles"] if with_smiles else [])]
        for shard in self.shards:
            for table in _groups(self.folder, shard, columns):
                yield _batch(table, with_smiles)

    def take(self, indices: npt.NDArray[np.int64], *, with_smiles: bool = False) -> FeatureBatch:
        """Return the molecules at some positions of the library, in that order.

        Raises
        ------
        InputError
            Where one of them is not in the store or has no fingerprint, or a file is damaged.
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
                for table in _groups(self.folder, shard, ["index", "reason"]):
                    failed = table.filter(pa.compute.is_valid(table["reason"]))
                    yield from zip(
                        failed["index"].to_pylist(), failed["reason"].to_pylist(), strict=True
                    )

    def check(self) -> None:
        """Read every file once and compare its checksum.

        Raises
        ------
        InputError
            Where one was changed.
        """
        for shard in self.shards:
            path = self.folder / shard.file
            if file_digest(path) != shard.checksum:
                raise InputError(f"{path}: was changed or is damaged: make the fingerprints anew")

    def check_library(
        self, source: FeatureSource, *, step: Callable[[int], None] = lambda n: None
    ) -> None:
        """Compare a library with the one whose fingerprints these are.

        Parameters
        ----------
        source
            As for `osong.active.write_features`.
        step
            Hears, now and then, how many more records were compared.

        Raises
        ------
        InputError
            Where they differ; the message says from which record on.
        """
        records = records_of(source)
        begin = 0
        for shard in self.shards:
            digest = digest_next(records, shard.n_records, step)
            if digest.n != shard.n_records or digest.hex() != shard.digest:
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
                groups = np.unique(numbers // GROUP).tolist()
                for table in _groups(self.folder, shard, columns, groups):
                    yield _batch(table, with_smiles)
            begin += shard.n_records


def _groups(
    folder: Path,
    shard: FeatureStoreShard,
    columns: Sequence[str],
    groups: Sequence[int] | None = None,
) -> Iterator[pa.Table]:
    """Yield groups of rows of a file, all if none are named, comparing the checksum of each page.

    What describes the pages has no checksum; damage there shows in types or numbers of rows. Files
    from before pages had checksums are read without.
    """
    path = folder / shard.file
    with _readable(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    with file:
        if not file.schema_arrow.equals(SCHEMA) or file.metadata.num_rows != shard.n_records:
            raise _damaged(path, "other columns or rows than were written")
        for group in range(file.num_row_groups) if groups is None else groups:
            with _readable(path):
                table = file.read_row_group(group, columns=list(columns))
            if table.num_rows != min(GROUP, shard.n_records - GROUP * group):
                raise _damaged(path, "other rows than were written")
            yield table


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into an error that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path}: cannot be read ({why}): make the fingerprints anew")


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


def _digest(parts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the hash of a file's content."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
