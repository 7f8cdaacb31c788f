"""`DeviceSession`: docks many ligands at a time on one NVIDIA device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from osong.atom_types import ATOM_TYPES
from osong.errors import InputError, LigandError, MissingExtraError, ResourceError
from osong.ligands.prepared import PreparedLigand
from osong.receptor.target import Target
from osong.scoring.grid import WALL_KCAL_PER_ANGSTROM
from osong.scoring.kernel_ligand import KernelLigand
from osong.search.chains import (
    BETTER_KCAL,
    POOL_RMSD,
    SEARCH_LIMIT_KCAL,
    box_corners,
    n_elite,
    search_rules,
)
from osong.search.memory import (
    BatchPlan,
    DeviceBatch,
    LigandShape,
    Misfit,
    SearchSize,
    plan_batches,
)
from osong.search.minima import RefinedMinima
from osong.search.pose import Pose
from osong.search.refine import MAX_TICKS, refine_rules
from osong.search.session import DockingSession

try:
    from osong_kernels.cuda import batch as device
    from osong_kernels.cuda.batch import DeviceTarget
    from osong_kernels.cuda.compile import IS_SIMULATED
    from osong_kernels.cuda.deallocations import give_back
    from osong_kernels.cuda.device_memory import bundle_to_device, single_precision, to_device
    from osong_kernels.cuda.layout import LigandInput
    from osong_kernels.cuda.receptor import pack_receptor
    from osong_kernels.cuda.search import device_field
except ImportError as error:
    raise MissingExtraError("numba-cuda", extra="cuda", purpose="docking on GPUs") from error

__all__ = ["DeviceSession", "Found", "ReadyMolecules", "Searched"]

_STREAMS: Final = 1 if IS_SIMULATED else 2
"""Batches under way at once: one fills the device while the other runs out of chains."""
_FEWEST: Final = 64
"""Ligands of a batch where there are more: some 8,000 chains in `fast` keep any device busy."""
_GROUP: Final = 16
_LAUNCH_BYTES: Final = 64 * 2**20
"""For the kernels' code and what a driver allocates at their first launch."""
_SIMULATED_BYTES: Final = 4 * 2**30

Searched = tuple[RefinedMinima, ...] | LigandError | Misfit
"""What was found of each variant of a molecule, or why nothing was, or why the device does not take
it."""
Found = list[Pose] | LigandError | Misfit
"""The same with poses."""


@dataclass(frozen=True)
class _Job:
    """One variant of one molecule."""

    molecule: int
    arrays: KernelLigand
    key: npt.NDArray[np.uint64]

    @property
    def shape(self) -> LigandShape:
        """What decides about memory and work."""
        topology = self.arrays.topology
        n_conformers, n_atoms, _ = topology.local.shape
        n_pairs = len(self.arrays.pairs.second)
        return LigandShape(len(topology.parent) - 1, n_atoms, n_pairs, n_conformers)


@dataclass(frozen=True)
class ReadyMolecules:
    """Molecules with the arrays that the search takes.

    Attributes
    ----------
    jobs
        One for each variant of each molecule that can be searched.
    answers
        One for each molecule: why it cannot be searched, or an empty one.
    """

    jobs: tuple[_Job, ...]
    answers: tuple[tuple[RefinedMinima, ...] | LigandError, ...]


