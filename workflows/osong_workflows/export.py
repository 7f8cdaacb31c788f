"""Results as files of other programs: SDF, CSV, Parquet, SMILES; each whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from osong.library import write_sdf as osong_write_sdf
from osong.pose_molecules import pose_molecule
from osong_workflows.folder import full_disk
from osong_workflows.merge import pose_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

__all__ = ["row_molecules", "write_hits", "write_sdf"]

_SLICE: Final = 10_000
"""Molecules whose poses are in memory at a time: some 100 MB."""


def row_molecules(row: Mapping[str, Any], n_poses: int | None = None) -> list[Any]:
    """Return the poses of a part's row as RDKit molecules, with the properties they came with.

    Parameters
    ----------
    row
        A row of a part.
    n_poses
        How many, best first; None: all.
    """
    given = json.loads(row["properties"]) if row["properties"] else {}
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
            },
        )
        for number, pose in enumerate(row["poses"][:n_poses], start=1)
    ]


def write_sdf(
    path: str | os.PathLike[str],
    indices: Sequence[int],
    parts: Mapping[int, Path],
    chunk_size: int,
    n_poses: int,
) -> int:
    """Write poses of molecules in the order given; return how many molecules.

    Parameters
    ----------
    indices
        The molecules' positions in the library.
    parts
        The part of each chunk.
    chunk_size
        Molecules in a chunk, the last excepted.
    n_poses
        Poses of each molecule.
    """
    osong_write_sdf(_molecules(indices, parts, chunk_size, n_poses), Path(path))
    return len(indices)


def _molecules(
    indices: Sequence[int], parts: Mapping[int, Path], chunk_size: int, n_poses: int
) -> Iterator[Any]:
    """Yield poses in the order of the indices."""
    for begin in range(0, len(indices), _SLICE):
        some = indices[begin : begin + _SLICE]
        rows = _rows(some, parts, chunk_size)
        for index in some:
            yield from row_molecules(rows[index], n_poses)


def write_hits(
    path: str | os.PathLike[str], hits: pd.DataFrame, kind: Literal["csv", "parquet", "smiles"]
) -> int:
    """Write a hit table; return its rows."""
    with _whole(Path(path)) as temporary:
        if kind == "csv":
            hits.to_csv(temporary, index=False, float_format="%.6g")
        elif kind == "parquet":
            hits.to_parquet(temporary, index=False)
        else:
            with temporary.open("w", encoding="utf-8") as file:
                for smiles, name in zip(hits["smiles"], hits["name"], strict=True):
                    # A quoted cell of a table may hold a tab or a line's end.
                    file.write(f"{smiles}\t{' '.join(name.split())}\n")
    return len(hits)


def _rows(
    indices: Sequence[int], parts: Mapping[int, Path], chunk_size: int
) -> dict[int, dict[str, Any]]:
    """Return rows by index, reading each part once."""
    by_chunk: defaultdict[int, list[int]] = defaultdict(list)
    for index in indices:
        by_chunk[index // chunk_size].append(index)
    return {
        row["index"]: row
        for chunk, wanted in by_chunk.items()
        for row in pose_rows(parts[chunk], wanted)
    }


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary file that gets its name when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with full_disk(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
