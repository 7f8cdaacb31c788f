"""Energy, networks and their fusion on complexes that the fit never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from osong.rescoring.fusion import CNN_ALONE, ENERGY_ALONE, Fusion, fit_fusion
from osong_benchmarks.fusion_scores import Case
from osong_benchmarks.statistics import sign_test

__all__ = ["Comparison", "compare", "cross_validate", "folds", "successes"]

N_FOLDS: Final = 5
N_REPEATS: Final = 10
_N_RESAMPLED: Final = 4000

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """Top-1 success of ranks on the same complexes.

    Attributes
    ----------
    n, n_clusters
        Complexes, and clusters of like proteins.
    energy, cnn, fusion, ceiling
        Shares whose first pose is right; whose any pose is.
    spread
        Standard deviation of ``fusion`` over the repeats.
    low, high
        95 % interval of ``fusion - energy``, complexes resampled by cluster.
    only_fusion, only_energy
        Complexes that one of them gets right, by most repeats.
    p
        Of so uneven a split by chance (exact McNemar).
    """

    n: int
    n_clusters: int
    energy: float
    cnn: float
    fusion: float
    ceiling: float
    spread: float
    low: float
    high: float
    only_fusion: int
    only_energy: int
    p: float


def successes(cases: Sequence[Case], fusion: Fusion, n_poses: int | None = None) -> Flags:
    """Return for each case whether the pose that the weights put first is right, (n,) bool.

    Parameters
    ----------
    n_poses
        Only so many poses of lowest energy are there to choose from.
    """
    found = []
    for case in cases:
        poses = (case if n_poses is None else case.first(n_poses)).poses
        order = fusion.order(poses.energy, poses.cnn_score, poses.cnn_affinity)
        found.append(bool(np.asarray(poses.is_right)[order[0]]))
    return np.array(found, np.bool_)


def folds(clusters: Sequence[str], n: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold (0 to n - 1) of each complex: those of one cluster are never parted.

    Clusters are shuffled, then each goes to the fold that has the fewest complexes.
    """
    names, which, count = np.unique(clusters, return_inverse=True, return_counts=True)
    fold = np.zeros(len(names), np.int64)
    filled = np.zeros(n, np.int64)
    for cluster in np.random.default_rng(seed).permutation(len(names)):
        fold[cluster] = int(filled.argmin())
        filled[fold[cluster]] += count[cluster]
    return fold[which]


def cross_validate(
    cases: Sequence[Case], n_poses: int | None = None, *, repeats: int = N_REPEATS
) -> Flags:
    """Return whether fusion is right, (repeats, n_cases) bool, with weights from other clusters.

    The fit sees all poses of the other clusters' complexes; ``n_poses`` limits the choice only.
    """
    found = np.zeros((repeats, len(cases)), np.bool_)
    clusters = [case.cluster for case in cases]
    for seed in range(repeats):
        fold = folds(clusters, N_FOLDS, seed)
        for k in range(N_FOLDS):
            held = np.flatnonzero(fold == k)
            fusion = fit_fusion([case.poses for case, f in zip(cases, fold, strict=True) if f != k])
            found[seed, held] = successes([cases[i] for i in held.tolist()], fusion, n_poses)
    return found


def compare(cases: Sequence[Case], fused: Flags, n_poses: int | None = None) -> Comparison:
    """Return how fusion does beside energy and networks alone.

    Parameters
    ----------
    fused
        (repeats, n_cases) bool, as from `cross_validate`.
    """
    energy = successes(cases, ENERGY_ALONE, n_poses)
    share = fused.mean(axis=0)
    mostly = share > 0.5
    only_fusion = int((mostly & ~energy).sum())
    only_energy = int((energy & ~mostly).sum())
    low, high = _interval(share - energy, [case.cluster for case in cases])
    return Comparison(
        n=len(cases),
        n_clusters=len({case.cluster for case in cases}),
        energy=float(energy.mean()),
        cnn=float(successes(cases, CNN_ALONE, n_poses).mean()),
        fusion=float(share.mean()),
        ceiling=float(np.mean([np.asarray(c.poses.is_right)[:n_poses].any() for c in cases])),
        spread=float(fused.mean(axis=1).std()),
        low=low,
        high=high,
        only_fusion=only_fusion,
        only_energy=only_energy,
        p=sign_test(only_fusion, only_energy),
    )


def _interval(difference: npt.NDArray[np.float64], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of the mean, by resampling whole clusters."""
    _, which = np.unique(clusters, return_inverse=True)
    total, count = np.bincount(which, difference), np.bincount(which)
    drawn = np.random.default_rng(0).integers(len(total), size=(_N_RESAMPLED, len(total)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
