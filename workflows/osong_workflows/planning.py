"""`plan_campaign`: what a campaign file would cost and why it cannot be; nothing is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osong.backend import choose_backend
from osong.errors import InputError
from osong_workflows.campaign_file import read_campaign_file
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.estimate import count_library, estimate_campaign, rescoring_time, usual_time
from osong_workflows.file_campaigns import settings_of
from osong_workflows.place import place_of_site, this_machine
from osong_workflows.refusals import refusals
from osong_workflows.run import why_no_device
from osong_workflows.site_devices import note_on_devices
from osong_workflows.strategy import active_settings
from osong_workflows.timing import measure_time, spread_records

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from osong_workflows.campaign_file import CampaignFile
    from osong_workflows.estimate import CampaignEstimate
    from osong_workflows.events import Subscriber
    from osong_workflows.place import RunPlace
    from osong_workflows.settings import CampaignSettings
    from osong_workflows.sites import Site

__all__ = ["plan_campaign"]


def plan_campaign(
    path: str | os.PathLike[str],
    *,
    site: Site | None = None,
    nodes: int | None = None,
    sample: int | None = None,
    subscribers: Sequence[Subscriber] = (),
    docker: str = DEFAULT_DOCKER,
) -> CampaignEstimate:
    """Return what a campaign file would cost, and in ``problems`` all that keeps it from running.

    Parameters
    ----------
    path
        The campaign file.
    site
        Where it is to run; None: here.
    nodes
        On how many nodes.
    sample
        Molecules to dock, to measure what one takes; None: what it took elsewhere.
    subscribers
        Functions that hear how far the sample is.
    docker
        "module:function" that builds what docks one record; for tests and other engines.

    Raises
    ------
    InputError
        The file, its library or its targets cannot be used; one line names the place.
    """
    file = read_campaign_file(path)
    place = this_machine(nodes) if site is None else place_of_site(site, nodes)
    targets = file.load_targets()
    try:
        count = count_library(file)
    except InputError as error:
        raise file.place.error(("library",), str(error)) from error
    if (strategy := file.tables.strategy) is not None:
        try:
            active_settings(strategy, count.n_records, seed=file.tables.search.seed)
        except InputError as error:
            raise file.place.error(("strategy", "budget"), str(error)) from error
    settings = [settings_of(file, target, docker=docker) for target in targets]
    time = usual_time(
        file.tables.search.effort,
        is_prepared=file.is_prepared,
        rescoring_s=rescoring_time(file),
    )
    if sample is not None:
        # The largest box is where it takes longest.
        largest = max(range(len(targets)), key=lambda index: targets[index].box.volume)
        records = spread_records(count.records, sample)
        time = measure_time(targets[largest], settings[largest], records, subscribers)
    place = _with_devices(place, file, settings[0])
    estimate = estimate_campaign(file, targets, count, time, place)
    problems = tuple(refusals(file, settings, estimate, place))
    return estimate.model_copy(update={"problems": problems})


def _with_devices(place: RunPlace, file: CampaignFile, settings: CampaignSettings) -> RunPlace:
    """Return a place with the GPUs that the campaign would use there, and what to know of them."""
    wanted = file.tables.run.backend
    is_of_use = wanted != "cpu" and not why_no_device(settings)
    if place.is_site:
        # A login node has none, most of the time; its driver is not asked either.
        notes = (note_on_devices(wanted, settings),) if place.gpus_per_node else ()
        n_gpus = place.gpus_per_node if is_of_use else 0
        return replace(place, gpus_per_node=n_gpus, notes=(*place.notes, *notes))
    if not is_of_use:
        return place
    here = choose_backend("auto")
    if here.devices:
        name = here.devices[0].name
        return replace(place, gpus_per_node=len(here.devices), gpu_name=name)
    if wanted == "auto":
        return place
    note = f"backend cuda cannot work on this machine: {here.reason}; jobs of a --site may have it"
    return replace(place, notes=(*place.notes, note))
