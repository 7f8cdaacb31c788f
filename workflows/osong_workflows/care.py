"""Care: docking below a process that may die in the worker's place.

A molecule that ends its docking process becomes a row of the ledger, since a supervisor watches
that process. Against one that ends whatever watches it, the supervisor itself is put into a process
that is watched. That process dies where the worker would have died, and the worker sees who did it:
no guess from how often something died is needed, and no molecule is blamed for a batch system's
kills.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from osong_workflows.events import Publisher
from osong_workflows.supervisor import StartGate, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from osong.library import Record
    from osong_workflows.child import Job
    from osong_workflows.outcome import Outcome

__all__ = ["build_supervised"]


def build_supervised(job: Job) -> Callable[[Record], Outcome]:
    """Return what has one record docked by a process below this one, which is ready by then."""
    supervisor: Supervisor[Outcome] = Supervisor(
        replace(job, has_care=False), Publisher(), threading.Event(), StartGate(), job.memory_limit
    )
    supervisor.start()
    return supervisor.dock
