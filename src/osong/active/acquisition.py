"""Which molecules to dock next: what makes one promising, and how a batch stays diverse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from osong.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from osong.active.surrogate import Prediction

__all__ = [
    "ACQUISITIONS",
    "Acquisition",
    "AcquisitionKind",
    "keyed_uniform",
    "pick_batch",
    "pick_spread",
    "similarities",
]

AcquisitionKind = Literal["greedy", "ucb", "thompson", "random"]
ACQUISITIONS: Final = ("greedy", "ucb", "thompson", "random")
_MOST_COMPARED: Final = 4096
"""Molecules picked last that a candidate is compared with: all, in any small library."""
_AT_A_TIME: Final = 512
"""Candidates that threads share; they are then compared with each other by one alone."""


@dataclass(frozen=True)
class Acquisition:
    """How promising a molecule is.

    Attributes
    ----------
    kind
        "greedy": the guess; "ucb": the guess less `beta` deviations; "thompson": the guess of one
        network of the ensemble, another for each molecule; "random": a number of its own.
    beta
        For "ucb".
    most_similar
        Largest Tanimoto similarity of two molecules of a batch; 1 is no limit.
    """

    kind: AcquisitionKind = "greedy"
    beta: float = 1.0
    most_similar: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ACQUISITIONS:
            raise InputError(f"acquisition is '{self.kind}': choose {', '.join(ACQUISITIONS)}")
        if not (np.isfinite(self.beta) and self.beta >= 0.0):
            raise InputError(f"beta is {self.beta}: give 0 or more")
        if not 0.0 < self.most_similar <= 1.0:
            raise InputError(f"most_similar is {self.most_similar}: give more than 0, at most 1")

    def utility(
        self, prediction: Prediction, index: npt.NDArray[np.int64], seed: int
    ) -> npt.NDArray[np.float32]:
        """Return how promising each molecule is, (n,) float32; more is better.

        What is random is drawn from the molecule's index and the seed, so that a molecule's value
        depends on no batch.
        """
        if self.kind == "random":
            return keyed_uniform(index, seed).astype(np.float32)
        if self.kind == "thompson":
            members = prediction.members
            chosen = (keyed_uniform(index, seed) * members.shape[1]).astype(np.int64)
            return np.asarray(-members[np.arange(len(members)), chosen])
        if self.kind == "ucb":
            return np.asarray(np.float32(self.beta) * prediction.deviation - prediction.mean)
        return np.asarray(-prediction.mean)


def keyed_uniform(index: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.float64]:
    """Return one number in [0, 1) for each index, the same whatever else is asked for.

    Notes
    -----
    The finaliser of SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195), applied to
    index and seed.
    """
    with np.errstate(over="ignore"):
        x = np.asarray(index).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(
            seed + 1
        )
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)) * 2:
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def pick_batch(
    utility: npt.NDArray[np.float32],
    index: npt.NDArray[np.int64],
    bits: npt.NDArray[np.uint8] | None,
    n: int,
    most_similar: float = 1.0,
    *,
    threads: int = 1,
) -> npt.NDArray[np.int64]:
    """Return the rows of the `n` most promising molecules, best first; ties by index.

    With a limit on similarity a molecule is passed over while it is too similar to one that was
    picked before it; where too few are left, those passed over fill the batch, best first.

    Parameters
    ----------
    utility, index
        (n_candidates,) each.
    bits
        (n_candidates, n_bytes) uint8, whole words of 8 bytes; needed for a limit on similarity
        only.
    threads
        The picks do not depend on it.

    Notes
    -----
    With a limit, time grows as candidates times picks until there are 4,096 picks, then as
    candidates: some 9 ns a pair at most, shared by the threads. Besides its input it holds 512
    bytes a pick. Candidates are compared with the 4,096 molecules picked last only.
    """
    order = np.lexsort((index, -utility))
    if most_similar >= 1.0 or bits is None:
        return order[:n]
    is_picked = _are_dissimilar(bits, order, n, most_similar, threads)
    n_missing = min(n, len(order)) - int(is_picked.sum())
    is_picked[np.flatnonzero(~is_picked)[:n_missing]] = True
    return order[is_picked]


def _are_dissimilar(
    bits: npt.NDArray[np.uint8],
    order: npt.NDArray[np.int64],
    n: int,
    most_similar: float,
    threads: int,
) -> npt.NDArray[np.bool_]:
    """Return which molecules, in order, are picked for not being too similar; `n` at most.

    Some candidates at a time are compared with all that were picked before them, by each thread
    its share, then with each other.
    """
    from osong.active.similarity_kernel import LANES, bits_needed, mark_similar, pick_dissimilar

    n = min(n, len(order))
    n_words = bits.shape[1] // 8
    needed = bits_needed(most_similar, 2 * 64 * n_words)
    tiles = np.zeros((-(-n // LANES), n_words, LANES), dtype=np.uint64)
    tiles_n_bits = np.zeros((len(tiles), LANES), dtype=np.int32)
    is_picked = np.zeros(len(order), dtype=np.bool_)
    share = -(-_AT_A_TIME // threads)
    n_picked = 0
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, len(order), _AT_A_TIME):
            if n_picked == n:
                break
            words = bits[order[begin : begin + _AT_A_TIME]].view(np.uint64)
            n_bits = np.bitwise_count(words).sum(axis=1, dtype=np.int32)
            similar = np.empty(len(words), dtype=np.int64)
            compared = max(0, n_picked - _MOST_COMPARED) // LANES, -(-n_picked // LANES)
            waiting = [
                pool.submit(
                    mark_similar, words[k : k + share], n_bits[k : k + share], tiles, tiles_n_bits,
                    *compared, needed, similar[k : k + share],
                )
                for k in range(0, len(words), share)
            ]  # fmt: skip
            for future in waiting:
                future.result()
            n_picked = pick_dissimilar(
                words, n_bits, similar, n_picked, n, _MOST_COMPARED, needed, tiles, tiles_n_bits,
                is_picked[begin : begin + len(words)],
            )  # fmt: skip
    return is_picked


def pick_spread(bits: npt.NDArray[np.uint8], n: int, seed: int) -> npt.NDArray[np.int64]:
    """Return `n` rows that are far from each other: each the farthest from all before it.

    The first is drawn by the seed; ties go to the first row.
    """
    n = min(n, len(bits))
    chosen = [int(np.random.default_rng([seed, 11]).integers(len(bits)))] if n else []
    closest = np.full(len(bits), -1.0)
    while len(chosen) < n:
        closest = np.maximum(closest, similarities(bits[chosen[-1]], bits))
        closest[chosen[-1]] = np.inf
        chosen.append(int(closest.argmin()))
    return np.array(chosen, dtype=np.int64)


def similarities(
    one: npt.NDArray[np.uint8], many: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Return the Tanimoto similarity of packed bits (n_bytes,) to others (n, n_bytes)."""
    words, others = one.view(np.uint64), np.ascontiguousarray(many).view(np.uint64)
    both = np.bitwise_count(others & words).sum(axis=1, dtype=np.int64)
    either = np.bitwise_count(others | words).sum(axis=1, dtype=np.int64)
    return both / np.maximum(either, 1)
