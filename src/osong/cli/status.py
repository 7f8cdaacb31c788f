"""`osong status`: how far campaigns are, who is at work, what failed; once, live, or as JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from osong.cli.terminal import console, one_line
from osong.errors import InputError, OsongError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["StatusCommand", "status"]

_BY_DEFAULT = -1.0
"""Stands for a number of seconds that was not given."""
_LOG_LINES = 20
_LONGEST_WAIT_S = 86_400.0
_OPTIONAL = {"--watch": str(_BY_DEFAULT), "-w": str(_BY_DEFAULT), "--log": str(_LOG_LINES)}


class StatusCommand(TyperCommand):
    """A command with options whose number may be left out, which Typer has not."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the numbers that were left out."""
        return super().parse_args(ctx, _with_numbers(args))


def status(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Campaign folders, a folder of them, or campaign files."
        ),
    ],
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch",
            "-w",
            metavar="[S]",
            help="Look again every S seconds (2, on a shared disk 10) until all is finished.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        int | None,
        typer.Option(
            metavar="[N]", help="Show the last N (20) lines of the logs.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for each campaign.")
    ] = False,
) -> None:
    """Say how far campaigns are, who is at work and what failed; from any machine, at any time.

    Only the folder is looked at, and nothing is written.

    `osong status run1`

    `osong status run1 --watch`

    `osong status runs --json`
    """
    from osong.campaigns import workflows

    _check_numbers(watch, log)
    folders = [folder for path in paths for folder in workflows().campaign_folders(path)]
    if watch is not None:
        workflows().watch_campaigns(folders, every_s=watch if watch > 0 else None)
    elif as_json:
        _for_each(folders, lambda folder: _print_json(workflows().observe(folder, n_log=log or 0)))
    elif log is not None:
        _for_each(folders, lambda folder: _print_log(workflows().log_lines(folder, log)))
    elif len(folders) == 1:
        console().print(workflows().observe(folders[0]))
    else:
        _print_table(folders)


def _for_each(folders: "Sequence[Path]", action: "Callable[[Path], Any]") -> None:
    """Do something with each campaign; those that cannot be read do not hide the others."""
    n_bad = 0
    for folder in folders:
        try:
            action(folder)
        except OsongError as error:
            if len(folders) == 1:
                raise
            n_bad += 1
            typer.echo(f"osong: error: {one_line(error)}", err=True)
    if n_bad:
        raise typer.Exit(1)


def _print_table(folders: "Sequence[Path]") -> None:
    """Print a row for each campaign."""
    from osong.campaigns import workflows

    overviews: list[Any] = []
    try:
        _for_each(folders, lambda folder: overviews.append(workflows().observe(folder)))
    finally:
        if overviews:
            console().print(workflows().draw_campaigns(overviews))


def _print_json(overview: Any) -> None:
    typer.echo(json.dumps(overview.as_dict()))


def _print_log(lines: "Sequence[Any]") -> None:
    for line in lines:
        console().print(str(line), soft_wrap=True)


def _check_numbers(watch: float | None, log: int | None) -> None:
    """Check the numbers that were given."""
    if watch is not None and watch != _BY_DEFAULT and not 0 < watch < _LONGEST_WAIT_S:
        raise InputError(f"--watch {watch:g}: give seconds, more than 0 and up to a day")
    if log is not None and log < 1:
        raise InputError(f"--log {log}: give a number of lines, at least 1")


def _with_numbers(args: "Sequence[str]") -> list[str]:
    """Return the words of a command line with the numbers that were left out."""
    full: list[str] = []
    for word, following in zip(args, [*args[1:], ""], strict=True):
        full.append(word)
        if word in _OPTIONAL and not _is_number(following):
            full.append(_OPTIONAL[word])
    return full


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
