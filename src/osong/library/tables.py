"""Records of tables: CSV, TSV and Parquet, one molecule a row."""

from __future__ import annotations

import csv
import shutil
from collections import deque
from contextlib import contextmanager
from itertools import chain, islice
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final

from rdkit import Chem, rdBase

from osong.errors import InputError
from osong.library.columns import Column, find_columns, is_smiles_header
from osong.library.record import Piece
from osong.library.streams import decode, open_binary, strip_compression

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["count_parquet", "split_parquet", "split_table", "table_delimiter"]

_DELIMITERS: Final = (",", "\t", ";")
_ROW_LINES: Final = 20
"""A quoted cell spans at most this many lines; a quote left open longer is a stray one."""
_SNIFFED_ROWS: Final = 50
_BATCH_ROWS: Final = 8192
_COPY_BYTES: Final = 1 << 20

Row = tuple[int, list[str]]
"""Line number and cells."""


def table_delimiter(line: str) -> str | None:
    """Return the delimiter of a table from its header line, None where it is no table header."""
    for delimiter in _DELIMITERS:
        cells = line.lstrip("#").split(delimiter)
        if len(cells) > 1 and any(is_smiles_header(cell) for cell in cells):
            return delimiter
    return None


def split_table(
    lines: Iterator[bytes],
    path: Path,
    delimiter: str,
    smiles_column: Column | None = None,
    name_column: Column | None = None,
) -> Iterator[Piece]:
    """Yield one piece a row of a CSV or TSV file; blank rows and comments are none."""
    rows = _rows(lines, delimiter)
    head = list(islice(rows, _SNIFFED_ROWS))
    while head and _is_comment(head[0][1]) and table_delimiter(delimiter.join(head[0][1])) is None:
        del head[0]
    if not head:
        return
    header = [head[0][1][0].lstrip("# "), *head[0][1][1:]]
    if _is_headerless([cells for _, cells in head], smiles_column):
        smiles = smiles_column if isinstance(smiles_column, int) else 0
        name: int | None = 1 if smiles == 0 else 0
        name = name_column if isinstance(name_column, int) else name
    else:
        smiles, name = find_columns(header, str(path), smiles_column, name_column)
        del head[0]
    for number, cells in chain(head, rows):
        if _is_comment(cells) and (smiles == 0 or len(cells) <= smiles):
            continue
        yield Piece(
            str(number),
            cells[name].strip() if name is not None and name < len(cells) else "",
            cells[smiles].strip() if smiles < len(cells) else "",
        )


def _is_comment(cells: Sequence[str]) -> bool:
    return cells[0].startswith("#")


def _is_headerless(rows: Sequence[Sequence[str]], smiles_column: Column | None) -> bool:
    """Tell whether a table starts with data: no heading, and mostly SMILES in the column."""
    if isinstance(smiles_column, str):
        return False
    if any(is_smiles_header(cell.lstrip("# ")) for cell in rows[0]):
        return False
    column = smiles_column or 0
    cells = [row[column].strip() if column < len(row) else "" for row in rows]
    with rdBase.BlockLogs():
        n_parsed = sum(bool(c) and Chem.MolFromSmiles(c, sanitize=False) is not None for c in cells)
        starts_well = bool(cells[0]) and Chem.MolFromSmiles(cells[0], sanitize=False) is not None
    # A heading such as "CO" or "N" can be SMILES, a column of names or numbers cannot.
    return n_parsed * 2 > len(cells) and (starts_well or (n_parsed > 1 and len(rows) > 1))


def _rows(lines: Iterator[bytes], delimiter: str) -> Iterator[Row]:
    """Yield the rows that are not blank, each with the number of its first line.

    Quotes follow RFC 4180. A quote that is opened and not closed as a well-formed cell within
    `_ROW_LINES` lines is taken as a character, so that a stray quote costs its own row only.
    """
    numbered = ((i, decode(line)) for i, line in enumerate(lines, start=1))
    waiting: deque[tuple[int, str]] = deque()
    n_columns = 0
    while waiting or (waiting := deque(islice(numbered, 1))):
        number, line = waiting.popleft()
        cells = line.split(delimiter)
        if '"' in line:
            cells = _quoted_row(line, delimiter, n_columns, waiting, numbered) or cells
        n_columns = max(n_columns, len(cells))
        if any(cell and not cell.isspace() for cell in cells):
            yield number, cells


def _quoted_row(
    line: str,
    delimiter: str,
    n_columns: int,
    waiting: deque[tuple[int, str]],
    numbered: Iterator[tuple[int, str]],
) -> list[str] | None:
    """Return the cells of a row with quotes, taking from `waiting` the lines it goes on over."""
    for n_more in range(_ROW_LINES):
        if n_more > len(waiting):
            waiting.extend(islice(numbered, 1))
        if n_more > len(waiting):
            return None
        text = [line, *(later for _, later in islice(waiting, n_more))]
        reader = csv.reader((t + "\n" for t in text), delimiter=delimiter, strict=True)
        try:
            cells = next(reader)
        except csv.Error as error:
            if "unexpected end" in str(error):
                continue
            return None
        if n_more and n_columns and len(cells) != n_columns:
            return None
        for _ in range(n_more):
            waiting.popleft()
        return cells
    return None


def split_parquet(
    path: Path,
    smiles_column: Column | None = None,
    name_column: Column | None = None,
    start: int = 0,
) -> Iterator[Piece]:
    """Yield one piece a row of a Parquet file from row `start` on; earlier row groups stay unread.

    Raises
    ------
    InputError
        Where the file cannot be read or has no column of SMILES.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with _plain_parquet(path) as source, pq.ParquetFile(source) as file:
            names = file.schema_arrow.names
            smiles, name = find_columns(names, str(path), smiles_column, name_column)
            columns = [names[smiles]] + ([names[name]] if name is not None else [])
            row = 0
            groups: list[int] = []
            for group in range(file.num_row_groups):
                n_rows = file.metadata.row_group(group).num_rows
                if groups or row + n_rows > start:
                    groups.append(group)
                else:
                    row += n_rows
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns):
                for i, cells in enumerate(zip(*_texts(batch, columns), strict=True), start=row):
                    if i >= start:
                        yield Piece(str(i), cells[1] if len(cells) > 1 else "", cells[0])
                row += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from error


def count_parquet(path: Path) -> int:
    """Return the number of rows of a Parquet file, from its footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with _plain_parquet(path) as source:
            return int(pq.read_metadata(source).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from error


def _texts(batch: Any, columns: Sequence[str]) -> Iterator[list[str]]:
    """Yield the columns of a batch as text; a missing value is an empty text."""
    for column in columns:
        yield ["" if value is None else str(value).strip() for value in batch[column].to_pylist()]


@contextmanager
def _plain_parquet(path: Path) -> Iterator[Any]:
    """Give a Parquet file that can be sought in, unpacked to a temporary file where compressed."""
    if strip_compression(path) == path:
        yield str(path)
        return
    with TemporaryFile() as plain, open_binary(path) as packed:
        shutil.copyfileobj(packed, plain, _COPY_BYTES)
        plain.seek(0)
        yield plain
