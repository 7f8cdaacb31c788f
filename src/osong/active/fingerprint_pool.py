"""Processes that make fingerprints, watched: a molecule that ends its process costs itself only."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from typing import IO, TYPE_CHECKING, Any, Final

from osong.active.fingerprint_process import BUG_EXIT_CODE, MAKER, READY, Row, Work
from osong.errors import ResourceError
from osong.library.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from types import TracebackType

__all__ = ["LIMIT_S", "FingerprintPool", "Item"]

Item = Record | str
"""A record, or the reason why it cannot even be tried."""
LIMIT_S: Final = 60.0
"""Seconds after which a molecule is given up; most take half a millisecond."""
_START_LIMIT_S: Final = 600.0
_REPORT_S: Final = 0.2
_TICK_S: Final = 0.5
_DEATH_S: Final = 10.0
_ATTEMPTS: Final = 2
"""A process may be killed by accident (out of memory); a molecule that ends two is to blame."""
_MOST_IN_A_ROW: Final = 50
"""So many molecules in a row that end their process say that something else is broken."""
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class _Died(Exception):  # noqa: N818 (it is no error, it is an answer)
    """The process ended instead of answering."""

    def __init__(self, reason: str, *, may_be_chance: bool) -> None:
        super().__init__(reason)
        self.may_be_chance = may_be_chance


class _Stopped(Exception):  # noqa: N818
    """The pool is being closed."""


class FingerprintPool:
    """Makes rows of records in several processes; the rows are the same for any number of them.

    Even one is a process of its own, whose start takes half a second once a library: a molecule on
    which RDKit crashes would otherwise take the user's process with it.

    Parameters
    ----------
    n_processes
        Started when there is work for them.
    maker
        "module:function" that makes a row of a record.
    limit_s
        Seconds after which a molecule is given up.
    """

    def __init__(self, n_processes: int, *, maker: str = MAKER, limit_s: float = LIMIT_S) -> None:
        self._n = n_processes
        self._stop = threading.Event()
        self._processes = [_Process(maker, limit_s, self._stop) for _ in range(n_processes)]
        # The last that was given back is the next: a small library starts one process only.
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(n_processes, thread_name_prefix="osong-fingerprints")

    def __enter__(self) -> FingerprintPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.close()

    def rows(
        self, blocks: Iterable[tuple[Sequence[Record], Sequence[Item]]]
    ) -> Iterator[tuple[Sequence[Record], list[Row]]]:
        """Yield the records of each block and the rows of its items, in order.

        No more blocks are held than three times the number of processes.

        Raises
        ------
        ResourceError
            Where processes cannot start, or die whatever they are given.
        """
        waiting: deque[tuple[Sequence[Record], Future[list[Row]]]] = deque()
        for records, items in blocks:
            waiting.append((records, self._threads.submit(self._rows, items)))
            if len(waiting) >= 3 * self._n:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()

    def _rows(self, items: Sequence[Item]) -> list[Row]:
        process = self._idle.get()
        try:
            made = iter(process.rows([item for item in items if isinstance(item, Record)]))
        finally:
            self._idle.put(process)
        return [next(made) if isinstance(item, Record) else (None, None, item) for item in items]


class _Process:
    """One process: started when needed, watched, killed and replaced."""

    def __init__(self, maker: str, limit_s: float, stop: threading.Event) -> None:
        self._maker = maker
        self._limit_s = limit_s
        self._stop = stop
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._messages: IO[bytes] | None = None
        self._blamed_in_a_row = 0

    def rows(self, records: Sequence[Record]) -> list[Row]:
        """Return the row of each record, whatever it does to the process.

        Rows come some at a time. After a death those that are missing are made anew and come one
        by one, so that the next death has a name.
        """
        rows: list[Row] = []
        report_s, n_deaths, died_at = _REPORT_S, 0, -1
        while len(rows) < len(records):
            try:
                self._send(Work(tuple(records[len(rows) :]), report_s))
                while len(rows) < len(records):
                    rows += self._answer(self._limit_s)
                    self._blamed_in_a_row = 0
            except _Died as death:
                self.close()
                if report_s:
                    report_s = 0.0
                    continue
                n_deaths = n_deaths + 1 if died_at == len(rows) else 1
                died_at = len(rows)
                if n_deaths >= _ATTEMPTS or not death.may_be_chance:
                    rows.append(self._blamed(records[died_at], str(death)))
                    report_s = _REPORT_S
        return rows

    def close(self) -> None:
        """End the process and forget what it said."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for open_file in (self._pipe, self._messages):
            if open_file is not None:
                open_file.close()
        self._process = self._pipe = self._messages = None

    def _blamed(self, record: Record, reason: str) -> Row:
        self._blamed_in_a_row += 1
        if self._blamed_in_a_row > _MOST_IN_A_ROW:
            raise ResourceError(
                f"{self._blamed_in_a_row} molecules in a row ended the process that makes "
                f"fingerprints, the last, {record.source}: {reason}; run: osong doctor"
            )
        return (
            None,
            None,
            f"{record.source}: '{record.name}' has no fingerprint: {reason}: correct the molecule "
            "or take it out",
        )

    def _send(self, message: object) -> None:
        """Send to the process, starting it where there is none."""
        if self._process is None:
            self._start()
        if self._pipe is None:
            raise AssertionError("_start comes first")
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._post_mortem() from error

    def _start(self) -> None:
        ours, theirs = Pipe()
        self._pipe = ours
        try:
            with theirs:
                self._messages = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (closed by `close`)
                self._process = subprocess.Popen(
                    # -P: a file queue.py where the user happens to be is not imported.
                    [sys.executable, "-P", "-m", "osong.active.fingerprint_process",
                     str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=self._messages,
                    stderr=self._messages,
                    env=os.environ
                    | _ONE_THREAD
                    | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )  # fmt: skip
            self._pipe.send((self._maker, self._limit_s))
            is_ready = self._answer(_START_LIMIT_S) == READY
            why = "" if is_ready else "it says something else"
        except (OSError, _Died) as error:
            why = str(error)
            if isinstance(error, _Died) and (words := self._last_words()):
                why = f"{why}: {words}"
        if why:
            self.close()
            raise ResourceError(
                f"a process for fingerprints cannot start ({why}); run: osong doctor"
            )

    def _answer(self, limit_s: float) -> Any:
        if self._pipe is None:
            raise AssertionError("_start comes first")
        deadline = time.monotonic() + limit_s
        while True:
            try:
                if self._pipe.poll(_TICK_S):
                    return self._pipe.recv()
            except (EOFError, OSError) as error:
                raise self._post_mortem() from error
            if self._stop.is_set():
                raise _Stopped
            if time.monotonic() > deadline:
                raise _Died(f"it took longer than {limit_s:g} s", may_be_chance=False)

    def _post_mortem(self) -> _Died:
        """Return why the process ended, in words that are the same in every run."""
        if self._process is None:
            raise AssertionError("_start comes first")
        try:
            code = self._process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:
            return _Died("its process closed the pipe and hung", may_be_chance=True)
        if code == BUG_EXIT_CODE:
            return _Died(f"unexpected error: {self._last_words()}", may_be_chance=False)
        if code < 0:
            return _Died(f"its process died of {_signal_name(-code)}", may_be_chance=True)
        return _Died(f"its process ended itself with code {code}", may_be_chance=True)

    def _last_words(self) -> str:
        """Return the last line of the process's messages, without memory addresses."""
        if self._messages is None:
            return ""
        end = self._messages.seek(0, os.SEEK_END)
        self._messages.seek(max(0, end - 2000))
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        return re.sub(r"0x[0-9a-f]+", "0x...", lines[-1])[:200] if lines else ""


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        name = signal.Signals(number).name
        return f"{name} (out of memory?)" if name == "SIGKILL" else name
    return f"signal {number}"
