"""What a Dask worker of a campaign does: it holds a `Run`, and each of its threads does tasks.

`work` is the command ``osong worker``: one nanny with one worker, as many threads as this job has
cores on this node. It ends when its scheduler ends, and tries again when only the connection broke.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import dask
from distributed import WorkerPlugin, get_worker

from osong.errors import CampaignError, OsongError, ResourceError
from osong_workflows.allocation import allocated_cores, node_name
from osong_workflows.dask_cluster import (
    DEATH_TIMEOUT_S,
    LOOPBACK,
    CampaignNanny,
    SchedulerFile,
    dask_settings,
    host_of,
    listening_address,
    nobody_listens,
    quiet_dask,
)
from osong_workflows.tls import check_certificates, security

if TYPE_CHECKING:
    from pathlib import Path

    from osong_workflows.run import Run
    from osong_workflows.tasks import Task, TaskResult, WorkOrder
    from osong_workflows.tls import Certificates

__all__ = [
    "CONNECTION_LOST",
    "FAILED_S",
    "Answer",
    "Failure",
    "Refusal",
    "WorkerSettings",
    "forget_main",
    "ignore_warnings_of_the_end",
    "nanny_options",
    "run_task",
    "work",
]

FAILED_S: Final = 1.0
"""A thread rests so long after an error: what fails at once would take all tasks, one by one."""
CONNECTION_LOST: Final = "worker-handle-scheduler-connection-broken"
"""Why Dask ends a worker whose connection to the scheduler closed without a word."""


@dataclass(frozen=True)
class Refusal:
    """A worker's answer when it cannot do tasks at all; returned, since Dask logs what is raised.

    Attributes
    ----------
    worker
        Its Dask address.
    host
        Its node.
    error
        What it lacks.
    """

    worker: str
    host: str
    error: OsongError


@dataclass(frozen=True)
class Failure:
    """A worker's answer when a task ended in an error: the worker's fault, or the task's own.

    Attributes
    ----------
    worker
        Its Dask address.
    host
        Its machine, named as in a ``TaskResult``.
    error
        What went wrong.
    """

    worker: str
    host: str
    error: OsongError


Answer: TypeAlias = "TaskResult | Refusal | Failure"


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker process is told by whoever starts it.

    Attributes
    ----------
    n_threads
        Tasks at a time.
    n_shares
        Into how many shares the memory that Slurm gave to this process is to be cut.
    scratch
        A folder on a local disk; "" for what the pilot says.
    """

    n_threads: int
    n_shares: int
    scratch: str = ""


def run_task(order: WorkOrder, task: Task) -> Answer:
    """Do one task; this is the Dask task."""
    worker = get_worker().address
    try:
        run = _run_for(order)
    except OsongError as error:
        return Refusal(worker, node_name(), error)
    except OSError as error:
        return _failure(worker, _of_system(error))
    try:
        return run.do(task)
    except OsongError as error:
        return _failure(worker, error)
    except OSError as error:
        return _failure(worker, _of_system(error))


def _failure(worker: str, error: OsongError) -> Failure:
    """Return the answer, after a moment in which what was at fault may pass."""
    time.sleep(FAILED_S)
    return Failure(worker, socket.gethostname(), error)


def _of_system(error: OSError) -> ResourceError:
    """Return what a file system says, in one line."""
    what = error.strerror or str(error) or type(error).__name__
    return ResourceError(f"{error.filename}: {what}" if error.filename else what)


_RUNS: Final[dict[WorkOrder, Run]] = {}
"""What this process works at: one entry, unless several pilots share its scheduler. The rounds of a
strategy follow each other: with the first task of the next, what the last one needed is let go."""
_LOCK: Final = threading.Lock()


def _run_for(order: WorkOrder) -> Run:
    """Return this process's run of an order; the first thread that asks makes it."""
    from osong_workflows.run import Run

    worker = get_worker()
    with _LOCK:
        if order not in _RUNS:
            for other in [other for other in _RUNS if other.folder != order.folder]:
                done = _RUNS.pop(other)
                atexit.unregister(done.close)
                done.close()
            settings: WorkerSettings = worker.plugins[_StopRuns.name].settings
            own = replace(order, scratch=settings.scratch or order.scratch)
            run = Run(own, n_threads=settings.n_shares)
            atexit.register(run.close)
            _RUNS[order] = run
        return _RUNS[order]


