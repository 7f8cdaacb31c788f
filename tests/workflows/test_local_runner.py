"""The local runner with workers that fail."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from osong_fake_tasks import FakeSource

from osong_workflows.runners import local
from osong_workflows.runners.local import LocalRunner
from osong_workflows.tasks import DockChunk, Task, TaskResult


class Troubled:
    """A worker that raises an error at one chunk, and rests at others until told to stop."""

    def __init__(self, error: Exception, at: int, rests_at: frozenset[int] = frozenset()) -> None:
        self.error = error
        self.at = at
        self.rests_at = rests_at
        self.calls: Counter[int] = Counter()
        self.told_to_stop = threading.Event()
        self.resting = threading.Event()

    def do(self, task: Task) -> TaskResult:
        assert isinstance(task, DockChunk)
        self.calls[task.chunk] += 1
        if task.chunk == self.at:
            if self.rests_at:
                self.resting.wait(30)
            raise self.error
        if task.chunk in self.rests_at:
            self.resting.set()
            self.told_to_stop.wait(60)
        return TaskResult()

    def stop(self) -> None:
        self.told_to_stop.set()


def test_an_error_of_the_file_system_is_a_lost_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_FAILED_S", 0.0)
    source = FakeSource(6)
    LocalRunner(Troubled(OSError("Stale file handle"), at=2), 2).run(source)
    assert sorted(source.results) == [0, 1, 3, 4, 5]
    assert source.losses == {2: "Stale file handle"}


def test_an_error_that_nobody_expected_ends_the_run_at_once() -> None:
    worker = Troubled(KeyError("a bug"), at=0, rests_at=frozenset({1}))
    caught: list[KeyError] = []

    def run() -> None:
        try:
            LocalRunner(worker, 2).run(FakeSource(6))
        except KeyError as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert worker.told_to_stop.is_set()
    assert len(caught) == 1
