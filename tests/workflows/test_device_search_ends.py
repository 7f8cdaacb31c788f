"""Whatever fails beside devices leaves nobody waiting; those that were asked for have to work."""

from __future__ import annotations

import errno
import sys
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

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

from osong.backend import Device
from osong.errors import CampaignError, ResourceError
from osong.library import Record
from osong.search.memory import Misfit
from osong_workflows import device_docking
from osong_workflows.device_search import DeviceSearch


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
