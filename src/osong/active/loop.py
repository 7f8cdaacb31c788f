"""Dock a batch, train, predict the rest, dock the most promising, until enough is docked.

The loop knows no docking: it writes which molecules it wants, and takes their scores. A caller who
docks by other means (a campaign a round) uses `ActiveLoop.next_request` and `ActiveLoop.answer`;
`run_active` does so with any `Oracle`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from osong.active.acquisition import Acquisition, pick_spread
from osong.active.predict import TopCandidates, choose_batch
from osong.active.settings import FEWEST, ActiveSettings
from osong.active.state import ActiveFolder, Round
from osong.active.stopping import Recall, RecallTally, StoppingRule
from osong.active.surrogate import (
    Surrogate,
    SurrogateOptions,
    fit_surrogate,
    load_surrogate,
    save_surrogate,
)
from osong.errors import CampaignError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from osong.active.store import FeatureBatch, FeatureStore

__all__ = ["ActiveLoop", "ActiveResult", "Oracle", "Request", "run_active"]

_DRAWN_FROM: Final = 10
"""A first batch that is not random is chosen among so many times as many, drawn at random."""
_MOST_SPREAD: Final = 5000
"""A first batch of more is random: it covers the library without help."""


@dataclass(frozen=True)
class Request:
    """Molecules to dock.

    Attributes
    ----------
    round
        From 0.
    index
        (n,) int64: positions in the library, most promising first.
    """

    round: int
    index: npt.NDArray[np.int64]


class Oracle(Protocol):
    """What docks."""

    def score(self, request: Request) -> npt.NDArray[np.float64]:
        """Return the score of each molecule, lower is better, NaN where it failed.

        May be asked the same again after a crash, and should then go on where it stopped.
        """
        ...


@dataclass(frozen=True)
class ActiveResult:
    """What a run found.

    Attributes
    ----------
    index, scores
        (n,) int64 and float64: all that was asked for, in order, NaN where docking failed.
    reason
        Why it ended.
    recall
        Estimate for the best `n_top`; None where too few are docked.
    rounds
        The rounds, with what was expected of each.
    """

    index: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    reason: str
    recall: Recall | None
    rounds: tuple[Round, ...]


class ActiveLoop:
    """One run, whose whole state is in its folder: another process goes on where this one ended.

    Parameters
    ----------
    store
        Fingerprints of the library.
    folder
        New, or that of a run to go on with.
    settings
        How it goes; budget, patience and recall may be others than before.
    step
        Called with the number of molecules that a surrogate has been through.

    Raises
    ------
    CampaignError
        Where the folder is that of another library or other settings.
    """

    def __init__(
        self,
        store: FeatureStore,
        folder: str | Path,
        settings: ActiveSettings,
        *,
        step: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.settings = settings
        self._step = step
        self.files = ActiveFolder(folder)
        self.n_usable = store.n_records - store.n_failed
        if self.n_usable < settings.batch:
            raise InputError(
                f"{store.folder}: {self.n_usable} molecules have a fingerprint, fewer than a batch "
                f"of {settings.batch}: dock them all, or take a smaller batch"
            )
        self.files.begin({"library": store.digest, "settings": settings.asked()})

    def next_request(self) -> Request | None:
        """Return what is to be docked next; None where the run has ended.

        Trains and predicts where that is to be done first. A request without answers is returned
        again.
        """
        rounds = self.files.rounds()
        if self.finished() is not None:
            return None
        if rounds and rounds[-1].scores is None:
            return Request(rounds[-1].number, rounds[-1].index)
        if not rounds:
            index = self._first_batch()
            self.files.write_request(0, index, {})
            return Request(0, index)
        return self._following(rounds)

    def answer(
        self, request: Request, scores: npt.NDArray[np.float64], *, are_final: bool = False
    ) -> None:
        """Take the scores of a request.

        Parameters
        ----------
        are_final
            Whether molecules without a score would fail again: then all of them may have failed.

        Raises
        ------
        InputError
            Where their number is not that of the molecules.
        CampaignError
            Where something else is being waited for, or all of many have failed: what docks is at
            fault, then, and the round is asked for again.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != request.index.shape:
            raise InputError(
                f"round {request.round}: {scores.size} scores for {len(request.index)} molecules: "
                "give one each, NaN for what failed"
            )
        rounds = self.files.rounds()
        waiting = rounds[-1] if rounds else None
        if (
            waiting is None
            or waiting.scores is not None
            or waiting.number != request.round
            or not np.array_equal(waiting.index, request.index)
        ):
            raise CampaignError(f"{self.files.folder}: round {request.round} is not waited for")
        if not are_final and len(scores) >= FEWEST and not np.isfinite(scores).any():
            raise CampaignError(
                f"{self.files.folder}: none of the {len(scores)} molecules of round "
                f"{request.round} has a score: find out why docking fails, then go on with this run"
            )
        self.files.write_answers(request.round, request.index, scores)

    def finished(self) -> dict[str, Any] | None:
        """Return why the run ended; None where it has not, by what decides that now."""
        content = self.files.finished()
        is_so = content is not None and content.get("until") == self.settings.until()
        return content if is_so else None

    def result(self) -> ActiveResult:
        """Return what was found so far."""
        rounds = [one for one in self.files.rounds() if one.scores is not None]
        index, scores = _all_of(rounds)
        finished = self.finished() or {}
        recall = finished.get("recall")
        return ActiveResult(
            index, scores, finished.get("reason", ""), Recall(**recall) if recall else None,
            tuple(rounds),
        )  # fmt: skip

    def surrogate(self, rounds: list[Round]) -> Surrogate:
        """Return the ensemble trained on some rounds: from its file, or trained now."""
        folder = self.files.round_folder(len(rounds))
        index, scores = _all_of(rounds)
        good = np.isfinite(scores)
        inputs = self._inputs(index, scores)
        path = folder / "surrogate.pt"
        if path.exists() and path.with_suffix(".json").exists():
            return load_surrogate(path, inputs=inputs)
        options = SurrogateOptions(
            **{**asdict(self.settings.surrogate), "seed": self.settings.seed}
        )
        try:
            batch = self.store.take(index[good], with_smiles=options.kind == "graph")
            trained = fit_surrogate(batch, scores[good], options, checkpoint=folder / "networks")
        except InputError as error:
            raise InputError(
                f"{self.files.folder}: after {len(rounds)} rounds, with {int((~good).sum())} of "
                f"{len(scores)} molecules failed: {error}"
            ) from error
        save_surrogate(trained, path, inputs=inputs)
        return trained

    def _following(self, rounds: list[Round]) -> Request | None:
        settings = self.settings
        index, scores = _all_of(rounds)
        n_good = int(np.isfinite(scores).sum())
        n_left = self.n_usable - len(index)
        room = max(0, min(settings.budget - len(index), n_left))
        number = len(rounds)
        notes: dict[str, Any] = {
            "n_docked": len(index),
            "n_failed": len(index) - n_good,
            "recall": None,
        }
        before = self.files.finished()
        surrogate = None
        if room == 0 and before is not None and before.get("n_docked") == len(index):
            # Nothing has come since it ended: what was estimated then holds.
            notes |= {key: before[key] for key in ("recall", "calibration") if key in before}
            chosen = index[:0]
        elif n_good < FEWEST:
            chosen = self._at_random(index, min(settings.batch, room))
        else:
            surrogate = self.surrogate(rounds)
            chosen, missing = self._choose(surrogate, index, scores, min(settings.batch, room))
            notes |= {
                "recall": asdict(missing) if missing else None,
                "calibration": asdict(surrogate.calibration),
            }
        rule = StoppingRule(settings.budget, settings.patience, settings.recall)
        told: Any = notes["recall"]
        reason = rule.reason(
            len(index),
            n_left,
            _new_in_top(rounds, settings.n_top),
            Recall(**told) if told else None,
        )
        if reason:
            self.files.write_finished({"reason": reason, "until": settings.until(), **notes})
            return None
        expected = self._expected(surrogate, chosen) if surrogate is not None else None
        self.files.write_request(number, chosen, notes, expected)
        return Request(number, chosen)

    def _choose(
        self,
        surrogate: Surrogate,
        index: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float64],
        n: int,
    ) -> tuple[npt.NDArray[np.int64], Recall | None]:
        """Return the `n` most promising molecules, and what may be missing of the top."""
        settings = self.settings
        is_enough = int(np.isfinite(scores).sum()) >= settings.n_top
        tally = RecallTally(scores, settings.n_top) if is_enough else None
        n_rounds = len(self.files.rounds())
        chosen = choose_batch(
            surrogate, self._library(surrogate), index, n, settings.acquisition,
            seed=settings.seed * 1000 + n_rounds, tally=tally, threads=settings.surrogate.threads,
        )  # fmt: skip
        if tally is None:
            return chosen, None
        return chosen, tally.recall(settings.seed, max(surrogate.calibration.n, 1))

    def _at_random(self, docked: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
        """Return `n` molecules that are not docked: too few have scores to learn from."""
        drawn = TopCandidates(n)
        known = np.sort(docked)
        for batch in self.store.batches():
            new = ~np.isin(batch.index, known, assume_unique=True)
            chances = _chances(Acquisition(kind="random"), batch, self.settings.seed + len(docked))
            drawn.add(chances[new], batch.index[new], batch.bits[new, :0])
        best = drawn.best()
        return np.sort(best.index)

    def _expected(
        self, surrogate: Surrogate, chosen: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return mean and deviation of the scores of molecules."""
        batch = self.store.take(chosen, with_smiles=surrogate.needs_smiles)
        said = surrogate.predict(batch)
        deviation = np.hypot(said.deviation.astype(np.float64), said.noise)
        return said.mean.astype(np.float64), deviation

    def _library(self, surrogate: Surrogate) -> Callable[[], Iterator[FeatureBatch]]:
        def batches() -> Iterator[FeatureBatch]:
            for batch in self.store.batches(with_smiles=surrogate.needs_smiles):
                yield batch
                self._step(len(batch.index))

        return batches

    def _first_batch(self) -> npt.NDArray[np.int64]:
        n, seed, initial = self.settings.batch, self.settings.seed, self.settings.initial
        if initial == "diverse" and n > _MOST_SPREAD:
            initial = "random"
        drawn = TopCandidates(n if initial == "random" else n * _DRAWN_FROM)
        chance = Acquisition(kind="random")
        for batch in self.store.batches():
            # What is kept of a candidate is no more than is needed to choose among them.
            kept = batch.bits if initial == "diverse" else _n_fragments(batch.bits)
            drawn.add(_chances(chance, batch, seed), batch.index, kept)
        best = drawn.best()
        order = np.lexsort((best.index, -best.utility))
        if initial == "diverse":
            order = order[pick_spread(best.bits[order], n, seed)]
        elif initial == "large":
            n_fragments = best.bits[order].view(np.uint16)[:, 0].astype(np.int64)
            large = np.argsort(-n_fragments, kind="stable")[: n // 2]
            others = np.setdiff1d(np.arange(len(order)), large)[: n - len(large)]
            order = order[np.concatenate([large, others])]
        return np.sort(best.index[order])

    def _inputs(self, index: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> str:
        told = repr((self.store.digest, self.settings.asked()["surrogate"], self.settings.seed))
        digest = blake2b(told.encode(), digest_size=16)
        digest.update(index.tobytes())
        digest.update(scores.tobytes())
        return digest.hexdigest()


def run_active(
    store: FeatureStore,
    oracle: Oracle,
    folder: str | Path,
    settings: ActiveSettings,
    *,
    said: Callable[[str], None] = lambda line: None,
) -> ActiveResult:
    """Run until enough is docked, or go on with a run that was interrupted.

    Parameters
    ----------
    said
        Hears a line about every round.
    """
    loop = ActiveLoop(store, folder, settings)
    while (request := loop.next_request()) is not None:
        said(f"round {request.round}: {len(request.index)} molecules to dock")
        loop.answer(request, oracle.score(request))
    result = loop.result()
    said(f"ended: {result.reason}" + (f"; {result.recall}" if result.recall else ""))
    return result


def _n_fragments(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return how many bits of each molecule are set, as two bytes (n, 2)."""
    counts = np.bitwise_count(bits).sum(axis=1, dtype=np.uint16)
    return np.ascontiguousarray(counts[:, None]).view(np.uint8)


def _chances(chance: Acquisition, batch: FeatureBatch, seed: int) -> npt.NDArray[np.float32]:
    from osong.active.surrogate import Prediction

    nothing = Prediction(np.empty((len(batch.index), 0), np.float32), 0.0)
    return chance.utility(nothing, batch.index, seed)


def _all_of(
    rounds: list[Round],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return all molecules of some rounds with their scores, in order."""
    index = [one.index for one in rounds]
    scores = [one.scores for one in rounds if one.scores is not None]
    if not index:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    return np.concatenate(index), np.concatenate(scores)


def _new_in_top(rounds: list[Round], n_top: int) -> list[int]:
    """Return, for each round with scores after the first, how many entered the best so far."""
    entered: list[int] = []
    before = np.empty(0)
    for number, one in enumerate(rounds):
        scores = np.empty(0) if one.scores is None else one.scores[np.isfinite(one.scores)]
        together = np.sort(np.concatenate([before, scores]))[:n_top]
        if number and len(scores):
            worst = before[n_top - 1] if len(before) >= n_top else np.inf
            entered.append(int((scores < worst).sum()))
        before = together
    return entered
