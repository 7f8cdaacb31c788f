"""Packing: the parts of a shard's chunks become one file, the same bytes whoever does it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import OsongError
from osong_workflows.part_names import (
    chunk_parts,
    finished_shards,
    part_backends,
    part_counts,
    part_problem,
    set_aside,
)
from osong_workflows.parts import PART_SCHEMA, RESCORED_SCHEMA, PartFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Plan, Shard

__all__ = ["Packed", "check_chunk_parts", "pack_shard"]

_ROWS_PER_GROUP: Final = 8192
"""Footers stay small (a status of 1e9 molecules reads 8,616 of them); 20 MB in memory."""


@dataclass(frozen=True)
class Packed:
    """What packing found.

    Attributes
    ----------
    damaged
        Parts that were set aside: (part, where it is now, why).
    missing
        Chunks without a valid part; while there are any, nothing is packed.
    """

    damaged: tuple[tuple[str, str, str], ...] = ()
    missing: tuple[int, ...] = ()


def pack_shard(
    folder: CampaignFolder, plan: Plan, index: int, pilot: str, scratch: Path | None = None
) -> Packed:
    """Join the parts of a shard to one file and remove them; safe to do twice, by whomever.

    Every part is checked before, byte by byte: what is damaged is set aside and named.
    """
    shard = plan.shard(index)
    place = folder.shard_parts(index)
    if index in finished_shards(folder, plan):
        shutil.rmtree(place, ignore_errors=True)
        return Packed()
    valid, damaged = check_chunk_parts(folder, plan, index)
    missing = tuple(chunk for chunk in shard.chunks if chunk not in valid)
    if not missing:
        try:
            _join(folder, shard, [valid[chunk] for chunk in shard.chunks], pilot, scratch)
        except (OSError, OsongError):
            missing = tuple(chunk for chunk, path in valid.items() if not path.exists())
            if not missing and index not in finished_shards(folder, plan):
                raise
    if missing and index not in finished_shards(folder, plan):
        return Packed(damaged, missing)
    # By this pilot, or by another one that thought this shard its own.
    shutil.rmtree(place, ignore_errors=True)
    return Packed(damaged)


def _join(
    folder: CampaignFolder, shard: Shard, paths: list[Path], pilot: str, scratch: Path | None
) -> None:
    """Write the rows of some parts into one."""
    n_ok, failures, backends = 0, Counter[str](), Counter[str]()
    for path in paths:
        ok, failed = part_counts(path)
        n_ok += ok
        failures += failed
        backends += part_backends(path)
    schema = _schema_of(paths[0])
    with PartFile(folder.parts, shard, pilot, scratch, schema) as file:
        for table in _groups(paths, schema):
            file.write(table)
        file.finish(n_ok, failures, backends)


def check_chunk_parts(
    folder: CampaignFolder, plan: Plan, index: int
) -> tuple[dict[int, Path], tuple[tuple[str, str, str], ...]]:
    """Return a shard's whole parts by chunk, and what was damaged and is set aside now."""
    valid: dict[int, Path] = {}
    damaged = []
    for chunk, path in chunk_parts(folder, plan, plan.shard(index)).items():
        try:
            problem = part_problem(path, plan.chunk(chunk))
        except FileNotFoundError:
            # Another pilot has packed the shard, or set the part aside, meanwhile.
            continue
        if problem is None:
            valid[chunk] = path
            continue
        moved = set_aside(folder, path)
        if moved is not None:
            damaged.append((str(path), str(moved), problem))
    return valid, tuple(damaged)


def _schema_of(part: Path) -> pa.Schema:
    """Return the columns of a campaign's parts."""
    is_rescored = "cnn_score" in pq.read_schema(part).names
    return RESCORED_SCHEMA if is_rescored else PART_SCHEMA


def _groups(paths: list[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of all parts in order, in tables of the packed size.

    Where rows are cut depends on their number alone, so the bytes of the packed file do too.
    """
    waiting: list[pa.Table] = []
    n_waiting = 0
    for path in paths:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                while n_waiting + len(table) >= _ROWS_PER_GROUP:
                    taken = _ROWS_PER_GROUP - n_waiting
                    yield _joined([*waiting, table.slice(0, taken)], schema)
                    table, waiting, n_waiting = table.slice(taken), [], 0
                if len(table):
                    waiting.append(table)
                    n_waiting += len(table)
    if waiting:
        yield _joined(waiting, schema)


def _joined(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    # One chunk a column, so that how the rows came in pieces leaves no trace in the file's pages.
    return pa.concat_tables(tables).cast(schema).combine_chunks()
