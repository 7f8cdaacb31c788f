"""`Supervisor`: keeps one docking process alive and gives every record exactly one outcome.

`Supervisors` holds one for each thread of a run.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from multiprocessing import Pipe
from typing import IO, TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import psutil

from osong.errors import CampaignError, OsongError
from osong_workflows.child import BUG_EXIT_CODE, READY, START_LIMIT_S, Job
from osong_workflows.events import WorkerReady, WorkerRestarted
from osong_workflows.outcome import FailedMolecule
from osong_workflows.spawn import spawn
from osong_workflows.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osong_workflows.events import Publisher

__all__ = ["Item", "StartGate", "Supervisor", "Supervisors"]

Done = TypeVar("Done")
"""What the docker of a job makes of a record that does not fail."""

_TICK_S: Final = 0.5
_AHEAD_TICK_S: Final = 0.02
"""Where an item may be sent ahead, it is to be there before the one under way is done."""
_DEATH_S: Final = 10.0
"""Seconds in which a process that was killed, or has closed its pipe, is expected to be gone."""
_ATTEMPTS: Final = 2
"""A process may be killed by accident (out of memory, an operator); a molecule that kills it twice
is to blame."""
_MAX_DEATHS_IN_A_ROW: Final = 50
"""So many molecules in a row that end their process say that something else is broken."""
_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGINT})


class Item(Protocol):
    """What a process is asked to work at: a record, or molecules for a device."""

    @property
    def index(self) -> int:
        """Number of the molecule, of the first of several."""

    @property
    def name(self) -> str:
        """What messages call it."""


class _Died(Exception):  # noqa: N818 (it is no error, it is an answer)
    """The docking process ended instead of answering."""

    def __init__(self, stage: str, reason: str, *, may_be_chance: bool) -> None:
        super().__init__(reason)
        self.outcome = FailedMolecule(stage, reason)
        self.may_be_chance = may_be_chance


class StartGate:
    """Lets one docking process start alone; once it is up, all others may start at a time.

    The first one compiles the kernels and leaves them in Numba's cache. Two that compile at once
    on two cores took 188 s where one takes half of that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """Hold everybody else back until the first has come through."""
        if self._is_open:
            yield
            return
        with self._lock:
            yield
            self._is_open = True


