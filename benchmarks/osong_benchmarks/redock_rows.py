"""Rows of the redocking benchmark, and what follows from them program by program, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydantic import Field

from osong_benchmarks.part import PartModel
from osong_benchmarks.redock_programs import PROGRAMS
from osong_benchmarks.statistics import RatioOfTimes, sign_test, wilson_interval

__all__ = [
    "ENERGY_MARGIN",
    "NEAR_ANGSTROM",
    "STAGES",
    "Docking",
    "Energies",
    "Rescored",
    "Standing",
    "complexes_of_all",
    "discordant",
    "energies_against",
    "pairs",
    "programs_of",
    "ratio",
    "standings",
]

NEAR_ANGSTROM: Final = 2.0
"""A pose this near the crystal is a success."""
ENERGY_MARGIN: Final = 0.1
"""Kcal/mol; best energies are as good as another's up to this."""
STAGES: Final = {
    "dock": ("dock",),
    "maps + dock": ("maps", "dock"),
    "prepare + maps + dock": ("prepare", "maps", "dock"),
}
"""Sums of stages that are compared. The second is the usual one: Rustina's grids are inside its
docking, and the conformer that peers start from is given to them."""


class Rescored(PartModel):
    """Energy of a program's best pose by one program with one typing, kcal/mol."""

    total: float
    inter: float
    intra: float

    @property
    def searched(self) -> float:
        """What a search minimises (inter + intra), scaled as the total is by torsions."""
        return (self.inter + self.intra) * (self.total / self.inter if self.inter else 1.0)


class Docking(PartModel):
    """One complex docked by one program.

    Attributes
    ----------
    complex, program, engine, family
        What was docked; with what; see `Program`.
    started
        When, so that one can see what ran side by side.
    version
        Of the program.
    cpu
        CPU seconds by stage.
    energies
        As the program reports them, kcal/mol, best first.
    rmsd
        Of the first three poses, angstrom, heavy atoms, symmetry-corrected.
    rescored
        The best pose's energy; None where the docking failed.
    n_heavy, n_conformers
        Heavy atoms; reference geometries that Osong chose among.
    error
        Why there is no pose; empty where there is.
    """

    complex: str
    program: str
    engine: str
    family: str
    started: str = ""
    version: str = ""
    cpu: dict[str, float] = Field(default_factory=dict)
    energies: tuple[float, ...] = ()
    rmsd: tuple[float, ...] = ()
    rescored: Rescored | None = None
    n_heavy: int = 0
    n_conformers: int = 1
    error: str = ""

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Docking:
        """Return what a line of the file of results says."""
        known = {name: row[name] for name in cls.model_fields if name in row}
        return cls(**known)

    def seconds(self, stages: str = "maps + dock") -> float:
        """Return CPU seconds of a sum of stages."""
        return sum(self.cpu.get(stage, 0.0) for stage in STAGES[stages])

    @property
    def best(self) -> Rescored:
        """The best pose's energy."""
        if self.rescored is None:
            raise ValueError(f"{self.complex} {self.program}: was not docked")
        return self.rescored


