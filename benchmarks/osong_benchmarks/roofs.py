"""The roofs over one core's kernels: multiply-adds, and reading from each level of memory."""

from __future__ import annotations

from typing import Final

from osong_benchmarks.machine_facts import caches
from osong_benchmarks.part import PartModel, Size
from osong_benchmarks.peaks import fma_peak, read_bandwidth

__all__ = ["Roofs", "measure_roofs"]

_SECONDS: Final[dict[Size, float]] = {"smallest": 0.002, "quick": 0.05, "full": 0.3}
_MEMORY_BYTES: Final[dict[Size, int]] = {"smallest": 32 << 20, "quick": 128 << 20, "full": 1 << 28}


class Roofs(PartModel):
    """What one core can do at most, as measured; see `osong_benchmarks.peaks`.

    Attributes
    ----------
    peak_gflops
        float32 operations a nanosecond; a multiply-add is two.
    read_gbytes_per_s
        By level of memory, nearest first.
    """

    peak_gflops: float
    read_gbytes_per_s: dict[str, float]


def measure_roofs(size: Size) -> Roofs:
    """Measure the roofs of one core."""
    seconds = _SECONDS[size]
    data = sorted((c.level, c.n_bytes) for c in caches() if c.kind != "instruction")
    tables = {f"L{level}": n_bytes // 2 for level, n_bytes in data}
    tables["memory"] = max(_MEMORY_BYTES[size], 4 * max((n for _, n in data), default=0))
    return Roofs(
        peak_gflops=1e-9 * fma_peak(seconds),
        read_gbytes_per_s={
            name: 1e-9 * read_bandwidth(n_bytes, seconds) for name, n_bytes in tables.items()
        },
    )
