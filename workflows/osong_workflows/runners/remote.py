"""The loop that all Dask runners share: it keeps a cluster's threads in work from a `TaskSource`.

Workers may come and go at any time. It submits little more than there are threads, so that what is
left is handed out as late as possible.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distributed import KilledWorker, as_completed

from osong.errors import CampaignError
from osong_workflows.tasks import DockChunk
from osong_workflows.worker_process import Failure, Refusal, run_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Future

    from osong.errors import OsongError
    from osong_workflows.runners.base import TaskSource
    from osong_workflows.tasks import Task
    from osong_workflows.worker_process import Answer

__all__ = ["USUAL_PATIENCE", "Patience", "RemoteTasks", "nothing_known"]

_TICK_S: Final = 0.5
"""How often new tasks are asked for while others are under way."""
_LOOK_S: Final = 2.0
"""How often workers are counted: a thousand of them are some ten kilobytes."""
_MAX_FAILED: Final = 2
"""A worker on which so many tasks in a row failed is itself at fault."""


@dataclass(frozen=True)
class Patience:
    """How long a run waits for workers, in seconds.

    Attributes
    ----------
    first_s
        For the first one.
    again_s
        For another one, when all are gone.
    refused_s
        For another one, when all were sent away because they could not work.
    """

    first_s: float = 600.0
    again_s: float = 300.0
    refused_s: float = 30.0


USUAL_PATIENCE: Final = Patience()


def nothing_known() -> str:
    """Return that workers may come: what `RemoteTasks` asks whoever starts them."""
    return ""


class RemoteTasks:
    """Has tasks done by the workers of a cluster.

    Parameters
    ----------
    client
        Of the cluster.
    tasks
        Where tasks come from.
    arguments
        What `function` gets before the task: a work order.
    function
        The Dask task.
    patience
        How long to wait for workers.
    logs
        Where workers write what goes wrong, for messages.
    why_none
        Says why no worker will come any more; "" while one may. Called twice a second.
    n_expected
        Workers that were started, where that is known: when all of them were sent away, nobody
        is waited for.
    """

    def __init__(
        self,
        client: Client,
        tasks: TaskSource,
        arguments: tuple[object, ...],
        *,
        function: Callable[..., Answer] = run_task,
        patience: Patience = USUAL_PATIENCE,
        logs: str = "",
        why_none: Callable[[], str] = nothing_known,
        n_expected: int | None = None,
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._arguments = arguments
        self._function = function
        self._patience = patience
        self._logs = logs
        self._why_none = why_none
        self._n_expected = n_expected
        self._under_way: dict[Future, Task] = {}
        # A future that is finished may still lose its result with its worker; Dask then does it
        # again, for minutes, and only this class waits for each on its own.
        self._ended = as_completed(with_results=True, raise_errors=False, loop=client.loop)
        self._again: deque[Task] = deque()
        self._refusals: dict[str, OsongError] = {}
        # Tasks that failed since the last that did not, by host and worker.
        self._failed_at: dict[str, dict[str, set[tuple[bool, int]]]] = {}
        self._workers: dict[str, int] = {}
        self._had_workers = False
        self._none_since = time.monotonic()
        self._n_submitted = 0
        self._next_look = 0.0

    def run(self) -> None:
        """Have tasks done until there are none.

        Raises
        ------
        OsongError
            No worker is left, or the last one could not work.
        """
        try:
            while not self._tasks.is_stopping:
                self._look_at_workers()
                is_idle = not self._workers and not self._under_way
                if (is_idle and self._tasks.is_over) or not self._submit():
                    return
                self._wait()
        finally:
            # Without its scheduler, a client would try to find it for a minute.
            if self._client.status == "running":
                with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                    self._client.cancel(list(self._under_way), force=True)
            self._under_way.clear()

    def _submit(self) -> bool:
        """Hand out what there is room for; return whether to go on."""
        new: list[Task] = []
        while self._workers and len(self._under_way) + len(new) < self._window():
            if self._again:
                new.append(self._again.popleft())
                continue
            idle = not self._under_way and not new
            task = self._tasks.take(wait=idle)
            if task is None:
                if idle:
                    return False
                break
            new.append(task)
        if new:
            if not self._under_way:
                self._n_submitted = 0
            self._n_submitted += len(new)
            futures = self._client.map(self._function, *self._columns(new), pure=False, retries=0)
            self._under_way.update(zip(futures, new, strict=True))
            self._ended.update(futures)
        return True

    def _columns(self, new: list[Task]) -> list[list[Any]]:
        """Return the arguments of some tasks as ``map`` wants them."""
        return [[argument] * len(new) for argument in self._arguments] + [new]

    def _window(self) -> int:
        """Return how many tasks may be under way: all threads busy, and few waiting.

        Dask queues what waits at the scheduler, for the first thread that is free, when it has
        seen more than two tasks a thread; before that it would bind each to a worker.
        """
        n_threads = sum(self._workers.values())
        if self._n_submitted <= 2 * n_threads:
            return n_threads
        return n_threads + max(2, n_threads // 4)

    def _wait(self) -> None:
        """Wait a moment for tasks to end; deal with all that have."""
        with contextlib.suppress(queue.Empty):
            self._end(*self._ended.queue.get(timeout=_TICK_S))
            while True:
                self._end(*self._ended.queue.get_nowait())
        # When a result was lost and then its task as well, nobody is told.
        for future in [each for each in self._under_way if each.status == "error"]:
            self._end(future, None)

    def _end(self, future: Future, answer: Any) -> None:
        """Deal with a task that has ended."""
        task = self._under_way.pop(future, None)
        if task is None:
            return
        if future.status == "error":
            self._failed(task, future.exception())
        elif future.status != "finished":
            raise self._no_scheduler()
        elif isinstance(answer, Refusal):
            self._again.append(task)
            self._send_away(answer)
        elif isinstance(answer, Failure):
            self._failed_here(task, answer)
        else:
            self._failed_at.pop(answer.host, None)
            self._tasks.done(task, answer)

    def _failed(self, task: Task, error: BaseException) -> None:
        """Give a task back that took its workers along; all else is an error of ours."""
        if isinstance(error, OSError):
            self._tasks.lost(task, f"{type(error).__name__}: {error}")
            return
        if not isinstance(error, KilledWorker):
            raise error
        self._tasks.lost(task, f"its worker died, and so did the next: {error.last_worker.name}")

    def _failed_here(self, task: Task, failure: Failure) -> None:
        """Give a failed task back; send its worker away when others failed there too."""
        if failure.worker in self._refusals:
            # It was at fault, not the task.
            self._again.append(task)
            return
        failed = self._failed_at.setdefault(failure.host, {}).setdefault(failure.worker, set())
        failed.add(_name(task))
        if len(failed) >= _MAX_FAILED:
            self._again.append(task)
            self._send_away(Refusal(failure.worker, failure.host, failure.error))
        else:
            self._tasks.lost(task, f"{failure.host}: {failure.error}")

    def _send_away(self, refusal: Refusal) -> None:
        """Give no more tasks to a worker that cannot work; its other threads may say so too.

        It stays, idle: launchers take a rank or a task that ends early for a failure.
        """
        if refusal.worker in self._refusals:
            return
        self._refusals[refusal.worker] = refusal.error
        self._tasks.rejected(refusal.host, str(refusal.error))
        self._client.retire_workers([refusal.worker], close_workers=False, remove=False)
        self._next_look = 0.0

    def _look_at_workers(self) -> None:
        """Count the workers now and then; give up when none will come.

        Raises
        ------
        OsongError
            What the last worker lacked, or that there is none.
        """
        now = time.monotonic()
        if self._workers and now < self._next_look:
            return
        if self._client.status != "running":
            raise self._no_scheduler()
        self._next_look = now + _LOOK_S
        # Without those that are about to close.
        found = self._client.sync(self._client.scheduler.ncores_running)
        workers = {name: n for name, n in found.items() if name not in self._refusals}
        if workers != self._workers:
            self._workers = workers
            self._tasks.workers(len(workers), sum(workers.values()))
        gone = self._why_none()
        if workers:
            self._had_workers = True
            self._none_since = now
        else:
            self._check_patience(now - self._none_since, gone)

    def _check_patience(self, waited_s: float, gone: str) -> None:
        """Give up when no worker will come."""
        if self._refusals:
            last = list(self._refusals.values())[-1]
            expected = self._n_expected
            all_refused = expected is not None and len(self._refusals) >= expected
            if gone or all_refused or waited_s > self._patience.refused_s:
                raise last
        limit_s = self._patience.again_s if self._had_workers else self._patience.first_s
        if not gone and waited_s <= limit_s:
            return
        what = (
            "all workers are gone and none came back"
            if self._had_workers
            else f"no worker has reached the scheduler at {self._client.scheduler.address}"
        )
        why = gone or f"within {limit_s:g} s"
        where = f"; their messages are in {self._logs}" if self._logs else ""
        raise CampaignError(f"{what}: {why}{where}")

    def _no_scheduler(self) -> CampaignError:
        return CampaignError(
            "the scheduler is gone; what is finished is kept, continue with: osong resume"
        )


def _name(task: Task) -> tuple[bool, int]:
    """Return what a task is about, with care or without."""
    return (True, task.chunk) if isinstance(task, DockChunk) else (False, task.shard)
