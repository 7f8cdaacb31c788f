"""MolPAL's published results on its Enamine sets, beside which ours are shown.

References
----------
D. E. Graff, E. I. Shakhnovich, C. W. Coley, Chem. Sci. 2021, 12, 7866, doi:10.1039/d0sc06805e.
The numbers are those of the authors' repository, coleygroup/molpal, files
``results/full/10k_1.0_scores_results_full.csv`` (commit ffa82c5e9ee69226fc6d2b89e2bd79051557594d)
and ``results/full/50k_1.0_scores_results_full.csv`` (commit
5ed91bb8b6085985b03e6ac54d89f9a794092d3d), rows "retrain" (models trained anew each round): per cent
of the best 1 % of scores found, mean and standard deviation over five runs, with 1 to 6 % docked;
the first batch is random, each batch is 1 % of the library. In the last column they agree with
``results/final/10k_1.0_final_results.csv``. Rows "online" (models trained further) are left out:
higher than all of these they are only with 1 % docked, by chance (2.2, random as all are there).
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ENAMINE_10K", "ENAMINE_50K", "Published", "best_published"]


class Published(NamedTuple):
    """One row: a model and an acquisition, with means and deviations in per cent."""

    model: str
    acquisition: str
    means: tuple[float, ...]
    deviations: tuple[float, ...]


_R = Published
ENAMINE_10K: Final = (
    _R("RF", "greedy", (0.6, 13.6, 24.4, 34.2, 41.4, 51.6), (0.8, 4.5, 3.1, 4.1, 6.0, 5.9)),
    _R("RF", "ucb", (0.4, 6.4, 15.4, 25.6, 36.4, 43.2), (0.5, 2.2, 2.0, 2.7, 3.4, 3.4)),
    _R("RF", "thompson", (1.6, 4.8, 9.6, 13.0, 20.0, 27.6), (0.5, 1.6, 2.2, 1.8, 2.1, 1.9)),
    _R("RF", "ei", (0.6, 9.4, 18.2, 26.0, 33.6, 39.4), (0.8, 2.9, 4.4, 5.4, 8.2, 9.5)),
    _R("RF", "pi", (1.0, 10.8, 21.4, 34.0, 40.2, 47.6), (1.1, 4.6, 3.8, 2.1, 2.9, 4.2)),
    _R("NN", "greedy", (1.4, 20.6, 34.4, 46.8, 55.2, 66.8), (1.7, 4.2, 5.7, 5.6, 5.9, 5.4)),
    _R("NN", "ucb", (1.6, 12.2, 27.4, 41.2, 50.6, 58.0), (0.8, 2.6, 1.0, 3.1, 3.7, 3.5)),
    _R("NN", "thompson", (1.2, 12.8, 25.4, 39.0, 52.8, 61.4), (0.7, 1.6, 1.4, 1.1, 3.9, 3.9)),
    _R("NN", "ei", (0.8, 14.4, 30.8, 44.2, 50.4, 56.0), (0.7, 3.7, 4.6, 4.4, 6.6, 7.5)),
    _R("NN", "pi", (1.2, 13.8, 28.6, 41.6, 47.8, 57.8), (1.2, 1.7, 3.3, 2.9, 5.0, 2.4)),
    _R("MPN", "greedy", (1.6, 15.2, 28.4, 44.4, 58.4, 67.0), (0.5, 2.6, 4.6, 5.2, 3.6, 3.0)),
    _R("MPN", "ucb", (0.2, 12.4, 26.0, 42.6, 53.2, 64.4), (0.4, 3.8, 2.3, 5.0, 4.8, 4.1)),
    _R("MPN", "thompson", (2.0, 13.2, 23.2, 35.4, 47.8, 60.0), (0.6, 2.5, 2.3, 4.5, 5.6, 4.1)),
    _R("MPN", "ei", (1.8, 13.4, 28.0, 42.4, 54.0, 64.4), (0.7, 4.2, 6.3, 5.4, 5.9, 3.8)),
    _R("MPN", "pi", (1.2, 14.6, 25.8, 41.6, 56.4, 63.0), (0.7, 2.5, 2.6, 1.6, 3.9, 3.2)),
)
"""Enamine's 10,560 molecules (those with a score number 10,449), the best 100."""

ENAMINE_50K: Final = (
    _R("RF", "greedy", (0.8, 21.2, 37.6, 47.6, 53.6, 59.1), (0.4, 2.6, 2.9, 2.2, 2.6, 2.9)),
    _R("RF", "ucb", (0.8, 14.7, 27.2, 35.2, 43.4, 49.0), (1.3, 4.1, 2.8, 1.4, 1.2, 1.4)),
    _R("NN", "greedy", (0.5, 25.7, 45.6, 58.6, 67.9, 74.8), (0.5, 1.7, 1.4, 1.5, 1.8, 1.1)),
    _R("NN", "ucb", (0.7, 23.1, 44.5, 58.1, 67.1, 74.4), (0.5, 2.0, 1.7, 0.9, 1.9, 1.4)),
    _R("MPN", "greedy", (0.9, 24.9, 43.4, 56.8, 66.4, 72.9), (0.4, 1.7, 1.1, 1.7, 1.3, 1.3)),
    _R("MPN", "ucb", (0.2, 25.0, 41.9, 56.1, 65.5, 72.7), (0.6, 0.5, 1.7, 1.0, 0.8, 0.5)),
)
"""Enamine's 50,240 molecules, the best 500."""


def best_published(
    rows: tuple[Published, ...], acquisition: str | None = None
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the highest mean at each budget, and whose it is.

    >>> best_published(ENAMINE_10K)[0]
    (2.0, 20.6, 34.4, 46.8, 58.4, 67.0)
    """
    chosen = [row for row in rows if acquisition in (None, row.acquisition)]
    best = [max(chosen, key=lambda row, k=k: row.means[k]) for k in range(6)]  # type: ignore[misc]
    means = tuple(row.means[k] for k, row in enumerate(best))
    return means, tuple(f"{row.model} {row.acquisition}" for row in best)
