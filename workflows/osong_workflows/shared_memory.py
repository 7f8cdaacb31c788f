"""What killed ranks of MPI leave in shared memory, and why it has to go.

MPICH names its segments after the job and the step of Slurm. A job that is put back into the queue
keeps its number and counts its steps from 0 again, so a segment that a killed rank left has the
very name that the next run wants: MPI_Init then ends with "Out of memory" on that node, run after
run.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["sweep_shared_memory"]

_SHARED: Final = Path("/dev/shm")
_PREFIX: Final = "mpich_shm_"
_YOUNG_S: Final = 10.0
"""A segment may be so young and not yet mapped by anybody: ranks are just coming up."""


def sweep_shared_memory(folder: Path = _SHARED) -> list[str]:
    """Remove this user's segments of MPICH that no process has mapped; return their names."""
    old = [path for path in _own_segments(folder) if time.time() - path.stat().st_ctime > _YOUNG_S]
    mapped = _mapped_names() if old else set()
    swept = []
    for path in old:
        if path.name not in mapped:
            path.unlink(missing_ok=True)
            swept.append(path.name)
    return swept


def _own_segments(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob(f"{_PREFIX}*")):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_uid == os.getuid():
                    yield path


def _mapped_names() -> set[str]:
    """Return the names of all segments that a process of this user has mapped."""
    names = set()
    for process in Path("/proc").glob("[0-9]*"):
        # Processes of others cannot be read, and do not have our segments.
        with contextlib.suppress(OSError):
            for line in (process / "maps").read_text(encoding="utf-8", errors="replace").split():
                if _PREFIX in line:
                    names.add(line.rpartition("/")[2])
    return names
