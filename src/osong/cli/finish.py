"""`osong finish`: what the last job of a submission does."""

from osong.cli.campaign import CampaignArgument, one_campaign
from osong.cli.terminal import console
from osong.errors import CampaignError

__all__ = ["finish"]


def finish(path: CampaignArgument) -> None:
    """Write the outputs that a campaign file asked for; submit again what is left of a campaign.

    Run by the job that `osong submit` puts after its pilots. By hand it does no harm.

    `osong finish run1`
    """
    from osong.campaigns import workflows

    flows = workflows()
    folder = one_campaign(path)
    campaign = flows.open_campaign(folder)
    status = campaign.status()
    if status.is_finished:
        # The last pilot may have died between its last chunk and the end.
        status = campaign.pack()
    if not status.is_finished:
        continued = flows.continue_or_give_up(folder)
        if continued.given_up:
            raise CampaignError(continued.message)
        console().print(continued.message, soft_wrap=True)
        return
    for path in flows.write_outputs(campaign):
        console().print(f"wrote {path}", soft_wrap=True)
    console().print(str(campaign.status()), soft_wrap=True)
