"""Tests of CUDA kernels, for Numba's simulator and for devices.

Numba reads NUMBA_ENABLE_CUDASIM when it is imported, so these run in a process of their own, which
``tests/kernels/test_cuda_simulated.py`` starts. Simulated threads are Python's: keep cases tiny.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_backends import HAS_NUMBA_CUDA, Backend, mark_device_tests, speed_up_simulator

if not HAS_NUMBA_CUDA:
    collect_ignore_glob = ["test_*.py"]

speed_up_simulator()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_device_tests(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The CUDA kernels; each call is checked against the contract first."""
    return Backend("cuda")
