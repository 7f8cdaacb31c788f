"""The search of a whole batch of ligands: rounds, exchange, refinement, in one stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from osong_kernels.arguments import PairTable, SearchRules
from osong_kernels.cuda.chains import run_chains_by_table, start_chains_of
from osong_kernels.cuda.compile import IS_SIMULATED
from osong_kernels.cuda.device_memory import empty
from osong_kernels.cuda.exchange import exchange_chains, gather_minima, shared_bytes
from osong_kernels.cuda.layout import DeviceField, LigandInput, pack_ligands, warp_words
from osong_kernels.cuda.receptor import DeviceReceptor
from osong_kernels.cuda.refine import list_words, refine_poses_of, refine_words
from osong_kernels.cuda.staging import copies_through
from osong_kernels.cuda.warp import LANES
from osong_kernels.physics.pair_terms import PairWeights

__all__ = ["SHARED_ROOM", "BatchRules", "DeviceTarget", "Refined", "search_batch"]

_WARPS: Final = 1 if IS_SIMULATED else 4
"""Warps of a block: chains of one ligand, which share the table of its pairs."""
_START_THREADS: Final = 128
SHARED_ROOM: Final = 48 * 1024 - 4 * 512
"""Shared memory that the chains of a block may have without asking, beside the table of pairs;
those of larger ligands stand alone in theirs. Bytes."""


class DeviceTarget(NamedTuple):
    """What all ligands of a target share, in the device's memory.

    Attributes
    ----------
    field
        The receptor's field, with the maps of all types of atoms that come.
    table
        The pairs' energies, capped as in the search.
    receptor
        Receptor atoms and the box, for the refinement.
    weights
        In single precision, for the refinement.
    low, high
        (3,) float32, angstrom: corners of the box.
    """

    field: DeviceField
    table: PairTable
    receptor: DeviceReceptor
    weights: PairWeights
    low: Any
    high: Any


@dataclass(frozen=True)
class BatchRules:
    """How much search every ligand of a batch gets; see ``osong.search.effort``.

    Attributes
    ----------
    n_chains
        Chains of a ligand; a multiple of sixteen.
    max_rounds, patience
        Rounds after which the search ends, and rounds in vain after which it does.
    n_refined
        Minima of a ligand that are refined.
    refine_ticks
        Evaluations of a pose in its refinement.
    pool_rmsd, gain
        angstrom: minima closer than this are one; kcal/mol: a round that gains less is in vain.
    n_elite
        Minima that chains go on from, by the number of rounds done before.
    """

    n_chains: int
    max_rounds: int
    patience: int
    n_refined: int
    refine_ticks: int
    pool_rmsd: float
    gain: float
    n_elite: Callable[[int], int]


class Refined(NamedTuple):
    """Refined minima of one ligand: (n, 7 + T) float32 and (n,) int32."""

    genotypes: npt.NDArray[np.float32]
    conformers: npt.NDArray[np.int32]


def search_batch(
    ligands: Sequence[LigandInput],
    refining: Sequence[SearchRules],
    target: DeviceTarget,
    rules: BatchRules,
    stream: Any = 0,
) -> list[Refined]:
    """Search and refine all ligands of a batch; return each one's minima, best first.

    Parameters
    ----------
    ligands
        With the ticks of a round; chains count from 0.
    refining
        The rules of each one's refinement.
    target, rules
        What they share.
    stream
        Of the device; the call returns when all is done.
    """
    with copies_through(stream) as copies:
        batch = _Batch(ligands, target, rules, copies)
        batch.start()
        batch.run_rounds()
        return batch.refined(refining)


class _Batch:
    """A batch under way: its arrays on the device.

    All of them stay until its end. One that goes earlier is given back at some launch, and the
    driver then waits for whatever the device does, in the streams of other batches too.
    """

    def __init__(
        self, ligands: Sequence[LigandInput], target: DeviceTarget, rules: BatchRules, copies: Any
    ) -> None:
        self._target, self._rules, self._copies = target, rules, copies
        self._stream = copies.stream
        host = pack_ligands(ligands, rules.n_chains)
        self._n = len(ligands)
        self._genes = [7 + len(x.topology.parent) - 1 for x in ligands]
        sizes = [(x.topology.local.shape[1], len(x.topology.parent)) for x in ligands]
        self._words = max(warp_words(*size) for size in sizes)
        self._refine_words = max(refine_words(*size) for size in sizes)
        self._chains = empty(int(host.chain_start[-1]), np.float32)
        self._pools = empty(int(host.pool_start[-1]), np.float32)
        self._elite = empty(self._n * rules.n_elite(0), np.int32)
        *arrays, self._best, self._since, self._active = copies.send(
            *host,
            np.full(self._n, 1e30, np.float32),
            np.zeros(self._n, np.int32),
            np.arange(self._n, dtype=np.int32),
        )
        self._arrays = type(host)(*arrays)

    def start(self) -> None:
        """Put all chains at their random places."""
        n_chains = self._rules.n_chains
        n_threads = LANES if IS_SIMULATED else _START_THREADS
        n_blocks = (self._n * n_chains + n_threads - 1) // n_threads
        start_chains_of[n_blocks, n_threads, self._stream](
            self._arrays, np.int32(n_chains), self._target.low, self._target.high, self._chains,
            self._pools,
        )  # fmt: skip

    def run_rounds(self) -> None:
        """Advance the chains round by round; ligands that find nothing more leave."""
        active = np.arange(self._n, dtype=np.int32)
        for done in range(self._rules.max_rounds):
            self._advance(len(active))
            self._exchange(len(active), done)
            (since,) = self._copies.fetch(self._since)
            active = active[since[active] < self._rules.patience]
            if not len(active):
                break
            self._copies.send_into(self._active[: len(active)], active)

    def _advance(self, n_active: int) -> None:
        n_chains, n_warps = self._rules.n_chains, self._warps()
        n_blocks = n_active * ((n_chains + n_warps - 1) // n_warps)
        run_chains_by_table[n_blocks, n_warps * LANES, self._stream, 4 * n_warps * self._words](
            self._arrays, self._active, np.int32(n_chains), self._target.field,
            self._target.table, self._chains, self._pools, np.int32(self._words),
        )  # fmt: skip

    def _warps(self) -> int:
        """Return the warps of a block, fewer where ligands are large."""
        return max(1, min(_WARPS, SHARED_ROOM // (4 * self._words)))

    def _exchange(self, n_active: int, done: int) -> None:
        rules = self._rules
        exchange_chains[n_active, LANES, self._stream, shared_bytes()](
            self._arrays, self._active, np.int32(rules.n_chains), np.int32(done),
            np.int32(rules.n_elite(done)), np.float32(rules.pool_rmsd**2), np.float32(rules.gain),
            np.int32(rules.patience), self._elite, self._best, self._since, self._chains,
            self._pools,
        )  # fmt: skip

    def refined(self, refining: Sequence[SearchRules]) -> list[Refined]:
        """Return the distinct minima of each ligand, refined."""
        rules, n_places = self._rules, self._n * self._rules.n_refined
        counts, conformers, genotypes = self._copies.send(
            np.zeros(self._n, np.int32),
            np.zeros(n_places, np.int32),
            np.zeros((n_places, max(self._genes)), np.float32),
        )
        energies = empty(n_places, np.float32)
        chosen = empty(n_places, np.int32)
        gather_minima[self._n, LANES, self._stream, shared_bytes()](
            self._arrays, np.int32(rules.n_chains), np.float32(rules.pool_rmsd**2), chosen,
            self._pools, counts, energies, conformers, genotypes,
        )  # fmt: skip
        self._refine(refining, counts, conformers, genotypes)
        n_found, conformer, genes = self._copies.fetch(counts, conformers, genotypes)
        first = np.arange(self._n) * rules.n_refined
        return [
            Refined(genes[f : f + n, : self._genes[k]].copy(), conformer[f : f + n].copy())
            for k, (f, n) in enumerate(zip(first, n_found, strict=True))
        ]

    def _refine(
        self, refining: Sequence[SearchRules], counts: Any, conformers: Any, genotypes: Any
    ) -> None:
        receptor = self._target.receptor
        n_listed = list_words(len(receptor.places) // 4)
        n_poses = len(conformers)
        flat = np.array([tuple(x) for x in refining], np.float32).reshape(-1)
        (sent,) = self._copies.send(flat)
        lists = empty(n_poses * n_listed, np.int32)
        refine_poses_of[n_poses, LANES, self._stream, 4 * self._refine_words](
            self._arrays, sent, counts, receptor, self._target.weights,
            np.int32(self._rules.refine_ticks), np.int32(self._refine_words), np.int32(n_listed),
            conformers, genotypes, lists,
        )  # fmt: skip
        self._refining = sent, lists  # they stay
