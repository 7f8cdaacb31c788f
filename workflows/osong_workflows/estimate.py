"""What a campaign file would cost, before anything runs: molecules, files, disk, memory, hours."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from osong.library import Record, open_prepared, read_prepared
from osong.library.sampling import sample_library
from osong_workflows.amounts import counted
from osong_workflows.create import grid_bytes
from osong_workflows.cutting import choose_cut
from osong_workflows.device_estimate import PREPARE_S, DeviceEstimate, estimate_devices
from osong_workflows.plan import (
    BYTES_PER_FINGERPRINT,
    FILES_BESIDES,
    SECONDS_PER_MOLECULE,
    bytes_per_molecule,
    process_bytes,
)
from osong_workflows.pose_rescoring import network_hashes, rescoring_seconds
from osong_workflows.prepared import PREPARED
from osong_workflows.settings import SCORE
from osong_workflows.staging import FILE_RECORDS, staged_bytes
from osong_workflows.strategy import n_of, n_rounds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osong.box import Box
    from osong_workflows.campaign_file import CampaignFile
    from osong_workflows.create import TargetLike
    from osong_workflows.place import RunPlace

__all__ = [
    "CampaignEstimate",
    "LibraryCount",
    "MoleculeTime",
    "TargetEstimate",
    "count_library",
    "estimate_campaign",
    "rescoring_time",
    "usual_time",
]

_FASTEST_S: Final = SECONDS_PER_MOLECULE["score"]
_FINGERPRINT_S: Final = 1 / 1_750
_PREDICT_S: Final = 1 / 150_000
"""Core seconds a molecule, and of predictions for each round: docs/active-learning.md."""
_N_PREPARED: Final = 4096
"""Molecules of a prepared library that stand for all."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LibraryCount(_Frozen):
    """How many molecules a library has.

    Attributes
    ----------
    n_records
        Molecules.
    is_exact
        Whether they were counted.
    bytes_per_record
        Of the campaign's copy.
    records
        Some of them, spread over what was read.
    """

    n_records: int
    is_exact: bool
    bytes_per_record: float
    records: tuple[Record, ...]


class MoleculeTime(_Frozen):
    """What a molecule takes, states and all.

    Attributes
    ----------
    seconds
        Of one core.
    uncertainty
        Standard error of ``seconds``, where it was measured.
    n_measured
        Molecules that were docked to find out; 0 where it is what another machine took.
    n_failed
        Of them without poses.
    """

    seconds: float
    uncertainty: float = 0.0
    n_measured: int = 0
    n_failed: int = 0


class TargetEstimate(_Frozen):
    """What the campaign of one target would be.

    Attributes
    ----------
    label, target, folder
        What it is called, what the receptor is called, where it would be.
    box_size
        Edges of the box, angstrom.
    n_molecules, n_chunks, chunk_size, n_shards
        Work: molecules, units of work and molecules in each, files of results.
    n_files
        In the finished folder.
    input_bytes, parts_bytes
        Disk: the records' copy, and the results.
    memory_bytes_per_worker
        Kernels and grid maps.
    core_hours
        One core's.
    """

    label: str
    target: str
    folder: str
    box_size: tuple[float, float, float]
    n_molecules: int
    n_chunks: int
    chunk_size: int
    n_shards: int
    n_files: int
    input_bytes: int
    parts_bytes: int
    memory_bytes_per_worker: int
    core_hours: float

    @property
    def disk_bytes(self) -> int:
        """All of it."""
        return self.input_bytes + self.parts_bytes


