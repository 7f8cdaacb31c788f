"""Every kernel of the contract has a CUDA twin with the same arguments; kernels have names."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import osong_kernels.cuda
from osong_kernels.contract import KERNELS, Kernel
from osong_kernels.cuda.compile import Offline


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_cuda_signature(kernel: Kernel) -> None:
    module = importlib.import_module(f"osong_kernels.cuda.{kernel.module}")
    parameters = inspect.signature(getattr(module, kernel.name)).parameters
    assert list(parameters) == [argument.name for argument in kernel.arguments]


def test_names_of_launched_kernels_are_unique() -> None:
    names = []
    for found in pkgutil.iter_modules(osong_kernels.cuda.__path__):
        module = importlib.import_module(f"osong_kernels.cuda.{found.name}")
        declared = getattr(module, "OFFLINE", ())
        assert all(isinstance(each, Offline) for each in declared)
        names += [each.name for each in declared]
    assert len(names) == len(set(names)) > 0
