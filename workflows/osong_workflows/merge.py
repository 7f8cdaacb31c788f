"""From parts to results: the ledger, the best molecules, poses."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from osong.errors import CampaignError
from osong_workflows.parts import LEDGER_COLUMNS, PART_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["best_molecules", "find_by_name", "ledger_table", "pose_rows"]

_RANKED_COLUMNS: Final = (
    "index",
    "name",
    "energy",
    "smiles",
    "n_heavy",
    "n_variants",
    "source",
    "format",
    "input",
)
_ORDER: Final = [("energy", "ascending"), ("name", "ascending"), ("index", "ascending")]
"""Ties in energy go by name, so that the order of the library does not decide."""
_CUT_ROWS: Final = 20_000
"""Rows gathered before all but the best are let go; about ten megabytes."""


def ledger_table(parts: Iterable[Path]) -> pa.Table:
    """Return one row for every molecule of the parts, in the library's order, without poses.

    Raises
    ------
    CampaignError
        A molecule is there twice, or rows are neither ok nor failed.
    """
    tables = [_read(part, LEDGER_COLUMNS) for part in parts]
    schema = pa.schema([PART_SCHEMA.field(name) for name in LEDGER_COLUMNS])
    table = pa.concat_tables(tables).sort_by("index") if tables else schema.empty_table()
    counts = Counter(table["status"].to_pylist())
    n_different = pc.count_distinct(table["index"]).as_py()
    if not counts["ok"] + counts["failed"] == n_different == len(table):
        raise CampaignError(
            f"{len(table)} rows for {n_different} molecules, {counts['ok']} ok and "
            f"{counts['failed']} failed: the parts do not add up; run: osong resume"
        )
    return table


def best_molecules(parts: Iterable[Path], n: int | None) -> pa.Table:
    """Return the ``n`` molecules of lowest energy, best first; None: all that docked.

    Memory is that of one part and twice ``n`` rows.
    """
    gathered = pa.schema([PART_SCHEMA.field(name) for name in _RANKED_COLUMNS]).empty_table()
    for part in parts:
        table = _read(part, _RANKED_COLUMNS)
        gathered = pa.concat_tables([gathered, table.filter(pc.is_valid(table["energy"]))])
        if n is not None and len(gathered) > max(_CUT_ROWS, 2 * n):
            gathered = _best(gathered, n)
    return _best(gathered, n)


def find_by_name(parts: Iterable[Path], name: str) -> list[int]:
    """Return the numbers of the molecules of that name; names may repeat."""
    found: list[int] = []
    for part in parts:
        table = _read(part, ("index", "name"))
        found += table.filter(pc.equal(table["name"], name))["index"].to_pylist()
    return sorted(found)


def pose_rows(part: Path, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield whole rows, poses included, of some molecules of a part.

    Row groups without any of them are not read.
    """
    wanted = pa.array(indices, pa.int64())
    with pq.ParquetFile(part) as file:
        for group in range(file.num_row_groups):
            numbers = file.read_row_group(group, columns=["index"], use_threads=False)["index"]
            mask = pc.is_in(numbers, value_set=wanted)
            if pc.any(mask).as_py():
                yield from file.read_row_group(group, use_threads=False).filter(mask).to_pylist()


def _best(table: pa.Table, n: int | None) -> pa.Table:
    table = table.sort_by(_ORDER)
    return table if n is None else table.slice(0, n)


def _read(part: Path, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a part."""
    try:
        # Not read_table, which would make folders named key=value into columns.
        with pq.ParquetFile(part) as file:
            return file.read(columns=list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise CampaignError(
            f"{part}: the part is damaged ({error}); run: osong resume {part.parent.parent}"
        ) from error
