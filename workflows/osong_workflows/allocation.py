"""What Slurm gave to this process: cores and memory of its job on this node, shared among tasks.

Affinity and cgroups say most of it (see ``osong.machine``), but sites without cgroups exist, where
only the variables of the job tell that a node is not all ours.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Final

from osong.machine import usable_cores, usable_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "allocated_cores",
    "allocated_memory",
    "inside_slurm",
    "job_name",
    "memory_per_process",
    "node_name",
]

_MEBIBYTE: Final = 2**20
_OWN_MEMORY: Final = 512 * _MEBIBYTE
"""What the process that minds docking processes keeps for itself."""
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
    limits = [usable_cores()]
    of_node = _number(environment, "SLURM_CPUS_ON_NODE")
    if _in_step(environment):
        if of_task := _number(environment, "SLURM_CPUS_PER_TASK"):
            limits.append(of_task)
        if of_node:
            limits.append(max(1, of_node // _tasks_here(environment)))
    elif of_node:
        limits.append(of_node)
    return min(limits)


def allocated_memory(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many bytes this process and its children may fill."""
    limits = [usable_memory()]
    of_node = _number(environment, "SLURM_MEM_PER_NODE")
    of_core = _number(environment, "SLURM_MEM_PER_CPU")
    n_cores = _number(environment, "SLURM_CPUS_ON_NODE")
    if of_node:
        limits.append(of_node * _MEBIBYTE)
    elif of_core and n_cores:
        limits.append(of_core * n_cores * _MEBIBYTE)
    return min(limits) // (_tasks_here(environment) if _in_step(environment) else 1)


def memory_per_process(memory: int, n_processes: int) -> int:
    """Return the bytes that each of some docking processes may hold of a process's memory."""
    return int(max(memory - _OWN_MEMORY, _OWN_MEMORY) * 0.95) // n_processes


def _in_step(environment: Mapping[str, str]) -> bool:
    """Return whether srun started this process; a batch script has its node to itself."""
    return "SLURM_STEP_TASKS_PER_NODE" in environment


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Return how many tasks of this step are on this node."""
    counts: list[int] = []
    for number, times in _RUN.findall(environment.get("SLURM_STEP_TASKS_PER_NODE", "")):
        counts += [int(number)] * int(times or 1)
    node = _number(environment, "SLURM_NODEID")
    return max(1, counts[node]) if node < len(counts) else 1


def _number(environment: Mapping[str, str], name: str) -> int:
    """Return a variable's number; 0 where it is not set, or says nothing."""
    value = environment.get(name, "")
    return int(value) if value.isdigit() else 0
