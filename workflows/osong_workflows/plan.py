"""The plan of a campaign: its chunks, their hashes and their cost; made before anything runs."""

from __future__ import annotations

import math
import shutil
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from osong.errors import CampaignError, ResourceError
from osong_workflows.folder import write_atomically
from osong_workflows.staging import StagedFile, StagedLibrary, read_staged

if TYPE_CHECKING:
    from osong.library import Record
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.settings import CampaignSettings

__all__ = ["Chunk", "Plan", "choose_chunk_size", "chunk_records", "make_plan", "read_plan"]

_CHUNKS_PER_WORKER: Final = 4
"""So many chunks for each worker of a small library: the last ones even out the load."""
_MAX_CHUNK: Final = 512
"""Molecules in a chunk: some minutes to a quarter of an hour of one core at effort "fast"."""
_MAX_CHUNKS: Final = 8192
"""Chunks, and so parts, stay in the thousands; beyond four million molecules chunks grow."""
_BYTES_PER_ROW: Final = 300
_BYTES_PER_POSE: Final = 700
"""Measured on drug-like molecules (45 atoms with hydrogens), Zstandard."""
_BYTES_PER_PROCESS: Final = 600 * 2**20
"""Before grid maps. Measured: 557 MiB while the kernels compile, 340 MiB after."""
_FILES_BESIDES: Final = 5
"""campaign.toml, plan.json, target, lock, log."""


class Chunk(BaseModel):
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

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int
    start: int
    n_records: int
    key: str


class Plan(BaseModel):
    """All chunks of a campaign and what they will cost.

    Attributes
    ----------
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

    format: int = 1
    n_records: int
    n_chunks: int
    chunk_size: int
    settings_digest: str
    library_digest: str
    input_bytes: int
    parts_bytes: int
    memory_bytes_per_worker: int
    n_files: int
    input_files: tuple[StagedFile, ...]
    chunks: tuple[Chunk, ...]


def choose_chunk_size(n_records: int, workers: int) -> int:
    """Return molecules per chunk: work for all of few, minutes of work for many, bounded files.

    Examples
    --------
    >>> choose_chunk_size(100, workers=2), choose_chunk_size(100_000, workers=2)
    (13, 512)
    >>> choose_chunk_size(1_000_000_000, workers=2)
    122071
    """
    even = math.ceil(n_records / (workers * _CHUNKS_PER_WORKER))
    return max(1, min(even, _MAX_CHUNK), math.ceil(n_records / _MAX_CHUNKS))


def make_plan(
    folder: CampaignFolder,
    settings: CampaignSettings,
    library: StagedLibrary,
    *,
    workers: int,
    chunk_size: int | None = None,
    grid_bytes: int = 0,
) -> Plan:
    """Cut the staged library into chunks, check the disk and write ``plan.json``.

    Raises
    ------
    ResourceError
        The results would not fit on the disk.
    """
    size = chunk_size or choose_chunk_size(library.n_records, workers)
    chunks = _cut(folder, settings, library, size)
    parts_bytes = library.n_records * (_BYTES_PER_ROW + settings.n_poses * _BYTES_PER_POSE)
    free = shutil.disk_usage(folder.path).free
    if parts_bytes > free:
        raise ResourceError(
            f"{folder.path}: the results need about {_gib(parts_bytes)} and the disk has "
            f"{_gib(free)} free; free space, choose another folder or fewer poses (n_poses)"
        )
    plan = Plan(
        n_records=library.n_records,
        n_chunks=len(chunks),
        chunk_size=size,
        settings_digest=settings.digest(),
        library_digest=library.digest,
        input_bytes=library.n_bytes,
        parts_bytes=parts_bytes,
        memory_bytes_per_worker=_BYTES_PER_PROCESS + grid_bytes,
        n_files=len(chunks) + len(library.files) + _FILES_BESIDES,
        input_files=library.files,
        chunks=tuple(chunks),
    )
    write_atomically(folder.plan, (plan.model_dump_json(indent=1) + "\n").encode())
    return plan


def read_plan(folder: CampaignFolder) -> Plan:
    """Read ``plan.json``.

    Raises
    ------
    CampaignError
        It is missing (the campaign was stopped before it began) or damaged.
    """
    try:
        return Plan.model_validate_json(folder.plan.read_bytes())
    except FileNotFoundError as error:
        raise CampaignError(
            f"{folder.path}: the campaign was stopped while its library was read; run osong "
            "screen with the same library and folder again"
        ) from error
    except (OSError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise CampaignError(
            f"{folder.plan}: cannot be read ({reason}); start the campaign again in a new folder"
        ) from error


def chunk_records(folder: CampaignFolder, plan: Plan, chunk: Chunk) -> list[Record]:
    """Return a chunk's records."""
    records = list(read_staged(folder.input, plan.input_files, chunk.start, chunk.n_records))
    if len(records) != chunk.n_records:
        raise CampaignError(
            f"{folder.input}: chunk {chunk.index} has {len(records)} records instead of "
            f"{chunk.n_records}; files are missing: start the campaign again in a new folder"
        )
    return records


def _cut(
    folder: CampaignFolder, settings: CampaignSettings, library: StagedLibrary, size: int
) -> list[Chunk]:
    """Return the chunks, each with the hash of what its part depends on."""
    salt = settings.digest().encode()
    records = read_staged(folder.input, library.files, 0, library.n_records)
    chunks = []
    for index, start in enumerate(range(0, library.n_records, size)):
        n_records = min(size, library.n_records - start)
        digest = blake2b(salt, digest_size=16, person=b"osong-chunk-1")
        for _ in range(n_records):
            record = next(records)
            fields = (record.index, record.name, record.source, record.format, record.data)
            digest.update(repr(fields).encode())
        chunks.append(Chunk(index=index, start=start, n_records=n_records, key=digest.hexdigest()))
    return chunks


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
