"""How much of the top is still undocked: an estimate from what the surrogate expects."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtr

from osong.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from osong.active.surrogate import Prediction

__all__ = ["Recall", "RecallTally", "StoppingRule"]

_N_SAMPLES: Final = 200
_N_BINS: Final = 256
_BINS_PER_NOISE: Final = 10
_N_BORDERS: Final = 200
_SHARE: Final = 0.9
_BIAS_ELSEWHERE: Final = 0.1
_NOISE_ELSEWHERE: Final = 0.05
"""By how much bias (in units of the noise) and noise of what is not docked differ from those of
what is, as deviations: common to all molecules, so that no number of them averages it out. A bias
is what the estimate is mostly wrong by: of four draws of Enamine's molecules, six rounds each, the
best 300 undocked were off by -0.6 to 0.2 of the noise, less what calibration says by 0.12."""


@dataclass(frozen=True)
class Recall:
    """How much of the true top is docked, as far as the surrogate can tell.

    Attributes
    ----------
    value
        Expected share of the true best ``k`` that is docked.
    low, high
        Interval that holds it with a probability of 90 %, if the surrogate is off by as much for
        what is not docked as for what is.
    k
        Size of the top.
    missing
        Expected number of undocked molecules among the best ``k``.
    """

    value: float
    low: float
    high: float
    k: int
    missing: float

    def __str__(self) -> str:
        return (
            f"{100 * self.value:.0f} % of the best {self.k} are docked, as far as the surrogate "
            f"can tell ({100 * self.low:.0f} to {100 * self.high:.0f} % with 90 % confidence)"
        )


class RecallTally:
    """Estimates, from a stream of predictions, how many of the true best are not docked yet.

    Each network is one opinion about the whole library. What it says is counted in narrow bins;
    smeared by the noise they are the scores that it expects. Where together with the docked ones
    they number k lies the border of the top. Memory does not grow with the library.

    Parameters
    ----------
    docked
        (n,) scores of what is docked, failures left out.
    k
        Size of the top; at most n.
    """

    def __init__(self, docked: npt.NDArray[np.float64], k: int) -> None:
        docked = np.asarray(docked, dtype=np.float64)
        self._docked = np.sort(docked[np.isfinite(docked)])
        if not 1 <= k <= len(self._docked):
            raise InputError(
                f"the best {k} of {len(self._docked)} docked molecules: dock more, or ask for fewer"
            )
        self.k = k
        # beyond the k-th best of the docked ones the border cannot lie
        self._last = float(self._docked[k - 1])
        self._width = 0.0
        self._noise = 0.0
        self._bias, self._bias_error = 0.0, 0.0
        self._n = 0
        self._squares = 0.0
        self._counts: npt.NDArray[np.float64] | None = None

    def add(self, prediction: Prediction) -> None:
        """Count molecules that are not docked."""
        n_members = prediction.members.shape[1]
        if self._counts is None:
            self._noise = max(prediction.noise, 1e-3)
            self._bias, self._bias_error = prediction.bias, prediction.bias_error
            self._width = self._noise / _BINS_PER_NOISE
            self._counts = np.zeros((n_members, _N_BINS))
        # where the mean of the networks is off they are all off: their guesses do not show it
        self._n += len(prediction.members)
        self._squares += float((prediction.deviation.astype(np.float64) ** 2).sum()) / n_members
        # the last bin is for all that is too bad to matter, the first for all that is better
        bins = (prediction.members - np.float32(self._origin())) / np.float32(self._width)
        numbers = np.clip(bins, 0, _N_BINS - 1).astype(np.int64)
        numbers += _N_BINS * np.arange(n_members)
        flat = np.bincount(numbers.ravel(), minlength=n_members * _N_BINS)
        self._counts += flat.reshape(n_members, _N_BINS)

    def recall(self, seed: int = 0, n_known: int = 100) -> Recall:
        """Return the estimate.

        Parameters
        ----------
        n_known
            Molecules that the noise was derived from: it is known so well.
        """
        if self._counts is None:
            return Recall(1.0, 1.0, 1.0, self.k, 0.0)
        generator = np.random.default_rng([seed, 13])
        shares = [self._sample(generator, n_known) for _ in range(_N_SAMPLES)]
        tail = (1.0 - _SHARE) / 2
        low, high = np.quantile(shares, [tail, 1.0 - tail])
        value = float(np.mean(shares))
        # The mean of few very uneven samples can lie outside of nearly all of them.
        low, high = min(float(low), value), max(float(high), value)
        return Recall(value, low, high, self.k, (1.0 - value) * self.k)

    def _sample(self, generator: np.random.Generator, n_known: int) -> float:
        """Return the recall if one network were right, with noise and bias as well as known."""
        assert self._counts is not None
        counts = self._counts[generator.integers(len(self._counts))]
        doubt = sqrt(1.0 / (2 * n_known) + _NOISE_ELSEWHERE**2)
        common = sqrt(self._squares / max(self._n, 1))
        noise = hypot(self._noise, common) * float(np.exp(doubt * generator.standard_normal()))
        spread = hypot(self._bias_error, _BIAS_ELSEWHERE * self._noise)
        # Docked molecules were picked for their guesses, so those held out are worse than guessed
        # whatever the networks are worth. Only the other direction says something of the rest.
        shift = min(self._bias, 0.0) + spread * float(generator.standard_normal())
        centres = self._origin() + shift + (np.arange(_N_BINS) + 0.5) * self._width
        borders = np.linspace(self._origin(), self._last, _N_BORDERS)
        expected = ndtr((borders[:, None] - centres[:-1]) / noise) @ counts[:-1]
        docked = np.searchsorted(self._docked, borders, side="right")
        drawn = expected + generator.standard_normal() * np.sqrt(expected)
        border = min(int(np.searchsorted(docked + np.maximum(drawn, 0.0), self.k)), _N_BORDERS - 1)
        missing = max(float(drawn[border]), 0.0)
        found = min(int(docked[border]), self.k)
        return found / max(found + missing, 1e-9)

    def _origin(self) -> float:
        return self._last - (_N_BINS - 1 - _BINS_PER_NOISE * 6) * self._width


@dataclass(frozen=True)
class StoppingRule:
    """When enough is docked.

    Attributes
    ----------
    budget
        Most molecules to dock.
    patience
        Rounds without any new molecule among the best `k` after which the top has stopped moving.
    recall
        Expected recall at which to stop, where its interval's lower end is reached too; None never.
    """

    budget: int
    patience: int = 3
    recall: float | None = None

    def reason(
        self, n_docked: int, n_left: int, new_in_top: list[int], recall: Recall | None
    ) -> str:
        """Return why to stop, or nothing.

        Parameters
        ----------
        n_docked, n_left
            Molecules that were asked for so far, and that are left.
        new_in_top
            Of every round after the first, how many entered the best `k`.
        recall
            The latest estimate.
        """
        if n_left == 0:
            return "the whole library is docked"
        if n_docked >= self.budget:
            return f"the budget of {self.budget} molecules is spent"
        if len(new_in_top) >= self.patience and not any(new_in_top[-self.patience :]):
            return f"the top has not moved for {self.patience} rounds"
        if recall is not None and self.recall is not None and recall.low >= self.recall:
            return f"{recall}"
        return ""
