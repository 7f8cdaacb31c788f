"""What this process may use: cores and memory, after affinity, cgroups (v1 and v2) and rlimits.

A node's own numbers are not an answer: a batch system or a container gives a job a share.
"""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["usable_cores", "usable_memory"]

_PROC: Final = Path("/proc/self/cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_V1_UNLIMITED: Final = 2**60
"""cgroup v1 says "no limit" with a number near 2**63."""


def usable_cores(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Return how many cores this process may keep busy, at least 1."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    for folder in _cgroup_folders("cpu", proc, cgroups):
        quota = _first_line(folder / "cpu.max").split()
        if len(quota) == 2 and quota[0].isdigit():
            cores = min(cores, int(quota[0]) / int(quota[1]))
        v1_quota = _first_line(folder / "cpu.cfs_quota_us")
        v1_period = _first_line(folder / "cpu.cfs_period_us")
        if v1_quota.isdigit() and v1_period.isdigit() and int(v1_period):
            cores = min(cores, int(v1_quota) / int(v1_period))
    return max(1, math.ceil(cores - 0.1))


def usable_memory(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Return how many bytes of memory this process and its children may fill."""
    memory = psutil.virtual_memory().total
    for folder in _cgroup_folders("memory", proc, cgroups):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            value = _first_line(folder / name)
            if value.isdigit() and int(value) < _V1_UNLIMITED:
                memory = min(memory, int(value))
    soft, _ = resource.getrlimit(resource.RLIMIT_RSS)
    if soft not in (resource.RLIM_INFINITY, 0):
        memory = min(memory, soft)
    return memory


def _cgroup_folders(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of all above it.

    A line of ``/proc/self/cgroup`` is ``id:controllers:path``; v2 names no controllers. Inside a
    container the path may be the host's, so the mount's root is always looked at too.
    """
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    yield cgroups
    yield cgroups / controller
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for root in (cgroups / controllers, cgroups / controller) if controllers else (cgroups,):
            folder = root / path.lstrip("/")
            while folder != root:
                yield folder
                folder = folder.parent
            yield root


def _first_line(path: Path) -> str:
    """Return a file's first line, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError:
        return ""
