"""The machine: what it says of itself, and its peaks as measured by Osong's own vector code.

This makes numbers of another machine comparable. How each peak is measured, and how to know that it
is sound, stands in `osong_benchmarks.peaks`.
"""

from __future__ import annotations

import platform
import time
from typing import Any, Final

import llvmlite.binding
import psutil

from osong.machine import usable_cores, usable_memory
from osong_benchmarks import peaks
from osong_benchmarks.machine_facts import (
    Cache,
    Gpu,
    caches,
    gpus,
    operating_system,
    packages,
    physical_cores,
    vector_features,
)
from osong_benchmarks.part import (
    Figure,
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
from osong_benchmarks.results import processor_name
from osong_kernels.cpu.lanes import N_LANES

__all__ = ["HardwareResult", "Level", "facts", "merits", "run", "section"]

_SECONDS: Final[dict[Size, float]] = {"smallest": 0.002, "quick": 0.04, "full": 0.4}
_USUAL_CACHES: Final = {"L1": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}
_TIMES_LAST_CACHE: Final = 4
_SMALLEST_MEMORY: Final = 48 << 20
_SHARE_OF_MEMORY: Final = 8
_GIGA: Final = 1e9
_BUSY: Final = 0.5
"""Others' load per core from which on numbers of all cores say more of them than of the machine."""


class Level(PartModel):
    """One level of memory as one core sees it.

    Attributes
    ----------
    name
        ``"L1"``, ``"L2"``, ``"L3"`` or ``"memory"``.
    n_bytes
        Size of the table that was read: half of a cache, several times the last one for memory.
    read_bytes_per_s
        Reading in order.
    gathers_per_s
        8-byte loads at random places, as the field lookup makes them.
    """

    name: str
    n_bytes: int
    read_bytes_per_s: float
    gathers_per_s: float


class HardwareResult(PartResult):
    """The machine.

    Attributes
    ----------
    cpu, architecture, llvm_cpu
        The processor's model; its instruction set; the core that LLVM compiles for.
    cores_usable, cores_physical, processors
        What this process may use; what the machine has, hyper-threads counted once, and as threads.
    memory_bytes, memory_usable_bytes
        Of the machine, and what this process may use.
    caches, gpus, vector_features
        As the system and LLVM tell.
    vector_bits, n_lanes
        Width of the registers that Osong's lane vectors are computed in; lanes of a vector.
    operating_system, python, packages
        Versions.
    load_before
        Processes that ran or waited in the minute before; well above 0 means a busy machine.
    compile_s
        CPU seconds to compile the loops that measured this.
    clock_hz
        Cycles a second while one core computes.
    fma_one_core, fma_all_cores
        float32 operations a second; a multiply-add is two. ``all`` is as many as were asked for.
    cores_measured
        How many those were.
    triad_one_core, triad_all_cores
        Bytes a second between memory and cores, three transfers an element.
    levels
        Reading and gathering, level by level.
    """

    cpu: str
    architecture: str
    llvm_cpu: str
    cores_usable: int
    cores_physical: int
    processors: int
    memory_bytes: int
    memory_usable_bytes: int
    caches: tuple[Cache, ...]
    gpus: tuple[Gpu, ...]
    vector_features: tuple[str, ...]
    vector_bits: int
    n_lanes: int
    operating_system: str
    python: str
    packages: dict[str, str]
    load_before: float
    compile_s: float
    clock_hz: float
    fma_one_core: float
    fma_all_cores: float
    cores_measured: int
    triad_one_core: float
    triad_all_cores: float
    levels: tuple[Level, ...]

    @property
    def operations_per_cycle(self) -> float:
        """float32 operations a cycle of one core."""
        return self.fma_one_core / self.clock_hz


def run(settings: Settings, say: Say) -> HardwareResult:
    """Measure the machine."""
    seconds = _SECONDS[settings.size]
    cores = settings.cores
    load = psutil.getloadavg()[0]
    say("compiling the loops")
    compile_s = _compile()
    found_caches, found_gpus = caches(), gpus()
    say("clock and multiply-adds")
    clock = peaks.clock_hz(seconds)
    fma_one = peaks.fma_peak(seconds)
    fma_all = peaks.fma_peak(seconds, cores) if cores > 1 else fma_one
    sizes = _table_sizes(found_caches, settings.size)
    levels = []
    for name, n_bytes in sizes.items():
        say(f"reading and gathering: {name}")
        levels.append(
            Level(
                name=name,
                n_bytes=n_bytes,
                read_bytes_per_s=peaks.read_bandwidth(n_bytes, seconds),
                gathers_per_s=peaks.gather_rate(n_bytes, seconds),
            )
        )
    say("memory bandwidth")
    triad_one = peaks.triad_bandwidth(sizes["memory"], seconds)
    triad_all = peaks.triad_bandwidth(sizes["memory"], seconds, cores) if cores > 1 else triad_one
    return HardwareResult(
        cpu=processor_name(),
        architecture=platform.machine(),
        llvm_cpu=llvmlite.binding.get_host_cpu_name(),
        cores_usable=usable_cores(),
        cores_physical=physical_cores(),
        processors=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        memory_usable_bytes=usable_memory(),
        caches=found_caches,
        gpus=found_gpus,
        vector_features=vector_features(),
        vector_bits=peaks.vector_bits(),
        n_lanes=N_LANES,
        operating_system=operating_system(),
        python=platform.python_version(),
        packages=packages(),
        load_before=load,
        compile_s=compile_s,
        clock_hz=clock,
        fma_one_core=fma_one,
        fma_all_cores=fma_all,
        cores_measured=cores,
        triad_one_core=triad_one,
        triad_all_cores=triad_all,
        levels=tuple(levels),
        gaps=_gaps(found_caches, found_gpus),
    )


def _compile() -> float:
    """Run every loop once, as short as can be; return the CPU seconds that took."""
    started = time.process_time()
    moment = 1e-6
    peaks.clock_hz(moment)
    peaks.fma_peak(moment)
    peaks.read_bandwidth(1 << 12, moment)
    peaks.gather_rate(1 << 12, moment)
    peaks.triad_bandwidth(1 << 12, moment)
    return time.process_time() - started


def _table_sizes(found: tuple[Cache, ...], size: Size) -> dict[str, int]:
    """Return for each level of memory how large a table to read, smallest first."""
    data = {f"L{cache.level}": cache.n_bytes for cache in found if cache.kind != "instruction"}
    data = dict(sorted(data.items())) or _USUAL_CACHES
    sizes = {name: n_bytes // 2 for name, n_bytes in data.items()}
    memory = _SMALLEST_MEMORY
    if size != "smallest":
        memory = max(memory, _TIMES_LAST_CACHE * max(data.values()))
    return sizes | {"memory": min(memory, usable_memory() // _SHARE_OF_MEMORY)}


def _gaps(found: tuple[Cache, ...], found_gpus: tuple[Gpu, ...]) -> tuple[Gap, ...]:
    gaps = []
    if not found:
        gaps.append(
            Gap(what="cache sizes", reason="this system does not tell; usual ones were measured")
        )
    if not found_gpus:
        gaps.append(Gap(what="GPU", reason="no NVIDIA driver (nvidia-smi) or no GPU here"))
    return tuple(gaps)


def merits(result: HardwareResult) -> dict[str, Merit]:
    """Return the peaks."""
    found = {
        "hardware.clock": (result.clock_hz / _GIGA, "GHz"),
        "hardware.fma_peak.one_core": (result.fma_one_core / _GIGA, "Gflop/s"),
        "hardware.fma_peak.all_cores": (result.fma_all_cores / _GIGA, "Gflop/s"),
        "hardware.triad.one_core": (result.triad_one_core / _GIGA, "GB/s"),
        "hardware.triad.all_cores": (result.triad_all_cores / _GIGA, "GB/s"),
    }
    for level in result.levels:
        found[f"hardware.read.{level.name}"] = (level.read_bytes_per_s / _GIGA, "GB/s")
        found[f"hardware.gather.{level.name}"] = (level.gathers_per_s / 1e6, "M loads/s")
    return {
        name: Merit(value=value, unit=unit, is_higher_better=True, tolerance=0.15)
        for name, (value, unit) in found.items()
    }


def section(result: HardwareResult) -> Section:
    """Draw the machine."""
    gpu = ", ".join(g.name for g in result.gpus) or "no GPU"
    summary = (
        f"{result.cores_usable} usable of {result.cores_physical} cores at "
        f"{result.clock_hz / _GIGA:.2f} GHz ({result.llvm_cpu}), {result.vector_bits}-bit vectors, "
        f"{_size(result.memory_bytes)} of memory, {gpu}."
    )
    if result.load_before > _BUSY * result.cores_usable:
        summary += (
            f" The machine was busy with other things (load {result.load_before:.1f}): numbers of "
            "several cores are too low."
        )
    return Section(
        title="Hardware",
        summary=summary,
        figures=_figures(result),
        tables=(_peaks_table(result), _levels_table(result), _facts_table(result)),
        gaps=result.gaps,
    )


def _peaks_table(result: HardwareResult) -> Table:
    all_cores = f"{result.cores_measured} cores"
    rows: list[tuple[str, str, str]] = [
        (
            "multiply-adds in float32",
            f"{result.fma_one_core / _GIGA:.1f} Gflop/s",
            f"{result.fma_all_cores / _GIGA:.1f} Gflop/s",
        ),
        ("... a cycle", f"{result.operations_per_cycle:.1f} flop", ""),
        (
            "memory, triad",
            f"{result.triad_one_core / _GIGA:.1f} GB/s",
            f"{result.triad_all_cores / _GIGA:.1f} GB/s",
        ),
    ]
    if result.cores_measured == 1:
        return Table(("peak as measured", "one core"), [row[:2] for row in rows], "Peaks")
    return Table(("peak as measured", "one core", all_cores), rows, "Peaks")


def _levels_table(result: HardwareResult) -> Table:
    rows = [
        (
            level.name,
            _size(level.n_bytes),
            f"{level.read_bytes_per_s / _GIGA:.1f}",
            f"{level.read_bytes_per_s / result.clock_hz:.1f}",
            f"{level.gathers_per_s / 1e6:,.0f}",
            f"{1e9 / level.gathers_per_s:.2f}",
        )
        for level in result.levels
    ]
    header = ("level", "table read", "GB/s", "bytes a cycle", "million gathers/s", "ns a gather")
    return Table(header, rows, "Levels of memory, one core; a gather is 8 bytes at a random place")


def facts(result: HardwareResult) -> list[tuple[str, str]]:
    """Return what the machine and its versions are, in words."""
    return [
        ("processor", f"{result.cpu} ({result.architecture}; LLVM: {result.llvm_cpu})"),
        (
            "cores",
            f"{result.cores_usable} usable, {result.cores_physical} cores with "
            f"{result.processors} threads in the machine",
        ),
        ("caches", "; ".join(_cache(cache) for cache in result.caches) or "not told"),
        (
            "vectors",
            f"{result.vector_bits} bits used, {result.n_lanes} lanes; "
            f"{', '.join(result.vector_features) or 'no extension found'}",
        ),
        ("memory", f"{_size(result.memory_bytes)}, usable {_size(result.memory_usable_bytes)}"),
        ("GPU", "; ".join(_gpu(gpu) for gpu in result.gpus) or "none"),
        ("system", result.operating_system),
        ("Python", result.python),
        ("packages", ", ".join(f"{name} {found}" for name, found in result.packages.items())),
    ]


def _facts_table(result: HardwareResult) -> Table:
    rows = [
        *facts(result),
        ("compiling the loops above", f"{result.compile_s:.1f} CPU s"),
        ("load of the minute before", f"{result.load_before:.1f}"),
    ]
    return Table(("what", "here"), rows, "Machine and versions")


def _cache(cache: Cache) -> str:
    shared = f" for {cache.n_sharing} threads" if cache.n_sharing > 1 else ""
    return f"L{cache.level} {cache.kind} {_size(cache.n_bytes)}{shared}"


def _gpu(gpu: Gpu) -> str:
    return (
        f"{gpu.name}, {_size(gpu.memory_bytes)}, compute capability {gpu.compute_capability}, "
        f"driver {gpu.driver}"
    )


def _size(n_bytes: int) -> str:
    """Return a size in the unit that suits it.

    >>> _size(32 << 10), _size(24 << 30), _size(1536 << 10)
    ('32 KiB', '24 GiB', '1.5 MiB')
    """
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{n_bytes} bytes"


def _figures(result: HardwareResult) -> list[Figure]:
    """Return bars of reading and of gathering, level by level."""
    names = [level.name for level in result.levels]
    read = [level.read_bytes_per_s / _GIGA for level in result.levels]
    gathers = [level.gathers_per_s / 1e6 for level in result.levels]
    return [
        Figure(
            _bars(names, read, "GB/s, one core", 0),
            "Reading a table in order, by the level of memory that holds it.",
        ),
        Figure(
            _bars(names, gathers, "million 8-byte loads a second, one core", 2),
            "Loads at random places, as the field lookup makes them: what bounds an evaluation "
            "whose grid does not stay in a near cache.",
        ),
    ]


def _bars(names: list[str], values: list[float], label: str, colour: int) -> str:
    from osong_benchmarks.report.style import INK, SERIES, new_figure, to_svg

    figure, axes = new_figure(6.4, 0.9 + 0.42 * len(names))
    places: Any = range(len(names))
    axes.barh(places, values, height=0.62, color=SERIES[colour])
    for place, value in zip(places, values, strict=True):
        text = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
        axes.annotate(
            text, (value, place), (4, 0), textcoords="offset points", va="center", color=INK
        )
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set(xlabel=label, xlim=(0, 1.15 * max(values)))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return to_svg(figure)
