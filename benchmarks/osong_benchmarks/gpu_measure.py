"""What ``osong bench --gpu`` does on a device: tests, docking beside the CPU, rates."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from osong import (
    DockingSession,
    LigandOptions,
    PreparedLigand,
    Target,
    prepare_ligand,
    read_records,
)
from osong.backend import Device, choose_backend
from osong.errors import LigandError, OsongError, ResourceError
from osong.quickstart import DRUGS
from osong.search.memory import Misfit
from osong_benchmarks.complexes import Complex, receptor_pdbqt
from osong_benchmarks.part import Gap, PartModel, Say, Settings
from osong_benchmarks.pose_distance import heavy_atom_rmsd

__all__ = [
    "DeviceRate",
    "DeviceTests",
    "SideBySide",
    "dock_beside",
    "rate_of",
    "run_tests",
    "usable_device",
]

_TESTS_S: Final = 1800.0
HIT_ANGSTROM: Final = 2.0
"""A best pose within this of the crystal is a success."""


class DeviceTests(PartModel):
    """Outcome of the tests that need a device.

    Attributes
    ----------
    n_passed, n_failed, n_skipped
        Of them.
    seconds
        By the clock, compilation included.
    failed
        Names of those that failed.
    """

    n_passed: int
    n_failed: int
    n_skipped: int
    seconds: float
    failed: tuple[str, ...] = ()


class SideBySide(PartModel):
    """One complex, docked by the CPU and by the device with the same settings.

    Attributes
    ----------
    complex
        Its name.
    n_atoms, n_torsions
        Of the ligand.
    cpu_energy, device_energy
        Of the best pose, kcal/mol, both scored by the same exact terms.
    cpu_rmsd, device_rmsd
        Of the best pose from the crystal, angstrom.
    """

    complex: str
    n_atoms: int
    n_torsions: int
    cpu_energy: float
    device_energy: float
    cpu_rmsd: float
    device_rmsd: float

    @property
    def difference(self) -> float:
        """How much higher the device's best energy is, kcal/mol."""
        return self.device_energy - self.cpu_energy


class DeviceRate(PartModel):
    """Docking of many prepared molecules by the device.

    Attributes
    ----------
    effort
        Of the search.
    n_molecules, n_failed, n_misfits
        In one call, those that could not be searched, and those that the device does not take.
    ready_s
        By the clock: the host makes their arrays, one thread.
    first_s, seconds
        By the clock: the search with all that happens once (compilation, the target sent), and
        then. Poses are finished elsewhere.
    """

    effort: str
    n_molecules: int
    n_failed: int
    n_misfits: int = 0
    ready_s: float
    first_s: float
    seconds: float

    @property
    def per_second(self) -> float:
        """Molecules a second that the device searched, preparation not counted."""
        return (self.n_molecules - self.n_misfits) / self.seconds


def usable_device() -> Device:
    """Return the device to measure.

    Raises
    ------
    ResourceError
        There is none; one line says why.
    """
    backend = choose_backend("auto")
    if not backend.devices:
        raise ResourceError(f"not measured on a device: {backend.reason}")
    return backend.devices[0]


