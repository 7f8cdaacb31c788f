"""The device: its tests, energies and success beside the CPU's, rates beside the predicted ones.

Runs only when it is asked for, with ``osong bench --gpu`` or ``--parts gpu``.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from osong.errors import OsongError, ResourceError
from osong_benchmarks.cases import made_target
from osong_benchmarks.complexes import read_complexes
from osong_benchmarks.cuda_model import DRUG_LIKE, device_named, evaluation_of, predict
from osong_benchmarks.cuda_report import compile_kernels, places_of, search_report
from osong_benchmarks.gpu_measure import (
    HIT_ANGSTROM,
    DeviceRate,
    DeviceTests,
    SideBySide,
    dock_beside,
    rate_of,
    run_tests,
    usable_device,
)
from osong_benchmarks.part import (
    Gap,
    Merit,
    PartModel,
    PartResult,
    Say,
    Section,
    Settings,
    Size,
    Table,
)
from osong_benchmarks.redock import choose

__all__ = ["GpuResult", "Predicted", "merits", "run", "section"]

_N_COMPLEXES: Final[dict[Size, int]] = {"smallest": 1, "quick": 12, "full": 62}
_N_MOLECULES: Final[dict[Size, int]] = {"smallest": 4, "quick": 200, "full": 2000}
_EFFORT: Final = "fast"
_EDGE: Final = 22.0


class Predicted(PartModel):
    """PREDICTION of the model (`osong_benchmarks.cuda_model`), not measured.

    Attributes
    ----------
    device
        Of the model's table.
    low, high
        Ligands a second that the search alone would do.
    """

    device: str
    low: float
    high: float


class GpuResult(PartResult):
    """What the part measured.

    Attributes
    ----------
    device
        Name, memory and compute capability.
    numba_cuda
        Version of what compiled the kernels.
    tests
        Outcome of the tests that need a device.
    effort
        Of every docking.
    complexes
        Docked by CPU and device.
    rate
        Of many molecules.
    predicted
        What the model said of this device; None where it knows none of that name.
    """

    device: str
    numba_cuda: str = ""
    tests: DeviceTests | None = None
    effort: str = _EFFORT
    complexes: tuple[SideBySide, ...] = ()
    rate: DeviceRate | None = None
    predicted: Predicted | None = None


def run(settings: Settings, say: Say) -> GpuResult:
    """Measure the first visible device.

    Raises
    ------
    ResourceError
        There is no device.
    """
    device = usable_device()
    gaps: list[Gap] = []
    tests, rate, predicted = None, None, None
    complexes: Sequence[SideBySide] = ()
    say("tests on the device")
    try:
        tests = run_tests(Path())
    except ResourceError as error:
        gaps.append(Gap(what="tests on the device", reason=str(error)))
    if settings.data is None or not (settings.data / "redock").is_dir():
        reason = "needs the shared complexes: give their folder with --data"
        gaps.append(Gap(what="energies and success beside the CPU", reason=reason))
    else:
        chosen = choose(read_complexes(settings.data), _N_COMPLEXES[settings.size])
        complexes, of_complexes = dock_beside(chosen, settings, _EFFORT, say)
        gaps += of_complexes
    try:
        rate = rate_of(made_target(_EDGE), settings, _EFFORT, _N_MOLECULES[settings.size], say)
    except OsongError as error:
        gaps.append(Gap(what="rate", reason=" ".join(str(error).split())))
    say("what the model says of this device")
    try:
        predicted = _predicted(device.name)
    except OsongError as error:
        gaps.append(Gap(what="prediction", reason=" ".join(str(error).split())))
    return GpuResult(
        device=str(device),
        numba_cuda=importlib.metadata.version("numba-cuda"),
        tests=tests,
        complexes=tuple(complexes),
        rate=rate,
        predicted=predicted,
        gaps=tuple(gaps),
    )


def _predicted(name: str) -> Predicted:
    device = device_named(name)
    if device is None:
        raise ResourceError(f"the model has no device like {name}")
    report = search_report(compile_kernels(device.architecture))
    evaluation = evaluation_of(places_of(device.architecture, report.name))
    low, high = predict(device, evaluation, report.occupancy.n_warps).ligands
    return Predicted(device=device.name, low=low, high=high)


def merits(result: GpuResult) -> dict[str, Merit]:
    """Return failed tests, the rate, the success and the energies."""
    found: dict[str, Merit] = {}
    if result.tests:
        found["gpu.failed_tests"] = Merit(
            value=result.tests.n_failed, unit="tests", is_higher_better=False, tolerance=0.0
        )
    if result.rate:
        found["gpu.ligands_per_second"] = Merit(
            value=result.rate.per_second, unit="ligands/s", is_higher_better=True
        )
    if result.complexes:
        n = len(result.complexes)
        hits = sum(each.device_rmsd <= HIT_ANGSTROM for each in result.complexes)
        mean = sum(each.device_energy for each in result.complexes) / n
        found["gpu.success"] = Merit(
            value=hits / n, unit="share", is_higher_better=True, tolerance=0.05
        )
        found["gpu.mean_best_energy"] = Merit(
            value=-mean, unit="kcal/mol below 0", is_higher_better=True, tolerance=0.02
        )
    return found


def section(result: GpuResult) -> Section:
    """Draw what the device did."""
    tables = [*_rate_tables(result), *_complex_tables(result)]
    return Section("GPU", _summary(result), (), tables, result.gaps)


def _summary(result: GpuResult) -> str:
    lines = [f"Device {result.device}; numba-cuda {result.numba_cuda}."]
    if result.tests:
        tests = result.tests
        lines.append(
            f"Its tests: {tests.n_passed} passed, {tests.n_failed} failed, {tests.n_skipped} "
            f"skipped, in {tests.seconds:.0f} s."
        )
        lines += [f"Failed: {', '.join(tests.failed)}."] if tests.failed else []
    if result.complexes:
        n = len(result.complexes)
        cpu = sum(each.cpu_rmsd <= HIT_ANGSTROM for each in result.complexes)
        device = sum(each.device_rmsd <= HIT_ANGSTROM for each in result.complexes)
        mean = sum(each.difference for each in result.complexes) / n
        lines.append(
            f"Best pose within {HIT_ANGSTROM:g} A of the crystal in {device} of {n} complexes, by "
            f"the CPU in {cpu}; its energy is {mean:+.3f} kcal/mol from the CPU's on average "
            f"(effort {result.effort})."
        )
    return " ".join(lines)


def _rate_tables(result: GpuResult) -> list[Table]:
    if result.rate is None:
        return []
    rate = result.rate
    rows: list[tuple[str, str | float]] = [
        ("molecules in one call, prepared beforehand", float(rate.n_molecules)),
        ("that could not be searched", float(rate.n_failed)),
        ("not taken by the device", float(rate.n_misfits)),
        ("their arrays, made on one core, s", rate.ready_s),
        ("first search, compilation and the target included, s", rate.first_s),
        ("second search, s", rate.seconds),
        ("ligands/s, measured", rate.per_second),
    ]
    if result.predicted:
        told = result.predicted
        rows.append(
            (
                f"ligands/s, PREDICTION of the search alone, {told.device}, {DRUG_LIKE.n_atoms} "
                "heavy atoms",
                f"{told.low:,.0f} to {told.high:,.0f}",
            )
        )
    return [Table(["effort " + rate.effort, ""], rows, "Rates of the device")]


def _complex_tables(result: GpuResult) -> list[Table]:
    if not result.complexes:
        return []
    header = [
        "complex", "heavy atoms", "torsions", "best energy, CPU", "best energy, device",
        "RMSD, CPU", "RMSD, device",
    ]  # fmt: skip
    rows: list[list[str | float | int]] = [
        [
            each.complex, each.n_atoms, each.n_torsions, each.cpu_energy, each.device_energy,
            each.cpu_rmsd, each.device_rmsd,
        ]
        for each in result.complexes
    ]  # fmt: skip
    return [Table(header, rows, "The same settings and seed; kcal/mol, angstrom from the crystal")]
