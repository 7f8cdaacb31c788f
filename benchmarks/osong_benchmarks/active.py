"""`osong bench active`: how much of the best is found by docking a small share of known scores."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import osong.active
from osong.active import (
    Acquisition,
    ActiveLoop,
    ActiveSettings,
    FeatureStore,
    SurrogateOptions,
    run_active,
    write_features,
)
from osong.errors import InputError
from osong_benchmarks.active_scores import KnownScores, read_scores, top_found

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ActiveRun", "ActiveTable", "command_of", "measure_active"]


@dataclass(frozen=True)
class ActiveRun:
    """One run: an acquisition and a seed.

    Attributes
    ----------
    acquisition
        Its name.
    seed
        Its seed.
    found
        Share of the best found after each round.
    expected, low, high
        What the surrogate said of the recall when it chose each round after the first, and at
        the end: one value for each of `found`; NaN where too few were docked.
    docked
        Molecules that were docked, in order.
    predicted
        (n, 3): true score, guess and deviation of undocked molecules at the end; of the first
        seed of each acquisition only.
    seconds
        Wall time.
    """

    acquisition: str
    seed: int
    found: tuple[float, ...]
    expected: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    docked: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.float64] | None
    seconds: float


@dataclass(frozen=True)
class ActiveTable:
    """What was measured.

    Attributes
    ----------
    source
        The file of scores.
    n, n_failed
        Molecules with a score, and rows without one or without a fingerprint.
    k, batch
        Size of the top, and molecules a round.
    runs
        All of them.
    settings
        What was asked, for the provenance.
    """

    source: str
    n: int
    n_failed: int
    k: int
    batch: int
    runs: tuple[ActiveRun, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def acquisitions(self) -> list[str]:
        """Return the names of the acquisitions, in order."""
        return list(dict.fromkeys(run.acquisition for run in self.runs))

    def found(self, acquisition: str) -> npt.NDArray[np.float64]:
        """Return the shares found, (n_seeds, n_rounds)."""
        return np.array([run.found for run in self.runs if run.acquisition == acquisition])


def measure_active(
    scores: str | Path,
    *,
    out: Path,
    budget: float = 0.06,
    batch: float = 0.01,
    n_seeds: int = 5,
    first_seed: int = 0,
    acquisitions: Sequence[str] = ("greedy", "ucb"),
    beta: float | None = None,
    top: float = 0.01,
    initial: str = "random",
    surrogate: SurrogateOptions | None = None,
    smiles_column: str = "smiles",
    score_column: str = "score",
    say: Callable[[str], None] = lambda line: None,
) -> ActiveTable:
    """Run the loop on known scores; what is finished is kept in `out`.

    Parameters
    ----------
    budget, batch
        Shares of the library: docked in all, and docked a round.
    top
        What counts as the best: a share, or from 1 on a number of molecules.
    n_seeds, first_seed
        Runs of each acquisition, and the seed of the first.
    acquisitions
        See `osong.active.Acquisition`.
    beta
        Of "ucb".
    """
    known = read_scores(scores, smiles_column=smiles_column, score_column=score_column)
    if not 0.0 < batch <= budget <= 1.0 or top <= 0.0 or n_seeds < 1:
        raise InputError(
            "--budget, --batch and --top are shares of the library (6%), a batch is no more than "
            "the budget, and there is at least one seed"
        )
    say("fingerprints")
    store = write_features(known.smiles, out / "features")
    n = int(np.isfinite(known.scores).sum())
    size = math.ceil(batch * len(known.scores))
    k = round(top) if top >= 1 else max(1, int(top * n))
    runs = []
    for name in acquisitions:
        acquisition = Acquisition(name) if beta is None else Acquisition(name, beta=beta)  # type: ignore[arg-type]
        for seed in range(first_seed, first_seed + n_seeds):
            settings = ActiveSettings(
                budget=round(budget / batch) * size, batch=size, n_top=k, patience=10**6,
                initial=initial, acquisition=acquisition,  # type: ignore[arg-type]
                surrogate=surrogate or SurrogateOptions(), seed=seed,
            )  # fmt: skip
            folder = out / f"runs-{_recipe(known)}" / f"{name}-{seed}"
            run = _one_run(store, known, folder, settings, seed == first_seed)
            say(f"{name}, seed {seed}: " + " ".join(f"{100 * x:.1f}" for x in run.found))
            runs.append(run)
    asked = {
        "budget": budget, "batch": batch, "top": top, "seeds": n_seeds, "seed": first_seed,
        "acquisition": ",".join(acquisitions), "beta": beta, "initial": initial,
        "surrogate": surrogate.kind if surrogate else "mlp",
    }  # fmt: skip
    n_failed = len(known.scores) - n
    return ActiveTable(Path(scores).name, n, n_failed, k, size, tuple(runs), asked)


def _recipe(known: KnownScores) -> str:
    """Return a hash of the scores and of what picks molecules: older runs are not taken for new."""
    digest = blake2b(np.ascontiguousarray(known.scores, np.float64).tobytes(), digest_size=6)
    for path in sorted(Path(osong.active.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _one_run(
    store: FeatureStore, known: KnownScores, folder: Path, settings: ActiveSettings, detailed: bool
) -> ActiveRun:
    begun = time.perf_counter()
    result = run_active(store, known, folder, settings)
    seconds = time.perf_counter() - begun
    found, expected, docked = [], [], np.empty(0, np.int64)
    for one in result.rounds:
        docked = np.concatenate([docked, one.index])
        found.append(top_found(known.scores, docked, settings.n_top))
    for notes in [*(one.notes.get("recall") for one in result.rounds[1:]), _last(result)]:
        expected.append((notes["value"], notes["low"], notes["high"]) if notes else (math.nan,) * 3)
    value, low, high = zip(*expected, strict=True)
    predicted = None
    if detailed and settings.acquisition.kind != "random":
        predicted = _predicted(store, known, folder, settings, docked)
    return ActiveRun(
        settings.acquisition.kind, settings.seed, tuple(found), value, low, high, docked, predicted,
        seconds,
    )  # fmt: skip


def _last(result: Any) -> dict[str, float] | None:
    return vars(result.recall) if result.recall else None


def _predicted(
    store: FeatureStore, known: KnownScores, folder: Path, settings: ActiveSettings,
    docked: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Return true scores of what is not docked beside the last surrogate's guesses."""
    loop = ActiveLoop(store, folder, settings)
    surrogate = loop.surrogate(loop.files.rounds())
    rows = []
    for batch in store.batches(with_smiles=surrogate.needs_smiles):
        said = surrogate.predict(batch)
        total = np.sqrt(said.deviation.astype(np.float64) ** 2 + said.noise**2)
        new = ~np.isin(batch.index, docked) & np.isfinite(known.scores[batch.index])
        rows.append(np.column_stack([known.scores[batch.index], said.mean, total])[new])
    return np.concatenate(rows)


def command_of(table: ActiveTable) -> str:
    """Return the command that measures a table again."""
    words = ["osong", "bench", "active", "--scores", table.source]
    for name, value in table.settings.items():
        if value is not None:
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
