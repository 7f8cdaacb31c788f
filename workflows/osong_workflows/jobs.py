"""The Slurm jobs of a campaign: ``jobs.json`` in its folder, and what Slurm says of them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osong.errors import CampaignError
from osong_workflows.folder import full_disk, write_atomically
from osong_workflows.sites import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "JobState",
    "Jobs",
    "Submission",
    "change_jobs",
    "describe_states",
    "job_states",
    "now",
    "read_jobs",
    "run_slurm",
]

_TIMEOUT_S: Final = 120
"""A busy Slurm controller may let one wait for as long as its MessageTimeout, some ten seconds."""
_ENDED: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "ENDED",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
_NO_LOCKS: Final = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})


class Submission(BaseModel):
    """Jobs that were submitted together.

    Attributes
    ----------
    pilots
        Slurm's id of the job array.
    finish
        Slurm's id of the job that ends the campaign; "" while there is none.
    site
        The cluster's profile as it was then.
    nodes
        As asked for.
    n_pilots, nodes_each
        Elements of the array, and nodes of each.
    time
        When: ISO 8601, UTC.
    n_done
        Molecules that had their row then.
    by
        "user", or "finish": the job that ends a campaign found work left.
    folder, inode
        Whose jobs they are: path and number of the campaign folder, of which a copy has neither.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pilots: str = Field(pattern=r"^\d+$")
    finish: str = Field(default="", pattern=r"^\d*$")
    site: Site
    nodes: int
    n_pilots: int
    nodes_each: int
    time: str
    n_done: int
    by: Literal["user", "finish"] = "user"
    folder: str = ""
    inode: int = 0

    def is_of(self, folder: Path) -> bool:
        """Return whether these are jobs of a folder, not of one that it is a copy of."""
        return self.folder in ("", str(folder)) or self.inode == folder.stat().st_ino


class Jobs(BaseModel):
    """All jobs that were ever submitted for a campaign.

    Attributes
    ----------
    submissions
        Oldest first.
    given_up
        Why nothing is submitted any more though work is left; "" if that is not so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    submissions: tuple[Submission, ...] = ()
    given_up: str = ""


@dataclass(frozen=True)
class JobState:
    """What Slurm says of a job.

    Attributes
    ----------
    job
        Slurm's id, with the element of an array: "123_4".
    kind
        A pilot, or the job that ends the campaign.
    state
        Slurm's word for it, such as "PENDING" or "RUNNING"; "ENDED": Slurm does not list it any
        more; "UNKNOWN": Slurm cannot be asked from here.
    reason
        Why it waits, or how it ended; "" or "None" if there is none.
    nodes
        Where it runs.
    """

    job: str
    kind: Literal["pilot", "finish"]
    state: str
    reason: str = ""
    nodes: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in _ENDED and self.state != "UNKNOWN"


def now() -> str:
    """Return the time as it stands in ``jobs.json``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_jobs(folder: Path) -> Jobs:
    """Read a campaign's ``jobs.json``; without one, or in a copied folder, there are no jobs.

    Raises
    ------
    CampaignError
        The file is damaged or of another version.
    """
    path = folder / "jobs.json"
    try:
        jobs = Jobs.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Jobs()
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split("\n")[:3])
        raise CampaignError(
            f"{path}: cannot be read ({reason}); remove it (running jobs then have to be cancelled "
            "by hand), or use the version of Osong that made it"
        ) from error
    return jobs if all(s.is_of(folder) for s in jobs.submissions) else Jobs()


