"""Faults on one machine: what is done to a campaign, and how it is resumed afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from osong_benchmarks.faults_campaign import (
    TimeOut,
    Trial,
    is_docking,
    is_rank,
    is_worker,
    kill_group,
    molecules,
    wait_for_exit,
)
from osong_benchmarks.faults_osong import CLOCK, MEMORY

if TYPE_CHECKING:
    from osong_benchmarks.faults_bed import Bed

__all__ = ["LOCAL_CASES", "Case", "Done", "Scene", "kill", "random_one", "settle"]

_MPI: Final = "mpi (mpiexec)"
MPIEXEC: Final = ("mpiexec", "-n", "4")
N: Final = 300
_PACE_S: Final = 0.05
_SETTLE_S: Final = 0.5
"""A docking process may begin a molecule that a killed pilot had sent it."""
_MEMORY: Final = 500 * 2**20
_STAGES: Final = {"SEGFAULT": "crash", "HANG": "time", "MEMORY": "memory", "WATCHER": "crash"}


@dataclass(frozen=True)
class Done:
    """A campaign that was disturbed and is finished.

    Attributes
    ----------
    trial
        The campaign.
    undisturbed
        The same one, which nobody disturbed.
    n
        How often something was done to it.
    note
        What else is worth a word.
    """

    trial: Trial
    undisturbed: Trial
    n: int
    note: str = ""


class Scene:
    """What a case needs: folders, chance, and campaigns that nobody disturbed.

    Parameters
    ----------
    place
        A folder for all that is written.
    bed
        Starts a Slurm, or returns the one that runs.

    Attributes
    ----------
    times
        How often to disturb one campaign at most.
    rng
        For what is left to chance.
    """

    def __init__(self, place: Path, bed: Callable[[], Bed] | None = None) -> None:
        self.place = place
        self.times = 0
        self.rng = random.Random()
        self._bed = bed
        self._number = 0
        self._undisturbed: dict[tuple[object, ...], Trial] = {}
        self._trials: list[Trial] = []

    @property
    def bed(self) -> Bed:
        """The Slurm."""
        if self._bed is None:
            raise TimeOut("there is no Slurm")
        return self._bed()

    def new_place(self, kind: str) -> Path:
        """Return a folder that is not there yet."""
        self._number += 1
        return self.place / f"{kind}-{self._number}"

    def trial(
        self, n: int = N, poison: Sequence[str] = (), pace_s: float = _PACE_S,
        environment: dict[str, str] | None = None, limit_s: float = 600.0,
        folder: Path | None = None,
    ) -> Trial:  # fmt: skip
        """Return a new campaign."""
        trial = Trial(
            self.new_place("trial"), molecules(n, poison), pace_s=pace_s,
            environment=environment, molecule_timeout_s=limit_s, folder=folder,
        )  # fmt: skip
        self._trials.append(trial)
        return trial

    def undisturbed(self, n: int = N, poison: Sequence[str] = (), limit_s: float = 600.0) -> Trial:
        """Return the same campaign as one serial run does it; poison may end that a few times."""
        name = (n, tuple(poison), limit_s)
        if name not in self._undisturbed:
            trial = Trial(
                self.place / f"undisturbed-{len(self._undisturbed)}", molecules(n, poison),
                environment={MEMORY: str(_MEMORY)}, molecule_timeout_s=limit_s,
            )  # fmt: skip
            trial.resume("serial", tries=3 + 3 * len(poison))
            self._undisturbed[name] = trial
        return self._undisturbed[name]

    def close(self) -> None:
        """Kill what is left, and remove all campaigns but the undisturbed ones."""
        for trial in self._trials:
            trial.end()
            shutil.rmtree(trial.calls.parent, ignore_errors=True)
        self._trials.clear()

    def moment(self) -> int:
        """Return how many molecules to wait for before the next blow."""
        return self.rng.randint(2, 12)


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes
    ----------
    fault
        What is done.
    runner
        Whose campaign it is done to, and how that was started.
    run
        Does it, and resumes until the campaign is finished.
    needs
        "mpi" or "slurm" where that has to be installed.
    """

    fault: str
    runner: str
    run: Callable[[Scene], Done]
    needs: str = ""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return f"{self.fault} / {self.runner}".replace(" ", "-").replace("-/-", "/")


