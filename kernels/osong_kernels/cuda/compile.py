"""How device code is compiled: every flag stands here and nowhere else.

The formulae of ``physics`` serve the device as they are, but for their literals: in Python a
``0.5`` is a float64, and one of them makes all that it meets a float64, which a device does at a
thirty-second of the rate or worse. `device_formula` compiles the same source with every literal
in single precision.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any, Final, TypeVar

import numpy as np
from numba import config, cuda

from osong_kernels.physics import ops

__all__ = [
    "IS_SIMULATED",
    "Offline",
    "device",
    "device_formula",
    "exact_formula",
    "exact_kernel",
    "inlined",
    "kernel",
]

F = TypeVar("F", bound=Callable[..., Any])

# A batch may be small, and Numba would tell the user of each of its launches.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0

IS_SIMULATED: Final = bool(config.ENABLE_CUDASIM)
"""Whether kernels run in Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``)."""

_PHYSICS: Final = "osong_kernels.physics"
# Link-time optimisation, Numba's default, forgets what fastmath says of quotients and roots: they
# come out as the slow, exact ones. The simulator knows no such option. It only counts where the
# function is given with it: ``cuda.jit(lto=False)(function)`` drops it (numba-cuda 0.30.4).
_OPTIONS: Final[dict[str, bool]] = {} if IS_SIMULATED else {"lto": False}


@dataclass(frozen=True)
class Offline:
    """A kernel as it is launched, so that it can be compiled and looked at without a device.

    Each module with kernels declares them: ``OFFLINE: Final = (Offline(...), ...)``, at its end.
    ``python -m benchmarks cuda`` compiles all of them and ``tests/benchmarks/test_cuda_report.py``
    fails on spilled registers, memory of threads' own, float64 where it is not allowed, fewer wide
    loads than wanted, and registers above what is on record.

    Attributes
    ----------
    name
        As in the report; the contract's name where it has one.
    kernel
        What `kernel` (or `exact_kernel`) returned.
    signature
        Numba's types of the arguments, as they come on a device: ``types.float32[::1]``, ...
    threads_per_block
        As launched.
    dynamic_shared_bytes
        Asked for at launch, for a drug-like ligand (30 heavy atoms, 6 torsions).
    n_wide_loads
        At least so many loads of 16 bytes, from global and shared memory together.
    may_use_float64
        Whether the contract asks for it.
    """

    name: str
    kernel: Any
    signature: tuple[Any, ...]
    threads_per_block: int
    dynamic_shared_bytes: int = 0
    n_wide_loads: int = 0
    may_use_float64: bool = False


def device(function: F) -> F:
    """Compile a function that kernels call; it becomes part of them.

    It must not name ``numba.cuda`` itself: the simulator changes that name under way, for all
    threads. What a function wants of it is in ``warp``.
    """
    if IS_SIMULATED:
        return function
    compiled: F = cuda.jit(device=True, forceinline=True)(function)
    return compiled


def inlined(function: F) -> F:
    """Put a function's text where it is called: such a function may return shared memory."""
    if IS_SIMULATED:
        return function
    compiled: F = cuda.jit(device=True, inline="always")(function)
    return compiled


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel; the machine code is cached on disk.

    Quotients, square roots and exponentials are the device's own, good to some 2e-7; denormal
    numbers are zero. Nothing may depend on infinities or on what is no number. The order of sums
    is that of the machine code, so the same input gives the same bytes on one make of device.
    """
    return _kept(cuda.jit(function, fastmath=True, **_OPTIONS))


def exact_kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel whose numbers are float64 and whose quotients and roots are exact.

    For what the contract wants in float64: a few final poses, never a search.
    """
    return _kept(cuda.jit(function, **_OPTIONS))


def _kept(compiled: Any) -> Any:
    if IS_SIMULATED:
        return compiled
    from osong_kernels.cuda.kernel_cache import keep_on_disk

    return keep_on_disk(compiled)


@cache
def exact_formula(formula: Callable[..., Any]) -> Any:
    """Return a formula of ``physics`` for the code of an `exact_kernel`: float64 throughout."""
    if IS_SIMULATED:
        return formula
    names = {
        name: exact_formula(value)
        if isinstance(value, FunctionType) and value.__module__.startswith(_PHYSICS)
        else value
        for name, value in _globals_of(formula).items()
    }
    # not the original: it is known to Numba as a function of CPU code
    return device(FunctionType(formula.__code__, names, formula.__name__))


@cache
def device_formula(formula: Callable[..., Any]) -> Any:
    """Return a formula of ``physics`` for device code, with its literals in single precision."""
    source = textwrap.dedent(inspect.getsource(formula))
    tree = ast.parse(source)
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise TypeError(f"{formula!r} is no plain function")
    definition.decorator_list = []
    _WithoutAnnotations().visit(definition)
    _SinglePrecision().visit(definition)
    ast.increment_lineno(tree, formula.__code__.co_firstlineno - 1)
    ast.fix_missing_locations(tree)
    names = {name: _for_device(value) for name, value in _globals_of(formula).items()}
    names |= {"_single": np.float32, "float": np.float32}
    exec(compile(tree, formula.__code__.co_filename, "exec"), names)
    return device(names[formula.__name__])


class _SinglePrecision(ast.NodeTransformer):
    """Makes every literal with a fraction one of single precision."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, float):
            return node
        return ast.Call(ast.Name("_single", ast.Load()), [node], [])


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        return node


def _globals_of(formula: Any) -> dict[str, Any]:
    """Return the global names that a function uses, with their values."""
    names = formula.__code__.co_names
    return {
        name: formula.__globals__[name]
        for name in names
        if name in formula.__globals__ and not hasattr(builtins, name)
    }


def _for_device(value: Any) -> Any:
    """Return what stands for a global of a formula in device code."""
    if isinstance(value, float):
        return np.float32(value)
    if isinstance(value, FunctionType) and value.__module__ == ops.__name__:
        from osong_kernels.cuda import elementary

        return getattr(elementary, value.__name__)
    if isinstance(value, FunctionType) and value.__module__.startswith(_PHYSICS):
        return device_formula(value)
    return value
