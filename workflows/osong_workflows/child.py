"""A docking process: takes records over a pipe, answers each with its outcome.

A process that only prepares molecules is one too: what it does with a record is its docker's.

Started by ``osong_workflows.supervisor`` as ``python -m osong_workflows.child FD``. Docking lives
in a process of its own because chemistry code can crash or hang, and only a process can be killed.
One record is under way at a time, so the supervisor always knows which one did it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, Protocol

from osong.errors import BoxError, InputError, LigandError, OsongError, ReceptorError
from osong_workflows.outcome import DockedMolecule, FailedMolecule, checked
from osong_workflows.read_ahead import ReadAhead, TwoSteps

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from osong.library import Record

__all__ = ["BUG_EXIT_CODE", "READY", "START_LIMIT_S", "Job", "JobSettings", "load_builder", "main"]

READY: Final = "ready"
START_LIMIT_S: Final = 1800.0
"""Imports, compilation and grid maps of a large box on a busy machine."""
BUG_EXIT_CODE: Final = 70
"""Exit code after an exception that nobody expected; its last line is on standard error."""

_GRACE: Final = 2.0
"""The supervisor kills at the time limit; a process without supervisor ends itself after this
many times the limit."""


class JobSettings(Protocol):
    """What the settings of any job hold, those of a campaign among them."""

    @property
    def docker(self) -> str:
        """Return the "module:function" that builds what takes one record."""

    @property
    def molecule_timeout_s(self) -> float:
        """Return the seconds after which a molecule is given up."""


@dataclass(frozen=True)
class Job:
    """What a docking process is told first.

    Attributes
    ----------
    target
        Path of the saved target; empty where the docker needs none.
    settings
        The campaign's settings, or those of another run; they name the docker.
    work
        What the process does, for messages.
    go_on
        How the user continues a run that was stopped, for messages.
    has_care
        Do it in a process below this one, which dies in place of the worker if need be.
    memory_limit
        Bytes that the process below this one may hold; 0 for no limit.
    """

    target: str
    settings: JobSettings
    work: str = "docking"
    go_on: str = "continue with: osong resume"
    has_care: bool = False
    memory_limit: int = 0

    @property
    def limit_s(self) -> float:
        """Seconds after which the process has to have answered.

        With care, the process below may use its own limit twice, and be started in between.
        """
        once = self.settings.molecule_timeout_s
        return 2 * once + START_LIMIT_S if self.has_care else once


def load_builder(name: str) -> object:
    """Return the function that "module:function" names.

    Raises
    ------
    InputError
        There is no such module or function.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"docker '{name}': cannot be loaded ({error}); give it as 'module:function'"
        ) from error


def main(descriptor: int) -> None:
    """Serve one supervisor until it closes the pipe."""
    # Ctrl-C reaches the whole group; the supervisor decides what happens to its processes.
    # So do the signals by which batch systems warn all processes of a job at once: a pilot may let
    # the chunk finish. A process whose supervisor died sees its pipe close.
    for warning in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, signal.SIG_IGN)
    sys.excepthook = _exit_on_bug
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    with Connection(descriptor) as pipe:
        try:
            job: Job = pipe.recv()
            docker = _build_docker(job)
            pipe.send(READY)
            _serve(pipe, docker, job.limit_s)
        except OsongError as error:
            pipe.send(error)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _build_docker(job: Job) -> Callable[[Record], object] | TwoSteps:
    """Return what takes one record, in one step or two."""
    if job.has_care:
        from osong_workflows.care import build_supervised

        return build_supervised(job)
    builder = load_builder(job.settings.docker)
    docker: Callable[[Record], object] | TwoSteps
    docker = builder(job.target, job.settings)  # type: ignore[operator]
    return docker


def _serve(
    pipe: Connection, docker: Callable[[Record], object] | TwoSteps, timeout_s: float
) -> None:
    """Dock what comes, for ever."""
    receive: Callable[[], Any] = pipe.recv
    if isinstance(docker, TwoSteps):
        receive, docker = ReadAhead(pipe, docker.ready).next, docker.finish
    while True:
        record = receive()
        # Its timer is a thread in C: it works where Python hangs inside RDKit.
        faulthandler.dump_traceback_later(_GRACE * timeout_s + 10, exit=True)
        outcome = _dock(docker, record)
        faulthandler.cancel_dump_traceback_later()
        pipe.send(outcome)


def _dock(docker: Callable[[Any], object], record: Any) -> object:
    """Dock one record; a molecule that cannot be docked is a result."""
    try:
        done = docker(record)
        return checked(done) if isinstance(done, DockedMolecule) else done
    except LigandError as error:
        return FailedMolecule(error.stage, str(error))
    except (BoxError, ReceptorError):
        raise
    except InputError as error:
        # Neither target nor box: what this molecule asked for cannot be done.
        return FailedMolecule("dock", str(error))


def _exit_on_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """End the process so that the supervisor can tell a bug from a crash."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(BUG_EXIT_CODE)


def _leave_with_parent(parent: int) -> None:
    """End this process when its supervisor has died without closing the pipe."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    # As osong_workflows.child, not __main__: what crosses the pipe is pickled by that name.
    import_module("osong_workflows.child").main(int(sys.argv[1]))
