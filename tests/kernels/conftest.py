from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from osong_kernels.contract import KERNELS, Kernel, mismatches

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # for the helpers of these tests


def _checked(kernel: Kernel, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        assert mismatches(kernel, arguments) == []
        return function(*arguments)

    return call


@pytest.fixture(scope="session", params=["cpu"])
def backend(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The kernels of one backend; each call is checked against the contract first."""
    kernels = {}
    for kernel in KERNELS:
        module = importlib.import_module(f"osong_kernels.{request.param}.{kernel.module}")
        kernels[kernel.name] = _checked(kernel, getattr(module, kernel.name))
    return SimpleNamespace(name=request.param, **kernels)
