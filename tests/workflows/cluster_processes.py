"""Processes of a test's cluster: found by a mark in their environment, gone when the test is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from osong_fake_tasks import calls

HERE = Path(__file__).parent
PILOT = str(HERE / "osong_fake_pilot.py")
_MARK = "OSONG_TEST_CLUSTER"
_LIMIT_S = 120.0
"""Loaded machines with two cores take long for what takes two seconds else."""

SRUN = """#!/bin/bash
# An srun of two nodes that are this machine.
while [[ $1 == --* ]]; do shift; done
for node in 0 1; do
    SLURMD_NODENAME=node$node SLURM_STEP_TASKS_PER_NODE="1(x2)" SLURM_NODEID=$node "$@" &
done
wait -n; one=$?; wait -n; exit $((one > $? ? one : $?))
"""


class Cluster:
    """A pilot and all that it starts.

    Parameters
    ----------
    folder
        The campaign folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.pilot: subprocess.Popen[str] | None = None
        folder.mkdir(exist_ok=True)
        (folder / "campaign.toml").touch()

    def start(self, *command: str, **variables: str) -> None:
        """Start the command that is the pilot, or starts it among others."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        environment |= {_MARK: self.mark, "PYTHONPATH": str(HERE), **variables}
        self.pilot = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_srun(self, function: str, n: int) -> None:
        """Start a pilot with the runner srun on two nodes of one core."""
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "srun").write_text(SRUN)
        (tools / "srun").chmod(0o755)
        self.start(
            *(sys.executable, PILOT, "srun", str(self.folder), function, str(n)),
            PATH=f"{tools}:{os.environ['PATH']}",
            SLURM_JOB_ID="1",
            SLURM_JOB_NUM_NODES="2",
            SLURM_CPUS_ON_NODE="1",
        )

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, what the pilot reported, and what was written to standard error."""
        assert self.pilot is not None
        out, err = self.pilot.communicate(timeout=_LIMIT_S)
        lines = [line for line in out.splitlines() if line.startswith("{")]
        return self.pilot.returncode, json.loads(lines[-1]) if lines else {}, err

    def stop(self) -> None:
        """Kill the pilot; the others end on their own."""
        assert self.pilot is not None
        self.pilot.kill()

    def processes(self) -> list[psutil.Process]:
        """All that are alive."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.environ().get(_MARK) == self.mark
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False

    def nannies(self) -> list[psutil.Process]:
        """Processes that hold a Dask worker."""
        return sorted((w.parent() for w in self.workers()), key=lambda nanny: nanny.pid)

    def workers(self) -> list[psutil.Process]:
        """Dask workers, which nannies start."""
        return [p for p in self.processes() if "spawn_main" in " ".join(p.cmdline())]

    def begun(self, n: int = 1) -> None:
        """Wait until so many tasks have begun."""
        self.until(lambda: calls(self.folder).total() >= n, "tasks have begun")

    def has_begun(self, within_s: float) -> bool:
        """Whether a task begins within some seconds; False where the pilot ends before."""
        deadline = time.monotonic() + within_s
        while self.pilot is not None and self.pilot.poll() is None:
            if calls(self.folder).total():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return calls(self.folder).total() > 0

    def kill(self) -> None:
        """Kill all that are alive."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.pilot is not None:
            self.pilot.communicate()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is so, while the pilot lives."""
        deadline = time.monotonic() + _LIMIT_S
        while not condition():
            if self.pilot is not None and self.pilot.poll() is not None:
                raise AssertionError(f"ended before {what}: {self.end()}")
            assert time.monotonic() < deadline, f"still not: {what}"
            time.sleep(0.05)

    def are_gone(self, within_s: float = 60.0) -> bool:
        """Whether no process is left after a while."""
        deadline = time.monotonic() + within_s
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


@contextlib.contextmanager
def cluster_in(folder: Path) -> Iterator[Cluster]:
    """Have a cluster; see to it that nothing of it is left."""
    cluster = Cluster(folder)
    try:
        yield cluster
        assert cluster.are_gone(), [process.cmdline() for process in cluster.processes()]
    finally:
        cluster.kill()
