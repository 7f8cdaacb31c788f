"""A process that makes fingerprints: takes records over a pipe and answers with their rows.

Started by `osong.active.fingerprint_pool` as ``python -m osong.active.fingerprint_process FD``.
RDKit runs in a process of its own because it can crash or hang, and only a process can be killed.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from osong.active.fingerprints import record_fingerprint
from osong.errors import LigandError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from osong.library.record import Record

__all__ = ["BUG_EXIT_CODE", "MAKER", "READY", "Row", "Work", "main", "make_row"]

Row = tuple[bytes | None, str | None, str | None]
"""Fingerprint and SMILES of a molecule, or the reason why it has none."""
MAKER: Final = "osong.active.fingerprint_process:make_row"
READY: Final = "ready"
BUG_EXIT_CODE: Final = 70
"""Exit code after an exception that nobody expected; its last line is on standard error."""


@dataclass(frozen=True)
class Work:
    """Records to make rows of.

    Attributes
    ----------
    records
        In order.
    report_s
        Seconds between two answers at least; with 0 each row is an answer.
    """

    records: tuple[Record, ...]
    report_s: float


def make_row(record: Record) -> Row:
    """Return the row of a record; that it has no fingerprint is a result."""
    try:
        packed, smiles = record_fingerprint(record)
    except LigandError as error:
        return None, None, str(error)
    return packed.tobytes(), smiles, None


def main(descriptor: int) -> None:
    """Serve one parent until it closes the pipe."""
    # Ctrl-C and a batch system's warnings reach all processes of a job: the parent decides.
    for warning in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, signal.SIG_IGN)
    sys.excepthook = _exit_on_bug
    with Connection(descriptor) as pipe:
        try:
            maker, limit_s = pipe.recv()
            module, _, function = maker.partition(":")
            make = getattr(import_module(module), function)
            pipe.send(READY)
            while True:
                _work(pipe, pipe.recv(), make, limit_s)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _work(
    pipe: Connection[Any, Any], work: Work, make: Callable[[Record], Row], limit_s: float
) -> None:
    """Answer with rows as they become ready, some at a time."""
    # The parent kills at the limit; where it is gone, this timer does. It is a thread in C, so it
    # works while Python waits for RDKit.
    faulthandler.dump_traceback_later(2 * limit_s + 10, exit=True)
    rows: list[Row] = []
    reported = time.monotonic()
    for record in work.records:
        rows.append(make(record))
        if time.monotonic() - reported >= work.report_s:
            pipe.send(rows)
            rows, reported = [], time.monotonic()
            faulthandler.dump_traceback_later(2 * limit_s + 10, exit=True)
    faulthandler.cancel_dump_traceback_later()
    if rows:
        pipe.send(rows)


def _exit_on_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """End the process so that the parent can tell a bug from a crash."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(BUG_EXIT_CODE)


if __name__ == "__main__":
    # As osong.active.fingerprint_process, not __main__: what crosses the pipe has that name.
    import_module("osong.active.fingerprint_process").main(int(sys.argv[1]))
