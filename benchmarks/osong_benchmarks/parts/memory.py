"""Memory of a campaign and its worker, how it grows over molecules, and the files it leaves.

With the shared data the molecules are those of a library; without, the drugs that come with Osong,
under ever new names. The target is made up: its box is small, and preparation does not look at it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from osong import read_records
from osong.quickstart import DRUGS
from osong_benchmarks.cases import made_target
from osong_benchmarks.memory import (
    ENOUGH_FOR_TREND,
    MemoryRun,
    memory_figure,
    memory_table,
    watch_campaign,
)
from osong_benchmarks.part import Figure, Gap, Merit, PartResult, Say, Section, Settings, Size
from osong_benchmarks.scaling_child import workers

__all__ = ["MemoryResult", "merits", "run", "section"]

_N_PREPARED: Final[dict[Size, int]] = {"smallest": 50, "quick": 150, "full": 20_000}
_N_DOCKED: Final[dict[Size, int]] = {"smallest": 0, "quick": 20, "full": 1_000}
_EVERY_S: Final[dict[Size, float]] = {"smallest": 0.05, "quick": 0.2, "full": 2.0}
_LIBRARY: Final = "moses_100k.smi.gz"
_EDGE: Final = 14.0
_MIB: Final = 2**20


class MemoryResult(PartResult):
    """What the part measured.

    Attributes
    ----------
    library
        Where the molecules came from.
    runs
        One campaign that prepares, and one that docks.
    """

    library: str
    runs: tuple[MemoryRun, ...]


def run(settings: Settings, say: Say) -> MemoryResult:
    """Run campaigns with one worker and look at their memory."""
    size = settings.size
    shared = settings.data / "library" / _LIBRARY if settings.data else None
    source = shared if shared is not None and shared.exists() else DRUGS
    gaps = []
    runs = []
    for n, prepare_only in ((_N_PREPARED[size], True), (_N_DOCKED[size], False)):
        name = "prepare" if prepare_only else "dock"
        if n == 0:
            gaps.append(Gap(what="memory while docking", reason="not at the smallest size"))
            continue
        if not prepare_only:
            _fill_cache()
        say(f"a campaign over {n:,} molecules, {'prepared only' if prepare_only else 'docked'}")
        runs.append(
            watch_campaign(
                made_target(_EDGE),
                _molecules(source, n),
                settings.out / f"memory_part_{name}",
                prepare_only=prepare_only,
                every_s=_EVERY_S[size],
            )
        )
    if runs[0].n < ENOUGH_FOR_TREND:
        reason = f"{runs[0].n:,} molecules tell no growth from warming up: size full"
        gaps.append(Gap(what="growth over molecules", reason=reason))
    library = source.name if source != DRUGS else "the drugs that come with Osong, repeated"
    return MemoryResult(library=library, runs=tuple(runs), gaps=tuple(gaps))


def _fill_cache() -> None:
    """See that kernels lie in the cache: to compile takes more memory than to dock."""
    with workers(1, "12_atoms", _EDGE, "fast"):
        pass


def _molecules(source: Path, n: int) -> Iterator[str]:
    """Yield lines of SMILES and name, the library again and again where it is short."""
    records = islice(cycle(read_records(source, stop=n)), n)
    for k, record in enumerate(records):
        yield f"{record.data}\t{record.name}-{k}\n"


def merits(result: MemoryResult) -> dict[str, Merit]:
    """Return peaks, growth as far as it was seen, and what stays on disk."""
    found: dict[str, Merit] = {}
    for measured in result.runs:
        name = "memory.prepare" if measured.prepare_only else "memory.dock"
        campaign, worker = measured.peaks_mib
        values = {
            "campaign_peak": (campaign, "MiB"),
            "worker_peak": (worker, "MiB"),
            "disk": (measured.bytes / measured.n, "bytes/molecule"),
            "files": (1e3 * measured.n_files / measured.n, "files/1,000 molecules"),
        }
        _, trend = measured.trends_mib
        if measured.n >= ENOUGH_FOR_TREND and math.isfinite(trend):
            # relative to the peak, since a growth of about nothing has no ratio
            values["worker_growth"] = (1.0 + trend / worker, "x in 10,000 molecules")
        for what, (value, unit) in values.items():
            found[f"{name}.{what}"] = Merit(value=value, unit=unit, is_higher_better=False)
    return found


def section(result: MemoryResult) -> Section:
    """Draw memory over molecules."""
    figures: list[Figure] = [memory_figure(measured) for measured in result.runs]
    tables = [memory_table(measured) for measured in result.runs]
    worker = max(measured.peaks_mib[1] for measured in result.runs)
    campaign = max(measured.peaks_mib[0] for measured in result.runs)
    summary = (
        f"A docking process takes at most {worker:.0f} MiB, the campaign that leads it "
        f"{campaign:.0f} MiB. Molecules: {result.library}."
    )
    return Section("Memory", summary, figures, tables, result.gaps)
