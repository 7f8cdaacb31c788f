"""How fast a campaign goes, as far as its pilots tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong_workflows.pilot_views import PilotView

__all__ = ["Rate", "measure_rate"]


@dataclass(frozen=True)
class Rate:
    """How fast a campaign goes.

    Attributes
    ----------
    now
        Molecules per second of the pilots at work: busy threads times ``per_core`` of each.
    per_core
        Molecules per second of one core, of all pilots so far.
    overall
        Molecules done per second of the time in which any pilot worked.
    busy
        Threads of the pilots at work that have a task, one core each.
    threads
        All their threads.
    """

    now: float | None
    per_core: float | None
    overall: float | None
    busy: int
    threads: int


def measure_rate(n_done: int, pilots: Sequence[PilotView]) -> Rate:
    """Return how fast a campaign goes, from its pilots' own counters.

    Parameters
    ----------
    n_done
        Molecules of the campaign that have their row.
    pilots
        Who works or worked at it.
    """
    core_seconds = sum(pilot.state.core_seconds for pilot in pilots)
    n_told = sum(pilot.n_done for pilot in pilots)
    per_core = n_told / core_seconds if n_told and core_seconds > 0 else None
    at_work = [pilot for pilot in pilots if pilot.life == "at work"]
    now = sum(pilot.n_busy * (pilot.per_core or per_core or 0.0) for pilot in at_work)
    worked = _seconds_worked(pilots)
    return Rate(
        now=now or None,
        per_core=per_core,
        overall=n_done / worked if n_done and worked > 0 else None,
        busy=sum(pilot.n_busy for pilot in at_work),
        threads=sum(pilot.state.n_threads for pilot in at_work),
    )


def _seconds_worked(pilots: Sequence[PilotView]) -> float:
    """Return the time in which any pilot was there; hours when none was do not count."""
    spans = []
    for pilot in pilots:
        try:
            begun = datetime.fromisoformat(pilot.state.begun).timestamp()
            spans.append((begun, datetime.fromisoformat(pilot.state.time).timestamp()))
        except ValueError:
            continue
    worked, until = 0.0, float("-inf")
    for begun, ended in sorted(spans):
        worked += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return worked
