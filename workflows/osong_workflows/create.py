"""How a campaign folder comes about: settings, target, records, plan, in this order."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from osong.atom_types import ATOM_TYPES
from osong.errors import CampaignError, InputError, ResourceError
from osong.library import Record, is_prepared, read_records
from osong.library.reader import library_files
from osong_workflows.active_rounds import ActiveRounds
from osong_workflows.allocation import allocated_cores
from osong_workflows.folder import CampaignFolder, full_disk, write_atomically
from osong_workflows.plan import Plan, make_plan, read_plan
from osong_workflows.pose_rescoring import check_rescoring
from osong_workflows.prepared import prepared_records
from osong_workflows.settings import SCORE, CampaignSettings, read_settings
from osong_workflows.staging import library_digest, stage_library
from osong_workflows.strategy import active_settings, check_strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osong.box import Box
    from osong_workflows.runners.base import RunnerName

__all__ = [
    "TargetLike",
    "check_folder",
    "create_campaign",
    "finish_planning",
    "grid_bytes",
    "update_strategy",
]

_IN_MEMORY: Final = "(molecules from Python)"


class TargetLike(Protocol):
    """What a campaign needs of a target."""

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def key(self) -> bytes:
        """Hash of what affects scores."""

    @property
    def box(self) -> Box:
        """Where to search."""

    def save(self, path: str | Path) -> None:
        """Write it to one file."""


def create_campaign(
    target: TargetLike,
    library: str | os.PathLike[str] | Iterable[Any],
    out: str | os.PathLike[str],
    settings: CampaignSettings,
    *,
    workers: int | None = None,
    runner: RunnerName = "local",
    chunk_size: int | None = None,
    shard_chunks: int | None = None,
) -> CampaignFolder:
    """Make a campaign folder, or find that it already holds this very campaign.

    Raises
    ------
    InputError
        The library cannot be read or is empty.
    CampaignError
        The folder holds another campaign or other files; it is left as it is.
    ResourceError
        The disk is too small.
    """
    for name, size in (("chunk_size", chunk_size), ("shard_chunks", shard_chunks)):
        if size is not None and size < 1:
            raise InputError(f"{name} must be at least 1, got {size}")
    check_rescoring(settings)
    check_strategy(settings)
    folder = CampaignFolder.at(out)
    settings = settings.model_copy(update={"library": _library_name(library)})
    records = _open_library(library, settings)
    check_folder(folder, settings)
    if not folder.plan.exists():
        _check_space(folder, library)
    is_new = not folder.path.exists()
    with full_disk(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    with folder.locked():
        # Another process may have been faster.
        check_folder(folder, settings)
        if folder.plan.exists():
            _check_library(folder, read_plan(folder), settings, records)
            update_strategy(folder, settings)
            return folder
        is_first = not folder.settings.exists()
        try:
            write_atomically(folder.settings, settings.to_toml().encode())
            with full_disk(folder.path):
                target.save(folder.target)
            n_workers = 1 if runner == "serial" else workers or allocated_cores()
            _plan(folder, settings, records, n_workers, (chunk_size, shard_chunks), target.box)
        except BaseException:
            if is_first:
                _undo(folder, is_new=is_new)
            raise
    return folder


def update_strategy(folder: CampaignFolder, settings: CampaignSettings) -> None:
    """Write down when a campaign's strategy is to end now, where that is not what it was before."""
    before = read_settings(folder.settings)
    if settings.strategy is not None and before.strategy != settings.strategy:
        # Before anything is written: what cannot be would be said by every command from then on.
        begun = ActiveRounds(folder).state.begun()
        n_records = read_plan(folder).n_records
        active_settings(settings.strategy, n_records, seed=settings.seed, begun=begun)
        after = before.model_copy(update={"strategy": settings.strategy})
        write_atomically(folder.settings, after.to_toml().encode())


def _undo(folder: CampaignFolder, *, is_new: bool) -> None:
    """Remove what a beginning that failed has made, and nothing else.

    Where the file system has no locks, another process may have begun the campaign meanwhile.
    """
    if _is_begun(folder):
        return
    for path in (folder.settings, folder.target, folder.path / "lock"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder.input, ignore_errors=True)
    for empty in (folder.parts, *([folder.path] if is_new else [])):
        with contextlib.suppress(OSError):
            empty.rmdir()


def finish_planning(folder: CampaignFolder, settings: CampaignSettings, workers: int) -> None:
    """Plan a campaign that was stopped before its plan was made; its library must be a file.

    Raises
    ------
    CampaignError
        The library came from Python, or the target was not saved yet.
    """
    if settings.library == _IN_MEMORY or not folder.target.exists():
        read_plan(folder)  # raises, and says what to do
    from osong.receptor import Target

    records = _open_library(settings.library, settings)
    box = Target.load(folder.target).box
    with folder.locked():
        # Another process may have been faster.
        if not folder.plan.exists():
            _plan(folder, settings, records, workers, (None, None), box)


