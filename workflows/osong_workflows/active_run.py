"""What a pilot of an active campaign does: dock rounds with the others, choose the next alone.

Any number of pilots may work at it. All dock the round that there is; one of them, whoever takes
the lock first, then trains and chooses the next while the others wait.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from osong.active import ActiveLoop, FeatureStore, write_features
from osong.active.pictures import write_pictures
from osong.active.settings import FEWEST
from osong.errors import CampaignError, CampaignStoppedError, InputError, OsongError
from osong_workflows.active_rounds import ActiveRounds, Library, is_docked, smiles_reader
from osong_workflows.events import PicturesFailed, RoundBegun, StrategyEnded
from osong_workflows.folder import full_disk, locked_by, locked_in_turn
from osong_workflows.settings import read_settings
from osong_workflows.strategy import active_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osong.active import ActiveSettings, Request
    from osong.active.state import Round
    from osong_workflows.events import Publisher
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.settings import CampaignSettings

__all__ = ["ActiveRun", "Steps", "settings_of_run"]

_POLL_S: Final = 1.0
"""How often pilots look whether the next round is chosen."""


class Steps:
    """Hears how far a long step is; this one tells nobody."""

    def begin(self, what: str, n: int) -> None:
        """Begin a step over `n` molecules."""

    def advance(self, n: int) -> None:
        """Count `n` more molecules."""

    def end(self) -> None:
        """End the step."""


@dataclass(frozen=True)
class ActiveRun:
    """One pilot's work on an active campaign.

    Attributes
    ----------
    rounds
        The campaign on disk.
    library
        Its molecules.
    workers
        Cores of this process.
    dock
        Docks what is left of a round's campaign, with other pilots.
    publish
        Hears of rounds.
    steps
        Hears of fingerprints and predictions.
    """

    rounds: ActiveRounds
    library: Library
    workers: int
    dock: Callable[[CampaignFolder], None]
    publish: Publisher
    steps: Steps

    def work(self) -> None:
        """Work until nothing more is to be docked.

        Raises
        ------
        CampaignError
            Docking or choosing is impossible as things are; what is finished stays.
        """
        looks_at = self.rounds.campaigns()
        while True:
            missing = next((folder for folder in looks_at if not is_docked(folder)), None)
            if missing is not None and missing.plan.exists():
                self.dock(missing)
                continue
            if missing is None and self._is_over():
                return
            # What has no campaign yet, or none any more, is one process's work.
            if not self._choose():
                time.sleep(_POLL_S)
            # Of rounds before the last, results may have been lost; but not again and again.
            looks_at = self.rounds.campaigns()[0 if missing is not None else -1 :]

    def _is_over(self) -> bool:
        """Return whether the strategy has ended, by what was asked last."""
        if not self.rounds.is_begun:
            return False
        content = self.rounds.state.finished()
        until = settings_of_run(self.rounds, self.library, self._asked()).until()
        return content is not None and content.get("until") == until

    def _asked(self) -> CampaignSettings:
        """Return what is asked now: a larger budget may have been given meanwhile."""
        return read_settings(self.rounds.folder.settings)

    def _choose(self) -> bool:
        """Take scores in and choose what is next, unless another process does; return whether."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked_by(self.rounds.lock, "active campaign"))
            except CampaignError:
                return False
            self._choose_alone()
        return True

    def _choose_alone(self) -> None:
        settings = self._asked()
        loop = self._loop(settings)
        for one in loop.files.rounds():
            self._make(loop, settings, one)
        while (request := loop.next_request()) is not None:
            self.steps.end()
            one = loop.files.rounds()[request.round]
            self._make(loop, settings, one)
            if not is_docked(self.rounds.round_folder(request.round)):
                return
            self._answer(loop, request)
            self._draw(loop)
            self.steps.begin("learning, choosing", loop.n_usable)
        self.steps.end()
        self._draw(loop)
        result = loop.result()
        self.publish(StrategyEnded(result.reason, str(result.recall or "")))

    def _make(self, loop: ActiveLoop, settings: CampaignSettings, one: Round) -> None:
        """Make the campaign of a round, where there is none, and tell of it."""
        if self.rounds.round_folder(one.number).plan.exists():
            self.rounds.check_round(one)
            return
        self.rounds.make_round(self.library, settings, one, workers=self.workers)
        self.publish(_begun(loop, one))

    def _draw(self, loop: ActiveLoop) -> None:
        """Draw the pictures; they are for people, and docking goes on without them."""
        try:
            write_pictures(loop.files, self.rounds.pictures, loop.settings.n_top)
        except OsongError as error:
            self.publish(PicturesFailed(str(error)))

    def _answer(self, loop: ActiveLoop, request: Request) -> None:
        one = loop.files.rounds()[request.round]
        if one.scores is None:
            # A row of a part is final: what failed would fail again.
            loop.answer(request, self.rounds.scores(one), are_final=True)

    def _loop(self, settings: CampaignSettings) -> ActiveLoop:
        asked = settings_of_run(self.rounds, self.library, settings, self.workers)
        store = self._features()
        folder = self.rounds.folder.path
        begun_with = self.rounds.state.library()
        if begun_with not in (None, store.digest):
            raise CampaignError(
                f"{store.folder}: has fingerprints of another library than that of {folder}: "
                f"remove it, or restore it, then run: osong resume {folder}"
            )
        n_usable = store.n_records - store.n_failed
        if n_usable < FEWEST:
            raise InputError(
                f"{folder}: {n_usable} of {store.n_records:,} molecules have a fingerprint, too "
                "few to learn from: dock the library without a strategy, in another folder"
            )
        self.rounds.keep_unread(store)
        asked = replace(asked, batch=min(asked.batch, n_usable))
        return ActiveLoop(store, self.rounds.state.folder, asked, step=self.steps.advance)

    def _features(self) -> FeatureStore:
        """Return the fingerprints, made where they are not there yet."""
        place, n_records = self.rounds.features, self.library.plan.n_records
        is_checked = self.rounds.shared is None or self.rounds.is_begun
        if is_checked and (place / "features.json").exists():
            store = FeatureStore.open(place)
        else:
            store = self._make_features(place)
        if store.n_records != n_records:
            raise CampaignError(
                f"{place}: has {store.n_records:,} molecules and the campaign {n_records:,}: "
                "remove this folder, and it is made anew"
            )
        return store

    def _make_features(self, place: Path) -> FeatureStore:
        """Make the fingerprints, or find that those that are there are of this library."""
        with full_disk(place):
            place.mkdir(parents=True, exist_ok=True)
        self.steps.begin("fingerprints", self.library.plan.n_records)
        lock = place / "lock"
        with locked_in_turn(lock, "folder of fingerprints", "until they are made") as is_alone:
            if is_alone:  # else another may be writing what looks like a leftover
                for leftover in place.glob(".features-*.tmp"):
                    leftover.unlink(missing_ok=True)
            store = write_features(
                self.library.records,
                place,
                workers=self.workers,
                smiles_of=smiles_reader(self.library, self._asked()),
                step=self.steps.advance,
            )
        self.steps.end()
        return store


