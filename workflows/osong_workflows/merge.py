"""From parts to the best molecules and their poses, in memory that no campaign's size moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osong_workflows.cnn_columns import CNN_FIELDS
from osong_workflows.ledger import LedgerCounts, check_ledger, iter_ledger, ledger_table
from osong_workflows.part_files import groups_that_may, opened_part, read_groups, runs_of_groups
from osong_workflows.parts import PART_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow.parquet as pq

__all__ = [
    "RANKED_COLUMNS",
    "RANKS",
    "LedgerCounts",
    "RankBy",
    "best_molecules",
    "check_ledger",
    "find_by_name",
    "is_of_energy",
    "iter_ledger",
    "ledger_table",
    "pose_rows",
]

RankBy: TypeAlias = Literal["energy", "energy_for_size", "cnn_score", "cnn_affinity", "cnn_vs"]
"""What hits may be ranked by: kcal/mol, or that by a power of the heavy atoms
(``osong.rescoring.size_bias``), lowest first; or what networks say, highest first."""
RANKS: Final[tuple[str, ...]] = get_args(RankBy)
_FOR_SIZE: Final = "energy_for_size"
_OF_ENERGY: Final = ("energy", _FOR_SIZE)
RANKED_COLUMNS: Final = ("index", "name", "energy", "smiles", "n_heavy", "n_variants", "source")
"""Columns of a part that hits have."""
_TIES: Final = [("name", "ascending"), ("index", "ascending")]
"""Ties go by name, so that the order of the library does not decide."""
_SPARE_ROWS: Final = 20_000
"""At least so many rows are gathered beyond those wanted before the worst are let go."""
_LOOSE_ROWS: Final = 10_000
"""Rows in small pieces before they are joined: of a billion molecules come a hundred thousand
pieces of some ten rows, each with buffers of its own."""


def is_of_energy(rank_by: str) -> bool:
    """Return whether a rank needs no networks; then the lowest value is the best."""
    return rank_by in _OF_ENERGY


def best_molecules(parts: Iterable[Path], n: int | None, rank_by: RankBy = "energy") -> pa.Table:
    """Return the ``n`` best molecules, best first; None: all that docked.

    Parameters
    ----------
    rank_by
        "energy" or "energy_for_size", lowest first; or what networks say, highest first, in a
        campaign that rescores.

    Neither the order of the parts nor how molecules are spread over them changes the result.

    Notes
    -----
    In memory are at most 1.25 ``n`` rows (or ``n`` and 20,000) and those read with one call. A row
    group is passed over where its statistics tell that none of its energies is low enough; where
    they do not, its energies are read first, and more only where one of them is. With
    "energy_for_size" energies and sizes of all are read.
    """
    best = _Best(n, rank_by)
    for part in parts:
        with opened_part(part) as file:
            low = (
                range(file.metadata.num_row_groups)
                if rank_by == _FOR_SIZE
                else groups_that_may(file, rank_by, best.may_hold)
            )
            for groups in runs_of_groups(file, low):
                _gather(file, groups, best)
    return best.table()


def find_by_name(parts: Iterable[Path], name: str) -> list[int]:
    """Return the numbers of the molecules of that name; names may repeat."""
    found: list[int] = []
    for part in parts:
        with opened_part(part) as file:
            may = groups_that_may(file, "name", lambda least, most: bool(least <= name <= most))
            for groups in runs_of_groups(file, may):
                table = read_groups(file, groups, ("index", "name"))
                found += table.filter(pc.equal(table["name"], name))["index"].to_pylist()
    return sorted(found)


def pose_rows(
    part: Path, indices: Sequence[int], n_poses: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield whole rows, poses included, of some molecules of a part, in its order.

    Only row groups that hold one of them are read.

    Parameters
    ----------
    n_poses
        How many poses of each, best first; None: all.
    """
    wanted = np.unique(np.asarray(indices, dtype=np.int64))

    def holds_one(least: int, most: int) -> bool:
        return bool(np.searchsorted(wanted, least) < np.searchsorted(wanted, most, "right"))

    values = pa.array(wanted)
    with opened_part(part) as file:
        for group in groups_that_may(file, "index", holds_one):
            mask = pc.is_in(read_groups(file, [group], ["index"])["index"], value_set=values)
            if pc.any(mask).as_py():
                table = read_groups(file, [group], file.schema_arrow.names).filter(mask)
                yield from _first_poses(table, n_poses).to_pylist()


