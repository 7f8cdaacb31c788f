"""How far a run of the benchmark suite is: live on a terminal, plain lines in a log."""

from typing import TYPE_CHECKING, Any, Self

from osong.cli.terminal import error_console

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["BenchProgress"]


class BenchProgress:
    """Shows the part that runs, what it measures now, and how long each took."""

    def __init__(self) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        cut = Column(no_wrap=True, overflow="ellipsis")
        self._console = error_console()
        self._part = ""
        self._task: TaskID | None = None
        self._live = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("[bold]{task.description:<9}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[line]}", table_column=cut),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it is."""
        self._live.stop()

    def begin(self, part: str) -> None:
        """Show that a part begins."""
        self._part = part
        self._task = self._live.add_task(part, total=1, line="")

    def say(self, line: str) -> None:
        """Show what is being measured."""
        self._change(line=line)
        self._print(f"{self._part}: {line}")

    def end(self, part: str, record: Any) -> None:
        """Show that a part has ended, and whether it could be measured."""
        line = f"not measured: {record.gap.reason}" if record.gap else ""
        self._change(line=line, completed=1)
        self._print(f"{part}: {line or 'done'} ({record.seconds:.1f} s)")

    def _change(self, *, line: str, completed: int = 0) -> None:
        from rich.markup import escape

        if self._task is not None:
            self._live.update(self._task, line=escape(line), completed=completed)

    def _print(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, soft_wrap=True)
