"""Watching a campaign: a live view on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from osong_workflows.amounts import counted, duration, speed
from osong_workflows.observing import observer_of
from osong_workflows.panel import draw, draw_campaigns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from osong_workflows.overview import Overview

__all__ = ["default_interval", "watch_campaign", "watch_campaigns"]

_LOCAL_S: Final = 2.0
_SHARED_S: Final = 10.0
_SHARED: Final = re.compile(
    "9p|afs|beegfs|ceph|cifs|fuse|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs|nfs4|ocfs2|orangefs|panfs|"
    "pvfs2|smb2|smb3|smbfs|wekafs"
)
"""File systems whose servers others need too."""
_SHARE_OF_TIME: Final = 0.2
"""Looking takes at most this share of the time, however large the campaign."""
_LINE_EVERY_S: Final = 60.0
"""Where nobody looks, a line comes at most so often."""
_LOG_LINES: Final = 5
_LINES_BESIDES: Final = 18
"""Lines of a live view that are not rows of pilots."""


def watch_campaign(
    folder: str | os.PathLike[str],
    *,
    every_s: float | None = None,
    until_finished: bool = True,
    console: Console | None = None,
) -> Overview:
    """Show a campaign until it is finished or Ctrl-C is pressed; the campaign notices nothing.

    Parameters
    ----------
    folder
        The campaign folder.
    every_s
        Seconds between two looks; None: 2, or 10 where the file system is a shared one.
    until_finished
        Go on while nobody is at work, since jobs may be waiting; False: end then.
    console
        Where to draw; None: stdout.

    Returns
    -------
    The campaign as it was at the last look.

    Raises
    ------
    CampaignError
        There is no campaign, its plan is damaged, or it is of another version.
    """
    (last,) = watch_campaigns(
        [folder], every_s=every_s, until_finished=until_finished, console=console
    )
    return last


def watch_campaigns(
    folders: Sequence[str | os.PathLike[str]],
    *,
    every_s: float | None = None,
    until_finished: bool = True,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Overview]:
    """Show several campaigns until all are finished; as `watch_campaign` otherwise."""
    observers = [observer_of(folder) for folder in folders]
    pause = every_s or max(default_interval(Path(folder)) for folder in folders)
    out = console or Console(highlight=False, markup=False)
    screen = _LiveScreen(out) if out.is_terminal else _Lines(out)
    overviews: list[Overview] = []
    try:
        with screen:
            while True:
                begin = time.monotonic()
                overviews = [observer.look(n_log=screen.n_log) for observer in observers]
                screen.show(overviews)
                if _is_over(overviews, until_finished):
                    break
                sleep(max(pause, (time.monotonic() - begin) / _SHARE_OF_TIME))
    except KeyboardInterrupt:
        out.print(_goodbye(overviews), soft_wrap=True)
    return overviews


def default_interval(folder: Path, *, mounts: Path = Path("/proc/self/mounts")) -> float:
    """Return seconds between two looks that are no burden for a folder's file system."""
    kind = _file_system(folder.expanduser().absolute(), mounts)
    return _SHARED_S if _SHARED.fullmatch(kind) else _LOCAL_S


def _file_system(folder: Path, mounts: Path) -> str:
    """Return the type of the file system that a folder is on; "" where nobody can say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    path = folder.resolve()
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        # A later mount at the same place hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2].partition(".")[0]
    return kind


class _LiveScreen:
    """Draws over what was drawn before."""

    n_log = _LOG_LINES

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> None:
        """Take the terminal."""
        self._live.start()

    def __exit__(self, *error: object) -> None:
        """Give the terminal back; the last picture stays."""
        self._live.stop()

    def show(self, overviews: Sequence[Overview]) -> None:
        """Draw."""
        over = all(overview.status.is_finished for overview in overviews)
        view = _view(overviews, max(3, self._console.height - _LINES_BESIDES))
        hint = Text("" if over else "Ctrl-C ends watching, not the campaign", style="dim")
        self._live.update(Group(view, hint), refresh=True)


class _Lines:
    """Prints a line when something has changed, but not often."""

    n_log = 0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed = ""
        self._printed_at = float("-inf")

    def __enter__(self) -> None:
        """Nothing to take."""

    def __exit__(self, *error: object) -> None:
        """Nothing to give back."""

    def show(self, overviews: Sequence[Overview]) -> None:
        """Print, if it is time."""
        now = time.monotonic()
        over = all(overview.status.is_finished for overview in overviews)
        if not over and now - self._printed_at < _LINE_EVERY_S:
            return
        text = "\n".join(_one_line(overview) for overview in overviews)
        if text != self._printed:
            clock = time.strftime("%H:%M:%S")
            for line in text.splitlines():
                self._console.print(f"{clock} {line}", soft_wrap=True)
            self._printed, self._printed_at = text, now


def _view(overviews: Sequence[Overview], n_pilots: int) -> RenderableType:
    """Return one campaign with all details, or a table of several."""
    if len(overviews) == 1:
        return draw(overviews[0], n_pilots=n_pilots)
    return draw_campaigns(overviews)


def _one_line(overview: Overview) -> str:
    """Return the most important of a campaign in a line."""
    line = f"{overview.folder}: {overview.status.counts}"
    if overview.status.is_finished:
        return line
    left = overview.time_left_s
    rate = f"; {speed(overview.rate.now)}, {duration(left)} left" if left else ""
    return f"{line}{rate}; {overview.who}"


def _is_over(overviews: Sequence[Overview], until_finished: bool) -> bool:
    """Return whether there is nothing more to see."""
    return all(
        overview.status.is_finished or not (until_finished or overview.at_work)
        for overview in overviews
    )


def _goodbye(overviews: Sequence[Overview]) -> str:
    """Return what Ctrl-C has ended, and what goes on."""
    n_at_work = sum(len(overview.at_work) for overview in overviews)
    if not n_at_work:
        return "stopped watching; nobody is at work"
    goes = "goes" if n_at_work == 1 else "go"
    return f"stopped watching; {counted(n_at_work, 'pilot')} at work {goes} on"
