"""What can be told of a campaign from its folder alone, on any machine, without writing a byte."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from osong.errors import CampaignError
from osong_workflows.amounts import counted, duration, speed
from osong_workflows.folder import CampaignFolder
from osong_workflows.jobs import Jobs, JobState, job_states, read_jobs
from osong_workflows.logs import LogLine, last_lines
from osong_workflows.pilot_views import PilotReader, PilotView, clock_notes
from osong_workflows.plan import read_plan
from osong_workflows.rate import Rate, measure_rate
from osong_workflows.settings import read_settings
from osong_workflows.status import CampaignStatus, FailureExample, StatusReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

__all__ = ["LOGS_READ", "JobReader", "Observer", "Overview"]

_SLURM_EVERY_S: Final = 60.0
LOGS_READ: Final = 32
"""Logs of which the ends are read to show what happened last; those of pilots at work first."""


@dataclass(frozen=True)
class Overview:
    """A campaign as it is now.

    Attributes
    ----------
    status
        What became of its molecules.
    key
        The campaign's name in logs.
    target, scoring, effort
        What is docked to, and how.
    chunk_size
        Molecules of a chunk.
    examples
        The first failure of each stage.
    pilots
        Who works or worked at it; those at work first.
    rate
        How fast it goes.
    n_set_aside
        Files that were found damaged earlier, set aside and done again.
    notes
        What else a user should know, one line each.
    log
        Last lines of the pilots' logs, where they were asked for.
    jobs
        Slurm's jobs of the campaign and their states.
    given_up
        Why nothing is submitted any more though work is left.
    site
        The cluster that jobs were submitted to last.
    learning
        Who learns and chooses what to dock next, where nothing is docked meanwhile.
    """

    status: CampaignStatus
    key: str
    target: str
    scoring: str
    effort: str
    chunk_size: int
    examples: dict[str, FailureExample]
    pilots: tuple[PilotView, ...]
    rate: Rate
    n_set_aside: int = 0
    notes: tuple[str, ...] = ()
    log: tuple[LogLine, ...] = ()
    jobs: tuple[JobState, ...] = ()
    given_up: str = ""
    site: str = ""
    learning: str = ""

    @property
    def folder(self) -> Path:
        """The campaign's folder."""
        return self.status.folder

    @property
    def at_work(self) -> tuple[PilotView, ...]:
        """The pilots at work."""
        return tuple(pilot for pilot in self.pilots if pilot.life == "at work")

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the campaign is finished; None where nobody can say.

        However many work, the end takes as long as a chunk: then it is "at most".
        """
        if self.status.is_finished:
            return 0.0
        if not self.rate.now or not self.rate.per_core:
            return None
        return max(self.status.n_left / self.rate.now, self.chunk_size / self.rate.per_core)

    @property
    def core_seconds_left(self) -> float | None:
        """Seconds that one core would need for what is left; None before the first chunk."""
        return self.status.n_left / self.rate.per_core if self.rate.per_core else None

    @property
    def estimate(self) -> str:
        """The time left and how it was estimated, in words."""
        if self.status.is_finished:
            return "none: the campaign is finished"
        if self.core_seconds_left is None:
            return "unknown until the first chunk is finished"
        if not self.time_left_s:
            return f"nobody works; {_core_time(self.core_seconds_left)} are left"
        if self.time_left_s > self.status.n_left / (self.rate.now or 1.0):
            return (
                f"at most about {duration(self.time_left_s)}: the last chunks, "
                f"{counted(self.chunk_size, 'molecule')} each at {speed(self.rate.per_core)} a core"
            )
        return (
            f"about {duration(self.time_left_s)}: {self.status.n_left:,} molecules at "
            f"{speed(self.rate.now)} ({counted(self.rate.busy, 'thread')} busy, "
            f"{speed(self.rate.per_core)} a core)"
        )

    @property
    def who(self) -> str:
        """Who is at work, in one line."""
        if self.at_work:
            places = list(dict.fromkeys(pilot.place for pilot in self.at_work))
            shown = ", ".join(places[:4]) + (f" and {len(places) - 4:,} more" * (len(places) > 4))
            busy = f"{self.rate.busy:,} of {counted(self.rate.threads, 'thread')} busy"
            return (
                f"at work: {counted(len(self.at_work), 'pilot')} on {shown}, "
                f"{busy if self.rate.threads else 'workers are starting'}"
            )
        if self.learning:
            return f"{self.learning} learns and chooses what to dock next"
        silent = [pilot for pilot in self.pilots if pilot.life == "silent"]
        if silent and not self.status.is_finished:
            since = duration(min(pilot.silent_s for pilot in silent))
            return (
                f"nobody is at work, as far as one can see: no sign of life of "
                f"{counted(len(silent), 'pilot')} for {since}"
            )
        if any(job.is_active for job in self.jobs):
            return "nobody is at work yet; jobs wait or begin"
        return "nobody is at work"

    @property
    def advice(self) -> str:
        """What to do next, in one line; "" where waiting is all."""
        if self.status.n_foreign:
            return f"parts of another campaign have to be taken out of {self.folder / 'parts'}"
        if self.status.is_finished:
            return f"results: osong top {shlex.quote(str(self.folder))}"
        if self.at_work or self.learning:
            return ""
        folder = shlex.quote(str(self.folder))
        if any(job.is_active for job in self.jobs):
            return f"wait for the jobs, or help from here: osong resume {folder}"
        submit = f"osong submit {folder}"
        if self.site:
            return f"go on with: {submit} --site {shlex.quote(self.site)}, or osong resume {folder}"
        slurm = f", or as Slurm jobs: {submit}" if shutil.which("sbatch") else ""
        return f"go on with: osong resume {folder}{slurm}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; their names are documented in docs/watching.md."""
        status = self.status
        return {
            "folder": str(self.folder),
            "campaign": self.key,
            "target": self.target,
            "scoring": self.scoring,
            "effort": self.effort,
            "n_records": status.n_records,
            "n_ok": status.n_ok,
            "n_failed": status.n_failed,
            "backends": status.backends,
            "n_left": status.n_left,
            "n_chunks": status.n_chunks,
            "n_chunks_done": status.n_chunks_done,
            "n_damaged": status.n_damaged,
            "n_foreign": status.n_foreign,
            "n_set_aside": self.n_set_aside,
            "is_finished": status.is_finished,
            "failures": {
                stage: {"count": count} | _example_dict(self.examples.get(stage))
                for stage, count in status.failures.items()
            },
            "rate": {
                "now": _rounded(self.rate.now),
                "per_core": _rounded(self.rate.per_core),
                "overall": _rounded(self.rate.overall),
                "busy": self.rate.busy,
                "threads": self.rate.threads,
            },
            "time_left_s": _rounded(self.time_left_s),
            "core_seconds_left": _rounded(self.core_seconds_left),
            "n_at_work": len(self.at_work),
            "pilots": [pilot.as_dict() for pilot in self.pilots],
            "jobs": [asdict(job) for job in self.jobs],
            "given_up": self.given_up,
            **({"strategy": status.strategy} if status.strategy else {}),
            "advice": self.advice,
            "notes": list(self.notes),
            "log": [line.as_dict() for line in self.log],
        }

    def __rich__(self) -> RenderableType:
        """Return what a terminal shows."""
        from osong_workflows.panel import draw

        return draw(self)


