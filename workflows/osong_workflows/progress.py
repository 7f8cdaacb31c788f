"""Progress of a campaign and of preparing: subscribers to their events, drawn with Rich."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from osong_workflows.events import (
    BackendNote,
    CampaignFinished,
    CampaignStarted,
    DoneElsewhere,
    MoleculesDone,
    PartSetAside,
    WorkerReady,
)

if TYPE_CHECKING:
    from types import TracebackType

    from osong_workflows.events import Event

__all__ = ["BackendPrinter", "PreparationSpinner", "ProgressBar", "wants_progress"]


def wants_progress(asked: bool | None) -> bool:
    """Return whether to show progress; without a wish, only where somebody watches."""
    if asked is not None:
        return asked
    return sys.stderr.isatty() or Console(stderr=True).is_jupyter


class BackendPrinter:
    """Prints where molecules are docked, where no progress is shown.

    With the host that says so as soon as one does that is not this one: until then nobody wonders
    whose device it is.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._hosts = {socket.gethostname()}
        self._told: set[tuple[str, str]] = set()

    def __call__(self, event: Event) -> None:
        """Print a note."""
        if isinstance(event, BackendNote) and (event.worker_host, event.text) not in self._told:
            self._told.add((event.worker_host, event.text))
            self._hosts.add(event.worker_host)
            host = f"{event.worker_host}: " if len(self._hosts) > 1 else ""
            self._console.print(host + event.text, soft_wrap=True, markup=False, highlight=False)


class ProgressBar:
    """Shows molecules done, ok and failed, the rate and the time left."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[n_ok]} ok, {task.fields[n_failed]} failed"),
            TextColumn("{task.fields[elsewhere]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
            speed_estimate_period=300.0,
        )
        self._task = self._progress.add_task(
            "getting ready", total=None, n_ok=0, n_failed=0, elsewhere="", rate="", start=False
        )
        self._print_backend = BackendPrinter(self._progress.console)
        self._n_ok = 0
        self._n_failed = 0
        self._n_elsewhere = 0

    def __call__(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, CampaignStarted):
            self._start(event)
        elif isinstance(event, WorkerReady):
            self._progress.update(self._task, description="docking")
        elif isinstance(event, MoleculesDone):
            self._advance(event)
        elif isinstance(event, DoneElsewhere):
            self._count_elsewhere(event.n_records)
        elif isinstance(event, PartSetAside):
            self._progress.console.print(
                f"{event.part} was damaged ({event.reason}); moved to {event.moved_to}, and its "
                "molecules are docked again",
                soft_wrap=True,
            )
        elif isinstance(event, BackendNote):
            self._print_backend(event)
        elif isinstance(event, CampaignFinished):
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def _start(self, event: CampaignStarted) -> None:
        self._n_ok, self._n_failed = event.n_ok, event.n_failed
        done = event.n_ok + event.n_failed
        if done == event.n_records:
            self._progress.console.print(
                f"{event.folder}: already finished, nothing to do", soft_wrap=True
            )
            return
        self._progress.start()
        self._progress.update(self._task, total=event.n_records, completed=done)
        self._progress.start_task(self._task)

    def _count_elsewhere(self, n_records: int) -> None:
        """Count what other pilots have finished; it says nothing about the rate here."""
        self._progress.update(
            self._task,
            completed=self._progress.tasks[0].completed + n_records - self._n_elsewhere,
            elsewhere=f"{n_records:,} by others",
        )
        self._n_elsewhere = n_records

    def _advance(self, event: MoleculesDone) -> None:
        self._n_ok += event.n_ok
        self._n_failed += event.n_failed
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            advance=event.n_ok + event.n_failed,
            n_ok=self._n_ok,
            n_failed=self._n_failed,
            rate=f"{speed * 60:.0f}/min" if speed else "",
        )


class PreparationSpinner:
    """Shows how many molecules of a library, whose size nobody counted, are prepared."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} molecules prepared, {task.fields[n_failed]} failed"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, n_failed=0)
        self._n_failed = 0

    def __enter__(self) -> PreparationSpinner:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Count molecules."""
        if isinstance(event, MoleculesDone):
            self._n_failed += event.n_failed
            done = event.n_ok + event.n_failed
            self._progress.update(self._task, advance=done, n_failed=self._n_failed)
