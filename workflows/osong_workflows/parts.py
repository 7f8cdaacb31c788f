"""Writing parts: one Parquet file a chunk or shard, with a row for every molecule."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError
from osong_workflows.cnn_columns import CNN_FIELDS, cnn_values
from osong_workflows.folder import DiscardableFile, full_disk, sync_folder
from osong_workflows.outcome import DockedMolecule, FailedMolecule, Outcome
from osong_workflows.part_names import part_name

if TYPE_CHECKING:
    from types import TracebackType

    from osong.library import Record
    from osong_workflows.part_names import Piece

__all__ = ["LEDGER_COLUMNS", "PART_SCHEMA", "RESCORED_SCHEMA", "PartFile", "PartWriter"]

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

RESCORED_SCHEMA: Final = pa.schema([*PART_SCHEMA, *CNN_FIELDS])
"""The same for a campaign whose poses networks score."""

LEDGER_COLUMNS: Final = tuple(name for name in PART_SCHEMA.names if name != "poses")

_ROWS_PER_GROUP: Final = 256
"""Rows held in memory before they go to the file: some megabytes."""


class PartFile:
    """A part on its way: under a temporary name until it is whole and durable.

    Parameters
    ----------
    place
        The folder that it is to stand in; made where it is not there.
    piece
        The chunk or shard that it is the result of.
    pilot
        Who works at it; in the temporary name, so that what a killed pilot left is known.
    scratch
        A folder on a local disk; the campaign's file system then sees one write of the whole file.
    schema
        Its columns.

    Raises
    ------
    osong.errors.ResourceError
        The disk is full; earlier parts stay.
    """

    def __init__(
        self,
        place: Path,
        piece: Piece,
        pilot: str,
        scratch: Path | None = None,
        schema: pa.Schema = PART_SCHEMA,
    ) -> None:
        self.schema = schema
        self._place = place
        self._piece = piece
        unique = f"{piece.index:06d}-{pilot}-{uuid.uuid4().hex[:8]}"
        self._temporary = place / f".{unique}.tmp"
        self._draft = self._temporary if scratch is None else scratch / f"osong-{unique}.tmp"

    def __enter__(self) -> PartFile:
        """Open the temporary file."""
        with full_disk(self._place):
            self._place.mkdir(parents=True, exist_ok=True)
        with full_disk(self._draft.parent):
            self._sink = DiscardableFile(self._draft)
            self._writer = pq.ParquetWriter(
                self._sink,
                self.schema,
                compression="zstd",
                compression_level=3,
                write_page_checksum=True,
            )
        return self

    def write(self, table: pa.Table) -> None:
        """Write rows as one row group."""
        with full_disk(self._draft.parent):
            self._writer.write_table(table, row_group_size=max(1, len(table)))

    def finish(self, n_ok: int, failures: Counter[str], backends: Counter[str]) -> Path:
        """Check the counts, make the file durable, give it its name, and return that.

        Parameters
        ----------
        n_ok
            Docked molecules.
        failures
            Failed ones, by stage.
        backends
            Docked ones, by where that was done.

        Raises
        ------
        CampaignError
            Not as many molecules came out as went in.
        """
        _check_counts(self._piece, n_ok, failures.total())
        with full_disk(self._draft.parent):
            self._writer.add_key_value_metadata(
                {
                    "osong.key": self._piece.key,
                    "osong.ok": str(n_ok),
                    "osong.failed": json.dumps(failures, sort_keys=True),
                    "osong.backends": json.dumps(backends, sort_keys=True),
                }
            )
            self._writer.close()
            self._sink.finish()
        with full_disk(self._place):
            final = self._place / part_name(self._piece, self._draft)
            # Whoever took this shard over may have packed it, and removed the folder, meanwhile.
            self._place.mkdir(parents=True, exist_ok=True)
            if self._draft != self._temporary:
                _copy_durably(self._draft, self._temporary)
            self._temporary.rename(final)
            sync_folder(self._place)
        return final

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what is not finished."""
        if not self._sink.closed:
            self._sink.discard(self._writer)
        for leftover in {self._draft, self._temporary}:
            with contextlib.suppress(FileNotFoundError):
                leftover.unlink()


class PartWriter:
    """Writes the part of one chunk, which appears at the end of the ``with`` block or not at all.

    Parameters
    ----------
    file
        The file, not yet opened.
    """

    def __init__(self, file: PartFile) -> None:
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self.n_ok = 0
        self.failures: Counter[str] = Counter()
        self._backends: Counter[str] = Counter()

    def __enter__(self) -> PartWriter:
        """Open the temporary file."""
        self._file.__enter__()
        return self

    def add(self, record: Record, outcome: Outcome) -> None:
        """Take a molecule's outcome."""
        if isinstance(outcome, DockedMolecule):
            self.n_ok += 1
            self._backends[outcome.backend] += 1
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
                self._flush()
                self._file.finish(self.n_ok, self.failures, self._backends)
        finally:
            self._file.__exit__(kind, error, trace)

    def _flush(self) -> None:
        if self._rows:
            self._file.write(pa.Table.from_pylist(self._rows, self._file.schema))
            self._rows = []


def _copy_durably(source: Path, target: Path) -> None:
    """Copy a file so that its bytes are on the disk when this returns."""
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 2**22)
        written.flush()
        os.fsync(written.fileno())


def _check_counts(piece: Piece, n_ok: int, n_failed: int) -> None:
    """Check that as many molecules came out as went in."""
    if n_ok + n_failed != piece.n_records:
        raise CampaignError(
            f"{type(piece).__name__.lower()} {piece.index}: {piece.n_records} molecules went in "
            f"and {n_ok} ok + {n_failed} failed came out; this is an error of Osong, please "
            "report it"
        )


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
        **(cnn_values(outcome.cnn) if outcome.cnn else {}),
    }


def _utf8(text: str) -> str:
    """Return a message without lone surrogates, which Parquet cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
