"""Results as files of other programs: SDF, CSV, Parquet, SMILES; each whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from osong.errors import CampaignError
from osong.library import sdf_text, write_sdf_records
from osong.pose_molecules import pose_molecule
from osong_workflows.folder import full_disk
from osong_workflows.merge import pose_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

    import numpy.typing as npt
    import pandas as pd

__all__ = ["RowReader", "hit_frame", "row_molecules", "rows_of", "write_hits", "write_sdf"]

RowReader: TypeAlias = "Callable[[npt.NDArray[np.int64], int | None], Iterator[Mapping[str, Any]]]"
"""Yields rows of rising positions with so many of their poses, all for None."""

_SLICE: Final = 50_000
"""Rows of a hit table that are turned into pandas' objects at a time: some 30 MB."""
_IN_MEMORY: Final = 64 * 2**20
"""Bytes of poses gathered in memory before they go to a temporary file."""
_RANK_COLUMNS: Final = (
    "energy_for_size", "cnn_score", "cnn_affinity", "cnn_vs", "cnn_variance", "cnn_pose",
    "fused_pose",
)  # fmt: skip
"""Columns of hits that were ranked by another thing than energy, where there are some."""


def hit_frame(best: pa.Table, first_rank: int = 1) -> pd.DataFrame:
    """Return the best molecules as a table for people.

    Parameters
    ----------
    best
        What ``osong_workflows.merge.best_molecules`` or ``best_rescored`` gave, or a slice of it.
    first_rank
        Rank of the first row.
    """
    frame = best.to_pandas()
    frame.insert(0, "rank", np.arange(first_rank, first_rank + len(frame)))
    frame.insert(3, "ligand_efficiency", frame["energy"] / frame["n_heavy"])
    columns = ["rank", "name", "energy", "ligand_efficiency"]
    of_rank = [name for name in _RANK_COLUMNS if name in frame]
    return frame[[*columns, *of_rank, "n_heavy", "smiles", "n_variants", "index", "source"]]


def row_molecules(
    row: Mapping[str, Any], n_poses: int | None = None, *, scoring: str = ""
) -> list[Any]:
    """Return the poses of a part's row as RDKit molecules, with the properties they came with.

    Parameters
    ----------
    row
        A row of a part.
    n_poses
        How many, best first; None: all.
    scoring
        What gave the energies.
    """
    given = json.loads(row["properties"]) if row["properties"] else {}
    poses = row["poses"][:n_poses]
    scores = row.get("cnn_poses") or [None] * len(poses)
    fused = row.get("fused_poses") or [math.nan] * len(poses)
    return [
        pose_molecule(
            pose["smiles"],
            np.asarray(pose["coords"], dtype=np.float32),
            row["name"],
            given
            | {
                "osong_energy": f"{pose['energy']:.3f}",
                "osong_inter": f"{pose['inter']:.3f}",
                "osong_intra": f"{pose['intra']:.3f}",
                "osong_pose": number,
                "osong_index": row["index"],
            }
            | ({"osong_scoring": scoring} if scoring else {})
            | _cnn_items(score, joined),
        )
        for number, (pose, score, joined) in enumerate(
            zip(poses, scores, fused, strict=False), start=1
        )
    ]


def _cnn_items(score: Mapping[str, float] | None, fused: float) -> dict[str, str]:
    """Return what networks say of a pose as data items, where they were asked."""
    if score is None:
        return {}
    from osong.rescoring.files import sd_values
    from osong.rescoring.stream import CnnScore

    return sd_values(CnnScore(**score, fused=fused))


