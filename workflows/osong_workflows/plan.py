"""The plan of a campaign: chunks, shards, their keys and their cost; made before anything runs.

A plan is of one size, however many molecules there are: chunks and shards are computed from it.
"""

from __future__ import annotations

import functools
import math
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osong.errors import CampaignError, ResourceError
from osong_workflows.folder import write_atomically
from osong_workflows.staging import StagedFile, StagedLibrary, read_staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osong.library import Record
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.settings import CampaignSettings

__all__ = [
    "BYTES_PER_PROCESS",
    "FILES_BESIDES",
    "FORMAT",
    "SECONDS_PER_MOLECULE",
    "Chunk",
    "Plan",
    "Shard",
    "bytes_per_molecule",
    "choose_sizes",
    "chunk_records",
    "make_plan",
    "read_plan",
]

FORMAT: Final = 2
"""Raised when an older Osong could not go on with a newer folder, or the other way round."""

SECONDS_PER_MOLECULE: Final = {"score": 0.01, "fast": 0.32, "balanced": 1.0, "thorough": 2.2}
"""Core seconds with preparation, drug-like molecules, the machine of docs/performance.md."""
_CHUNK_S: Final = 240.0
"""What a killed run loses of each core, and what a warning before a time limit has to cover."""
_MAX_CHUNK: Final = 4096
_CHUNKS_PER_WORKER: Final = 4
"""So many chunks for each worker of a small library: the last ones even out the load."""
_SHARDS: Final = 512
"""Shards, and so files, of a campaign that is not huge: enough for dozens of pilots to share, and
to end at nearly the same time."""
_SHARD_RECORDS: Final = 131_072
"""Molecules in a shard at most, and so in a file: 7,630 files for 1e9."""
_BYTES_PER_ROW: Final = 300
_BYTES_PER_POSE: Final = 700
"""Measured on drug-like molecules (45 atoms with hydrogens), Zstandard."""
BYTES_PER_PROCESS: Final = 600 * 2**20
"""Before grid maps. Measured: 557 MiB while the kernels compile, 340 MiB after."""
FILES_BESIDES: Final = 8
"""campaign.toml, plan.json, target, lock, a log and a file of the pilot, two of outputs."""


@dataclass(frozen=True)
class Chunk:
    """A run of records that is docked as one unit of work.

    Attributes
    ----------
    index
        Position in the plan.
    start, n_records
        Which records.
    key
        Hash of everything that its part depends on, in hexadecimal.
    """

    index: int
    start: int
    n_records: int
    key: str


@dataclass(frozen=True)
class Shard:
    """Consecutive chunks that one pilot claims and that end up in one file.

    Attributes
    ----------
    index
        Position in the plan.
    first_chunk, n_chunks
        Which chunks.
    start, n_records
        Which records.
    key
        Hash of everything that its part depends on, in hexadecimal.
    """

    index: int
    first_chunk: int
    n_chunks: int
    start: int
    n_records: int
    key: str

    @property
    def chunks(self) -> range:
        """Indices of its chunks."""
        return range(self.first_chunk, self.first_chunk + self.n_chunks)


class Plan(BaseModel):
    """All chunks and shards of a campaign and what they will cost.

    Attributes
    ----------
    n_records
        Molecules of the library.
    chunk_size
        Records in a chunk; the last one may have fewer.
    shard_chunks
        Chunks in a shard; the last one may have fewer.
    settings_digest
        Hash of the settings that the chunks were made for.
    library_digest
        Hash of the library's records, in order.
    input_files
        The library's records in the campaign folder.
    input_bytes, parts_bytes
        Disk: measured, and estimated.
    memory_bytes_per_worker
        Estimated.
    n_files
        Files in the finished folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2] = FORMAT
    n_records: int = Field(ge=1)
    chunk_size: int = Field(ge=1)
    shard_chunks: int = Field(ge=1)
    settings_digest: str
    library_digest: str
    input_bytes: int
    parts_bytes: int
    memory_bytes_per_worker: int
    n_files: int
    input_files: tuple[StagedFile, ...]

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name the campaign, the same for the same request."""
        return self._key("campaign", 0, self.n_records)[:16]

    @property
    def n_chunks(self) -> int:
        """How many units of work there are."""
        return math.ceil(self.n_records / self.chunk_size)

    @property
    def n_shards(self) -> int:
        """How many files there will be in ``parts/``."""
        return math.ceil(self.n_chunks / self.shard_chunks)

    @property
    def shard_records(self) -> int:
        """Records in a shard; the last one may have fewer."""
        return self.chunk_size * self.shard_chunks

    def chunk(self, index: int) -> Chunk:
        """Return a chunk by its index."""
        _check_index("chunk", index, self.n_chunks)
        start = index * self.chunk_size
        n_records = min(self.chunk_size, self.n_records - start)
        return Chunk(index, start, n_records, self._key("chunk", start, n_records))

    def shard(self, index: int) -> Shard:
        """Return a shard by its index."""
        _check_index("shard", index, self.n_shards)
        sizes = (self.n_records, self.chunk_size, self.shard_chunks)
        return _shard(index, sizes, self.settings_digest, self.library_digest)

    def shard_of(self, chunk: int) -> int:
        """Return the index of the shard of a chunk."""
        return chunk // self.shard_chunks

    def chunks(self) -> Iterator[Chunk]:
        """Yield all chunks."""
        return (self.chunk(index) for index in range(self.n_chunks))

    def _key(self, kind: str, start: int, n_records: int) -> str:
        return _key(kind, self.settings_digest, self.library_digest, start, n_records)


