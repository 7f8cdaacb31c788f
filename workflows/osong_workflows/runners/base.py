"""What a runner is: something that takes tasks from a pilot and has them done somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

from osong.errors import InputError

if TYPE_CHECKING:
    from osong_workflows.tasks import Task, TaskResult

__all__ = ["RUNNERS", "Runner", "RunnerName", "TaskSource", "Worker", "check_runner"]

RunnerName: TypeAlias = Literal["serial", "local", "srun", "mpi"]
RUNNERS: tuple[str, ...] = get_args(RunnerName)


class TaskSource(Protocol):
    """Where a runner gets its tasks (see ``osong_workflows.feed.Feed``); used from one thread."""

    def take(self, *, wait: bool) -> Task | None:
        """Return the next task, or None.

        Parameters
        ----------
        wait
            Nothing is under way at this runner: wait until there is a task, and return None only
            when there will be none any more. Otherwise return None at once if there is none now.
        """

    def done(self, task: Task, result: TaskResult) -> None:
        """Take the result of a task."""

    def lost(self, task: Task, reason: str) -> None:
        """Take back a task whose worker died, repeatedly, with it."""

    def rejected(self, host: str, reason: str) -> None:
        """Hear of a worker that was sent away because it could not work."""

    def workers(self, n_workers: int, n_threads: int) -> None:
        """Hear how many workers there are now, and how many tasks they do at a time."""

    @property
    def is_over(self) -> bool:
        """Whether there will be no task any more, also if others have done them; looks rarely."""

    @property
    def is_stopping(self) -> bool:
        """Whether what is under way should be given up now."""


class Worker(Protocol):
    """What does tasks in this process (see ``osong_workflows.run.Run``)."""

    def do(self, task: Task) -> TaskResult:
        """Do one task; safe to do twice, by whomever.

        Raises
        ------
        OsongError
            Not a molecule but something that all of them need is at fault.
        """

    def stop(self) -> None:
        """Make tasks that are under way end soon, without a result."""


class Runner(Protocol):
    """Decides where and when tasks are done; never what comes out."""

    def run(self, tasks: TaskSource) -> None:
        """Have tasks done until there are none; an error ends the run when no worker is left."""


def check_runner(name: str, workers: int | None) -> None:
    """Check a runner's name and its number of workers.

    Raises
    ------
    InputError
        There is no such runner, or it would have no worker.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if name not in RUNNERS:
        raise InputError(f"runner '{name}' is unknown; choose one of {RUNNERS}")
