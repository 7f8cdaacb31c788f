"""`spawn`: starts a docking process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import IO, Final

from osong.errors import ResourceError

__all__ = ["spawn"]

_ONE_THREAD: Final = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ),
    "1",
)


def spawn(pipe: int) -> tuple[IO[bytes], subprocess.Popen[bytes]]:
    """Start a docking process; return the file of its messages, and the process."""
    try:
        # Append mode: after a truncation the process goes on at the new end.
        messages = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (closed by the supervisor)
        process = subprocess.Popen(
            # -P: a file queue.py in the folder where the user happens to be is not imported.
            [sys.executable, "-P", "-m", "osong_workflows.child", str(pipe)],
            pass_fds=[pipe],
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except OSError as error:
        raise ResourceError(
            f"a docking process cannot start ({error.strerror or error}); free memory and space in "
            f"{tempfile.gettempdir()}, then run the same command again"
        ) from error
    return messages, process
