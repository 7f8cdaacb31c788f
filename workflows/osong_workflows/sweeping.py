"""Sweeping: damaged parts, what dead pilots left, what a finished campaign no longer needs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from typing import TYPE_CHECKING, Final

from osong_workflows.folder import names_in
from osong_workflows.part_names import finished_shards, part_problem, set_aside
from osong_workflows.pilots import read_pilots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osong_workflows.folder import CampaignFolder
    from osong_workflows.pilots import PilotWatch
    from osong_workflows.plan import Plan

__all__ = ["check_parts", "sweep_dead", "sweep_finished"]

_TEMPORARY: Final = re.compile(r"\.\d{6,}-(?P<pilot>.+)-[0-9a-f]{8}\.tmp")
_BEAT: Final = re.compile(r"\.(?P<pilot>.+)\.json\..*tmp")
_OF_BEGINNING: Final = re.compile(r"\.(campaign\.toml|plan\.json|target\.osong)\..*tmp")
"""What is written before anything runs: nobody is at it any more once a campaign is finished."""


def check_parts(
    folder: CampaignFolder,
    plan: Plan,
    tell: Callable[[str, str, str], None],
    limit_bytes: float = float("inf"),
) -> None:
    """Check the parts of finished shards byte by byte, and set damaged ones aside.

    Parameters
    ----------
    folder, plan
        The campaign.
    tell
        Called with part, new place and reason of each that is set aside.
    limit_bytes
        Where there is more than this, only the sizes of the parts are looked at.
    """
    parts = finished_shards(folder, plan)
    sizes = {}
    for index, part in parts.items():
        # Another pilot may be setting damaged ones aside at the same moment.
        with contextlib.suppress(FileNotFoundError):
            sizes[index] = part.stat().st_size
    is_little = sum(sizes.values()) <= limit_bytes
    for index, size in sizes.items():
        problem = None if size else "it is empty"
        if is_little:
            with contextlib.suppress(FileNotFoundError):
                problem = part_problem(parts[index], plan.shard(index))
        if problem is not None:
            moved = set_aside(folder, parts[index])
            if moved is not None:
                tell(str(parts[index]), str(moved), problem)


def sweep_dead(folder: CampaignFolder, watch: PilotWatch) -> None:
    """Remove what dead pilots left half-written."""
    known = {state.id for state in read_pilots(folder)}
    for path in _temporaries(folder):
        match = _TEMPORARY.fullmatch(path.name)
        if match and match["pilot"] in known and watch.is_dead(match["pilot"]):
            path.unlink(missing_ok=True)
    for name in names_in(folder.pilots):
        beat = _BEAT.fullmatch(name)
        if beat and beat["pilot"] in known and watch.is_dead(beat["pilot"]):
            (folder.pilots / name).unlink(missing_ok=True)


def sweep_finished(folder: CampaignFolder, watch: PilotWatch) -> None:
    """Remove what only a campaign under way needs: claims, parts of chunks, unfinished files.

    What belongs to a pilot that lives, or to a command at work here, is left to it.
    """
    sweep_dead(folder, watch)
    for place in (folder.claims, folder.run):
        shutil.rmtree(place, ignore_errors=True)
    known = {state.id for state in read_pilots(folder)}
    for path in _temporaries(folder):
        match = _TEMPORARY.fullmatch(path.name)
        # A pilot has its file before it writes anything else.
        if match and match["pilot"] not in known:
            path.unlink(missing_ok=True)
    for name in names_in(folder.path):
        if _OF_BEGINNING.fullmatch(name) and (folder.path / name).is_file():
            (folder.path / name).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(folder.parts)):
            if entry.is_dir() and entry.name.isdecimal():
                shutil.rmtree(entry.path, ignore_errors=True)


def _temporaries(folder: CampaignFolder) -> Iterator[Path]:
    """Yield what stands under temporary names; other pilots may be sweeping too."""
    under_way = (folder.parts / name for name in names_in(folder.parts) if name.isdecimal())
    for place in (folder.parts, *under_way):
        for name in names_in(place):
            if name.startswith(".") and name.endswith(".tmp"):
                yield place / name
