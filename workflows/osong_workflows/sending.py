"""Sending jobs to Slurm so that none runs of which the campaign folder does not know."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from osong.errors import CampaignError, OsongError
from osong_workflows.batch import make_finish, make_pilots
from osong_workflows.folder import full_disk
from osong_workflows.jobs import Jobs, Submission, change_jobs, check_jobs, now
from osong_workflows.slurm_commands import run_slurm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from osong_workflows.batch import Batch
    from osong_workflows.sites import Site
    from osong_workflows.status import CampaignStatus

__all__ = ["OvertakenError", "send"]


class OvertakenError(CampaignError):
    """The campaign was cancelled, or submitted by somebody else, while a job submitted it."""


def send(status: CampaignStatus, site: Site, nodes: int, known: Jobs | None = None) -> Submission:
    """Submit an array of pilots and the job that comes after them; note both, or take them back.

    Parameters
    ----------
    status
        How far the campaign is.
    site
        The cluster.
    nodes
        In all.
    known
        The jobs by which the finishing job decided to submit; None: a user did.

    Raises
    ------
    OvertakenError
        These are not the jobs any more.
    CampaignError, ResourceError, InputError
        Slurm refuses, jobs could not be noted, or the site takes no such job.
    """
    folder = status.folder
    batch = make_pilots(folder, site, nodes)
    # Before anything is submitted: it must be possible to note it.
    check_jobs(folder)
    with _logs(folder):
        pilots = _sbatch(batch)
    sent = [pilots]
    try:
        submission = Submission.model_validate(
            {
                "pilots": pilots,
                "site": site,
                "nodes": nodes,
                "n_pilots": batch.n_pilots,
                "nodes_each": batch.nodes,
                "time": now(),
                "n_done": status.n_done,
                "by": "finish" if known else "user",
                "folder": str(folder),
                "inode": folder.stat().st_ino,
            }
        )
        change_jobs(folder, _adding(submission, known))
        finish = _sbatch(make_finish(folder, site, pilots))
        # It goes first: its turn would come when the pilots are gone.
        sent.insert(0, finish)
        whole = submission.model_copy(update={"finish": finish})
        change_jobs(folder, _adding(whole, known))
    except BaseException as error:
        _take_back(folder, sent, error)
        raise
    return whole


def _adding(mine: Submission, known: Jobs | None) -> Callable[[Jobs], Jobs]:
    """Return what adds a submission to the jobs, or puts it in the place of what it was before."""

    def change(jobs: Jobs) -> Jobs:
        others = tuple(s for s in jobs.submissions if s.pilots != mine.pilots)
        is_first = len(others) == len(jobs.submissions)
        # By now, and while nobody can write: `cancel` may have come since `known` was read.
        if known and (jobs.given_up or others != known.submissions):
            raise OvertakenError(jobs.given_up or "other jobs were submitted meanwhile")
        # The user knows better; but not better than the same user's `cancel` since then.
        given_up = "" if is_first and known is None else jobs.given_up
        return Jobs(submissions=(*others, mine), given_up=given_up)

    return change


def _take_back(folder: Path, sent: Sequence[str], error: BaseException) -> None:
    """Cancel jobs that could not be noted, or that nothing would come after."""
    try:
        run_slurm("scancel", "--quiet", *sent)
    except CampaignError as second:
        raise CampaignError(
            f"{error or type(error).__name__}; and what was submitted could not be cancelled "
            f"({second}); do it by hand: scancel {' '.join(sent)}"
        ) from error
    with contextlib.suppress(OsongError, OSError):
        change_jobs(folder, lambda jobs: _without(jobs, sent))


def _without(jobs: Jobs, sent: Sequence[str]) -> Jobs:
    """Return the jobs without a submission."""
    left = tuple(s for s in jobs.submissions if s.pilots not in sent)
    return jobs.model_copy(update={"submissions": left})


@contextlib.contextmanager
def _logs(folder: Path) -> Iterator[None]:
    """Have a folder for logs before a job begins; a refused job leaves none behind."""
    logs = folder / "logs"
    is_new = not logs.exists()
    with full_disk(folder):
        logs.mkdir(exist_ok=True)
    try:
        yield
    except CampaignError:
        if is_new:
            with contextlib.suppress(OSError):
                logs.rmdir()
        raise


def _sbatch(batch: Batch) -> str:
    """Submit a batch script; return the job's id."""
    said = run_slurm(*batch.command, text=batch.script).strip()
    number = said.splitlines()[-1].partition(";")[0] if said else ""
    if not number.isdigit():
        raise CampaignError(f"sbatch said {said!r}, which is no job id; look with: squeue --me")
    return number
