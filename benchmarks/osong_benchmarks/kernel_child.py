"""Times kernels in a process of its own: another cache of machine code, or another processor.

``python -m osong_benchmarks.kernel_child EDGE LIGAND...`` prints one JSON object: CPU seconds that
each kernel's first call takes longer than later ones, and those of one evaluation of each ligand.
What is compiled for, and where the machine code is kept, comes with the environment
(``NUMBA_CPU_NAME``, ``NUMBA_CACHE_DIR``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ValidationError

from osong_benchmarks.child import ChildError, last_words

__all__ = ["ChildTimes", "time_in_child"]

_SECONDS_A_CALL = 0.2


class ChildTimes(BaseModel):
    """What the process printed.

    Attributes
    ----------
    first_s
        CPU seconds that each kernel's first call took longer than later ones.
    evaluation_s
        CPU seconds of one evaluation by ``run_chains``, by ligand.
    """

    first_s: dict[str, float]
    evaluation_s: dict[str, float]


def time_in_child(cache: Path, edge: float, ligands: list[str], **environment: str) -> ChildTimes:
    """Return the times of a new process that keeps its machine code in ``cache``.

    Raises
    ------
    ChildError
        If it failed or printed no times.
    """
    done = subprocess.run(
        [sys.executable, "-m", "osong_benchmarks.kernel_child", str(edge), *ligands],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_CACHE_DIR": str(cache)}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        words = last_words(done.stderr, done.returncode)
        raise ChildError(f"timing kernels in another process failed: {words}")
    try:
        return ChildTimes.model_validate_json(done.stdout)
    except ValidationError as error:
        printed = done.stdout[-100:]
        raise ChildError(f"timing kernels in another process gave no times: {printed!r}") from error


def main() -> None:
    """Time the kernels here and print the times."""
    from osong_benchmarks.cases import make_case
    from osong_benchmarks.timing import smallest_call_s

    edge, names = float(sys.argv[1]), sys.argv[2:]
    first_s: dict[str, float] = {}
    evaluation_s = {}
    for name in names:
        case = make_case(name, edge)
        first_s = first_s or {
            kernel: max(0.0, call.first_s - smallest_call_s(call, 0.0))
            for kernel, call in case.calls.items()
        }
        search = case.calls["run_chains"]
        evaluation_s[name] = smallest_call_s(search, _SECONDS_A_CALL) / search.work
    print(json.dumps({"first_s": first_s, "evaluation_s": evaluation_s}))


if __name__ == "__main__":
    main()
