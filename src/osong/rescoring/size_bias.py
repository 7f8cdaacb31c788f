"""Docking scores without their preference for large ligands: an option, off by default.

A docking energy is a sum over atoms, so that large ligands come first whether they bind or not
(Pan et al. 2003, doi:10.1021/ci020055f). Two corrections:

``power``
    energy / n_heavy**alpha. An alpha of 1 is ligand efficiency, which prefers small ligands
    instead; 1/3 leaves Vina's energies least dependent on size. It needs nothing but the ligand
    itself, so it means the same in every library.
``residual``
    The energy less what a ligand of its size has in this library: the residual of a straight
    line, fitted by least squares to all energies of one table. Uncorrelated with size by
    construction. It needs the whole library, not its best part: of the best, the large ones are no
    better than the small ones. And where actives are large because the pocket is, it takes that
    advantage away too.

``docs/rescoring.md`` has their effect on enrichment.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from osong.errors import InputError

__all__ = ["ALPHA", "METHODS", "Method", "correct_for_size", "size_corrected"]

Method: TypeAlias = Literal["power", "residual"]

METHODS: Final[tuple[Method, ...]] = ("power", "residual")
ALPHA: Final = 1.0 / 3.0
"""Exponent of ``power``. Of 1/3, 1/2 and 1, that under which the scores of two targets (FABP4 and
NOS1 of DUD-E) depended least on size; 1/2 was meant before, and prefers small ligands there."""


def size_corrected(
    energy: npt.ArrayLike,
    n_heavy: npt.ArrayLike,
    *,
    method: Method = "power",
    alpha: float = ALPHA,
) -> npt.NDArray[np.float64]:
    """Return energies that are corrected for the ligands' sizes; lower is better, as before.

    Parameters
    ----------
    energy
        (n,), kcal/mol; NaN for ligands that were not docked.
    n_heavy
        (n,), heavy atoms of each ligand; NaN where there is no energy.
    method
        ``"power"`` (kcal/mol per heavy atom to the ``alpha``) or ``"residual"`` (kcal/mol).
    alpha
        Exponent of ``power``, 0 (nothing is corrected) to 1 (ligand efficiency).

    Returns
    -------
    (n,) float64; NaN where the energy is. Neither such rows nor their order change the others.

    Raises
    ------
    InputError
        If lengths differ, a docked ligand has no size, or an argument is none that is known.

    Examples
    --------
    >>> size_corrected([-8.0, -9.0], [8, 27])
    array([-4., -3.])
    """
    energies, sizes = _checked(energy, n_heavy)
    if method == "power":
        if not 0.0 <= alpha <= 1.0:
            raise InputError(f"alpha is {alpha}; it may be 0 (no correction) to 1")
        return np.asarray(energies / sizes**alpha)
    if method == "residual":
        return energies - _expected(energies, sizes)
    raise InputError(f"method is {method!r}; it may be {' or '.join(METHODS)}")


def correct_for_size(
    table: pd.DataFrame, *, method: Method = "power", alpha: float = ALPHA
) -> pd.DataFrame:
    """Return a table of results, best first by corrected energy, with ``energy_for_size`` added.

    Parameters
    ----------
    table
        One row a ligand, with ``energy`` and ``n_heavy``, such as ``campaign.top(None)``; for
        ``residual`` all of the library, not its best part.
    method, alpha
        See `size_corrected`.

    Notes
    -----
    Ties go by energy, then as the rows came; ligands without an energy come last. The table that
    was given stays as it is.

    Examples
    --------
    >>> campaign = osong.screen(target, "library.smi")  # doctest: +SKIP
    >>> correct_for_size(campaign.top(None)).head(20)  # doctest: +SKIP
    """
    missing = [name for name in ("energy", "n_heavy") if name not in table.columns]
    if missing:
        raise InputError(f"the table lacks the column {' and '.join(missing)}")
    corrected = size_corrected(
        table["energy"].to_numpy(np.float64),
        table["n_heavy"].to_numpy(np.float64),
        method=method,
        alpha=alpha,
    )
    order = np.lexsort((table["energy"].to_numpy(np.float64), corrected))
    return table.assign(energy_for_size=corrected).iloc[order]


def _checked(
    energy: npt.ArrayLike, n_heavy: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    energies, sizes = np.asarray(energy, np.float64), np.asarray(n_heavy, np.float64)
    if energies.ndim != 1 or energies.shape != sizes.shape:
        raise InputError(f"energies and sizes have shapes {energies.shape} and {sizes.shape}")
    is_docked = ~np.isnan(energies)
    if np.isinf(energies).any():
        raise InputError(f"energy {np.flatnonzero(np.isinf(energies))[0]} is infinite")
    bad = np.flatnonzero(is_docked & ~(np.isfinite(sizes) & (sizes >= 1.0)))
    if len(bad):
        raise InputError(
            f"ligand {bad[0]} has an energy and {sizes[bad[0]]} heavy atoms; wanted 1 or more"
        )
    return energies, np.where(is_docked, sizes, np.nan)


def _expected(
    energies: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the energy that the library's ligands of a size have, by a straight line."""
    is_docked = ~np.isnan(energies)
    x, y = sizes[is_docked], energies[is_docked]
    if not len(x):
        return np.full_like(energies, np.nan)
    apart = x - x.mean()
    spread = float(apart @ apart)
    slope = float(apart @ (y - y.mean())) / spread if spread > 0.0 else 0.0
    return np.asarray(y.mean() + slope * (sizes - x.mean()))
