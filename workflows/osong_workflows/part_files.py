"""Reading parts: checksums of pages are verified, and damage is one line that says what to do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["campaign_of", "groups_that_may", "opened_part", "read_groups", "runs_of_groups"]

_ROWS_AT_ONCE: Final = 32_768
"""Rows read with one call: row groups of a chunk's part may be small, and a call costs some
hundred microseconds."""


@contextlib.contextmanager
def opened_part(part: Path) -> Iterator[pq.ParquetFile]:
    """Open a part; errors while it is read are turned into one line.

    Raises
    ------
    CampaignError
        The part is gone, or it is damaged; the message names it and the remedy.
    """
    try:
        # Not read_table, which would make folders named key=value into columns.
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError as error:
        raise CampaignError(
            f"{part}: is gone; it was packed with others or set aside meanwhile: run the same "
            "command again"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise CampaignError(
            f"{part}: the part is damaged ({error}); run: osong resume {campaign_of(part)} --verify"
        ) from error


def groups_that_may(
    file: pq.ParquetFile, column: str, test: Callable[[Any, Any], bool]
) -> list[int]:
    """Return the row groups whose least and greatest value of a column pass a test.

    Row groups without such statistics are among them.
    """
    metadata = file.metadata
    leaves = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    leaf = leaves.index(column)
    groups = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(leaf).statistics
        is_told = statistics is not None and statistics.has_min_max
        if not is_told or test(statistics.min, statistics.max):
            groups.append(group)
    return groups


def runs_of_groups(file: pq.ParquetFile, groups: Iterable[int]) -> Iterator[list[int]]:
    """Cut a list of row groups so that each piece has no more rows than are read at once."""
    run: list[int] = []
    n_rows = 0
    for group in groups:
        rows = file.metadata.row_group(group).num_rows
        if run and n_rows + rows > _ROWS_AT_ONCE:
            yield run
            run, n_rows = [], 0
        run.append(group)
        n_rows += rows
    if run:
        yield run


def read_groups(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
    """Return some columns of some row groups, in the order asked for."""
    names = list(columns)
    return file.read_row_groups(list(groups), columns=names, use_threads=False).select(names)


def campaign_of(part: Path) -> Path:
    """Return the campaign's folder: parts of a shard under way lie one folder deeper."""
    folders = [folder.parent for folder in part.parents if folder.name == "parts"]
    return folders[0] if folders else part.parent
