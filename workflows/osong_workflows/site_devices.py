"""Whether jobs get the GPUs that a campaign wants, and would use those that they get.

Where docking runs is chosen by each job on its node. Before that, on a login node without a driver,
only what was asked for can be compared: of the campaign, and of Slurm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osong.errors import InputError
from osong_workflows.folder import CampaignFolder
from osong_workflows.outputs import read_wishes
from osong_workflows.run import why_no_device
from osong_workflows.settings import read_settings

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from osong_workflows.settings import CampaignSettings
    from osong_workflows.sites import Site

__all__ = ["check_devices", "device_note", "note_on_devices", "refuse_without_devices"]


def refuse_without_devices(place: Path, wanted: str, site: Site) -> None:
    """Check that a site's jobs get the devices that a campaign wants.

    Parameters
    ----------
    place
        The campaign's folder or file, for the message.
    wanted
        Its backend.
    site
        The cluster.

    Raises
    ------
    InputError
        They get none.
    """
    if wanted == "cuda" and not site.asks_for_devices:
        raise InputError(
            f"{place}: wants backend cuda and site '{site.name}' asks for no GPUs; set "
            "gpus_per_node in its profile, or backend auto in the campaign file"
        )


def check_devices(folder: Path, site: Site) -> None:
    """Check that the jobs of a campaign folder get the devices that it wants.

    Raises
    ------
    InputError
        They get none.
    """
    refuse_without_devices(folder, read_wishes(folder).run.backend, site)


def device_note(folder: str | os.PathLike[str], site: Site) -> str:
    """Return what to know of the GPUs that jobs of a campaign get; "" where they get none."""
    campaign = CampaignFolder.at(folder)
    if not site.asks_for_devices or not campaign.plan.exists():
        return ""
    return note_on_devices(read_wishes(campaign).run.backend, read_settings(campaign.settings))


def note_on_devices(wanted: str, settings: CampaignSettings) -> str:
    """Return what becomes of GPUs that jobs get.

    Parameters
    ----------
    wanted
        The campaign's backend.
    settings
        Its settings.
    """
    reason = "backend cpu is asked for" if wanted == "cpu" else why_no_device(settings)
    if reason:
        return f"jobs ask for GPUs and leave them idle: {reason}"
    if wanted == "cuda":
        return "each job looks on its node whether GPUs work there, and ends with an error if not"
    return "each job looks on its node whether GPUs work there, and docks on its cores if not"
