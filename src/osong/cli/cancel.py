"""`osong cancel`: a campaign's jobs leave Slurm; what is finished stays."""

from pathlib import Path
from typing import Annotated

import typer

from osong.cli.terminal import console

__all__ = ["cancel"]


def cancel(
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN", help="A campaign folder, or a campaign file.")
    ],
) -> None:
    """Cancel a campaign's jobs, waiting or running; what is finished stays.

    `osong cancel run1`
    """
    from osong.campaigns import workflows

    flows = workflows()
    for folder in flows.campaign_folders(campaign):
        states = flows.cancel(folder)
        line = f"cancelled {flows.describe_states(states)}" if states else "no job waits or runs"
        is_finished = flows.status(folder).is_finished
        then = "the campaign is finished" if is_finished else f"go on with: osong submit {folder}"
        console().print(f"{folder}: {line}; {then}", soft_wrap=True)
