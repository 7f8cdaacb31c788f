"""The logs of a campaign's pilots: their last lines, merged by time and made readable."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from osong_workflows.amounts import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["LogLine", "last_lines", "recent_logs"]

_BYTES_PER_LINE: Final = 512
"""Read for each line that is wanted; most lines have half of that."""
_FEWEST_LINES: Final = 32
"""Lines may be longer: so many are read for at least."""
_CLOCKS_DIFFER_S: Final = 3600.0
"""Hosts whose clocks differ by more may have lines left out by `last_lines`."""
_ENVELOPE: Final = frozenset({"time", "campaign", "host", "pid", "pilot", "event"})


@dataclass(frozen=True)
class LogLine:
    """One event of a pilot.

    Attributes
    ----------
    time
        By the clock of its host.
    host, pid
        Who wrote it.
    event
        A class of ``osong_workflows.events``.
    fields
        What the event says.
    """

    time: datetime
    host: str
    pid: int
    event: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        """Return a line for people: local time, host, process, event, and what it says."""
        said = ", ".join(
            f"{_words(name)} {_value(value)}"
            for name, value in self.fields.items()
            if value not in ("", None, [], {})
        )
        when = self.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        line = f"{when} {self.host}:{self.pid} {_words(self.event)}" + (f": {said}" if said else "")
        return on_one_line(line)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "time": self.time.astimezone(UTC).isoformat(),
            "host": self.host,
            "pid": self.pid,
            "event": self.event,
            **self.fields,
        }


def recent_logs(folder: Path) -> list[Path]:
    """Return the logs of a folder, the one written last first."""
    logs = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                with contextlib.suppress(FileNotFoundError):
                    logs.append((entry.stat().st_mtime, folder / entry.name))
    return [path for _, path in sorted(logs, reverse=True)]


def last_lines(logs: Iterable[Path], n: int) -> list[LogLine]:
    """Return the last ``n`` lines of logs, oldest first; only the ends of the files are read.

    Parameters
    ----------
    logs
        The one written last first: once there are ``n`` lines, logs that nobody has written to
        since are not opened.
    n
        How many lines.
    """
    lines: list[LogLine] = []
    for path in logs:
        try:
            written = path.stat().st_mtime
            if len(lines) == n and written < lines[0].time.timestamp() - _CLOCKS_DIFFER_S:
                break
            lines += _tail(path, n)
        except FileNotFoundError:
            continue
        lines = sorted(lines, key=lambda line: line.time)[-n:]
    return lines


def _tail(path: Path, n: int) -> list[LogLine]:
    """Return up to ``n`` lines from the end of a log; what is no whole line is left out."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - max(n, _FEWEST_LINES) * _BYTES_PER_LINE)
        file.seek(start)
        texts = file.read(size - start).split(b"\n")
    # What was read begins within a line unless it begins with the file, and what comes after the
    # last newline is still being written.
    texts = texts[0 if start == 0 else 1 : -1]
    parsed = (_parse(text) for text in texts)
    return [line for line in parsed if line is not None][-n:]


def _parse(text: bytes) -> LogLine | None:
    """Return a line, or None for what a killed pilot left of one."""
    try:
        values = json.loads(text)
        time = datetime.fromisoformat(values["time"])
        return LogLine(
            time=time if time.tzinfo else time.replace(tzinfo=UTC),
            host=str(values["host"]),
            pid=int(values["pid"]),
            event=str(values["event"]),
            fields={name: value for name, value in values.items() if name not in _ENVELOPE},
        )
    except (ValueError, KeyError, TypeError):
        return None


def _words(name: str) -> str:
    """Return a name of a class or a field as words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return spaced.removeprefix("n_").replace("_", " ")


def _value(value: Any) -> str:
    """Return a field's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return " ".join(f"{name} {_value(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(_value(item) for item in value)
    return str(value)
