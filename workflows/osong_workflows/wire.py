"""`Wire`: this side of the pipe to a docking process."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Wire"]

_FITS: Final = 2**15
"""Bytes that the kernel takes of two messages at once, whoever reads them: it has room for some
200,000."""
_WAKING_S: Final = 10.0


class Wire:
    """Messages to a process and its answers.

    Parameters
    ----------
    end
        This side of a duplex ``multiprocessing.Pipe``.
    """

    def __init__(self, end: Connection[Any, Any]) -> None:
        self._end = end
        self._sender: threading.Thread | None = None

    def send(self, message: object) -> None:
        """Send a message; wait until the process takes it.

        Raises
        ------
        OSError
            Nobody is there.
        """
        self._end.send(message)

    def send_later(self, message: object) -> None:
        """Send a message, waiting for nobody: a process that is busy takes it when it can.

        That it is gone is noticed by whoever waits for its answer.
        """
        text = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if len(text) <= _FITS and (self._sender is None or not self._sender.is_alive()):
            self._send(text, None)
            return
        self._sender = threading.Thread(
            target=self._send, args=(text, self._sender), name="osong-send-later", daemon=True
        )
        self._sender.start()

    def has_answer(self, seconds: float) -> bool:
        """Return whether there is an answer, or nobody to give one, after so long at most."""
        return self._end.poll(seconds)

    def answer(self) -> Any:
        """Return the next answer.

        Raises
        ------
        EOFError, OSError
            Nobody is there.
        """
        return self._end.recv()

    def close(self) -> None:
        """Hang up, whether or not somebody reads what was sent."""
        if self._sender is not None:
            # It may wait for a process that reads no more and does not die: shutting the connection
            # wakes it. And nobody may write to the number of a file that is another's by then.
            with (
                _if_still_there(),
                socket.socket(fileno=os.dup(self._end.fileno())) as end,
            ):
                end.shutdown(socket.SHUT_RDWR)
            self._sender.join(_WAKING_S)
            self._sender = None
        self._end.close()

    def _send(self, text: bytes, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # a message is not begun within another
        with _if_still_there():
            self._end.send_bytes(text)


def _if_still_there() -> contextlib.AbstractContextManager[None]:
    return contextlib.suppress(OSError)
