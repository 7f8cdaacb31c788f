"""A job for a process of its own, on one thread, so that its CPU time is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from osong.errors import OsongError

__all__ = ["WARM_UP_SMILES", "ChildError", "last_words", "run_child"]

WARM_UP_SMILES: Final = ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1CCN(CC1)c1ncccc1Cl")
"""Ligands with which a process meets everything that is done once, before a clock starts: an acid
of open chains, and a base with a ring that has several conformers."""

_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class ChildError(OsongError):
    """A process failed, took too long or wrote no result; the message is its last line."""


def run_child(module: str, job: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Run ``python -m MODULE`` with a job on standard input; return its last line, JSON.

    Parameters
    ----------
    module
        Reads a job and prints a result.
    job
        Plain data.
    limit_s
        Seconds by the clock after which it is stopped.

    Raises
    ------
    ChildError
        If it failed, was stopped or printed no JSON object at the end.
    """
    try:
        finished = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise ChildError(f"more than {limit_s:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise ChildError(last_words(error.stderr, error.returncode)) from error
    return _last_object(module, finished.stdout)


def last_words(stderr: str, code: int) -> str:
    r"""Return the last line that a failed process wrote, or its exit status where it wrote none.

    >>> last_words("Traceback\nKeyError: 'C'\n", 1), last_words("", -9)
    ("KeyError: 'C'", 'exit status -9')
    """
    return (stderr.strip().splitlines() or [f"exit status {code}"])[-1][:300]


def _last_object(module: str, printed: str) -> dict[str, Any]:
    last = (printed.strip().splitlines() or [""])[-1]
    try:
        result = json.loads(last)
    except json.JSONDecodeError as error:
        raise ChildError(f"{module} ended without a result, with {last[:100]!r}") from error
    if not isinstance(result, dict):
        raise ChildError(f"{module} ended without a result, with {last[:100]!r}")
    return result


def _environment() -> dict[str, str]:
    """Return one thread for everything, and this process's own packages."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    return os.environ | dict.fromkeys(_THREADS, "1") | {"PYTHONPATH": path}
