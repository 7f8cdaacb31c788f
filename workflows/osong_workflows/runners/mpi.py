"""The runner inside MPI: ranks take roles, and Dask does the rest.

Rank 0 is the scheduler, rank 1 the pilot, all others are workers with nannies (dask-mpi). MPI is
used to find each other at the start and to part at the end; a rank that is lost in between is a
lost Dask worker and no more. See docs/adr/0013-dask-over-tls-and-mpi.md.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

import dask
from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin

from osong.errors import CampaignError
from osong_workflows.allocation import cores_here, node_name, tasks_here
from osong_workflows.dask_cluster import (
    LOOPBACK,
    PROTOCOL,
    CampaignNanny,
    SchedulerFile,
    dask_settings,
    quiet_dask,
    usual_interface,
)
from osong_workflows.mpi_world import (
    PILOT,
    START_LIMIT_S,
    agreed_certificates,
    finalize,
    time_limit,
    world,
)
from osong_workflows.runners.remote import USUAL_PATIENCE, Patience, RemoteTasks
from osong_workflows.tls import security
from osong_workflows.worker_process import (
    CONNECTION_LOST,
    WorkerSettings,
    forget_main,
    ignore_warnings_of_the_end,
    nanny_options,
    run_task,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from distributed import Scheduler

    from osong_workflows.runners.base import TaskSource
    from osong_workflows.tasks import WorkOrder
    from osong_workflows.tls import Certificates
    from osong_workflows.worker_process import Answer

__all__ = ["MpiRole", "MpiRunner", "dask_setup", "take_mpi_role"]

_FIRST_WORKER: Final = 2
_PILOT_CLIENT: Final = "osong-pilot"
_NO_PILOT_S: Final = 30.0
"""A scheduler without its pilot for so long ends, and all workers with it."""
_LATE_S: Final = 20.0
"""So long a pilot that has ended waits for ranks that have not come up."""
_RESTART_S: Final = 8.0
"""So long it waits for those that had come up: a nanny needs some seconds to start a worker."""
_AFTER_PILOT_S: Final = 10.0
"""So long the other ranks wait for the pilot to end, when MPI cannot be ended in order."""


class MpiRole:
    """The pilot's place among the ranks; a context at whose end all ranks end.

    It holds a client of the scheduler: when that goes, the scheduler knows that the pilot did.

    Attributes
    ----------
    client
        Of the scheduler.
    n_workers
        Ranks that are workers.
    """

    def __init__(self, address: str, certificates: Certificates, n_workers: int) -> None:
        self.n_workers = n_workers
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(quiet_dask())
        try:
            self.client: Client = self._stack.enter_context(
                Client(
                    address,
                    security=security(certificates),
                    set_as_default=False,
                    name=_PILOT_CLIENT,
                )
            )
        except (OSError, TimeoutError) as error:
            raise CampaignError(f"the scheduler at {address} cannot be reached: {error}") from error

    def __enter__(self) -> MpiRole:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_whole = False
        if self.client.status == "running":
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                is_whole = self._everybody_is_here(_LATE_S if error is None else 0.0)
                if is_whole:
                    self.client.run(_end_together, nanny=True)
                    self.client.run_on_scheduler(_end_together)
                self.client.shutdown()
        else:
            # Asked to close, it would look for its scheduler for a minute first.
            self._stack.pop_all()
        if is_whole:
            finalize(1 if error is not None else 0)

    def _everybody_is_here(self, wait_s: float) -> bool:
        """Return whether no rank was lost; wait for those that have not come up yet."""
        ranks = set(range(_FIRST_WORKER, _FIRST_WORKER + self.n_workers))
        deadline = time.monotonic() + wait_s
        while self.client.status == "running":
            here, seen = self.client.run_on_scheduler(_workers)
            if ranks <= here:
                return True
            is_lost = ranks <= seen and time.monotonic() > deadline - wait_s + _RESTART_S
            if is_lost or time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return False


_ending_together = threading.Event()
"""Set in a rank that may end MPI, since all others will."""


def _end_together() -> None:
    """Tell a rank that nobody was lost; Dask runs this in nannies and in the scheduler."""
    _ending_together.set()


def _workers(dask_scheduler: Scheduler) -> tuple[set[object], set[object]]:
    """Return the ranks that are workers now, and that ever were; Dask runs it in the scheduler."""
    return {worker.name for worker in dask_scheduler.workers.values()}, _EndWithPilot.seen


class MpiRunner:
    """Has tasks done by the ranks that are workers.

    Parameters
    ----------
    order
        What workers are to know.
    role
        From `take_mpi_role`.
    patience
        How long to wait for workers.
    function
        The Dask task.
    """

    def __init__(
        self,
        order: WorkOrder,
        role: MpiRole,
        *,
        patience: Patience = USUAL_PATIENCE,
        function: Callable[..., Answer] = run_task,
    ) -> None:
        self._order = order
        self._role = role
        self._patience = patience
        self._function = function

    def run(self, tasks: TaskSource) -> None:
        """Have tasks done until there are none.

        Raises
        ------
        OsongError
            No worker is left, or the scheduler is gone.
        """
        client = self._role.client
        file = SchedulerFile.of_pilot(Path(self._order.folder), self._order.pilot)
        with file.telling(client.scheduler.address):
            RemoteTasks(
                client,
                tasks,
                (self._order,),
                function=self._function,
                patience=self._patience,
                n_expected=self._role.n_workers,
            ).run()


def take_mpi_role(
    folder: Path, *, n_threads: int | None = None, scratch: str = "", interface: str = ""
) -> MpiRole:
    """Take this rank's role: return in the pilot; work and end the process in all others.

    Call it before anything else: what stands above it runs in every rank.

    Parameters
    ----------
    folder
        The campaign folder.
    n_threads
        Tasks at a time of each worker; None: its share of the job's cores on its node.
    scratch
        A folder on a local disk; variables such as $TMPDIR are those of each node.
    interface
        The network interface to use, such as "ib0"; "" for the usual one.

    Raises
    ------
    CampaignError
        MPI does not work, there are too few ranks, or the certificates cannot be used.
    MissingExtraError
        mpi4py or dask-mpi is not installed.
    """
    comm = world()
    with time_limit("the ranks of MPI did not find each other") as arrived:
        certificates = agreed_certificates(comm, folder.absolute())
        settings = _share(comm, n_threads, scratch)
        dask.config.set(dask_settings(certificates) | {"distributed.scheduler.preload": [__name__]})
        start = _Start(comm, arrived, interface)
        if comm.Get_rank() != PILOT:
            _play(start, settings, certificates)
        start.run()
    address = dask.config.get("scheduler-address")
    return MpiRole(address, certificates, comm.Get_size() - _FIRST_WORKER)


def dask_setup(scheduler: Scheduler) -> None:
    """Watch for the pilot; Dask calls this in the rank that is the scheduler."""
    scheduler.add_plugin(_EndWithPilot(scheduler))


class _EndWithPilot(SchedulerPlugin):
    """Ends a scheduler whose pilot is gone: batch systems keep the other ranks alive."""

    # Of the one scheduler of this process.
    has_lost_pilot: ClassVar[bool] = False
    seen: ClassVar[set[object]] = set()

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._n_pilots = 0
        scheduler.loop.call_later(START_LIMIT_S, self._check)

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Hear of a worker."""
        _EndWithPilot.seen.add(scheduler.workers[worker].name)

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        """Hear of a client."""
        self._n_pilots += _PILOT_CLIENT in client

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Hear that a client went."""
        self._n_pilots -= _PILOT_CLIENT in client
        scheduler.loop.call_later(_NO_PILOT_S, self._check)

    async def _check(self) -> None:
        if not self._n_pilots:
            _EndWithPilot.has_lost_pilot = True
            await self._scheduler.close(reason="the pilot is gone")


@dataclass(frozen=True)
class _Start:
    """How all ranks call dask-mpi; it reads the certificates from Dask's configuration.

    It is also the communicator that dask-mpi uses, so that we see when all ranks have arrived.
    """

    comm: Any
    arrived: threading.Event
    interface: str

    def run(self, **worker: Any) -> None:
        """Take a role: return at once in the pilot, at the end of the cluster in all others."""
        from dask_mpi import initialize

        initialize(
            comm=self,
            interface=self.interface or usual_interface() or None,
            protocol=PROTOCOL.removesuffix("://"),
            dashboard=False,
            dashboard_address=LOOPBACK,
            worker_class=f"{CampaignNanny.__module__}.{CampaignNanny.__name__}",
            exit=False,
            **worker,
        )

    def Get_size(self) -> int:  # noqa: N802 (as in mpi4py)
        """Return the number of ranks."""
        return int(self.comm.Get_size())

    def Get_rank(self) -> int:  # noqa: N802
        """Return this process's rank."""
        return int(self.comm.Get_rank())

    def bcast(self, value: object, root: int) -> Any:
        """Tell all ranks the scheduler's address."""
        return self.comm.bcast(value, root=root)

    def Barrier(self) -> None:  # noqa: N802
        """Wait for all ranks."""
        self.comm.Barrier()
        self.arrived.set()


