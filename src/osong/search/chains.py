"""Groups of lockstep chains of one ligand: memory, rounds, agreement, and what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from osong.box import Box
from osong.scoring.functions import ScoringFunction
from osong.scoring.kernel_ligand import KernelLigand
from osong.search.effort import Effort
from osong_kernels.arguments import ChainState, Field, SearchRules
from osong_kernels.cpu.distinct import pick_distinct
from osong_kernels.cpu.lanes import N_LANES
from osong_kernels.cpu.minimise import CURRENT_ENERGY, N_SCALARS
from osong_kernels.cpu.search import run_chains, start_chains

__all__ = [
    "BETTER_KCAL",
    "POOL_RMSD",
    "POOL_SIZE",
    "SEARCH_LIMIT_KCAL",
    "Minimum",
    "box_corners",
    "find_minima",
    "n_elite",
    "new_state",
    "search_key",
    "search_rules",
]

SEARCH_LIMIT_KCAL: Final = 10.0
"""Cap of a positive energy while searching."""
POOL_SIZE: Final = 8
"""Distinct minima that a chain remembers."""
POOL_RMSD: Final = 1.0
"""Minima closer than this, angstrom, are one."""
BETTER_KCAL: Final = 0.02
"""A round that finds nothing better by this counts as one in vain."""
_ELITE_PER_GROUP: Final = 4
_FEWEST_ELITE: Final = 6
_ROUNDS_TO_HALVE: Final = 2
Mapper = Callable[[Callable[[int], None], Iterable[int]], Iterator[Any]]


@dataclass(frozen=True, eq=False)
class Minimum:
    """A local minimum on the grid: energy (kcal/mol, unscaled), genotype and conformer."""

    energy: float
    genotype: npt.NDArray[np.float32]
    conformer: int
    coords: npt.NDArray[np.float32]


def search_key(seed: int, ligand_key: bytes) -> npt.NDArray[np.uint64]:
    """Return the (2,) uint64 key, 32 bits a word, of a ligand's random numbers."""
    digest = blake2b(
        ligand_key, digest_size=8, key=(seed & (2**64 - 1)).to_bytes(8, "little")
    ).digest()
    return np.frombuffer(digest, "<u4").astype(np.uint64)


def search_rules(ligand: KernelLigand, *, limit: float = SEARCH_LIMIT_KCAL) -> SearchRules:
    """Return how the chains of a ligand move.

    Temperature, cap and move are Vina's. Local optimisations run until they have converged, or are
    given up early when hopeless (docs/adr/0007).
    """
    coords = ligand.topology.local[0] + ligand.pivots[0][_segments(ligand)]
    spread = coords - coords.mean(axis=0)
    gyration = float(np.sqrt((spread**2).sum(axis=1).mean()))
    return SearchRules(
        temperature=1.2,
        limit=limit,
        max_iterations=25 + len(ligand.order),
        tolerance=2e-3,
        prune_iteration=3,
        prune_gap=20.0,
        move=2.0,
        gyration=max(gyration, 0.5),
        pool_rmsd=POOL_RMSD,
    )


def _segments(ligand: KernelLigand) -> npt.NDArray[np.int64]:
    counts = np.diff(ligand.topology.segment_start)
    return np.repeat(np.arange(len(counts)), counts)


