"""The memory planner of the device search: batches that fit, made before anything is allocated.

A batch holds the state of all chains of all its ligands. What each ligand takes is known beforehand
from its shape, so a device never runs out of memory by what the search asks for, and a ligand that
fits in no batch is named with the reason instead of being left out. Ligands of like shape come
together: blocks of one launch then take the same shared memory and end at about the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "BatchPlan",
    "DeviceBatch",
    "LigandCost",
    "LigandShape",
    "Misfit",
    "SearchSize",
    "ligand_cost",
    "plan_batches",
]

_WORD: Final = 4
_TABLES: Final = 12 * 4 + 9 * 4 + 2 * 8 + 2 * 8
"""Bytes of a ligand's rows of sizes, rules, key and offsets."""
_CHAIN_SCALARS: Final = 10
_HEAD: Final = 2
_WARP: Final = 32
_USABLE: Final = 0.9
_KEPT_BYTES: Final = 128 * 2**20
"""The rest is for what the driver keeps to itself, and for rounding: a batch is some thirty arrays,
and large ones begin at multiples of 2 MiB."""
MAX_LIGANDS: Final = 1024
"""Beyond this a batch only grows: it has more chains than any device can have under way."""


@dataclass(frozen=True, order=True)
class LigandShape:
    """What decides how much memory and work a ligand is.

    Attributes
    ----------
    n_torsions, n_atoms, n_pairs, n_conformers
        Rotatable bonds, scored atoms, pairs within the ligand, geometries to choose from.
    """

    n_torsions: int
    n_atoms: int
    n_pairs: int
    n_conformers: int


@dataclass(frozen=True)
class SearchSize:
    """How many of each a ligand has on the device.

    Attributes
    ----------
    n_chains
        Search chains.
    pool_size
        Distinct minima that a chain remembers.
    n_refined
        Minima that go to the exact refinement.
    n_receptor
        Receptor atoms: each of these minima has a list of those near it.
    """

    n_chains: int
    pool_size: int = 8
    n_refined: int = 32
    n_receptor: int = 0


@dataclass(frozen=True)
class LigandCost:
    """What one ligand takes.

    Attributes
    ----------
    device_bytes
        Of device memory, with all its chains, from upload to download.
    shared_bytes
        Of shared memory, for one chain while it is advanced.
    """

    device_bytes: int
    shared_bytes: int


CostOf: TypeAlias = Callable[[LigandShape, SearchSize], LigandCost]


@dataclass(frozen=True)
class DeviceBatch:
    """Ligands that are searched together.

    Attributes
    ----------
    ligands
        Their positions in what was planned.
    n_bytes
        Device memory that they take.
    shared_bytes
        The most shared memory that a chain of theirs needs.
    """

    ligands: tuple[int, ...]
    n_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Misfit:
    """A ligand that fits in no batch; it is for the CPU.

    Attributes
    ----------
    ligand
        Its position in what was planned.
    reason
        What it needs and what there is.
    """

    ligand: int
    reason: str


@dataclass(frozen=True)
class BatchPlan:
    """Every ligand, once: in a batch, or among the misfits.

    Attributes
    ----------
    batches
        The largest ligands first: what takes longest should not begin last.
    misfits
        In the order given.
    """

    batches: tuple[DeviceBatch, ...]
    misfits: tuple[Misfit, ...]


def ligand_cost(shape: LigandShape, size: SearchSize) -> LigandCost:
    """Return what a ligand takes in the layout of ``osong_kernels.cuda.layout``.

    Flat arrays: nothing is padded to the largest of a batch.
    """
    n, n_segments = shape.n_atoms, 1 + shape.n_torsions
    genes, dof = 6 + n_segments, 5 + n_segments
    triangle = dof * (dof + 1) // 2
    topology = 3 * shape.n_conformers * (n + 2 * n_segments)
    topology += 3 * n + 2 * n_segments + 1 + dof + 2 * shape.n_pairs
    chain = 3 * genes + 2 * dof + triangle + _CHAIN_SCALARS
    minimum = 2 + genes + 3 * n
    # Each chain's pool, and its share of what the exchange finds distinct.
    chains = size.n_chains * (chain + size.pool_size * minimum + 1)
    # Of the batch all genotypes have the size of the largest, and ligands of a batch are alike.
    refined = size.n_refined * (2 * genes + 4 + size.n_receptor + _WARP)
    # While a pose is refined, which takes more than a chain in the search: coordinates, those for
    # which receptor atoms were listed, forces, frames of the segments, the matrix.
    shared = 9 * n + 18 * n_segments + 2 * genes + 5 * dof + triangle + _CHAIN_SCALARS + _HEAD
    return LigandCost(_TABLES + _WORD * (topology + chains + refined), _WORD * shared)


