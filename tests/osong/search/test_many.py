"""Docking on a device that is made up: order, failures, and what is left to the CPU."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import ClassVar

import pytest

import osong
from osong import backend
from osong.backend import Backend, Device
from osong.errors import LigandError, ResourceError
from osong.ligands import PreparedLigand, prepare_ligand
from osong.search import DockingSession, Pose
from osong.search.many import Found, dock_many
from osong.search.memory import Misfit

CUDA = Backend("cuda", "made up", (Device(3, "Fake", 2**30, (9, 0)),))
CPU = Backend("cpu", "as asked for")


@pytest.fixture(scope="module")
def pocket(egfr: osong.Target) -> osong.Target:
    return osong.Target(egfr.receptor, osong.Box(egfr.box.center, (12.0, 12.0, 12.0)), "pocket")


@pytest.fixture(scope="module")
def molecules() -> list[list[PreparedLigand]]:
    return [prepare_ligand(smiles, name=smiles) for smiles in ("CO", "CCO", "CN")]


class FakeDevice:
    """Docks on the CPU, refuses ethanol, and finds no place for methylamine."""

    made: dict[str, object]
    sizes: list[int]

    def __init__(
        self, target: osong.Target, *, device: int, share_bytes: int | None, **options: object
    ) -> None:
        FakeDevice.made = {"device": device, "share_bytes": share_bytes, **options}
        FakeDevice.sizes = []
        self.session = DockingSession(target, **options)

    def dock_many(self, molecules: Sequence[Sequence[PreparedLigand]]) -> list[Found | Misfit]:
        self.sizes.append(len(molecules))
        return [self.answer(variants) for variants in molecules]

    def answer(self, variants: Sequence[PreparedLigand]) -> Found | Misfit:
        if variants[0].name == "CCO":
            return Misfit(0, "too large")
        if variants[0].name == "CN":
            return LigandError("no pose found inside the box", stage="dock")
        return self.session.dock(variants)


@pytest.fixture
def _fake_device(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(DeviceSession=FakeDevice)
    monkeypatch.setitem(sys.modules, "osong.search.device_session", module)


def energies(found: Found) -> list[float]:
    assert isinstance(found, list)
    return [pose.energy for pose in found]


@pytest.mark.usefixtures("_fake_device")
def test_each_molecule_has_its_answer_in_its_place(
    pocket: osong.Target, molecules: list[list[PreparedLigand]]
) -> None:
    unread = LigandError("unreadable", stage="read")
    asked = [molecules[2], unread, molecules[0], molecules[1]]
    on_cpu = list(dock_many(pocket, asked, CPU, effort="fast"))
    on_device = list(dock_many(pocket, asked, CUDA, effort="fast", seed=0))
    assert FakeDevice.made == {"device": 3, "share_bytes": None, "effort": "fast", "seed": 0}
    assert FakeDevice.sizes == [3]
    assert isinstance(on_device[0], LigandError)
    assert on_cpu[1] is on_device[1] is unread
    assert energies(on_device[2]) == energies(on_cpu[2])
    assert energies(on_device[3]) == energies(on_cpu[3]), "too large there, so docked by the CPU"


class FailingDevice(FakeDevice):
    """Docks one batch, and fails at the next."""

    def dock_many(self, molecules: Sequence[Sequence[PreparedLigand]]) -> list[Found | Misfit]:
        if self.sizes:
            raise ResourceError("device 3: out of memory")
        return super().dock_many(molecules)


class NoDevice:
    """Cannot be opened."""

    def __init__(self, target: osong.Target, **options: object) -> None:
        raise ResourceError("device 3: busy")


def use(monkeypatch: pytest.MonkeyPatch, session: type) -> None:
    module = SimpleNamespace(DeviceSession=session)
    monkeypatch.setitem(sys.modules, "osong.search.device_session", module)
    monkeypatch.setattr("osong.search.many._BATCH", 1)


@pytest.mark.usefixtures("_fake_device")
def test_what_is_too_large_for_the_device_is_told_once(
    pocket: osong.Target, molecules: list[list[PreparedLigand]]
) -> None:
    told: list[str] = []
    list(dock_many(pocket, [molecules[1]] * 2, CUDA, effort="fast", tell=told.append))
    assert told == ["CCO: the CPU docks it: too large"]


@pytest.mark.parametrize(
    ("session", "reason"), [(FailingDevice, "out of memory"), (NoDevice, "busy")]
)
def test_the_cpu_goes_on_where_the_device_fails(
    pocket: osong.Target,
    molecules: list[list[PreparedLigand]],
    monkeypatch: pytest.MonkeyPatch,
    session: type,
    reason: str,
) -> None:
    use(monkeypatch, session)
    told: list[str] = []
    asked = [molecules[0]] * 3
    found = list(dock_many(pocket, asked, CUDA, effort="fast", is_cpu_next=True, tell=told.append))
    assert len(found) == 3
    assert all(energies(each) == energies(found[0]) for each in found)
    assert told == [f"the CPU docks from here on: device 3: {reason}"]


def test_where_cuda_was_asked_for_its_failure_comes_after_what_was_found(
    pocket: osong.Target, molecules: list[list[PreparedLigand]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FailingDevice)
    found = dock_many(pocket, [molecules[0]] * 2, CUDA, effort="fast")
    assert energies(next(found))
    with pytest.raises(ResourceError, match="out of memory"):
        next(found)


class FirstFails(FakeDevice):
    """Device 3 cannot be opened; the others work."""

    used: ClassVar[set[object]] = set()

    def __init__(self, target: osong.Target, *, device: int, **options: object) -> None:
        if device == 3:
            raise ResourceError("device 3: busy")
        self.used.add(device)
        super().__init__(target, device=device, **options)


def test_what_one_device_fails_at_another_does(
    pocket: osong.Target, molecules: list[list[PreparedLigand]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FirstFails)
    told: list[str] = []
    two = Backend("cuda", "made up", (*CUDA.devices, Device(5, "Fake", 2**30, (9, 0))))
    asked = [molecules[0], molecules[2], molecules[0]]
    found = list(dock_many(pocket, asked, two, effort="fast", tell=told.append))
    assert energies(found[0]) == energies(found[2])
    assert isinstance(found[1], LigandError)
    assert FirstFails.used == {5}
    assert told == ["device 3 (Fake) is given up: device 3: busy; the others go on"]


@pytest.mark.usefixtures("_fake_device")
def test_dock_uses_the_device_that_was_chosen(
    pocket: osong.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osong.search.docking.choose_backend", lambda wanted: CUDA)
    poses = osong.dock(pocket, "CO", effort="fast", backend="cuda")
    assert isinstance(poses[0], Pose)
    assert FakeDevice.made["device"] == 3


def test_without_a_device_cuda_is_refused_in_one_line(
    pocket: osong.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = backend.Driver(problem="no NVIDIA driver here")
    monkeypatch.setattr(backend, "find_driver", lambda: driver)
    with pytest.raises(ResourceError, match=r"^backend cuda: no NVIDIA driver here; or dock on"):
        osong.dock(pocket, "CO", backend="cuda")
    assert osong.dock(pocket, "CO", effort="fast", backend="auto")
