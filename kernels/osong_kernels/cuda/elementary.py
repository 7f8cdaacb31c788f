"""The functions of ``physics.ops`` in device code, in single precision."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from osong_kernels.cuda.compile import IS_SIMULATED, device

_fast_sine: Any = math.sin
_fast_cosine: Any = math.cos
_fast_exponential: Any = math.exp


def _bits_of(a: Any) -> Any:
    return np.float32(a).view(np.int32)


if not IS_SIMULATED:
    from numba.cuda import libdevice

    _fast_sine, _fast_cosine = libdevice.fast_sinf, libdevice.fast_cosf
    _fast_exponential = libdevice.fast_expf
    _bits_of = libdevice.float_as_int

__all__ = [
    "absolute",
    "exponential",
    "floor_to_int",
    "inverse_square_root",
    "is_number",
    "look_up",
    "maximum",
    "minimum",
    "select",
    "sine_cosine",
    "square_root",
    "to_float",
    "truncate",
]

_INVERSE_TURN: Final = np.float32(1.0 / (2.0 * math.pi))
# 2 pi in two parts, so that many turns can be taken off an angle without losing digits.
_TURN_HIGH: Final = np.float32(6.28125)
_TURN_LOW: Final = np.float32(2.0 * math.pi - 6.28125)
_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1.0)
_WITHOUT_SIGN: Final = np.int32(0x7FFFFFFF)
_INFINITE: Final = np.int32(0x7F800000)


@device
def is_number(a: Any) -> Any:
    """Return whether a number is finite, by its bits.

    A compiler that divides and compares fast may take it for granted that nothing is NaN, and turn
    a comparison round; of integers it may not.
    """
    return (_bits_of(a) & _WITHOUT_SIGN) < _INFINITE


@device
def select(condition: Any, if_true: Any, if_false: Any) -> Any:
    """Return one of two numbers."""
    return if_true if condition else if_false


@device
def minimum(a: Any, b: Any) -> Any:
    """Return the smaller of two numbers."""
    return a if a < b else b


@device
def maximum(a: Any, b: Any) -> Any:
    """Return the larger of two numbers."""
    return a if a > b else b


@device
def absolute(a: Any) -> Any:
    """Return the magnitude of a number."""
    return math.fabs(a)


@device
def square_root(a: Any) -> Any:
    """Return the square root."""
    return math.sqrt(a)


@device
def inverse_square_root(a: Any) -> Any:
    """Return one over the square root of a positive number."""
    return _ONE / math.sqrt(a)


@device
def exponential(a: Any) -> Any:
    """Return e to a power."""
    return _fast_exponential(a)


@device
def floor_to_int(a: Any) -> Any:
    """Return the largest integer that is not above a number, 32 bits."""
    return np.int32(math.floor(a))


@device
def truncate(a: Any) -> Any:
    """Return a number without its fraction, as a 32-bit integer."""
    return np.int32(a)


@device
def to_float(a: Any) -> Any:
    """Return an integer as a floating-point number."""
    return np.float32(a)


@device
def look_up(table: Any, index: Any, entry: Any) -> Any:
    """Return ``table[index + (entry,)]``."""
    return table[index[0], index[1], entry]


@device
def sine_cosine(a: Any) -> Any:
    """Return sine and cosine; the angle is brought to within half a turn first.

    The device's own functions are good to 2^-21 there, and without that step a general sine needs
    memory of its own for large angles.
    """
    turns = np.float32(math.floor(a * _INVERSE_TURN + _HALF))
    rest = (a - turns * _TURN_HIGH) - turns * _TURN_LOW
    return _fast_sine(rest), _fast_cosine(rest)