# Every look at parts/ asks for all shards that are finished, thousands of them.
@functools.lru_cache(maxsize=16_384)
def _shard(index: int, sizes: tuple[int, int, int], settings: str, library: str) -> Shard:
    """Return a shard of a plan of these sizes: records, records in a chunk, chunks in a shard."""
    all_records, chunk_size, shard_chunks = sizes
    first = index * shard_chunks
    start = first * chunk_size
    n_records = min(chunk_size * shard_chunks, all_records - start)
    # A shard of one chunk is that chunk: its part needs no packing, and has its key.
    key = _key("chunk", settings, library, start, n_records)
    return Shard(index, first, math.ceil(n_records / chunk_size), start, n_records, key)


def _key(kind: str, settings: str, library: str, start: int, n_records: int) -> str:
    fields = (kind, settings, library, start, n_records)
    return blake2b(repr(fields).encode(), digest_size=16, person=b"osong-plan-2").hexdigest()


def _check_index(kind: str, index: int, stop: int) -> None:
    if not 0 <= index < stop:
        raise IndexError(f"{kind} {index}: the plan has {kind}s 0 to {stop - 1}")


def choose_sizes(n_records: int, seconds_per_molecule: float, workers: int) -> tuple[int, int]:
    """Return molecules in a chunk and chunks in a shard.

    Chunks are work for every worker of a small library and minutes of work of a large one; shards
    are few enough to keep files few, and small enough to be shared out.

    Examples
    --------
    >>> choose_sizes(100, 0.32, workers=2), choose_sizes(100_000, 0.32, workers=2)
    ((13, 1), (750, 1))
    >>> choose_sizes(1_000_000_000, 0.32, workers=10_000)
    (750, 174)
    """
    even = math.ceil(n_records / (workers * _CHUNKS_PER_WORKER))
    minutes = min(max(1, int(_CHUNK_S / seconds_per_molecule)), _MAX_CHUNK)
    chunk_size = max(1, min(even, minutes))
    n_chunks = math.ceil(n_records / chunk_size)
    largest = max(1, _SHARD_RECORDS // chunk_size)
    return chunk_size, min(math.ceil(n_chunks / _SHARDS), largest)


def bytes_per_molecule(n_poses: int) -> int:
    """Return the disk that a molecule's row takes, estimated."""
    return _BYTES_PER_ROW + n_poses * _BYTES_PER_POSE


def make_plan(
    folder: CampaignFolder,
    settings: CampaignSettings,
    library: StagedLibrary,
    *,
    workers: int,
    chunk_size: int | None = None,
    shard_chunks: int | None = None,
    grid_bytes: int = 0,
) -> Plan:
    """Cut the staged library into chunks and shards, check the disk and write ``plan.json``.

    Raises
    ------
    ResourceError
        The results would not fit on the disk.
    """
    seconds = SECONDS_PER_MOLECULE.get(settings.effort, SECONDS_PER_MOLECULE["fast"])
    size, in_shard = choose_sizes(library.n_records, seconds, workers)
    if chunk_size is not None:
        n_chunks = math.ceil(library.n_records / chunk_size)
        size, in_shard = chunk_size, math.ceil(n_chunks / _SHARDS)
    parts_bytes = library.n_records * bytes_per_molecule(settings.n_poses)
    free = shutil.disk_usage(folder.path).free
    if parts_bytes > free:
        raise ResourceError(
            f"{folder.path}: the results need about {_gib(parts_bytes)} and the disk has "
            f"{_gib(free)} free; free space, choose another folder or fewer poses (n_poses)"
        )
    plan = Plan(
        n_records=library.n_records,
        chunk_size=size,
        shard_chunks=shard_chunks or in_shard,
        settings_digest=settings.digest(),
        library_digest=library.digest,
        input_bytes=library.n_bytes,
        parts_bytes=parts_bytes,
        memory_bytes_per_worker=BYTES_PER_PROCESS + grid_bytes,
        n_files=0,
        input_files=library.files,
    )
    plan = plan.model_copy(update={"n_files": plan.n_shards + len(library.files) + FILES_BESIDES})
    write_atomically(folder.plan, (plan.model_dump_json(indent=1) + "\n").encode())
    return plan


def read_plan(folder: CampaignFolder) -> Plan:
    """Read ``plan.json``.

    Raises
    ------
    CampaignError
        It is missing (the campaign was stopped before it began), damaged, or of another version.
    """
    try:
        return Plan.model_validate_json(folder.plan.read_bytes())
    except FileNotFoundError as error:
        raise CampaignError(
            f"{folder.path}: the campaign was stopped while its library was read; run osong "
            "screen with the same library and folder again"
        ) from error
    except ValidationError as error:
        problems = error.errors()
        formats = [p["input"] for p in problems if p["loc"] == ("format",)]
        if formats:
            raise CampaignError(
                f"{folder.plan}: has format {formats[0]} and this Osong reads format {FORMAT}; "
                "continue the campaign with the version of Osong that made it"
            ) from error
        raise _unreadable(folder, problems[0]["msg"]) from error
    except OSError as error:
        raise _unreadable(folder, str(error)) from error


def _unreadable(folder: CampaignFolder, reason: str) -> CampaignError:
    return CampaignError(
        f"{folder.plan}: cannot be read ({reason}); start the campaign again in a new folder"
    )


def chunk_records(folder: CampaignFolder, plan: Plan, chunk: Chunk) -> Iterator[Record]:
    """Yield a chunk's records; no more than a row group of them is in memory.

    Raises
    ------
    CampaignError
        There are fewer than there should be, or their file is damaged.
    """
    n_read = 0
    for record in read_staged(folder.input, plan.input_files, chunk.start, chunk.n_records):
        yield record
        n_read += 1
    if n_read != chunk.n_records:
        raise CampaignError(
            f"{folder.input}: chunk {chunk.index} has {n_read} records instead of "
            f"{chunk.n_records}; files are missing: start the campaign again in a new folder"
        )


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