class Observer:
    """Looks at a campaign, once or again and again, without writing a byte.

    Parameters
    ----------
    folder
        The campaign folder.

    Raises
    ------
    CampaignError
        There is no campaign, its plan is damaged, or it is of another version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = CampaignFolder.at(folder)
        self._settings = read_settings(self._folder.settings)
        self._plan = read_plan(self._folder)
        self._status = StatusReader(self._folder, self._plan)
        self._pilots = PilotReader(self._folder.pilots)
        self._jobs = JobReader(self._folder.path)

    def look(self, *, n_log: int = 0) -> Overview:
        """Return the campaign as it is now, with the last ``n_log`` lines of its logs."""
        status = self._status.count()
        jobs = self._jobs.states(status.is_finished)
        pilots = self._pilots.read(jobs)
        logs = [self._folder.logs / f"{pilot.state.id}.jsonl" for pilot in pilots]
        return Overview(
            status=status,
            key=self._plan.key,
            target=self._settings.target_name,
            scoring=self._settings.scoring,
            effort=self._settings.effort,
            chunk_size=self._plan.chunk_size,
            examples=self._status.examples(),
            pilots=pilots,
            rate=measure_rate(status.n_done, pilots),
            n_set_aside=_n_entries(self._folder.damaged),
            notes=tuple(self._notes(pilots)),
            log=tuple(last_lines(logs[:LOGS_READ], n_log)) if n_log else (),
            jobs=tuple(jobs),
            given_up=self._jobs.known.given_up,
            site=self._jobs.site,
        )

    def _notes(self, pilots: Sequence[PilotView]) -> list[str]:
        """Return what a user should know besides."""
        notes = clock_notes(pilots, self._pilots.clock_behind_s)
        if self._jobs.problem:
            notes.append(self._jobs.problem)
        if self._pilots.unreadable:
            some = ", ".join(self._pilots.unreadable[:3])
            notes.append(f"{self._folder.path}/pilots: cannot be read: {some}")
        return notes


class JobReader:
    """Asks Slurm for a campaign's jobs, not more than once a minute: others ask it too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._states: list[JobState] = []
        self._asked_at = float("-inf")
        self.known = Jobs()
        self.problem = ""

    @property
    def site(self) -> str:
        """The cluster that jobs were submitted to last."""
        return self.known.submissions[-1].site.name if self.known.submissions else ""

    def states(self, is_finished: bool) -> list[JobState]:
        """Return the states of all jobs; of a finished campaign nobody asks."""
        try:
            before, self.known = self.known, read_jobs(self._folder)
            self.problem = ""
        except CampaignError as error:
            self.problem = str(error)
            return []
        is_due = time.monotonic() - self._asked_at >= _SLURM_EVERY_S
        if not is_finished and (is_due or before != self.known):
            self._states = job_states(self.known.submissions)
            self._asked_at = time.monotonic()
        return self._states


def _n_entries(folder: Path) -> int:
    """Return how many files are in a folder that may not be there."""
    try:
        return len(os.listdir(folder))  # noqa: PTH208 (names are wanted, not paths)
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _core_time(seconds: float) -> str:
    """Return time of one core in words."""
    return (
        f"{seconds / 3600:,.0f} core hours"
        if seconds >= 36_000
        else (f"{duration(seconds)} of one core")
    )


def _example_dict(example: FailureExample | None) -> dict[str, str]:
    return {} if example is None else {"first": example.name, "reason": example.reason}


def _rounded(value: float | None) -> float | None:
    """Return a number of six digits: more would be noise."""
    return None if value is None else float(f"{value:.6g}")
