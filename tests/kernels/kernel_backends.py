"""The kernels of one backend for the tests, and whether this process can run CUDA ones."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numba import config

from osong_kernels.call_check import mismatches
from osong_kernels.contract import KERNELS

IS_SIMULATED = bool(config.ENABLE_CUDASIM)
HAS_NUMBA_CUDA = importlib.util.find_spec("numba_cuda") is not None


def has_device() -> bool:
    """Return whether there is a GPU that kernels can run on."""
    if IS_SIMULATED or not HAS_NUMBA_CUDA:
        return False
    from numba import cuda

    return bool(cuda.is_available())


def speed_up_simulator() -> None:
    """Let simulated threads take turns often.

    The thread that simulates a block waits for the others by looking at them over and over; with
    Python's own 5 ms it holds them up for that long at each barrier.
    """
    if IS_SIMULATED:
        sys.setswitchinterval(1e-4)


def mark_device_tests(items: list[pytest.Item], folder: Path) -> None:
    """Mark a folder's tests: without a device they are for the simulator, with one tests of it."""
    if IS_SIMULATED:
        return
    here = [item for item in items if item.path.is_relative_to(folder)]
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU, or NUMBA_ENABLE_CUDASIM=1")
    without_device = bool(here) and not has_device()
    for item in here:
        item.add_marker(pytest.mark.gpu)
        if without_device:
            item.add_marker(skip)


class Backend:
    """The kernels of a package, by name; each call is checked against the contract first."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = [kernel for kernel in KERNELS if kernel.name == name]
        if not found:
            raise AttributeError(f"the contract has no kernel {name!r}")
        kernel = found[0]
        module = importlib.import_module(f"osong_kernels.{self.name}.{kernel.module}")
        function = getattr(module, name)

        def call(*arguments: Any) -> Any:
            assert mismatches(kernel, arguments) == []
            return function(*arguments)

        return call
