"""The local runner: a Dask cluster on this machine, one worker for each docking process.

The Dask workers are threads of this process that wait on pipes; docking runs in processes of its
own that a `Supervisor` watches (see docs/adr/0005-campaign-folder.md for why not in nannies).
"""

from __future__ import annotations

import logging
import queue
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from distributed import Client, Future, LocalCluster
from distributed import Worker as DaskWorker

if TYPE_CHECKING:
    from osong_workflows.runners.base import TaskSource, Worker
    from osong_workflows.tasks import Task, TaskResult

__all__ = ["LocalRunner"]

_LOOPBACK: Final = "127.0.0.1:0"
"""Any free port, and none that another machine can reach."""
_POLL_S: Final = 0.5
"""How soon a signal, or a shard that another pilot left, is noticed while tasks are under way."""

_FAILED_S: Final = 1.0
"""A worker rests so long after an error of the system, which may pass."""

_WORKERS: Final[dict[str, Worker]] = {}
"""Who does tasks in this process, by token: Dask's tasks carry the token, not pipes and threads."""


class _LoopbackWorker(DaskWorker):
    """A Dask worker whose health page is for this machine only; Dask would listen to all."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options |= {"dashboard": False, "dashboard_address": _LOOPBACK}
        super().__init__(*arguments, **options)


class LocalRunner:
    """Does several tasks at a time.

    Parameters
    ----------
    worker
        What does them.
    workers
        Tasks at a time.
    """

    def __init__(self, worker: Worker, workers: int) -> None:
        self._worker = worker
        self._workers = workers

    def run(self, tasks: TaskSource) -> None:
        """Have tasks done until there are none; the first error ends the run."""
        first = tasks.take(wait=True)
        if first is None:
            return
        token = uuid.uuid4().hex
        _WORKERS[token] = self._worker
        try:
            with self._cluster() as cluster, Client(cluster, set_as_default=False) as client:
                tasks.workers(self._workers, self._workers)
                try:
                    _Drive(client, token, tasks, self._workers).run(first)
                finally:
                    # What may still be under way is told before the cluster waits for it.
                    self._worker.stop()
        finally:
            del _WORKERS[token]

    def _cluster(self) -> LocalCluster:
        return LocalCluster(
            n_workers=self._workers,
            threads_per_worker=1,
            processes=False,
            # The limits that count are those of the docking processes.
            memory_limit=0,
            worker_class=_LoopbackWorker,
            # None would take port 8787 all the same, and warn where it is taken.
            dashboard_address=_LOOPBACK,
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.ERROR,
        )


class _Drive:
    """Keeps every worker busy: one task each, and one more in waiting for all of them."""

    def __init__(self, client: Client, token: str, tasks: TaskSource, workers: int) -> None:
        self._client = client
        self._token = token
        self._tasks = tasks
        self._window = workers + 1
        self._under_way: dict[Future, Task] = {}
        self._completed: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def run(self, first: Task) -> None:
        """Submit and collect until there is nothing under way and nothing to come."""
        self._submit(first)
        while self._under_way and not self._tasks.is_stopping:
            self._collect()
            while len(self._under_way) < self._window:
                task = self._tasks.take(wait=not self._under_way)
                if task is None:
                    break
                self._submit(task)

    def _submit(self, task: Task) -> None:
        future = self._client.submit(_do, self._token, task, pure=False, retries=0)
        self._under_way[future] = task
        future.add_done_callback(self._completed.put)

    def _collect(self) -> None:
        """Take one task that is done, or none after a while."""
        try:
            future = self._completed.get(timeout=_POLL_S)
        except queue.Empty:
            return
        task = self._under_way.pop(future)
        result = future.result()
        future.release()
        if isinstance(result, OSError):
            self._tasks.lost(task, f"{result}")
        elif isinstance(result, Exception):
            raise result
        else:
            self._tasks.done(task, result)


def _do(token: str, task: Task) -> TaskResult | Exception:
    """Do one task; the Dask task. An error is returned, since Dask logs what is raised."""
    try:
        return _WORKERS[token].do(task)
    except OSError as error:
        # Before the next try, elsewhere or here.
        time.sleep(_FAILED_S)
        return error
    except Exception as error:  # noqa: BLE001 (it is raised by who waits for the result)
        return error
