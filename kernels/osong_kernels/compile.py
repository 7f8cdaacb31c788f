"""How kernels are compiled: every flag stands here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.extending import register_jitable

__all__ = ["formula", "inner", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def formula(function: F) -> F:
    """Let a plain function of ``physics`` be called from every kernel as well as from Python."""
    jitable: F = register_jitable(function)
    return jitable


def inner(function: F) -> F:
    """Compile a helper that only kernels call; the kernel's own cache entry contains it."""
    compiled: F = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def kernel(function: F) -> F:
    """Compile a kernel that Python calls; the machine code is cached on disk.

    Without ``fastmath``: sums keep their order, so the same input gives the same bytes.
    """
    compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return compiled
