"""The rules of halving and giving up, with processes that are made up: each molecule ends once."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from device_scripts import (
    CPU,
    DEVICE,
    Cpu,
    FakeSupervisor,
    Script,
    last_answer,
    make_search,
    scripted,  # noqa: F401 (a fixture that all tests here use)
    search,
    submit,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from osong.errors import CampaignError
from osong_workflows import device_worker


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
