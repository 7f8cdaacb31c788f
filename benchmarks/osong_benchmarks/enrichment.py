"""How early actives come in a ranked list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["auc", "bedroc", "enrichment_factor", "ranked_flags"]

_TIES_SEED: Final = 0

Flags = npt.NDArray[np.bool_]


def ranked_flags(scores: npt.ArrayLike, is_active: npt.ArrayLike) -> Flags:
    """Return which molecules are active, best (lowest) score first; those without one last.

    Ties are broken by lot, the same at each call, so that the file's order decides nothing.
    """
    values, flags = np.asarray(scores, np.float64), np.asarray(is_active, np.bool_)
    lot = np.random.default_rng(_TIES_SEED).permutation(len(values))
    return np.asarray(flags[np.lexsort((lot, values))])


def enrichment_factor(ranked: Sequence[bool] | Flags, fraction: float) -> float:
    """Return how many times more actives the top holds than a random part; at least one molecule.

    >>> enrichment_factor([True, False, False, False], 0.25)
    4.0
    """
    flags = np.asarray(ranked, np.bool_)
    n_top = max(1, math.ceil(fraction * len(flags) - 1e-9))
    return float(flags[:n_top].mean() / flags.mean())


def auc(ranked: Sequence[bool] | Flags) -> float:
    """Return the probability that an active stands before an inactive.

    >>> auc([True, False, True, False])
    0.75
    """
    flags = np.asarray(ranked, np.bool_)
    n_active = int(flags.sum())
    behind = np.cumsum(~flags)[flags]
    return float(1.0 - behind.mean() / (len(flags) - n_active))


def bedroc(ranked: Sequence[bool] | Flags, alpha: float = 20.0) -> float:
    """Return the Boltzmann-enhanced discrimination: 1 for all actives first, 0 for all last.

    References
    ----------
    Truchon and Bayly 2007, doi:10.1021/ci600426e, equation 36.
    """
    flags = np.asarray(ranked, np.bool_)
    n, ranks = len(flags), np.flatnonzero(flags) + 1.0
    share = len(ranks) / n
    total = float(np.exp(-alpha * ranks / n).sum())
    by_lot = share * (1.0 - math.exp(-alpha)) / math.expm1(alpha / n)
    factor = (
        share
        * math.sinh(alpha / 2.0)
        / (math.cosh(alpha / 2.0) - math.cosh(alpha / 2.0 - alpha * share))
    )
    return total / by_lot * factor + 1.0 / (1.0 - math.exp(alpha * (1.0 - share)))
