"""The plan of a campaign: chunks, shards, their keys and their cost; made before anything runs.

A plan is of one size, however many molecules there are: chunks and shards are computed from it.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osong.errors import CampaignError, ResourceError
from osong_workflows.cutting import Cut, choose_cut, given_cut
from osong_workflows.folder import write_atomically
from osong_workflows.pose_rescoring import BYTES_PER_RESCORER, rescoring_seconds
from osong_workflows.staging import StagedFile, StagedLibrary, read_staged
from osong_workflows.strategy import n_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osong.library import Record
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.settings import CampaignSettings

__all__ = [
    "BYTES_PER_FINGERPRINT",
    "BYTES_PER_PROCESS",
    "FILES_BESIDES",
    "FORMAT",
    "SECONDS_PER_MOLECULE",
    "Chunk",
    "Plan",
    "Shard",
    "bytes_per_molecule",
    "chunk_records",
    "make_plan",
    "process_bytes",
    "read_plan",
]

FORMAT: Final = 3
"""Raised when an older Osong could not go on with a newer folder, or the other way round."""

SECONDS_PER_MOLECULE: Final = {"score": 0.01, "fast": 0.32, "balanced": 1.0, "thorough": 2.2}
"""Core seconds with preparation, drug-like molecules, the machine of docs/performance.md."""
_BYTES_PER_ROW: Final = 300
_BYTES_PER_POSE: Final = 700
"""Measured on drug-like molecules (45 atoms with hydrogens), Zstandard."""
BYTES_PER_PROCESS: Final = 600 * 2**20
"""Before grid maps. Measured: 557 MiB while the kernels compile, 340 MiB after."""
BYTES_PER_FINGERPRINT: Final = 170
"""On the disk, with its SMILES: docs/active-learning.md."""
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
    n_coarse, fine_size
        Shards of chunks of that size, None for all; records in a chunk of the shards after those.
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

    format: Literal[3] = FORMAT
    n_records: int = Field(ge=1)
    chunk_size: int = Field(ge=1)
    shard_chunks: int = Field(ge=1)
    n_coarse: int | None = Field(default=None, ge=0)
    fine_size: int = Field(default=1, ge=1)
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
    def cut(self) -> Cut:
        """Where chunks and shards begin and end."""
        return _cut(
            self.n_records, self.chunk_size, self.shard_chunks, self.n_coarse, self.fine_size
        )

    @property
    def n_chunks(self) -> int:
        """How many units of work there are."""
        return self.cut.n_chunks

    @property
    def n_shards(self) -> int:
        """How many files there will be in ``parts/``."""
        return self.cut.n_shards

    def chunk(self, index: int) -> Chunk:
        """Return a chunk by its index."""
        _check_index("chunk", index, self.n_chunks)
        start = self.cut.start(index)
        n_records = self.cut.start(index + 1) - start
        return Chunk(index, start, n_records, self._key("chunk", start, n_records))

    def shard(self, index: int) -> Shard:
        """Return a shard by its index."""
        _check_index("shard", index, self.n_shards)
        return _shard(index, self.cut, self.settings_digest, self.library_digest)

    def shard_of(self, chunk: int) -> int:
        """Return the index of the shard of a chunk."""
        return self.cut.shard_of(chunk)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all chunks."""
        return (self.chunk(index) for index in range(self.n_chunks))

    def _key(self, kind: str, start: int, n_records: int) -> str:
        return _key(kind, self.settings_digest, self.library_digest, start, n_records)


# One for each plan: it remembers how many chunks and shards it makes.
_cut = functools.lru_cache(maxsize=256)(Cut)


# Every look at parts/ asks for all shards that are finished, thousands of them.
@functools.lru_cache(maxsize=16_384)
def _shard(index: int, cut: Cut, settings: str, library: str) -> Shard:
    """Return a shard of a plan that cuts its library so."""
    chunks = cut.chunks_of(index)
    start = cut.start(chunks.start)
    n_records = cut.start(chunks.stop) - start
    # A shard of one chunk is that chunk: its part needs no packing, and has its key.
    key = _key("chunk", settings, library, start, n_records)
    return Shard(index, chunks.start, len(chunks), start, n_records, key)


def _key(kind: str, settings: str, library: str, start: int, n_records: int) -> str:
    fields = (kind, settings, library, start, n_records)
    return blake2b(repr(fields).encode(), digest_size=16, person=b"osong-plan-2").hexdigest()


def _check_index(kind: str, index: int, stop: int) -> None:
    if not 0 <= index < stop:
        raise IndexError(f"{kind} {index}: the plan has {kind}s 0 to {stop - 1}")


def bytes_per_molecule(n_poses: int) -> int:
    """Return the disk that a molecule's row takes, estimated."""
    return _BYTES_PER_ROW + n_poses * _BYTES_PER_POSE


def process_bytes(grid_bytes: int, *, rescores: bool) -> int:
    """Return the memory that a docking process takes: kernels, grid maps, networks."""
    return BYTES_PER_PROCESS + grid_bytes + (BYTES_PER_RESCORER if rescores else 0)


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
    seconds += rescoring_seconds(settings.networks, settings.n_poses)
    cut = choose_cut(library.n_records, seconds, workers)
    if chunk_size is not None or shard_chunks is not None:
        cut = given_cut(library.n_records, chunk_size or cut.chunk_size, shard_chunks)
    parts_bytes = _n_docked(settings, library.n_records) * bytes_per_molecule(settings.n_poses)
    if settings.strategy is not None:
        parts_bytes += library.n_records * BYTES_PER_FINGERPRINT
    free = shutil.disk_usage(folder.path).free
    if parts_bytes > free:
        raise ResourceError(
            f"{folder.path}: the results need about {_gib(parts_bytes)} and the disk has "
            f"{_gib(free)} free; free space, choose another folder or fewer poses (n_poses)"
        )
    plan = Plan(
        n_records=library.n_records,
        chunk_size=cut.chunk_size,
        shard_chunks=cut.shard_chunks,
        n_coarse=cut.n_coarse,
        fine_size=cut.fine_size,
        settings_digest=settings.digest(),
        library_digest=library.digest,
        input_bytes=library.n_bytes,
        parts_bytes=parts_bytes,
        memory_bytes_per_worker=process_bytes(grid_bytes, rescores=bool(settings.networks)),
        n_files=0,
        input_files=library.files,
    )
    plan = plan.model_copy(update={"n_files": plan.n_shards + len(library.files) + FILES_BESIDES})
    write_atomically(folder.plan, (plan.model_dump_json(indent=1) + "\n").encode())
    return plan


def _n_docked(settings: CampaignSettings, n_records: int) -> int:
    """Return how many molecules of a library are docked."""
    if settings.strategy is None:
        return n_records
    return min(n_of(settings.strategy.budget, n_records), n_records)


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
