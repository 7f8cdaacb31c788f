"""The way up to campaigns: `screen` and its like reach the workflows through one entry point.

`prepare_library` does so too: it runs in watched processes as campaigns do.

The library knows no scheduler. Whatever package stands behind the entry point group
``osong.workflows`` under the name ``campaigns`` runs the campaign; Osong's own does unless
another was installed in its place.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from osong.errors import CampaignError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa
    from rdkit import Chem

    from osong.library import PreparedLibrary
    from osong.ligands import LigandOptions
    from osong.receptor import Target

__all__ = ["Campaign", "open_campaign", "prepare_library", "screen", "workflows"]


@runtime_checkable
class Campaign(Protocol):
    """One screening run: a folder, and what can be asked of it."""

    @property
    def folder(self) -> Path:
        """Return the folder that holds everything."""
        ...

    @property
    def settings(self) -> Any:
        """Return what was asked for; ``networks`` are those that score poses where they dock."""
        ...

    def status(self) -> Any:
        """Return how many molecules are done, failed and left; ``str()`` of it is one line."""
        ...

    def resume(self, *, workers: int | None = None, runner: str = "local") -> Campaign:
        """Do what is left to do."""
        ...

    def pack(self) -> Any:
        """Join the files of parts that are finished; nothing is docked. Return the status then."""
        ...

    def top(self, n: int | None = 20, *, rank_by: Any = "energy") -> pd.DataFrame:
        """Return the best molecules, one row each, best first; None: all that docked."""
        ...

    def rescore(self, n: int = 1000, **networks: Any) -> Any:
        """Rescore the poses of the best molecules with GNINA's networks; return what was done."""
        ...

    def n_rescored(self) -> int | None:
        """Return how many molecules networks rank; None: all that docked."""
        ...

    def hits(self, n: int = 20) -> Any:
        """Return the best molecules as a table that shows structures in Jupyter."""
        ...

    def ledger(self) -> pa.Table:
        """Return one row for every molecule that is done: docked, or failed and why."""
        ...

    def poses(self, molecule: str | int) -> list[Chem.Mol]:
        """Return the poses of a molecule, given by name or index, best first."""
        ...

    def to_sdf(
        self,
        path: str | os.PathLike[str],
        n: int | None = None,
        *,
        n_poses: int = 1,
        rank_by: Any = "energy",
        pose_by: Any = None,
    ) -> int:
        """Write the best molecules' poses, best molecule first; return how many molecules."""
        ...

    def to_csv(
        self, path: str | os.PathLike[str], n: int | None = None, *, rank_by: Any = "energy"
    ) -> int:
        """Write the table of hits as CSV; return its rows."""
        ...

    def to_parquet(
        self, path: str | os.PathLike[str], n: int | None = None, *, rank_by: Any = "energy"
    ) -> int:
        """Write the table of hits as Parquet; return its rows."""
        ...

    def to_smiles(
        self, path: str | os.PathLike[str], n: int | None = None, *, rank_by: Any = "energy"
    ) -> int:
        """Write SMILES and names, best first; return how many."""
        ...

    def to_polars(self) -> Any:
        """Return the ledger as a polars DataFrame."""
        ...

    def duckdb(self) -> Any:
        """Return a DuckDB relation over the parts: every molecule with its poses."""
        ...


