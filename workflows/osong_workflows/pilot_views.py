"""Pilots as one sees them from the campaign folder: who is alive, who is silent, who ended."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pydantic import ValidationError

from osong_workflows.amounts import duration
from osong_workflows.pilots import LEASE_S, PilotState, new_pilot, process_is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osong_workflows.jobs import JobState

__all__ = ["CLOCK_TOLERANCE_S", "Life", "PilotReader", "PilotView", "clock_notes"]

Life: TypeAlias = Literal["at work", "silent", "gone", "ended"]
"""At work: it gave a sign of life within its lease. Silent: it gave none. Gone: it is known to be
dead. Ended: it said so itself."""

CLOCK_TOLERANCE_S: Final = 60.0
"""Clocks that differ by less are not worth a word."""

_CLOCKS_TOLD: Final = 3


@dataclass(frozen=True)
class PilotView:
    """A pilot's own account of itself, and what can be told of it from here.

    Attributes
    ----------
    state
        What its file says.
    life
        Whether it lives.
    silent_s
        Seconds since its last sign of life.
    clock_s
        How far its host's clock is ahead of the file system's.
    job_state
        What Slurm says of its job; "" where there is none or nobody to ask.
    """

    state: PilotState
    life: Life
    silent_s: float
    clock_s: float
    job_state: str = ""

    @property
    def n_done(self) -> int:
        """Molecules of the chunks that it finished."""
        return self.state.n_ok + self.state.n_failed

    @property
    def n_busy(self) -> int:
        """Molecules that it docks now; more tasks than threads wait at its workers."""
        return min(self.state.tasks, self.state.n_threads)

    @property
    def per_core(self) -> float | None:
        """Molecules per second of one core; None before its first chunk is finished."""
        if not self.n_done or self.state.core_seconds <= 0:
            return None
        return self.n_done / self.state.core_seconds

    @property
    def place(self) -> str:
        """Where it runs."""
        return self.state.node or self.state.host

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the names are documented in docs/watching.md."""
        values = self.state.model_dump(mode="json")
        values["rejected"] = [
            {"host": host, "reason": reason} for host, reason in self.state.rejected
        ]
        return values | {
            "life": self.life,
            "seconds_since_sign": round(self.silent_s, 1),
            "clock_ahead_s": round(self.clock_s, 1),
            "job_state": self.job_state,
        }


@dataclass(frozen=True)
class _Sign:
    """The last change of a pilot's counter that was seen, by this process's monotonic clock."""

    beat: int
    first_seen: float
    has_moved: bool


