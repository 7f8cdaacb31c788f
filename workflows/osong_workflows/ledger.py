"""The ledger: one row for every molecule, as a table, as a stream, and the proof that it is so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osong.errors import CampaignError
from osong_workflows.part_files import campaign_of, opened_part, read_groups, runs_of_groups
from osong_workflows.parts import LEDGER_COLUMNS, PART_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["LedgerCounts", "check_ledger", "iter_ledger", "ledger_table"]

_SCHEMA: Final = pa.schema([PART_SCHEMA.field(name) for name in LEDGER_COLUMNS])


@dataclass(frozen=True)
class LedgerCounts:
    """How many molecules ended how.

    Attributes
    ----------
    n_ok
        Molecules with poses.
    failures
        Molecules without, by the stage at which they failed.
    """

    n_ok: int
    failures: Counter[str]

    @property
    def n_failed(self) -> int:
        """Molecules without poses."""
        return self.failures.total()

    @property
    def n_records(self) -> int:
        """All molecules."""
        return self.n_ok + self.n_failed


def ledger_table(parts: Iterable[Path]) -> pa.Table:
    """Return one row for every molecule of the parts, in the library's order, without poses.

    All of it is in memory: some hundred bytes a molecule. `iter_ledger` streams.

    Raises
    ------
    CampaignError
        A molecule is there twice, or rows are neither ok nor failed.
    """
    parts = list(parts)
    tables = [table for part in parts for table in _tables(part, LEDGER_COLUMNS)]
    table = pa.concat_tables([_SCHEMA.empty_table(), *tables]).sort_by("index")
    counts = _value_counts(table["status"])
    n_different = len(table) - int(np.count_nonzero(np.diff(table["index"].to_numpy()) == 0))
    if not counts["ok"] + counts["failed"] == n_different == len(table):
        raise CampaignError(
            f"{len(table)} rows for {n_different} molecules, {counts['ok']} ok and "
            f"{counts['failed']} failed: the parts do not add up; run: osong resume{_of(parts)} "
            "--verify"
        )
    return table


def iter_ledger(parts: Iterable[Path]) -> Iterator[pa.Table]:
    """Yield the ledger in the library's order, some ten thousand rows at a time, without poses.

    Parameters
    ----------
    parts
        Sorted by their first molecule.
    """
    for part in parts:
        yield from _tables(part, LEDGER_COLUMNS)


def check_ledger(parts: Iterable[Path], n_records: int) -> LedgerCounts:
    """Prove that every molecule has exactly one row, and count them; memory is that of some rows.

    Parameters
    ----------
    parts
        Sorted by their first molecule: each has to go on where the one before it ended.
    n_records
        Molecules in the library.

    Raises
    ------
    CampaignError
        Molecules are missing or there twice, or a row is neither ok nor failed; the message names
        the part and the molecule.
    """
    n_ok = n_rows = 0
    failures: Counter[str] = Counter()
    part = None
    for part in parts:
        for table in _tables(part, ("index", "status", "stage")):
            n_rows += _check_numbers(part, table["index"].to_numpy(), n_rows)
            counts = _value_counts(table["status"])
            stages = _value_counts(table.filter(pc.equal(table["status"], "failed"))["stage"])
            if not counts["ok"] + counts["failed"] == counts["ok"] + stages.total() == len(table):
                raise CampaignError(
                    f"{part}: has rows that are neither ok nor failed{_aside(part)}"
                )
            n_ok += counts["ok"]
            failures += stages
    if n_rows != n_records:
        raise CampaignError(
            f"{n_rows} of {n_records} molecules have a row; run: osong resume{_of([part])}, which "
            "docks the rest"
        )
    return LedgerCounts(n_ok, failures)


def _of(parts: Sequence[Path | None]) -> str:
    """Return the campaign's folder as a command has it, "" where there is no part."""
    return f" {campaign_of(parts[0])}" if parts and parts[0] else ""


def _aside(part: Path) -> str:
    """Return what to do about a part that is wrong."""
    return f"; run: osong resume{_of([part])} --verify"


def _check_numbers(part: Path, index: Any, first: int) -> int:
    """Check that molecules follow each other from the first on, and return how many they are."""
    wrong = np.flatnonzero(index != np.arange(first, first + len(index)))
    if len(wrong):
        found, expected = int(index[wrong[0]]), first + int(wrong[0])
        what = "is there twice" if found < expected else f"is missing before {found}"
        which = found if found < expected else expected
        raise CampaignError(f"{part}: molecule {which} {what}{_aside(part)}")
    return len(index)


def _tables(part: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield some columns of a part, some row groups at a time."""
    with opened_part(part) as file:
        for groups in runs_of_groups(file, range(file.num_row_groups)):
            yield read_groups(file, groups, columns)


def _value_counts(column: pa.ChunkedArray) -> Counter[str]:
    """Return how often each text is in a column; what has none is not counted."""
    pairs = pc.value_counts(column.drop_null())
    return Counter(
        dict(zip(pairs.field("values").to_pylist(), pairs.field("counts").to_pylist(), strict=True))
    )
