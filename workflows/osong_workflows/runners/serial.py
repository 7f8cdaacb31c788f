"""The serial runner: one task after the other, in order; the specification of the others."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from osong.errors import OsongError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osong_workflows.runners.base import TaskSource, Worker

__all__ = ["SerialRunner"]

_LOOK_S: Final = 0.5
"""How soon a task under way hears that it is to be given up."""


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
        with self._stopping_in_time(tasks):
            while (task := tasks.take(wait=True)) is not None:
                try:
                    result = self._worker.do(task)
                except OsongError:
                    if tasks.is_stopping:
                        return
                    raise
                tasks.done(task, result)

    @contextlib.contextmanager
    def _stopping_in_time(self, tasks: TaskSource) -> Iterator[None]:
        """Tell the worker, from another thread, when what is under way is to be given up."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(_LOOK_S):
                if tasks.is_stopping:
                    self._worker.stop()
                    return

        thread = threading.Thread(target=look, name="osong-serial", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