class _Best:
    """The best rows of those seen so far.

    Attributes
    ----------
    rank_by
        The column that decides.
    columns
        Those that rows have.
    decides
        Those of a part that the deciding one is made of.
    cut
        Energy in kcal/mol, or what networks say with the other sign; a row above it is not among
        the best.
    """

    def __init__(self, n: int | None, rank_by: RankBy) -> None:
        self.rank_by = rank_by
        self.decides = ("energy", "n_heavy") if rank_by == _FOR_SIZE else (rank_by,)
        self._schema = _ranked_schema(rank_by)
        self.columns = tuple(self._schema.names)
        self._sign = 1.0 if is_of_energy(rank_by) else -1.0
        self._n = n
        self._most = np.inf if n is None else n + max(_SPARE_ROWS, n // 4)
        self._kept = self._schema.empty_table()
        self._loose: list[pa.Table] = []
        self._n_loose = 0
        self.cut = np.inf

    def values(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """Return what decides, lowest best; rows without become NaN, which is below nothing."""
        if self.rank_by == _FOR_SIZE:
            return _for_size(table)
        return np.asarray(self._sign * table[self.rank_by].to_numpy(), dtype=np.float64)

    def may_hold(self, least: float, most: float) -> bool:
        """Return whether a row between two values may be among the best."""
        return bool(min(self._sign * least, self._sign * most) <= self.cut)

    def add(self, rows: pa.Table) -> None:
        """Take rows at or below the cut."""
        self._loose.append(self._whole(rows))
        self._n_loose += len(rows)
        if self._n_loose >= _LOOSE_ROWS:
            self._join()
        if len(self._kept) > self._most:
            self._drop_worst()

    def table(self) -> pa.Table:
        """Return the best rows, best first."""
        self._join()
        if self._n is not None and len(self._kept) > self._n:
            self._drop_worst()
        return self._kept.sort_by(
            [(self.rank_by, "ascending" if self._sign > 0 else "descending"), *_TIES]
        )

    def _whole(self, rows: pa.Table) -> pa.Table:
        """Return rows with all columns: also those that parts of earlier versions lack."""
        given = {name: rows[name] for name in rows.column_names}
        if self.rank_by == _FOR_SIZE:
            given[_FOR_SIZE] = pa.array(_for_size(rows))
        for field in self._schema:
            given.setdefault(field.name, pa.nulls(len(rows), field.type))
        return pa.table({name: given[name] for name in self.columns}, schema=self._schema)

    def _join(self) -> None:
        """Put the loose rows to those kept, in one piece."""
        joined = pa.concat_tables([self._schema.empty_table(), *self._loose]).combine_chunks()
        self._kept = pa.concat_tables([self._kept, joined])
        self._loose, self._n_loose = [], 0

    def _drop_worst(self) -> None:
        """Keep the best ``n`` rows, and lower the cut to the last of them."""
        assert self._n is not None  # else there is no limit to exceed
        is_best, self.cut = _select(self._kept, self.values(self._kept), self._n)
        mask = pa.array(is_best)
        columns = dict(zip(self.columns, self._kept.columns, strict=True))
        self._kept = self._schema.empty_table()
        for name in self.columns:
            # One column after the other, so that no second copy of everything is in memory.
            column = pa.table({name: columns.pop(name)})
            columns[name] = column.filter(mask).combine_chunks()[name]
        self._kept = pa.table(columns, schema=self._schema)


def _gather(file: pq.ParquetFile, groups: Sequence[int], best: _Best) -> None:
    """Give the rows of some row groups that are at or below the cut."""
    is_low = best.values(read_groups(file, groups, best.decides)) <= best.cut
    n_rows = [file.metadata.row_group(group).num_rows for group in groups]
    per_group = np.split(is_low, np.cumsum(n_rows)[:-1])
    hit = [i for i, mask in enumerate(per_group) if mask.any()]
    if hit:
        there = [name for name in best.columns if name in file.schema_arrow.names]
        rows = read_groups(file, [groups[i] for i in hit], there)
        mask = np.concatenate([per_group[i] for i in hit])
        best.add(rows.filter(pa.array(mask)))


def _ranked_schema(rank_by: RankBy) -> pa.Schema:
    fields = [PART_SCHEMA.field(name) for name in RANKED_COLUMNS]
    if rank_by == _FOR_SIZE:
        fields.append(pa.field(_FOR_SIZE, pa.float64()))
    return pa.schema(fields if is_of_energy(rank_by) else [*fields, *CNN_FIELDS])


def _for_size(table: pa.Table) -> npt.NDArray[np.float64]:
    """Return energies (n,) corrected for size; NaN for molecules that did not dock."""
    from osong.rescoring.size_bias import size_corrected

    energy = table["energy"].to_numpy().astype(np.float64)
    n_heavy = np.maximum(table["n_heavy"].to_numpy().astype(np.float64), 1.0)
    return size_corrected(energy, n_heavy)


def _select(
    table: pa.Table, values: npt.NDArray[np.float64], n: int
) -> tuple[npt.NDArray[np.bool_], float]:
    """Return which rows are the best ``n``, ties in ``_TIES``, and the value of the last."""
    cut = float(np.partition(values, n - 1)[n - 1])
    is_best = values < cut
    (tied,) = np.nonzero(values == cut)
    among = table.select(["name", "index"]).take(pa.array(tied))
    in_order = pc.sort_indices(among, _TIES).to_numpy()
    is_best[tied[in_order[: n - np.count_nonzero(is_best)]]] = True
    return is_best, cut


def _first_poses(table: pa.Table, n_poses: int | None) -> pa.Table:
    """Return rows with their first poses only."""
    if n_poses is None:
        return table
    poses = pc.list_slice(table["poses"], 0, n_poses, return_fixed_size_list=False)
    return table.set_column(table.schema.get_field_index("poses"), "poses", poses)
