"""Dask tasks and a source of tasks without campaigns, for tests of clusters.

The functions run inside Dask workers. A worker process is told what to do by files in the folder
that its order names: they work across processes and nodes.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from distributed import get_worker

from osong.errors import ResourceError
from osong_workflows.tasks import DockChunk, Task, TaskResult, WorkOrder
from osong_workflows.worker_process import Refusal

BROKEN = "broken"
"""A worker whose pid is in the file of this name refuses; "all" means every worker."""


def nothing(order: WorkOrder, task: Task) -> TaskResult:
    return TaskResult(host=str(os.getpid()), seconds=0.0)


def nap(order: WorkOrder, task: Task) -> TaskResult:
    _note(order, f"{task.chunk}")
    time.sleep(0.2)
    return TaskResult(host=str(os.getpid()), seconds=0.2)


def long_nap(order: WorkOrder, task: Task) -> TaskResult:
    _note(order, f"{task.chunk}")
    time.sleep(10)
    return TaskResult(host=str(os.getpid()), seconds=10)


def refuse(order: WorkOrder, task: Task) -> TaskResult | Refusal:
    """Refuse in the process that came first, or in all."""
    marker = Path(order.folder) / BROKEN
    if marker.exists() and marker.read_text() in ("all", str(os.getpid())):
        return Refusal(get_worker().address, "here", ResourceError("no room for grid maps"))
    try:
        with marker.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return nap(order, task)
    return refuse(order, task)


def deadly(order: WorkOrder, task: Task) -> TaskResult:
    """Kill the worker at chunk 3, each time; sleep otherwise."""
    if task.chunk == 3:
        _note(order, "died")
        os.kill(os.getpid(), signal.SIGKILL)
    return nap(order, task)


def bug(order: WorkOrder, task: Task) -> TaskResult:
    raise KeyError("a bug")


def _note(order: WorkOrder, line: str) -> None:
    descriptor = os.open(
        Path(order.folder) / "calls.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def calls(folder: Path) -> Counter[str]:
    path = folder / "calls.txt"
    return Counter(path.read_text().split()) if path.exists() else Counter()


@dataclass
class FakeSource:
    """Hands out chunks, and notes what it hears; what is lost is handed out no more."""

    n: int
    stop_after: int | None = None
    results: dict[int, TaskResult] = field(default_factory=dict)
    losses: dict[int, str] = field(default_factory=dict)
    rejections: list[tuple[str, str]] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    most_under_way: int = 0
    is_over: bool = False

    def __post_init__(self) -> None:
        self.left = deque(range(self.n))
        self.under_way: set[int] = set()

    def take(self, *, wait: bool) -> Task | None:
        assert wait == (not self.under_way)
        if not self.left:
            return None
        chunk = self.left.popleft()
        self.under_way.add(chunk)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        return DockChunk(chunk)

    def done(self, task: Task, result: TaskResult) -> None:
        assert isinstance(task, DockChunk)
        assert task.chunk not in self.results
        self.under_way.remove(task.chunk)
        self.results[task.chunk] = result

    def lost(self, task: Task, reason: str) -> None:
        assert isinstance(task, DockChunk)
        self.under_way.remove(task.chunk)
        self.losses[task.chunk] = reason

    def rejected(self, host: str, reason: str) -> None:
        self.rejections.append((host, reason))

    def workers(self, n_workers: int, n_threads: int) -> None:
        self.counts.append((n_workers, n_threads))

    @property
    def is_stopping(self) -> bool:
        return self.stop_after is not None and len(self.results) >= self.stop_after
