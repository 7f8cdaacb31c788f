"""An overview of a campaign as a terminal shows it, narrow or wide, once or live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from osong_workflows.amounts import counted, duration, on_one_line, speed
from osong_workflows.jobs import describe_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from osong_workflows.overview import Overview
    from osong_workflows.pilot_views import PilotView

__all__ = ["draw", "draw_campaigns"]

_PILOTS_SHOWN: Final = 40
_ERRORS_SHOWN: Final = 5
_LOST_SHOWN: Final = 5
"""In weeks many pilots are preempted or killed; the latest tell whether something is wrong now."""
_WIDE: Final = 110
"""Columns of a terminal that has room for more about each pilot."""
_LIFE_STYLES: Final = {"at work": "green", "silent": "yellow", "gone": "red", "ended": "dim"}


def draw(overview: Overview, *, n_pilots: int = _PILOTS_SHOWN) -> RenderableType:
    """Return all that is known of a campaign, as lines and tables.

    Parameters
    ----------
    overview
        The campaign.
    n_pilots
        Rows of the table of pilots at most.
    """
    parts: list[RenderableType] = [_Bar(overview), _facts(overview)]
    if not overview.status.is_finished:
        parts += _pilots(overview, n_pilots)
    parts += _health(overview)
    if overview.status.failures:
        parts.append(_failures(overview))
    parts += [_line(f"note: {note}", "yellow") for note in overview.notes]
    if overview.log:
        parts.append(Text())
        parts += [
            Text(str(line), style="dim", no_wrap=True, overflow="ellipsis") for line in overview.log
        ]
    return Group(*parts)


def draw_campaigns(overviews: Iterable[Overview]) -> RenderableType:
    """Return a table with a row for each of several campaigns, and who is at work."""
    table = _table(
        "campaign", "target", ">done", ">ok", ">failed", ">left", ">rate", ">time left", ">pilots"
    )
    for overview in overviews:
        status = overview.status
        left = overview.time_left_s
        _add(
            table,
            overview.folder.name,
            overview.target,
            _percent(overview),
            f"{status.n_ok:,}",
            f"{status.n_failed:,}",
            f"{status.n_left:,}",
            speed(overview.rate.now) if not status.is_finished else "-",
            "-" if left is None else "finished" if status.is_finished else duration(left),
            str(len(overview.at_work)),
        )
    return table


class _Bar:
    """The campaign's folder, and a bar where somebody looks."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines."""
        status = self._overview.status
        head = Text(str(status.folder), style="bold", overflow="fold")
        about = (self._overview.target, self._overview.scoring, self._overview.effort)
        head.append("  " + ", ".join(about), style="not bold")
        yield head
        if console.is_terminal:
            grid = Table.grid(padding=(0, 1), expand=True)
            grid.add_column(ratio=1)
            grid.add_column(justify="right", no_wrap=True)
            bar = ProgressBar(
                total=max(status.n_records, 1),
                completed=status.n_done,
                complete_style="green",
                finished_style="green",
            )
            _add(grid, bar, _percent(self._overview))
            yield grid


def _facts(overview: Overview) -> Table:
    """Return counts, rate, time left, who is at work and what to do next."""
    status, rate = overview.status, overview.rate
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    _add(grid, "molecules", _molecules(overview))
    if rate.per_core is not None:
        now = f"{speed(rate.now)} now, " if rate.now else ""
        overall = f"{speed(rate.overall)} overall, " if rate.overall else ""
        _add(grid, "rate", f"{now}{overall}{speed(rate.per_core)} a core")
    if not status.is_finished:
        _add(grid, "time left", overview.estimate)
        _add(grid, "pilots", Text(overview.who, style="green" if overview.at_work else "yellow"))
        if overview.jobs:
            _add(grid, "Slurm", describe_states(overview.jobs))
        if overview.given_up:
            _add(grid, "", Text(f"nothing is submitted any more: {overview.given_up}", style="red"))
    if overview.advice:
        _add(grid, "next", overview.advice)
    return grid


def _molecules(overview: Overview) -> str:
    """Return what became of the molecules and of the files."""
    status = overview.status
    line = f"{status.ok}, {status.n_failed:,} failed of {status.n_records:,} molecules"
    line += "; finished" if status.is_finished else f"; {status.n_left:,} left"
    if status.n_damaged:
        line += f"; {counted(status.n_damaged, 'damaged file')}, to be done again"
    if status.n_foreign:
        line += f"; {counted(status.n_foreign, 'part')} of another campaign"
    if overview.n_set_aside:
        line += f"; {counted(overview.n_set_aside, 'damaged file')} set aside earlier"
    return line