Strike = Callable[[Scene, Trial, "subprocess.Popen[bytes]"], None]


def kill(processes: Sequence[psutil.Process]) -> None:
    """Send SIGKILL."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def random_one(
    scene: Scene, trial: Trial, is_wanted: Callable[[psutil.Process, list[str]], bool]
) -> psutil.Process:
    """Return one of the processes of a kind; wait until there is one."""
    trial.wait(lambda: trial.find(is_wanted), "a process of that kind")
    return scene.rng.choice(trial.find(is_wanted))


def settle(trial: Trial) -> None:
    """Note what is under way once more, when docking processes of the dead have said their last."""
    time.sleep(_SETTLE_S)
    trial.note_under_way()


def struck(
    strike: Strike, runner: str, launcher: Sequence[str] = (), *, ends_run: bool = False,
    options: Sequence[str] = (),
) -> Callable[[Scene], Done]:  # fmt: skip
    """Return what strikes a run several times, and starts it again where that ended it."""

    def run(scene: Scene) -> Done:
        undisturbed, trial = scene.undisturbed(), scene.trial()
        process, n_starts = None, 0
        for _ in range(scene.times):
            if process is None:
                process = trial.start(runner, *options, launcher=launcher)
                n_starts += 1
            trial.wait_for_calls(scene.moment(), process)
            time.sleep(scene.rng.uniform(0, 0.1))
            trial.note_under_way()
            strike(scene, trial, process)
            if ends_run:
                wait_for_exit(process, 90)
                process = None
            settle(trial)
        trial.hurry()
        note = ""
        if process is not None and wait_for_exit(process, 180) != 0:
            note = f"the run ended with {process.returncode}: {trial.last_words()}"
        if process is None or note:
            n_starts += trial.resume()
        return Done(trial, undisturbed, scene.times, note)

    return run


def _kill_docking(scene: Scene, trial: Trial, process: subprocess.Popen[bytes]) -> None:
    """Kill a docking process that has proved itself: twice the same molecule is not chance."""

    def proved() -> list[psutil.Process]:
        lines = trial.calls.read_text(encoding="ascii").splitlines()
        pids = [int(line.split()[1]) for line in lines]
        return [p for p in trial.find(is_docking) if pids.count(p.pid) >= 3]

    trial.wait(proved, "a docking process at work", process=process)
    kill([scene.rng.choice(proved())])


def _kill_worker(scene: Scene, trial: Trial, process: subprocess.Popen[bytes]) -> None:
    kill([random_one(scene, trial, is_worker)])


def _kill_process(scene: Scene, trial: Trial, process: subprocess.Popen[bytes]) -> None:
    process.kill()


def _kill_all(scene: Scene, trial: Trial, process: subprocess.Popen[bytes]) -> None:
    kill_group(process)


def _kill_rank(number: int) -> Strike:
    def strike(scene: Scene, trial: Trial, process: subprocess.Popen[bytes]) -> None:
        kill(trial.find(is_rank(number)))

    return strike


def _both_at_once(scene: Scene) -> Done:
    """Two resumes begin at the same moment."""
    undisturbed, trial = scene.undisturbed(), scene.trial(pace_s=0.01)
    both = [trial.start("local", "--workers", "2"), trial.start("serial")]
    codes = [wait_for_exit(process, 180) for process in both]
    return Done(trial, undisturbed, 1, "" if codes == [0, 0] else f"exit codes {codes}")


def _both_at_once_and_damage(scene: Scene) -> Done:
    """Two resumes begin at the same moment, and both find the same damaged part."""
    undisturbed, trial = scene.undisturbed(), scene.trial(pace_s=0)
    trial.resume("local")
    part = scene.rng.choice(sorted((trial.folder / "parts").glob("*.parquet")))
    trial.note_under_way(trial.plan.shard(int(part.name[:6])).chunks)
    _flip_a_bit(part)
    both = [trial.start("serial"), trial.start("serial")]
    codes = [wait_for_exit(process, 180) for process in both]
    return Done(trial, undisturbed, 1, "" if codes == [0, 0] else f"exit codes {codes}")


def _all_but_one(scene: Scene) -> Done:
    """Pilots come and are killed while one lives."""
    undisturbed, trial = scene.undisturbed(), scene.trial(pace_s=0.1)
    survivor = trial.start("serial")
    for _ in range(min(3, scene.times)):
        victim = trial.start("local", "--workers", "2")
        trial.wait_for_calls(60, victim)
        time.sleep(scene.rng.uniform(0, 0.5))
        trial.note_under_way()
        kill_group(victim)
        settle(trial)
    trial.hurry()
    code = wait_for_exit(survivor, 180)
    return Done(trial, undisturbed, min(3, scene.times), f"exit code {code}" if code else "")


def _wrong_clocks(scene: Scene) -> Done:
    """Two pilots share, a day ahead and a day behind; one dies and the other takes over."""
    undisturbed, trial = scene.undisturbed(), scene.trial(pace_s=0.05)
    ahead, behind = (
        trial.start("serial", environment={CLOCK: str(days)})
        for days in scene.rng.sample((1, -1), 2)
    )
    trial.wait(lambda: len(list((trial.folder / "claims").glob("*"))) > 1, "both have claims")
    trial.wait_for_calls(30, behind)
    trial.note_under_way()
    kill_group(ahead)
    settle(trial)
    trial.hurry()
    code = wait_for_exit(behind, 180)
    return Done(trial, undisturbed, 1, f"exit code {code}" if code else "")


def _truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-100])


def _flip_a_bit(part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)


def _empty(part: Path) -> None:
    part.write_bytes(b"")


def _damaged_chunk(damage: Callable[[Path], None]) -> Callable[[Scene], Done]:
    def run(scene: Scene) -> Done:
        undisturbed, trial = scene.undisturbed(), scene.trial()

        def loose() -> list[Path]:
            return sorted((trial.folder / "parts").glob("[0-9]*/[0-9]*.parquet"))

        for _ in range(scene.times):
            process = trial.start("local", "--workers", "2")
            trial.wait_for_calls(scene.moment(), process)
            trial.wait(loose, "a part of a chunk", process=process)
            trial.note_under_way()
            kill_group(process)
            settle(trial)
            parts = loose()
            if not parts:
                raise TimeOut("the shard was packed before the run was killed")
            part = scene.rng.choice(parts)
            trial.note_under_way([int(part.name[:6])])
            damage(part)
        trial.resume()
        return Done(trial, undisturbed, scene.times)

    return run


def _damaged_shard(damage: Callable[[Path], None]) -> Callable[[Scene], Done]:
    def run(scene: Scene) -> Done:
        undisturbed, trial = scene.undisturbed(), scene.trial(pace_s=0)
        trial.resume()
        parts = sorted((trial.folder / "parts").glob("*.parquet"))
        for part in scene.rng.sample(parts, min(scene.times, len(parts))):
            trial.note_under_way(trial.plan.shard(int(part.name[:6])).chunks)
            damage(part)
            trial.resume()
        return Done(trial, undisturbed, min(scene.times, len(parts)))

    return run


def _poisoned(word: str, runner: str, launcher: Sequence[str] = ()) -> Callable[[Scene], Done]:
    def run(scene: Scene) -> Done:
        poison = [f"{word}_{k}" for k in range(min(3, scene.times))]
        limit_s = 3.0 if word == "HANG" else 600.0
        undisturbed = scene.undisturbed(120, poison, limit_s)
        environment = {MEMORY: str(_MEMORY)}
        trial = scene.trial(120, poison, 0.01, environment=environment, limit_s=limit_s)
        for _ in range(3 + 3 * len(poison)):
            code = wait_for_exit(trial.start(runner, launcher=launcher), 180)
            trial.note_under_way()
            if code == 0:
                break
        trial.note_under_way(_chunks_of(poison, trial))
        _check_blame(trial, poison, _STAGES[word])
        return Done(trial, undisturbed, len(poison))

    return run


def _chunks_of(poison: Sequence[str], trial: Trial) -> list[int]:
    places = [k for k, (text, _) in enumerate(molecules(120, poison)) if text in poison]
    return [place // trial.plan.chunk_size for place in places]


def _check_blame(trial: Trial, poison: Sequence[str], stage: str) -> None:
    """Check that those molecules have failed, for what they did, and no other."""
    rows = trial.campaign().ledger().select(["input", "status", "stage"]).to_pylist()
    failed = {row["input"]: row["stage"] for row in rows if row["status"] == "failed"}
    if failed != dict.fromkeys(poison, stage):
        raise TimeOut(f"the ledger blames {failed}")


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    """Have a file system of two megabytes at a folder."""
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "osong-faults", str(place)]
    subprocess.run(words, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def _full_disk(runner: str, launcher: Sequence[str] = ()) -> Callable[[Scene], Done]:
    def run(scene: Scene) -> Done:
        undisturbed = scene.undisturbed()
        disk = scene.new_place("disk")
        with _small_disk(disk):
            trial = scene.trial(folder=disk / "run")
            ballast = disk / "ballast"
            note = ""
            for _ in range(scene.times):
                process = trial.start(runner, launcher=launcher)
                trial.wait_for_calls(scene.moment(), process)
                _fill(ballast)
                if wait_for_exit(process, 120) == 0:
                    note = "the run did not notice"
                elif "free space" not in trial.log.read_text(encoding="utf-8", errors="replace"):
                    note = f"it said: {trial.last_words()}"
                trial.note_under_way()
                ballast.unlink()
            trial.resume()
            # Off the disk that goes away at the end of the block.
            shutil.copytree(trial.folder, kept := trial.calls.parent / "kept")
        trial.folder = kept
        return Done(trial, undisturbed, scene.times, note)

    return run


def _fill(ballast: Path) -> None:
    """Write until there is no space left."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def can_mount() -> str:
    """Return why no small disk can be had; "" if one can."""
    return "" if os.geteuid() == 0 and shutil.which("mount") else "mounting a small disk needs root"


