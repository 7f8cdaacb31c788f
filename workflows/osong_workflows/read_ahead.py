"""`TwoSteps`: a docker that gets its next record ready while it works at the present one."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

__all__ = ["ReadAhead", "TwoSteps"]


@dataclass(frozen=True)
class TwoSteps:
    """A docker in two steps, each in a thread of its own.

    Attributes
    ----------
    ready
        Takes a record; returns what the second step takes.
    finish
        Returns what became of it.
    """

    ready: Callable[[Any], Any]
    finish: Callable[[Any], Any]


class ReadAhead:
    """Takes records from a pipe and gets them ready, one ahead of the one that is wanted.

    Parameters
    ----------
    pipe
        Where records come from; nobody else reads there.
    ready
        The first step.
    """

    def __init__(self, pipe: Connection[Any, Any], ready: Callable[[Any], Any]) -> None:
        self._pipe = pipe
        self._ready = ready
        self._waiting: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=1)
        threading.Thread(target=self._read, name="osong-read-ahead", daemon=True).start()

    def next(self) -> Any:
        """Return the next record, ready; raise what went wrong with it.

        Raises
        ------
        EOFError
            The other end was closed.
        """
        made, error = self._waiting.get()
        if error is not None:
            raise error
        return made

    def _read(self) -> None:
        while True:
            try:
                made = self._ready(self._pipe.recv())
            except BaseException as error:  # noqa: BLE001 (raised where the record is asked for)
                self._waiting.put((None, error))
                return
            self._waiting.put((made, None))
