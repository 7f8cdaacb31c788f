"""Numbers as a person reads them: three digits that count, thousands apart."""

from __future__ import annotations

import math

__all__ = ["readable", "with_unit"]

_SHARES = frozenset({"share", "of ideal", "of peak"})


def readable(value: float) -> str:
    """Return a number with some three significant digits; whole numbers keep all of theirs.

    >>> [readable(v) for v in (1234567, 0.0123456, 12.3456, 98765.4, 0.0)]
    ['1,234,567', '0.0123', '12.3', '98,765', '0']
    """
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "-" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.{1 if size >= 10 else 2}f}"
    return f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    """Return a number with its unit: large ones in millions or thousands, shares per cent.

    >>> with_unit(2_345_000.0, "1/s"), with_unit(0.71, "share"), with_unit(12.4, "x")
    ('2.35 M 1/s', '71.0 %', '12.4 times')
    """
    if unit in _SHARES:
        return f"{readable(100 * value)} %"
    if unit == "x":
        return f"{readable(value)} times"
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= factor and math.isfinite(value):
            scale = 1e3 if letter == "k" else factor
            return f"{readable(float(value) / scale)} {letter} {unit}".strip()
    return f"{readable(value)} {unit}".strip()