def _kills() -> list[Case]:
    blows: tuple[tuple[str, Strike, bool], ...] = (
        ("a docking process", _kill_docking, False),
        ("a worker", _kill_worker, False),
        # MPICH's mpiexec ends all ranks when one is lost.
        ("a rank (worker)", _kill_rank(2), True),
        ("the pilot", _kill_rank(1), True),
        ("the scheduler", _kill_rank(0), True),
        ("the whole job", _kill_all, True),
    )
    alone = [
        Case("kill -9 of a docking process", "local", struck(_kill_docking, "local")),
        Case("kill -9 of the pilot", "serial", struck(_kill_process, "serial", ends_run=True)),
        Case("kill -9 of the pilot", "local", struck(_kill_process, "local", ends_run=True)),
        Case("kill -9 of the whole job", "local", struck(_kill_all, "local", ends_run=True)),
    ]
    ranks = [
        Case(f"kill -9 of {what}", _MPI, struck(blow, "mpi", MPIEXEC, ends_run=ends), "mpi")
        for what, blow, ends in blows
    ]
    return [*alone, *ranks]


def _disks() -> list[Case]:
    found = []
    for words, damage in (
        ("cut short", _truncate),
        ("with a bit flipped", _flip_a_bit),
        ("emptied", _empty),
    ):
        found.append(Case(f"part of a chunk {words}", "local", _damaged_chunk(damage)))
        found.append(Case(f"part of a shard {words}", "local", _damaged_shard(damage)))
    found.append(Case("disk full (tmpfs)", "local", _full_disk("local"), "mount"))
    found.append(Case("disk full (tmpfs)", _MPI, _full_disk("mpi", MPIEXEC), "mount mpi"))
    return found


def _poisons() -> list[Case]:
    names = {
        "SEGFAULT": "molecule that crashes", "HANG": "molecule that hangs",
        "MEMORY": "molecule that fills memory", "WATCHER": "molecule that kills its watcher",
    }  # fmt: skip
    found = []
    for word, name in names.items():
        found.append(Case(name, "local", _poisoned(word, "local")))
        found.append(Case(name, _MPI, _poisoned(word, "mpi", MPIEXEC), "mpi"))
    return found


LOCAL_CASES: Final = (
    *_kills(),
    Case("two resumes at once", "local and serial", _both_at_once),
    Case("two resumes at once find a damaged part", "serial", _both_at_once_and_damage),
    Case("three pilots killed while one lives", "local and serial", _all_but_one),
    Case("clocks a day apart, and a pilot killed", "serial", _wrong_clocks),
    *_disks(),
    *_poisons(),
)
