"""Whether the arguments of a call are what the contract says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from osong_kernels.contract import BUNDLES, Array, Bundle, Kernel, Scalar

__all__ = ["mismatches"]

_SUM = re.compile(r"(?P<name>[A-Za-z_]\w*)\+(?P<number>\d+)")
_PRODUCT = re.compile(r"(?P<number>\d+) (?P<name>[A-Za-z_]\w*)")


def mismatches(kernel: Kernel, values: tuple[Any, ...]) -> list[str]:
    """Return what is wrong with the arguments of a call: number, dtype, layout, dimensions.

    Costs microseconds per array: for tests and for finding an error, not for every call.
    """
    if len(values) != len(kernel.arguments):
        return [f"{kernel.name} takes {len(kernel.arguments)} arguments, got {len(values)}"]
    lengths: dict[str, int] = {}
    problems: list[str] = []
    for argument, value in zip(kernel.arguments, values, strict=True):
        for label, item, part in _parts(argument, value):
            if isinstance(item, Array):
                problems += _array_problems(label, item, part, lengths)
            elif np.ndim(part) != 0:
                problems.append(f"{label} is a number, got an array of shape {np.shape(part)}")
    return problems


def _parts(argument: Array | Scalar | Bundle, value: Any) -> list[tuple[str, Array | Scalar, Any]]:
    """Return label, entry and value of an argument, or of each field of a bundle."""
    if not isinstance(argument, Bundle):
        return [(argument.name, argument, value)]
    came = type(value).__name__
    bundle = BUNDLES[came if came in argument.types else argument.types[0]]
    return [
        (f"{argument.name}.{field.name}", field, getattr(value, field.name)) for field in bundle
    ]


def _array_problems(label: str, item: Array, value: Any, lengths: dict[str, int]) -> list[str]:
    if not isinstance(value, np.ndarray):
        return [f"{label} is an array, got {type(value).__name__}"]
    problems = []
    if value.dtype.name not in item.dtypes:
        problems.append(f"{label} is {' or '.join(item.dtypes)}, got {value.dtype.name}")
    if not value.flags.c_contiguous:
        problems.append(f"{label} is not C-contiguous")
    if value.ndim != len(item.dims):
        return [*problems, f"{label} has the dimensions {item.dims}, got shape {value.shape}"]
    for dim, length in zip(item.dims, value.shape, strict=True):
        wanted = _length(dim, length, lengths)
        if length != wanted:
            problems.append(f"{label}: {dim} is {wanted}, got {length}")
    return problems


def _length(dim: str, length: int, lengths: dict[str, int]) -> int:
    """Return how long a dimension must be: ``length`` where its name comes for the first time."""
    if dim.isdigit():
        return int(dim)
    if dim.startswith("n_dof ("):
        n = lengths["n_dof"]
        return n * (n + 1) // 2
    if match := _SUM.fullmatch(dim):
        number = int(match["number"])
        return lengths.setdefault(match["name"], length - number) + number
    if match := _PRODUCT.fullmatch(dim):
        number = int(match["number"])
        return lengths.setdefault(match["name"], length // number) * number
    wanted = lengths.setdefault(dim, length)
    # these three follow from one another
    for name, more in (("n_segments", 0), ("n_dof", 5), ("n_genes", 6)):
        if dim == name:
            n_segments = wanted - more
            lengths.setdefault("n_segments", n_segments)
            lengths.setdefault("n_dof", n_segments + 5)
            lengths.setdefault("n_genes", n_segments + 6)
    return wanted