def change_jobs(folder: Path, change: Callable[[Jobs], Jobs]) -> Jobs:
    """Read, change and write ``jobs.json`` while nobody else does; return what it holds now."""
    with _alone(folder / "jobs.lock"):
        jobs = change(read_jobs(folder))
        write_atomically(folder / "jobs.json", (jobs.model_dump_json(indent=1) + "\n").encode())
    return jobs


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file, where the file system has locks."""
    with full_disk(path.parent):
        file = path.open("a", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield


def run_slurm(*command: str, text: str = "") -> str:
    """Run a command of Slurm and return what it prints.

    Parameters
    ----------
    command
        The command, word by word.
    text
        What it reads from stdin.

    Raises
    ------
    CampaignError
        It is not there, does not answer, or refuses; the message is Slurm's own.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env=_environment(),
        )
    except FileNotFoundError as error:
        raise CampaignError(
            f"{command[0]} is not on this machine: go to where jobs are submitted (a login node of "
            "a Slurm cluster), or work here with: osong resume"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CampaignError(
            f"{command[0]} gave no answer in {_TIMEOUT_S} s; try again when Slurm is well"
        ) from error
    if done.returncode:
        said = "; ".join(line for line in done.stderr.splitlines() if line.strip())
        raise CampaignError(
            f"Slurm refuses ({said or f'{command[0]} ended with code {done.returncode}'}); "
            "check the site's profile and what you asked for"
        )
    return done.stdout


def _environment() -> dict[str, str]:
    """Return this process's environment without what tells of the job that it may be part of.

    A job that submits a job would hand on its own cores, memory and MPI.
    """
    begins = ("SLURM_", "SLURMD_", "PMI_", "PMIX_", "PMI2_")
    keep = {"SLURM_CONF", "SLURM_CLUSTERS"}
    return {k: v for k, v in os.environ.items() if k in keep or not k.startswith(begins)}


def job_states(submissions: Sequence[Submission]) -> list[JobState]:
    """Return the state of all jobs of some submissions, by one call of ``squeue``.

    An array whose elements Slurm still lists has one state an element.
    """
    if not submissions:
        return []
    kinds: dict[str, Literal["pilot", "finish"]] = {}
    for submission in submissions:
        kinds[submission.pilots] = "pilot"
        if submission.finish:
            kinds[submission.finish] = "finish"
    found = _squeue(list(kinds))
    states = [
        JobState(job, kinds[number], state, reason, nodes)
        for job, state, reason, nodes in found
        if (number := job.partition("_")[0]) in kinds
    ]
    listed = {state.job.partition("_")[0] for state in states}
    gone = [JobState(job, kind, "ENDED") for job, kind in kinds.items() if job not in listed]
    return states + gone


def _squeue(jobs: list[str]) -> list[tuple[str, str, str, str]]:
    """Return (job, state, reason, nodes) of each job, or array element, that Slurm lists."""
    fields = "--format=%i|%T|%r|%N"
    try:
        text = run_slurm(
            "squeue", "--noheader", "--states=all", "--array", f"--jobs={','.join(jobs)}", fields
        )
    except CampaignError as error:
        # What squeue says where none of them is listed any more.
        if "Invalid job id" in str(error):
            return []
        return [state for job in jobs for state in _scontrol(job)]
    rows = (line.strip().split("|") for line in text.splitlines())
    return [(row[0], row[1], row[2], row[3]) for row in rows if len(row) == 4]


def _scontrol(job: str) -> list[tuple[str, str, str, str]]:
    """Return the same for one job from ``scontrol``; "UNKNOWN" if that fails too."""
    try:
        text = run_slurm("scontrol", "--oneliner", "show", "job", job)
    except CampaignError as error:
        return [] if "Invalid job id" in str(error) else [(job, "UNKNOWN", "", "")]
    states = []
    for line in text.splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split())
        element = fields.get("ArrayTaskId")
        name = job if element is None else f"{job}_{element}"
        state, reason = fields.get("JobState", "UNKNOWN"), fields.get("Reason", "")
        states.append((name, state, reason, fields.get("NodeList", "")))
    return states


def describe_states(states: Sequence[JobState]) -> str:
    """Return one line: how many jobs are in which state, and why those wait that wait.

    Examples
    --------
    >>> pilots = [JobState(f"7_{i}", "pilot", "PENDING", "Resources") for i in range(3)]
    >>> describe_states([*pilots, JobState("8", "finish", "PENDING", "Dependency")])
    'pilots: 3 pending (Resources); finishing job: 1 pending (Dependency)'
    """
    lines = []
    for kind, title in (("pilot", "pilots"), ("finish", "finishing job")):
        counts = Counter(_words(state) for state in states if state.kind == kind)
        if counts:
            words = ", ".join(f"{count:,} {text}" for text, count in counts.most_common())
            lines.append(f"{title}: {words}")
    return "; ".join(lines)


def _words(state: JobState) -> str:
    """Return a state for people."""
    word = state.state.lower().replace("_", " ")
    waits = state.state == "PENDING" and state.reason not in ("", "None")
    return f"{word} ({state.reason})" if waits else word