def write_sdf(
    path: str | os.PathLike[str],
    indices: Sequence[int],
    rows: RowReader,
    n_poses: int,
    make: Callable[[Mapping[str, Any]], list[Any]] | None = None,
    *,
    scoring: str = "",
) -> int:
    """Write poses of molecules in the order given; return how many molecules.

    Parameters
    ----------
    indices
        The molecules' positions in the library; each once.
    rows
        Yields the parts' rows of molecules of rising positions, with so many of their poses.
    n_poses
        Poses of each molecule.
    make
        Makes the poses of a whole row; by default they are the first ``n_poses`` of it.
    scoring
        What gave the energies.

    Notes
    -----
    Each part is read once, in the library's order, whatever the order asked for: the best million
    of a billion molecules are spread over all parts. The poses lie in a temporary file beside
    ``path`` meanwhile, unless they are few; memory is that of one row group.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(Path(path).parent)) as spill:
        n_read = n_poses if make is None else None
        make = make or (lambda row: row_molecules(row, scoring=scoring))
        write_sdf_records(_texts_in_order(spill, wanted, rows, n_read, make), Path(path))
    return len(wanted)


def write_hits(
    path: str | os.PathLike[str], best: pa.Table, kind: Literal["csv", "parquet", "smiles"]
) -> int:
    """Write a hit table; return its rows.

    Parameters
    ----------
    best
        What ``osong_workflows.merge.best_molecules`` gave.
    """
    write = {"csv": _write_csv, "parquet": _write_parquet, "smiles": _write_smiles}[kind]
    with _whole(Path(path)) as temporary:
        write(temporary, best)
    return len(best)


def _write_csv(path: Path, best: pa.Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for first, frame in _frames(best):
            frame.to_csv(file, index=False, header=first == 0, float_format="%.6g")


def _write_parquet(path: Path, best: pa.Table) -> None:
    schema = pa.Schema.from_pandas(hit_frame(best.slice(0, 0)), preserve_index=False)
    with pq.ParquetWriter(path, schema) as writer:
        for _, frame in _frames(best):
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def _write_smiles(path: Path, best: pa.Table) -> None:
    with path.open("w", encoding="utf-8") as file:
        for _, frame in _frames(best):
            for smiles, name in zip(frame["smiles"], frame["name"], strict=True):
                # A quoted cell of a table may hold a tab or a line's end.
                file.write(f"{smiles}\t{' '.join(name.split())}\n")


def _frames(best: pa.Table) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the hit table in slices, each with its first row's number; one where it is empty."""
    for first in range(0, max(len(best), 1), _SLICE):
        yield first, hit_frame(best.slice(first, _SLICE), first + 1)


def _texts_in_order(
    spill: IO[bytes],
    indices: npt.NDArray[np.int64],
    rows: RowReader,
    n_poses: int | None,
    make: Callable[[Mapping[str, Any]], list[Any]],
) -> Iterator[str]:
    """Write every molecule's poses to a file in the library's order; yield them in that of ranks.

    Parameters
    ----------
    spill
        An empty file.
    """
    order = np.argsort(indices)
    begin, n_bytes = np.zeros((2, len(indices)), dtype=np.int64)
    found = rows(indices[order], n_poses)
    for rank, row in zip(order, found, strict=True):
        text = "".join(map(sdf_text, make(row))).encode()
        begin[rank], n_bytes[rank] = spill.tell(), len(text)
        spill.write(text)
    for position, length in zip(begin, n_bytes, strict=True):
        spill.seek(position)
        yield spill.read(length).decode()


def rows_of(
    locate: Callable[[int], Path | None], indices: npt.NDArray[np.int64], n_poses: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the parts' rows of molecules of rising positions (n,), reading each part once.

    Parameters
    ----------
    locate
        Returns the part that holds a molecule, or None.
    n_poses
        How many poses of each, best first; None: all.

    Raises
    ------
    CampaignError
        A molecule is not docked.
    """
    for part, group in itertools.groupby(map(int, indices), key=locate):
        wanted = list(group)
        if part is None:
            raise CampaignError(f"molecule {wanted[0]} is not docked; run: osong resume")
        yield from pose_rows(part, wanted, n_poses)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary file that gets its name when all went well."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with full_disk(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
