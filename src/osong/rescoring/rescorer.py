"""Grids to scores: an ensemble of GNINA's networks, in batches that fit into memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np
import psutil

from osong.errors import InputError, MissingExtraError, ResourceError
from osong.machine import usable_memory
from osong.rescoring.grid_memory import GRID_SHAPE, as_tensor, check_grids, room_for
from osong.rescoring.rotations import ROTATION_COUNTS, rotations
from osong.rescoring.weights import SHIPPED, WeightsFile, find_weights
from osong.torch_threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from osong.rescoring.inference import FastNetwork, Pooling

__all__ = ["GRID_SHAPE", "GridSource", "PoseScores", "Rescorer"]

GRID_BYTES: Final = 4 * 28 * 48**3
_CPU_BATCH: Final = 16
"""Poses for which grids are made at once on a CPU: the networks see one at a time anyway."""
_CUDA_BATCH: Final = 256
_WORK_BYTES: Final = 48 << 20
"""What one pose needs inside the networks: 18 MiB were measured on a CPU, for the default ensemble;
convolutions on a device want room of their own."""
_RUNTIME_BYTES: Final = 512 << 20
"""What torch and the networks take: 300 MiB were measured on a CPU."""
_SHARE: Final = 0.5
_PURPOSE: Final = "rescoring with GNINA's networks"
_DTYPES: Final = ("auto", "float32", "bfloat16")

Pose_contra = TypeVar("Pose_contra", contravariant=True)
Pose = TypeVar("Pose")


class GridSource(Protocol[Pose_contra]):
    """What makes grids, such as ``osong.rescoring.grids.GridMaker``.

    One that has ``can_fill_devices``, and it is true, also gets tensors on a device to fill.
    """

    def grids(self, poses: Sequence[Pose_contra], *, out: Any) -> Any:
        """Fill ``out`` with the grids (n, 28, 48, 48, 48) of poses, and return it."""
        ...


@dataclass(frozen=True)
class PoseScores:
    """Scores of n poses, means over the members of the ensemble and the rotations.

    Attributes
    ----------
    score
        (n,) float64, CNNscore: probability that the pose is within 2 angstrom of the true one.
    affinity
        (n,) float64, CNNaffinity: predicted pK.
    variance
        (n,) float64, CNNvariance: variance of the affinity over members and rotations, pK squared.
    """

    score: NDArray[np.float64]
    affinity: NDArray[np.float64]
    variance: NDArray[np.float64]

    @property
    def vs(self) -> NDArray[np.float64]:
        """(n,) float64, CNN_VS: score times affinity, for ranking different ligands."""
        return self.score * self.affinity

    def __len__(self) -> int:
        return len(self.score)


class Rescorer:
    """An ensemble of GNINA's networks, ready to score grids.

    Parameters
    ----------
    models
        Names of networks or ensembles (``osong.rescoring.weights.ENSEMBLES``); ``"all"`` is every
        file in ``weights``.
    rotations
        Scores are averaged over a fixed set of 1, 4, 12 or 24 rotations of the grid.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` is a device where there is one.
    dtype
        ``"float32"`` or ``"bfloat16"`` (about twice as fast where the hardware has it; scores
        differ in the third digit, so that near ties may change places; TorchScript that runs as it
        is stays float32); ``"auto"`` is float32.
    memory_bytes
        What grids and networks may take; by default half of what is free.
    threads
        Cores to use; no score depends on it.
    weights
        A folder with weights of the user's, looked into before those of gninatorch.

    Raises
    ------
    MissingExtraError
        If torch, or gninatorch where its weights are asked for, is not installed.
    InputError
        If an argument or a file of weights cannot be used.
    ResourceError
        If not even one pose fits into the memory.

    Notes
    -----
    On a CPU a pose is computed alone, on one thread, in one order: its scores are the same bytes
    whatever batch, thread count or neighbours it has. On a device, batches are padded to one size;
    scores are the same for the same size, and within 1e-5 of the CPU's otherwise. On a CPU one
    rescorer of a process works at a time, since torch's number of threads is the process's: for
    more cores there is ``threads``.
    """

    def __init__(
        self,
        models: str | Sequence[str] = "default",
        rotations: int = 1,
        device: str = "auto",
        dtype: str = "auto",
        memory_bytes: int | None = None,
        threads: int = 1,
        *,
        weights: str | Path | None = None,
    ) -> None:
        _check_arguments(rotations, dtype, threads)
        _require_torch()
        self.files: tuple[WeightsFile, ...] = find_weights(models, weights)
        self.n_rotations = rotations
        self.threads = threads
        self.device = _device(device)
        self.dtype = _checked_dtype(dtype, self.device)
        self.batch_poses = self._plan(memory_bytes)
        self._networks: list[FastNetwork] = self._load()

    def _load(self) -> list[FastNetwork]:
        import torch

        from osong.rescoring.inference import arrange
        from osong.rescoring.loading import load_network

        dtype = torch.bfloat16 if self.dtype == "bfloat16" else torch.float32
        with one_thread():
            return [
                arrange(load_network(file), device=self.device, dtype=dtype) for file in self.files
            ]

    def _plan(self, memory_bytes: int | None) -> int:
        """Return how many poses a batch has."""
        on_cpu = self.device.type == "cpu"
        given = memory_bytes if memory_bytes is not None else _free_bytes(self.device)
        at_work = self.threads if on_cpu else 0
        left = given - _RUNTIME_BYTES - at_work * _WORK_BYTES
        pose_bytes = GRID_BYTES * 2 if on_cpu else GRID_BYTES * 2 + _WORK_BYTES
        batch = min(left // pose_bytes, _CPU_BATCH if on_cpu else _CUDA_BATCH)
        if batch < 1:
            needed = _RUNTIME_BYTES + at_work * _WORK_BYTES + pose_bytes
            raise ResourceError(
                f"rescoring needs {needed >> 20} MiB on {self.device}, {given >> 20} MiB are "
                "there: use fewer threads, or more memory"
            )
        return int(batch)

    def describe(self) -> dict[str, Any]:
        """Return what scores depend on, for results: networks, hashes, licence, versions.

        ``dtype`` is what ran, ``dtype_asked`` what was asked: TorchScript that runs as it is
        (``program`` of a network) stays float32.
        """
        ran = [str(network.dtype).removeprefix("torch.") for network in self._networks]
        programs = ["TorchScript" if n.pooling == "none" else "Osong" for n in self._networks]
        is_shipped = any(file.sha256 in SHIPPED.values() for file in self.files)
        return {
            "networks": [
                {"name": f.name, "sha256": f.sha256, "licence": f.licence, "dtype": dtype,
                 "program": program}
                for f, dtype, program in zip(self.files, ran, programs, strict=True)
            ],
            "rotations": self.n_rotations,
            "dtype": "+".join(sorted(set(ran))),
            "dtype_asked": self.dtype,
            "device": self.device.type,
            "torch": metadata.version("torch"),
            "gninatorch": _version_of("gninatorch") if is_shipped else "",
        }  # fmt: skip

    def iter_scores(self, source: GridSource[Pose], poses: Sequence[Pose]) -> Iterator[PoseScores]:
        """Yield the scores of poses, batch after batch, in order.

        Parameters
        ----------
        source
            What makes the poses' grids.
        poses
            Whatever ``source`` takes.
        """
        # Memory that was written before is filled twice as fast as new one.
        room = room_for(source, min(self.batch_poses, len(poses)), self.device)
        for start in range(0, len(poses), len(room) or 1):
            part = poses[start : start + len(room)]
            yield self.scores(source.grids(part, out=room[: len(part)]))

    def scores(self, grids: NDArray[np.float32] | torch.Tensor) -> PoseScores:
        """Return the scores of grids.

        Parameters
        ----------
        grids
            (n, 28, 48, 48, 48) float32, densities; n may be 0. A tensor lies on the networks'
            device.

        Raises
        ------
        InputError
            If the array has another shape or dtype, or numbers that are not finite.
        ResourceError
            If a device has no room for a single pose.
        """
        check_grids(grids)
        if not len(grids):
            return _summarised(np.zeros((0, 1, 2)))
        if self.device.type == "cpu":
            return _summarised(self._on_cpu(grids))
        return _summarised(self._on_device(grids))

    def _on_cpu(self, grids: Any) -> NDArray[np.float64]:
        import torch

        def one(grid: NDArray[np.float32]) -> NDArray[np.float64]:
            with torch.inference_mode():
                torch.set_num_threads(1)  # also of this thread's own pool
                return self._run(as_tensor(grid[None]), skip_empty=True)[0]

        with one_thread():
            if self.threads == 1:
                return np.stack([one(grid) for grid in grids])
            with ThreadPoolExecutor(self.threads) as pool:
                return np.stack(list(pool.map(one, grids)))

    def _on_device(self, grids: Any) -> NDArray[np.float64]:
        """Return what the networks say, by batches of one size; smaller where memory is short."""
        import torch

        rows: list[NDArray[np.float64]] = []
        done = 0
        while done < len(grids):
            part = grids[done : done + self.batch_poses]
            try:
                rows.append(self._padded(part))
            except torch.OutOfMemoryError as error:
                if self.batch_poses == 1:
                    raise ResourceError(
                        f"{self.device} has no room for a single pose: another process may hold "
                        "its memory; wait for it, or take device='cpu'"
                    ) from error
                self.batch_poses //= 2
            else:
                done += len(part)
                continue
            # Only here is the failed batch's memory no longer held by the exception.
            torch.cuda.empty_cache()
        return np.concatenate(rows)

    def _padded(self, grids: Any) -> NDArray[np.float64]:
        import torch

        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            batch = as_tensor(grids)
            if len(grids) < self.batch_poses:
                batch = torch.zeros((self.batch_poses, *GRID_SHAPE), device=self.device)
                batch[: len(grids)] = as_tensor(grids)
            batch = batch.to(self.device)  # whole batches that were made there stay in place
            return self._run(batch, skip_empty=False)[: len(grids)]

    def _run(self, grids: torch.Tensor, *, skip_empty: bool) -> NDArray[np.float64]:
        """Return probability and affinity (n, members x rotations, 2); a pooling is made once."""
        import torch

        from osong.rescoring.inference import occupied, pool
        from osong.rescoring.networks import pose_probability

        pooled: dict[Pooling, tuple[torch.Tensor, torch.Tensor | None]] = {}
        rows = []
        for network in self._networks:
            kind = network.pooling
            if kind not in pooled:
                values = pool(grids, kind)
                pooled[kind] = occupied(values) if skip_empty and kind != "none" else (values, None)
            values, channels = pooled[kind]
            for rotation in rotations(self.n_rotations):
                logits, affinity = network(_turned(values, rotation.axes, rotation.flips), channels)
                rows.append(torch.stack((pose_probability(logits), affinity), dim=1))
        return torch.stack(rows, dim=1).double().cpu().numpy()


def _turned(
    values: torch.Tensor, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> torch.Tensor:
    x, y, z = (2 + axis for axis in axes)
    flipped = [2 + axis for axis, flip in enumerate(flips) if flip]
    return values.permute(0, 1, x, y, z).flip(flipped) if flipped else values.permute(0, 1, x, y, z)


def _summarised(rows: NDArray[np.float64]) -> PoseScores:
    """Return the means of probabilities and affinities (n, members x rotations, 2)."""
    mean = rows.mean(axis=1)
    bad = np.flatnonzero(~np.isfinite(mean).all(axis=1))
    if len(bad):
        raise InputError(f"grid {bad[0]} of {len(rows)} holds numbers that are not finite")
    return PoseScores(mean[:, 0], mean[:, 1], rows[:, :, 1].var(axis=1))


def _check_arguments(n_rotations: int, dtype: str, threads: int) -> None:
    if n_rotations not in ROTATION_COUNTS:
        wanted = ", ".join(map(str, ROTATION_COUNTS))
        raise InputError(f"rotations is {n_rotations!r}; it may be {wanted}")
    if dtype not in _DTYPES:
        raise InputError(f"dtype is {dtype!r}; it may be {', '.join(_DTYPES)}")
    if threads < 1:
        raise InputError(f"threads is {threads}; at least 1")


def _version_of(package: str) -> str:
    """Return a package's version; "" where only its folder is there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise MissingExtraError("torch", extra="ml", purpose=_PURPOSE)


def _device(name: str) -> torch.device:
    import torch

    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device is {name!r}; it may be auto, cpu, cuda or cuda:1") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device is {name!r}; it may be auto, cpu, cuda or cuda:1")
    if device.type == "cuda" and not (has_cuda and (device.index or 0) < torch.cuda.device_count()):
        raise InputError(f"device is {name!r}, which torch cannot use here: take cpu or auto")
    return device


def _checked_dtype(name: str, device: torch.device) -> str:
    import torch

    if name != "bfloat16":
        return "float32"
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported()
    else:
        # torch refuses, at the first convolution, where oneDNN has no code for this processor.
        has_it = not torch.backends.mkldnn.is_available() or bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    if not has_it:
        raise InputError(f"dtype is 'bfloat16', which {device} has not: take float32")
    return name


def _free_bytes(device: torch.device) -> int:
    """Return what may be filled by default."""
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _SHARE)
    return int(min(psutil.virtual_memory().available, usable_memory()) * _SHARE)
