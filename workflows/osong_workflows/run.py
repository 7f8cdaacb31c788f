"""`Run`: one process's work on a campaign, chunk by chunk; what every runner calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from osong_workflows.child import Job
from osong_workflows.events import ChunkFinished, MoleculeFailed, MoleculesDone, Publisher
from osong_workflows.outcome import DockedMolecule, FailedMolecule
from osong_workflows.parts import PartWriter
from osong_workflows.plan import chunk_records
from osong_workflows.supervisor import Supervisors

if TYPE_CHECKING:
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.plan import Plan
    from osong_workflows.settings import CampaignSettings

__all__ = ["Run"]


class Run:
    """Docks chunks into parts, with one docking process for each thread that calls.

    Parameters
    ----------
    folder, plan, settings
        The campaign.
    publisher
        Who hears of progress.
    memory_limit
        Bytes that one docking process may hold; 0 for no limit.
    """

    def __init__(
        self,
        folder: CampaignFolder,
        plan: Plan,
        settings: CampaignSettings,
        publisher: Publisher,
        memory_limit: int = 0,
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._publisher = publisher
        job = Job(str(folder.target), settings)
        self._supervisors: Supervisors[DockedMolecule] = Supervisors(job, publisher, memory_limit)

    def dock_chunk(self, index: int) -> None:
        """Dock one chunk into one part; safe to do twice."""
        chunk = self._plan.chunks[index]
        begin = time.perf_counter()
        with PartWriter(self._folder, chunk) as part:
            for record in chunk_records(self._folder, self._plan, chunk):
                outcome = self._supervisors.dock(record)
                part.add(record, outcome)
                if isinstance(outcome, FailedMolecule):
                    self._publisher(
                        MoleculeFailed(record.index, record.name, outcome.stage, outcome.reason)
                    )
                    self._publisher(MoleculesDone(0, 1))
                else:
                    self._publisher(MoleculesDone(1, 0))
        seconds = time.perf_counter() - begin
        self._publisher(ChunkFinished(index, part.n_ok, part.n_failed, round(seconds, 3)))

    def stop(self) -> None:
        """Make chunks that are under way end soon, without a part."""
        self._supervisors.stop()

    def close(self) -> None:
        """End all docking processes."""
        self._supervisors.close()
