"""Networks at work on a campaign's best molecules; what they say goes to ``rescored.parquet``."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, Final

from osong.errors import CampaignError, InputError
from osong_workflows.cnn_columns import cnn_values
from osong_workflows.export import row_molecules
from osong_workflows.folder import locked_by
from osong_workflows.merge import RANKED_COLUMNS, best_molecules, pose_rows
from osong_workflows.rescored_file import RescoredFile, sweep
from osong_workflows.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from osong.rescoring.rescorer import Rescorer
    from osong.rescoring.stream import PoseRescorer
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.part_names import Results
    from osong_workflows.rescored_file import RescoredMolecules

__all__ = ["rescore_best", "rescore_molecules"]

_LOCK: Final = "rescoring.lock"
_AT_ONCE: Final = 64
"""Molecules whose poses are in memory at a time."""
_WRITE_EVERY_S: Final = 120.0
"""Seconds of work after which the file is written anew."""
_WRITE_SHARE: Final = 20.0
"""Of a file that takes long to write, at most a twentieth of the time goes into writing it."""


def rescore_best(
    folder: CampaignFolder,
    campaign_key: str,
    results: Results,
    n: int,
    step: Callable[[int], None] = lambda _: None,
    *,
    rescorer: Rescorer | None = None,
    **networks: Any,
) -> RescoredMolecules:
    """Rescore the kept poses of a campaign's best molecules.

    Parameters
    ----------
    n
        How many molecules, lowest energy first.
    step
        Called with the number of molecules that are done with.
    rescorer
        The networks, made before.
    networks
        ``models``, ``rotations``, ``device``, ``threads``, ``weights`` as for ``osong.rescore``.

    Raises
    ------
    MissingExtraError
        torch or gninatorch is not installed.
    CampaignError
        Nothing has docked yet, another process rescores this campaign, or a file is damaged.
    """
    from osong.receptor import Target
    from osong.rescoring.rescorer import Rescorer
    from osong.rescoring.stream import PoseRescorer

    if n < 1:
        raise InputError(f"n must be at least 1, got {n}")
    best = best_molecules(results.paths, n)
    if not len(best):
        raise CampaignError(
            f"{folder.path}: no molecule has docked yet; run: osong resume {folder.path}"
        )
    target = Target.load(folder.target)
    scorer = PoseRescorer(target.receptor, rescorer or Rescorer(**networks))
    return rescore_molecules(folder, campaign_key, best, results.locate, scorer, step=step)


def rescore_molecules(
    folder: CampaignFolder,
    campaign_key: str,
    best: pa.Table,
    locate: Callable[[int], Path | None],
    scorer: PoseRescorer,
    *,
    step: Callable[[int], None] = lambda _: None,
) -> RescoredMolecules:
    """Rescore the kept poses of molecules, but for those that the file has already.

    Parameters
    ----------
    campaign_key
        Of the campaign's plan: rows of another campaign are not taken over.
    best
        What ``osong_workflows.merge.best_molecules`` gave; without a row, rows of other networks
        are put aside and no more.
    locate
        Returns the part that holds a molecule.
    step
        Called with the number of molecules that are done with.

    Raises
    ------
    CampaignError
        Another process rescores this campaign, or a part is damaged.
    ResourceError
        The disk is full; what was there before stays.
    """
    with locked_by(folder.path / _LOCK, "campaign's rescoring") as is_locked:
        if is_locked:
            sweep(folder)
        store = RescoredFile(folder, campaign_key, scorer)
        if not len(best):
            store.take_over()
        missing = store.missing(best)
        n_kept = len(best) - len(missing)
        step(n_kept)
        scoring = read_settings(folder.settings).scoring
        written, took = time.monotonic(), 0.0
        try:
            for rows in _batches(_rows(missing, locate)):
                store.add(_scored(rows, scorer, scoring))
                step(len(rows))
                now = time.monotonic()
                if now - written > max(_WRITE_EVERY_S, _WRITE_SHARE * took):
                    store.write()
                    written, took = time.monotonic(), time.monotonic() - now
        finally:
            # Also when the user has had enough, or a part is damaged: rows cost seconds each.
            store.write()
        return store.summary(best, n_kept)


def _rows(best: pa.Table, locate: Callable[[int], Path | None]) -> Iterator[dict[str, Any]]:
    """Yield the parts' rows of molecules in the library's order, reading each part once."""
    indices = sorted(best["index"].to_pylist())
    for part, group in itertools.groupby(indices, key=locate):
        wanted = list(group)
        if part is None:
            raise CampaignError(f"molecule {wanted[0]} is not docked; run: osong resume")
        yield from pose_rows(part, wanted)


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    source = iter(rows)
    while batch := list(itertools.islice(source, _AT_ONCE)):
        yield batch


def _scored(
    rows: Sequence[Mapping[str, Any]], scorer: PoseRescorer, scoring: str
) -> list[dict[str, Any]]:
    """Return the file's rows of molecules."""
    from osong.rescoring.fused import DockedEnergy

    mols = [row_molecules(row) for row in rows]
    energies = [DockedEnergy(pose["energy"], scoring) for row in rows for pose in row["poses"]]
    results = iter(scorer.score([mol for poses in mols for mol in poses], energies))
    return [
        {name: row[name] for name in RANKED_COLUMNS} | cnn_values([next(results) for _ in poses])
        for row, poses in zip(rows, mols, strict=True)
    ]