class DeviceSession:
    """Docks many ligands at a time into one target, on one NVIDIA device.

    The search is that of `DockingSession`: the same chains from the same places, by the same rules.
    Sums are made in another order, so chains part after a while, and poses are not the same bytes
    as on a CPU; on one make of device they are the same each time, whatever else is in a batch.

    Parameters
    ----------
    target, scoring, effort, n_poses, seed
        As for `DockingSession`.
    device
        Number of the device, among those that ``CUDA_VISIBLE_DEVICES`` shows.
    memory_bytes
        What the session may take of the device's memory; None for what is free.
    share_bytes
        As ``Device.share_bytes``: what it may fill where other processes use the device too.
    """

    def __init__(
        self,
        target: Target,
        *,
        scoring: str = "vina",
        effort: str = "balanced",
        n_poses: int = 9,
        seed: int = 0,
        device: int = 0,
        memory_bytes: int | None = None,
        share_bytes: int | None = None,
    ) -> None:
        self._host = DockingSession(
            target, scoring=scoring, effort=effort, n_poses=n_poses, seed=seed
        )
        self._device = device
        self._memory_bytes = memory_bytes
        self._share_bytes = share_bytes
        self._target: DeviceTarget | None = None
        # All of them now: the device has the field as it was when it was sent.
        self._host.maps.ensure(range(len(ATOM_TYPES)))
        with _device_errors(device):
            self._select()

    def dock_many(self, molecules: Sequence[Sequence[PreparedLigand]]) -> list[Found]:
        """Dock the variants of each molecule; return what became of each, in their order.

        Raises
        ------
        ResourceError
            The device fails, or has less memory than it said.
        """
        searched = self.search(self.ready(molecules))
        return [
            self._finished(variants, found)
            for variants, found in zip(molecules, searched, strict=True)
        ]

    def ready(self, molecules: Sequence[Sequence[PreparedLigand]]) -> ReadyMolecules:
        """Return molecules ready for `search`; may run while another thread searches others."""
        jobs: list[_Job] = []
        answers: list[tuple[RefinedMinima, ...] | LigandError] = []
        for number, variants in enumerate(molecules):
            try:
                of_molecule = [self._job(number, variant) for variant in variants]
            except LigandError as error:
                answers.append(error)
            except InputError as error:
                # A damaged record of a prepared library: no reason to stop for the others.
                answers.append(LigandError(str(error), stage="dock"))
            else:
                answers.append(())
                jobs += of_molecule
        return ReadyMolecules(tuple(jobs), tuple(answers))

    def search(self, ready: ReadyMolecules) -> list[Searched]:
        """Search; return what was found of each molecule, for ``DockingSession.finish``.

        Raises
        ------
        ResourceError
            The device fails, or has less memory than it said.
        """
        answers: list[Searched] = list(ready.answers)
        with _device_errors(self._device):
            plan = self._plan(ready.jobs)
            found = self._search(ready.jobs, plan)
        for k, job in enumerate(ready.jobs):
            so_far = answers[job.molecule]
            if isinstance(so_far, tuple) and k in found:
                answers[job.molecule] = (*so_far, found[k])
        for misfit in plan.misfits:
            answers[ready.jobs[misfit.ligand].molecule] = misfit
        return answers

    def free_bytes(self) -> int:
        """Return what of the device's memory the session may take now.

        Raises
        ------
        ResourceError
            The device fails.
        """
        with _device_errors(self._device):
            return self._free_bytes()

    def target_bytes(self) -> int:
        """Return what the target takes on the device."""
        n_receptor = len(self._host.receptor.atom_type)
        return 4 * self._host.maps.field().maps.nbytes + 64 * n_receptor + _LAUNCH_BYTES

    def _unsent_bytes(self) -> int:
        """Return what of the target is not among the memory in use yet."""
        is_there = self._target is not None and self._memory_bytes is None
        return 0 if is_there else self.target_bytes()

    def _finished(self, variants: Sequence[PreparedLigand], searched: Searched) -> Found:
        if not isinstance(searched, tuple):
            return searched
        try:
            return self._host.finish(variants, searched)
        except LigandError as error:
            return error

    def _job(self, molecule: int, source: PreparedLigand) -> _Job:
        return _Job(molecule, self._host.arrays_of(source)[1], self._host.key_of(source))

    def _plan(self, jobs: Sequence[_Job]) -> BatchPlan:
        effort = self._host.effort
        n_receptor = len(self._host.receptor.atom_type)
        return plan_batches(
            [job.shape for job in jobs],
            free_bytes=self._free_bytes() // _STREAMS,
            target_bytes=self._unsent_bytes() // _STREAMS,
            size=SearchSize(
                effort.n_groups * _GROUP, n_refined=effort.n_refined, n_receptor=n_receptor
            ),
            shared_limit=device.SHARED_ROOM,
            # Several batches: while one runs out of chains, the device has the next.
            max_ligands=max(_FEWEST, len(jobs) // (2 * _STREAMS)),
        )

    def _search(self, jobs: Sequence[_Job], plan: BatchPlan) -> dict[int, RefinedMinima]:
        """Return what was found, by the number of the job, for all that are in a batch."""
        if not plan.batches:
            return {}
        target = self._on_device()

        def run(batch: DeviceBatch) -> list[RefinedMinima]:
            self._select()
            chosen = [jobs[k] for k in batch.ligands]
            refined = device.search_batch(
                [self._input(job) for job in chosen],
                [refine_rules(job.arrays) for job in chosen],
                target,
                self._rules(),
                _stream(),
            )
            return [RefinedMinima(*minima) for minima in refined]

        with ThreadPoolExecutor(_STREAMS) as pool:
            return {
                k: minima
                for batch, found in zip(plan.batches, pool.map(run, plan.batches), strict=True)
                for k, minima in zip(batch.ligands, found, strict=True)
            }

    def _input(self, job: _Job) -> LigandInput:
        arrays, effort = job.arrays, self._host.effort
        n_torsions = len(arrays.topology.parent) - 1
        return LigandInput(
            arrays.topology, arrays.pairs, search_rules(arrays), job.key,
            effort.ticks(n_torsions, len(arrays.order)), 0, arrays.atom_type,
        )  # fmt: skip

    def _rules(self) -> device.BatchRules:
        effort = self._host.effort
        return device.BatchRules(
            n_chains=effort.n_groups * _GROUP,
            max_rounds=effort.max_rounds,
            patience=effort.patience,
            n_refined=effort.n_refined,
            refine_ticks=MAX_TICKS,
            pool_rmsd=POOL_RMSD,
            gain=BETTER_KCAL,
            n_elite=lambda done: n_elite(effort.n_groups, done),
        )

    def _on_device(self) -> DeviceTarget:
        """Return the target in the device's memory."""
        if self._target is None:
            scoring, box = self._host.scoring, self._host.target.box
            low, high = box_corners(box)
            receptor = pack_receptor(self._host.receptor, low, high, WALL_KCAL_PER_ANGSTROM)
            table = scoring.pair_table(SEARCH_LIMIT_KCAL)
            self._target = DeviceTarget(
                device_field(self._host.maps.field()),
                bundle_to_device(single_precision(table)),
                bundle_to_device(receptor),
                single_precision(scoring.weights),
                to_device(low.astype(np.float32)),
                to_device(high.astype(np.float32)),
            )
        return self._target

    def _select(self) -> None:
        """Have this thread use the session's device."""
        if not IS_SIMULATED:
            from numba import cuda

            cuda.select_device(self._device)

    def _free_bytes(self) -> int:
        if self._memory_bytes is not None:
            return self._memory_bytes
        if IS_SIMULATED:
            return _SIMULATED_BYTES
        from numba import cuda

        context = cuda.current_context()
        give_back(context)  # what is not needed any more, and still taken
        free = int(context.get_memory_info().free)
        if self._share_bytes is None:
            return free
        mine = 0 if self._target is None else self.target_bytes()
        return min(free, max(0, self._share_bytes - mine))


def _stream() -> Any:
    if IS_SIMULATED:
        return 0
    from numba import cuda

    return cuda.stream()


@contextmanager
def _device_errors(number: int) -> Iterator[None]:
    """Say in one line what a device did not do."""
    if IS_SIMULATED:
        yield
        return
    try:
        yield
    except _driver_errors() as error:
        raise ResourceError(
            f"device {number}: {error}; osong doctor says what is wrong, --backend cpu does without"
        ) from error


def _driver_errors() -> tuple[type[Exception], ...]:
    """Return what is raised where the driver fails: by numba-cuda, and by cuda.core at launches."""
    from numba.cuda.cudadrv.error import CudaDriverError, CudaSupportError

    try:
        from cuda.core._utils.cuda_utils import CUDAError  # it has no public name (cuda-core 1.2)
    except ImportError:
        return CudaDriverError, CudaSupportError
    return CudaDriverError, CudaSupportError, CUDAError
