"""The results of an active campaign's rounds as one: molecules have their library's positions."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from osong_workflows.merge import find_by_name, is_of_energy
from osong_workflows.parts import LEDGER_COLUMNS, PART_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from osong_workflows.active_rounds import ActiveRounds, Library
    from osong_workflows.campaign import Campaign
    from osong_workflows.merge import RankBy

__all__ = [
    "FINGERPRINT",
    "RoundResults",
    "ranked_of",
    "relation_of",
    "rows_of_rounds",
    "unread_rows",
]

FINGERPRINT = "fingerprint"
"""Stage of molecules of which no fingerprint can be made: no strategy can choose them."""


@dataclass(frozen=True)
class RoundResults:
    """The results of one round.

    Attributes
    ----------
    campaign
        Its campaign, which numbers its molecules from 0.
    numbers
        (n,) int64, rising: their positions in the library.
    """

    campaign: Campaign
    numbers: npt.NDArray[np.int64]

    def of_library(self, table: pa.Table) -> pa.Table:
        """Return rows of the round with the library's positions."""
        numbers = pa.array(self.numbers[table["index"].to_numpy()], pa.int64())
        return table.set_column(table.schema.get_field_index("index"), "index", numbers)

    def of_round(self, table: pa.Table) -> pa.Table:
        """Return those rows that are of this round, with its own positions."""
        index = table["index"].to_numpy()
        mine = np.isin(index, self.numbers)
        numbers = pa.array(np.searchsorted(self.numbers, index[mine]), pa.int64())
        table = table.filter(pa.array(mine))
        return table.set_column(table.schema.get_field_index("index"), "index", numbers)

    def has(self, index: int) -> bool:
        """Return whether a molecule of the library is in this round, and done."""
        row = int(np.searchsorted(self.numbers, index))
        is_here = row < len(self.numbers) and int(self.numbers[row]) == index
        return is_here and self.campaign.has_row(row)

    def rows(self, indices: npt.NDArray[np.int64], n_poses: int | None) -> Iterator[dict[str, Any]]:
        """Yield the rows of those of some molecules (n,), rising, that are in this round."""
        wanted = np.searchsorted(self.numbers, indices[np.isin(indices, self.numbers)])
        for row in self.campaign.pose_rows(wanted, n_poses):
            yield row | {"index": int(self.numbers[row["index"]])}

    def named(self, name: str) -> list[int]:
        """Return the molecules of that name."""
        return self.numbers[find_by_name(self.campaign.results().paths, name)].tolist()


def rows_of_rounds(
    rounds: Sequence[RoundResults], indices: npt.NDArray[np.int64], n_poses: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of molecules of rising positions (n,); each round is read once."""
    streams = [one.rows(indices, n_poses) for one in rounds]
    yield from heapq.merge(*streams, key=lambda row: row["index"])


def ranked_of(rounds: Sequence[RoundResults], n: int | None, rank_by: RankBy) -> pa.Table:
    """Return the best molecules of all rounds, best first; None: all.

    Each round gives its best `n`. Ties go as within a campaign.
    """
    tables = [one.of_library(one.campaign.ranked(n, rank_by)) for one in rounds]
    best = pa.concat_tables(tables)
    is_energy = is_of_energy(rank_by)
    order = [(rank_by, "ascending" if is_energy else "descending")]
    ties = ("name", "index") if is_energy else ("energy", "name", "index")
    best = best.sort_by([*order, *((name, "ascending") for name in ties)])
    return best if n is None else best.slice(0, n)


def unread_rows(rounds: ActiveRounds, library: Library) -> pa.Table:
    """Return the ledger's rows of molecules without a fingerprint, which are never chosen."""
    schema = pa.schema([PART_SCHEMA.field(name) for name in LEDGER_COLUMNS])
    reasons = rounds.unread_reasons()
    numbers = np.array(sorted(reasons), dtype=np.int64)
    rows: list[dict[str, Any]] = []
    for number, record in zip(numbers.tolist(), library.picked(numbers), strict=True):
        rows.append(
            {
                "index": number,
                "name": record.name,
                "source": record.source,
                "format": record.format,
                "input": record.data,
                "status": "failed",
                "stage": FINGERPRINT,
                "reason": reasons[number],
                "n_variants": 0,
            }
        )
    return pa.Table.from_pylist(rows, schema)


def relation_of(rounds: Sequence[RoundResults]) -> Any:
    """Return a DuckDB relation over the parts of all rounds; None where there are none."""
    import duckdb

    connection = duckdb.connect()
    selects = []
    for k, one in enumerate(rounds):
        files: list[Path] = one.campaign.results().paths
        if not files:
            continue
        own = np.arange(len(one.numbers))
        connection.register(f"numbers_{k}", pa.table({"own": own, "number": one.numbers}))
        listed = ", ".join(_quoted(str(path)) for path in files)
        selects.append(
            f"SELECT p.* REPLACE (n.number AS index) FROM read_parquet([{listed}], "
            f'hive_partitioning = false) p JOIN numbers_{k} n ON n.own = p."index"'
        )
    return connection.sql(" UNION ALL ".join(selects)) if selects else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
