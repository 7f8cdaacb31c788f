"""Pilots: the processes that work at a campaign, how they show life, and how the others see it.

A pilot rewrites a small file with a growing counter. Whether it lives is judged by whether the
counter moves while the observer's own clock does: clocks of two machines are never compared.
"""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osong_workflows.folder import full_disk, names_in, write_atomically

if TYPE_CHECKING:
    from osong_workflows.folder import CampaignFolder

__all__ = [
    "BEAT_S",
    "LEASE_S",
    "Clock",
    "PilotState",
    "PilotWatch",
    "new_pilot",
    "process_is_gone",
    "read_pilots",
    "ticks_at_start",
]

BEAT_S: Final = 20.0
"""How often a pilot shows life: 160 pilots make eight small files a second."""
LEASE_S: Final = 120.0
"""A pilot that shows no life for so long is taken for dead. A parallel file system may stall for a
minute; a pilot that is wrongly taken for dead does no harm, only double work."""

_READ_AGAIN_S: Final = 5.0

Clock: TypeAlias = Callable[[], float]
"""Seconds that only ever grow; tests and simulations have their own."""


class PilotState(BaseModel):
    """What a pilot's file says.

    Attributes
    ----------
    id
        Its name: safe as a file name.
    host, node, pid, process_start, boot_id, pid_namespace
        Which process it is, and of which machine since which start of it; the process's own start
        in clock ticks since then, which no change of the clock moves.
    job, restart
        Slurm's job (with its array task) and how often that was requeued; "" and 0 outside.
    beat
        Counter that grows while the pilot lives.
    time, begun
        ISO 8601, UTC; for people only.
    runner, n_workers, n_threads
        Who does its tasks, and how many at a time.
    state
        "working", "waiting" (for shards that others have), "stopping" (hands out nothing more) or
        "ended".
    tasks
        Under way.
    shards
        Claimed.
    n_ok, n_failed, failures
        Molecules of the chunks that it had docked; failures by stage.
    core_seconds
        Sum of its tasks' times.
    n_restarts
        Docking processes that had to be started again.
    rejected
        Workers that were sent away: (host, why).
    error
        Why it ended, if not well.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    host: str
    node: str
    pid: int
    process_start: int
    boot_id: str
    pid_namespace: int
    job: str = ""
    restart: int = 0
    beat: int = 0
    time: str = ""
    begun: str
    runner: str
    n_workers: int = 0
    n_threads: int = 0
    state: Literal["working", "waiting", "stopping", "ended"] = "working"
    tasks: int = 0
    shards: tuple[int, ...] = ()
    n_ok: int = 0
    n_failed: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    core_seconds: float = 0.0
    n_restarts: int = 0
    rejected: tuple[tuple[str, str], ...] = ()
    error: str = ""

    def write(self, folder: CampaignFolder) -> None:
        """Write the pilot's file, making its folder."""
        with full_disk(folder.path):
            folder.pilots.mkdir(exist_ok=True)
        write_atomically(folder.pilots / f"{self.id}.json", self.model_dump_json().encode())


def new_pilot(runner: str) -> PilotState:
    """Return the state of a pilot that is this process."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "")
    if job and "SLURM_ARRAY_TASK_ID" in os.environ:
        job += f"_{os.environ['SLURM_ARRAY_TASK_ID']}"
    restart = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    name = f"{job}-{restart}-" if job else ""
    return PilotState(
        id=f"{name}{uuid.uuid4().hex[:12]}",
        host=socket.gethostname(),
        node=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        pid=os.getpid(),
        process_start=ticks_at_start(os.getpid()),
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        job=job,
        restart=restart,
        begun=datetime.now(UTC).isoformat(timespec="seconds"),
        runner=runner,
    )


def read_pilots(folder: CampaignFolder) -> list[PilotState]:
    """Return all pilots that ever wrote their file, sorted by when they began."""
    names = [name for name in names_in(folder.pilots) if name.endswith(".json")]
    found = [state for name in names if (state := _read(folder.pilots / name)) is not None]
    return sorted(found, key=lambda state: (state.begun, state.id))


class PilotWatch:
    """Judges which pilots live, for one observer.

    Parameters
    ----------
    folder
        The campaign.
    me
        The observer.
    lease_s
        A pilot whose counter does not move for so long is dead.
    clock
        The observer's clock.
    """

    def __init__(
        self,
        folder: CampaignFolder,
        me: PilotState,
        lease_s: float = LEASE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._folder = folder
        self._me = me
        self._lease_s = lease_s
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        self._read: dict[str, tuple[float, PilotState | None]] = {}

    def is_dead(self, pilot: str) -> bool:
        """Return whether a pilot ended, is known to be dead, or showed no life for a lease.

        Has to be asked again and again: the first question about a pilot begins the count.
        """
        if pilot == self._me.id:
            return False
        state = self._state(pilot)
        if state is not None and self._is_known_dead(state):
            return True
        # Without a readable file nothing ever moves.
        beat = -1 if state is None else state.beat
        seen_beat, since = self._seen.setdefault(pilot, (beat, self._clock()))
        if beat != seen_beat:
            self._seen[pilot] = (beat, self._clock())
            return False
        return self._clock() - since >= self._lease_s

    def _state(self, pilot: str) -> PilotState | None:
        """Return what a pilot's file says, or said a moment ago: one pilot has many shards."""
        now = self._clock()
        when, state = self._read.get(pilot, (-math.inf, None))
        if now - when >= min(_READ_AGAIN_S, self._lease_s / 20):
            state = _read(self._folder.pilots / f"{pilot}.json")
            self._read[pilot] = (now, state)
        return state

    def _is_known_dead(self, state: PilotState) -> bool:
        """Return whether no clock is needed to tell."""
        if state.state == "ended":
            return True
        me = self._me
        if state.job and state.job == me.job and state.restart < me.restart:
            # Slurm started this job again: what it was before is gone.
            return True
        return process_is_gone(state, me)


def process_is_gone(state: PilotState, here: PilotState) -> bool:
    """Return whether a pilot's process is known to be gone: only where ``here`` can see it."""
    machine = (here.host, here.boot_id, here.pid_namespace)
    if (state.host, state.boot_id, state.pid_namespace) != machine or not here.boot_id:
        return False
    try:
        # A later process may have the same number, and a dead one stays as a zombie until whoever
        # started it takes notice, which in some containers nobody does.
        is_another = ticks_at_start(state.pid) != state.process_start
        return is_another or psutil.Process(state.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _read(path: Path) -> PilotState | None:
    """Return what a pilot's file says; None where there is none or it says nothing sensible."""
    try:
        return PilotState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def ticks_at_start(pid: int) -> int:
    """Return when a process began, in clock ticks since the machine did (proc(5), field 22).

    Raises
    ------
    psutil.NoSuchProcess
        There is none.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    except OSError:
        return 0
    # The name of the program, in brackets, may hold anything.
    return int(text.rpartition(")")[2].split()[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> int:
    """Return what distinguishes containers on one machine: in each, pids are others."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0
