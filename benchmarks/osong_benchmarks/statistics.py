"""Summaries of many numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Differences", "percent", "share", "wilson_interval"]


class Differences:
    """Absolute differences, and how they are distributed.

    Attributes
    ----------
    values
        (n,) float64.

    Examples
    --------
    >>> d = Differences([0.0, -0.004, 0.03])
    >>> round(d.maximum, 3), round(d.within(0.01), 2)
    (0.03, 0.67)
    """

    def __init__(self, values: Sequence[float]) -> None:
        self.values = np.abs(np.asarray(values, dtype=np.float64))
        if len(self.values) == 0 or not np.isfinite(self.values).all():
            raise ValueError("differences need at least one value, and all of them finite")

    @property
    def maximum(self) -> float:
        """The largest."""
        return float(self.values.max())

    def percentile(self, percent: float) -> float:
        """Return the value that so many per cent do not exceed."""
        return float(np.percentile(self.values, percent))

    def within(self, limit: float) -> float:
        """Return the share that does not exceed ``limit``."""
        return share(self.values <= limit)


def share(flags: Sequence[bool] | np.ndarray) -> float:
    """Return the share that is true; nan for none at all."""
    flags = np.asarray(flags, dtype=bool)
    return float(flags.mean()) if len(flags) else float("nan")


def percent(flags: Sequence[bool] | np.ndarray) -> str:
    """Return a share as "73 % (47 of 64)".

    >>> percent([True, True, False])
    '67 % (2 of 3)'
    """
    flags = np.asarray(flags, dtype=bool)
    return f"{100 * share(flags):.0f} % ({int(flags.sum())} of {len(flags)})"


def wilson_interval(n_true: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the interval that holds a share with 95 % confidence, given ``n_true`` of ``n``.

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if n == 0:
        return 0.0, 1.0
    p = n_true / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)