class Supervisor(Generic[Done]):
    """One docking process: started when needed, watched, killed and replaced.

    Parameters
    ----------
    job
        What the process is to do.
    publisher
        Who hears of restarts.
    stop
        Set from elsewhere when the run is to end early.
    gate
        Shared by all supervisors of a run.
    memory_limit
        Bytes of resident memory that the process may hold; 0 for no limit.
    attempts
        How often an item may end its process, where that can be chance, before it is to blame.
    """

    def __init__(
        self,
        job: Job,
        publisher: Publisher,
        stop: threading.Event,
        gate: StartGate,
        memory_limit: int = 0,
        attempts: int = _ATTEMPTS,
    ) -> None:
        self._attempts = attempts
        self._gate = gate
        self._job = job
        self._publisher = publisher
        self._stop = stop
        self._memory_limit = memory_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._watched: psutil.Process | None = None
        self._wire: Wire | None = None
        self._messages: IO[bytes] | None = None
        self._deaths_in_a_row = 0
        self._sent_ahead: Item | None = None

    def dock(
        self, record: Item, ahead: Callable[[], Item | None] | None = None
    ) -> Done | FailedMolecule:
        """Return what became of a record, whatever its docking does to the process.

        Parameters
        ----------
        record
            What to do; the one that was sent ahead last time, if there was one.
        ahead
            Asked while this record is under way, until it has one, for the record that comes next:
            it is sent at once, so that the process can get it ready meanwhile. One whose process
            ends is forgotten.

        Raises
        ------
        OsongError
            Not the molecule but something all of them need is at fault.
        """
        for attempt in range(1, self._attempts + 1):
            try:
                outcome = self._ask(record, ahead)
            except _Died as death:
                self.close()
                outcome = death.outcome
                self._publisher(WorkerRestarted(record.index, record.name, death.outcome.reason))
                if death.may_be_chance and attempt < self._attempts:
                    continue
                self._count_death(death)
            else:
                self._deaths_in_a_row = 0
            return outcome
        raise AssertionError("unreachable: the last attempt returns")

    def start(self) -> None:
        """Start the docking process, unless it runs, and wait until it can dock.

        Raises
        ------
        OsongError
            It cannot start.
        """
        self._check_stop()
        if self._process is None:
            with self._gate.passing():
                self._start_or_give_up()

    def close(self) -> None:
        """End the docking process, however busy it is."""
        if self._process is not None:
            self._process.kill()
            # One that is stuck in a driver does not die, and nothing here can help that.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_DEATH_S)
        if self._wire is not None:
            self._wire.close()
        if self._messages is not None:
            self._messages.close()
        self._process = self._wire = self._messages = self._watched = self._sent_ahead = None

    def _count_death(self, death: _Died) -> None:
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= _MAX_DEATHS_IN_A_ROW:
            raise CampaignError(
                f"{self._deaths_in_a_row} molecules in a row ended their {self._job.work} process, "
                f"the last with: {death.outcome.reason}; run osong doctor, then "
                f"{self._job.go_on}"
            )

    def _ask(self, record: Item, ahead: Callable[[], Item | None] | None) -> Done | FailedMolecule:
        """Send a record and wait for its outcome."""
        self.start()
        if self._messages is not None:
            # Only what the record at hand says is kept; a library's worth of warnings is not.
            self._messages.truncate(0)
        is_there, self._sent_ahead = self._sent_ahead, None
        if self._wire is None:
            raise AssertionError("start comes first")
        if is_there is None:
            self._wire.send_later(record)
        elif is_there is not record:
            raise AssertionError("what was sent ahead comes next")
        answer = self._wait(self._job.limit_s, self._memory_limit, ahead)
        if isinstance(answer, OsongError):
            raise answer
        outcome: Done | FailedMolecule = answer
        return outcome

    def _start_or_give_up(self) -> None:
        """Start the process; one that is killed meanwhile may have been killed by accident."""
        for attempt in range(1, _ATTEMPTS + 1):
            self._check_stop()
            try:
                self._start()
            except _Died as death:
                if death.may_be_chance and attempt < _ATTEMPTS:
                    continue
                raise CampaignError(
                    f"a {self._job.work} process cannot start: {death.outcome.reason}; "
                    "run: osong doctor"
                ) from death
            return

    def _start(self) -> None:
        """Start a docking process and wait until it can dock."""
        ours, theirs = Pipe()
        self._wire = Wire(ours)
        with theirs:
            self._messages, self._process = spawn(theirs.fileno())
        self._watched = psutil.Process(self._process.pid)
        try:
            self._wire.send(self._job)
            # Compiling takes more memory than docking, and no molecule is to blame for it.
            answer = self._wait(START_LIMIT_S, memory_limit=0)
        except (OSError, _Died) as error:
            death = error if isinstance(error, _Died) else self._post_mortem()
            self.close()
            raise death from error
        if answer != READY:
            self.close()
            raise answer
        self._publisher(WorkerReady(self._process.pid))

    def _wait(
        self, limit_s: float, memory_limit: int, ahead: Callable[[], Item | None] | None = None
    ) -> Any:
        """Return the next answer, or raise `_Died` after killing for time or memory."""
        if self._wire is None:
            raise AssertionError("_start comes first")
        deadline = time.monotonic() + limit_s
        while True:
            if ahead is not None and (item := ahead()) is not None:
                self._wire.send_later(item)
                self._sent_ahead, ahead = item, None
            try:
                if self._wire.has_answer(_TICK_S if ahead is None else _AHEAD_TICK_S):
                    return self._wire.answer()
            except (EOFError, OSError) as error:
                raise self._post_mortem() from error
            self._check_stop()
            if time.monotonic() > deadline:
                raise _Died("time", f"took longer than {limit_s:g} s", may_be_chance=False)
            if memory_limit and self._resident_bytes() > memory_limit:
                reason = f"needed more than {memory_limit / 2**20:.0f} MiB"
                # What earlier molecules left behind counts too: a fresh process tells.
                raise _Died("memory", reason, may_be_chance=True)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise CampaignError(f"the run was stopped; {self._job.go_on}")

    def _resident_bytes(self) -> int:
        with contextlib.suppress(psutil.Error):
            if self._watched is not None:
                return int(self._watched.memory_info().rss)
        return 0

    def _post_mortem(self) -> _Died:
        """Return why the process ended, in words that are the same in every run."""
        if self._process is None:
            raise AssertionError("_start comes first")
        try:
            code = self._process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:
            return _Died("crash", "closed its pipe and hung", may_be_chance=True)
        if -code in _STOP_SIGNALS:
            raise CampaignError(
                f"a {self._job.work} process was told to stop ({signal.Signals(-code).name}); "
                f"{self._job.go_on}"
            )
        if code == BUG_EXIT_CODE:
            return _Died("crash", f"unexpected error: {self._last_words()}", may_be_chance=False)
        if code < 0:
            reason = f"the process died of {_signal_name(-code)}"
        else:
            reason = f"the process ended itself with code {code}"
        return _Died("crash", reason, may_be_chance=True)

    def _last_words(self) -> str:
        """Return the last line of the process's messages, without memory addresses."""
        if self._messages is None:
            return ""
        end = self._messages.seek(0, os.SEEK_END)
        self._messages.seek(max(0, end - 2000))
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        return re.sub(r"0x[0-9a-f]+", "0x...", lines[-1]) if lines else ""


class Supervisors(Generic[Done]):
    """The supervisors of a run, one for each thread that calls.

    Parameters
    ----------
    job, publisher, memory_limit
        As for `Supervisor`.
    """

    def __init__(self, job: Job, publisher: Publisher, memory_limit: int = 0) -> None:
        self._job = job
        self._publisher = publisher
        self._memory_limit = memory_limit
        self._stop = threading.Event()
        self._gate = StartGate()
        self._lock = threading.Lock()
        self._of_thread: dict[int, Supervisor[Done]] = {}

    def dock(self, record: Item) -> Done | FailedMolecule:
        """Return what became of a record, by the calling thread's own docking process."""
        return self._mine().dock(record)

    def rest(self) -> None:
        """End the calling thread's docking process until it is needed again."""
        self._mine().close()

    def stop(self) -> None:
        """Make records that are under way end soon, without an outcome."""
        self._stop.set()

    def close(self) -> None:
        """End all docking processes."""
        self.stop()
        with self._lock:
            for supervisor in self._of_thread.values():
                supervisor.close()
            self._of_thread.clear()

    def _mine(self) -> Supervisor[Done]:
        thread = threading.get_ident()
        with self._lock:
            if thread not in self._of_thread:
                self._of_thread[thread] = Supervisor(
                    self._job, self._publisher, self._stop, self._gate, self._memory_limit
                )
            return self._of_thread[thread]


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
