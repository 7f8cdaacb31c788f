"""The rules of halving and giving up, with processes that are made up: each molecule ends once."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osong.backend import Device
from osong.errors import CampaignError, ResourceError
from osong.library import Record
from osong.search.memory import Misfit
from osong_workflows import device_docking, device_search, device_worker
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
    assert len(said) == min(len(expected), 4), "three are named, and one line for all others"
    assert max(script.sizes) <= device_worker.MAX_BATCH


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


def test_the_next_batch_is_there_before_a_large_one_is_done() -> None:
    script = Script()
    answers, _, _ = search(script, 5000)
    assert answers == [DEVICE] * 5000
    assert script.n_ahead > 5


def test_batches_that_few_wait_for_are_not_sent_ahead() -> None:
    FakeSupervisor.script = script = Script()
    found = make_search(script, 1, Cpu(), lambda _: None)
    try:
        for _ in range(20):
            assert {last_answer(future) for future in submit(found, 30)} == {DEVICE}
    finally:
        found.close()
    assert script.n_ahead == 0


@pytest.mark.parametrize("end", ["both are lost", "the run is stopped"])
def test_what_a_lost_device_leaves_is_there_before_the_last_one_looks(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The first one's molecules go back slowly, while the other is given up or stopped."""
    FakeSupervisor.script = Script(lost_after={0: 0, 1: 0} if end == "both are lost" else {0: 0})
    both = threading.Barrier(2)
    start = FakeSupervisor.start

    def start_together(self: FakeSupervisor) -> None:
        both.wait(20)
        if end == "the run is stopped" and self.device == 1:
            self.stop.wait(20)
            raise CampaignError("the run was stopped")
        start(self)

    monkeypatch.setattr(FakeSupervisor, "start", start_together)
    cpu = Cpu()
    found = make_search(FakeSupervisor.script, 2, cpu, lambda _: None)
    put = found._waiting.put

    def put_slowly(request: object) -> None:
        if threading.current_thread() in found._threads:
            found.stop() if end == "the run is stopped" else None
            time.sleep(0.05)
        put(request)

    monkeypatch.setattr(found._waiting, "put", put_slowly)
    try:
        futures = submit(found, 20)
        if end == "both are lost":
            assert [last_answer(future) for future in futures] == [CPU] * 20
            assert set(cpu.came.values()) == {1}
        else:
            for future in futures:
                with pytest.raises(CampaignError, match="the run was stopped"):
                    last_answer(future)
    finally:
        found.close()


def test_memory_that_does_not_suffice_is_found_once() -> None:
    script = Script(room=5)
    search(script, 1000)
    failed = [size for size in script.sizes if size > 5]
    assert len(failed) <= 1 + len(bin(device_worker.MAX_BATCH)[2:])
    assert all(size <= 5 for size in script.sizes[-50:])


def test_time_that_does_not_suffice_is_found_once() -> None:
    script = Script(quick=40)
    answers, _, said = search(script, 2000)
    assert answers == [DEVICE] * 2000
    assert said == []
    assert len([size for size in script.sizes if size > 40]) <= 3
    assert max(script.sizes[-20:]) > 20


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
    assert script.n_batches[0] == device_worker._MAX_FAILURES
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


def full_disk(text: str) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def search_again_and_again(found: DeviceSearch) -> None:
    for _ in range(100):
        for future in submit(found, 40):
            assert last_answer(future) in (DEVICE, CPU)


@pytest.mark.parametrize(
    "script",
    [
        Script(huge=frozenset([3])),
        Script(bad=frozenset([3])),
        Script(lost_after={0: 0}),
        Script(lost_after={0: 1}),
    ],
)
@pytest.mark.parametrize("n_devices", [1, 2])
def test_a_line_that_cannot_be_written_leaves_nobody_waiting(script, n_devices) -> None:
    found = make_search(script, n_devices, Cpu(), full_disk)
    try:
        with pytest.raises(OSError, match="No space left"):
            search_again_and_again(found)
    finally:
        found.close()


def test_a_cpu_that_takes_nothing_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_cpu(record: Record) -> Future:
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    found = make_search(Script(lost_after={0: 0}), 1, on_cpu, lambda _: None)
    try:
        for future in submit(found, 40):
            with pytest.raises(CampaignError, match="please report it"):
                future.result(timeout=20)
    except CampaignError as error:
        assert "please report it" in str(error)  # noqa: PT017 (the device may be gone by then)
    finally:
        found.close()


def test_a_stop_is_no_failure_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_for_the_stop(self: FakeSupervisor, *_: object) -> None:
        self.stop.wait(20)
        raise CampaignError("the run was stopped")

    monkeypatch.setattr(FakeSupervisor, "dock", wait_for_the_stop)
    said: list[str] = []
    cpu = Cpu()
    found = make_search(Script(), 1, cpu, said.append)
    (future,) = submit(found, 1)
    time.sleep(0.05)
    found.close()
    with pytest.raises(CampaignError, match="the run was stopped"):
        future.result(timeout=20)
    assert said == []
    assert not cpu.came


def test_one_device_that_has_worked_is_enough_where_devices_are_asked_for() -> None:
    FakeSupervisor.script = script = Script(lost_after={0: 3, 1: 3})
    cpu, said = Cpu(), []
    found = make_search(script, 2, cpu, said.append, is_required=True)
    workers = [SimpleNamespace(has_worked=worked, pending=[]) for worked in (True, False)]
    for (device, _), worker in zip(found._jobs, workers, strict=True):
        worker.release = list
        found._give_up(device, "it is lost", worker)
    assert [line.split("; ")[1] for line in said] == ["the others go on", "the CPU takes over"]
    assert found.submit(Record(0, "m0", "", "smi", "C"), (0,)) is None


def test_where_devices_are_asked_for_one_has_to_work() -> None:
    with pytest.raises(ResourceError, match="run osong doctor, or dock on CPUs"):
        search(Script(lost_after={0: 0, 1: 0}), 300, 2, is_required=True)


def test_a_target_that_does_not_fit_is_told_when_the_device_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Session:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def free_bytes(self) -> int:
            return 1000 * 2**20

        def target_bytes(self) -> int:
            return 3000 * 2**20

        def ready(self, molecules):
            return molecules

        def search(self, ready):
            return [Misfit(0, "0 MiB are free beside the target") for _ in ready]

    module = SimpleNamespace(DeviceSession=Session)
    monkeypatch.setitem(sys.modules, "osong.search.device_session", module)
    monkeypatch.setattr(device_docking, "load_target", lambda *_: None)
    monkeypatch.setattr(device_docking, "warm_up", lambda _: [])
    campaign = SimpleNamespace(scoring="vina", effort="fast", n_poses=1, seed=0, ligands={})
    with pytest.raises(
        ResourceError,
        match="device 1: the target needs 3,000 MiB of its memory and 1,000 MiB are free",
    ):
        device_docking.build_searcher(
            "", SimpleNamespace(campaign=campaign, device=Device(1, "Fake", 2**30, (9, 0)))
        )
