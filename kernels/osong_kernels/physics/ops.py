"""The few operations that formulae use beyond arithmetic, for plain numbers.

Formulae in ``physics`` call these, so the same text runs as Python (the reference), as scalar
Numba code, and as vector code over the lanes of a search, where ``cpu.lanes`` overloads them.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = [
    "absolute",
    "exponential",
    "floor_to_int",
    "inverse_square_root",
    "look_up",
    "maximum",
    "minimum",
    "power_of_two",
    "select",
    "sine_cosine",
    "square_root",
    "to_float",
    "truncate",
]


def select(condition: Any, if_true: Any, if_false: Any) -> Any:
    """Return one of two numbers; both are always computed."""
    return if_true if condition else if_false


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller of two numbers."""
    return a if a < b else b


def maximum(a: Any, b: Any) -> Any:
    """Return the larger of two numbers."""
    return a if a > b else b


def absolute(a: Any) -> Any:
    """Return the magnitude of a number."""
    return abs(a)


def square_root(a: Any) -> Any:
    """Return the square root of a number that is not negative."""
    return math.sqrt(a)


def floor_to_int(a: Any) -> Any:
    """Return the largest integer that is not above ``a``, as a 32-bit integer in kernels."""
    return math.floor(a)


def truncate(a: Any) -> Any:
    """Return a number without its fraction, as a 32-bit integer in kernels."""
    return math.trunc(a)


def to_float(a: Any) -> Any:
    """Return an integer as a floating-point number."""
    return float(a)


def power_of_two(a: Any) -> Any:
    """Return 2 to an integer power."""
    return 2.0**a


def exponential(a: Any) -> Any:
    """Return e to the power ``a``."""
    return math.exp(a)


def sine_cosine(a: Any) -> Any:
    """Return the sine and the cosine of an angle in radian."""
    return math.sin(a), math.cos(a)


def inverse_square_root(a: Any) -> Any:
    """Return one over the square root of a positive number."""
    return 1.0 / math.sqrt(a)


def look_up(table: Any, index: Any, entry: Any) -> Any:
    """Return ``table[index + (entry,)]``; of a row of 32, ``entry`` from 0 to 31, in lanes."""
    return table[(*index, entry)]
