"""A campaign that is to be disturbed, its processes, and what became of its molecules."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import pyarrow.parquet as pq

from osong.box import Box
from osong_benchmarks.faults_docker import CALLS, DOCKER, PACE
from osong_workflows.campaign import Campaign
from osong_workflows.create import create_campaign
from osong_workflows.folder import CampaignFolder
from osong_workflows.plan import read_plan
from osong_workflows.settings import make_settings

__all__ = [
    "MARK",
    "OSONG",
    "Outcome",
    "StandInTarget",
    "TimeOut",
    "Trial",
    "is_docking",
    "is_nanny",
    "is_pilot",
    "is_rank",
    "is_worker",
    "kill_group",
    "marked_processes",
    "molecules",
    "wait_for_exit",
]

OSONG: Final = (sys.executable, str(Path(__file__).with_name("faults_osong.py")))
"""The command ``osong`` of these campaigns."""
MARK: Final = "OSONG_FAULTS_TRIAL"
"""In the environment of every process of a trial, wherever it was started."""
_PART: Final = re.compile(r"(\d{6,})-[0-9a-f]{16}-[0-9a-f]{32}\.parquet")
_LAUNCHERS: Final = frozenset({"srun", "mpiexec"})
_LEASE_S: Final = 6.0
_PATIENCE_S: Final = 120.0


class TimeOut(Exception):  # noqa: N818 (it is what happened)
    """Something did not come to pass in time."""


@dataclass(frozen=True)
class StandInTarget:
    """A target without receptor: the docker at hand looks at none."""

    name: str = "none"
    key: bytes = b"0123456789abcdef"
    box: Box = field(default_factory=lambda: Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.0)))

    def save(self, path: str | Path) -> None:
        """Write something."""
        Path(path).write_bytes(self.key)


@dataclass(frozen=True)
class Outcome:
    """What became of a disturbed campaign.

    Attributes
    ----------
    n_lost, n_doubled
        Molecules without a row; rows beside the first of their molecule.
    n_redone
        Chunks of which a molecule was docked more than once.
    n_beyond
        Those of them that were neither under way when something failed nor damaged.
    is_same
        Parts, ledger and ranking are those of the undisturbed run, byte for byte.
    """

    n_lost: int
    n_doubled: int
    n_redone: int
    n_beyond: int
    is_same: bool


def molecules(n: int, poison: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return texts that look like SMILES, with names; those in ``poison`` stand spread among them.

    >>> molecules(3, ["HANG_0"])
    [('C', 'm0'), ('HANG_0', 'm1'), ('CCC', 'm2')]
    """
    made = [("C" * (1 + i % 7) + "N" * (i // 7), f"m{i}") for i in range(n)]
    for k, text in enumerate(poison):
        place = (2 * k + 1) * n // (2 * len(poison))
        made[place] = (text, f"m{place}")
    return made


class Trial:
    """A campaign in which each molecule takes a while, so that there is something to disturb.

    Parameters
    ----------
    place
        A folder for it.
    library
        Texts and names.
    pace_s
        Seconds that a molecule takes, until `hurry`.
    chunk_size, shard_chunks
        As in a plan.
    molecule_timeout_s
        As in the settings.
    environment
        More variables for its processes.
    folder
        The campaign folder, where it shall not be in ``place``.
    """

    def __init__(
        self,
        place: Path,
        library: Sequence[tuple[str, str]],
        *,
        pace_s: float = 0.0,
        chunk_size: int = 10,
        shard_chunks: int = 3,
        molecule_timeout_s: float = 600.0,
        environment: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        target = StandInTarget()
        settings = make_settings(
            target_name=target.name, target_key=target.key.hex(), scoring="vina", effort="fast",
            n_poses=3, seed=0, molecule_timeout_s=molecule_timeout_s, docker=DOCKER,
        )  # fmt: skip
        place.mkdir(parents=True, exist_ok=True)
        self.folder = folder or place / "run"
        create_campaign(
            target, library, self.folder, settings, chunk_size=chunk_size, shard_chunks=shard_chunks
        )
        self.plan = read_plan(CampaignFolder.at(self.folder))
        self.calls, self._pace = place / "calls.txt", place / "pace.txt"
        self._pace.write_text(str(pace_s), encoding="ascii")
        self.log = place / "log.txt"
        self.mark = uuid.uuid4().hex
        self.environment = {
            CALLS: str(self.calls), PACE: str(self._pace), MARK: self.mark,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(environment or {}),
        }  # fmt: skip
        self._under_way: set[int] = set()

    # ---------------------------------------------------------------- processes

    def start(
        self, runner: str, *more: str, launcher: Sequence[str] = (), lease_s: float = _LEASE_S,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start ``osong resume`` as a user would, in a process group of its own."""
        words = [*launcher, *OSONG, "resume", str(self.folder), "--runner", runner, "--quiet"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*words, "--lease", str(lease_s), *more],
                env=os.environ | self.environment | (environment or {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def processes(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        """Yield the processes of this trial with their command lines, the oldest first."""
        return marked_processes(self.mark)

    def find(self, is_wanted: Callable[[psutil.Process, list[str]], bool]) -> list[psutil.Process]:
        """Return the processes of this trial of a kind."""
        return [process for process, words in self.processes() if is_wanted(process, words)]

    def end(self) -> None:
        """Kill whatever is left of this trial."""
        for _ in range(5):
            left = [process for process, _ in self.processes()]
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            if not left:
                return
            psutil.wait_procs(left, timeout=2)

    def hurry(self) -> None:
        """Have molecules take no more time."""
        self._pace.write_text("0", encoding="ascii")

    def resume(
        self, runner: str = "local", *more: str, tries: int = 3, limit_s: float = 120
    ) -> int:
        """Resume as a user would until the campaign is finished; return how often it was needed."""
        self.hurry()
        for count in range(1, tries + 1):
            if wait_for_exit(self.start(runner, *more), limit_s) == 0:
                return count
        raise TimeOut(f"not finished after {tries} resumes; {self.last_words()}")

    def last_words(self) -> str:
        """Return the last line that a process of this trial wrote."""
        lines = (
            self.log.read_text("utf-8", "replace").strip().splitlines() if self.log.exists() else []
        )
        return lines[-1][-300:] if lines else "no word was said"

    # ---------------------------------------------------------------- progress

    def calls_of(self) -> Counter[int]:
        """Return how often each molecule was given to a docker."""
        if not self.calls.exists():
            return Counter()
        lines = self.calls.read_text(encoding="ascii").splitlines()
        return Counter(int(line.split()[0]) for line in lines)

    def n_calls(self) -> int:
        """Return how many molecules were begun."""
        return self.calls_of().total()

    def finished(self) -> set[int]:
        """Return the chunks that have their part, or whose shard has."""
        parts = self.folder / "parts"
        found: set[int] = set()
        for path in parts.glob("[0-9]*.parquet"):
            if match := _PART.fullmatch(path.name):
                found |= set(self.plan.shard(int(match[1])).chunks)
        for path in parts.glob("[0-9]*/[0-9]*.parquet"):
            if match := _PART.fullmatch(path.name):
                found.add(int(match[1]))
        return found

    def note_under_way(self, chunks: Iterable[int] | None = None) -> None:
        """Note what may rightly be done again: chunks begun and not finished now, or these."""
        if chunks is None:
            begun = {index // self.plan.chunk_size for index in self.calls_of()}
            chunks = begun - self.finished()
        self._under_way |= set(chunks)

    def wait(
        self, condition: Callable[[], object], what: str, limit_s: float = _PATIENCE_S,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:  # fmt: skip
        """Wait until something is so, while a process lives."""
        deadline = time.monotonic() + limit_s
        while not condition():
            if process is not None and process.poll() is not None:
                raise TimeOut(
                    f"the run ended ({process.returncode}) before {what}; {self.last_words()}"
                )
            if time.monotonic() > deadline:
                raise TimeOut(f"after {limit_s:g} s not yet: {what}; {self.last_words()}")
            time.sleep(0.02)

    def wait_for_calls(self, n: int, process: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until so many more molecules were begun than now."""
        goal = self.n_calls() + n
        self.wait(lambda: self.n_calls() >= goal, f"{n} more molecules", process=process)

    @property
    def is_finished(self) -> bool:
        """Whether every shard has its part."""
        return len(list((self.folder / "parts").glob("[0-9]*.parquet"))) >= self.plan.n_shards

    # ---------------------------------------------------------------- the end

    def campaign(self) -> Campaign:
        """Return the campaign for reading."""
        return Campaign(self.folder, docker=DOCKER)

    def part_bytes(self) -> dict[str, bytes]:
        """Return the parts by name."""
        return {
            p.name: p.read_bytes() for p in sorted((self.folder / "parts").iterdir()) if p.is_file()
        }

    def rows(self) -> Counter[int]:
        """Return how many rows each molecule has in all files of ``parts/``."""
        found: Counter[int] = Counter()
        for path in (self.folder / "parts").glob("**/[0-9]*.parquet"):
            with pq.ParquetFile(path) as file:
                found.update(file.read(columns=["index"], use_threads=False)["index"].to_pylist())
        return found

    def outcome(self, undisturbed: Trial) -> Outcome:
        """Compare with a run that nobody disturbed."""
        rows = self.rows()
        mine, other = self.campaign(), undisturbed.campaign()
        size = self.plan.chunk_size
        redone = {index // size for index, count in self.calls_of().items() if count > 1}
        return Outcome(
            n_lost=sum(index not in rows for index in range(self.plan.n_records)),
            n_doubled=sum(rows.values()) - len(rows),
            n_redone=len(redone),
            n_beyond=len(redone - self._under_way),
            is_same=self.part_bytes() == undisturbed.part_bytes()
            and mine.ledger().equals(other.ledger())
            and mine.top(None).equals(other.top(None)),
        )


def marked_processes(mark: str) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Yield the processes that have a mark in their environment, with their command lines."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                words = process.cmdline()
                if words and process.status() != psutil.STATUS_ZOMBIE:
                    yield process, words


def wait_for_exit(process: subprocess.Popen[bytes], limit_s: float) -> int:
    """Return a process's exit code; kill its group when it takes too long."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise TimeOut(f"a process hung for {limit_s:g} s and was killed") from None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to all processes of a group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def is_docking(process: psutil.Process, words: list[str]) -> bool:
    """Whether this is a docking process."""
    return "osong_workflows.child" in words


def is_worker(process: psutil.Process, words: list[str]) -> bool:
    """Whether this is a Dask worker, which its nanny started, and one that has begun to dock."""
    if not any("spawn_main" in word for word in words):
        return False
    return any("osong_workflows.child" in child.cmdline() for child in process.children())


def is_nanny(process: psutil.Process, words: list[str]) -> bool:
    """Whether this is ``osong worker``."""
    return OSONG[1] in words and "worker" in words and words[0] != "srun"


def is_rank(number: int) -> Callable[[psutil.Process, list[str]], bool]:
    """Return what tells whether a process is a rank of MPI: 0 the scheduler, 1 the pilot."""

    def is_it(process: psutil.Process, words: list[str]) -> bool:
        if not {"resume", "mpi"} <= set(words) or Path(words[0]).name in _LAUNCHERS:
            return False
        environment = process.environ()
        return environment.get("PMI_RANK", environment.get("SLURM_PROCID")) == str(number)

    return is_it


def is_pilot(process: psutil.Process, words: list[str]) -> bool:
    """Whether this is ``osong resume`` and neither a rank's launcher nor below one."""
    return OSONG[1] in words and "resume" in words and words[0] == sys.executable