@dataclass(frozen=True)
class Standing:
    """One program over the complexes that all programs docked.

    Attributes
    ----------
    program, engine, family
        Which.
    n
        Complexes.
    n_top1, n_top3
        Those whose first pose, or one of the first three, is near the crystal.
    cpu_mean, cpu_median
        CPU seconds a ligand of maps and docking.
    cpu_all_mean
        The same with preparation.
    energy_mean
        Of the best pose, rescored, kcal/mol.
    rmsd_median
        Of the first pose, angstrom.
    """

    program: str
    engine: str
    family: str
    n: int
    n_top1: int
    n_top3: int
    cpu_mean: float
    cpu_median: float
    cpu_all_mean: float
    energy_mean: float
    rmsd_median: float

    @property
    def success(self) -> float:
        """Share of complexes whose first pose is near the crystal."""
        return self.n_top1 / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of that share, 95 %."""
        return wilson_interval(self.n_top1, self.n)


@dataclass(frozen=True)
class Energies:
    """One program's best energies beside another's, complex by complex, kcal/mol.

    Attributes
    ----------
    reported, rescored, searched
        Differences (negative: better), as reported, rescored, and of inter + intra rescored.
    other
        The other's rescored energies.
    names
        The complexes.
    """

    reported: np.ndarray
    rescored: np.ndarray
    searched: np.ndarray
    other: np.ndarray
    names: tuple[str, ...]


def programs_of(dockings: Sequence[Docking]) -> list[str]:
    """Return the programs that docked anything, in the order of `PROGRAMS`."""
    found = dict.fromkeys(d.program for d in dockings if not d.error)
    known = [program.name for program in PROGRAMS if program.name in found]
    return known + [name for name in found if name not in known]


def complexes_of_all(dockings: Sequence[Docking]) -> list[str]:
    """Return the complexes that every program docked: only they are compared."""
    docked = [
        {d.complex for d in dockings if d.program == program and not d.error}
        for program in programs_of(dockings)
    ]
    shared = set.intersection(*docked) if docked else set()
    return [name for name in dict.fromkeys(d.complex for d in dockings) if name in shared]


def standings(dockings: Sequence[Docking]) -> list[Standing]:
    """Return every program's standing over the complexes that all of them docked."""
    shared = set(complexes_of_all(dockings))
    if not shared:
        return []
    return [
        _standing([d for d in dockings if d.program == program and d.complex in shared])
        for program in programs_of(dockings)
    ]


def _standing(mine: Sequence[Docking]) -> Standing:
    return Standing(
        program=mine[0].program,
        engine=mine[0].engine,
        family=mine[0].family,
        n=len(mine),
        n_top1=sum(d.rmsd[0] <= NEAR_ANGSTROM for d in mine),
        n_top3=sum(min(d.rmsd) <= NEAR_ANGSTROM for d in mine),
        cpu_mean=float(np.mean([d.seconds() for d in mine])),
        cpu_median=float(np.median([d.seconds() for d in mine])),
        cpu_all_mean=float(np.mean([d.seconds("prepare + maps + dock") for d in mine])),
        energy_mean=float(np.mean([d.best.total for d in mine])),
        rmsd_median=float(np.median([d.rmsd[0] for d in mine])),
    )


def pairs(dockings: Sequence[Docking], program: str, other: str) -> list[tuple[Docking, Docking]]:
    """Return what both programs docked, of the complexes that all programs docked."""
    shared = complexes_of_all(dockings)
    by_name = {(d.complex, d.program): d for d in dockings}
    return [
        (by_name[name, program], by_name[name, other])
        for name in shared
        if (name, program) in by_name and (name, other) in by_name
    ]


def ratio(
    dockings: Sequence[Docking], program: str, other: str, stages: str = "maps + dock"
) -> RatioOfTimes:
    """Return how many times the other's CPU time is the program's."""
    both = pairs(dockings, program, other)
    return RatioOfTimes.of(
        [a.seconds(stages) for a, _ in both], [b.seconds(stages) for _, b in both]
    )


def energies_against(dockings: Sequence[Docking], program: str, other: str) -> Energies:
    """Return a program's best energies beside another's.

    Parameters
    ----------
    dockings
        Of all programs.
    program, other
        Names.
    """
    both = pairs(dockings, program, other)
    return Energies(
        reported=np.array([a.energies[0] - b.energies[0] for a, b in both]),
        rescored=np.array([a.best.total - b.best.total for a, b in both]),
        searched=np.array([a.best.searched - b.best.searched for a, b in both]),
        other=np.array([b.best.total for _, b in both]),
        names=tuple(a.complex for a, _ in both),
    )


def discordant(dockings: Sequence[Docking], program: str, other: str) -> tuple[int, int, float]:
    """Return complexes that only the program, and only the other, got right, and a probability.

    It is that of so uneven a split by chance: McNemar's exact test, two-sided.
    """
    right = [
        (a.rmsd[0] <= NEAR_ANGSTROM, b.rmsd[0] <= NEAR_ANGSTROM)
        for a, b in pairs(dockings, program, other)
    ]
    only_program = sum(a and not b for a, b in right)
    only_other = sum(b and not a for a, b in right)
    return only_program, only_other, sign_test(only_program, only_other)
