"""Parts: one Parquet file a chunk with a row for every molecule. The parts are the state.

A part's name holds its chunk's number, the chunk's key and the checksum of the file's own bytes,
so a part proves itself: no side file, no database.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError
from osong_workflows.folder import DiscardableFile, full_disk, sync_folder
from osong_workflows.outcome import DockedMolecule, FailedMolecule, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from osong.library import Record
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Chunk, Plan

__all__ = [
    "LEDGER_COLUMNS",
    "PART_SCHEMA",
    "PartWriter",
    "find_parts",
    "part_counts",
    "part_problem",
    "set_aside",
    "sweep",
    "sweep_damaged",
]

_POSE: Final = pa.struct(
    [
        ("energy", pa.float64()),
        ("inter", pa.float64()),
        ("intra", pa.float64()),
        ("variant", pa.int32()),
        ("conformer", pa.int32()),
        ("genotype", pa.list_(pa.float32())),
        ("smiles", pa.string()),
        ("coords", pa.list_(pa.float32())),
    ]
)

PART_SCHEMA: Final = pa.schema(
    [
        ("index", pa.int64()),
        ("name", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),
        ("input", pa.string()),
        ("status", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("n_variants", pa.int32()),
        ("notes", pa.list_(pa.string())),
        ("energy", pa.float64()),
        ("smiles", pa.string()),
        ("n_heavy", pa.int32()),
        ("properties", pa.string()),  # JSON: {name: value}; null for none
        ("poses", pa.list_(_POSE)),
    ]
)
"""A part's columns; energies in kcal/mol, coordinates in angstrom. Nothing in it depends on when,
where or by how many workers it was made."""

LEDGER_COLUMNS: Final = tuple(name for name in PART_SCHEMA.names if name != "poses")

_NAME: Final = re.compile(r"(\d{6,})-([0-9a-f]{16})-([0-9a-f]{32})\.parquet")
_ROWS_PER_GROUP: Final = 256
"""Rows held in memory before they go to the file: some megabytes."""


class PartWriter:
    """Writes one part; it appears whole at the end of the ``with`` block, or not at all.

    Raises
    ------
    osong.errors.ResourceError
        The disk is full; earlier parts stay.
    """

    def __init__(self, folder: CampaignFolder, chunk: Chunk) -> None:
        self._folder = folder
        self._chunk = chunk
        self._temporary = folder.parts / f".{chunk.index:06d}-{os.getpid()}.tmp"
        self._rows: list[dict[str, Any]] = []
        self.n_ok = 0
        self.failures: Counter[str] = Counter()

    @property
    def n_failed(self) -> int:
        """Molecules that failed so far."""
        return self.failures.total()

    def __enter__(self) -> PartWriter:
        """Open the temporary file."""
        with full_disk(self._folder.path):
            self._sink = DiscardableFile(self._temporary)
            self._writer = pq.ParquetWriter(
                self._sink, PART_SCHEMA, compression="zstd", compression_level=3
            )
        return self

    def add(self, record: Record, outcome: Outcome) -> None:
        """Take a molecule's outcome."""
        if isinstance(outcome, DockedMolecule):
            self.n_ok += 1
        else:
            self.failures[outcome.stage] += 1
        self._rows.append(_row(record, outcome))
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the part under its name, or remove what there is."""
        try:
            if error is None:
                self._finish()
        finally:
            if not self._sink.closed:
                self._sink.discard(self._writer)
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            with full_disk(self._folder.path):
                self._writer.write_table(pa.Table.from_pylist(self._rows, PART_SCHEMA))
            self._rows = []

    def _finish(self) -> None:
        """Check the counts, make the file durable and give it its name."""
        _check_counts(self._chunk, self.n_ok, self.n_failed)
        self._flush()
        with full_disk(self._folder.path):
            self._writer.add_key_value_metadata(
                {
                    "osong.ok": str(self.n_ok),
                    "osong.failed": json.dumps(self.failures, sort_keys=True),
                }
            )
            self._writer.close()
            self._sink.finish()
            name = f"{_prefix(self._chunk)}-{_checksum(self._temporary)}.parquet"
            self._temporary.rename(self._folder.parts / name)
            sync_folder(self._folder.parts)


def find_parts(folder: CampaignFolder, plan: Plan) -> dict[int, Path]:
    """Return the part of each finished chunk, by name only; nothing is read."""
    prefixes = {_prefix(chunk) for chunk in plan.chunks}
    parts: dict[int, Path] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(folder.parts), key=lambda entry: entry.name):
            match = _NAME.fullmatch(entry.name)
            if match and f"{match[1]}-{match[2]}" in prefixes:
                # Two parts of one chunk differ at most in what became of a molecule that one run
                # gave up for time; the first by name counts, always.
                parts.setdefault(int(match[1]), folder.parts / entry.name)
    return parts


def part_counts(part: Path) -> tuple[int, Counter[str]]:
    """Return how many molecules are ok, and how many failed at each stage, from a part's footer.

    Raises
    ------
    CampaignError
        The footer cannot be read.
    """
    try:
        metadata = pq.read_metadata(part).metadata or {}
        return int(metadata[b"osong.ok"]), Counter(json.loads(metadata[b"osong.failed"]))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise CampaignError(
            f"{part}: the part is damaged ({error}); run: osong resume {part.parent.parent}"
        ) from error


def part_problem(part: Path, chunk: Chunk) -> str | None:
    """Return what is wrong with a part, or None: checksum, counts and the molecules' numbers."""
    try:
        match = _NAME.fullmatch(part.name)
        if match is None or _checksum(part) != match[3]:
            return "its bytes are not those that were written"
        n_ok, failures = part_counts(part)
        _check_counts(chunk, n_ok, failures.total())
        with pq.ParquetFile(part) as file:
            index = file.read(columns=["index"], use_threads=False)["index"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        return f"it cannot be read ({error})"
    except CampaignError as error:
        return str(error)
    if index != list(range(chunk.start, chunk.start + chunk.n_records)):
        return "its molecules are not those of its chunk"
    return None


def set_aside(folder: CampaignFolder, part: Path) -> Path:
    """Move a damaged part out of the way and return where it is now."""
    with full_disk(folder.path):
        folder.damaged.mkdir(exist_ok=True)
        return part.rename(folder.damaged / part.name)


def sweep(folder: CampaignFolder) -> None:
    """Remove what killed runs left half-written; only under the lock."""
    for place in (folder.path, folder.parts):
        for leftover in place.glob(".*.tmp"):
            if leftover.is_file():
                leftover.unlink(missing_ok=True)


def sweep_damaged(
    folder: CampaignFolder, plan: Plan, tell: Callable[[Path, Path, str], None]
) -> dict[int, Path]:
    """Check every part, set damaged ones aside, and return the valid ones by chunk."""
    valid = {}
    for index, part in find_parts(folder, plan).items():
        problem = part_problem(part, plan.chunks[index])
        if problem is None:
            valid[index] = part
        else:
            tell(part, set_aside(folder, part), problem)
    return valid


def _check_counts(chunk: Chunk, n_ok: int, n_failed: int) -> None:
    """Check that as many molecules came out as went in."""
    if n_ok + n_failed != chunk.n_records:
        raise CampaignError(
            f"chunk {chunk.index}: {chunk.n_records} molecules went in and {n_ok} ok + {n_failed} "
            "failed came out; this is an error of Osong, please report it"
        )


def _prefix(chunk: Chunk) -> str:
    return f"{chunk.index:06d}-{chunk.key[:16]}"


def _checksum(path: Path) -> str:
    """Return the file's blake2b (16 bytes) in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _row(record: Record, outcome: Outcome) -> dict[str, Any]:
    """Return a molecule's row."""
    row: dict[str, Any] = {
        "index": record.index,
        "name": record.name,
        "source": record.source,
        "format": record.format,
        "input": record.data,
    }
    if isinstance(outcome, FailedMolecule):
        stage, reason = outcome.stage, _utf8(outcome.reason)
        return row | {"status": "failed", "stage": stage, "reason": reason, "n_variants": 0}
    return row | {
        "status": "ok",
        "n_variants": outcome.n_variants,
        "notes": [_utf8(note) for note in outcome.notes],
        "energy": outcome.poses[0].energy,
        "smiles": outcome.smiles,
        "n_heavy": outcome.n_heavy,
        "properties": json.dumps(dict(outcome.properties)) if outcome.properties else None,
        "poses": [
            {
                "energy": pose.energy,
                "inter": pose.inter,
                "intra": pose.intra,
                "variant": pose.variant,
                "conformer": pose.conformer,
                "genotype": pose.genotype,
                "smiles": pose.smiles,
                "coords": pose.coords.reshape(-1),
            }
            for pose in outcome.poses
        ],
    }


def _utf8(text: str) -> str:
    """Return a message without lone surrogates, which Parquet cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
