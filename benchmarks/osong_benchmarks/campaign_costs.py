"""What a campaign itself costs: parts, packing, merging; the real code on real rows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import pyarrow as pa

from osong.box import Box
from osong_benchmarks.instant_docker import SMILES, fake_energies
from osong_benchmarks.part import PartModel
from osong_workflows.create import create_campaign
from osong_workflows.merge import check_ledger
from osong_workflows.part_names import find_results
from osong_workflows.parts import PART_SCHEMA, PartFile
from osong_workflows.plan import Shard, read_plan
from osong_workflows.run import Run
from osong_workflows.settings import make_settings
from osong_workflows.tasks import DockChunk, PackShard, WorkOrder

__all__ = ["MergeCost", "RowCost", "measure_merge", "measure_rows"]

_DOCKER: Final = "osong_benchmarks.instant_docker:build"
_KEY: Final = b"0123456789abcdef"
_SHARD_ROWS: Final = 131_072
_GROUP_ROWS: Final = 8_192


class RowCost(PartModel):
    """What the campaign adds to the docking of a molecule: CPU seconds of all its processes.

    Attributes
    ----------
    n
        Molecules that it was measured with.
    chunk_s
        Reading the record, the way to the docking process and back, the row of the chunk's part.
    pack_s
        Checking the chunk's part and writing the row once more, into the shard's.
    row_bytes
        Of the packed part.
    """

    n: int
    chunk_s: float
    pack_s: float
    row_bytes: float


class MergeCost(PartModel):
    """A merge in a process of its own.

    Attributes
    ----------
    n_rows, n_files
        What was read.
    n_best
        What was kept.
    wall_s, check_s
        Seconds of the merge, and of the proof that every molecule has one row.
    peak_bytes, start_bytes
        Resident memory at most, and before the merge began.
    """

    n_rows: int
    n_files: int
    n_best: int
    wall_s: float
    check_s: float
    peak_bytes: int
    start_bytes: int


@dataclass(frozen=True)
class _Target:
    """A target without receptor: the docker at hand looks at none."""

    name: str = "none"
    key: bytes = _KEY
    box: Box = field(default_factory=lambda: Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.0)))

    def save(self, path: str | Path) -> None:
        """Write something."""
        Path(path).write_bytes(self.key)


def measure_rows(n_chunks: int = 8, chunk_size: int = 750) -> RowCost:
    """Time a shard from its records to its packed part, with a docker that answers at once."""
    n = n_chunks * chunk_size
    library = [(SMILES[i % len(SMILES)], f"ZINC{i:012d}") for i in range(n)]
    settings = make_settings(
        target_name="none", target_key=_KEY.hex(), scoring="vina", effort="fast", n_poses=3, seed=0,
        molecule_timeout_s=600.0, docker=_DOCKER,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="osong-costs-") as place:
        folder = create_campaign(
            _Target(), library, Path(place) / "run", settings, chunk_size=chunk_size,
            shard_chunks=n_chunks,
        )  # fmt: skip
        run = Run(WorkOrder(str(folder.path), _DOCKER, "measuring"))
        try:
            run.do(DockChunk(0))  # starts the docking process
            begin = _cpu_seconds()
            for chunk in range(1, n_chunks):
                run.do(DockChunk(chunk))
            chunks_s = _cpu_seconds() - begin
            begin = _cpu_seconds()
            run.do(PackShard(0))
            pack_s = _cpu_seconds() - begin
        finally:
            run.close()
        (part,) = find_results(folder, read_plan(folder)).paths
        n_bytes = part.stat().st_size
    return RowCost(
        n=n, chunk_s=chunks_s / (n - chunk_size), pack_s=pack_s / n, row_bytes=n_bytes / n
    )


def measure_merge(n_rows: int, n_best: int, n_distinct: int = 24) -> MergeCost:
    """Time the best molecules of many rows, in a process of its own.

    Parameters
    ----------
    n_rows
        At least; files of 131,072 rows (or all of them) are read.
    n_best
        Molecules to keep.
    n_distinct
        So many different files are written, without poses, which a merge does not read; all others
        are these again.
    """
    shard_rows = min(_SHARD_ROWS, n_rows)
    n_files = -(-n_rows // shard_rows)
    place = Path(tempfile.mkdtemp(prefix="osong-merge-"))
    try:
        parts = [_write_shard(place, i, shard_rows) for i in range(min(n_files, n_distinct))]
        begin = time.perf_counter()
        check_ledger(parts, len(parts) * shard_rows)
        check_s = (time.perf_counter() - begin) * n_files / len(parts)
        command = [sys.executable, "-m", "osong_benchmarks.merge_child", str(n_best), str(n_files)]
        done = subprocess.run([*command, *map(str, parts)], stdout=subprocess.PIPE, check=True)
    finally:
        shutil.rmtree(place)
    return MergeCost(
        n_rows=n_files * shard_rows, n_files=n_files, check_s=check_s, **json.loads(done.stdout)
    )


def _cpu_seconds() -> float:
    """Return the CPU time so far of this process and of those that it has."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def _write_shard(place: Path, index: int, n_rows: int) -> Path:
    """Write rows as a packed part has them, without poses."""
    shard = Shard(index, index, 1, index * n_rows, n_rows, f"{index:032x}")
    rng = np.random.default_rng(index)
    n_failed = 0
    with PartFile(place, shard, "measuring") as file:
        for begin in range(0, n_rows, _GROUP_ROWS):
            table = _rows(rng, shard.start + begin, min(_GROUP_ROWS, n_rows - begin))
            n_failed += table["energy"].null_count
            file.write(table)
        n_ok = n_rows - n_failed
        return file.finish(n_ok, Counter({"embed": n_failed}), Counter({"cpu": n_ok}))


def _rows(rng: np.random.Generator, start: int, n: int) -> pa.Table:
    """Return rows of molecules that differ, one of a hundred failed."""
    has_failed = rng.random(n) < 0.01
    smiles = _unlike(rng, n)
    columns = {
        "index": np.arange(start, start + n),
        "name": [f"ZINC{number:012d}" for number in rng.integers(0, 10**12, n)],
        "source": [f"library.smi.gz:{start + i + 1}" for i in range(n)],
        "format": ["smiles"] * n,
        "input": smiles,
        "status": np.where(has_failed, "failed", "ok"),
        "stage": pa.array(np.where(has_failed, "embed", ""), mask=~has_failed),
        "reason": pa.array(np.where(has_failed, "no conformer found", ""), mask=~has_failed),
        "n_variants": np.ones(n),
        "notes": [[]] * n,
        "energy": pa.array(fake_energies(rng, n), mask=has_failed),
        "smiles": smiles,
        "n_heavy": rng.integers(15, 38, n),
        "properties": pa.nulls(n),
        "poses": [[]] * n,
    }
    return pa.table(columns).cast(PART_SCHEMA)


def _unlike(rng: np.random.Generator, n: int) -> list[str]:
    """Return texts like SMILES, each of its own: no dictionary of a column holds them."""
    halves = rng.integers(0, len(SMILES), (n, 2)).tolist()
    places = rng.integers(5, 30, n).tolist()
    numbers = rng.integers(0, 10**6, n).tolist()
    return [
        f"{SMILES[one][:at]}{number}{SMILES[other][at:]}"
        for (one, other), at, number in zip(halves, places, numbers, strict=True)
    ]
