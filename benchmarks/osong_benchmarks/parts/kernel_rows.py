"""What the part of the kernels measures, as it is kept, and what follows from it."""

from __future__ import annotations

from typing import Final, Literal

from osong_benchmarks.part import PartModel, PartResult
from osong_benchmarks.roofs import Roofs

__all__ = [
    "ONE_LIGAND",
    "CompileRow",
    "KernelsResult",
    "LanesRow",
    "LigandRow",
    "RateRow",
    "StageRow",
    "WidthRow",
    "evaluation_s",
    "gflops",
    "shares",
]

ONE_LIGAND: Final = ("build_maps", "run_bit_networks")
"""Kernels whose work does not depend on the ligand: timed with the first only."""


class LigandRow(PartModel):
    """A ligand: heavy atoms, rotatable bonds, its own pairs, and those within the cutoff."""

    name: str
    n_atoms: int
    n_torsions: int
    n_pairs: int
    n_near_pairs: float


class RateRow(PartModel):
    """A kernel's call: CPU seconds, and how much work of what unit it does."""

    kernel: str
    ligand: str
    unit: str
    work: float
    seconds: float

    @property
    def rate(self) -> float:
        """Units of work a second."""
        return self.work / self.seconds


class CompileRow(PartModel):
    """CPU seconds that a first call takes longer: to compile, to load from the cache on disk."""

    kernel: str
    compile_s: float | None = None
    load_s: float | None = None


class LanesRow(PartModel):
    """CPU seconds for one pose when so many lanes of a vector are in use (``pose_energy``)."""

    ligand: str
    n_lanes: int
    seconds: float


class StageRow(PartModel):
    """A stage of an evaluation: CPU seconds, and operations and bytes by the counted model."""

    ligand: str
    stage: str
    seconds: float
    flops: float | None = None
    bytes: float | None = None


class WidthRow(PartModel):
    """CPU seconds of one evaluation when compiled for an instruction set."""

    instruction_set: str
    ligand: str
    seconds: float


class KernelsResult(PartResult):
    """What the part measured.

    Attributes
    ----------
    n_lanes
        Chains that advance together.
    pair_law
        Where chains take the energies of the ligand's own pairs from.
    box_angstrom
        Edge of the box of the grid build.
    grid_build_s
        CPU seconds for six maps of it.
    ligands, rates, compile, lanes, stages, widths
        Rows, see their classes.
    roofs
        What the processor can do at most, as measured.
    """

    n_lanes: int
    pair_law: Literal["table", "formula"]
    box_angstrom: float
    grid_build_s: float
    ligands: tuple[LigandRow, ...]
    rates: tuple[RateRow, ...]
    compile: tuple[CompileRow, ...]
    lanes: tuple[LanesRow, ...]
    stages: tuple[StageRow, ...]
    widths: tuple[WidthRow, ...]
    roofs: Roofs


def evaluation_s(result: KernelsResult) -> dict[str, float]:
    """Return seconds of an evaluation, by ligand."""
    return {row.ligand: 1.0 / row.rate for row in result.rates if row.kernel == "run_chains"}


def gflops(result: KernelsResult) -> dict[str, float]:
    """Return operations a nanosecond of whole evaluations, by ligand."""
    flops: dict[str, float] = {}
    for row in result.stages:
        flops[row.ligand] = flops.get(row.ligand, 0.0) + (row.flops or 0.0)
    return {
        ligand: 1e-9 * flops[ligand] / seconds
        for ligand, seconds in evaluation_s(result).items()
        if ligand in flops
    }


def shares(result: KernelsResult) -> dict[str, float]:
    """Return the share of the measured peak, by ligand."""
    return {name: rate / result.roofs.peak_gflops for name, rate in gflops(result).items()}