def plan_batches(
    shapes: Sequence[LigandShape],
    *,
    free_bytes: int,
    target_bytes: int,
    size: SearchSize,
    shared_limit: int = 48 * 1024,
    max_ligands: int = MAX_LIGANDS,
    cost_of: CostOf = ligand_cost,
) -> BatchPlan:
    """Cut ligands into batches that fit into a device's memory, one after the other.

    Parameters
    ----------
    shapes
        The ligands.
    free_bytes
        Device memory that is free before the target is there.
    target_bytes
        What the target takes: maps, receptor atoms, tables.
    size
        Chains, pools and minima of each ligand.
    shared_limit
        Shared memory that a block may have on this device, in bytes; a chain has to fit.
    max_ligands
        Ligands in a batch at most.
    cost_of
        What a ligand takes.

    Returns
    -------
    Batches of like numbers of ligands, as few as memory allows or one more, and the misfits.
    """
    room = min(int(free_bytes * _USABLE), free_bytes - _KEPT_BYTES) - target_bytes
    costs = [cost_of(shape, size) for shape in shapes]
    misfits = []
    fitting = []
    for k, cost in enumerate(costs):
        reason = _why_not(cost, room, shared_limit)
        if reason:
            misfits.append(Misfit(k, reason))
        else:
            fitting.append(k)
    fitting.sort(key=lambda k: (shapes[k], k), reverse=True)
    batches = _cut([(k, costs[k]) for k in fitting], room, max_ligands)
    return BatchPlan(tuple(batches), tuple(misfits))


def _why_not(cost: LigandCost, room: int, shared_limit: int) -> str:
    """Return why a ligand fits in no batch, "" where it fits in one of its own."""
    if cost.device_bytes > room:
        return (
            f"its search needs {_mib(cost.device_bytes)} of device memory and "
            f"{_mib(max(0, room))} are free beside the target"
        )
    if cost.shared_bytes > shared_limit:
        return (
            f"a chain of its search needs {cost.shared_bytes / 1024:.0f} KiB of shared memory and "
            f"the device has {shared_limit / 1024:.0f} KiB"
        )
    return ""


def _cut(
    ligands: Sequence[tuple[int, LigandCost]], room: int, max_ligands: int
) -> list[DeviceBatch]:
    """Cut ligands, each of which fits, into batches of like size."""
    total = sum(cost.device_bytes for _, cost in ligands)
    n_least = max(1, math.ceil(total / max(1, room)), math.ceil(len(ligands) / max_ligands))
    # A last batch of a few ligands would leave the device idle.
    n_even = min(max_ligands, max(1, math.ceil(len(ligands) / n_least)))
    batches: list[DeviceBatch] = []
    held: list[tuple[int, LigandCost]] = []
    n_bytes = 0
    for k, cost in ligands:
        if held and (len(held) == n_even or n_bytes + cost.device_bytes > room):
            batches.append(_batch(held, n_bytes))
            held, n_bytes = [], 0
        held.append((k, cost))
        n_bytes += cost.device_bytes
    if held:
        batches.append(_batch(held, n_bytes))
    return batches


def _batch(held: Sequence[tuple[int, LigandCost]], n_bytes: int) -> DeviceBatch:
    shared = max(cost.shared_bytes for _, cost in held)
    return DeviceBatch(tuple(k for k, _ in held), n_bytes, shared)


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"
