"""What a running campaign tells: events for whoever subscribes (progress bar, log, tests)."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from osong_workflows.folder import full_disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "BackendNote",
    "CampaignFinished",
    "CampaignStarted",
    "ChunkFinished",
    "DoneElsewhere",
    "Event",
    "LogFile",
    "MoleculeFailed",
    "MoleculesDone",
    "PartSetAside",
    "PicturesFailed",
    "Publisher",
    "RoundBegun",
    "ShardClaimed",
    "ShardFinished",
    "StrategyEnded",
    "Subscriber",
    "TaskLost",
    "WorkerReady",
    "WorkerRejected",
    "WorkerRestarted",
]


@dataclass(frozen=True)
class CampaignStarted:
    """A run begins; ``n_ok`` and ``n_failed`` are what earlier runs did."""

    folder: str
    n_records: int
    n_chunks: int
    n_chunks_done: int
    n_ok: int
    n_failed: int
    workers: int
    runner: str


@dataclass(frozen=True)
class MoleculesDone:
    """Molecules got their results (in memory; they count once their chunk is finished)."""

    n_ok: int
    n_failed: int


@dataclass(frozen=True)
class MoleculeFailed:
    """A molecule will have a failed row in the ledger."""

    index: int
    name: str
    stage: str
    reason: str


@dataclass(frozen=True)
class WorkerReady:
    """A docking process has compiled its kernels and built its maps, and can dock."""

    pid: int


@dataclass(frozen=True)
class WorkerRestarted:
    """A docking process died or was killed while it had this molecule."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class BackendNote:
    """Where molecules are docked and why: when a run begins, and when that changes."""

    worker_host: str
    text: str


@dataclass(frozen=True)
class ChunkFinished:
    """A part is on disk."""

    chunk: int
    n_ok: int
    n_failed: int
    seconds: float
    worker_host: str


@dataclass(frozen=True)
class DoneElsewhere:
    """Other pilots have finished shards: molecules of these, since this pilot began."""

    n_records: int


@dataclass(frozen=True)
class ShardClaimed:
    """A pilot works at a shard now; with a generation above 1 it took over from a dead one."""

    shard: int
    generation: int


@dataclass(frozen=True)
class ShardFinished:
    """All of a shard is in one file on disk."""

    shard: int


@dataclass(frozen=True)
class TaskLost:
    """The worker that had a chunk died, more than once; the chunk is done again, with care."""

    chunk: int
    reason: str


@dataclass(frozen=True)
class WorkerRejected:
    """A worker could not do what others can and was sent away."""

    worker_host: str
    reason: str


@dataclass(frozen=True)
class PartSetAside:
    """A part was damaged and was moved away; its chunk is done again."""

    part: str
    moved_to: str
    reason: str


@dataclass(frozen=True)
class CampaignFinished:
    """Every molecule has its row."""

    folder: str
    n_ok: int
    n_failed: int
    seconds: float


@dataclass(frozen=True)
class RoundBegun:
    """A strategy chose what to dock next; ``n_asked`` counts all rounds, ``told`` is for people."""

    round: int
    n_records: int
    n_asked: int
    budget: int
    told: str


@dataclass(frozen=True)
class StrategyEnded:
    """A strategy chooses nothing more."""

    reason: str
    told: str


@dataclass(frozen=True)
class PicturesFailed:
    """Pictures of how it went could not be drawn; docking goes on."""

    reason: str


Event: TypeAlias = (
    CampaignStarted
    | MoleculesDone
    | MoleculeFailed
    | WorkerReady
    | WorkerRestarted
    | BackendNote
    | ChunkFinished
    | DoneElsewhere
    | ShardClaimed
    | ShardFinished
    | TaskLost
    | WorkerRejected
    | PartSetAside
    | CampaignFinished
    | RoundBegun
    | StrategyEnded
    | PicturesFailed
)
Subscriber: TypeAlias = Callable[[Event], None]


class Publisher:
    """Passes events on to subscribers, one at a time, from whatever thread."""

    def __init__(self, subscribers: Sequence[Subscriber] = ()) -> None:
        self._subscribers = tuple(subscribers)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        with self._lock:
            for subscriber in self._subscribers:
                subscriber(event)


class LogFile:
    """Appends events as JSON lines with time, campaign, process and host.

    Single molecules stay out: their rows are in the parts, and a log of a billion lines helps
    nobody. Each pilot has a file of its own: two machines that append to one lose lines on NFS.

    Parameters
    ----------
    path
        The file; its folder is made.
    campaign
        ``Plan.key``.
    """

    def __init__(self, path: Path, campaign: str) -> None:
        self._path = path
        self._campaign = campaign
        with full_disk(path.parent):
            path.parent.mkdir(exist_ok=True)

    def __call__(self, event: Event) -> None:
        """Append one line."""
        if isinstance(event, (MoleculesDone, MoleculeFailed)):
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "campaign": self._campaign,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "event": type(event).__name__,
            **asdict(event),
        }
        with full_disk(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
