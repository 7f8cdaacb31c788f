"""A real Slurm of several nodes on this machine, by the scripts beside the checkout."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "shared" / "slurm-testbed"
WHAT_IT_NEEDS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue")


def why_not() -> str:
    """Why there can be no Slurm here; "" if there can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in WHAT_IT_NEEDS if shutil.which(name, path=path) is None]
    if missing:
        return f"no Slurm here ({', '.join(missing)} missing): apt-get install slurm-wlm munge"
    if not (SCRIPTS / "slurm-up").is_file():
        return f"the scripts that start a Slurm are not here: {SCRIPTS}"
    return ""


class SlurmBed:
    """A cluster that is up until it is told otherwise.

    Parameters
    ----------
    n_nodes
        How many nodes, of one core each.
    """

    def __init__(self, n_nodes: int) -> None:
        # Short, and without odd characters: sockets lie below it.
        self.state = Path(tempfile.mkdtemp(prefix="osong-slurm-"))
        self.state.chmod(0o755)
        self.config = self.state / "slurm.conf"
        self.n_nodes = n_nodes

    def up(self) -> None:
        """Start it."""
        size = f"-n {self.n_nodes} -c 1 -m 8000 -g 0 -k 5 -t 10 -p {_free_ports(self.n_nodes)}"
        self._script("slurm-up", *size.split(), str(self.state))

    def mend(self) -> None:
        """Bring lost nodes back."""
        self._script("slurm-up", str(self.state))

    def lose(self, *nodes: str) -> None:
        """Let nodes lose power."""
        self._script("slurm-fail", "-s", str(self.state), *nodes)

    def end_jobs(self) -> None:
        """Cancel all jobs and wait until they are gone."""
        environment = os.environ | {"SLURM_CONF": str(self.config)}
        user = pwd.getpwuid(os.getuid()).pw_name
        run = functools.partial(
            subprocess.run, env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        run(["scancel", "--user", user])
        wait_for(lambda: not run(["squeue", "--noheader"]).stdout, "no jobs are left", 120.0)

    def down(self) -> None:
        """Stop it and leave nothing behind."""
        self._script("slurm-down", "-r", str(self.state))
        shutil.rmtree(self.state, ignore_errors=True)

    def _script(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            ["bash", SCRIPTS / name, *arguments],
            # What its daemons inherit, its jobs do not.
            env={k: v for k, v in os.environ.items() if not k.startswith("SLURM")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _free_ports(n: int) -> int:
    """The first of n + 1 ports in a row that nobody listens to."""
    for first in range(20_000 + os.getpid() % 5_000, 30_000, n + 7):
        if all(_is_free(port) for port in range(first, first + n + 1)):
            return first
    pytest.skip("no free ports for a Slurm")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def slurm(*command: str) -> str:
    """Output of a command of Slurm."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def wait_for(condition: Callable[[], object], what: str, seconds: float = 240.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.2)