class PilotReader:
    """Reads the pilots' files, again and again; judges by counters that move once it can.

    The first look has nothing but the time at which a file was written, by the file system's
    clock. Later looks see counters move, and no clock but the own one counts any more.

    Parameters
    ----------
    folder
        Where the pilots' files are.
    lease_s
        Seconds without a sign of life after which a pilot counts as silent.
    monotonic, now
        Clocks, for tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lease_s: float = LEASE_S,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._now = now
        self._here = new_pilot("")
        self._signs: dict[str, _Sign] = {}
        self._ended: dict[str, tuple[PilotState, float]] = {}
        self.unreadable: tuple[str, ...] = ()
        """Names of files that make no sense, found by the last look."""
        self.clock_behind_s = 0.0
        """Seconds by which this machine's clock is behind the file system's, as far as known."""

    def read(self, jobs: Sequence[JobState] = ()) -> tuple[PilotView, ...]:
        """Return all pilots, those at work first, then the latest first.

        Parameters
        ----------
        jobs
            What Slurm says of the campaign's jobs.
        """
        files = self._read_files()
        # The newest file tells what time it is there at least, where this machine's clock is slow.
        now = max([self._now(), *(written for _, written in files)])
        by_id = {job.job: job for job in jobs}
        restarts = _latest_restarts([state for state, _ in files])
        views = []
        for state, written in files:
            view = self._judge(state, now - written, state.restart < restarts.get(state.job, 0))
            # An array of which Slurm lists no element any more has one state for all.
            job = by_id.get(state.job) or by_id.get(state.job.partition("_")[0])
            if (
                job is not None
                and view.life == "silent"
                and not job.is_active
                and job.state != "UNKNOWN"
            ):
                view = replace(view, life="gone")
            job_state = job.state if job is not None else ""
            views.append(replace(view, clock_s=_clock_offset(state, written), job_state=job_state))
        order = ("at work", "silent", "gone", "ended")
        return tuple(sorted(views, key=lambda view: (order.index(view.life), view.silent_s)))

    def _read_files(self) -> list[tuple[PilotState, float]]:
        """Return each pilot with the time when its file was written."""
        files, unreadable = [], []
        for name in _pilot_files(self._folder):
            if name in self._ended:
                files.append(self._ended[name])
                continue
            try:
                with (self._folder / name).open("rb") as file:
                    # Of the open file: an NFS client asks the server when a file is opened.
                    written = os.fstat(file.fileno()).st_mtime
                    found = (PilotState.model_validate_json(file.read()), written)
            except FileNotFoundError:
                continue
            except (OSError, ValidationError):
                unreadable.append(name)
                continue
            files.append(found)
            if found[0].state == "ended":
                self._ended[name] = found
        self.unreadable = tuple(unreadable)
        self.clock_behind_s = max([0.0, *(written - self._now() for _, written in files)])
        return files

    def _judge(self, state: PilotState, age_s: float, is_restarted: bool) -> PilotView:
        """Return whether a pilot lives."""
        tick = self._monotonic()
        sign = self._signs.get(state.id)
        if sign is None or sign.beat != state.beat:
            sign = _Sign(state.beat, tick, has_moved=sign is not None)
            self._signs[state.id] = sign
        silent_s = tick - sign.first_seen
        if not sign.has_moved:
            silent_s = max(silent_s, age_s)
        life: Life
        if state.state == "ended":
            life, silent_s = "ended", max(0.0, age_s)
        elif is_restarted or process_is_gone(state, self._here):
            life = "gone"
        else:
            life = "at work" if silent_s <= self._lease_s else "silent"
        return PilotView(state=state, life=life, silent_s=silent_s, clock_s=0.0)


def clock_notes(views: Sequence[PilotView], behind_s: float) -> list[str]:
    """Return what to say about clocks that differ by more than a minute."""
    notes = []
    if behind_s > CLOCK_TOLERANCE_S:
        notes.append(f"the clock here is {duration(behind_s)} behind the file system's")
    hosts = {
        view.place: view.clock_s
        for view in views
        if view.life in ("at work", "silent") and abs(view.clock_s) > CLOCK_TOLERANCE_S
    }
    for host, seconds in list(hosts.items())[:_CLOCKS_TOLD]:
        side = "ahead of" if seconds > 0 else "behind"
        notes.append(f"the clock of {host} is {duration(abs(seconds))} {side} the file system's")
    if len(hosts) > _CLOCKS_TOLD:
        notes.append(f"so are {len(hosts) - _CLOCKS_TOLD:,} more")
    return notes


def _pilot_files(folder: Path) -> list[str]:
    """Return the names of the pilots' files."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = os.listdir(folder)  # noqa: PTH208 (names are wanted, not thousands of paths)
        return sorted(n for n in names if n.endswith(".json") and not n.startswith("."))
    return []


def _latest_restarts(states: Sequence[PilotState]) -> dict[str, int]:
    """Return how often each Slurm job has been started again, as far as its pilots know."""
    latest: dict[str, int] = {}
    for state in states:
        if state.job:
            latest[state.job] = max(latest.get(state.job, 0), state.restart)
    return latest


def _clock_offset(state: PilotState, written: float) -> float:
    """Return by how many seconds a pilot's clock is ahead of the file system's."""
    try:
        return datetime.fromisoformat(state.time).timestamp() - written
    except ValueError:
        return 0.0