def new_state(ligand: KernelLigand) -> ChainState:
    """Return memory for sixteen chains of a ligand."""
    n, n_segments, lanes = len(ligand.order), len(ligand.topology.parent), N_LANES
    genes, dof = 6 + n_segments, 5 + n_segments

    def floats(*shape: int) -> npt.NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    def integers(*shape: int) -> npt.NDArray[np.int32]:
        return np.zeros(shape, np.int32)

    return ChainState(
        local=floats(n, 3, lanes),
        axis=floats(n_segments, 3, lanes),
        offset=floats(n_segments, 3, lanes),
        trial=floats(genes, lanes),
        base=floats(genes, lanes),
        current=floats(genes, lanes),
        direction=floats(dof, lanes),
        base_gradient=floats(dof, lanes),
        hessian=floats(dof * (dof + 1) // 2, lanes),
        scalars=floats(N_SCALARS, lanes),
        conformer=integers(lanes),
        current_conformer=integers(lanes),
        step=integers(lanes),
        pool_energy=floats(lanes, POOL_SIZE),
        pool_genotype=floats(lanes, POOL_SIZE, genes),
        pool_conformer=integers(lanes, POOL_SIZE),
        pool_coords=floats(lanes, POOL_SIZE, n, 3),
    )


def find_minima(
    ligand: KernelLigand,
    field: Field,
    box: Box,
    scoring: ScoringFunction,
    effort: Effort,
    key: npt.NDArray[np.uint64],
    mapper: Mapper = map,
) -> list[Minimum]:
    """Search and return the distinct minima found, best first.

    ``mapper`` runs the groups of a round (``map``, or a thread pool's): groups are independent,
    so the result is the same.
    """
    states = [new_state(ligand) for _ in range(effort.n_groups)]
    rules = search_rules(ligand)
    table = scoring.pair_table(rules.limit)
    low, high = box_corners(box)
    n_ticks = effort.ticks(len(ligand.topology.parent) - 1, len(ligand.order))

    def start(g: int) -> None:
        start_chains(ligand.topology, key, g * N_LANES, low, high, states[g])

    def advance(g: int) -> None:
        run_chains(
            ligand.topology, ligand.pairs, field, table, rules, key, g * N_LANES, n_ticks,
            states[g],
        )  # fmt: skip

    groups = range(effort.n_groups)
    list(mapper(start, groups))
    best, since = np.inf, 0
    for done in range(effort.max_rounds):
        list(mapper(advance, groups))
        found = min(float(state.pool_energy[:, 0].min()) for state in states)
        since = 0 if found < best - BETTER_KCAL else since + 1
        best = min(best, found)
        if since >= effort.patience:
            break
        _exchange(states, done)
    return _distinct(states, effort.n_refined)


def n_elite(n_groups: int, done: int) -> int:
    """Return how many distinct minima chains go on from, after so many rounds: ever fewer."""
    return max(_FEWEST_ELITE, (_ELITE_PER_GROUP * n_groups) >> (done // _ROUNDS_TO_HALVE))


def _exchange(states: Sequence[ChainState], done: int) -> None:
    """Send the worse half of the chains on from the best distinct minima that any chain has found.

    From many minima at first, from few later. Every fourth group takes no part, so that new regions
    keep being found.
    """
    elite = _distinct(states, n_elite(len(states), done))
    if not elite:
        return
    n_sent = N_LANES // 2
    for g, state in enumerate(states):
        if g % 4 == 3:
            continue
        current = state.scalars[CURRENT_ENERGY]
        worst = np.argsort(current, kind="stable")[::-1][:n_sent]
        for k, lane in enumerate(worst):
            chosen = elite[(7 * done + n_sent * g + k) % len(elite)]
            if chosen.energy < current[lane]:
                current[lane] = chosen.energy
                state.current[:, lane] = chosen.genotype
                state.current_conformer[lane] = chosen.conformer


def box_corners(box: Box) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the low and the high corner of a box, each (3,), angstrom."""
    center, size = np.array(box.center, np.float64), np.array(box.size, np.float64)
    return center - 0.5 * size, center + 0.5 * size


def _distinct(states: Sequence[ChainState], n_wanted: int) -> list[Minimum]:
    energy = np.concatenate([s.pool_energy.reshape(-1) for s in states])
    genotype = np.concatenate([s.pool_genotype.reshape(-1, s.base.shape[0]) for s in states])
    conformer = np.concatenate([s.pool_conformer.reshape(-1) for s in states])
    coords = np.concatenate([s.pool_coords.reshape(-1, *s.local.shape[:2]) for s in states])
    order = np.argsort(energy, kind="stable")
    order = order[np.isfinite(energy[order])]
    chosen = np.empty(n_wanted, np.int64)
    n_chosen = pick_distinct(coords, order, POOL_RMSD, chosen)
    return [
        Minimum(float(energy[k]), genotype[k].copy(), int(conformer[k]), coords[k].copy())
        for k in chosen[:n_chosen]
    ]
