"""`HitViews`: what people ask of a campaign's results, whichever way they were docked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from osong.errors import InputError, MissingExtraError
from osong_workflows.export import hit_frame, row_molecules, write_hits, write_sdf
from osong_workflows.merge import RANKS, is_of_energy
from osong_workflows.pose_choice import check_pose_by, chosen_poses

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from osong.hit_table import HitTable
    from osong_workflows.merge import RankBy
    from osong_workflows.plan import Plan
    from osong_workflows.pose_choice import PoseBy
    from osong_workflows.settings import CampaignSettings
    from osong_workflows.status import CampaignStatus

__all__ = ["HitViews"]


class HitViews:
    """Tables, poses and files of the best molecules; those who derive say where they come from."""

    @property
    def folder(self) -> Path:
        """The folder that holds everything."""
        raise NotImplementedError

    @property
    def plan(self) -> Plan:
        """The chunks and what they cost."""
        raise NotImplementedError

    @property
    def settings(self) -> CampaignSettings:
        """What was asked for."""
        raise NotImplementedError

    def n_rescored(self) -> int | None:
        """Return how many molecules networks rank; None: all that docked."""
        raise NotImplementedError

    def status(self) -> CampaignStatus:
        """Count what became of the molecules so far."""
        raise NotImplementedError

    def ledger(self) -> pa.Table:
        """Return one row for every molecule that is done."""
        raise NotImplementedError

    def ranked(self, n: int | None, rank_by: RankBy = "energy") -> pa.Table:
        """Return the best molecules, best first, as an Arrow table."""
        raise NotImplementedError

    def named(self, name: str) -> list[int]:
        """Return the positions of the molecules of that name."""
        raise NotImplementedError

    def has_row(self, index: int) -> bool:
        """Return whether the molecule at a position of the library is done."""
        raise NotImplementedError

    @property
    def why_no_row(self) -> str:
        """Why a molecule may have none, in words."""
        raise NotImplementedError

    def pose_rows(
        self, indices: npt.NDArray[np.int64], n_poses: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield whole rows of parts, poses included, of molecules of rising positions (n,)."""
        raise NotImplementedError

    def top(self, n: int | None = 20, *, rank_by: RankBy = "energy") -> pd.DataFrame:
        """Return the best molecules, one row each, best first; None: all that docked.

        Columns: rank, name, energy (kcal/mol), ligand_efficiency (kcal/mol per heavy atom),
        n_heavy, smiles (of the state that docked best), n_variants, index (position in the
        library), source.

        With ``rank_by`` "energy_for_size" by energy / (heavy atoms)^(1/3), with that column: less
        of a preference for large molecules (docs/rescoring.md).

        With ``rank_by`` "cnn_score", "cnn_affinity" or "cnn_vs" (see :meth:`rescore`) only
        molecules that are rescored, with cnn_score, cnn_affinity, cnn_vs, cnn_variance, cnn_pose
        and fused_pose (what energy and networks together choose).
        """
        return hit_frame(self.ranked(n, rank_by))

    def hits(self, n: int = 20) -> HitTable:
        """Return the best molecules as a table that shows structures in Jupyter."""
        from osong.hit_table import HitTable

        return HitTable(self.top(n))

    def poses(self, molecule: str | int) -> list[Any]:
        """Return the poses of a molecule as RDKit molecules, best first.

        Parameters
        ----------
        molecule
            Its name, or its index in the library.

        Raises
        ------
        InputError
            There is no such molecule, several have that name, or it failed.
        """
        index = self.find(molecule)
        if not self.has_row(index):
            raise InputError(f"molecule {molecule!r} {self.why_no_row}")
        (row,) = self.pose_rows(np.array([index]))
        if row["status"] != "ok":
            raise InputError(f"molecule {molecule!r} has no pose: {row['stage']}: {row['reason']}")
        return row_molecules(row, scoring=self.settings.scoring)

    def to_sdf(
        self,
        path: str | os.PathLike[str],
        n: int | None = None,
        *,
        n_poses: int = 1,
        rank_by: RankBy = "energy",
        pose_by: PoseBy | None = None,
    ) -> int:
        """Write the best molecules' poses as SDF, best molecule first; return how many molecules.

        Parameters
        ----------
        path
            The file; it appears whole or not at all.
        n
            How many molecules; None: all that docked.
        n_poses
            How many poses of each.
        rank_by
            As for :meth:`top`.
        pose_by
            What orders the poses of a molecule: "energy", "cnn_score", or "fused" (both, see
            docs/rescoring.md); None: "cnn_score" where networks rank, "energy" where not. Where
            networks rank or order, what they say is in the data items.

        Raises
        ------
        CampaignError
            Networks are to choose a pose of a molecule that is not rescored; or the fused score,
            and no weights were fitted for what docked and rescored it.
        """
        check_pose_by(pose_by)
        best = self.ranked(n, rank_by)
        indices, scoring = best["index"].to_numpy(), self.settings.scoring
        said: pa.Table | None = best
        if is_of_energy(rank_by):
            if pose_by in (None, "energy"):
                return write_sdf(path, indices, self.pose_rows, n_poses, scoring=scoring)
            said = None if self.n_rescored() is None else self.ranked(None, "cnn_score")
        make = chosen_poses(self.folder, said, n_poses, pose_by or "cnn_score", scoring)
        return write_sdf(path, indices, self.pose_rows, n_poses, make)

    def to_csv(
        self, path: str | os.PathLike[str], n: int | None = None, *, rank_by: RankBy = "energy"
    ) -> int:
        """Write the hit table as CSV; return its rows. Others as for :meth:`to_sdf`."""
        return write_hits(path, self.ranked(n, rank_by), "csv")

    def to_parquet(
        self, path: str | os.PathLike[str], n: int | None = None, *, rank_by: RankBy = "energy"
    ) -> int:
        """Write the hit table as Parquet; return its rows. Others as for :meth:`to_sdf`."""
        return write_hits(path, self.ranked(n, rank_by), "parquet")

    def to_smiles(
        self, path: str | os.PathLike[str], n: int | None = None, *, rank_by: RankBy = "energy"
    ) -> int:
        """Write SMILES and names, best first; return how many. Others as for :meth:`to_sdf`."""
        return write_hits(path, self.ranked(n, rank_by), "smiles")

    def to_polars(self) -> Any:
        """Return the ledger as a polars DataFrame."""
        try:
            import polars
        except ImportError as error:
            raise MissingExtraError("polars", extra="polars", purpose="to_polars") from error
        return polars.from_arrow(self.ledger())

    def __repr__(self) -> str:
        """Return the status in one line."""
        return f"Campaign({str(self.status())!r})"

    def _repr_html_(self) -> str:
        """Show the status and the best ten molecules in Jupyter."""
        from html import escape

        return f"<p>{escape(str(self.status()))}</p>" + self.hits(10)._repr_html_()

    def check_rank(self, n: int | None, rank_by: str) -> None:
        """Check how many hits are wanted and by what they are to be ranked."""
        if n is not None and n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        if rank_by == "fused":
            raise InputError(
                "rank_by is 'fused', which orders the poses of one molecule and not molecules "
                "(docs/rescoring.md): rank by 'energy' or 'cnn_vs', and give pose_by='fused'"
            )
        if rank_by not in RANKS:
            raise InputError(f"rank_by is {rank_by!r}; it may be {', '.join(RANKS)}")

    def find(self, molecule: str | int) -> int:
        """Return a molecule's position in the library, from its name or that position."""
        if not isinstance(molecule, str):
            index = int(molecule)
            if not 0 <= index < self.plan.n_records:
                raise InputError(
                    f"molecule {index}: the library has molecules 0 to {self.plan.n_records - 1}"
                )
            return index
        found = self.named(molecule)
        if not found:
            raise InputError(f"{self.folder}: no molecule is called {molecule!r}; see ledger()")
        if len(found) > 1:
            raise InputError(
                f"{len(found)} molecules are called {molecule!r}; give an index: {found}"
            )
        return found[0]
