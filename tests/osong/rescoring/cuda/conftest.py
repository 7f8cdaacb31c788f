"""Tests of grids on devices, for Numba's simulator and for devices; see tests/kernels/cuda."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[3]
for folder in (TESTS / "kernels", TESTS / "osong" / "rescoring"):  # for the helpers there
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from kernel_backends import (  # noqa: E402 (lies there)
    HAS_NUMBA_CUDA,
    mark_device_tests,
    speed_up_simulator,
)

if not HAS_NUMBA_CUDA:
    collect_ignore_glob = ["test_*.py"]

speed_up_simulator()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_device_tests(items, Path(__file__).parent)
