"""The runner inside a Slurm job: a Dask scheduler in this process, one worker on each node.

``srun`` starts the workers (``osong worker``), and MPI has no part in it: a lost node takes its
worker along and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from distributed import Client

from osong.errors import CampaignError, InputError
from osong_workflows.allocation import inside_slurm
from osong_workflows.dask_cluster import (
    SchedulerFile,
    listening_address,
    quiet_dask,
    running_scheduler,
)
from osong_workflows.runners.remote import USUAL_PATIENCE, Patience, RemoteTasks
from osong_workflows.tls import ensure_certificates, security
from osong_workflows.worker_process import run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osong_workflows.runners.base import TaskSource
    from osong_workflows.tasks import WorkOrder
    from osong_workflows.worker_process import Answer

__all__ = ["SrunRunner", "osong_command", "srun_command"]

_FLAGS: Final = (
    "--ntasks-per-node=1",
    # Affinity would bind the one task to one core; the job's own cgroup still holds.
    "--cpu-bind=none",
    # A lost node or worker is no reason to end the others.
    "--no-kill",
    "--kill-on-bad-exit=0",
    "--wait=0",
    "--label",
)
_STARTS: Final = 4
_CLOSE_S: Final = 20.0
"""Workers have so long to end after their scheduler has; then srun is told to end them."""
_CPUS: Final = re.compile(r"(\d+)(?:\(x\d+\))?")


class SrunRunner:
    """Has tasks done on all nodes of a Slurm job.

    Parameters
    ----------
    order
        What workers are to know.
    srun_flags
        A site's own flags; they come last, so that they win.
    command
        How ``osong`` is called on a node; a container's command may come before it.
    interface
        The network interface that all nodes share, such as "ib0"; "" for what leads to the others.
    dashboard
        Whether to serve Dask's dashboard on the loopback address.
    say
        Hears how to see the dashboard.
    patience
        How long to wait for workers.
    function
        The Dask task.
    """

    def __init__(
        self,
        order: WorkOrder,
        *,
        srun_flags: Sequence[str] = (),
        command: Sequence[str] = (),
        interface: str = "",
        dashboard: bool = False,
        say: Callable[[str], object] = print,
        patience: Patience = USUAL_PATIENCE,
        function: Callable[..., Answer] = run_task,
    ) -> None:
        self._order = order
        self._folder = Path(order.folder)
        self._flags = tuple(srun_flags)
        self._command = tuple(command) or osong_command()
        self._interface = interface
        self._dashboard = dashboard
        self._say = say
        self._patience = patience
        self._function = function

    def run(self, tasks: TaskSource) -> None:
        """Have tasks done until there are none.

        Raises
        ------
        OsongError
            This is no Slurm job, no worker came, or none is left.
        """
        if not inside_slurm():
            # Outside of a job srun would ask for one, and wait for it.
            raise InputError(
                "the runner srun works inside a Slurm job, and this is none: submit the campaign "
                "with osong submit, or take --runner local"
            )
        certificates = ensure_certificates(self._folder)
        file = SchedulerFile.of_pilot(self._folder, self._order.pilot)
        host = listening_address(self._interface, _another_node())
        with (
            quiet_dask(),
            # Ends when the scheduler has closed and told its workers to end.
            self._workers(file) as workers,
            running_scheduler(certificates, host, dashboard=self._dashboard) as scheduler,
            file.telling(scheduler.address),
            Client(
                scheduler.address, security=security(certificates), set_as_default=False
            ) as client,
        ):
            if scheduler.dashboard:
                self._say(scheduler.dashboard)
            workers.start()
            RemoteTasks(
                client,
                tasks,
                (self._order,),
                function=self._function,
                patience=self._patience,
                logs=str(workers.log),
                why_none=workers.why_none,
                n_expected=_n_nodes(os.environ),
            ).run()

    @contextlib.contextmanager
    def _workers(self, file: SchedulerFile) -> Iterator[_Workers]:
        """Hold the workers' srun; it ends with them."""
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        arguments = ["worker", "--scheduler", str(file.path.absolute())]
        if self._interface:
            arguments += ["--interface", self._interface]
        command = [*srun_command(os.environ, self._flags), *self._command, *arguments]
        workers = _Workers(command, logs / f"{self._order.pilot}.workers.log")
        try:
            yield workers
        finally:
            workers.close()


class _Workers:
    """An srun that is started again a few times when it ends while there is work."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._n_starts = 0

    def start(self) -> None:
        """Start it.

        Raises
        ------
        CampaignError
            There is no srun.
        """
        self._n_starts += 1
        with self._open_log() as log:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C and a batch system's warnings are for the pilot.
                    start_new_session=True,
                )
            except OSError as error:
                raise CampaignError(
                    f"{self._command[0]} cannot be started ({error.strerror}): put Slurm's "
                    "commands on the PATH of this job"
                ) from error

    def why_none(self) -> str:
        """Return why no worker will come any more, "" while one may; start srun again."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return ""
        if code == 0:
            return "they were told to end"
        if self._n_starts < _STARTS:
            self.start()
            return ""
        return f"srun ended {self._n_starts} times, the last time with code {code}{self._last()}"

    def close(self) -> None:
        """Wait for the workers to end; end them if they do not."""
        if self._process is None:
            return
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_S)
                return

    def _open_log(self) -> IO[bytes]:
        return self.log.open("ab")

    def _last(self) -> str:
        """Return the last line that srun or a worker wrote, for a message."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return f" ({lines[-1].strip()})" if lines else ""


def osong_command() -> tuple[str, ...]:
    """Return how to call this installation's ``osong``."""
    beside = Path(sys.executable).with_name("osong")
    if beside.exists():
        return (str(beside),)
    return (shutil.which("osong") or "osong",)


def srun_command(environment: Mapping[str, str], flags: Sequence[str] = ()) -> list[str]:
    """Return ``srun`` with what starts one worker on each node of this job, all its cores in it.

    Slurm 22.05 and later gives a step one core a task unless told otherwise, whatever was asked of
    sbatch; tasks that sbatch was asked for are not ours.
    """
    command = ["srun", *_FLAGS]
    n_nodes = _n_nodes(environment)
    if n_nodes is not None:
        command += [f"--nodes={n_nodes}", f"--ntasks={n_nodes}"]
    cores = [int(n) for n in _CPUS.findall(environment.get("SLURM_JOB_CPUS_PER_NODE", ""))]
    if cores:
        command.append(f"--cpus-per-task={min(cores)}")
    return [*command, *flags]


def _n_nodes(environment: Mapping[str, str]) -> int | None:
    """Return the number of nodes of this job, None if Slurm does not say."""
    n_nodes = environment.get("SLURM_JOB_NUM_NODES", "")
    return int(n_nodes) if n_nodes.isdigit() else None


def _another_node() -> str:
    """Return the last node of this job: the way to it is the way to all of them; "" if none."""
    nodes = os.environ.get("SLURM_JOB_NODELIST", "")
    scontrol = shutil.which("scontrol")
    if not nodes or scontrol is None:
        return ""
    found = subprocess.run(
        [scontrol, "show", "hostnames", nodes], capture_output=True, text=True, check=False
    )
    names = found.stdout.split()
    return names[-1] if names else ""
