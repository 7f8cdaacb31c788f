"""Submitting a campaign to Slurm, submitting what is left again, and cancelling."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError, OsongError
from osong_workflows.active_status import status_of
from osong_workflows.batch import make_finish, make_pilots
from osong_workflows.campaign_file import read_campaign_file
from osong_workflows.create import check_folder
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.file_campaigns import campaign_folders, create_campaigns, settings_of
from osong_workflows.folder import CampaignFolder
from osong_workflows.jobs import (
    change_jobs,
    describe_states,
    job_states,
    now,
    read_own_jobs,
)
from osong_workflows.sending import OvertakenError, send
from osong_workflows.settings import read_settings
from osong_workflows.site_devices import check_devices, refuse_without_devices
from osong_workflows.sites import load_site
from osong_workflows.slurm_commands import run_slurm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong_workflows.batch import Batch
    from osong_workflows.jobs import Jobs, JobState, Submission
    from osong_workflows.sites import Site
    from osong_workflows.status import CampaignStatus

__all__ = [
    "Continued",
    "cancel",
    "continue_or_give_up",
    "folders_to_submit",
    "render",
    "submit",
    "submit_and_watch",
]

_TRIES: Final = 3
"""Submissions in a row that may end without one molecule more."""
_PAUSES_S: Final = (10.0, 60.0, 300.0)
"""A controller that is busy or starts again answers later; the finishing job has time."""
_CANCEL_S: Final = 20.0
"""How long to look whether what was cancelled came back: an element may have been about to go back
into the queue when it was cancelled."""
_ARRAY: Final = "ARRAY_JOB"
"""Stands for the array's id, which Slurm gives, where nothing is submitted."""


@dataclass(frozen=True)
class Continued:
    """What became of a campaign whose pilots have ended.

    Attributes
    ----------
    message
        One line for the log.
    submission
        What was submitted; None: nothing.
    given_up
        Whether work is left that nobody will do.
    """

    message: str
    submission: Submission | None = None
    given_up: bool = False


def folders_to_submit(
    campaign: str | os.PathLike[str],
    *,
    is_rehearsal: bool = False,
    workers: int | None = None,
    docker: str = DEFAULT_DOCKER,
    site: Site | None = None,
) -> list[Path]:
    """Return the campaign folders that a user means; those of a campaign file are made.

    Parameters
    ----------
    campaign
        A campaign folder, a folder of them, or a campaign file.
    is_rehearsal
        Make nothing: the folders of a campaign file need not be there.
    workers
        Molecules that will be docked at a time, for the size of the chunks of a campaign file's
        folders; None: as many as this job may use.
    docker
        For the folders of a campaign file: "module:function" that builds what docks one record.
    site
        Where they are to be submitted to: nothing is made for one that cannot be.

    Raises
    ------
    CampaignError
        It is none of them, or a folder is not one that this version of Osong can continue.
    InputError
        The campaign file cannot be used, or not at that site.
    """
    place = Path(campaign).expanduser()
    if place.is_file() and not (place.parent / "plan.json").exists():
        if site is not None:
            refuse_without_devices(place, read_campaign_file(place).tables.run.backend, site)
        if is_rehearsal:
            return _rehearse(place, docker)
        return [folder.path for folder in create_campaigns(place, workers=workers, docker=docker)]
    folders = campaign_folders(place)
    for folder in folders:
        _check(folder)
    return folders


def _rehearse(place: Path, docker: str) -> list[Path]:
    """Return the folders that a campaign file asks for; those that are there must be its own."""
    file = read_campaign_file(place)
    folders = [CampaignFolder.at(target.folder) for target in file.targets]
    if any(folder.path.exists() for folder in folders):
        for folder, target in zip(folders, file.load_targets(), strict=True):
            check_folder(folder, settings_of(file, target, docker=docker))
    return [folder.path for folder in folders]


