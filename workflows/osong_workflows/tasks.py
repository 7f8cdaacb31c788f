"""Tasks: what a pilot hands to its runner, and what comes back; some hundred bytes each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["DockChunk", "PackShard", "Restart", "Task", "TaskResult", "WorkOrder"]


@dataclass(frozen=True)
class DockChunk:
    """Dock one chunk into one part.

    Attributes
    ----------
    chunk
        Its index.
    with_care
        Put one more process between the worker and the molecules: whoever had this chunk before
        died with it, and if a molecule does that, it shall be seen which.
    """

    chunk: int
    with_care: bool = False


@dataclass(frozen=True)
class PackShard:
    """Join the parts of a shard's chunks to one file."""

    shard: int


Task: TypeAlias = DockChunk | PackShard


@dataclass(frozen=True)
class Restart:
    """A docking process died or was killed while it had a molecule."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class TaskResult:
    """What became of a task; below a kilobyte unless most of its molecules ended their process.

    Attributes
    ----------
    host
        Where it was done.
    seconds
        By the clock.
    n_ok
        Molecules with poses.
    failures
        Molecules without, by stage.
    restarts
        Docking processes that had to be started again; at most the first twenty.
    damaged
        Parts that were set aside while packing: (part, where it is now, why).
    redo
        Chunks whose parts were missing or damaged while packing.
    notes
        Lines on where molecules are docked, and why there; each is told once.
    """

    host: str = ""
    seconds: float = 0.0
    n_ok: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    restarts: tuple[Restart, ...] = ()
    damaged: tuple[tuple[str, str, str], ...] = ()
    redo: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_failed(self) -> int:
        """Molecules without poses."""
        return sum(self.failures.values())


@dataclass(frozen=True)
class WorkOrder:
    """What a process needs to know to do tasks of a campaign (see ``osong_workflows.run.Run``).

    Attributes
    ----------
    folder
        The campaign folder, absolute.
    docker
        "module:function" that builds what docks one record: chosen by the caller, never by the
        folder.
    pilot
        Who hands out the tasks.
    memory_limit
        Bytes that one docking process may hold; 0 for no limit; None: this process's share of the
        memory of its job, divided by its threads.
    scratch
        A folder on a local disk to write parts in before they go to the campaign folder in one
        piece; "" for none.
    backend
        Where to dock: "cpu", "cuda", or "auto" for what each node has.
    """

    folder: str
    docker: str
    pilot: str
    memory_limit: int | None = 0
    scratch: str = ""
    backend: str = "cpu"
