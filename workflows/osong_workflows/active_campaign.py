"""`ActiveCampaign`: a campaign whose molecules are chosen round by round."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from osong.errors import CampaignError, InputError, MissingExtraError
from osong_workflows.active_progress import RoundPrinter, StepBar
from osong_workflows.active_results import (
    RoundResults,
    ranked_of,
    relation_of,
    rows_of_rounds,
    unread_rows,
)
from osong_workflows.active_rounds import Library, rounds_of
from osong_workflows.active_run import ActiveRun, Steps, stopped_by_signals
from osong_workflows.active_status import ActiveStatus, count_active
from osong_workflows.allocation import allocated_cores
from osong_workflows.campaign import Campaign
from osong_workflows.create import finish_planning
from osong_workflows.events import LogFile, Publisher
from osong_workflows.folder import CampaignFolder
from osong_workflows.merge import RANKED_COLUMNS, best_molecules, is_of_energy
from osong_workflows.pilot import PilotOptions
from osong_workflows.pilots import new_pilot
from osong_workflows.progress import BackendPrinter, wants_progress
from osong_workflows.rescoring import rescore_molecules
from osong_workflows.runners.base import check_runner
from osong_workflows.runners.make import LaunchOptions
from osong_workflows.settings import read_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from osong.backend import BackendName
    from osong_workflows.events import Subscriber
    from osong_workflows.merge import RankBy
    from osong_workflows.part_names import Results
    from osong_workflows.rescored_file import RescoredMolecules
    from osong_workflows.runners.base import RunnerName
    from osong_workflows.runners.mpi import MpiRole

__all__ = ["ActiveCampaign", "campaign_of"]


def campaign_of(folder: str | os.PathLike[str], **options: str) -> Campaign | ActiveCampaign:
    """Open a campaign folder, whatever its strategy; nothing runs and nothing is written.

    Parameters
    ----------
    options
        ``docker`` as for ``Campaign``.
    """
    has_strategy = read_settings(CampaignFolder.at(folder).settings).strategy is not None
    return (ActiveCampaign if has_strategy else Campaign)(folder, **options)


class ActiveCampaign(Campaign):
    """A campaign folder with a strategy: its rounds are campaigns, and their results are its own.

    Molecules are told by their positions in the library, whichever round docked them.
    """

    def status(self) -> ActiveStatus:
        """Count what became of the molecules so far; ``str()`` of it is one line."""
        return count_active(self._folder, self.plan, self._settings)

    def resume(
        self,
        *,
        workers: int | None = None,
        runner: RunnerName = "local",
        backend: BackendName | None = None,
        memory_per_worker: int | None = None,
        progress: bool | None = None,
        subscribers: Sequence[Subscriber] = (),
        verify: bool = False,
        scratch: str = "",
        pilot: PilotOptions | None = None,
        launch: LaunchOptions | None = None,
        role: MpiRole | None = None,
    ) -> ActiveCampaign:
        """Go on until the strategy ends; parameters and errors as for ``Campaign.resume``.

        Any number of processes may do so at the same time: they share the docking of a round, and
        one of them chooses the next.
        """
        check_runner(runner, workers)
        self.check_docker()
        launch, pilot = launch or LaunchOptions(), pilot or PilotOptions()
        with contextlib.ExitStack() as stack:
            if runner == "mpi" and role is None:
                # Before anything else: most ranks never come back from here.
                role = stack.enter_context(self.mpi_role(workers, scratch, launch))
            bars = wants_progress(progress)
            # Each round would say anew where its molecules are docked.
            heard = () if bars or progress is False else (BackendPrinter(),)
            n_workers = 1 if runner == "serial" else workers or allocated_cores()
            if not self._folder.plan.exists():
                finish_planning(self._folder, self._settings, n_workers)

            def dock(folder: CampaignFolder, *, verify: bool = False) -> None:
                Campaign(folder.path, docker=self._docker).resume(
                    workers=workers,
                    runner=runner,
                    backend=backend,
                    memory_per_worker=memory_per_worker,
                    progress=bars,
                    subscribers=(*subscribers, *heard),
                    verify=verify,
                    scratch=scratch,
                    pilot=pilot,
                    launch=launch,
                    role=role,
                )

            stack.enter_context(stopped_by_signals(self.folder, heeds=pilot.heeds_signals))
            if verify:
                for one in self._rounds():
                    dock(CampaignFolder.at(one.campaign.folder), verify=True)
            run = ActiveRun(
                rounds=rounds_of(self._folder, self._settings),
                library=Library(self._folder, self.plan),
                workers=n_workers,
                dock=dock,
                publish=self._publisher(runner, progress, subscribers),
                steps=StepBar() if bars else Steps(),
            )
            run.work()
        return self

    def pack(self) -> ActiveStatus:
        """Join the files of parts that are finished, and return the status then."""
        for one in self._rounds():
            one.campaign.pack()
        return self.status()

    def results(self) -> Results:
        """Refuse: each round has results of its own."""
        raise CampaignError(f"{self.folder}: its results are those of its rounds")

    def result_files(self) -> list[Path]:
        """Return the files of results that there are, of all rounds."""
        return [path for one in self._rounds() for path in one.campaign.result_files()]

    def rescore(
        self, n: int = 1000, *, step: Callable[[int], None] = lambda _: None, **networks: Any
    ) -> RescoredMolecules:
        """Rescore the poses of the best molecules, each in its round: see ``Campaign.rescore``."""
        from osong.receptor import Target
        from osong.rescoring.rescorer import Rescorer
        from osong.rescoring.stream import PoseRescorer

        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        best = self.ranked(n)
        if not len(best):
            raise CampaignError(
                f"{self.folder}: no molecule has docked yet; run: osong resume {self.folder}"
            )
        rescorer = networks.pop("rescorer", None) or Rescorer(**networks)
        scorer = PoseRescorer(Target.load(self._folder.target).receptor, rescorer)
        done = [
            rescore_molecules(
                CampaignFolder.at(one.campaign.folder),
                one.campaign.plan.key,
                mine,
                one.campaign.results().locate,
                scorer,
                step=step,
            )
            for one in self._rounds()
            # Also where none of these is, if others were rescored: by other networks, maybe.
            if len(mine := one.of_round(best.select(RANKED_COLUMNS))) or one.campaign.n_rescored()
        ]
        return _together(done, self.folder)

    def n_rescored(self) -> int | None:
        """Return how many molecules networks rank; None: all that docked (``rescore="gnina"``)."""
        counts = [one.campaign.n_rescored() for one in self._rounds()]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def ledger(self) -> pa.Table:
        """Return one row for every molecule that was chosen and is done, or never can be chosen.

        In the library's order; columns as for ``Campaign.ledger``. Molecules without a row were
        not chosen.
        """
        tables = [one.of_library(one.campaign.ledger()) for one in self._rounds()]
        unread = unread_rows(
            rounds_of(self._folder, self._settings), Library(self._folder, self.plan)
        )
        return pa.concat_tables([unread, *tables]).sort_by("index")

    def duckdb(self) -> Any:
        """Return a DuckDB relation over the parts: the molecules docked, with poses."""
        try:
            relation = relation_of(self._rounds())
        except ImportError as error:
            raise MissingExtraError("duckdb", extra="duckdb", purpose="duckdb") from error
        if relation is None:
            raise CampaignError(
                f"{self.folder}: nothing is docked yet; run: osong resume {self.folder}"
            )
        return relation

    def ranked(self, n: int | None, rank_by: RankBy = "energy") -> pa.Table:
        """Return the best molecules of all rounds, best first, as an Arrow table."""
        self.check_rank(n, rank_by)
        rounds = [one for one in self._rounds() if _ranks(one.campaign, rank_by)]
        if not rounds and not is_of_energy(rank_by):
            raise CampaignError(
                f"{self.folder}: nothing is rescored yet; run: osong rescore {self.folder}"
            )
        return ranked_of(rounds, n, rank_by) if rounds else best_molecules([], n)

    @property
    def why_no_row(self) -> str:
        """Why a molecule may have none, in words."""
        return "is not docked: the strategy has not chosen it"

    def has_row(self, index: int) -> bool:
        """Return whether the molecule at a position of the library is docked, or failed."""
        return any(one.has(index) for one in self._rounds())

    def pose_rows(
        self, indices: npt.NDArray[np.int64], n_poses: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield whole rows of parts, poses included, of molecules of rising positions (n,)."""
        return rows_of_rounds(self._rounds(), indices, n_poses)

    def named(self, name: str) -> list[int]:
        """Return the positions of the docked molecules of that name."""
        return sorted(number for one in self._rounds() for number in one.named(name))

    def _rounds(self) -> list[RoundResults]:
        rounds = rounds_of(self._folder, self._settings)
        return [
            RoundResults(
                Campaign(rounds.round_folder(one.number).path, docker=self._docker),
                np.sort(one.index),
            )
            for one in rounds.state.rounds()
            if rounds.round_folder(one.number).plan.exists()
        ]

    def _publisher(
        self, runner: str, progress: bool | None, subscribers: Sequence[Subscriber]
    ) -> Publisher:
        log = LogFile(self._folder.logs / f"{new_pilot(runner).id}.jsonl", self.plan.key)
        printer = () if progress is False else (RoundPrinter(),)
        return Publisher([log, *printer, *subscribers])


def _ranks(campaign: Campaign, rank_by: RankBy) -> bool:
    """Return whether a round has something to rank so."""
    return is_of_energy(rank_by) or campaign.n_rescored() != 0


def _together(done: Sequence[RescoredMolecules], folder: Path) -> RescoredMolecules:
    """Return what was done in all rounds as one."""
    sums = {
        name: sum(getattr(one, name) for one in done)
        for name in ("n_in", "n_ok", "n_failed", "n_kept", "n_aside")
    }
    return dataclasses.replace(
        done[0],
        path=folder / "rounds",
        aside=next((one.aside for one in done if one.aside is not None), None),
        failures=tuple(failure for one in done for failure in one.failures),
        notes=tuple(dict.fromkeys(note for one in done for note in one.notes)),
        **sums,
    )
