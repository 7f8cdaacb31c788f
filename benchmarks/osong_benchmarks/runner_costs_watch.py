"""What processes that come and go take in all: CPU seconds, bytes over the loopback interface."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from osong_benchmarks.faults_campaign import MARK

__all__ = ["CpuWatch", "loopback_bytes"]

_TICK_S: Final = 0.15


class CpuWatch:
    """Adds up the CPU time of all processes that have a mark in their environment.

    What a process takes after the last look at it is missed, up to 0.15 s of its life.

    Parameters
    ----------
    mark
        The mark's value.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._seen: dict[tuple[int, float], float] = {}
        self._others: set[tuple[int, float]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def seconds(self) -> float:
        """CPU seconds so far."""
        return sum(self._seen.values())

    def __enter__(self) -> CpuWatch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_TICK_S):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    self._look(process)

    def _look(self, process: psutil.Process) -> None:
        name = (process.pid, process.create_time())
        if name in self._others:
            return
        if name not in self._seen:
            environment = process.environ()
            if environment.get(MARK) != self._mark:
                # An environment may still be that of the parent's, before exec.
                if environment:
                    self._others.add(name)
                return
        times = process.cpu_times()
        self._seen[name] = times.user + times.system


def loopback_bytes() -> int:
    """Return how many bytes this machine has sent to itself."""
    for line in Path("/proc/self/net/dev").read_text(encoding="ascii").splitlines():
        interface, _, counters = line.partition(":")
        if interface.strip() == "lo":
            return int(counters.split()[0])
    return 0
