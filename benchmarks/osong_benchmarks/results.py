"""Results as JSON lines: appended as they come, so that a run that was cut off goes on."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["DEFAULT_OUT", "ResultFile", "processor_name", "provenance"]

DEFAULT_OUT = Path("results/benchmarks")
_PACKAGES = ("osong", "numpy", "numba", "rdkit", "vina", "meeko", "rustina")


class ResultFile:
    """A file of results, one JSON object a line, each with the keys that tell it apart.

    Parameters
    ----------
    path
        The file; made when the first row is added.
    keys
        Fields that together name a row.
    """

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self.path = path
        self.keys = keys

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows, the last one where several have the same name."""
        return list({self._name(row): row for row in self._lines()}.values())

    def has(self, **name: Any) -> bool:
        """Return whether there is a row of this name."""
        return any(self._name(row) == self._name(name) for row in self._lines())

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; one write, so that several processes can share the file."""
        self._name(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(row, allow_nan=True) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def _name(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[key] for key in self.keys)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the line that a killed run was writing
                continue


def provenance(argv: list[str] | None = None) -> str:
    """Return machine, date, versions and command in one line, for under a table."""
    command = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)])
    versions = ", ".join(
        f"{name} {found}" for name in _PACKAGES if (found := _version(name)) is not None
    )
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"{date}; {processor_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"{versions}; `{command}`"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor_name() -> str:
    """Return what the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
