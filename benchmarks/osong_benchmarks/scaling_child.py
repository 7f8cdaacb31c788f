"""A worker of the scaling benchmark: docks as often as it is told, and says how long that took.

``python -m osong_benchmarks.scaling_child LIGAND EDGE EFFORT`` makes everything ready, prints a
line, and then answers every number on its standard input with the CPU seconds of so many dockings.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from osong_benchmarks.child import ChildError

__all__ = ["Workers", "workers"]


class Workers:
    """Processes that dock one ligand again and again, all of them ready."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def dock(self, counts: Sequence[int]) -> tuple[float, float]:
        """Let the first workers dock so many times each; return wall and summed CPU seconds.

        Raises
        ------
        ChildError
            If a worker ended, or answered with something else than a number.
        """
        busy = self._processes[: len(counts)]
        started = time.perf_counter()
        for process, n in zip(busy, counts, strict=True):
            _tell(process, str(n))
        cpu_s = sum(_number(_hear(process)) for process in busy)
        return time.perf_counter() - started, cpu_s


@contextmanager
def workers(n: int, ligand: str, edge: float, effort: str) -> Iterator[Workers]:
    """Start so many workers, wait until they are ready, and end them afterwards.

    Raises
    ------
    ChildError
        If one of them cannot start.
    """
    command = [sys.executable, "-m", "osong_benchmarks.scaling_child", ligand, str(edge), effort]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(n)
    ]
    try:
        for process in processes:
            _hear(process)
        yield Workers(processes)
    finally:
        for process in processes:
            process.communicate()  # the end of its input ends it


def _tell(process: subprocess.Popen[str], line: str) -> None:
    if process.stdin is None:
        raise ValueError("the worker has no input")
    try:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise ChildError(_ended(process)) from error


def _hear(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise ChildError(_ended(process))
    return line


def _ended(process: subprocess.Popen[str]) -> str:
    return f"a worker of the scaling benchmark ended with code {process.wait()}"


def _number(line: str) -> float:
    try:
        return float(line)
    except ValueError as error:
        raise ChildError(f"a worker of the scaling benchmark said {line[:100]!r}") from error


def main() -> None:
    """Be a worker."""
    from osong.search.session import DockingSession
    from osong_benchmarks.cases import made_ligand, made_target

    ligand = made_ligand(sys.argv[1])
    session = DockingSession(made_target(float(sys.argv[2])), effort=sys.argv[3])
    session.dock([ligand])
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.process_time()
        for _ in range(int(line)):
            session.dock([ligand])
        print(time.process_time() - started, flush=True)


if __name__ == "__main__":
    main()
