"""Markdown tables, written into documents between their markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["markdown_table", "write_table"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; numbers are right-aligned, floats keep three digits.

    >>> print(markdown_table(["what", "max"], [["total", 0.00412]]))
    | what | max |
    | :--- | ---: |
    | total | 0.004 |
    """
    columns = range(len(header))
    is_number = [bool(rows) and all(_is_number(row[k]) for row in rows) for k in columns]
    lines = [list(header), ["---:" if is_number[k] else ":---" for k in columns]]
    lines += [[_cell(value) for value in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value[:1].isdigit() or (value[:1] in {"-", "+", "."} and value[1:2].isdigit())
    return isinstance(value, int | float)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def write_table(document: Path, name: str, text: str, note: str = "") -> None:
    """Put ``text`` between ``<!-- table: NAME -->`` and ``<!-- end: NAME -->``.

    Raises
    ------
    ValueError
        If the document lacks the markers.
    """
    content = document.read_text(encoding="utf-8")
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    before, found_begin, rest = content.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{document}: has no lines '{begin}' and '{end}' to put the table between")
    body = text.strip() + (f"\n\n{note.strip()}" if note else "")
    document.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")
