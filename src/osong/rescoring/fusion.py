"""A final rank of a ligand's poses from docking energy and neural networks.

The score of a pose is linear in its energy, the log odds of its CNNscore and its CNNaffinity. Its
three weights are those of a conditional logit (McFadden 1974): of the poses of one ligand in one
receptor, exactly one is to be chosen, pose k with probability exp(s_k) / sum exp(s); the likelihood
is that of choosing one within 2 angstrom of the crystal. Whatever all poses share (a constant in
the energies, say) drops out.

Weights that are shipped stand in ``fusion_weights.toml``, which ``python -m benchmarks fusion
--write`` writes, with what they were fitted to; ``docs/rescoring.md`` has what they bring.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from osong.errors import InputError
from osong.rescoring.weights import ENSEMBLES

__all__ = [
    "CNN_ALONE", "ENERGY_ALONE", "Fusion", "LabelledPoses", "fit_fusion", "known_fusions",
    "shipped_fusion",
]  # fmt: skip

RIGHT_ANGSTROM: Final = 2.0
"""RMSD to the crystal under which a pose is right."""
RIDGE: Final = 1.0
"""Penalty of squared weights, in units of the features' spread; never tuned."""
_ODDS_LIMIT: Final = 1e-4
"""Probabilities are taken to lie so far from 0 and 1 at least: beyond, they are rounding."""
_MAX_STEPS: Final = 500
_TOLERANCE: Final = 1e-8
_SHIPPED: Final = "fusion_weights.toml"

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fusion:
    """Weights of a linear score of poses; higher is better.

    Attributes
    ----------
    energy
        Per kcal/mol of energy below that of another pose.
    log_odds
        Per unit of ln(CNNscore / (1 - CNNscore)).
    affinity
        Per unit of CNNaffinity (pK).

    Examples
    --------
    >>> fusion = Fusion(energy=1.0, log_odds=0.5, affinity=0.0)
    >>> fusion.order([-9.0, -8.9], [0.2, 0.9], [6.0, 6.0])
    array([1, 0])
    """

    energy: float
    log_odds: float
    affinity: float

    def score(
        self, energy: npt.ArrayLike, cnn_score: npt.ArrayLike, cnn_affinity: npt.ArrayLike
    ) -> Float64:
        """Return the (n,) scores of poses; their differences count, within one ligand.

        Parameters
        ----------
        energy
            (n,), kcal/mol, as docked.
        cnn_score
            (n,), probability that a pose is right.
        cnn_affinity
            (n,), pK.

        Raises
        ------
        InputError
            If the lengths differ, or a number is not finite, or a probability is none.
        """
        features = _features(energy, cnn_score, cnn_affinity)
        # Term by term: how a product of matrices rounds depends on how many poses there are.
        weights = (self.energy, self.log_odds, self.affinity)
        terms = [weight * column for weight, column in zip(weights, features.T, strict=True)]
        return np.asarray((terms[0] + terms[1]) + terms[2])

    def order(
        self, energy: npt.ArrayLike, cnn_score: npt.ArrayLike, cnn_affinity: npt.ArrayLike
    ) -> npt.NDArray[np.intp]:
        """Return the (n,) indices of one ligand's poses, best first.

        Ties go to the lower energy, then to the pose that came first.
        """
        score = self.score(energy, cnn_score, cnn_affinity)
        return np.lexsort((np.asarray(energy, np.float64), -score))

    def probability(
        self, energy: npt.ArrayLike, cnn_score: npt.ArrayLike, cnn_affinity: npt.ArrayLike
    ) -> Float64:
        """Return the (n,) probabilities of one ligand's poses to be the right one, if any is.

        They sum to 1.
        """
        score = self.score(energy, cnn_score, cnn_affinity)
        if not len(score):
            return score
        grown = np.exp(score - score.max())
        return np.asarray(grown / grown.sum())


