"""How kernels are compiled: every flag stands here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, TypeVar

import numba
from numba.extending import register_jitable

__all__ = ["formula", "inner", "kernel", "sources_hash"]

F = TypeVar("F", bound=Callable[..., Any])


def formula(function: F) -> F:
    """Let a plain function of ``physics`` be called from every kernel as well as from Python."""
    jitable: F = register_jitable(function)
    return jitable


def inner(function: F) -> F:
    """Compile a helper that only kernels call; the kernel's own cache entry contains it.

    Inlined by force: left to itself LLVM calls some of them, and a call counts references to every
    array of every bundle up and down and moves all lane vectors through memory. With 22 atoms
    that was a quarter of a search's time.
    """
    compiled: F = numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)
    return compiled


def kernel(function: F) -> F:
    """Compile a kernel that Python calls; the machine code is cached on disk.

    Without ``fastmath``: sums keep their order, so the same input gives the same bytes.
    """
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    # Numba takes cached code for good while the kernel's own file is unchanged, though it also
    # contains the helpers of other files: after an update of those it would run the old code.
    compiled._cache._cache_file._source_stamp = sources_hash()
    jitted: F = compiled
    return jitted


@cache
def sources_hash(*, with_cuda: bool = False) -> str:
    """Return a hash of all sources of the CPU's kernels, or of all: the stamp of machine code."""
    digest = blake2b(digest_size=16)
    for name, text in sorted(_sources(files("osong_kernels"), "")):
        if name.startswith("/cuda/") and not with_cuda:
            continue
        digest.update(f"{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def _sources(folder: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{prefix}/{entry.name}"
        if entry.is_dir():
            yield from _sources(entry, name)
        elif entry.name.endswith(".py"):
            yield name, entry.read_bytes()
