"""Implementations and the table of kernels agree, and the documents show the table."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_cases import make_case
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher

import osong_kernels.cpu
from osong_kernels import arguments
from osong_kernels.call_check import mismatches
from osong_kernels.contract import BUNDLES, KERNELS, Kernel
from osong_kernels.cpu.lanes import N_LANES
from osong_kernels.cpu.minimise import N_SCALARS
from osong_kernels.physics import pair_terms

BY_NAME = {kernel.name: kernel for kernel in KERNELS}


def parameters(package: str, kernel: Kernel) -> list[str]:
    module = importlib.import_module(f"osong_kernels.{package}.{kernel.module}")
    function = getattr(module, kernel.name)
    return list(inspect.signature(getattr(function, "py_func", function)).parameters)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_cpu_signature(kernel: Kernel) -> None:
    assert parameters("cpu", kernel) == [a.name for a in kernel.arguments]


@pytest.mark.parametrize(
    "kernel", [k for k in KERNELS if k.definition == "loops"], ids=lambda k: k.name
)
def test_reference_signature(kernel: Kernel) -> None:
    assert parameters("reference", kernel) == [a.name for a in kernel.arguments]


def test_every_compiled_kernel_is_in_the_table() -> None:
    found = set()
    for info in pkgutil.iter_modules(osong_kernels.cpu.__path__):
        module = importlib.import_module(f"osong_kernels.cpu.{info.name}")
        for name, value in vars(module).items():
            # only kernels that Python calls are cached; helpers are part of their machine code
            is_kernel = isinstance(value, CPUDispatcher) and isinstance(value._cache, FunctionCache)
            if is_kernel and value.py_func.__module__ == module.__name__:
                found.add((info.name, name))
    assert found == {(kernel.module, kernel.name) for kernel in KERNELS}


@pytest.mark.parametrize("name", sorted(BUNDLES))
def test_bundle_fields(name: str) -> None:
    bundle = getattr(arguments, name, None) or getattr(pair_terms, name)
    assert bundle._fields == tuple(field.name for field in BUNDLES[name])


def test_numbers_in_the_table() -> None:
    dims = {field.name: getattr(field, "dims", ()) for field in BUNDLES["ChainState"]}
    assert dims["scalars"] == (str(N_SCALARS), "L")
    assert N_LANES == 16
    terms = BY_NAME["receptor_terms"].arguments[-1]
    assert getattr(terms, "dims", ()) == ("n_scored", str(pair_terms.N_TERMS))


def test_mismatches_names_the_fault() -> None:
    case = make_case(1, [-1, 0], [3, 2])
    kernel = BY_NAME["pose_energy"]
    good = case.arguments(np.float32)
    assert mismatches(kernel, good) == []
    assert mismatches(kernel, good[:-1]) == ["pose_energy takes 10 arguments, got 9"]

    def problems(index: int, value: object) -> str:
        return "; ".join(mismatches(kernel, (*good[:index], value, *good[index + 1 :])))

    assert "genotypes is float32 or float64, got int64" in problems(5, good[5].astype(np.int64))
    assert "genotypes: n_genes is 8, got 9" in problems(5, np.zeros((20, 9), np.float32))
    assert "conformers: n_poses is 20, got 3" in problems(6, np.zeros(3, np.int32))
    assert "energy has the dimensions" in problems(7, np.zeros(20, np.float32))
    assert "energy is not C-contiguous" in problems(7, np.zeros((2, 20), np.float32).T)
    assert "limit is a number" in problems(4, np.zeros(2))
    assert "conformers is an array, got list" in problems(6, [0])
    shorter = case.topology._replace(map_index=case.topology.map_index[:-1].copy())
    assert "topology.map_index: n_scored is 5, got 4" in problems(0, shorter)


def test_documents_show_the_current_table(root: Path) -> None:
    script = root / "docs" / "kernel_table.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