ENERGY_ALONE: Final = Fusion(energy=1.0, log_odds=0.0, affinity=0.0)
CNN_ALONE: Final = Fusion(energy=0.0, log_odds=1.0, affinity=0.0)


@dataclass(frozen=True, eq=False)
class LabelledPoses:
    """Poses of one ligand of which it is known which are right.

    Attributes
    ----------
    energy
        (n,), kcal/mol.
    cnn_score, cnn_affinity
        (n,), probability and pK.
    is_right
        (n,) bool, within 2 angstrom of the crystal.
    """

    energy: npt.ArrayLike
    cnn_score: npt.ArrayLike
    cnn_affinity: npt.ArrayLike
    is_right: npt.ArrayLike


def shipped_fusion(scoring: str = "vina", models: str | Sequence[str] = "default") -> Fusion:
    """Return the weights that were fitted for a scoring function and networks.

    Parameters
    ----------
    scoring
        What docked: ``"vina"`` or ``"vinardo"``.
    models
        What gave the networks' scores, as for ``osong.rescore``.

    Raises
    ------
    InputError
        If none were fitted for these.
    """
    wanted = _members(models)
    for entry in _entries():
        if entry["scoring"] == scoring and _members(entry["models"]) == wanted:
            return Fusion(entry["energy"], entry["log_odds"], entry["affinity"])
    asked = models if isinstance(models, str) else " + ".join(models)
    raise InputError(
        f"no weights of energy and networks were fitted for {scoring} with {asked}; there are: "
        f"{known_fusions()}; others are made by osong.rescoring.fusion.fit_fusion"
    )


def known_fusions() -> str:
    """Return for which scoring functions and networks weights are shipped, in words."""
    return ", ".join(f"{entry['scoring']} with {entry['models']}" for entry in _entries())


def _entries() -> list[dict[str, Any]]:
    text = resources.files("osong.rescoring").joinpath(_SHIPPED).read_text(encoding="utf-8")
    return list(tomllib.loads(text)["fusion"])


def _members(models: str | Sequence[str]) -> frozenset[str]:
    names = [models] if isinstance(models, str) else models
    members = [member for name in names for member in ENSEMBLES.get(name, (name,))]
    return frozenset(member.replace(".", "_") for member in members)


def fit_fusion(complexes: Sequence[LabelledPoses], *, ridge: float = RIDGE) -> Fusion:
    """Return the weights by which right poses come first.

    Parameters
    ----------
    complexes
        Poses of each ligand. Those with only right or only wrong ones say nothing.
    ridge
        Penalty of squared weights; weights are taken per spread (within complexes) of their
        feature, so that no unit matters.

    Raises
    ------
    InputError
        If numbers are not finite, lengths differ, or no complex has both right and wrong poses.

    Notes
    -----
    Minimises -sum over complexes of ln(sum over right poses of exp(s) / sum over all of exp(s)).
    With several right poses this is not convex. Each step is Newton's with the covariance of the
    features under the model (a bound of the curvature from above, so that steps go down), halved
    while they do not; it starts from zero, so the same input gives the same weights.
    """
    if not (np.isfinite(ridge) and ridge > 0.0):
        raise InputError(f"ridge is {ridge}; wanted a number above 0")
    features, is_right, start = _stacked(complexes)
    scale = _spread(features, start)
    problem = _Problem(features / scale, is_right, start, ridge)
    weights = problem.minimum() / scale
    return Fusion(*(float(weight) for weight in weights))


