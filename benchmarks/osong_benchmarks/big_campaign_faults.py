"""What happens to the jobs of a campaign while it runs: something, every few seconds."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import psutil

from osong_benchmarks.faults_campaign import (
    TimeOut,
    is_docking,
    is_rank,
    is_worker,
    marked_processes,
)

if TYPE_CHECKING:
    from osong_benchmarks.faults_bed import Bed

__all__ = ["Disturber"]

_DOWN_S: Final = 90.0
"""So long a node without power stays so at most; it comes back when Slurm has given it up."""
_WEIGHTS: Final = {
    "docking process killed": 5,
    "worker killed": 5,
    "rank killed": 4,
    "pilot killed": 2,
    "scheduler killed": 2,
    "job requeued": 2,
    "node lost": 2,
}


class Disturber(threading.Thread):
    """Disturbs jobs until it is told to stop.

    Parameters
    ----------
    bed
        The cluster.
    mark
        In the environment of all processes of the campaign.
    array
        The job array of its pilots.
    every_s
        Mean seconds between two failures.
    seed
        Of what is left to chance.

    Attributes
    ----------
    counts
        What was done, how often.
    """

    def __init__(
        self, bed: Bed, mark: str, array: Callable[[], str], every_s: float, seed: int
    ) -> None:
        super().__init__(name="disturber", daemon=True)
        self.counts: Counter[str] = Counter()
        self._bed = bed
        self._mark = mark
        self._array = array
        self._every_s = every_s
        self._rng = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        """Do something, again and again."""
        while not self._over.wait(self._rng.uniform(0.5, 1.5) * self._every_s):
            (kind,) = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
            # Between a look at a job and the blow it may have ended.
            with contextlib.suppress(TimeOut, psutil.Error):
                if self._do(kind):
                    self.counts[kind] += 1
                    print(f"{time.strftime('%T')} {kind}", flush=True)

    def stop(self) -> None:
        """End it, and bring all nodes back."""
        self._over.set()
        self.join()
        self._bed.mend()

    def _do(self, kind: str) -> bool:
        """Do one thing; return whether there was anything to do it to."""
        if not self._found(is_docking):
            return False
        if kind == "job requeued":
            return self._requeue()
        if kind == "node lost":
            return self._lose_node()
        by_kind: dict[str, list[Callable[[psutil.Process, list[str]], bool]]] = {
            "docking process killed": [is_docking],
            "worker killed": [is_worker],
            "rank killed": [is_rank(number) for number in (2, 3, 4, 5)],
            "pilot killed": [is_rank(1)],
            "scheduler killed": [is_rank(0)],
        }
        found = [process for is_wanted in by_kind[kind] for process in self._found(is_wanted)]
        if found:
            self._rng.choice(found).kill()
        return bool(found)

    def _found(
        self, is_wanted: Callable[[psutil.Process, list[str]], bool]
    ) -> list[psutil.Process]:
        found = []
        for process, words in marked_processes(self._mark):
            with contextlib.suppress(psutil.Error):
                if is_wanted(process, words):
                    found.append(process)
        return found

    def _jobs(self) -> list[str]:
        words = ("--states=RUNNING", "--format=%i", "--array", "--noheader")
        return self._bed.slurm("squeue", f"--jobs={self._array()}", *words).split()

    def _requeue(self) -> bool:
        jobs = self._jobs()
        if jobs:
            self._bed.slurm("scontrol", "requeue", self._rng.choice(jobs))
        return bool(jobs)

    def _lose_node(self) -> bool:
        jobs = self._jobs()
        if not jobs:
            return False
        job = self._rng.choice(jobs)
        names = self._bed.slurm("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
        nodes = self._bed.slurm("scontrol", "show", "hostnames", names).split()
        node = self._rng.choice(nodes)
        self._bed.lose(node)
        deadline = time.monotonic() + _DOWN_S
        while time.monotonic() < deadline and not self._over.wait(1.0):
            # One that comes back sooner, without having booted, leaves Slurm waiting for its tasks.
            if "down" in self._bed.slurm("sinfo", "--noheader", f"--nodes={node}", "--format=%T"):
                break
        self._bed.mend()
        return True
