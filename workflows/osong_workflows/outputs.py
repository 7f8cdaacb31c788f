"""What a campaign file asks for that changes no result; kept beside the campaign."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from osong.errors import CampaignError
from osong_workflows.file_tables import Budget, OutputKind, Outputs, RunTable
from osong_workflows.folder import CampaignFolder, locked_by, write_atomically

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from osong_workflows.campaign import Campaign

__all__ = [
    "Wishes",
    "read_outputs",
    "read_wishes",
    "store_wishes",
    "write_outputs",
]

_FILE: Final = "wishes.json"
_LOCK: Final = "outputs.lock"
_SUFFIXES: Final = {"sdf": "sdf", "csv": "csv", "parquet": "parquet", "smiles": "smi"}


class Wishes(BaseModel):
    """What was asked for that changes no result.

    Attributes
    ----------
    file
        The campaign file that asked; "" where the command line did.
    outputs
        What to write when the campaign is finished.
    run
        Where it runs.
    budget
        What it may take.
    library
        Which files the library was, their sizes and times; for a look whether it still is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    file: str = ""
    outputs: Outputs = Outputs()
    run: RunTable = RunTable()
    budget: Budget = Budget()
    library: str = ""


def store_wishes(folder: CampaignFolder, wishes: Wishes) -> None:
    """Keep wishes beside a campaign; those of before are replaced."""
    path = _path(folder)
    data = (wishes.model_dump_json(indent=1) + "\n").encode()
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def read_wishes(folder: CampaignFolder | str | os.PathLike[str]) -> Wishes:
    """Return the wishes beside a campaign, or what holds where none were stored.

    Raises
    ------
    CampaignError
        The file is damaged.
    """
    path = _path(folder if isinstance(folder, CampaignFolder) else CampaignFolder.at(folder))
    try:
        return Wishes.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Wishes()
    except (OSError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise CampaignError(
            f"{path}: cannot be read ({reason}); remove it, and write hits with: osong top"
        ) from error


def read_outputs(folder: str | os.PathLike[str]) -> Outputs:
    """Return what to write when the campaign of a folder is finished."""
    return read_wishes(folder).outputs


def write_outputs(campaign: Campaign, *, only_missing: bool = False) -> list[Path]:
    """Write the hits of a campaign as the files that were asked for; return their paths.

    Each appears whole or not at all, and replaces that of before. Where nothing has docked there
    are no hits, and no files.

    Parameters
    ----------
    campaign
        A finished one.
    only_missing
        Write nothing where the files are there, newer than the results, or where another process
        does so now: for pilots, many of which end at the same moment.
    """
    outputs = read_outputs(campaign.folder)
    if campaign.status().n_ok == 0:
        return []
    if only_missing:
        return _write_missing(campaign, list(_files(campaign.folder, outputs).values()))
    written = []
    for kind, path in _files(campaign.folder, outputs).items():
        if kind == "sdf":
            campaign.to_sdf(path, outputs.hits, n_poses=outputs.n_poses)
        elif kind == "csv":
            campaign.to_csv(path, outputs.hits)
        elif kind == "parquet":
            campaign.to_parquet(path, outputs.hits)
        else:
            campaign.to_smiles(path, outputs.hits)
        written.append(path)
    return written


def _write_missing(campaign: Campaign, paths: list[Path]) -> list[Path]:
    """Write outputs unless they are newer than the parts, or another process writes them now."""
    folder = CampaignFolder.at(campaign.folder)
    with contextlib.ExitStack() as stack:
        try:
            is_locked = stack.enter_context(locked_by(folder.path / _LOCK, "campaign folder"))
        except CampaignError:
            return []
        if is_locked:
            for leftover in folder.path.glob(".hits.*.tmp"):
                leftover.unlink(missing_ok=True)
        if _are_newer(paths, [_path(folder), *campaign.result_files()]):
            return paths
        return write_outputs(campaign)


def _are_newer(paths: list[Path], sources: list[Path]) -> bool:
    """Return whether files are there and were written after others; clocks are the disk's own."""
    times = [
        [path.stat().st_mtime_ns for path in all_ if path.exists()] for all_ in (paths, sources)
    ]
    return len(times[0]) == len(paths) and min(times[0], default=0) > max(times[1], default=0)


def _files(folder: Path, outputs: Outputs) -> dict[OutputKind, Path]:
    """Return where each kind of output lies."""
    return {kind: folder / f"hits.{_SUFFIXES[kind]}" for kind in outputs.files}


def _path(folder: CampaignFolder) -> Path:
    return folder.path / _FILE