def _features(
    energy: npt.ArrayLike, cnn_score: npt.ArrayLike, cnn_affinity: npt.ArrayLike
) -> Float64:
    """Return what the score is linear in, (n, 3)."""
    columns = [np.asarray(values, np.float64) for values in (energy, cnn_score, cnn_affinity)]
    if any(column.shape != columns[0].shape or column.ndim != 1 for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns)
        raise InputError(f"energies, CNN scores and affinities have shapes {shapes}; wanted one")
    table = np.stack(columns, axis=1)
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise InputError(
            f"pose {bad[0]} of {len(table)} has energy, CNN score and affinity "
            f"{table[bad[0]].tolist()}: leave poses without numbers out"
        )
    bad = np.flatnonzero((table[:, 1] < 0.0) | (table[:, 1] > 1.0))
    if len(bad):
        raise InputError(f"pose {bad[0]} has the CNN score {table[bad[0], 1]}; wanted 0 to 1")
    kept = np.clip(table[:, 1], _ODDS_LIMIT, 1.0 - _ODDS_LIMIT)
    return np.stack([-table[:, 0], np.log(kept) - np.log1p(-kept), table[:, 2]], axis=1)


def _stacked(
    complexes: Sequence[LabelledPoses],
) -> tuple[Float64, npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Return features and labels of the complexes that say something, and where each starts."""
    features, labels = [], []
    for poses in complexes:
        found = _features(poses.energy, poses.cnn_score, poses.cnn_affinity)
        is_right = np.asarray(poses.is_right, np.bool_)
        if is_right.shape != found.shape[:1]:
            raise InputError(f"{len(found)} poses have {is_right.size} labels")
        if is_right.any() and not is_right.all():
            features.append(found - found[0])
            labels.append(is_right)
    if not features:
        raise InputError("no complex has both right and wrong poses: there is nothing to fit")
    start = np.cumsum([0, *(len(label) for label in labels[:-1])])
    return np.concatenate(features), np.concatenate(labels), start


def _spread(features: Float64, start: npt.NDArray[np.intp]) -> Float64:
    """Return the standard deviation of each feature within complexes; 1 for a constant one."""
    variance = np.mean([part.var(axis=0) for part in np.split(features, start[1:])], axis=0)
    return np.where(variance > 0.0, np.sqrt(variance), 1.0)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The penalised likelihood: features (n, 3), labels (n,), starts of the complexes."""

    features: Float64
    is_right: npt.NDArray[np.bool_]
    start: npt.NDArray[np.intp]
    ridge: float

    def minimum(self) -> Float64:
        weights = np.zeros(self.features.shape[1])
        loss, chosen, right = self._evaluated(weights)
        for _ in range(_MAX_STEPS):
            gradient = self.features.T @ (chosen - right) + self.ridge * weights
            if np.abs(gradient).max() < _TOLERANCE * len(self.start):
                break
            step = -np.linalg.solve(self._curvature(chosen), gradient)
            for _ in range(30):
                trial = self._evaluated(weights + step)
                if trial[0] <= loss:
                    break
                step *= 0.5
            else:
                break  # as low as rounding lets it be
            weights = weights + step
            loss, chosen, right = trial
        return weights

    def _evaluated(self, weights: Float64) -> tuple[float, Float64, Float64]:
        """Return the loss, and shares (n,) among all poses and among the right ones."""
        score = self.features @ weights
        log_all, chosen = self._softmax(score)
        log_right, right = self._softmax(np.where(self.is_right, score, -np.inf))
        penalty = 0.5 * self.ridge * float(weights @ weights)
        return float((log_all - log_right).sum()) + penalty, chosen, right

    def _softmax(self, score: Float64) -> tuple[Float64, Float64]:
        count = np.diff([*self.start, len(score)])
        top = np.maximum.reduceat(score, self.start)
        grown = np.exp(score - np.repeat(top, count))
        total = np.add.reduceat(grown, self.start)
        return np.asarray(top + np.log(total)), np.asarray(grown / np.repeat(total, count))

    def _curvature(self, chosen: Float64) -> Float64:
        """Return the covariances of the features under the model, summed, with the ridge."""
        weighted = self.features * chosen[:, None]
        means = np.add.reduceat(weighted, self.start)
        ridge = self.ridge * np.eye(self.features.shape[1])
        return np.asarray(weighted.T @ self.features - means.T @ means + ridge)
