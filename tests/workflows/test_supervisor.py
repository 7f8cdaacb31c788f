"""Supervising processes that do not do what processes do."""

from __future__ import annotations

import subprocess
import threading

from osong_workflows.child import Job
from osong_workflows.events import Publisher
from osong_workflows.supervisor import StartGate, Supervisor


class Stuck:
    """A process in a driver's call that does not return: no signal ends it."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []

    def kill(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int:
        self.waits.append(timeout)
        raise subprocess.TimeoutExpired("child", timeout or 0.0)


def test_a_process_that_does_not_die_is_left_behind() -> None:
    job = Job("", None)  # type: ignore[arg-type]
    supervisor: Supervisor[object] = Supervisor(job, Publisher(), threading.Event(), StartGate())
    stuck = Stuck()
    supervisor._process = stuck  # type: ignore[assignment]
    supervisor.close()
    assert stuck.waits == [10.0]
    assert supervisor._process is None
