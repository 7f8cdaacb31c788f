"""Known scores as the oracle of active learning: reading them, and how much of the top is found."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from osong.errors import InputError
from osong.library.streams import read_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from osong.active import Request

__all__ = ["KnownScores", "read_scores", "top_found"]


@dataclass(frozen=True)
class KnownScores:
    """Molecules whose score is known already: docks by looking it up.

    Attributes
    ----------
    smiles
        One a molecule.
    scores
        (n,) float64, lower is better; NaN where there is none.
    """

    smiles: tuple[str, ...]
    scores: npt.NDArray[np.float64]

    def score(self, request: Request) -> npt.NDArray[np.float64]:
        """Return the scores that were asked for."""
        return self.scores[request.index]


def read_scores(
    path: str | Path, *, smiles_column: str = "smiles", score_column: str = "score"
) -> KnownScores:
    """Return SMILES and scores of a CSV file, compressed or not.

    A score that is missing or no number is kept as NaN: a molecule whose docking fails.

    Raises
    ------
    InputError
        Where the file cannot be read, lacks a column, or has no score at all.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    rows = csv.reader(line.decode("utf-8", "replace") for line in read_lines(path))
    header = [name.strip().lower() for name in next(rows, [])]
    columns = []
    for name, option in ((smiles_column, "smiles-column"), (score_column, "score-column")):
        if name.lower() not in header:
            raise InputError(
                f"{path}: has no column '{name}' (it has: {', '.join(header) or 'nothing'}): "
                f"name it with --{option}"
            )
        columns.append(header.index(name.lower()))
    smiles: list[str] = []
    scores: list[float] = []
    for row in rows:
        if row:
            padded = [*row, *[""] * len(header)]
            smiles.append(padded[columns[0]].strip())
            scores.append(_number(padded[columns[1]]))
    values = np.array(scores, dtype=np.float64)
    if not np.isfinite(values).any():
        raise InputError(f"{path}: no row has a score in column '{score_column}'")
    return KnownScores(tuple(smiles), values)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan


def top_found(
    scores: npt.NDArray[np.float64], docked: Sequence[int] | npt.NDArray[np.int64], k: int
) -> float:
    """Return the share of the best `k` scores that was found.

    As MolPAL counts them: a score that several molecules share is found as often as molecules
    with it are docked, and counts as often as it stands among the best `k`.

    >>> scores = np.array([-9.0, -8.0, -8.0, -8.0, -1.0])
    >>> top_found(scores, [0, 3], 2), top_found(scores, [1, 2], 2)
    (1.0, 0.5)
    """
    finite = scores[np.isfinite(scores)]
    if not 1 <= k <= len(finite):
        raise InputError(f"the best {k} of {len(finite)} scores: ask for fewer")
    top = np.sort(finite)[:k]
    found = scores[np.asarray(docked, dtype=np.int64)]
    n_better = int((found < top[-1]).sum())
    n_equal = min(int((found == top[-1]).sum()), int((top == top[-1]).sum()))
    return (n_better + n_equal) / k
