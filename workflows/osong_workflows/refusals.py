"""Why a campaign cannot be: everything that would not fit, found before anything runs."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError
from osong_workflows.amounts import duration
from osong_workflows.create import check_folder
from osong_workflows.folder import CampaignFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osong_workflows.campaign_file import CampaignFile
    from osong_workflows.estimate import CampaignEstimate
    from osong_workflows.place import RunPlace
    from osong_workflows.settings import CampaignSettings

__all__ = ["hours", "refusals", "size"]

_IS_EFFECTIVE: Final = os.access in os.supports_effective_ids
_START_S: Final = 60.0
"""Imports and compilation, once a process: "A screen from end to end" of docs/performance.md."""


def refusals(
    file: CampaignFile,
    settings: Sequence[CampaignSettings],
    estimate: CampaignEstimate,
    place: RunPlace,
) -> list[str]:
    """Return a line for each reason, with the line of the key that is to blame or would help.

    Parameters
    ----------
    file
        What was asked.
    settings
        Of each target's campaign.
    estimate
        What it would cost.
    place
        Where it is to run.
    """
    return [
        *_of_folders(file, settings),
        *_of_devices(file, place),
        *_of_disk(file, estimate),
        *_of_memory(file, estimate, place),
        *_of_time(file, estimate, place),
    ]


def _of_folders(file: CampaignFile, settings: Sequence[CampaignSettings]) -> Iterator[str]:
    """Yield what keeps results from being written where they were asked for."""
    for target, asked in zip(file.targets, settings, strict=True):
        folder = CampaignFolder.at(target.folder)
        try:
            check_folder(folder, asked)
        except CampaignError as error:
            yield file.place.problem(("out",), str(error))
        except OSError as error:
            yield file.place.problem(("out",), f"{folder.path}: {error.strerror}; give another")
    existing = _existing(file.out)
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=_IS_EFFECTIVE):
        yield file.place.problem(
            ("out",), f"{existing} may not be written to; give a folder of your own"
        )


def _of_devices(file: CampaignFile, place: RunPlace) -> Iterator[str]:
    """Yield whether devices are asked for where there will be none."""
    if file.tables.run.backend == "cuda" and not place.has_devices:
        yield file.place.problem(
            ("run", "backend"),
            f"{place.name}: gives no GPUs; set gpus_per_node in the site's profile, or take auto",
        )


def _of_disk(file: CampaignFile, estimate: CampaignEstimate) -> Iterator[str]:
    needed, budget = estimate.disk_bytes, file.tables.budget.disk
    if budget is not None and needed > budget:
        yield file.place.problem(
            ("budget", "disk"),
            f"the results need about {size(needed)} and the budget is {size(budget)}; raise it, or "
            "keep fewer poses (n_poses in [search])",
        )
    existing = _existing(file.out)
    try:
        free, n_free = shutil.disk_usage(existing).free, os.statvfs(existing)
    except OSError:
        return
    # What is there already of this campaign is not needed again.
    needed -= sum(_used(Path(target.folder)) for target in estimate.targets)
    if needed > free:
        yield file.place.problem(
            ("out",),
            f"the results need about {size(needed)} more and {existing} has {size(free)} free; "
            "free space, give another folder, or keep fewer poses (n_poses in [search])",
        )
    # A file system that does not count its files says that it has none at all.
    if n_free.f_files and estimate.n_files > n_free.f_favail:
        yield file.place.problem(
            ("out",),
            f"{estimate.n_files:,} files are needed and {existing} can take {n_free.f_favail:,} "
            "more; give another folder",
        )


def _of_memory(file: CampaignFile, estimate: CampaignEstimate, place: RunPlace) -> Iterator[str]:
    largest = max(estimate.targets, key=lambda target: target.memory_bytes_per_worker)
    needed, budget = largest.memory_bytes_per_worker, file.tables.budget.memory_per_worker
    if budget is not None and needed > budget:
        yield file.place.problem(
            ("budget", "memory_per_worker"),
            f"a worker needs about {size(needed)} for {largest.label} and the budget is "
            f"{size(budget)}; raise it, or take a smaller box",
        )
    if place.memory_per_node is None:
        return
    per_core = place.memory_per_node // (place.cores_per_node if place.is_site else 1)
    if needed > per_core:
        what, remedy = "in all", "take a smaller box"
        if place.is_site:
            what = "a core"
            remedy = f"ask for fewer cores_per_node or more memory_per_node, or {remedy}"
        yield file.place.problem(
            ("target",),
            f"a worker needs about {size(needed)} of memory for {largest.label} and {place.name} "
            f"has {size(per_core)} {what}; {remedy}",
        )


def _of_time(file: CampaignFile, estimate: CampaignEstimate, place: RunPlace) -> Iterator[str]:
    budget = file.tables.budget.core_hours
    core_hours = estimate.core_hours
    if file.tables.run.backend == "cuda" and estimate.devices is not None:
        core_hours = estimate.devices.core_hours
    if budget is not None and core_hours > budget:
        yield file.place.problem(
            ("budget", "core_hours"),
            f"about {hours(core_hours)} core hours are needed and the budget is "
            f"{hours(budget)}; raise it, take fewer molecules, or less effort",
        )
    needed = estimate.chunk_seconds + _START_S
    if place.seconds is not None and needed > place.seconds:
        yield file.place.problem(
            ("search", "effort"),
            f"to start and to do one chunk takes about {duration(needed)} and a job of "
            f"{place.name} has {duration(place.seconds)} before it is told to end; raise the "
            "site's time_limit",
        )


def size(n_bytes: float) -> str:
    """Return bytes as people and campaign files write them.

    Examples
    --------
    >>> size(999), size(1234567), size(50e9), size(2.5e15)
    ('999 B', '1.2 MB', '50 GB', '2,500 TB')
    """
    for exponent, unit in enumerate(("B", "kB", "MB", "GB")):
        value = n_bytes / 1000**exponent
        if value < 999.5:
            return f"{value:.2g} {unit}" if 0 < value < 9.95 else f"{value:,.0f} {unit}"
    return f"{n_bytes / 1e12:,.1f} TB" if n_bytes < 9.95e12 else f"{n_bytes / 1e12:,.0f} TB"


def hours(value: float) -> str:
    """Return hours with two digits, or all before the point.

    Examples
    --------
    >>> hours(0.0123), hours(3.21), hours(12345.6)
    ('0.012', '3.2', '12,346')
    """
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def _existing(path: Path) -> Path:
    """Return the folder that is there already, of a path that may not be yet."""
    for folder in (path, *path.parents):
        # What may not even be looked at counts as not there; what is above it may not be either.
        with contextlib.suppress(PermissionError):
            if folder.exists():
                return folder
    return path


def _used(folder: Path) -> int:
    """Return the bytes of the files that a campaign folder has already."""
    parts = [*folder.glob("parts/*"), *folder.glob("input/*")]
    return sum(path.stat().st_size for path in parts if path.is_file())
