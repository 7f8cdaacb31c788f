"""Summaries of many numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Differences", "RatioOfTimes", "percent", "share", "sign_test", "wilson_interval"]


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


@dataclass(frozen=True)
class RatioOfTimes:
    """How many times faster one of two paired series of times is.

    Attributes
    ----------
    of_totals
        Ratio of the sums.
    median
        Median of the pairs' ratios.
    n
        Pairs.

    Examples
    --------
    >>> RatioOfTimes.of([1.0, 3.0], [10.0, 20.0])
    RatioOfTimes(of_totals=7.5, median=8.333333333333334, n=2)
    """

    of_totals: float
    median: float
    n: int

    @classmethod
    def of(cls, own: Sequence[float], other: Sequence[float]) -> RatioOfTimes:
        """Return the other's times divided by one's own; nan where there are none."""
        a, b = np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)
        if a.shape != b.shape:
            raise ValueError(f"{len(a)} and {len(b)} times: they must be pairs")
        if not len(a) or a.min() <= 0.0:
            return cls(math.nan, math.nan, len(a))
        return cls(float(b.sum() / a.sum()), float(np.median(b / a)), len(a))


def sign_test(n_for: int, n_against: int) -> float:
    """Return the two-sided probability of so uneven a split where both sides are as likely.

    >>> sign_test(1, 9)
    0.021484375
    """
    n = n_for + n_against
    tail = sum(math.comb(n, k) for k in range(min(n_for, n_against) + 1)) / 2**n
    return min(1.0, 2.0 * tail)
