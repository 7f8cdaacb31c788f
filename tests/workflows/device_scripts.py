"""A search on devices whose processes are made up and do what a script says."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from osong.backend import Device
from osong.errors import CampaignError, ResourceError
from osong.library import Record
from osong_workflows import device_search
from osong_workflows.child import Job
from osong_workflows.device_docking import ForCpu, Found
from osong_workflows.device_search import DeviceSearch
from osong_workflows.events import Publisher
from osong_workflows.outcome import FailedMolecule

FOUND = "minima"
DEVICE = FailedMolecule("dock", "searched")
"""What stands for poses that were made of what a device found ..."""
CPU = FailedMolecule("dock", "docked")
"""... and for those of the CPU."""


@dataclass
class Script:
    """What becomes of batches on each device.

    Attributes
    ----------
    bad
        Molecules that end their process.
    huge
        Molecules that do not fit.
    room
        Molecules that fit at a time.
    lost_after
        Batches after which a device cannot start again.
    quick
        Molecules that do not take too long together.
    """

    bad: frozenset[int] = frozenset()
    huge: frozenset[int] = frozenset()
    room: int = 10**6
    lost_after: dict[int, int] = field(default_factory=dict)
    quick: int = 10**6
    sizes: list[int] = field(default_factory=list)
    n_batches: Counter[int] = field(default_factory=Counter)
    n_ahead: int = 0


class FakeSupervisor:
    """Does what the script says instead of asking a process."""

    script: Script

    def __init__(self, job: Job, *others, attempts: int) -> None:
        assert attempts == 1
        self.device = int(job.target)
        self.stop = others[1]

        self.ahead: object = None

    def start(self) -> None:
        limit = self.script.lost_after.get(self.device)
        if limit is not None and self.script.n_batches[self.device] >= limit:
            raise CampaignError("a device process cannot start")

    def close(self) -> None:
        self.ahead = None

    def dock(self, batch, ahead):
        assert self.ahead in (None, batch), "what was sent ahead comes next"
        self.ahead = ahead()
        self.script.n_ahead += self.ahead is not None
        self.script.n_batches[self.device] += 1
        self.script.sizes.append(len(batch.molecules))
        numbers = [variants[0] for variants in batch.molecules]
        if self.script.bad.intersection(numbers):
            return FailedMolecule("crash", "the process died of SIGSEGV")
        if len(numbers) > self.script.room:
            raise ResourceError("no memory")
        if len(numbers) > self.script.quick:
            return FailedMolecule("time", "took longer than 600 s")
        return tuple(
            ForCpu("huge") if n in self.script.huge else Found((FOUND, n)) for n in numbers
        )


def finish(record: Record, variants: tuple, minima: tuple) -> Future:
    """Finish at once what a device has found of this record and no other."""
    assert variants == (record.index,)
    assert minima == (FOUND, record.index)
    future: Future = Future()
    future.set_result(DEVICE)
    return future


class Cpu:
    """Docks at once, and counts how often each molecule came."""

    def __init__(self) -> None:
        self.came: Counter[int] = Counter()

    def __call__(self, record: Record) -> Future:
        self.came[record.index] += 1
        future: Future = Future()
        future.set_result(CPU)
        return future


def make_search(script: Script, n_devices: int, cpu, say, **options) -> DeviceSearch:
    FakeSupervisor.script = script
    jobs = [
        (Device(i, "Fake", 2**30, (9, 0)), Job(str(i), None, "device")) for i in range(n_devices)
    ]
    return DeviceSearch(jobs, Publisher(), finish, cpu, say, **options)


def submit(found: DeviceSearch, n_molecules: int) -> list[Future]:
    return [
        future
        for i in range(n_molecules)
        if (future := found.submit(Record(i, f"m{i}", "", "smi", "C"), (i,)))
    ]


def search(script: Script, n_molecules: int, n_devices: int = 1, **options):
    """Return what became of each molecule, who was docked by the CPU, and what was said."""
    cpu, said = Cpu(), []
    found = make_search(script, n_devices, cpu, said.append, **options)
    answers = []
    try:
        futures = []
        for i in range(n_molecules):
            record = Record(i, f"m{i}", "", "smi", "C")
            futures.append(found.submit(record, (i,)) or cpu(record))
        for future in futures:
            answers.append(last_answer(future))
    finally:
        found.close()
    return answers, cpu.came, said


def last_answer(future: Future):
    answer = future.result(timeout=30)
    return answer.result(timeout=30) if isinstance(answer, Future) else answer


@pytest.fixture(autouse=True, scope="module")
def scripted():
    """Let a search ask the script, and look at its devices often."""
    patch = pytest.MonkeyPatch()
    patch.setattr(device_search, "Supervisor", FakeSupervisor)
    patch.setattr(device_search, "_TICK_S", 0.005)
    yield
    patch.undo()
