"""A docker without chemistry for tests: results follow from the record's text alone.

Runs inside docking processes. A SMILES that begins with a word of `_MISDEEDS` does what the word
says. Every call appends a line to the file that OSONG_FAKE_CALLS names.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from osong.errors import InputError, LigandError, ResourceError
from osong.ligands import PreparedLigand, prepare_ligand
from osong.search.minima import RefinedMinima
from osong_workflows.device_docking import Unfinished
from osong_workflows.outcome import DockedMolecule, DockedPose

if TYPE_CHECKING:
    from osong.library import Record


def _segfault(record: Record) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _crash_once(record: Record) -> None:
    marker = Path(os.environ["OSONG_FAKE_CALLS"] + ".crashed")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _kill_the_watcher(record: Record) -> None:
    """End the process that watches this one, as a molecule might by filling a node's memory."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def _hang(record: Record) -> None:
    time.sleep(3600)


def _fail(record: Record) -> None:
    raise LigandError(f"{record.source}: made to fail: mend it", stage="embed")


def _input_error(record: Record) -> None:
    raise InputError("not this one")


def _bug(record: Record) -> None:
    raise KeyError(object())


def _broken(record: Record) -> None:
    raise ResourceError("nothing works any more")


def _big(record: Record) -> None:
    ballast = np.ones(300 * 2**20, dtype=np.uint8)
    time.sleep(30)
    del ballast


_MISDEEDS = {
    "SEGFAULT": _segfault,
    "EXIT": lambda record: os._exit(3),
    "ONCE": _crash_once,
    "HANG": _hang,
    "PARENT": _kill_the_watcher,
    "FAIL": _fail,
    "BUG": _bug,
    "INPUT": _input_error,
    "BROKEN": _broken,
    "BIG": _big,
}


def build(target_path: str, settings: object):
    calls = os.environ.get("OSONG_FAKE_CALLS")
    pause = float(os.environ.get("OSONG_FAKE_PAUSE", "0"))

    def dock(record: Record) -> DockedMolecule:
        _begin(record, calls, pause)
        return fake_molecule(record.data, settings.n_poses)

    return dock


def _begin(record: Record, calls: str | None, pause: float) -> None:
    """Note the call, and do what a record's text asks for."""
    if calls:
        descriptor = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{record.index}\n".encode())
        os.close(descriptor)
    time.sleep(pause)
    misdeed = _MISDEEDS.get(record.data.split("_")[0])
    if misdeed:
        misdeed(record)


def build_learnable(target_path: str, settings: object):
    """Energies follow from how many atoms a molecule has of each kind; some names fail."""
    calls = os.environ.get("OSONG_FAKE_CALLS")
    pause = float(os.environ.get("OSONG_FAKE_PAUSE", "0"))

    def dock(record: Record) -> DockedMolecule:
        _begin(replace(record, index=int(record.name.strip("mfail"))), calls, pause)
        if record.name.startswith("fail"):
            raise LigandError(f"{record.source}: made to fail: mend it", stage="embed")
        made = fake_molecule(record.data, settings.n_poses)
        energy = learnable_energy(record.data)
        poses = tuple(replace(pose, energy=energy + k) for k, pose in enumerate(made.poses))
        return replace(made, poses=poses)

    return dock


def learnable_energy(smiles: str) -> float:
    """Return what `build_learnable` gives a molecule."""
    noise = crc32(smiles.encode()) / 2**32
    return -0.4 * smiles.count("N") - 0.1 * smiles.count("C") - 0.7 * smiles.count("O") - noise


def build_preparer(target_path: str, settings: object):
    """A preparer that does as the docker does with what is no good molecule."""
    calls = os.environ.get("OSONG_FAKE_CALLS")
    (ligand,) = prepare_ligand("CO", name="methanol")

    def prepare(record: Record) -> tuple[PreparedLigand, ...]:
        _begin(record, calls, 0.0)
        return (replace(ligand, name=record.name, input_smiles=record.data),)

    return prepare


def build_host(target_path: str, settings: object):
    """Prepares records, and finishes what the fake device has found."""
    prepare = build_preparer(target_path, settings)

    def work(item: Record | Unfinished) -> tuple[PreparedLigand, ...] | DockedMolecule:
        if not isinstance(item, Unfinished):
            return prepare(item)
        text = item.variants[0].input_smiles
        assert item.minima[0].conformers == fake_minima(text)[0].conformers
        if text.startswith("FINCRASH"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return replace(fake_molecule(text, settings.n_poses), backend="cuda")

    return work


def fake_minima(text: str) -> tuple[RefinedMinima, ...]:
    """What a search finds of a molecule, and of no other."""
    number = np.array([crc32(text.encode()) // 2], np.int32)
    return (RefinedMinima(np.zeros((1, 7), np.float32), number),)


def build_broken(target_path: str, settings: object):
    raise ResourceError("no room for the grid maps; use a smaller box")


def build_crashing(target_path: str, settings: object):
    os.kill(os.getpid(), signal.SIGSEGV)


def build_killed_once(target_path: str, settings: object):
    """Dies as it starts, once, as when a batch system or the kernel picks it."""
    _crash_once(None)
    return build(target_path, settings)


def fake_molecule(data: str, n_poses: int) -> DockedMolecule:
    """Water at a place and with an energy that the text's hash gives."""
    seed = int.from_bytes(blake2b(data.encode(), digest_size=8).digest())
    random = np.random.default_rng(seed)
    energies = np.sort(random.uniform(-12, 0, n_poses))
    poses = tuple(
        DockedPose(
            energy=float(energy),
            inter=float(energy) - 0.5,
            intra=0.5,
            variant=0,
            conformer=0,
            genotype=random.normal(size=7).astype(np.float32),
            smiles="[H]O[H]",
            coords=random.normal(size=(3, 3)).astype(np.float32),
        )
        for energy in energies
    )
    return DockedMolecule(poses, n_variants=1, notes=("made up",), smiles="O", n_heavy=1)
