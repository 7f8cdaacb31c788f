"""A device without CUDA for tests: what a batch does follows from the texts of its molecules.

Runs inside device processes. Every batch appends a line with the device's number and the batch's
size to the file that OSONG_FAKE_BATCHES names.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from osong_fake_docker import fake_minima

from osong.errors import ResourceError
from osong_workflows.device_docking import Batch, DeviceSettings, ForCpu, Found, Searched
from osong_workflows.outcome import FailedMolecule
from osong_workflows.read_ahead import TwoSteps


def build(target_path: str, settings: DeviceSettings) -> TwoSteps:
    room = int(os.environ.get("OSONG_FAKE_ROOM", "100000"))
    pause = float(os.environ.get("OSONG_FAKE_SEARCH", "0"))

    def search(batch: Batch) -> tuple[Searched, ...]:
        texts = [variants[0].input_smiles for variants in batch.molecules]
        _note(settings.device.index, len(texts))
        time.sleep(pause)
        if any(text.startswith("DEVCRASH") for text in texts):
            os.kill(os.getpid(), signal.SIGSEGV)
        if any(text.startswith("DEVBUG") for text in texts):
            raise RuntimeError("an illegal memory access was encountered")
        if any(text.startswith("DEVHANG") for text in texts):
            time.sleep(3600)
        if len(texts) > room:
            raise ResourceError(f"{len(texts)} molecules do not fit into the device's memory")
        return tuple(map(_searched, texts))

    return TwoSteps(_ready, search)


def _ready(batch: Batch) -> Batch:
    if any(variants[0].input_smiles.startswith("DEVAHEAD") for variants in batch.molecules):
        os.kill(os.getpid(), signal.SIGSEGV)
    return batch


def build_broken(target_path: str, settings: DeviceSettings) -> TwoSteps:
    raise ResourceError("the device has no memory for the maps")


def build_lost(target_path: str, settings: DeviceSettings, n_good: int = 1) -> TwoSteps:
    """A device that falls off the bus in its second batch, and does not come back."""
    lost = Path(os.environ["OSONG_FAKE_BATCHES"] + f".lost{settings.device.index}")
    if lost.exists():
        raise ResourceError(f"device {settings.device.index} does not answer")
    steps = build(target_path, settings)
    n_batches = 0

    def search_and_lose(batch: Batch) -> tuple[Searched, ...]:
        nonlocal n_batches
        n_batches += 1
        if n_batches > n_good:
            lost.touch()
            os._exit(9)
        return steps.finish(batch)

    return TwoSteps(steps.ready, search_and_lose)


def build_second_lost(target_path: str, settings: DeviceSettings) -> TwoSteps:
    """Two devices, of which the second is lost in its first batch."""
    if settings.device.index == 1:
        return build_lost(target_path, settings, n_good=0)
    return build(target_path, settings)


def _searched(text: str) -> Searched:
    if text.startswith("HUGE"):
        return ForCpu("its search needs 900 GiB of device memory")
    if text.startswith("NOPOSE"):
        return FailedMolecule("dock", "no pose found inside the box")
    return Found(fake_minima(text))


def _note(device: int, n_molecules: int) -> None:
    path = os.environ.get("OSONG_FAKE_BATCHES")
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{device} {n_molecules}\n".encode())
        os.close(descriptor)