def render(folder: str | os.PathLike[str], site: Site, nodes: int | None = None) -> list[Batch]:
    """Return the batch scripts of a campaign and the lines that submit them; nothing is written.

    Parameters
    ----------
    folder
        The campaign folder; it may have to be made yet.
    site
        The cluster.
    nodes
        In all; None: those of one pilot.

    Returns
    -------
    The array and the job after it; none if the campaign is finished.

    Raises
    ------
    CampaignError, InputError
        As `submit` would.
    """
    path = CampaignFolder.at(folder).path
    if (path / "plan.json").exists():
        if _check(path).is_finished:
            return []
        _check_version(path, site)
        check_devices(path, site)
        read_own_jobs(path)
    pilots = make_pilots(path, site, nodes or site.nodes_per_pilot)
    return [pilots, make_finish(path, site, _ARRAY)]


def submit(
    folder: str | os.PathLike[str], site: Site, nodes: int | None = None
) -> Submission | None:
    """Submit pilots for a campaign, besides any that there are, and the job that ends it.

    Parameters
    ----------
    folder
        The campaign folder.
    site
        The cluster.
    nodes
        In all; None: those of one pilot.

    Returns
    -------
    What was submitted; None: nothing, the campaign is finished.

    Raises
    ------
    CampaignError
        The folder is not one that can be continued; Slurm is not here, or refuses.
    InputError
        The site takes no such job.
    """
    status = _check(folder)
    if status.is_finished:
        return None
    _check_version(status.folder, site)
    check_devices(status.folder, site)
    return send(status, site, nodes or site.nodes_per_pilot)


def submit_and_watch(
    folder: str | os.PathLike[str], site: str = "", nodes: int | None = None
) -> None:
    """Watch a campaign until it is finished; submit it first unless jobs of it wait or run.

    Parameters
    ----------
    folder
        The campaign folder.
    site
        Name of the cluster's profile; "": nothing may be submitted.
    nodes
        In all; None: those of one pilot.

    Raises
    ------
    CampaignError
        As for `submit`.
    InputError
        There is no such site, or one has to be named.
    """
    from osong_workflows.watch import watch_campaign

    status = _check(folder)
    if not status.is_finished:
        states = job_states(read_own_jobs(status.folder).submissions)
        if not any(s.is_active for s in states):
            _refuse_unknown(status.folder, states)
            # Never the profile in the folder: what a job runs is said by who submits.
            submit(status.folder, load_site(site), nodes)
    watch_campaign(status.folder)


def continue_or_give_up(folder: str | os.PathLike[str]) -> Continued:
    """Submit what is left of a campaign once more, or note why not; for the finishing job.

    It is submitted again with what its jobs had: always if molecules were finished since the last
    submission, else up to three times. Anyone but that job submits nothing: what a folder holds
    must not decide what runs.
    """
    status = _check(folder)
    if status.is_finished:
        return Continued(f"{folder}: is finished")
    jobs = read_own_jobs(status.folder)
    me = os.environ.get("SLURM_JOB_ID", "")
    mine = next((s for s in jobs.submissions if me and s.finish == me), None)
    if mine is None or jobs.given_up:
        why = jobs.given_up or "this is not the job that comes after its pilots"
        return Continued(
            f"{folder}: {status.n_left:,} molecules are left and nothing is submitted: {why}; go "
            f"on with: osong submit {shlex.quote(str(folder))}",
            given_up=True,
        )
    pilots = [state for state in _patient_states(jobs.submissions) if state.kind == "pilot"]
    active = [state for state in pilots if state.is_active]
    if active:
        return Continued(
            f"{folder}: other pilots are at work or wait ({describe_states(active)}); the job "
            "that comes after them sees to what is left"
        )
    _refuse_unknown(status.folder, pilots)
    return _submit_again(status, jobs, mine)