def settings_of_run(
    rounds: ActiveRounds, library: Library, settings: CampaignSettings, threads: int | None = None
) -> ActiveSettings:
    """Return what a campaign's strategy means for its library."""
    assert settings.strategy is not None
    return active_settings(
        settings.strategy,
        library.plan.n_records,
        seed=settings.seed,
        threads=threads,
        begun=rounds.state.begun(),
    )


@contextlib.contextmanager
def stopped_by_signals(folder: Path, *, heeds: bool) -> Iterator[None]:
    """End with a word on how to go on when the batch system warns while nothing is docked."""

    def stop(number: int, frame: object) -> None:
        raise CampaignStoppedError(
            f"{folder}: stopped before its strategy ended; what is finished is kept, go on with: "
            f"osong resume {folder}"
        )

    numbers = (signal.SIGUSR1, signal.SIGTERM) if heeds else ()
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _begun(loop: ActiveLoop, one: Round) -> RoundBegun:
    rounds = loop.files.rounds()[: one.number + 1]
    told: dict[str, Any] = one.notes.get("recall") or {}
    from osong.active import Recall

    return RoundBegun(
        round=one.number,
        n_records=len(one.index),
        n_asked=sum(len(each.index) for each in rounds),
        budget=loop.settings.budget,
        told=str(Recall(**told)) if told else "",
    )
