"""PyTorch as Osong uses it: imported when needed, one thread a network, nothing left to chance."""

from __future__ import annotations

import importlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from osong.errors import InputError, MissingExtraError, ResourceError
from osong.machine import usable_cores
from osong.torch_threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Device", "import_torch", "map_networks", "reproducible", "usable_device"]

Device = Literal["auto", "cpu", "cuda"]
T = TypeVar("T")
R = TypeVar("R")


def import_torch() -> Any:
    """Return the module ``torch``.

    Raises
    ------
    MissingExtraError
        Where it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", extra="ml", purpose="active learning") from error


def usable_device(wanted: Device) -> str:
    """Return the device to train on: "cuda" or "cpu".

    Raises
    ------
    InputError
        Where there is no such choice.
    ResourceError
        Where CUDA is wanted and PyTorch sees no device.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError(f"device is '{wanted}': choose auto, cpu or cuda")
    torch = import_torch()
    found = bool(torch.cuda.is_available())
    if wanted == "cuda" and not found:
        raise ResourceError("PyTorch sees no CUDA device: install its CUDA build, or choose cpu")
    return "cuda" if found and wanted != "cpu" else "cpu"


@contextmanager
def reproducible(device: str) -> Iterator[Any]:
    """Let every operation of PyTorch run on one thread and in a fixed order; yield the module.

    Sums of several threads depend on their number, so networks share cores as wholes
    (`map_networks`) and never within. Settings are those of the process: one such block at a time.
    """
    torch = import_torch()
    if device != "cpu":  # cuBLAS wants its workspace fixed; read when its handle is made
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with one_thread():
        strict = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
        try:
            yield torch
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)


def map_networks(
    function: Callable[[T], R], items: Sequence[T], *, threads: int | None, device: str
) -> list[R]:
    """Return the results of a function, in order; on the CPU several run at a time."""
    n_threads = min(threads or usable_cores(), len(items)) if device == "cpu" else 1
    if n_threads <= 1:
        return [function(item) for item in items]
    torch = import_torch()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, items))
