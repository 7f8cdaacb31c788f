"""The whole library through the surrogate, as a stream; what is kept is bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from osong.active.acquisition import Acquisition, pick_batch
from osong.active.fingerprints import N_BYTES
from osong.active.store import FeatureBatch
from osong.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from osong.active.stopping import RecallTally
    from osong.active.surrogate import Prediction, Surrogate

__all__ = ["Candidates", "TopCandidates", "choose_batch", "predictions"]

_MORE_FOR_DIVERSITY = 10
"""Candidates kept for each place of a batch where the batch is to be diverse."""


@dataclass(frozen=True)
class Candidates:
    """The most promising molecules, in no order.

    Attributes
    ----------
    utility
        (n,) float32, more is better.
    index
        (n,) int64: positions in the library.
    bits
        (n, n_bytes) uint8.
    """

    utility: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint8]


class TopCandidates:
    """Keeps the best so many of a stream; what it holds never exceeds three times as many.

    A heap of arrays: blocks are cut by partition against the worst that is kept, and what passes
    is merged when as much has come as is kept. Equal values are told apart by index, so the result
    does not depend on the order or the size of the blocks.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._kept: list[Candidates] = []
        self._n_held = 0
        self._worst = -np.inf

    def add(
        self,
        utility: npt.NDArray[np.float32],
        index: npt.NDArray[np.int64],
        bits: npt.NDArray[np.uint8],
    ) -> None:
        """Offer molecules."""
        rows = np.flatnonzero(utility >= self._worst)
        if len(rows) > self.n:
            rows = rows[_best(utility[rows], index[rows], self.n)]
        if len(rows):
            self._kept.append(Candidates(utility[rows], index[rows], bits[rows]))
            self._n_held += len(rows)
        if self._n_held >= 2 * self.n:
            self._merge()

    def best(self) -> Candidates:
        """Return what is kept."""
        self._merge()
        return self._kept[0]

    def _merge(self) -> None:
        empty = Candidates(
            np.empty(0, np.float32), np.empty(0, np.int64), np.empty((0, N_BYTES), np.uint8)
        )
        parts = self._kept or [empty]
        utility = np.concatenate([part.utility for part in parts])
        index = np.concatenate([part.index for part in parts])
        rows = _best(utility, index, self.n)
        bits = np.concatenate([part.bits for part in parts])[rows]
        self._kept = [Candidates(utility[rows], index[rows], bits)]
        self._n_held = len(rows)
        if len(rows) == self.n and self.n:
            self._worst = float(utility[rows].min())


def _best(
    utility: npt.NDArray[np.float32], index: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.int64]:
    """Return the rows of the `n` largest; of those equal to the last, the lowest indices."""
    if len(utility) <= n:
        return np.arange(len(utility))
    last = -np.partition(-utility, n - 1)[n - 1] if n else np.inf
    above = np.flatnonzero(utility > last)
    equal = np.flatnonzero(utility == last)
    equal = equal[np.argsort(index[equal], kind="stable")[: n - len(above)]]
    return np.concatenate([above, equal])


def predictions(
    surrogate: Surrogate, batches: Iterable[FeatureBatch], *, threads: int | None = None
) -> Iterator[tuple[FeatureBatch, Prediction]]:
    """Yield batches with what the surrogate says about them, in order.

    Several are worked on at a time; no more are held than twice the number of threads.
    """
    n_threads = threads or usable_cores()
    if n_threads <= 1:
        for batch in batches:
            yield batch, surrogate.predict(batch)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = []
        for batch in batches:
            waiting.append((batch, pool.submit(surrogate.predict, batch)))
            if len(waiting) >= 2 * n_threads:
                first, future = waiting.pop(0)
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def choose_batch(
    surrogate: Surrogate,
    batches: Callable[[], Iterable[FeatureBatch]],
    docked: npt.NDArray[np.int64],
    n: int,
    acquisition: Acquisition,
    *,
    seed: int = 0,
    tally: RecallTally | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.int64]:
    """Return the positions of the `n` most promising molecules that are not docked, best first.

    Parameters
    ----------
    batches
        Gives a fresh stream of the library.
    docked
        (m,) int64 positions, in any order, that are left out.
    tally
        Counts what may be missing, on the same way through the library.
    """
    known = np.sort(np.asarray(docked, dtype=np.int64))
    is_diverse = acquisition.most_similar < 1.0
    top = TopCandidates(n * (_MORE_FOR_DIVERSITY if is_diverse else 1))
    for batch, prediction in predictions(surrogate, batches(), threads=threads):
        new = ~_contains(known, batch.index)
        prediction = prediction.rows(new)
        index = batch.index[new]
        if tally is not None:
            tally.add(prediction)
        top.add(acquisition.utility(prediction, index, seed), index, batch.bits[new])
    best = top.best()
    rows = pick_batch(
        best.utility, best.index, best.bits, n, acquisition.most_similar,
        threads=threads or usable_cores(),
    )  # fmt: skip
    return best.index[rows]


def _contains(
    rising: npt.NDArray[np.int64], values: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which values are among rising ones."""
    if not len(rising):
        return np.zeros(len(values), dtype=bool)
    where = np.minimum(np.searchsorted(rising, values), len(rising) - 1)
    return np.asarray(rising[where] == values)
