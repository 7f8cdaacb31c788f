"""What kernels are timed on, and what the tests check them on: fixed ligands in a made-up pocket.

The calls are the library's own: a ligand is docked while every kernel call is recorded, arguments
and all, and replayed. Kernels that docking does not call are called on the same arrays.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, Final
from unittest import mock

import numpy as np

from osong import Box, LigandOptions, PreparedLigand, Target, prepare_ligand
from osong.atom_types import TYPE_INDEX
from osong.receptor.model import Receptor
from osong.scoring.functions import VINA
from osong.scoring.grid import GridMaps
from osong.search.session import DockingSession
from osong_benchmarks.bit_case import N_MOLECULES, bit_values
from osong_benchmarks.voxel_case import N_GRIDS, voxel_values
from osong_kernels.contract import KERNELS, Array, Kernel

__all__ = [
    "LIGANDS",
    "POCKET_EDGE",
    "Call",
    "KernelCase",
    "grid_build_s",
    "in_float64",
    "kernel_function",
    "made_ligand",
    "made_target",
    "make_case",
    "with_poses",
]

LIGANDS: Final = {
    "12_atoms": "CC(=O)Nc1ccc(OC)cc1",
    "22_atoms": "COc1ccc(CCNC(=O)c2ccc(F)cc2C)cc1C",
    "35_atoms": "CC(C)(C)c1nc(c(s1)-c1ccnc(N)n1)-c1cccc(NS(=O)(=O)c2c(F)cccc2F)c1F",
    "50_atoms": (
        "CC(C)c1nc(CN(C)C(=O)N[C@@H](C(C)C)C(=O)N[C@@H](Cc2ccccc2)C[C@H](O)"
        "[C@H](Cc2ccccc2)NC(=O)OCc2cncs2)cs1"
    ),
}
"""A fragment, a drug-like molecule, dabrafenib and ritonavir, by their heavy atoms."""

POCKET_EDGE: Final = {"smallest": 14.0, "quick": 30.0, "full": 30.0}
"""Angstrom: edges of the box, by the size of the run."""

_MAP_TYPES: Final = ("C_H", "C_P", "N_D", "N_A", "O_A", "O_DA")
"""The maps of the timed grid build: what most drugs need."""

_RESIDUE_MIX: Final = {"C_H": 0.40, "C_P": 0.25, "N_D": 0.16, "O_A": 0.16, "O_DA": 0.03}
"""Roughly the heavy atoms of a protein."""
_ATOM_SPACING: Final = 2.7  # angstrom: 20 cubic angstrom an atom, as inside proteins
_POCKET_RADIUS: Final = 8.0
_SURFACE_ANGSTROM: Final = 6.0  # above this plane there is solvent
_REACH: Final = 8.0
_SETTLED_CALLS: Final = 6
"""Calls of a kernel up to which the last is kept: chains have then left their random starts. Of
``build_maps`` the first is kept, which makes the maps that most ligands need."""
_N_POSES: Final = 256
_N_DISTINCT: Final = 64


@cache
def made_target(edge: float = 30.0) -> Target:
    """Return a made-up protein with a pocket at its surface, in a cubic box of ``edge`` angstrom.

    Atoms stand on a jittered lattice at a protein's density; the same on every machine.
    """
    rng = np.random.default_rng(20260101)
    reach = 23.0  # of the largest box, so that a small box has the same pocket
    ticks = np.arange(-reach, reach + 0.1, _ATOM_SPACING)
    points = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    points += rng.uniform(-0.4, 0.4, points.shape)
    kinds = rng.choice([TYPE_INDEX[name] for name in _RESIDUE_MIX], len(points),
                       p=list(_RESIDUE_MIX.values()))  # fmt: skip
    is_protein = (np.linalg.norm(points, axis=1) > _POCKET_RADIUS) & (
        points[:, 2] < _SURFACE_ANGSTROM
    )
    near = (np.abs(points) < 0.5 * edge + _REACH).all(axis=1)
    coords = points[is_protein & near].astype(np.float32)
    n = len(coords)
    text = np.full(n, "X")
    receptor = Receptor(
        coords, kinds[is_protein & near].astype(np.int8), np.zeros(n, np.float32), text, text,
        text, text, text, np.arange(n).astype(str),
    )  # fmt: skip
    return Target(receptor, Box((0.0, 0.0, 0.0), (edge, edge, edge)), "made up")


@cache
def made_ligand(name: str) -> PreparedLigand:
    """Return one of ``LIGANDS``, prepared as drawn."""
    return prepare_ligand(LIGANDS[name], name=name, options=LigandOptions(ph=None))[0]


def kernel_function(kernel: Kernel, backend: str = "cpu") -> Callable[..., Any]:
    """Return the function of a kernel."""
    function: Callable[..., Any] = getattr(
        import_module(f"osong_kernels.{backend}.{kernel.module}"), kernel.name
    )
    return function


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a kernel, to be replayed.

    Attributes
    ----------
    kernel
        Of the contract.
    arguments
        In its order, as they were before the call.
    work
        Units of work in the call.
    unit
        What is counted.
    first_s
        CPU seconds of the kernel's first call while this case was made: the first case of a
        process shows what compiling the kernel takes, or loading it from the cache.
    """

    kernel: Kernel
    arguments: tuple[Any, ...]
    work: float
    unit: str
    first_s: float = 0.0

    def fresh(self) -> tuple[Any, ...]:
        """Return the arguments, those that the kernel changes as copies."""
        return tuple(
            value if described.direction == "in" else _copy(value)
            for described, value in zip(self.kernel.arguments, self.arguments, strict=True)
        )

    def argument(self, name: str) -> Any:
        """Return an argument by its name in the contract."""
        return self.arguments[[a.name for a in self.kernel.arguments].index(name)]