class _StopRuns(WorkerPlugin):
    """Tells what is under way to stop when the worker ends, since Dask waits for its threads."""

    name = "osong-runs"

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings

    def setup(self, worker: Any) -> None:
        """Keep what Dask says in the worker's process to itself; its nanny is quiet already."""
        logging.getLogger("distributed").setLevel(logging.CRITICAL)

    def teardown(self, worker: Any) -> None:
        """Stop what is under way."""
        with _LOCK:
            for run in _RUNS.values():
                run.stop()


def nanny_options(settings: WorkerSettings, certificates: Certificates) -> dict[str, Any]:
    """Return the options of a `CampaignNanny` but for its scheduler and its threads."""
    return {
        "security": security(certificates),
        "death_timeout": DEATH_TIMEOUT_S,
        "memory_limit": 0,
        "dashboard": False,
        "dashboard_address": LOOPBACK,
        "plugins": (_StopRuns(settings),),
        # Dask ends workers noisily; why one ended is said by `work`.
        "silence_logs": logging.CRITICAL,
    }


def forget_main() -> None:
    """Keep a nanny's worker from importing the user's script again.

    ``multiprocessing`` starts processes by importing the main module: a script without
    ``if __name__ == "__main__"`` would start itself without end.
    """
    sys.modules["__main__"] = types.ModuleType("__main__")


def ignore_warnings_of_the_end() -> None:
    """Outlive the signals that tell a pilot to come to its end: batch systems send them to all.

    The pilot lets what is under way finish; a worker ends with its scheduler. Docking processes
    inherit this.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def work(
    scheduler_file: Path, *, n_threads: int | None = None, scratch: str = "", interface: str = ""
) -> None:
    """Do tasks for a pilot until it ends.

    Parameters
    ----------
    scheduler_file
        Where the pilot says how to reach its scheduler; it lies in the campaign folder.
    n_threads
        Tasks at a time; None: the cores that this job has on this node.
    scratch
        A folder on a local disk; variables such as $TMPDIR are those of this node.
    interface
        The network interface to use; "" for the one that leads to the scheduler.

    Raises
    ------
    CampaignError
        The scheduler cannot be reached, or went without a word.
    """
    file = SchedulerFile(scheduler_file)
    certificates = check_certificates(file.campaign)
    n_threads = min(n_threads or allocated_cores(), allocated_cores())
    settings = WorkerSettings(n_threads, n_threads, scratch)
    forget_main()
    ignore_warnings_of_the_end()
    with (
        quiet_dask(),
        tempfile.TemporaryDirectory(prefix="osong-worker-") as private,
        dask.config.set(dask_settings(certificates)),
    ):
        while True:
            address = file.read()
            options = nanny_options(settings, certificates) | {
                "nthreads": settings.n_threads,
                "name": f"{node_name()}-{os.getpid()}",
                "local_directory": private,
                "host": listening_address(interface, host_of(address)),
            }
            asyncio.run(_serve(address, options))
            if CampaignNanny.ended_because != CONNECTION_LOST:
                return
            if nobody_listens(address):
                raise CampaignError(f"the scheduler at {address} is gone, and its pilot with it")


async def _serve(address: str, options: dict[str, Any]) -> None:
    """Run one nanny and its worker until they end.

    Raises
    ------
    CampaignError
        The scheduler cannot be reached.
    """
    CampaignNanny.ended_because = ""
    try:
        async with CampaignNanny(address, **options) as nanny:
            await nanny.finished()
    except (OSError, RuntimeError, TimeoutError) as error:
        raise CampaignError(
            f"no worker can start on {node_name()} for the scheduler at {address}: "
            f"{error or type(error).__name__}; its pilot may have ended"
        ) from error
