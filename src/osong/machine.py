"""How much of this machine a process may use, as affinity, cgroups and batch systems allow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["available_cores", "available_memory_bytes"]

_MOUNT: Final = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return the cores that this process may use: by affinity and by its cgroups' quotas."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quotas = [quota for folder in _cgroups("cpu") if (quota := _quota(folder)) is not None]
    return max(1, int(min([cores, *quotas])))


def available_memory_bytes() -> int:
    """Return the memory that this process may still fill: the machine's or its cgroups'."""
    import psutil

    free = [psutil.virtual_memory().available]
    for folder in _cgroups("memory"):
        for limit_file, usage_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _number(folder / limit_file), _number(folder / usage_file)
            if limit is not None and used is not None:
                free.append(max(0, limit - used))
    return int(min(free))


def _cgroups(controller: str) -> Iterator[Path]:
    """Yield the cgroup folders that limit this process, its own first, the root's last.

    Every ancestor limits: Slurm sets memory on the job's, a container runtime on the root's.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            root = _MOUNT
        elif controller in controllers.split(","):
            root = _MOUNT / controller
        else:
            continue
        folder = root / path.strip("/")
        yield from (p for p in (folder, *folder.parents) if p.is_relative_to(root) and p.is_dir())


def _quota(folder: Path) -> float | None:
    """Return a cgroup's CPU quota (version 2, then 1) in cores; None without one."""
    words = _words(folder / "cpu.max") or [
        *_words(folder / "cpu.cfs_quota_us"),
        *_words(folder / "cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not words[0].isdigit() or not int(words[1]):
        return None
    return int(words[0]) / int(words[1])


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is none or it says "max"."""
    words = _words(path)
    return int(words[0]) if words and words[0].isdigit() else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
