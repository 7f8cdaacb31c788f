"""What a pilot of an active campaign does: dock rounds with the others, choose the next alone.

Any number of pilots may work at it. All dock the round that there is; one of them, whoever takes
the lock first, then trains and chooses the next while the others wait.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from osong.active import ActiveLoop, FeatureStore, write_features
from osong.active.pictures import write_pictures
from osong.errors import CampaignError, CampaignStoppedError, InputError
from osong_workflows.active_rounds import ActiveRounds, Library, is_docked, smiles_reader
from osong_workflows.events import RoundBegun, StrategyEnded
from osong_workflows.folder import full_disk, locked_by, locked_in_turn
from osong_workflows.strategy import active_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
    settings
        What was asked, strategy included.
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
    settings: CampaignSettings
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
            folder = self._folder_to_dock(looks_at)
            # Of those before, results may have been lost; they are not lost again and again.
            looks_at = self.rounds.campaigns()[-1:]
            if folder is not None:
                self.dock(folder)
            elif self._is_over():
                return
            elif not self._choose():
                time.sleep(_POLL_S)

    def _is_over(self) -> bool:
        """Return whether the strategy has ended, by what was asked last."""
        if not self.rounds.is_begun:
            return False
        content = self.rounds.state.finished()
        until = settings_of_run(self.rounds, self.library, self.settings).until()
        return content is not None and content.get("until") == until

    def _folder_to_dock(self, among: Sequence[CampaignFolder]) -> CampaignFolder | None:
        """Return the first campaign that is not docked, or whose results are not whole."""
        return next((folder for folder in among if not is_docked(folder)), None)

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
        loop = self._loop()
        while (request := loop.next_request()) is not None:
            self.steps.end()
            one = loop.files.rounds()[request.round]
            is_new = not self.rounds.round_folder(request.round).plan.exists()
            self.rounds.make_round(self.library, self.settings, one, workers=self.workers)
            if is_new:
                self.publish(_begun(loop, one))
            if not is_docked(self.rounds.round_folder(request.round)):
                return
            self._answer(loop, request)
            write_pictures(loop.files, self.rounds.pictures, loop.settings.n_top)
            self.steps.begin("learning, choosing", loop.n_usable)
        self.steps.end()
        write_pictures(loop.files, self.rounds.pictures, loop.settings.n_top)
        result = loop.result()
        self.publish(StrategyEnded(result.reason, str(result.recall or "")))

    def _answer(self, loop: ActiveLoop, request: Request) -> None:
        one = loop.files.rounds()[request.round]
        if one.scores is None:
            loop.answer(request, self.rounds.scores(one))

    def _loop(self) -> ActiveLoop:
        settings = settings_of_run(self.rounds, self.library, self.settings, self.workers)
        store = self._features()
        try:
            return ActiveLoop(store, self.rounds.state.folder, settings, step=self.steps.advance)
        except InputError as error:
            raise InputError(f"{self.rounds.folder.path}: {error}") from error

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
        with locked_in_turn(place / "lock", "folder of fingerprints", "until they are made"):
            store = write_features(
                self.library.records,
                place,
                workers=self.workers,
                smiles_of=smiles_reader(self.settings),
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
