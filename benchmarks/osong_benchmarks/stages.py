"""The stages of one evaluation, each by itself: what the kernels' helpers take, called in a loop.

The helpers are no part of the contract and may change: they are called by the names of their
arguments, and a stage whose arguments are no longer known is a gap.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np

from osong_benchmarks.cases import KernelCase
from osong_kernels.compile import sources_hash
from osong_kernels.cpu import elementary  # noqa: F401  (gives lanes their exponential and sine)
from osong_kernels.cpu.energy import add_pair_energy, field_energy
from osong_kernels.cpu.kinematics import place_atoms, pull_back
from osong_kernels.cpu.lane_memory import store

__all__ = ["STAGES", "UnknownArgumentError", "stage_seconds"]

STAGES: Final = {
    "kinematics": ("place", "pull back"),
    "field": ("field",),
    "pairs": ("pairs",),
}
"""The stages and the loops that make them up."""

_REPEATS = 5


class UnknownArgumentError(Exception):
    """A helper takes an argument that is not known here."""


def _cached(function: Callable[..., Any]) -> Any:
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    own = blake2b(Path(__file__).read_bytes(), digest_size=8).hexdigest()
    # as in osong_kernels.compile: the loops contain code of other files
    compiled._cache._cache_file._source_stamp = sources_hash() + own
    return compiled


@_cached
def _repeat_place(n: Any, arguments: Any, out: Any) -> None:
    for _ in range(n):
        place_atoms(*arguments)


@_cached
def _repeat_pull_back(n: Any, arguments: Any, out: Any) -> None:
    for _ in range(n):
        pull_back(*arguments)


@_cached
def _repeat_field(n: Any, arguments: Any, out: Any) -> None:
    for _ in range(n):
        store(out, (0,), field_energy(*arguments))


@_cached
def _repeat_pairs(n: Any, arguments: Any, out: Any) -> None:
    for _ in range(n):
        store(out, (0,), add_pair_energy(*arguments))


_LOOPS: Final = {
    "place": (_repeat_place, place_atoms),
    "pull back": (_repeat_pull_back, pull_back),
    "field": (_repeat_field, field_energy),
    "pairs": (_repeat_pairs, add_pair_energy),
}


def stage_seconds(case: KernelCase, seconds: float) -> dict[str, float]:
    """Return CPU seconds of each stage for one evaluation of one lane.

    Every stage runs again and again on the chains' coordinates as they were recorded, so its
    numbers stay in the nearest cache: a floor of what it takes during a search.

    Raises
    ------
    UnknownArgumentError
        If a helper takes an argument that is not known here.
    """
    values = _values(case)
    n_lanes = values["genotype"].shape[-1]
    out = np.zeros((1, n_lanes), np.float32)
    taken = {}
    for name, (loop, helper) in _LOOPS.items():
        taken[name] = _smallest(loop, _arguments(helper, values), out, seconds) / n_lanes
    return {stage: sum(taken[name] for name in names) for stage, names in STAGES.items()}


def _arguments(helper: Any, values: dict[str, Any]) -> tuple[Any, ...]:
    names = list(inspect.signature(helper.py_func).parameters)
    unknown = [name for name in names if name not in values]
    if unknown:
        raise UnknownArgumentError(f"{helper.py_func.__name__}({', '.join(unknown)})")
    return tuple(values[name] for name in names)


def _values(case: KernelCase) -> dict[str, Any]:
    """Return everything that a helper may ask for, by name."""
    search = case.calls["run_chains"]
    given = dict(zip((a.name for a in search.kernel.arguments), search.fresh(), strict=True))
    topology, state = given["topology"], given["state"]
    n_atoms, _, n_lanes = state.local.shape
    n_segments = state.axis.shape[0]

    def floats(*shape: int) -> Any:
        return np.zeros((*shape, n_lanes), np.float32)

    return {
        **topology._asdict(),
        **state._asdict(),
        **given,
        "genotype": state.current,
        "limit": np.float32(given["rules"].limit),
        "frames": floats(n_segments, 12),
        "coords": floats(n_atoms, 3),
        "forces": floats(n_atoms, 3),
        "wrench": floats(n_segments, 6),
        "gradient": floats(n_segments + 5),
    }


def _smallest(loop: Any, arguments: tuple[Any, ...], out: Any, seconds: float) -> float:
    """Return CPU seconds of one call, the smallest of several loops of about ``seconds``."""
    loop(1, arguments, out)
    n = 1
    while (taken := _timed(loop, n, arguments, out)) < 0.2 * seconds:
        n *= 4
    n = max(1, int(n * seconds / taken))
    return min(_timed(loop, n, arguments, out) for _ in range(_REPEATS)) / n


def _timed(loop: Any, n: int, arguments: tuple[Any, ...], out: Any) -> float:
    started = time.process_time()
    loop(n, arguments, out)
    return time.process_time() - started
