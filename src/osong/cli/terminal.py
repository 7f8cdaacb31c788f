"""Tables and lines as they appear on a terminal, narrow or wide, and in a pipe."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "console",
    "error_console",
    "make_table",
    "number",
    "one_line",
    "plural",
    "print_failures",
]

_WIDEST_NAME = 28
_PIPE_WIDTH = 160
"""Columns where nobody looks: whoever reads a table from a pipe wants its cells whole."""


def console() -> "Console":
    """Return the console of results (stdout)."""
    from rich.console import Console

    out = Console(highlight=False, markup=False)
    if not out.is_terminal:
        out = Console(highlight=False, markup=False, width=_PIPE_WIDTH)
    return out


def error_console() -> "Console":
    """Return the console of progress and notes (stderr)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False)


def make_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> "Table":
    """Return a table of texts; an empty row is a line between the rows around it.

    A column whose heading is marked with ``>`` holds numbers; one marked with ``~`` is the first
    to be cut where the terminal is narrow.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rows = list(rows)
    for index, column in enumerate(columns):
        heading = column.lstrip(">~")
        longest = max([len(heading), *(len(row[index]) for row in rows if row)])
        table.add_column(
            heading,
            justify="right" if column.startswith(">") else "left",
            overflow="ellipsis",
            # Rich narrows columns that may wrap before all others; their cells do not wrap.
            no_wrap=not column.startswith("~"),
            min_width=len(heading) if column.startswith("~") else min(longest, _WIDEST_NAME),
        )
    for row in rows:
        if row:
            table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
        else:
            table.add_section()
    return table


def number(value: float | None, digits: int = 2) -> str:
    """Return a number for a table; a dash for one that is not there."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def plural(count: int, thing: str) -> str:
    """Return a count with its thing: ``1 pose``, ``3 poses``."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def one_line(error: BaseException) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())


def print_failures(failures: Sequence[tuple[str, str, str]]) -> None:
    """Print failures (stage, name, reason): how many at each stage, with the first of each."""
    out = console()
    for stage, count in Counter(stage for stage, _, _ in failures).most_common():
        name, reason = next((n, why) for of, n, why in failures if of == stage)
        among = "" if count == 1 else "among them "
        line = f"{plural(count, 'molecule')} failed ({stage}): {among}{name}: {reason}"
        out.print(" ".join(line.split()), soft_wrap=True)
