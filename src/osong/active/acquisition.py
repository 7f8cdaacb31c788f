"""Which molecules to dock next: what makes one promising, and how a batch stays diverse."""

from __future__ import annotations

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
) -> npt.NDArray[np.int64]:
    """Return the rows of the `n` most promising molecules, best first; ties by index.

    With a limit on similarity a molecule is passed over while it is too similar to one that was
    picked before it; where too few are left, those passed over fill the batch, best first.

    Parameters
    ----------
    utility, index
        (n_candidates,) each.
    bits
        (n_candidates, n_bytes) uint8; needed for a limit on similarity only.
    """
    order = np.lexsort((index, -utility))
    if most_similar >= 1.0 or bits is None:
        return order[:n]
    ordered = bits[order]
    leaders = np.empty((min(n, len(order)), bits.shape[1]), dtype=np.uint8)
    picked: list[int] = []
    passed: list[int] = []
    for rank, candidate in enumerate(ordered):
        if len(picked) == n:
            break
        recent = leaders[max(0, len(picked) - _MOST_COMPARED) : len(picked)]
        if len(picked) and similarities(candidate, recent).max() > most_similar:
            passed.append(rank)
            continue
        leaders[len(picked)] = candidate
        picked.append(rank)
    ranks = np.sort(np.array([*picked, *passed[: n - len(picked)]], dtype=np.int64))
    return order[ranks]


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
