"""Tests of CUDA kernels, for Numba's simulator and for devices.

Numba reads NUMBA_ENABLE_CUDASIM when it is imported, so these run in a process of their own, which
``tests/kernels/test_cuda_simulated.py`` starts. Simulated threads are Python's: keep cases tiny.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kernel_backends import HAS_NUMBA_CUDA, IS_SIMULATED, Backend, has_device

HERE = Path(__file__).parent

if not HAS_NUMBA_CUDA:
    collect_ignore_glob = ["test_*.py"]

if IS_SIMULATED:
    # The thread that simulates a block waits for the others by looking at them over and over; with
    # Python's own 5 ms it holds them up for that long at each barrier.
    sys.setswitchinterval(1e-4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a device these tests are for the simulator; with one they are tests of it."""
    if IS_SIMULATED:
        return
    here = [item for item in items if item.path.is_relative_to(HERE)]
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU, or NUMBA_ENABLE_CUDASIM=1")
    without_device = bool(here) and not has_device()
    for item in here:
        item.add_marker(pytest.mark.gpu)
        if without_device:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The CUDA kernels; each call is checked against the contract first."""
    return Backend("cuda")
