"""Continuing a campaign: check what is there, work as a pilot, check what has come out."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError, CampaignStoppedError
from osong_workflows.events import CampaignFinished, CampaignStarted, PartSetAside
from osong_workflows.part_names import finished_shards, foreign_parts
from osong_workflows.pilot import fly
from osong_workflows.pilots import PilotWatch
from osong_workflows.status import CampaignStatus, count_status
from osong_workflows.sweeping import check_parts, sweep_dead, sweep_finished

if TYPE_CHECKING:
    from osong_workflows.events import Publisher
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.pilot import PilotOptions
    from osong_workflows.pilots import PilotState
    from osong_workflows.plan import Plan
    from osong_workflows.runners.make import RunnerMaker
    from osong_workflows.settings import CampaignSettings

__all__ = ["continue_campaign"]

_VERIFIED_BYTES: Final = 2 * 2**30
"""What a run checks byte by byte before it begins: some seconds of reading."""


def continue_campaign(
    folder: CampaignFolder,
    plan: Plan,
    settings: CampaignSettings,
    me: PilotState,
    work: RunnerMaker,
    publisher: Publisher,
    options: PilotOptions,
    *,
    verify: bool,
) -> None:
    """Dock what has no valid part.

    Raises
    ------
    CampaignStoppedError
        This pilot was told to stop before the campaign was finished.
    CampaignError
        The campaign cannot be continued as it is, or no worker can work.
    """
    _check_foreign(folder, plan)
    check_parts(
        folder,
        plan,
        lambda part, moved, why: publisher(PartSetAside(part, moved, why)),
        _verified_bytes(me, verify=verify),
    )
    watch = PilotWatch(folder, me)
    n_workers = work.n_workers(plan)
    publisher(_started(count_status(folder, plan), n_workers, work.name))
    if len(finished_shards(folder, plan)) == plan.n_shards:
        sweep_finished(folder, watch)
        return
    _check_settings(folder, plan, settings)
    begin = time.perf_counter()
    sweep_dead(folder, watch)
    with work.runner(n_workers, publisher) as runner:
        is_finished = fly(
            folder, plan, me, runner, publisher, is_live=work.is_live, options=options
        )
    after = count_status(folder, plan)
    _check_finished(after, is_finished)
    sweep_finished(folder, watch)
    seconds = round(time.perf_counter() - begin, 3)
    publisher(CampaignFinished(str(folder.path), after.n_ok, after.n_failed, seconds))


def _verified_bytes(me: PilotState, *, verify: bool) -> float:
    """Return how much is checked before the run; of a job array, one element is enough."""
    if verify:
        return float("inf")
    return 0 if "_" in me.job and not me.job.endswith("_0") else _VERIFIED_BYTES


def _started(before: CampaignStatus, workers: int, runner: str) -> CampaignStarted:
    return CampaignStarted(
        folder=str(before.folder),
        n_records=before.n_records,
        n_chunks=before.n_chunks,
        n_chunks_done=before.n_chunks_done,
        n_ok=before.n_ok,
        n_failed=before.n_failed,
        workers=workers,
        runner=runner,
    )


def _check_foreign(folder: CampaignFolder, plan: Plan) -> None:
    """Refuse a folder into which parts of another campaign were copied."""
    foreign = foreign_parts(folder, plan)
    if foreign:
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise CampaignError(
            f"{foreign[0]}{more}: a part of another campaign; move it out of "
            f"{folder.parts}, where nothing was changed, and run: osong resume {folder.path}"
        )


def _check_settings(folder: CampaignFolder, plan: Plan, settings: CampaignSettings) -> None:
    """Check that what is docked now will fit to what was docked before."""
    if settings.digest() != plan.settings_digest:
        raise CampaignError(
            f"{folder.settings}: was changed after the campaign began; undo the change, "
            "or start another campaign"
        )
    here = version("osong")
    if here != settings.osong:
        raise CampaignError(
            f"{folder.path}: was begun with Osong {settings.osong} and this is {here}, "
            f"whose energies may differ; install osong=={settings.osong}, or start "
            "another campaign"
        )


def _check_finished(after: CampaignStatus, is_finished: bool) -> None:
    """Check that every molecule has its row."""
    if not is_finished:
        raise CampaignStoppedError(
            f"{after.folder}: stopped with {after.n_left} of {after.n_records} molecules left; "
            f"what is finished is kept, go on with: osong resume {after.folder}"
        )
    if not after.is_finished:
        raise CampaignError(
            f"{after.folder}: {after.n_left} of {after.n_records} molecules have no row after "
            f"the run; run: osong resume {after.folder} --verify"
        )
