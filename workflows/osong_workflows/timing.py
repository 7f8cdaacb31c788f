"""What a molecule takes on this machine: some are prepared and docked, and nothing is kept."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from osong.errors import InputError
from osong_workflows.child import Job
from osong_workflows.estimate import MoleculeTime
from osong_workflows.events import MoleculesDone, Publisher, WorkerReady
from osong_workflows.outcome import FailedMolecule
from osong_workflows.supervisor import Supervisors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong.library import Record
    from osong_workflows.create import TargetLike
    from osong_workflows.events import Event, Subscriber
    from osong_workflows.outcome import DockedMolecule
    from osong_workflows.settings import CampaignSettings

__all__ = ["measure_time", "spread_records"]

_TARGET: Final = "target.osong"


def spread_records(records: Sequence[Record], n: int) -> list[Record]:
    """Return so many records, evenly spaced; all where there are no more.

    Raises
    ------
    InputError
        None are wanted.
    """
    if n < 1:
        raise InputError(f"the sample must be of at least 1 molecule, got {n}")
    if n >= len(records):
        return list(records)
    return [records[i * len(records) // n] for i in range(n)]


def measure_time(
    target: TargetLike,
    settings: CampaignSettings,
    records: Sequence[Record],
    subscribers: Sequence[Subscriber] = (),
) -> MoleculeTime:
    """Return what a molecule takes, from docking these in a process of its own.

    Imports, compilation and grid maps are not counted: they come once for each worker.

    Parameters
    ----------
    target
        What to dock to.
    settings
        How.
    records
        The molecules.
    subscribers
        Functions that hear how far it is (``MoleculesDone``).

    Raises
    ------
    OsongError
        Not a molecule but something that all of them need is at fault.
    """
    clock = _Clock()
    publisher = Publisher([clock, *subscribers])
    seconds, n_failed = [], 0
    with tempfile.TemporaryDirectory(prefix="osong-plan-") as folder:
        path = Path(folder) / _TARGET
        target.save(path)
        job = Job(str(path), settings, go_on="run the same command again")
        docking: Supervisors[DockedMolecule] = Supervisors(job, publisher)
        with contextlib.closing(docking):
            for record in records:
                clock.begin()
                outcome = docking.dock(record)
                seconds.append(clock.seconds())
                is_failed = isinstance(outcome, FailedMolecule)
                n_failed += is_failed
                publisher(MoleculesDone(int(not is_failed), int(is_failed)))
    mean = sum(seconds) / len(seconds)
    variance = sum((one - mean) ** 2 for one in seconds) / max(len(seconds) - 1, 1)
    return MoleculeTime(
        seconds=max(mean, 1e-6),
        uncertainty=math.sqrt(variance / len(seconds)),
        n_measured=len(seconds),
        n_failed=n_failed,
    )


class _Clock:
    """Tells the seconds of a record: of the processor, which others on the machine do not slow.

    By the clock on the wall where the process died or used too little for the system to tell.
    What came before a process was ready does not count.
    """

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._wall = self._cpu = 0.0

    def __call__(self, event: Event) -> None:
        """Hear of a process that is ready."""
        if isinstance(event, WorkerReady):
            self._process = psutil.Process(event.pid)
            self.begin()

    def begin(self) -> None:
        """Start to count."""
        self._wall, self._cpu = time.perf_counter(), self._cpu_seconds()

    def seconds(self) -> float:
        """Return what was counted."""
        cpu = self._cpu_seconds() - self._cpu
        wall = time.perf_counter() - self._wall
        return cpu if 0 < cpu < wall else wall

    def _cpu_seconds(self) -> float:
        if self._process is None:
            return 0.0
        try:
            times = self._process.cpu_times()
        except psutil.Error:
            return math.inf  # it has died
        return times.user + times.system
