"""What a campaign file asks for that changes no result; kept beside the campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from osong.errors import CampaignError
from osong_workflows.file_tables import Budget, Outputs
from osong_workflows.folder import CampaignFolder, write_atomically

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from osong_workflows.campaign import Campaign

__all__ = ["Wishes", "read_outputs", "read_wishes", "store_wishes", "write_outputs"]

_FILE: Final = "wishes.json"
_SUFFIXES: Final = {"sdf": "sdf", "csv": "csv", "parquet": "parquet", "smiles": "smi"}


class Wishes(BaseModel):
    """What was asked for that changes no result.

    Attributes
    ----------
    file
        The campaign file that asked; "" where the command line did.
    outputs
        What to write when the campaign is finished.
    budget
        What it may take.
    library
        Which files the library was, their sizes and times; for a look whether it still is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    file: str = ""
    outputs: Outputs = Outputs()
    budget: Budget = Budget()
    library: str = ""


def store_wishes(folder: CampaignFolder, wishes: Wishes) -> None:
    """Keep wishes beside a campaign; those of before are replaced."""
    path = _path(folder)
    data = (wishes.model_dump_json(indent=1) + "\n").encode()
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def read_wishes(folder: CampaignFolder) -> Wishes:
    """Return the wishes beside a campaign, or what holds where none were stored.

    Raises
    ------
    CampaignError
        The file is damaged.
    """
    path = _path(folder)
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
    return read_wishes(CampaignFolder.at(folder)).outputs


def write_outputs(campaign: Campaign) -> list[Path]:
    """Write the hits of a campaign as the files that were asked for; return their paths.

    Each appears whole or not at all, and replaces that of before. Where nothing has docked there
    are no hits, and no files.
    """
    outputs = read_outputs(campaign.folder)
    if campaign.status().n_ok == 0:
        return []
    written = []
    for kind in outputs.files:
        path = campaign.folder / f"hits.{_SUFFIXES[kind]}"
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


def _path(folder: CampaignFolder) -> Path:
    return folder.path / _FILE
