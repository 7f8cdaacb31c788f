"""Progress of what an active campaign does between rounds, and a line for each round."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from osong_workflows.active_run import Steps
from osong_workflows.amounts import counted
from osong_workflows.events import PicturesFailed, RoundBegun, StrategyEnded

__all__ = ["RoundPrinter", "StepBar"]


class RoundPrinter:
    """Prints a line for each round and for the end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def __call__(self, event: object) -> None:
        """Print an event."""
        if isinstance(event, RoundBegun):
            line = f"round {event.round}: {counted(event.n_records, 'molecule')} to dock"
            line += f", {event.n_asked:,} of {event.budget:,}"
            self._print(line + (f"; {event.told}" if event.told else ""))
        elif isinstance(event, StrategyEnded):
            self._print(f"ended: {event.reason}" + (f"; {event.told}" if event.told else ""))

        elif isinstance(event, PicturesFailed):
            self._print(f"no pictures: {event.reason}")

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


class StepBar(Steps):
    """A bar for the step that is under way."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None

    def begin(self, what: str, n: int) -> None:
        """Begin a step over `n` molecules."""
        self.end()
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.add_task(what, total=n)
        self._progress.start()

    def advance(self, n: int) -> None:
        """Count `n` more molecules."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0], n)

    def end(self) -> None:
        """End the step."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
