"""Two runs side by side: two machines, or two versions on one machine.

A gain is how many times better the second run is, whatever the number: 2 where it takes half the
time or finds twice as much. Beyond the tolerance it is an improvement or a regression. Times and
rates are also given per peak: the gain divided by that of the measured single-core peak, which
leaves what the program does with a core.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from osong_benchmarks.part import Merit
from osong_benchmarks.parts.hardware import HardwareResult, facts
from osong_benchmarks.report.schema import Run

__all__ = ["PEAK", "Comparison", "Row", "Verdict", "compare", "gain"]

PEAK: Final = "hardware.fma_peak.one_core"
"""The merit by which times and rates are divided."""
_MACHINE: Final = "hardware."

Verdict = Literal["same", "better", "worse", "machine", "only in one"]


@dataclass(frozen=True)
class Row:
    """One merit in both runs.

    Attributes
    ----------
    name, unit
        What it is.
    a, b
        Its value in the first and in the second run; None where it is not there.
    gain
        How many times better the second is; None where it is in one run only.
    gain_per_peak
        For times and rates where both runs measured the peak.
    tolerance
        Relative change that is still noise.
    verdict
        ``"machine"`` for numbers of the hardware: these are no doing of Osong's.
    """

    name: str
    unit: str
    a: float | None
    b: float | None
    gain: float | None
    gain_per_peak: float | None
    tolerance: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes
    ----------
    differences
        What differs in how and where the runs were made: what, in the first, in the second.
    rows
        One a merit, in the order of the runs.
    """

    differences: Sequence[tuple[str, str, str]]
    rows: Sequence[Row]

    @property
    def regressions(self) -> list[Row]:
        """The merits that became worse beyond tolerance."""
        return [row for row in self.rows if row.verdict == "worse"]

    @property
    def improvements(self) -> list[Row]:
        """The merits that became better beyond tolerance."""
        return [row for row in self.rows if row.verdict == "better"]


def compare(a: Run, b: Run, tolerance: float | None = None) -> Comparison:
    """Return what differs from run ``a`` to run ``b``.

    Parameters
    ----------
    a, b
        The runs; ``b`` is the newer one, or the other machine.
    tolerance
        For all merits instead of their own.
    """
    first, second = a.merits, b.merits
    peak = gain(first[PEAK], second[PEAK]) if PEAK in first and PEAK in second else None
    names = [*first, *(name for name in second if name not in first)]
    rows = [_row(name, first.get(name), second.get(name), peak, tolerance) for name in names]
    return Comparison(_differences(a, b), rows)


def gain(a: Merit, b: Merit) -> float:
    """Return how many times better ``b`` is.

    >>> gain(Merit(value=2.0, unit="s", is_higher_better=False),
    ...      Merit(value=0.5, unit="s", is_higher_better=False))
    4.0
    """
    worse, better = (a.value, b.value) if a.is_higher_better else (b.value, a.value)
    if worse == better:
        return 1.0
    return better / worse if worse else math.inf


def _row(
    name: str, a: Merit | None, b: Merit | None, peak: float | None, tolerance: float | None
) -> Row:
    if a is None or b is None:
        alone = a or b
        if alone is None:
            raise ValueError(f"{name} is in neither run")
        values = (a.value if a else None, b.value if b else None)
        return Row(name, alone.unit, *values, None, None, alone.tolerance, "only in one")
    noise = max(a.tolerance, b.tolerance) if tolerance is None else tolerance
    times = gain(a, b)
    is_machine = name.startswith(_MACHINE)
    per_peak = times / peak if peak and _is_speed(b.unit) and not is_machine else None
    verdict: Verdict = "machine" if is_machine else _verdict(times, noise)
    return Row(name, b.unit, a.value, b.value, times, per_peak, noise, verdict)


def _verdict(times: float, tolerance: float) -> Verdict:
    if times > 1 + tolerance:
        return "better"
    # Not "same": a gain that is no number, too, is somebody's to look at.
    return "same" if times >= 1 / (1 + tolerance) else "worse"


def _is_speed(unit: str) -> bool:
    """Return whether a merit of this unit is a time or a rate.

    >>> [_is_speed(unit) for unit in ("1/s", "ligands/CPU s", "us", "MiB", "%")]
    [True, True, True, False, False]
    """
    words = unit.replace("/", " ").split()
    return any(word in {"s", "ms", "us", "µs", "ns", "second", "seconds"} for word in words)


def _differences(a: Run, b: Run) -> list[tuple[str, str, str]]:
    first, second = _description(a), _description(b)
    names = [*first, *(name for name in second if name not in first)]
    pairs = [(name, first.get(name, "not told"), second.get(name, "not told")) for name in names]
    return [(what, one, other) for what, one, other in pairs if one != other]


def _description(run: Run) -> dict[str, str]:
    """Return where and how a run was made: the machine first."""
    hardware = run.parts["hardware"].result if "hardware" in run.parts else None
    machine = dict(facts(hardware)) if isinstance(hardware, HardwareResult) else {}
    return {
        "machine": run.machine,
        **machine,
        "cores used": str(run.cores),
        "osong": run.osong_version,
        "size": run.size,
        "peers": ", ".join(run.peers) or "none",
        "seed": str(run.seed),
        "started": f"{run.started:%Y-%m-%d %H:%M}",
    }