def cancel(folder: str | os.PathLike[str]) -> list[JobState]:
    """Cancel a campaign's jobs; return those that were waiting or running. What is finished stays.

    Raises
    ------
    CampaignError
        Slurm is not here, or refuses.
    """
    path = CampaignFolder.at(folder).path
    read_settings(CampaignFolder.at(folder).settings)
    active = _active(path)
    if not active:
        return []
    # First of all: a finishing job that runs now must not submit anything.
    _note_given_up(path, f"cancelled at {now()}")
    end = time.monotonic() + _CANCEL_S
    left = active
    while left and time.monotonic() < end:
        # Jobs that end a campaign go first: their turn would come when the pilots are gone.
        by_kind = sorted(left, key=lambda state: state.kind)
        run_slurm("scancel", "--quiet", *dict.fromkeys(_number(state) for state in by_kind))
        time.sleep(1)
        # Not those of before: a finishing job may have sent others just before it was told.
        left = _active(path)
    if left:
        raise CampaignError(
            f"{path}: Slurm still lists {describe_states(left)}; run osong cancel again"
        )
    return active


def _check(folder: str | os.PathLike[str]) -> CampaignStatus:
    """Return a campaign's status, if this version of Osong can continue it; writes nothing."""
    return status_of(CampaignFolder.at(folder))


def _check_version(folder: Path, site: Site) -> None:
    """Check that the jobs can go on with what was begun, where this very Osong is what they run."""
    begun, here = read_settings(CampaignFolder.at(folder).settings).osong, version("osong")
    if begun != here and not site.osong and not site.container:
        raise CampaignError(
            f"{folder}: was begun with Osong {begun} and this is {here}, whose energies may "
            f"differ; install osong=={begun}, or start another campaign"
        )


def _submit_again(status: CampaignStatus, jobs: Jobs, mine: Submission) -> Continued:
    """Submit what is left as it was, or give up."""
    folder = status.folder
    in_vain = list(
        itertools.takewhile(
            lambda s: s.by == "finish" and s.n_done >= status.n_done, reversed(jobs.submissions)
        )
    )
    if len(in_vain) >= _TRIES:
        log = folder / "logs" / f"slurm-{in_vain[0].pilots}_0.out"
        why = f"{len(in_vain)} submissions in a row finished no molecule; the last one's log: {log}"
    else:
        try:
            submission = send(status, mine.site, mine.nodes, jobs)
        except OvertakenError as error:
            return Continued(
                f"{folder}: {status.n_left:,} molecules are left; what was submitted for them was "
                f"taken back: {error}"
            )
        except OsongError as error:
            why = f"could not be submitted again from a job: {error}"
        else:
            line = f"{folder}: {status.n_left:,} molecules are left; submitted again as job "
            return Continued(line + submission.pilots, submission)
    with contextlib.suppress(OsongError):  # The disk may be what is wrong; the log has it too.
        _note_given_up(folder, why)
    return Continued(
        f"{folder}: {status.n_left:,} molecules are left and nobody works at them: {why}; go on "
        f"with: osong submit {shlex.quote(str(folder))} --site {shlex.quote(mine.site.name)}",
        given_up=True,
    )


def _note_given_up(folder: Path, why: str) -> None:
    change_jobs(folder, lambda jobs: jobs.model_copy(update={"given_up": why}))


def _active(folder: Path) -> list[JobState]:
    """Return the jobs that wait or run and are not about to end."""
    states = job_states(read_own_jobs(folder).submissions)
    if any(state.state == "UNKNOWN" for state in states):
        run_slurm("scontrol", "ping")  # Where it raises, it says why.
        _refuse_unknown(folder, states)
    return [state for state in states if state.is_active and state.state != "COMPLETING"]


def _patient_states(submissions: Sequence[Submission]) -> list[JobState]:
    """Return the states of all jobs; ask again where Slurm gives no answer."""
    states = job_states(submissions)
    for pause in _PAUSES_S:
        if not any(state.state == "UNKNOWN" for state in states):
            break
        time.sleep(pause)
        states = job_states(submissions)
    return states


def _refuse_unknown(folder: Path, states: Sequence[JobState]) -> None:
    """Refuse to take jobs of which Slurm says nothing for jobs that are not there."""
    unknown = [state.job for state in states if state.state == "UNKNOWN"]
    if unknown:
        raise CampaignError(
            f"{folder}: Slurm does not say whether job {', '.join(unknown[:3])} still waits or "
            "runs, so nothing was done; try again when squeue answers"
        )


def _number(state: JobState) -> str:
    """Return the id of a job without its element."""
    return state.job.partition("_")[0]
