"""The kernels of one backend for the tests, and whether this process can run CUDA ones."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from numba import config

from osong_kernels.contract import KERNELS, mismatches

IS_SIMULATED = bool(config.ENABLE_CUDASIM)
HAS_NUMBA_CUDA = importlib.util.find_spec("numba_cuda") is not None


def has_device() -> bool:
    """Return whether there is a GPU that kernels can run on."""
    if IS_SIMULATED or not HAS_NUMBA_CUDA:
        return False
    from numba import cuda

    return bool(cuda.is_available())


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