def _plan(
    folder: CampaignFolder,
    settings: CampaignSettings,
    records: Iterable[Record],
    workers: int,
    sizes: tuple[int | None, int | None],
    box: Box,
) -> None:
    """Stage the records and write the plan."""
    staged = stage_library(records, folder.input)
    if settings.strategy is not None:
        # Now that its size is known; what cannot be leaves no folder behind.
        active_settings(settings.strategy, staged.n_records, seed=settings.seed)
    with full_disk(folder.path):
        folder.parts.mkdir(exist_ok=True)
    make_plan(
        folder,
        settings,
        staged,
        workers=workers,
        chunk_size=sizes[0],
        shard_chunks=sizes[1],
        grid_bytes=grid_bytes(box),
    )


def _library_name(library: str | os.PathLike[str] | Iterable[Any]) -> str:
    if isinstance(library, (str, os.PathLike)):
        return str(Path(library).expanduser().absolute())
    return _IN_MEMORY


def _open_library(
    library: str | os.PathLike[str] | Iterable[Any], settings: CampaignSettings
) -> Iterator[Record]:
    """Return the records, the first of them already read, so that a bad library fails at once."""
    records = _read_library(library, settings)
    first = next(records, None)
    if first is None:
        raise InputError(f"{settings.library}: holds no molecule; check the file")
    numbered = enumerate(itertools.chain([first], records))
    return (Record(i, r.name, r.source, r.format, r.data) for i, r in numbered)


def _read_library(
    library: str | os.PathLike[str] | Iterable[Any], settings: CampaignSettings
) -> Iterator[Record]:
    """Return the records of a file, a folder, a prepared library or an iterable."""
    options: dict[str, Any] = dict(settings.reading)
    if not isinstance(library, (str, os.PathLike)):
        return iter(read_records(library, **options))
    path = Path(library).expanduser()
    if is_prepared(path):
        if settings.effort == SCORE:
            raise InputError(
                f"{path}: is a prepared library, which has no poses to score; give a file with "
                "poses (SDF, MOL2, PDBQT), or dock it: effort 'fast'"
            )
        return prepared_records(path)
    return iter(read_records(path, **options))


def check_folder(folder: CampaignFolder, settings: CampaignSettings) -> None:
    """Check that a folder is new, empty, or of a campaign with the same settings.

    Raises
    ------
    CampaignError
        It is none of them; the message says what differs.
    """
    path = folder.path
    if path.exists() and not path.is_dir():
        raise CampaignError(f"{path}: is a file; choose a folder for the campaign")
    if folder.settings.exists() and _is_begun(folder):
        differences = read_settings(folder.settings).differences(settings)
        if differences:
            raise CampaignError(
                f"{path}: holds another campaign ({'; '.join(differences)}); choose another "
                "output folder"
            )
    elif (
        path.exists()
        and not folder.settings.exists()
        and not all(_is_ours(entry.name) for entry in path.iterdir())
    ):
        raise CampaignError(
            f"{path}: is not empty and holds no campaign; choose another output folder"
        )


def _is_begun(folder: CampaignFolder) -> bool:
    """Return whether anything can have been docked: settings alone bind nobody."""
    return folder.plan.exists() or any(folder.parts.glob("*"))


def _is_ours(name: str) -> bool:
    """Return whether a file can be what a campaign leaves that was killed as it began."""
    return name == "lock" or (name.startswith(".") and name.endswith(".tmp"))


def _check_library(
    folder: CampaignFolder, plan: Plan, settings: CampaignSettings, records: Iterator[Record]
) -> None:
    """Check that a planned campaign has these very records."""
    if library_digest(records) != plan.library_digest:
        raise CampaignError(
            f"{folder.path}: holds another campaign (its library, "
            f"{read_settings(folder.settings).library}, has other molecules or another order than "
            f"{settings.library}); choose another output folder"
        )


def _check_space(folder: CampaignFolder, library: object) -> None:
    """Check that the disk can take a copy of the library; Parquet is no larger than text."""
    if not isinstance(library, (str, os.PathLike)):
        return
    source = Path(library).expanduser()
    if is_prepared(source):
        return
    needed = sum(path.stat().st_size for path in library_files(source))
    existing = next(path for path in (folder.path, *folder.path.parents) if path.exists())
    free = math.inf
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(existing).free
    if needed > free:
        raise ResourceError(
            f"{folder.path}: a copy of the library needs up to {needed / 2**30:.1f} GiB and the "
            f"disk has {free / 2**30:.1f} GiB free; free space or choose another folder"
        )


def grid_bytes(box: Box) -> int:
    """Return the memory of the target's grid maps."""
    return math.prod(box.n_points()) * len(ATOM_TYPES) * 4
