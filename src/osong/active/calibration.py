"""How far predictions are off: from molecules that the networks had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Calibration", "calibrate", "folds"]

_N_FOLDS = 3
_ONE_SPLIT_FROM = 4000
_MOST_HELD_OUT = 10_000


@dataclass(frozen=True)
class Calibration:
    """What turns the disagreement of networks into an uncertainty, in units of the score.

    A score is expected to lie around its prediction with the variance
    ``(spread * deviation)**2 + noise**2``, where `deviation` is that of the networks.

    Attributes
    ----------
    spread
        By how much the networks' deviation is to be multiplied.
    noise
        Deviation that all molecules share: what the networks cannot know.
    n
        Molecules it was derived from.
    """

    spread: float
    noise: float
    n: int


def folds(n: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Return the molecules to hold out, one array a split, of `n` in all.

    Few are split into three folds, so that each is held out once; of many one tenth is enough.
    """
    order = np.random.default_rng([seed, 7]).permutation(n)
    if n >= _ONE_SPLIT_FROM:
        return [np.sort(order[: min(n // 10, _MOST_HELD_OUT)])]
    return [np.sort(part) for part in np.array_split(order, _N_FOLDS)]


def calibrate(errors: npt.NDArray[np.float64], deviations: npt.NDArray[np.float64]) -> Calibration:
    """Return spread and noise that make the errors of unseen molecules most likely.

    Parameters
    ----------
    errors
        (n,): score less prediction.
    deviations
        (n,): of the networks, for the same molecules.

    Notes
    -----
    The likelihood is that of normal distributions; its maximum is looked for on a grid of 41 x 41
    values that is refined twice, which has no starting point and cannot run away.
    """
    squares = np.asarray(errors, dtype=np.float64) ** 2
    variances = np.asarray(deviations, dtype=np.float64) ** 2
    total = float(np.sqrt(squares.mean())) or 1e-9
    typical = float(np.sqrt(variances.mean())) or 1e-9
    low, high = (
        np.log([1e-2 * total / typical, 1e-2 * total]),
        np.log([3 * total / typical, 3 * total]),
    )
    for _ in range(3):
        spreads, noises = (np.exp(np.linspace(low[k], high[k], 41)) for k in range(2))
        expected = spreads[:, None, None] ** 2 * variances + noises[None, :, None] ** 2
        cost = (np.log(expected) + squares / expected).mean(axis=2)
        i, j = np.unravel_index(int(cost.argmin()), cost.shape)
        step = (high - low) / 40
        centre = np.log([spreads[i], noises[j]])
        low, high = centre - 2 * step, centre + 2 * step
    return Calibration(float(spreads[i]), float(noises[j]), len(squares))