def _play(start: _Start, settings: WorkerSettings, certificates: Certificates) -> NoReturn:
    """Be the scheduler or a worker; end the process when the cluster ends."""
    ignore_warnings_of_the_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forget_main()
    fault = ""
    try:
        with quiet_dask(), tempfile.TemporaryDirectory(prefix="osong-worker-") as private:
            start.run(
                nthreads=settings.n_threads,
                local_directory=private,
                worker_options=nanny_options(settings, certificates),
            )
    except (OSError, RuntimeError, TimeoutError, ValueError) as error:
        fault = f"rank {start.Get_rank()} on {node_name()} ended: {error or type(error).__name__}"
    if _EndWithPilot.has_lost_pilot:
        fault = "the pilot (rank 1) is gone; continue with: osong resume"
    if fault:
        sys.stderr.write(f"osong: {fault}\n")
        sys.stderr.flush()
    # The pilot says what became of a scheduler that was lost.
    code = 1 if fault or CampaignNanny.ended_because == CONNECTION_LOST else 0
    if _ending_together.is_set():
        finalize(code)
        sys.exit(code)
    # Some launchers end everybody when, after a loss, another rank leaves: the pilot goes first.
    time.sleep(_AFTER_PILOT_S)
    os._exit(code)


def _share(comm: Any, n_threads: int | None, scratch: str) -> WorkerSettings:
    """Return this rank's share of its node: that is divided among the workers on it."""
    me = (node_name(), comm.Get_rank() >= _FIRST_WORKER, frozenset(os.sched_getaffinity(0)))
    workers = [(node, cores) for node, is_worker, cores in comm.allgather(me) if is_worker]
    # Where each rank is bound to cores of its own, the node is divided already.
    n_sharing = sum(node == me[0] and not me[2].isdisjoint(cores) for node, cores in workers)
    most = max(1, cores_here() // max(1, n_sharing))
    n_threads = min(n_threads or most, most)
    threads = comm.allgather((node_name(), n_threads if me[1] else 0))
    on_node = sum(n for node, n in threads if node == me[0])
    # Where srun started the ranks, its share of the node's memory is a task's already.
    return WorkerSettings(n_threads, math.ceil(on_node / tasks_here()), scratch)
