"""What the rest of Osong sees of campaigns, found through the entry point group "osong.workflows".

:func:`screen` starts or continues a campaign, :func:`open_campaign` looks into a folder,
:func:`resume` does what is left to do, :func:`status` says how far it is; :func:`prepare_library`
makes a library ready once for many campaigns.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osong.backend import check_backend
from osong.library import is_prepared
from osong_workflows.active_campaign import campaign_of
from osong_workflows.campaign import Campaign
from osong_workflows.create import create_campaign
from osong_workflows.docking import DEFAULT_DOCKER
from osong_workflows.file_campaigns import campaign_folders, create_campaigns
from osong_workflows.jobs import describe_states
from osong_workflows.mpi_world import folder_of_ranks, one_rank_speaks
from osong_workflows.observing import log_lines, observe
from osong_workflows.outputs import read_outputs, read_wishes, write_outputs
from osong_workflows.panel import draw_campaigns
from osong_workflows.pilot import PilotOptions
from osong_workflows.plan_view import plan_view
from osong_workflows.planning import plan_campaign
from osong_workflows.prepare_run import prepare_library
from osong_workflows.run import backend_for
from osong_workflows.runners.base import check_runner
from osong_workflows.runners.make import LaunchOptions
from osong_workflows.settings import DEFAULT_MODELS, dump_ligand_options, make_settings
from osong_workflows.site_devices import device_note
from osong_workflows.sites import load_site
from osong_workflows.strategy import make_strategy
from osong_workflows.submit import (
    cancel,
    continue_or_give_up,
    folders_to_submit,
    render,
    submit,
    submit_and_watch,
)
from osong_workflows.watch import watch_campaign, watch_campaigns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from osong.backend import BackendName
    from osong_workflows.create import TargetLike
    from osong_workflows.events import Subscriber
    from osong_workflows.runners.base import RunnerName
    from osong_workflows.status import CampaignStatus

__all__ = [
    "Campaign",
    "LaunchOptions",
    "PilotOptions",
    "campaign_folders",
    "cancel",
    "continue_or_give_up",
    "create_campaigns",
    "describe_states",
    "device_note",
    "draw_campaigns",
    "folder_of_ranks",
    "folders_to_submit",
    "load_site",
    "log_lines",
    "observe",
    "one_rank_speaks",
    "open_campaign",
    "plan_campaign",
    "plan_view",
    "prepare_library",
    "read_outputs",
    "read_wishes",
    "render",
    "resume",
    "screen",
    "status",
    "submit",
    "submit_and_watch",
    "watch_campaign",
    "watch_campaigns",
    "work",
    "write_outputs",
]


def screen(
    target: TargetLike,
    library: str | os.PathLike[str] | Iterable[Any],
    *,
    out: str | os.PathLike[str],
    effort: str = "fast",
    scoring: str = "vina",
    n_poses: int = 3,
    seed: int = 0,
    workers: int | None = None,
    runner: RunnerName = "local",
    backend: BackendName = "auto",
    ligand_options: Any | Mapping[str, Any] | None = None,
    smiles_column: str | int | None = None,
    name_column: str | int | None = None,
    kind: str | None = None,
    molecule_timeout_s: float = 600.0,
    memory_per_worker: int | None = None,
    chunk_size: int | None = None,
    shard_chunks: int | None = None,
    rescore: str | None = None,
    rescore_models: str = DEFAULT_MODELS,
    strategy: str | Mapping[str, Any] | None = None,
    budget: int | str | None = None,
    progress: bool | None = None,
    subscribers: Sequence[Subscriber] = (),
    docker: str = DEFAULT_DOCKER,
) -> Campaign:
    """Dock every molecule of a library against a target; the results are a folder.

    The same call again continues the campaign, or does nothing where it is finished.

    Parameters
    ----------
    target
        The prepared receptor with its box (``osong.Target``).
    library
        A file or folder of molecules, a prepared library, or an iterable of SMILES or RDKit
        molecules (read once, streamed).
    out
        The campaign folder: new, empty, or of this very campaign.
    effort
        "fast", "balanced" or "thorough"; "score": no search, each molecule is scored as it stands
        in its file (see docs/campaigns.md).
    scoring
        "vina" or "vinardo".
    n_poses
        Poses kept per molecule, the best of all its variants.
    seed
        Seed of the random numbers; the same seed gives the same poses, bit for bit.
    workers
        Molecules docked at a time, one core each; None: as many as this job may use.
    runner
        "local" (Dask, several workers) or "serial" (one).
    backend
        "cpu", "cuda" (NVIDIA devices, or an error where they cannot be used), or "auto" (devices
        where they can). Changes energies by rounding only, and is no part of the campaign: one
        begun on devices can be finished on CPUs.
    ligand_options
        How molecules are made ready: an ``osong.ligands.LigandOptions`` or its fields. A prepared
        library is ready: there they have no effect.
    smiles_column, name_column, kind
        How to read the library, where its names and headers do not tell; as for
        ``osong.library.read_records``.
    molecule_timeout_s
        Seconds after which a molecule is given up; its ledger row says so.
    memory_per_worker
        Bytes that the docking of one molecule may take; None: this job's share.
    chunk_size
        Molecules in a chunk; None: chosen from the size of the library. Changes no result.
    shard_chunks
        Chunks that end up in one file; None: chosen from the size of the library.
    rescore
        "gnina": GNINA's networks score the poses that are kept, where they were docked
        (``osong[ml]``, see docs/rescoring.md).
    rescore_models
        Networks or an ensemble that ``osong[ml]`` brings; the default is a fast one.
    strategy
        None: every molecule is docked. "active", or the fields of
        ``osong_workflows.strategy.ActiveStrategy``: some are docked, and what promises most of
        the rest is docked next, until the budget is spent (``osong[ml]``, see
        docs/active-learning.md).
    budget
        With a strategy: most molecules to dock, or a share of the library such as "2%". The same
        call with another budget goes on with that.
    progress
        Show a progress bar; None: only on a terminal or in Jupyter.
    subscribers
        Functions that are called with every event (see ``osong_workflows.events``).
    docker
        "module:function" that builds what docks one record; for tests and other engines.

    Returns
    -------
    The finished campaign.

    Raises
    ------
    osong.errors.InputError
        The library cannot be read or holds no molecule.
    osong.errors.CampaignError
        The folder holds something else, or another process begins it.
    osong.errors.ResourceError
        The disk cannot hold the campaign, or is full; what is finished stays.
    """
    check_runner(runner, workers)
    check_backend(backend)
    reading = {"smiles_column": smiles_column, "name_column": name_column, "kind": kind}
    settings = make_settings(
        target_name=target.name,
        target_key=target.key.hex(),
        scoring=scoring,
        effort=effort,
        n_poses=n_poses,
        seed=seed,
        molecule_timeout_s=molecule_timeout_s,
        docker=docker,
        ligands={} if _is_prepared(library) else dump_ligand_options(ligand_options),
        reading={key: value for key, value in reading.items() if value is not None},
        rescore=rescore or "",
        rescore_models=rescore_models,
        strategy=make_strategy(strategy, budget),
    )
    if backend == "cuda":
        # What it lacks is said before there is a folder.
        backend_for(backend, settings)
    folder = create_campaign(
        target,
        library,
        out,
        settings,
        workers=workers,
        runner=runner,
        chunk_size=chunk_size,
        shard_chunks=shard_chunks,
    )
    return campaign_of(folder.path, docker=docker).resume(
        workers=workers,
        runner=runner,
        backend=backend,
        memory_per_worker=memory_per_worker,
        progress=progress,
        subscribers=subscribers,
    )


def open_campaign(folder: str | os.PathLike[str]) -> Campaign:
    """Open a campaign folder, finished or not; nothing runs and nothing is written."""
    return campaign_of(folder)


def resume(
    folder: str | os.PathLike[str], *, docker: str = DEFAULT_DOCKER, **options: Any
) -> Campaign:
    """Do what a campaign has left to do; a finished one stays as it is.

    Parameters
    ----------
    folder
        The campaign folder.
    docker
        The one that it was made with.
    options
        Those of ``Campaign.resume``.
    """
    return campaign_of(folder, docker=docker).resume(**options)


def status(folder: str | os.PathLike[str]) -> CampaignStatus:
    """Count what became of a campaign's molecules so far; ``str()`` of it is one line."""
    return campaign_of(folder).status()


def work(
    scheduler_file: Path, *, n_threads: int | None = None, scratch: str = "", interface: str = ""
) -> None:
    """Do tasks for a pilot on another node until it ends."""
    from osong_workflows.worker_process import work as run

    run(scheduler_file, n_threads=n_threads, scratch=scratch, interface=interface)


def _is_prepared(library: object) -> bool:
    """Return whether a library is a prepared one."""
    return isinstance(library, (str, os.PathLike)) and is_prepared(Path(library).expanduser())