def _pilots(overview: Overview, n_rows: int) -> list[RenderableType]:
    """Return the table of pilots at work and of the latest that were lost, and who is not in it."""
    lost = [pilot for pilot in overview.pilots if pilot.life in ("silent", "gone")]
    shown = [*overview.at_work[:n_rows], *lost[:_LOST_SHOWN]]
    lines: list[RenderableType] = [_PilotTable(shown)] if shown else []
    n_more, n_more_lost = len(overview.at_work) - n_rows, len(lost) - _LOST_SHOWN
    if n_more > 0:
        lines.append(_line(f"and {counted(n_more, 'more pilot')} at work", "dim"))
    if n_more_lost > 0:
        lines.append(_line(f"and {counted(n_more_lost, 'more pilot')} lost earlier", "dim"))
    return lines


class _PilotTable:
    """Pilots that have not ended: as many columns as there is room for."""

    def __init__(self, pilots: Sequence[PilotView]) -> None:
        self._pilots = pilots

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table."""
        is_wide = options.max_width >= _WIDE
        more = ("runner", ">workers", ">restarts", ">sent away", "Slurm") if is_wide else ()
        table = _table(
            "node",
            "job",
            "state",
            ">busy",
            ">shards",
            ">ok",
            ">failed",
            ">rate",
            ">last sign",
            *more,
        )
        for pilot in self._pilots:
            cells = _pilot_cells(pilot)
            _add(table, *(cells if is_wide else cells[:9]))
        yield table


def _pilot_cells(pilot: PilotView) -> list[RenderableType]:
    """Return what is known of a pilot, the most important first."""
    state = pilot.state
    works = pilot.life == "at work"
    word = state.state if works else pilot.life
    rate = pilot.per_core * pilot.n_busy if pilot.per_core and works else None
    return [
        pilot.place,
        state.job or f"pid {state.pid}",
        Text(word, style=_LIFE_STYLES[pilot.life]),
        f"{pilot.n_busy:,}/{state.n_threads:,}" if works else "-",
        f"{len(state.shards):,}",
        f"{state.n_ok:,}",
        f"{state.n_failed:,}",
        speed(rate),
        duration(pilot.silent_s),
        state.runner,
        f"{state.n_workers:,}",
        f"{state.n_restarts:,}",
        f"{len(state.rejected):,}",
        pilot.job_state.lower() or "-",
    ]


def _health(overview: Overview) -> list[RenderableType]:
    """Return lines on pilots that ended, workers sent away and docking processes that died."""
    lines: list[RenderableType] = []
    ended = [pilot for pilot in overview.pilots if pilot.life == "ended"]
    failed = [pilot for pilot in ended if pilot.state.error]
    if ended:
        errors = f", {len(failed):,} with an error" if failed else ""
        lines.append(_line(f"{counted(len(ended), 'pilot')} ended{errors}"))
    for pilot in failed[:_ERRORS_SHOWN]:
        job = f", job {pilot.state.job}" if pilot.state.job else ""
        when = f"{duration(pilot.silent_s)} ago"
        error = on_one_line(pilot.state.error)
        lines.append(_line(f"  {pilot.place}{job}, {when}: {error}", "red"))
    for host, reason in _sent_away(overview)[:_ERRORS_SHOWN]:
        lines.append(_line(f"worker sent away: {host}: {on_one_line(reason)}", "yellow"))
    restarts = sum(pilot.state.n_restarts for pilot in overview.pilots)
    if restarts:
        lines.append(_line(f"{restarts:,} docking processes had to be started again"))
    return lines


def _sent_away(overview: Overview) -> list[tuple[str, str]]:
    """Return the workers that were sent away, each once."""
    pairs = ((host, why) for pilot in overview.pilots for host, why in pilot.state.rejected)
    return list(dict.fromkeys(pairs))


def _failures(overview: Overview) -> Table:
    """Return how many molecules failed at each stage, most first, with the first of each."""
    table = _table("failed at", ">molecules", "~the first of them")
    ordered = sorted(overview.status.failures.items(), key=lambda item: (-item[1], item[0]))
    for stage, count in ordered:
        example = overview.examples.get(stage)
        _add(
            table,
            stage,
            f"{count:,}",
            f"{example.name}: {example.reason}" if example else "",
        )
    return table


def _percent(overview: Overview) -> str:
    """Return how much is done; 100 % only when all is."""
    status = overview.status
    percent = 100.0 * status.n_done / max(status.n_records, 1)
    return f"{percent if status.is_finished else min(percent, 99.9):.1f} %"


def _line(text: str, style: str = "") -> Text:
    """Return a line that is folded where the terminal is narrow, nothing left out."""
    return Text(text, style=style, overflow="fold")


def _add(table: Table, *cells: RenderableType) -> None:
    """Add a row; names of files, nodes and molecules are text, never markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _table(*columns: str) -> Table:
    """Return an empty table; ``>`` marks numbers, ``~`` the column that wraps."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip(">~"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=not column.startswith("~"),
            overflow="fold" if column.startswith("~") else "ellipsis",
        )
    return table
