"""`Campaign`: one screening run, a folder, and what can be asked of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from osong.backend import check_backend
from osong.errors import CampaignError, MissingExtraError
from osong_workflows.allocation import allocated_cores
from osong_workflows.continuing import continue_campaign
from osong_workflows.create import finish_planning
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.events import LogFile, Publisher
from osong_workflows.export import rows_of
from osong_workflows.folder import CampaignFolder
from osong_workflows.hit_views import HitViews
from osong_workflows.merge import best_molecules, find_by_name, is_of_energy, ledger_table
from osong_workflows.outputs import read_wishes
from osong_workflows.packing import pack_shard
from osong_workflows.part_names import Results, find_results, finished_shards
from osong_workflows.pilot import PilotOptions
from osong_workflows.pilots import PilotWatch, new_pilot
from osong_workflows.plan import Plan, read_plan
from osong_workflows.progress import BackendPrinter, ProgressBar, wants_progress
from osong_workflows.rescored_file import best_rescored, count_ranked
from osong_workflows.rescoring import rescore_best
from osong_workflows.runners.base import RunnerName, check_runner
from osong_workflows.runners.make import LaunchOptions, RunnerMaker
from osong_workflows.settings import CampaignSettings, read_settings
from osong_workflows.status import CampaignStatus, count_status
from osong_workflows.sweeping import sweep_finished
from osong_workflows.tasks import WorkOrder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from osong.backend import BackendName
    from osong_workflows.events import Subscriber
    from osong_workflows.merge import RankBy
    from osong_workflows.rescored_file import RescoredMolecules
    from osong_workflows.runners.mpi import MpiRole

__all__ = ["Campaign"]


class Campaign(HitViews):
    """A campaign folder, finished or not. Opening one runs and writes nothing.

    Parameters
    ----------
    folder
        A folder that ``osong.screen`` made.
    docker
        "module:function" that builds what docks one record. It has to be the one that the folder
        was made with: a folder cannot choose what code runs.

    Examples
    --------
    >>> campaign = Campaign("run1")  # doctest: +SKIP
    >>> campaign.top(20)  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str], *, docker: str = DEFAULT_DOCKER) -> None:
        self._folder = CampaignFolder.at(folder)
        self._settings = read_settings(self._folder.settings)
        self._docker = docker
        self._read_plan: Plan | None = None

    @property
    def folder(self) -> Path:
        """The folder that holds everything."""
        return self._folder.path

    @property
    def settings(self) -> CampaignSettings:
        """What was asked for."""
        return self._settings

    @property
    def plan(self) -> Plan:
        """The chunks and what they cost."""
        if self._read_plan is None:
            self._read_plan = read_plan(self._folder)
        return self._read_plan

    def status(self) -> CampaignStatus:
        """Count what became of the molecules so far; ``str()`` of it is one line."""
        return count_status(self._folder, self.plan)

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
    ) -> Campaign:
        """Do what is left to do, and return the campaign; where nothing is left, do nothing.

        Any number of processes, on one machine or many, may do so at the same time: they share the
        work.

        Parameters
        ----------
        workers
            Molecules docked at a time; None: as many as this job may use.
        runner
            "local" or "serial" (this machine), "srun" (all nodes of the Slurm job that this runs
            in) or "mpi" (all ranks of the MPI job that this is a rank of).
        backend
            "cpu", "cuda" (NVIDIA devices, or an error where they cannot be used), "auto" (devices
            where they can), on each node anew; None: what the campaign file says, or "auto".
        memory_per_worker
            Bytes that the docking of one molecule may take; None: what the campaign file says, or
            this job's share.
        progress
            Show a progress bar; None: only on a terminal or in Jupyter.
        subscribers
            Functions that are called with every event.
        verify
            Check every byte of what is finished, however much it is.
        scratch
            A folder on a local disk, where parts are written before they go to the campaign folder;
            variables such as $TMPDIR are those of each node. "" for none.
        pilot
            How this process shows life and heeds signals.
        launch
            How the runners "srun" and "mpi" start workers.
        role
            The pilot's place among the ranks of MPI, where it was taken before.

        Raises
        ------
        CampaignStoppedError
            This process was told to stop (see ``PilotOptions``) before the campaign was finished.
        CampaignError
            The folder is damaged beyond its parts, or no worker can work.
        ResourceError
            The disk is full; what is finished stays.
        """
        check_runner(runner, workers)
        check_backend(backend or "auto")
        self.check_docker()
        with contextlib.ExitStack() as stack:
            launch = launch or LaunchOptions()
            if runner == "mpi" and role is None:
                # Before anything else: most ranks never come back from here.
                role = stack.enter_context(self.mpi_role(workers, scratch, launch))
            if not self._folder.plan.exists():
                finish_planning(self._folder, self._settings, workers or allocated_cores())
            me = new_pilot(runner)
            heard: list[Subscriber] = [
                LogFile(self._folder.logs / f"{me.id}.jsonl", self.plan.key),
                *subscribers,
            ]
            if wants_progress(progress):
                bar = ProgressBar()
                stack.callback(bar.close)
                heard.append(bar)
            elif progress is None:
                heard.append(BackendPrinter())
            wishes = read_wishes(self._folder)
            order = WorkOrder(
                folder=str(self.folder),
                docker=self._docker,
                pilot=me.id,
                memory_limit=memory_per_worker or wishes.budget.memory_per_worker,
                scratch=scratch,
                backend=backend or wishes.run.backend,
            )
            work = RunnerMaker(runner, workers, order, launch, role)
            continue_campaign(
                self._folder,
                self.plan,
                self._settings,
                me,
                work,
                Publisher(heard),
                pilot or PilotOptions(),
                verify=verify,
            )
        return self

    def mpi_role(self, workers: int | None, scratch: str, launch: LaunchOptions) -> MpiRole:
        """Take this rank's role: return in the pilot only, as ``take_mpi_role``."""
        from osong_workflows.runners.mpi import take_mpi_role

        return take_mpi_role(
            self.folder, n_threads=workers, scratch=scratch, interface=launch.interface
        )

    def pack(self) -> CampaignStatus:
        """Join parts of shards whose chunks are all there, and return the status then.

        Nothing is docked. There is something to do where the last pilot died between its last chunk
        and the end.
        """
        me = new_pilot("serial")
        done = finished_shards(self._folder, self.plan)
        for index in range(self.plan.n_shards):
            if index not in done:
                pack_shard(self._folder, self.plan, index, me.id)
        if len(finished_shards(self._folder, self.plan)) == self.plan.n_shards:
            sweep_finished(self._folder, PilotWatch(self._folder, me))
        return self.status()

    def check_docker(self) -> None:
        """Check that the docker at hand is the one that the campaign was made with."""
        if self._settings.docker != self._docker:
            raise CampaignError(
                f"{self.folder}: was made with the docker '{self._settings.docker}'; resume it "
                f"with Campaign(folder, docker='{self._settings.docker}')"
            )

    def rescore(
        self, n: int = 1000, *, step: Callable[[int], None] = lambda _: None, **networks: Any
    ) -> RescoredMolecules:
        """Rescore the poses of the best molecules with GNINA's networks: ``rescored.parquet``.

        Molecules that were rescored with the same networks before are kept.

        ``n`` and ``networks`` as for ``osong_workflows.rescoring.rescore_best``.
        """
        return rescore_best(self._folder, self.plan.key, self.results(), n, step, **networks)

    def n_rescored(self) -> int | None:
        """Return how many molecules networks rank; None: all that docked (``rescore="gnina"``)."""
        return count_ranked(self._folder, self.settings.networks)

    def ledger(self) -> pa.Table:
        """Return one row for every molecule that is done, in the library's order.

        Columns: index, name, source, format, input, status ("ok" or "failed"), stage and reason
        (of a failure), n_variants, notes, energy, smiles, n_heavy.
        """
        return ledger_table(self.results().paths)

    def duckdb(self) -> Any:
        """Return a DuckDB relation over the parts: every molecule with its poses."""
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtraError("duckdb", extra="duckdb", purpose="duckdb") from error
        parts = [str(part) for part in self.results().paths]
        if not parts:
            raise CampaignError(
                f"{self.folder}: nothing is docked yet; run: osong resume {self.folder}"
            )
        return duckdb.connect().read_parquet(parts, hive_partitioning=False)

    def ranked(self, n: int | None, rank_by: RankBy = "energy") -> pa.Table:
        """Return the best molecules, best first, as an Arrow table; as :meth:`top` otherwise."""
        self.check_rank(n, rank_by)
        if not is_of_energy(rank_by) and self.n_rescored() is not None:
            return best_rescored(self._folder, self.plan.key, n, rank_by)
        return best_molecules(self.results().paths, n, rank_by)

    def result_files(self) -> list[Path]:
        """Return the files of results that there are."""
        return self.results().paths

    def named(self, name: str) -> list[int]:
        """Return the positions of the molecules of that name."""
        return find_by_name(self.results().paths, name)

    def results(self) -> Results:
        """Return the files of results that there are."""
        return find_results(self._folder, self.plan)

    @property
    def why_no_row(self) -> str:
        """Why a molecule may have none, in words."""
        return f"is not docked yet; run: osong resume {self.folder}"

    def has_row(self, index: int) -> bool:
        """Return whether the molecule at a position of the library is done."""
        return self.results().locate(index) is not None

    def pose_rows(
        self, indices: npt.NDArray[np.int64], n_poses: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield whole rows of parts, poses included, of molecules of rising positions (n,)."""
        return rows_of(self.results().locate, indices, n_poses)
