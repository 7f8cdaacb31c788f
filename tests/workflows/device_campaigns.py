"""Campaigns on devices that are made up, and what they leave behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from campaign_helpers import DOCKER, fake_screen, part_paths, per_ligand

from osong.backend import Backend, Device
from osong_workflows import run
from osong_workflows.device_docking import DEVICE_DOCKERS, DeviceDockers
from osong_workflows.events import BackendNote, WorkerRestarted
from osong_workflows.part_names import part_backends


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file to which every batch appends its device and its size."""
    path = tmp_path / "batches.txt"
    monkeypatch.setenv("OSONG_FAKE_BATCHES", str(path))
    return path


def read_batches(path: Path) -> list[tuple[int, int]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(device), int(size)) for device, size in map(str.split, lines)]


class Machine:
    """A machine with devices, as the run sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def has(self, n_devices: int = 1, searcher: str = "build") -> None:
        devices = tuple(Device(i, "Fake", 2**30, (9, 0)) for i in range(n_devices))

        def choose(wanted: str, **_: object) -> Backend:
            if wanted == "cpu" or not devices:
                return Backend("cpu", "as asked for")
            return Backend("cuda", "made up", devices)

        self._monkeypatch.setattr(run, "choose_backend", choose)
        dockers = DeviceDockers("osong_fake_docker:build_host", f"osong_fake_device:{searcher}")
        self._monkeypatch.setitem(DEVICE_DOCKERS, DOCKER, dockers)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def backends(campaign) -> dict[str, int]:
    return dict(sum((part_backends(part) for part in part_paths(campaign)), Counter()))


class Heard(list):
    def notes(self) -> list[str]:
        return [event.text for event in self if isinstance(event, BackendNote)]

    def restarts(self) -> list[WorkerRestarted]:
        return [event for event in self if isinstance(event, WorkerRestarted)]


def screen(library, out: Path, **options):
    heard = Heard()
    campaign = fake_screen(library, out, subscribers=[heard.append], **options)
    status = campaign.status()
    assert status.is_finished
    assert status.n_ok + status.n_failed == len(library), "N_in = N_ok + N_failed"
    return campaign, heard


def check_rows(campaign, by_cpu) -> None:
    """Check that a campaign has the rows of one on CPUs."""
    for name, row in per_ligand(campaign).items():
        assert row == by_cpu.get(name, row)
