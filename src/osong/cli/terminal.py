"""Tables and lines as they appear on a terminal, narrow or wide, and in a pipe."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "console",
    "error_console",
    "new_table",
    "number",
    "one_line",
    "plural",
    "print_failures",
]

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


def new_table(
    title: str | None = None, *, texts: tuple[str, ...], numbers: tuple[str, ...] = ()
) -> "Table":
    """Return an empty table: text columns first, which give way, then columns of numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in texts:
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
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


def print_failures(stages: Sequence[str], reasons: Sequence[str]) -> None:
    """Print failures by stage, the most frequent first, each with its first reason."""
    counts = Counter(stages)
    first = dict(zip(reversed(stages), reversed(reasons), strict=True))
    title = f"{plural(len(stages), 'molecule')} failed"
    table = new_table(title, texts=("stage", "for example"), numbers=("molecules",))
    for stage, count in counts.most_common():
        table.add_row(stage, " ".join(first[stage].split()), f"{count:,}")
    console().print(table)