class CampaignEstimate(_Frozen):
    """What a campaign file would cost.

    Attributes
    ----------
    file, library, effort, scoring
        What was asked.
    is_exact
        Whether the molecules were counted.
    n_library
        Molecules of the library; with a strategy fewer are docked.
    time
        What a molecule takes.
    targets
        One campaign a target.
    n_dockings, n_chunks, n_shards, n_files, disk_bytes, core_hours
        In all.
    where, workers, wall_hours
        The place, and how long it takes there.
    chunk_seconds
        The unit of work that takes longest.
    devices
        What it would be with the place's GPUs; None where it has or uses none. All else is of CPUs.
    notes
        What was assumed.
    problems
        Why it cannot be: one line each.
    """

    file: str
    library: str
    effort: str
    scoring: str
    is_exact: bool
    n_library: int
    time: MoleculeTime
    targets: tuple[TargetEstimate, ...]
    n_dockings: int
    n_chunks: int
    n_shards: int
    n_files: int
    disk_bytes: int
    core_hours: float
    where: str
    workers: int
    wall_hours: float
    chunk_seconds: float
    devices: DeviceEstimate | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def count_library(file: CampaignFile) -> LibraryCount:
    """Count the molecules of a file's library, or estimate them where counting would take long.

    Raises
    ------
    InputError
        The library cannot be read or is empty.
    """
    if file.is_prepared:
        return _count_prepared(file)
    sample = sample_library(file.library, **file.tables.reading.model_dump())
    return LibraryCount(
        n_records=sample.n_records,
        is_exact=sample.is_exact,
        bytes_per_record=staged_bytes(sample.records) / len(sample.records),
        records=sample.records,
    )