def run_tests(root: Path) -> DeviceTests:
    """Run the tests of a checkout that need a device, in a process of their own.

    Raises
    ------
    ResourceError
        If there are none here, or they do not come to an end.
    """
    if not (root / "tests" / "kernels").is_dir():
        raise ResourceError("the tests are not here: run it in the root of a checkout")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
        command += [f"--junitxml={report}", "tests"]
        environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "0"}
        try:
            subprocess.run(
                command, cwd=root, env=environment, capture_output=True, check=False,
                timeout=_TESTS_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ResourceError(f"the tests did not end within {_TESTS_S:.0f} s") from None
        if not report.exists():
            raise ResourceError("the tests could not be started: pip install 'osong[dev]'")
        return _read_tests(report)


def _read_tests(report: Path) -> DeviceTests:
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [
        f"{case.get('classname')}.{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    n_skipped = sum(case.find("skipped") is not None for case in cases)
    return DeviceTests(
        n_passed=len(cases) - len(failed) - n_skipped,
        n_failed=len(failed),
        n_skipped=n_skipped,
        seconds=sum(float(case.get("time", 0.0)) for case in cases),
        failed=tuple(failed),
    )


def dock_beside(
    complexes: Sequence[Complex], settings: Settings, effort: str, say: Say
) -> tuple[list[SideBySide], list[Gap]]:
    """Dock each complex with the CPU and the device, the same seed and effort.

    Returns
    -------
    tuple
        The complexes that both docked, and why others were not.
    """
    found, gaps = [], []
    for complex_ in complexes:
        say(f"{complex_.name} by CPU and device")
        try:
            found.append(_dock_one_beside(complex_, settings, effort))
        except OsongError as error:
            reason = " ".join(str(error).split())
            gaps.append(Gap(what=f"{complex_.name} by CPU and device", reason=reason))
    return found, gaps


def _dock_one_beside(complex_: Complex, settings: Settings, effort: str) -> SideBySide:
    """Dock one complex with the CPU and the device.

    Raises
    ------
    OsongError
        It cannot be docked, or the device does not take it.
    """
    target = Target.from_file(receptor_pdbqt(complex_, settings.out), box=complex_.box)
    ligands = prepare_ligand(complex_.start, options=LigandOptions(ph=None))
    options: dict[str, Any] = {"effort": effort, "seed": settings.seed}
    best = DockingSession(target, threads=settings.cores, **options).dock(ligands)[0]
    poses = device_session(target, **options).dock_many([ligands])[0]
    if isinstance(poses, LigandError):
        raise poses
    if isinstance(poses, Misfit):
        raise ResourceError(f"the device does not take it: {poses.reason}")
    packed = ligands[0].packed
    return SideBySide(
        complex=complex_.name,
        n_atoms=packed.n_scored,
        n_torsions=packed.n_torsions,
        cpu_energy=best.energy,
        device_energy=poses[0].energy,
        cpu_rmsd=heavy_atom_rmsd(best.mol, complex_.crystal),
        device_rmsd=heavy_atom_rmsd(poses[0].mol, complex_.crystal),
    )


def device_session(target: Target, **options: Any) -> Any:
    """Return a session that docks on the device."""
    from osong.search.device_session import DeviceSession

    return DeviceSession(target, **options)


def rate_of(target: Target, settings: Settings, effort: str, n: int, say: Say) -> DeviceRate:
    """Return how fast the device docks ``n`` molecules that are prepared beforehand."""
    say(f"preparing {n:,} molecules")
    molecules = _molecules(settings, n)
    say(f"searching {n:,} molecules, effort {effort}")
    session = device_session(target, effort=effort, seed=settings.seed)
    ready_s, ready = _timed(lambda: session.ready(molecules))
    first_s, _ = _timed(lambda: session.search(ready))
    seconds, results = _timed(lambda: session.search(ready))
    return DeviceRate(
        effort=effort,
        n_molecules=len(molecules),
        n_failed=sum(isinstance(result, LigandError) for result in results),
        n_misfits=sum(isinstance(result, Misfit) for result in results),
        ready_s=ready_s,
        first_s=first_s,
        seconds=seconds,
    )


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    done = action()
    return time.perf_counter() - begin, done


def _molecules(settings: Settings, n: int) -> list[list[PreparedLigand]]:
    """Return prepared molecules of the shared library, or the drugs that come with Osong."""
    shared = settings.data / "library" / "moses_100k.smi.gz" if settings.data else None
    source = shared if shared is not None and shared.exists() else DRUGS
    found: list[list[PreparedLigand]] = []
    for record in read_records(source, stop=2 * n):
        if len(found) == n:
            break
        try:
            found.append(prepare_ligand(record.data, name=record.name))
        except LigandError:
            continue
    return found
