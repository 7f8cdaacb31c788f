"""A docker without chemistry, for campaigns that are disturbed: poses follow from a record's text.

It runs in docking processes, which are told what to do by the environment: `CALLS` names a file to
which each call appends a line, `PACE` one that holds the seconds that a molecule takes, `BURN`
seconds of CPU. A record whose text begins with a word of `POISON` does what the word says.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from osong_workflows.outcome import DockedMolecule, DockedPose

if TYPE_CHECKING:
    from osong.library import Record
    from osong_workflows.outcome import Docker
    from osong_workflows.settings import CampaignSettings

__all__ = ["BURN", "CALLS", "DOCKER", "PACE", "POISON", "build"]

DOCKER: Final = "osong_benchmarks.faults_docker:build"
CALLS: Final = "OSONG_FAULTS_CALLS"
PACE: Final = "OSONG_FAULTS_PACE"
BURN: Final = "OSONG_FAULTS_BURN"
_BALLAST: Final = 700 * 2**20
_LONG_S: Final = 600.0


def build(_target_path: str, settings: CampaignSettings) -> Docker:
    """Return what gives any record poses of three atoms."""
    calls, pace = os.environ.get(CALLS), os.environ.get(PACE)
    burn_s = float(os.environ.get(BURN, "0"))

    def dock_record(record: Record) -> DockedMolecule:
        if calls:
            _note(calls, record.index)
        if pace:
            time.sleep(float(Path(pace).read_text(encoding="ascii") or "0"))
        _burn(burn_s)
        misdeed = POISON.get(record.data.partition("_")[0])
        if misdeed is not None:
            misdeed()
        return _molecule(record.data, settings.n_poses)

    return dock_record


def _note(calls: str, index: int) -> None:
    """Append a call; one write, so that processes can share the file."""
    descriptor = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{index} {os.getpid()} {time.time():.3f}\n".encode())
    finally:
        os.close(descriptor)


def _burn(seconds: float) -> None:
    """Take so much of a core's time, however many others want it."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def _segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang() -> None:
    time.sleep(_LONG_S)


def _fill_memory() -> None:
    ballast = np.ones(_BALLAST, dtype=np.uint8)
    time.sleep(_LONG_S)
    del ballast


def _kill_the_watcher() -> None:
    """End the process that watches this one, as a molecule might by filling a node's memory."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(_LONG_S)


POISON: Final[dict[str, Callable[[], None]]] = {
    "SEGFAULT": _segfault,
    "HANG": _hang,
    "MEMORY": _fill_memory,
    "WATCHER": _kill_the_watcher,
}


def _molecule(text: str, n_poses: int) -> DockedMolecule:
    """Return water with energies and places that the text's hash gives."""
    rng = np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))
    poses = tuple(
        DockedPose(
            energy=float(energy),
            inter=float(energy) - 0.5,
            intra=0.5,
            variant=0,
            conformer=0,
            genotype=rng.normal(size=7).astype(np.float32),
            smiles="[H]O[H]",
            coords=rng.normal(size=(3, 3)).astype(np.float32),
        )
        for energy in np.sort(rng.uniform(-12, 0, n_poses))
    )
    return DockedMolecule(poses, n_variants=1, notes=(), smiles="O", n_heavy=1)