def _count_prepared(file: CampaignFile) -> LibraryCount:
    """Return what a prepared library says of itself; records are spread over all of it."""
    library = open_prepared(file.library)
    n_records = library.n_molecules
    first = [(m.name, m.source) for m in islice(read_prepared(file.library), _N_PREPARED)]
    stride = max(1, n_records // _N_PREPARED)
    records = tuple(
        Record(position, *first[i % len(first)], PREPARED, f"{library.content_hash}:{position}")
        for i, position in enumerate(range(0, n_records, stride)[:_N_PREPARED])
    )
    size = staged_bytes(records) / max(len(records), 1)
    return LibraryCount(n_records=n_records, is_exact=True, bytes_per_record=size, records=records)


def usual_time(effort: str, *, is_prepared: bool, rescoring_s: float = 0.0) -> MoleculeTime:
    """Return what a molecule took where Osong's own tables were measured.

    Parameters
    ----------
    rescoring_s
        Seconds that networks take for its poses.
    """
    seconds = SECONDS_PER_MOLECULE[effort]
    if is_prepared:
        seconds = max(seconds - PREPARE_S, _FASTEST_S)
    return MoleculeTime(seconds=seconds + rescoring_s)


def rescoring_time(file: CampaignFile) -> float:
    """Return the core seconds that networks take for the poses of a molecule; 0 without them."""
    search = file.tables.search
    if search.rescore is None:
        return 0.0
    n_poses = 1 if search.effort == SCORE else search.n_poses
    return rescoring_seconds(network_hashes(search.rescore_models), n_poses)


def estimate_campaign(
    file: CampaignFile,
    targets: Sequence[TargetLike],
    count: LibraryCount,
    time: MoleculeTime,
    place: RunPlace,
) -> CampaignEstimate:
    """Return what a campaign would cost; nothing is read, checked or written.

    Parameters
    ----------
    file
        What was asked.
    targets
        The file's targets, made ready.
    count
        The library.
    time
        What a molecule takes.
    place
        Where it is to run.
    """
    memory = max(_memory(file, target.box) for target in targets)
    rescoring_s = rescoring_time(file)
    workers = _workers(memory, place)
    per_target = tuple(
        _of_target(file, index, target, count, time, workers)
        for index, target in enumerate(targets)
    )
    n_chunks = sum(target.n_chunks for target in per_target)
    chunk_seconds = max(
        min(target.chunk_size, target.n_molecules) * time.seconds for target in per_target
    )
    # Whole chunks: with more workers than chunks the rest have nothing to do.
    wall_seconds = math.ceil(n_chunks / workers) * chunk_seconds
    notes = list(place.notes)
    if workers < place.cores:
        notes.append(f"memory suffices for {workers:,} of {place.cores:,} cores")
    if (strategy := file.tables.strategy) is not None:
        hours = len(targets) * choosing_seconds(file, count.n_records) / 3600
        n_rounds = n_rounds_of(strategy, count.n_records)
        notes.append(
            f"strategy: {strategy.budget} of the library in {counted(n_rounds, 'round')}; "
            "fingerprints and "
            f"predictions take {hours:,.1f} of the core hours, and nothing is docked meanwhile"
        )
    n_dockings = sum(target.n_molecules for target in per_target)
    effort, is_prepared = file.tables.search.effort, file.is_prepared
    return CampaignEstimate(
        file=str(file.path),
        library=str(file.library),
        effort=effort,
        scoring=file.tables.search.scoring,
        is_exact=count.is_exact,
        n_library=count.n_records,
        time=time,
        targets=per_target,
        n_dockings=n_dockings,
        n_chunks=n_chunks,
        n_shards=sum(target.n_shards for target in per_target),
        n_files=sum(target.n_files for target in per_target),
        disk_bytes=sum(target.disk_bytes for target in per_target),
        core_hours=sum(target.core_hours for target in per_target),
        where=place.name,
        workers=workers,
        wall_hours=wall_seconds / 3600,
        chunk_seconds=chunk_seconds,
        devices=estimate_devices(
            n_dockings,
            effort,
            place,
            workers,
            is_prepared=is_prepared,
            slowness=time.seconds
            / usual_time(effort, is_prepared=is_prepared, rescoring_s=rescoring_s).seconds,
            rescoring_s=rescoring_s,
        ),
        notes=tuple(notes),
    )


def _of_target(
    file: CampaignFile,
    index: int,
    target: TargetLike,
    count: LibraryCount,
    time: MoleculeTime,
    workers: int,
) -> TargetEstimate:
    """Return what the campaign of one target would be."""
    asked, strategy = file.targets[index], file.tables.strategy
    n_records = count.n_records if strategy is None else n_of(strategy.budget, count.n_records)
    # What the plan of the campaign will go by, whatever a sample took.
    seconds = SECONDS_PER_MOLECULE[file.tables.search.effort] + rescoring_time(file)
    cut = choose_cut(n_records, seconds, workers)
    n_inputs = math.ceil(count.n_records / FILE_RECORDS)
    return TargetEstimate(
        label=asked.label,
        target=target.name,
        folder=str(asked.folder),
        box_size=target.box.size,
        n_molecules=n_records,
        n_chunks=cut.n_chunks,
        chunk_size=cut.chunk_size,
        n_shards=cut.n_shards,
        n_files=cut.n_shards + n_inputs + FILES_BESIDES,
        input_bytes=math.ceil(count.n_records * _input_bytes(file, count)),
        parts_bytes=n_records * bytes_per_molecule(file.tables.search.n_poses),
        memory_bytes_per_worker=_memory(file, target.box),
        core_hours=(n_records * time.seconds + choosing_seconds(file, count.n_records)) / 3600,
    )


def choosing_seconds(file: CampaignFile, n_records: int) -> float:
    """Return the core seconds of fingerprints and predictions; 0 where all molecules are docked."""
    strategy = file.tables.strategy
    if strategy is None:
        return 0.0
    return n_records * (_FINGERPRINT_S + n_rounds_of(strategy, n_records) * _PREDICT_S)


def _input_bytes(file: CampaignFile, count: LibraryCount) -> float:
    """Return what a molecule of the library takes on the disk: its record, and its fingerprint."""
    of_strategy = 0 if file.tables.strategy is None else BYTES_PER_FINGERPRINT
    return count.bytes_per_record + of_strategy


def _memory(file: CampaignFile, box: Box) -> int:
    """Return the bytes of a docking process."""
    return process_bytes(grid_bytes(box), rescores=file.tables.search.rescore is not None)


def _workers(memory: int, place: RunPlace) -> int:
    """Return how many workers there would be: a core each, fewer where memory would not do."""
    per_node = place.cores_per_node
    if place.memory_per_node is not None:
        per_node = min(per_node, max(1, place.memory_per_node // memory))
    return place.nodes * per_node
