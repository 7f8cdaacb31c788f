"""Files of rescored poses: SDF with the scores as data items, CSV and Parquet; whole or not at all.

Beside an SDF or CSV file lies ``NAME.rescoring.json``, which says what the scores depend on; a
Parquet file has the same in its metadata.
"""

from __future__ import annotations

import csv
import json
import math
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rdkit import Chem

from osong.errors import InputError, ResourceError
from osong.library.writers import sdf_text, write_sdf_records
from osong.rescoring.stream import CnnScore
from osong.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from osong.rescoring.stream import RescoredRecord

__all__ = [
    "COLUMNS", "METADATA_KEY", "SD_FUSED", "SD_ITEMS", "check_output", "sd_values",
    "write_rescored",
]  # fmt: skip

COLUMNS: Final = (
    "index", "name", "cnn_score", "cnn_affinity", "cnn_vs", "cnn_variance", "fused", "reason",
)  # fmt: skip
"""Columns of a table of rescored poses; ``reason`` says why a pose has no scores."""
SD_ITEMS: Final = ("CNNscore", "CNNaffinity", "CNN_VS", "CNNaffinity_variance")
"""Data items of an SD file, named as GNINA names them."""
METADATA_KEY: Final = "osong.rescoring"
SD_FUSED: Final = "osong_fused"
"""Data item of the score that joins energy and networks."""
_FAILED: Final = "osong_failed"
_SUFFIXES: Final = (".sdf", ".sdf.gz", ".csv", ".parquet")
_ROWS_PER_GROUP: Final = 4096


class Describe(Protocol):
    """Says what scores depend on, when all poses are scored."""

    def __call__(self) -> Mapping[str, Any]:
        """Return plain values."""
        ...


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that could not be written, before time is spent on it.

    Raises
    ------
    InputError
        One line that says why.
    """
    if not path.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{path}: rescored poses are written as {', '.join(_SUFFIXES)}")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; give another --out, or --overwrite")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")


def write_rescored(rows: Iterable[RescoredRecord], path: Path, describe: Describe) -> list[Path]:
    """Write rescored poses in the format that the suffix names; return the files.

    Parameters
    ----------
    rows
        What ``rescore_records`` yields.
    path
        Ends in ``.sdf``, ``.sdf.gz``, ``.csv`` or ``.parquet``.
    describe
        Called at the end: networks, hashes, licence, notes.

    Raises
    ------
    ResourceError
        Where it cannot be written; what was there before stays as it was.
    """
    if path.name.lower().endswith(".parquet"):
        _write(_write_parquet, rows, path, describe)
        return [path]
    if path.name.lower().endswith(".csv"):
        _write(_write_csv, rows, path, describe)
    else:
        write_sdf_records(map(_sd_record, rows), path)
    beside = path.with_name(f"{path.name}.rescoring.json")
    write_whole(beside, json.dumps(describe(), indent=1, sort_keys=True) + "\n")
    return [path, beside]


def sd_values(score: CnnScore) -> dict[str, str]:
    """Return the data items of a pose."""
    values = (score.score, score.affinity, score.vs, score.variance)
    items = {item: f"{value:.6f}" for item, value in zip(SD_ITEMS, values, strict=True)}
    return items if math.isnan(score.fused) else items | {SD_FUSED: f"{score.fused:.6f}"}


def _sd_record(row: RescoredRecord) -> str:
    """Return the SD record of a pose; one without atoms for what could not be read."""
    mol = Chem.Mol() if row.mol is None else Chem.Mol(row.mol)
    for item in (*SD_ITEMS, SD_FUSED, _FAILED):
        mol.ClearProp(item)
    mol.SetProp("_Name", row.record.name)
    if isinstance(row.result, str):
        mol.SetProp(_FAILED, row.result)
    else:
        for item, value in sd_values(row.result).items():
            mol.SetProp(item, value)
    return sdf_text(mol)


def _values(row: RescoredRecord) -> dict[str, Any]:
    """Return a row of a table."""
    known: dict[str, Any] = {"index": row.record.index, "name": row.record.name}
    if isinstance(row.result, str):
        return dict.fromkeys(COLUMNS) | known | {"reason": row.result}
    score = row.result
    return dict.fromkeys(COLUMNS) | known | {
        "cnn_score": score.score,
        "cnn_affinity": score.affinity,
        "cnn_vs": score.vs,
        "cnn_variance": score.variance,
        "fused": None if math.isnan(score.fused) else score.fused,
    }  # fmt: skip


def _write_csv(rows: Iterable[RescoredRecord], path: Path, _: Describe) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _text(value) for key, value in _values(row).items()})


def _text(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else ""
    return value


def _write_parquet(rows: Iterable[RescoredRecord], path: Path, describe: Describe) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"index": pa.int64(), "name": pa.string(), "reason": pa.string()}
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS])
    waiting: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows:
            waiting.append(_values(row))
            if len(waiting) >= _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema))
        writer.add_key_value_metadata({METADATA_KEY: json.dumps(describe(), sort_keys=True)})


def _write(
    write: Callable[[Iterable[RescoredRecord], Path, Describe], None],
    rows: Iterable[RescoredRecord],
    path: Path,
    describe: Describe,
) -> None:
    with _whole(path) as temporary:
        write(rows, temporary, describe)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary file that gets its name when all went well."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror or error}): free some space or choose "
            "another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