def screen(
    target: Target,
    library: str | os.PathLike[str] | Iterable[Any],
    *,
    out: str | os.PathLike[str],
    effort: str = "fast",
    scoring: str = "vina",
    n_poses: int = 3,
    seed: int = 0,
    workers: int | None = None,
    runner: str = "local",
    backend: str = "auto",
    ligand_options: LigandOptions | None = None,
    rescore: str | None = None,
    rescore_models: str = "crossdock_default2018",
    strategy: str | Mapping[str, Any] | None = None,
    budget: int | str | None = None,
    **more: Any,
) -> Campaign:
    """Dock every molecule of a library against a target; the results are a folder.

    The same call again continues the campaign, or does nothing where it is finished.

    Parameters
    ----------
    target
        The prepared receptor with its box.
    library
        A file of molecules (``.smi``, ``.csv``, ``.tsv``, ``.parquet``, SDF, MOL2, PDBQT, also
        compressed), or an iterable of SMILES or RDKit molecules.
    out
        The campaign folder: new, empty, or of this very campaign.
    effort
        ``"fast"``, ``"balanced"`` or ``"thorough"``; ``"score"``: no search, each molecule is
        scored as it stands in its file, for poses that another program made.
    scoring
        ``"vina"`` or ``"vinardo"``.
    n_poses
        Poses kept per molecule.
    seed
        The same seed gives the same poses, whatever the number of workers.
    workers
        Molecules docked at a time; as many as there are cores if not given.
    runner
        ``"local"`` (several processes) or ``"serial"`` (this one).
    backend
        ``"cpu"``, ``"cuda"`` (NVIDIA devices, or an error where they cannot be used), or ``"auto"``
        (devices where they can). The choice is told once, with its reason.
    ligand_options
        How molecules are made ready.
    rescore
        ``"gnina"``: GNINA's networks score the poses that are kept, where they were docked
        (``osong[ml]``); ``campaign.top(rank_by="cnn_vs")`` then ranks by them.
    rescore_models
        Networks or an ensemble that ``osong[ml]`` brings; the default is a fast one.
    strategy
        None: all molecules are docked. ``"active"``, or a mapping with its options: some are
        docked, and what promises most of the rest is docked next (``osong[ml]``, see
        docs/active-learning.md).
    budget
        With a strategy: most molecules to dock, or a share of the library such as ``"2%"``.
    more
        Further settings of the runner; see ``osong_workflows.api.screen``.

    Returns
    -------
    The finished campaign.

    Raises
    ------
    InputError
        The library cannot be read or holds no molecule.
    CampaignError
        The folder holds something else, or another process works in it.
    ResourceError
        Memory or disk does not suffice; what is finished stays.
    """
    campaign: Campaign = workflows().screen(
        target,
        library,
        out=out,
        effort=effort,
        scoring=scoring,
        n_poses=n_poses,
        seed=seed,
        workers=workers,
        runner=runner,
        backend=backend,
        ligand_options=ligand_options,
        rescore=rescore,
        rescore_models=rescore_models,
        strategy=strategy,
        budget=budget,
        **more,
    )
    return campaign


def open_campaign(folder: str | os.PathLike[str]) -> Campaign:
    """Open a campaign folder, finished or not; nothing runs and nothing is written."""
    campaign: Campaign = workflows().open_campaign(folder)
    return campaign


def prepare_library(
    library: str | os.PathLike[str] | Iterable[Any],
    out: str | os.PathLike[str],
    *,
    options: LigandOptions | None = None,
    workers: int | None = None,
    **more: Any,
) -> PreparedLibrary:
    """Make a library ready once, as a folder of Parquet shards, and return what is in it.

    Every molecule has its rows: its ligands, or the stage and the reason of its failure, also
    where it crashed or hung the process that prepared it. The same call again goes on after the
    last whole shard.

    Parameters
    ----------
    library
        As for `screen`.
    out
        The folder: new, empty, or of this very library, unfinished.
    options
        How molecules are made ready.
    workers
        Molecules prepared at a time; as many as there are cores if not given. Changes no byte.
    more
        Further settings: ``molecule_timeout_s`` (600), ``smiles_column``, ``name_column``,
        ``kind``, ``memory_per_worker``, ``progress``; see
        ``osong_workflows.api.prepare_library``.

    Raises
    ------
    InputError
        The library cannot be read or holds no molecule; the folder holds something else.
    CampaignError
        Another process works in the folder, or no process can prepare anything.
    ResourceError
        The disk is full; whole shards stay.
    """
    prepared: PreparedLibrary = workflows().prepare_library(
        library, out, options=options, workers=workers, **more
    )
    return prepared


def workflows() -> Any:
    """Return the module that runs campaigns (its functions are those of ``osong_workflows.api``).

    Raises
    ------
    CampaignError
        None is installed.
    """
    found = list(entry_points(group="osong.workflows", name="campaigns"))
    if not found:
        raise CampaignError(
            "no package that runs campaigns is installed: Osong's own is missing from this "
            "installation; install it again with pip install --force-reinstall osong"
        )
    return found[0].load()
