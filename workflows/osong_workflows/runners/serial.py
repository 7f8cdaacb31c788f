"""The serial runner: one task after the other, in order; the specification of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osong_workflows.runners.base import TaskSource, Worker

__all__ = ["SerialRunner"]


class SerialRunner:
    """Does tasks one after the other in the calling thread.

    Parameters
    ----------
    worker
        What does them.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def run(self, tasks: TaskSource) -> None:
        """Have tasks done until there are none."""
        tasks.workers(1, 1)
        while (task := tasks.take(wait=True)) is not None:
            tasks.done(task, self._worker.do(task))
