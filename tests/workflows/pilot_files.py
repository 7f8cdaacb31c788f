"""Pilots' files and logs as pilots leave them, for tests that only look."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def write_pilot(
    campaign: Path, name: str, *, age_s: float = 1.0, clock_s: float = 0.0, **changes: Any
) -> Path:
    """Write the file of a pilot that began an hour ago and was last heard of ``age_s`` ago.

    ``clock_s`` is how far its clock is ahead of the file system's.
    """
    written = time.time() - age_s
    values: dict[str, Any] = {
        "id": name,
        "host": f"{name}.cluster",
        "node": name,
        "pid": 4242,
        "process_start": 1,
        "boot_id": "of another machine",
        "pid_namespace": 1,
        "job": "",
        "restart": 0,
        "beat": 7,
        "time": stamp(written + clock_s),
        "begun": stamp(written + clock_s - 3600.0),
        "runner": "local",
        "n_workers": 2,
        "n_threads": 8,
        "state": "working",
        "tasks": 8,
        "shards": [0],
        "n_ok": 0,
        "n_failed": 0,
        "failures": {},
        "core_seconds": 0.0,
        "n_restarts": 0,
        "rejected": [],
        "error": "",
    }
    path = campaign / "pilots" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values | changes))
    os.utime(path, (written, written))
    return path


def write_log(campaign: Path, pilot: str, *lines: tuple[float, str, dict[str, Any]]) -> Path:
    """Write a pilot's log: (seconds since 1970, event, fields) for each line."""
    path = campaign / "logs" / f"{pilot}.jsonl"
    path.parent.mkdir(exist_ok=True)
    envelope = {"campaign": "0123456789abcdef", "host": f"{pilot}.cluster", "pid": 4242}
    path.write_text(
        "".join(
            json.dumps({"time": stamp(when)} | envelope | {"event": event} | fields) + "\n"
            for when, event, fields in lines
        )
    )
    return path
