"""The rules of halving and giving up, with processes that are made up: each molecule ends once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osong.backend import Device
from osong.errors import CampaignError, ResourceError
from osong.library import Record
from osong_workflows import device_search
from osong_workflows.child import Job
from osong_workflows.device_docking import ForCpu
from osong_workflows.device_search import DeviceSearch
from osong_workflows.events import Publisher
from osong_workflows.outcome import FailedMolecule

DEVICE = FailedMolecule("dock", "searched")
"""What stands for poses that a device found ..."""
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
    """

    bad: frozenset[int] = frozenset()
    huge: frozenset[int] = frozenset()
    room: int = 10**6
    lost_after: dict[int, int] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    n_batches: Counter[int] = field(default_factory=Counter)


class FakeSupervisor:
    """Does what the script says instead of asking a process."""

    script: Script

    def __init__(self, job: Job, *_: object, attempts: int) -> None:
        assert attempts == 1
        self.device = int(job.target)

    def start(self) -> None:
        limit = self.script.lost_after.get(self.device)
        if limit is not None and self.script.n_batches[self.device] >= limit:
            raise CampaignError("a device process cannot start")

    def close(self) -> None:
        pass

    def dock(self, batch):
        self.script.n_batches[self.device] += 1
        self.script.sizes.append(len(batch.molecules))
        numbers = [variants[0] for variants in batch.molecules]
        if self.script.bad.intersection(numbers):
            return FailedMolecule("crash", "the process died of SIGSEGV")
        if len(numbers) > self.script.room:
            raise ResourceError("no memory")
        return tuple(ForCpu("huge") if n in self.script.huge else DEVICE for n in numbers)


class Cpu:
    """Docks at once, and counts how often each molecule came."""

    def __init__(self) -> None:
        self.came: Counter[int] = Counter()

    def __call__(self, record: Record) -> Future:
        self.came[record.index] += 1
        future: Future = Future()
        future.set_result(CPU)
        return future


def search(script: Script, n_molecules: int, n_devices: int = 1):
    """Return what became of each molecule, who was docked by the CPU, and what was said."""
    FakeSupervisor.script = script
    cpu, said = Cpu(), []
    jobs = [
        (Device(i, "Fake", 2**30, (9, 0)), Job(str(i), None, "device")) for i in range(n_devices)
    ]
    found = DeviceSearch(jobs, Publisher(), cpu, said.append)
    answers = []
    try:
        futures = []
        for i in range(n_molecules):
            record = Record(i, f"m{i}", "", "smi", "C")
            futures.append(found.submit(record, (i,)) or cpu(record))
        for future in futures:
            answer = future.result(timeout=30)
            answers.append(answer.result(timeout=30) if isinstance(answer, Future) else answer)
    finally:
        found.close()
    return answers, cpu.came, said


@pytest.fixture(autouse=True, scope="module")
def _fakes():
    patch = pytest.MonkeyPatch()
    patch.setattr(device_search, "Supervisor", FakeSupervisor)
    patch.setattr(device_search, "_TICK_S", 0.005)
    yield
    patch.undo()


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 400),
    bad=st.frozensets(st.integers(0, 399), max_size=3),
    huge=st.frozensets(st.integers(0, 399), max_size=5),
    room=st.sampled_from([1, 3, 50, 10**6]),
    n_devices=st.integers(1, 3),
)
def test_each_molecule_has_one_answer_and_the_cpu_those_that_no_device_can_have(
    n: int, bad: frozenset[int], huge: frozenset[int], room: int, n_devices: int
) -> None:
    script = Script(bad, huge, room)
    answers, came, said = search(script, n, n_devices)
    expected = {i for i in bad | huge if i < n}
    assert [answer is CPU for answer in answers] == [i in expected for i in range(n)]
    assert came == Counter(expected)
    assert len(said) == len(expected)
    assert max(script.sizes) <= device_search.MAX_BATCH


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 300),
    lost=st.dictionaries(st.integers(0, 2), st.integers(0, 4)),
    bad=st.frozensets(st.integers(0, 299), max_size=2),
    n_devices=st.integers(1, 3),
)
def test_devices_that_are_lost_leave_their_molecules_to_others_and_at_last_to_the_cpu(
    n: int, lost: dict[int, int], bad: frozenset[int], n_devices: int
) -> None:
    answers, came, said = search(Script(bad, lost_after=lost), n, n_devices)
    assert len(answers) == n
    assert came == Counter(i for i, answer in enumerate(answers) if answer is CPU)
    assert set(came.values()) <= {1}
    gone = [line for line in said if "is given up: a device process cannot start" in line]
    assert len(gone) == len({line.split(" is given")[0] for line in gone})
    takeovers = [line for line in gone if line.endswith("the CPU takes over")]
    assert len(takeovers) <= 1
    if not takeovers:
        assert set(came) <= bad


def test_memory_that_does_not_suffice_is_found_once() -> None:
    script = Script(room=5)
    search(script, 1000)
    failed = [size for size in script.sizes if size > 5]
    assert len(failed) <= 1 + len(bin(device_search.MAX_BATCH)[2:])
    assert all(size <= 5 for size in script.sizes[-50:])


def test_one_bad_molecule_costs_nine_batches_at_most() -> None:
    for bad in (0, 100, 255):
        script = Script(frozenset([bad]))
        answers, _, _ = search(script, 256)
        assert answers.count(CPU) == 1
        assert len(script.sizes) <= 9 + 9 + 8


def test_a_device_on_which_nothing_works_is_given_up_in_the_end() -> None:
    script = Script(frozenset(range(400)))
    answers, came, said = search(script, 400)
    assert answers == [CPU] * 400
    assert set(came.values()) == {1}
    assert script.n_batches[0] == device_search._MAX_FAILURES
    assert said[-1].endswith("with: the process died of SIGSEGV; the CPU takes over")


def test_a_thread_that_fails_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a bug")

    heard = []
    monkeypatch.setattr(FakeSupervisor, "dock", fail)
    monkeypatch.setattr(threading, "excepthook", lambda arguments: heard.append(arguments))
    with pytest.raises(CampaignError, match="please report it"):
        search(Script(), 3)
    assert "a bug" in str(heard[0].exc_value)
