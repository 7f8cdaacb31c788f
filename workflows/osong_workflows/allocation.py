"""What Slurm gave to this process: cores and memory of its job on this node, shared among tasks.

Affinity and cgroups say most of it (see ``osong.machine``), but sites without cgroups exist, where
only the variables of the job tell that a node is not all ours.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Final

from osong.machine import usable_cores, usable_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "allocated_cores",
    "allocated_memory",
    "cores_here",
    "inside_slurm",
    "job_name",
    "local_rank",
    "node_name",
    "tasks_here",
]

_MEBIBYTE: Final = 2**20
_LOCAL_RANKS: Final = (
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),  # Open MPI's mpirun
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),  # MPICH's and Intel's mpiexec
)
_RUN: Final = re.compile(r"(\d+)(?:\(x(\d+)\))?")
"""One entry of a list such as "2(x3),1": a number, and for how many nodes it holds."""


def inside_slurm(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process belongs to a job of Slurm."""
    return "SLURM_JOB_ID" in environment


def job_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return "123" or "123_4" (a task of an array), "" outside of Slurm."""
    array, task = (environment.get(f"SLURM_ARRAY_{what}_ID", "") for what in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "")


def node_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return what Slurm calls this node, or the host's name."""
    return environment.get("SLURMD_NODENAME") or socket.gethostname()


def allocated_cores(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many cores this process may keep busy, at least 1; never more than it was given.

    Several tasks of one step share a node's cores evenly, unless Slurm was told how many each has.
    """
    share = _number(environment, "SLURM_CPUS_ON_NODE")
    if _in_step(environment):
        # Affinity may have cut the node into shares already, so the share is of Slurm's number.
        of_task = _number(environment, "SLURM_CPUS_PER_TASK")
        share = of_task or (share and max(1, share // tasks_here(environment)))
    return min(cores_here(environment), share or sys.maxsize)


def allocated_memory(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many bytes this process and its children may fill."""
    of_node = _number(environment, "SLURM_MEM_PER_NODE")
    of_core = _number(environment, "SLURM_MEM_PER_CPU")
    n_cores = _number(environment, "SLURM_CPUS_ON_NODE")
    here = min(usable_memory(), (of_node or of_core * n_cores) * _MEBIBYTE or sys.maxsize)
    return here // tasks_here(environment)


def cores_here(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many cores all processes of this job may keep busy on this node.

    Where this process is bound to some cores, these.
    """
    return min(usable_cores(), _number(environment, "SLURM_CPUS_ON_NODE") or sys.maxsize)


def tasks_here(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many tasks of srun share this node with this one, itself among them.

    1 in a batch script, which has its node to itself.
    """
    counts: list[int] = []
    for number, times in _RUN.findall(environment.get("SLURM_STEP_TASKS_PER_NODE", "")):
        counts += [int(number)] * int(times or 1)
    node = _number(environment, "SLURM_NODEID")
    return max(1, counts[node]) if node < len(counts) else 1


def local_rank(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return which of the processes of this job on this node this is, and how many there are.

    Examples
    --------
    >>> local_rank({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"})
    (1, 4)
    >>> local_rank({})
    (0, 1)
    """
    for rank, size in _LOCAL_RANKS:
        n_ranks = _number(environment, size)
        if n_ranks and rank in environment:
            return _number(environment, rank), n_ranks
    if _in_step(environment):
        return _number(environment, "SLURM_LOCALID"), tasks_here(environment)
    return 0, 1


def _in_step(environment: Mapping[str, str]) -> bool:
    """Return whether srun started this process."""
    return "SLURM_STEP_TASKS_PER_NODE" in environment


def _number(environment: Mapping[str, str], name: str) -> int:
    """Return a variable's number; 0 where it is not set, or says nothing."""
    value = environment.get(name, "")
    return int(value) if value.isdigit() else 0
