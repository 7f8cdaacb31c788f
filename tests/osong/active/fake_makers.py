"""Makers of rows that misbehave for some molecules, for processes that fingerprint."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from osong.active.fingerprint_process import make_row

if TYPE_CHECKING:
    from osong.active.fingerprint_process import Row
    from osong.library.record import Record


def misbehaving(record: Record) -> Row:
    """Do what the record's name says."""
    what, _, where = record.name.partition("@")
    if what == "exit":
        os._exit(3)
    if what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        time.sleep(1000.0)
    if what == "bug":
        raise KeyError("unheard of")
    if what == "once" and not Path(where).exists():
        Path(where).touch()
        os._exit(1)
    return make_row(record)


def always_exits(record: Record) -> Row:
    """End the process."""
    os._exit(4)
