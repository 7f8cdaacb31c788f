"""A rank that is lost while MPI begins takes the others with it: without it they would wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["guarded_start"]

_UP: Final = b"1"
_LAST_WORDS_S: Final = 2.0
"""So long a rank that says why it ends may take for it."""


@contextlib.contextmanager
def guarded_start() -> Iterator[None]:
    """Have all ranks of a Slurm step end if this one does not come to the end of the block.

    MPI_Init waits for ranks that died in it, busily and for ever, and where one lost rank is not to
    end the others (``--kill-on-bad-exit=0``) Slurm does not care. A process beside this one sees it
    die, however it does. Outside of Slurm launchers end all ranks by themselves.
    """
    job, step = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_STEP_ID", "")
    if not (job and step):
        yield
        return
    reads, writes = os.pipe()
    guard = os.fork()
    if guard == 0:
        os.close(writes)
        _guard(reads, f"{job}.{step}")
    os.close(reads)
    try:
        yield
        os.write(writes, _UP)
    finally:
        os.close(writes)
    # Up: the guard has nothing more to do. After an error it is left alone to end the others.
    os.waitpid(guard, 0)


def _guard(reads: int, step: str) -> None:
    """Wait for what becomes of the rank; end the step where it did not come up."""
    for warning in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(warning, signal.SIG_IGN)
    code = 0
    if os.read(reads, 1) != _UP:
        time.sleep(_LAST_WORDS_S)
        command = ["scancel", "--signal=KILL", step]
        try:
            code = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
        except (OSError, subprocess.TimeoutExpired):
            code = 1
    os._exit(code)
