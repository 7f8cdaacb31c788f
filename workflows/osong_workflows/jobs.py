"""The Slurm jobs of a campaign: ``jobs.json`` in its folder, and what Slurm says of them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osong.errors import CampaignError
from osong_workflows.folder import full_disk, sync_folder
from osong_workflows.sites import Site
from osong_workflows.slurm_commands import run_slurm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "JobState",
    "Jobs",
    "Submission",
    "change_jobs",
    "check_jobs",
    "describe_states",
    "job_states",
    "now",
    "read_jobs",
    "read_own_jobs",
]

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
    return _read(folder, must_be_mine=False)


def read_own_jobs(folder: Path) -> Jobs:
    """Read ``jobs.json`` as `read_jobs` does, if nobody else can have written it.

    It says what jobs run: whoever could write it could run commands as this user.

    Raises
    ------
    CampaignError
        The file is another user's or open to others, is damaged, or of another version.
    """
    return _read(folder, must_be_mine=True)


def _read(folder: Path, *, must_be_mine: bool) -> Jobs:
    path = folder / "jobs.json"
    try:
        # A named pipe would let one wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if must_be_mine:
                _check_owner(path, os.fstat(file.fileno()))
            jobs = Jobs.model_validate_json(file.read())
    except FileNotFoundError:
        return Jobs()
    except (OSError, ValidationError) as error:
        raise CampaignError(
            f"{path}: cannot be read ({_reason(error)}); remove it (running jobs then have to be "
            "cancelled by hand), or use the version of Osong that made it"
        ) from error
    return jobs if all(s.is_of(folder) for s in jobs.submissions) else Jobs()


def _check_owner(path: Path, found: os.stat_result) -> None:
    """Check that a file is this user's and that nobody else can write it."""
    is_open = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if found.st_uid != os.geteuid() or is_open or not stat.S_ISREG(found.st_mode):
        what = "others may write it" if is_open else "it is not a file of yours"
        raise CampaignError(
            f"{path}: {what}, and it says what jobs run under your name; remove it if you do not "
            "trust it (running jobs then have to be cancelled by hand)"
        )


def _reason(error: OSError | ValidationError) -> str:
    """Return in one line why a file cannot be read."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return " ".join(f"{place}: {first['msg']}".removeprefix(": ").split())


def change_jobs(folder: Path, change: Callable[[Jobs], Jobs]) -> Jobs:
    """Read, change and write ``jobs.json`` while nobody else does; return what it holds now."""
    with _alone(folder / "jobs.lock"):
        jobs = change(read_own_jobs(folder))
        with _written(folder, jobs) as temporary:
            temporary.replace(folder / "jobs.json")
            sync_folder(folder)
    return jobs


def check_jobs(folder: Path) -> Jobs:
    """Read ``jobs.json`` and make sure that it can be written; nothing of that stays.

    Before anything is submitted: jobs of which there is no note are jobs that nobody cancels.

    Raises
    ------
    CampaignError
        As `read_own_jobs`.
    ResourceError
        The folder cannot be written to, or the disk is full.
    """
    jobs = read_own_jobs(folder)
    # What is to come has about the size of what is there.
    with _written(folder, jobs, room=65_536):
        pass
    return jobs


@contextlib.contextmanager
def _written(folder: Path, jobs: Jobs, room: int = 0) -> Iterator[Path]:
    """Have a new file with the jobs, under a name for a while, that only this user can write."""
    data = (jobs.model_dump_json(indent=1) + "\n").encode()
    with full_disk(folder):
        number, name = tempfile.mkstemp(dir=folder, prefix=".jobs-", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data + b" " * room)
                file.flush()
                os.fsync(number)
                os.fchmod(number, 0o644)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


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
        return _ask_one_by_one(jobs)
    rows = (line.strip().split("|") for line in text.splitlines())
    return [(row[0], row[1], row[2], row[3]) for row in rows if len(row) == 4]


def _ask_one_by_one(jobs: list[str]) -> list[tuple[str, str, str, str]]:
    """Return the same from ``scontrol``; "UNKNOWN" from the first question that fails on.

    Each question to a Slurm that does not answer may take minutes.
    """
    states = []
    for index, job in enumerate(jobs):
        try:
            states += _scontrol(job)
        except CampaignError as error:
            if "Invalid job id" not in str(error):
                return states + [(job, "UNKNOWN", "", "") for job in jobs[index:]]
    return states


def _scontrol(job: str) -> list[tuple[str, str, str, str]]:
    """Return the same for one job."""
    text = run_slurm("scontrol", "--oneliner", "show", "job", job)
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
