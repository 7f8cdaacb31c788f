"""The command ``osong`` for campaigns that are disturbed: the real one, with another docker.

``python faults_osong.py resume FOLDER ...``. What the command line does not offer comes from the
environment: `MEMORY` bytes that a molecule may take, `CLOCK` days by which this process's clock is
wrong, `EVENTS` a file that gets a line for each finished chunk.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from osong_workflows.campaign import Campaign
from osong_workflows.events import ChunkFinished

if TYPE_CHECKING:
    from osong_workflows.events import Event

__all__ = ["CLOCK", "EVENTS", "MEMORY", "main"]

MEMORY: Final = "OSONG_FAULTS_MEMORY"
CLOCK: Final = "OSONG_FAULTS_CLOCK"
EVENTS: Final = "OSONG_FAULTS_EVENTS"
DOCKER_CHOICE: Final = "OSONG_FAULTS_DOCKER"


def main() -> None:
    """Be ``osong``."""
    from osong.cli.main import app
    from osong_benchmarks.faults_docker import DOCKER

    _shift_clock(float(os.environ.get(CLOCK, "0")))
    _defaults(Campaign.__init__)["docker"] = os.environ.get(DOCKER_CHOICE, DOCKER)
    resume = _defaults(Campaign.resume)
    if MEMORY in os.environ:
        resume["memory_per_worker"] = int(os.environ[MEMORY])
    if EVENTS in os.environ:
        resume["subscribers"] = (_note,)
    app()


def _defaults(function: Any) -> dict[str, Any]:
    """Return a function's keyword defaults, to be changed."""
    return function.__kwdefaults__


def _note(event: Event) -> None:
    """Append a line for a chunk: when, and which."""
    if isinstance(event, ChunkFinished):
        with open(os.environ[EVENTS], "a", encoding="ascii") as file:  # noqa: PTH123
            file.write(f"{time.time():.4f} {event.chunk}\n")


def _shift_clock(days: float) -> None:
    """Have this process's clock go wrong by some days."""
    if not days:
        return
    import datetime

    seconds, real, here = days * 86400.0, time.time, datetime.datetime

    class Shifted(here):  # type: ignore[valid-type, misc]
        """The time of day, shifted."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            """Return the wrong time."""
            return here.now(tz) + datetime.timedelta(days=days)

    time.time = lambda: real() + seconds
    for module in ("osong_workflows.pilot", "osong_workflows.pilots", "osong_workflows.events"):
        __import__(module)
        import sys

        vars(sys.modules[module])["datetime"] = Shifted


if __name__ == "__main__":
    main()
