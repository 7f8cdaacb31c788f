"""How far predictions are off: from molecules that the networks had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Calibration", "calibrate", "folds"]

_N_FOLDS = 3
_ONE_SPLIT_FROM = 4000
_MOST_HELD_OUT = 10_000
_N_GRID: Final = 41
_LOWEST, _HIGHEST = np.log(0.02), np.log(20.0)
"""Of what uncertainty may be beside the noise: its ratio, as a logarithm."""
_EXPECTED_SHARE: Final = 0.25
"""Share of the squared errors that better networks would not make, before any are known."""
_DOUBT: Final = 0.5
"""Deviation of the logarithms of the ratios before any errors are known: a factor of 1.6."""
_BEST: Final = 1 / 3
"""Share of the held-out molecules, best guesses first, whose mean error is looked at."""


@dataclass(frozen=True)
class Calibration:
    """What turns the disagreement of networks into an uncertainty, in units of the score.

    A score is expected to lie around its prediction with the variance
    ``(spread * deviation)**2 + (reach * novelty)**2 + noise**2``, where `deviation` is that of the
    networks, and `novelty` says how unlike all docked molecules a molecule is (0 to about 1).

    Attributes
    ----------
    spread
        By how much the networks' deviation is to be multiplied.
    noise
        Deviation that all molecules share: what the networks cannot know.
    n
        Molecules it was derived from.
    reach
        Deviation of a molecule of novelty 1; 0 where novelty is not known.
    bias, bias_error
        Mean error (score less prediction) of the best guesses, and the deviation of what it may be
        for the best of what is not docked.
    note
        Where the errors by themselves say nothing of a part of the uncertainty, so that it is only
        what is expected of any library.
    """

    spread: float
    noise: float
    n: int
    reach: float = 0.0
    bias: float = 0.0
    bias_error: float = 0.0
    note: str = ""


def folds(n: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Return the molecules to hold out, one array a split, of `n` in all.

    Few are split into three folds, so that each is held out once; of many one tenth is enough.
    """
    order = np.random.default_rng([seed, 7]).permutation(n)
    if n >= _ONE_SPLIT_FROM:
        return [np.sort(order[: min(n // 10, _MOST_HELD_OUT)])]
    return [np.sort(part) for part in np.array_split(order, _N_FOLDS)]


def calibrate(
    errors: npt.NDArray[np.float64],
    deviations: npt.NDArray[np.float64],
    novelty: npt.NDArray[np.float64] | None = None,
    guesses: npt.NDArray[np.float64] | None = None,
) -> Calibration:
    """Return the uncertainty that makes the errors of unseen molecules most likely.

    Parameters
    ----------
    errors
        (n,): score less prediction.
    deviations
        (n,): of the networks, for the same molecules.
    novelty
        (n,): 0 to 1, see `osong.active.novelty`; not used if not given.
    guesses
        (n,): the predictions, to tell the bias of the best; all are taken if not given.

    Notes
    -----
    The likelihood is that of normal distributions, times a log-normal prior of the ratio of each
    part to the noise: errors of a few hundred molecules cannot tell 0 from a third, and an
    uncertainty of 0 claims to know everything. The scale is solved for, the ratios are looked for
    on a grid of 41 x 41 values that is refined twice, which has no starting point and cannot run
    away.
    """
    squares = np.asarray(errors, dtype=np.float64) ** 2
    parts = [np.asarray(deviations, dtype=np.float64) ** 2]
    if novelty is not None:
        parts.append(np.asarray(novelty, dtype=np.float64) ** 2)
    typical = [float(part.mean()) or 1e-18 for part in parts]
    scaled = [part / mean for part, mean in zip(parts, typical, strict=True)]
    ratios, at_edge = _most_likely(squares, scaled)
    relative = 1.0 + sum(np.exp(2 * u) * part for u, part in zip(ratios, scaled, strict=True))
    noise = float(np.sqrt((squares / relative).mean())) or 1e-9
    factors = [
        noise * float(np.exp(u)) / sqrt(mean) for u, mean in zip(ratios, typical, strict=True)
    ]
    bias, bias_error = _bias_of_the_best(np.asarray(errors, dtype=np.float64), guesses)
    return Calibration(
        factors[0], noise, len(squares), factors[1] if novelty is not None else 0.0, bias,
        bias_error, _note(at_edge),
    )  # fmt: skip


def _most_likely(
    squares: npt.NDArray[np.float64], parts: list[npt.NDArray[np.float64]]
) -> tuple[list[float], list[bool]]:
    """Return the logarithm of each part's ratio to the noise, and whether errors alone say none."""
    share = _EXPECTED_SHARE / len(parts)
    expected = 0.5 * np.log(share / (1.0 - _EXPECTED_SHARE))
    low, high = np.full(len(parts), _LOWEST), np.full(len(parts), _HIGHEST)
    at_edge: list[bool] = []
    for _ in range(3):
        axes = [np.linspace(low[k], high[k], _N_GRID) for k in range(len(parts))]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(parts))
        cost = _costs(squares, parts, grid)
        if not at_edge:
            errors_say = grid[int(cost.argmin())]
            at_edge = [bool(u < low[k] + 1e-6) for k, u in enumerate(errors_say)]
        cost = cost + (((grid - expected) / _DOUBT) ** 2).sum(axis=1)
        centre = grid[int(cost.argmin())]
        step = (high - low) / (_N_GRID - 1)
        low, high = centre - 2 * step, centre + 2 * step
    return centre.tolist(), at_edge


def _costs(
    squares: npt.NDArray[np.float64],
    parts: list[npt.NDArray[np.float64]],
    grid: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return minus twice the logarithm of the likelihood at every point of a grid."""
    costs = np.empty(len(grid))
    tiny = np.finfo(np.float64).tiny
    for i, point in enumerate(np.exp(2 * grid)):
        relative = 1.0 + sum(factor * part for factor, part in zip(point, parts, strict=True))
        scale = max(float((squares / relative).mean()), tiny)
        costs[i] = len(squares) * (np.log(scale) + np.log(relative).mean())
    return costs


def _bias_of_the_best(
    errors: npt.NDArray[np.float64], guesses: npt.NDArray[np.float64] | None
) -> tuple[float, float]:
    if guesses is not None:
        n_best = min(len(errors), max(8, round(_BEST * len(errors))))
        errors = errors[np.argsort(guesses, kind="stable")[:n_best]]
    return float(errors.mean()), float(errors.std()) / sqrt(len(errors))


def _note(at_edge: list[bool]) -> str:
    names = ("the networks' disagreement", "novelty")
    idle = [name for name, is_idle in zip(names, at_edge, strict=False) if is_idle]
    if not idle:
        return ""
    return f"errors of held-out molecules do not follow {' or '.join(idle)}: its weight is a guess"
