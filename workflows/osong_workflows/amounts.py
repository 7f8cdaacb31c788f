"""Times, rates and foreign text as people read them."""

from __future__ import annotations

import math

__all__ = ["counted", "duration", "on_one_line", "speed"]


def duration(seconds: float) -> str:
    """Return a time with at most two units.

    Examples
    --------
    >>> duration(0.4), duration(75), duration(4000), duration(200_000)
    ('0 s', '1 min 15 s', '1 h 7 min', '2 days 8 h')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole / 60:.0f} min" if whole >= 570 else _two(whole, 60, "min", "s")
    if whole < 86_400:
        return _two(round(whole / 60), 60, "h", "min")
    return _two(round(whole / 3600), 24, "day" if whole < 2 * 86_400 else "days", "h")


def speed(per_second: float | None) -> str:
    """Return molecules per second, minute or hour, whichever makes a number above one.

    Examples
    --------
    >>> speed(1234.5), speed(3.21), speed(0.2), speed(0.001), speed(None)
    ('1,234/s', '3.2/s', '12/min', '3.6/h', '-')
    """
    if per_second is None or not math.isfinite(per_second):
        return "-"
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        value = per_second * factor
        if value >= 1 or unit == "h":
            return f"{value:,.0f}/{unit}" if value >= 10 else f"{value:.1f}/{unit}"
    return "-"


def counted(count: int, thing: str) -> str:
    """Return a count with its thing: ``1 pilot``, ``3 pilots``."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def on_one_line(text: str) -> str:
    r"""Return text from a library or an error on one line, without what steers a terminal.

    Examples
    --------
    >>> on_one_line("the disk\n  is \x1b[31mfull")
    'the disk is ?[31mfull'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _two(whole: int, base: int, big: str, small: str) -> str:
    """Return a number in two units."""
    high, low = divmod(whole, base)
    return f"{high} {big}" + (f" {low} {small}" if low else "")
