"""A pilot at work: feed, runner, sign of life, signals, and the end of it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from osong.errors import OsongError, ResourceError
from osong_workflows.feed import Feed
from osong_workflows.folder import full_disk
from osong_workflows.pilots import BEAT_S, LEASE_S, PilotState, PilotWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osong_workflows.events import Publisher
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Plan
    from osong_workflows.runners.base import Runner

__all__ = ["GRACE_S", "PilotOptions", "fly"]

GRACE_S: Final = 240.0
"""How long chunks that are under way may go on after a warning."""
TERM_GRACE_S: Final = 20.0
"""The same after SIGTERM: Slurm sends SIGKILL after 30 s."""


@dataclass(frozen=True)
class PilotOptions:
    """How a pilot shows life and how it ends.

    Attributes
    ----------
    beat_s
        Seconds between two signs of life.
    lease_s
        Seconds without any after which another pilot is taken for dead.
    grace_s
        Seconds that chunks under way may go on after SIGUSR1; after SIGTERM it is 20 at most.
    heeds_signals
        Whether SIGUSR1 and SIGTERM are warnings: for a process that is a pilot and nothing else.
    """

    beat_s: float = BEAT_S
    lease_s: float = LEASE_S
    grace_s: float = GRACE_S
    heeds_signals: bool = False


def fly(
    folder: CampaignFolder,
    plan: Plan,
    me: PilotState,
    runner: Runner,
    publisher: Publisher,
    *,
    is_live: bool,
    options: PilotOptions,
) -> bool:
    """Work at a campaign until it is finished or this pilot is told to stop.

    Returns
    -------
    Whether every shard has its part.

    Raises
    ------
    OsongError
        Something that every molecule needs is at fault; what is finished stays.
    """
    with full_disk(folder.path):
        for place in (folder.parts, folder.pilots, folder.claims):
            place.mkdir(exist_ok=True)
    # Its file comes before its first claim, so that a claim's holder can always be looked up.
    me.write(folder)
    watch = PilotWatch(folder, me, options.lease_s)
    feed = Feed(folder, plan, me, watch, publisher, is_live=is_live)
    error = ""
    heart = _Heart(folder, feed, options.beat_s)
    try:
        with heart, _heeding(feed, options):
            runner.run(feed)
    except OsongError as problem:
        error = str(problem)
        raise
    finally:
        try:
            feed.close()
        finally:
            heart.last_beat(error)
    return feed.is_finished


class _Heart:
    """Writes a pilot's file again and again, from a thread of its own."""

    def __init__(self, folder: CampaignFolder, feed: Feed, beat_s: float) -> None:
        self._folder = folder
        self._feed = feed
        self._beat_s = beat_s
        self._n_beats = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="osong-heart", daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def last_beat(self, error: str) -> None:
        """Say that the pilot has ended, so that nobody waits for its lease."""
        self._write({"state": "ended", "tasks": 0, "shards": (), "error": error[:1000]})

    def _beat_on(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            self._write({})
            # Sooner at first: who looks at a run that has just begun sees its workers come.
            pause = min(self._beat_s, 2.0**self._n_beats)

    def _write(self, fields: dict[str, object]) -> None:
        self._n_beats += 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        state = self._feed.state().model_copy(update={"beat": self._n_beats, "time": now} | fields)
        # On a full disk a pilot works on as long as it can; taken for dead, it does no harm.
        with contextlib.suppress(ResourceError):
            state.write(self._folder)


@contextlib.contextmanager
def _heeding(feed: Feed, options: PilotOptions) -> Iterator[None]:
    """Let the warnings of a batch system end the run in time."""
    if not options.heeds_signals:
        yield
        return
    before = {
        number: signal.signal(number, _drainer(feed, options.grace_s))
        for number in (signal.SIGUSR1, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drainer(feed: Feed, grace_s: float) -> Callable[[int, object], None]:
    n_heard = 0

    def drain(number: int, frame: object) -> None:
        nonlocal n_heard
        n_heard += number == signal.SIGTERM
        # SIGTERM comes shortly before SIGKILL; whoever sends it twice means it.
        feed.drain({0: grace_s, 1: min(grace_s, TERM_GRACE_S)}.get(n_heard, 0.0))

    return drain
