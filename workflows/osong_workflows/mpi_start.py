"""The beginning of MPI, where ranks are known to wait for each other for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

__all__ = ["guarded_start", "prefer_ofi"]

_NETWORK: Final = "MPIR_CVAR_CH4_NETMOD"
_LIBRARY: Final = "libmpi.so.12"
_SPECIAL_STEPS: Final = 4_000_000_000
_UP: Final = b"1"
_LAST_WORDS_S: Final = 2.0
"""So long a rank that says why it ends may take for it."""


def prefer_ofi(environment: MutableMapping[str, str]) -> None:
    """Have the MPICH of PyPI use libfabric, unless the user or the site says something else.

    Its first choice, UCX, now and then cannot read what Slurm's pmi2 brings of other ranks'
    addresses, and then MPI_Init never ends: on a busy machine 3 of 12 starts, with libfabric none
    of 31. Osong's ranks need MPI to find each other and to part, so nothing is slower for it.
    """
    if _NETWORK in environment or not _has_mpich():
        return
    places = environment.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if not any((Path(place) / _LIBRARY).exists() for place in places if place):
        environment[_NETWORK] = "ofi"


def _has_mpich() -> bool:
    """Return whether MPICH was installed by pip."""
    try:
        distribution("mpich")
    except PackageNotFoundError:
        return False
    return True


@contextlib.contextmanager
def guarded_start() -> Iterator[None]:
    """Have all ranks of a Slurm step end if this one does not come to the end of the block.

    MPI_Init waits for ranks that died in it, busily and for ever, and where one lost rank is not to
    end the others (``--kill-on-bad-exit=0``) Slurm does not care. A process beside this one sees it
    die, however it does. Outside of Slurm launchers end all ranks by themselves.
    """
    job, step = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_STEP_ID", "")
    # Slurm counts steps from 0; the largest numbers are a batch script and somebody's shell.
    if not (job and step.isdecimal() and int(step) < _SPECIAL_STEPS):
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
        # Without its guard a rank does as well.
        with contextlib.suppress(BrokenPipeError):
            os.write(writes, _UP)
    finally:
        os.close(writes)
    # Up: the guard has nothing more to do. After an error it is left alone to end the others.
    with contextlib.suppress(ChildProcessError):
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