@dataclass(frozen=True, eq=False)
class KernelCase:
    """A ligand in the pocket, with a call of every kernel.

    Attributes
    ----------
    name
        Of ``LIGANDS``.
    n_atoms, n_torsions, n_pairs
        Heavy atoms, rotatable bonds, and own pairs of the ligand.
    calls
        By kernel.
    missing
        Kernels of the contract that no call is known of.
    """

    name: str
    n_atoms: int
    n_torsions: int
    n_pairs: int
    calls: dict[str, Call]
    missing: tuple[str, ...] = ()


def _copy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple):
        return type(value)(*(_copy(part) for part in value))
    return value


class _Recorder:
    """Notes the arguments of kernels while they are called, and the time of their first call."""

    def __init__(self) -> None:
        self.arguments: dict[str, tuple[Any, ...]] = {}
        self.first_s: dict[str, float] = {}
        self._n_calls: dict[str, int] = {}

    def wrap(self, kernel: Kernel, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as the library is to see it."""

        def recorded(*arguments: Any) -> Any:
            n_calls = self._n_calls.get(kernel.name, 0)
            self._n_calls[kernel.name] = n_calls + 1
            if n_calls == 0 or (n_calls <= _SETTLED_CALLS and kernel.name != "build_maps"):
                self.arguments[kernel.name] = Call(kernel, arguments, 0, "").fresh()
            started = time.process_time()
            result = function(*arguments)
            self.first_s.setdefault(kernel.name, time.process_time() - started)
            return result

        return recorded


@contextmanager
def _recording() -> Iterator[_Recorder]:
    """Record every kernel call that the library makes, whichever module makes it."""
    recorder = _Recorder()
    modules = [m for name, m in sys.modules.items() if name.startswith("osong.") and m is not None]
    patches = [
        mock.patch.object(module, kernel.name, recorder.wrap(kernel, function))
        for kernel in KERNELS
        for function in (kernel_function(kernel),)
        for module in modules
        if getattr(module, kernel.name, None) is function
    ]
    for patch in patches:
        patch.start()
    try:
        yield recorder
    finally:
        for patch in patches:
            patch.stop()


def grid_build_s(edge: float) -> float:
    """Return the CPU seconds in which the maps that most drugs need are built, the best of three.

    Kernels must have been compiled before.
    """
    target = made_target(edge)
    taken = []
    for _ in range(3):
        maps = GridMaps(target.receptor, target.box, VINA)
        started = time.process_time()
        maps.ensure({TYPE_INDEX[t] for t in _MAP_TYPES})
        taken.append(time.process_time() - started)
    return min(taken)


def make_case(name: str, edge: float) -> KernelCase:
    """Dock a ligand of ``LIGANDS`` into the pocket and return its kernel calls."""
    ligand = made_ligand(name)
    with _recording() as recorder:
        target = made_target(edge)
        session = DockingSession(target, effort="fast")
        # maps of its own: a session may take those of an earlier one, and build none
        maps = GridMaps(target.receptor, target.box, session.scoring)
        maps.ensure({TYPE_INDEX[t] for t in _MAP_TYPES})
        session.dock([ligand])
    calls: dict[str, Call] = {}
    for kernel in KERNELS:
        if kernel.name in recorder.arguments:
            recorded = Call(kernel, recorder.arguments[kernel.name], 1.0, "calls")
            work, unit = _work(recorded)
            first = recorder.first_s[kernel.name]
            calls[kernel.name] = Call(kernel, recorded.arguments, work, unit, first)
    for made in _made_calls(calls):
        first = recorder.first_s.get(made.kernel.name) or _first_call(made)
        calls[made.kernel.name] = replace(made, first_s=first)
    return KernelCase(
        name,
        ligand.packed.n_scored,
        ligand.packed.n_torsions,
        len(ligand.packed.pairs),
        calls,
        tuple(kernel.name for kernel in KERNELS if kernel.name not in calls),
    )


def _first_call(call: Call) -> float:
    arguments = call.fresh()
    started = time.process_time()
    kernel_function(call.kernel)(*arguments)
    return time.process_time() - started


def _work(call: Call) -> tuple[float, str]:
    """Return how much a call does, and of what."""
    match call.kernel.name:
        case "build_maps":
            return float(call.argument("maps").size), "points"
        case "start_chains":
            return float(_n_lanes(call)), "chains"
        case "run_chains":
            return float(call.argument("n_ticks") * _n_lanes(call)), "evaluations"
        case "refine_poses":
            return float(len(call.argument("genotypes"))), "poses"
        case "receptor_terms":
            n = len(call.argument("coords")) * len(call.argument("receptor_coords"))
            return float(n), "pairs"
        case "ligand_terms":
            return float(len(call.argument("pairs"))), "pairs"
        case _:
            return 1.0, "calls"


def _n_lanes(call: Call) -> int:
    return int(call.argument("state").conformer.shape[-1])


def _made_calls(calls: dict[str, Call]) -> list[Call]:
    """Return calls of the kernels whose calls by the library say little, on its arrays."""
    rng = np.random.default_rng(7)
    if "run_chains" not in calls:
        return []
    search = calls["run_chains"]
    trial = search.argument("state").current
    genotypes = np.ascontiguousarray(np.resize(trial.T, (_N_POSES, len(trial))), np.float32)
    conformers = np.resize(search.argument("state").current_conformer, _N_POSES).astype(np.int32)
    n_atoms = len(search.argument("topology").map_index)
    values: dict[str, dict[str, Any]] = {
        "pose_energy": {
            **{a.name: search.argument(a.name) for a in search.kernel.arguments},
            "limit": search.argument("rules").limit,
            "genotypes": genotypes,
            "conformers": conformers,
            "energy": np.zeros((_N_POSES, 2), np.float32),
            "gradient": np.zeros((_N_POSES, genotypes.shape[1] - 1), np.float32),
            "coords": np.zeros((_N_POSES, n_atoms, 3), np.float32),
        },
        # all differ from all: every pair of poses is compared
        "pick_distinct": {
            "coords": rng.uniform(-15, 15, (_N_DISTINCT, n_atoms, 3)).astype(np.float32),
            "order": rng.permutation(_N_DISTINCT),
            "min_rmsd": 1.0,
            "chosen": np.zeros(_N_DISTINCT, np.int64),
        },
        "voxelise": voxel_values(
            *(
                calls["receptor_terms"].argument(name)
                for name in ("receptor_coords", "receptor_type", "coords", "atom_type")
            )
        ),
        "run_bit_networks": bit_values(),
    }
    work = {
        "pose_energy": (float(_N_POSES), "evaluations"),
        "pick_distinct": (0.5 * _N_DISTINCT * (_N_DISTINCT - 1), "RMSDs"),
        "voxelise": (float(N_GRIDS), "grids"),
        "run_bit_networks": (float(N_MOLECULES), "molecules"),
    }
    made = []
    for kernel in KERNELS:
        known = values.get(kernel.name, {})
        if known.keys() >= {a.name for a in kernel.arguments}:
            arguments = tuple(known[a.name] for a in kernel.arguments)
            made.append(Call(kernel, arguments, *work[kernel.name]))
    return made


def with_poses(call: Call, n_poses: int) -> Call:
    """Return a call of ``pose_energy`` for its first so many poses."""
    arguments = tuple(
        np.ascontiguousarray(value[:n_poses])
        if isinstance(described, Array) and described.dims[0] == "n_poses"
        else value
        for described, value in zip(call.kernel.arguments, call.arguments, strict=True)
    )
    return Call(call.kernel, arguments, float(n_poses), call.unit)


def in_float64(call: Call) -> tuple[Any, ...]:
    """Return the arguments as the reference takes them: float64 wherever the contract allows."""

    def widened(described: Any, value: Any) -> Any:
        if isinstance(described, Array) and "float64" in described.dtypes:
            return np.array(value, np.float64)
        return _copy(value) if described.direction != "in" else value

    return tuple(
        widened(described, value)
        for described, value in zip(call.kernel.arguments, call.arguments, strict=True)
    )
