"""Which runner stands behind a name, with how many workers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osong_workflows.allocation import allocated_cores
from osong_workflows.memory import affordable_workers
from osong_workflows.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osong_workflows.events import Publisher
    from osong_workflows.plan import Plan
    from osong_workflows.runners.base import Runner, RunnerName
    from osong_workflows.runners.mpi import MpiRole
    from osong_workflows.tasks import WorkOrder

__all__ = ["LaunchOptions", "RunnerMaker"]


@dataclass(frozen=True)
class LaunchOptions:
    """How the runners of several nodes start their workers.

    Attributes
    ----------
    osong
        What a node calls to run Osong; words of a command line.
    srun_flags
        More words for srun.
    interface
        Network interface to talk over; "" for the one that other nodes reach.
    dashboard
        Show Dask's dashboard, on this machine's loopback only.
    """

    osong: tuple[str, ...] = ()
    srun_flags: tuple[str, ...] = ()
    interface: str = ""
    dashboard: bool = False


@dataclass(frozen=True)
class RunnerMaker:
    """Makes the runner of a campaign's pilot.

    Attributes
    ----------
    name
        Which runner.
    workers
        How many tasks at a time; None: as many as may be.
    order
        What the workers are told.
    launch
        How workers on other nodes are started.
    role
        What this process is among the ranks of MPI, for the runner "mpi".
    """

    name: RunnerName
    workers: int | None
    order: WorkOrder
    launch: LaunchOptions
    role: MpiRole | None = None

    @property
    def is_live(self) -> bool:
        """Whether molecules are docked below this process, which then hears of each."""
        return self.name in ("serial", "local")

    def n_workers(self, plan: Plan) -> int:
        """Return how many tasks are done at a time on this machine.

        Raises
        ------
        ResourceError
            The memory does not suffice for one.
        """
        if self.name == "serial":
            return 1
        if not self.is_live:
            return self.workers or allocated_cores()
        return min(self.workers or affordable_workers(plan.memory_bytes_per_worker), plan.n_chunks)

    @contextlib.contextmanager
    def runner(self, n_workers: int, publisher: Publisher) -> Iterator[Runner]:
        """Yield the runner; what it needs in this process ends with it."""
        if not self.is_live:
            yield self._far_runner()
            return
        with contextlib.closing(Run(self.order, n_workers, (publisher,))) as run:
            if self.name == "serial":
                from osong_workflows.runners.serial import SerialRunner

                yield SerialRunner(run)
            else:
                from osong_workflows.runners.local import LocalRunner

                yield LocalRunner(run, n_workers)

    def _far_runner(self) -> Runner:
        if self.role is not None:
            from osong_workflows.runners.mpi import MpiRunner

            return MpiRunner(self.order, self.role)
        from osong_workflows.runners.srun import SrunRunner

        return SrunRunner(
            self.order,
            srun_flags=self.launch.srun_flags,
            command=self.launch.osong,
            interface=self.launch.interface,
            dashboard=self.launch.dashboard,
        )
