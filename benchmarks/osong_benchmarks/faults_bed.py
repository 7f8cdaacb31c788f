"""A real Slurm of several nodes on this machine, by the scripts beside the checkout."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from osong_benchmarks.faults_campaign import OSONG, TimeOut
from osong_workflows.sites import Site

__all__ = ["SCRIPTS", "Bed", "changed_environment", "end_in_order", "why_no_bed"]

SCRIPTS: Final = Path(os.environ.get("OSONG_SLURM_TESTBED") or "../shared/slurm-testbed").absolute()
_NEEDED: Final = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue")
_SIZE: Final = "-c 4 -m 16000 -g 0 -k 5 -t 10"


def why_no_bed() -> str:
    """Return why there can be no Slurm here; "" if there can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in _NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return f"no Slurm ({', '.join(missing)} missing)"
    return "" if (SCRIPTS / "slurm-up").is_file() else "no scripts that start a Slurm"


class Bed:
    """A cluster that is up until it is told otherwise.

    Parameters
    ----------
    n_nodes
        How many nodes; each claims four cores.
    """

    def __init__(self, n_nodes: int) -> None:
        # Short, and without odd characters: sockets lie below it.
        self.state = Path(tempfile.mkdtemp(prefix="osong-bed-"))
        self.state.chmod(0o755)
        self.n_nodes = n_nodes

    def up(self) -> None:
        """Start it; this process's commands talk to it from then on."""
        first = _free_ports(self.n_nodes)
        self._script(
            "slurm-up", "-n", str(self.n_nodes), *_SIZE.split(), "-p", str(first), str(self.state)
        )
        os.environ["SLURM_CONF"] = str(self.state / "slurm.conf")

    def mend(self) -> None:
        """Bring lost nodes back."""
        self._script("slurm-up", str(self.state))

    def lose(self, node: str) -> None:
        """Let a node lose power."""
        self._script("slurm-fail", "-s", str(self.state), node)

    def freeze(self, node: str) -> None:
        """Let a node hang; its connections stay open."""
        self._script("slurm-fail", "-f", "-s", str(self.state), node)

    def thaw(self, node: str) -> None:
        """Let a frozen node go on."""
        self._script("slurm-fail", "-t", "-s", str(self.state), node)

    def down(self) -> None:
        """Stop it and leave nothing behind."""
        self._script("slurm-down", "-r", str(self.state))
        shutil.rmtree(self.state, ignore_errors=True)
        os.environ.pop("SLURM_CONF", None)

    def slurm(self, *words: str) -> str:
        """Return what a command of Slurm says."""
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise TimeOut(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def site(self, **fields: Any) -> Site:
        """Return a profile of this cluster, with short times."""
        values = {
            "name": "bed",
            "cores_per_node": 2,
            "memory_per_node": "4000",
            "time_limit": "30",
            "warning_s": 60,
            "lease_s": 6,
            "finish_time": "10",
            "osong": OSONG,
        }
        return Site.model_validate(values | fields)

    def _script(self, name: str, *arguments: str) -> None:
        """Run one of the scripts."""
        done = subprocess.run(
            ["bash", SCRIPTS / name, *arguments],
            # What its daemons inherit, its jobs do not.
            env={
                k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "OSONG_FAULTS"))
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise TimeOut(f"{name}: {done.stderr.strip()}")


def end_in_order() -> None:
    """Have SIGTERM end this process as Ctrl-C does, so that what it started ends too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have some variables set: Slurm hands a job the environment of whoever submits it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _free_ports(n: int) -> int:
    """Return the first of n + 1 ports in a row that nobody listens to."""
    for first in range(30_500 + os.getpid() % 1_000, 32_000, n + 7):
        if all(_is_free(port) for port in range(first, first + n + 1)):
            return first
    raise TimeOut("no free ports for a Slurm")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
