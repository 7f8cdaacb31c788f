"""Exponential, sine and cosine of lane vectors by polynomials: no call, no branch, no table.

The coefficients are minimax fits (iteratively reweighted least squares on 4,000 Chebyshev nodes);
the comments give the largest error of the polynomial, to be read beside float32's 6e-8.
"""

from __future__ import annotations

import math
from typing import Any

from osong_kernels.compile import inner
from osong_kernels.cpu import lane_tables  # noqa: F401  (gives lanes their look_up)
from osong_kernels.cpu.lanes import F32Lanes, inverse_square_root_guess, overload
from osong_kernels.physics import ops

__all__ = ["lane_exponential", "lane_inverse_square_root", "lane_sine_cosine"]

_LOG2_E = 1.4426950408889634
_INVERSE_PI = 0.3183098861837907
# pi in two parts, so that k * pi loses no digits for the few turns a search can make
_PI_HIGH = 3.140625
_PI_LOW = 0.0009676535897932


@inner
def lane_exponential(a: Any) -> Any:
    """Return e**a for float lanes up to 88; relative error 2e-7 + 1e-7 |a|, absolute 2e-7 below 0.

    Below the range of float32 comes its smallest normal number, 1e-38.
    """
    t = ops.maximum(a * _LOG2_E, -126.0)
    whole = ops.floor_to_int(t)
    f = t - ops.to_float(whole)
    p = f * 0.00187758 + 0.00898934  # 2**f on [0, 1): 7.5e-8
    p = p * f + 0.05582632
    p = p * f + 0.24015362
    p = p * f + 0.69315307
    p = p * f + 0.99999993
    return p * ops.power_of_two(whole)


@inner
def lane_sine_cosine(a: Any) -> Any:
    """Return sine and cosine of float lanes in radian, absolute error 2e-7 for some 1,000 turns."""
    k = ops.to_float(ops.floor_to_int(a * _INVERSE_PI + 0.5))
    r = (a - k * _PI_HIGH) - k * _PI_LOW
    y = r * r
    s = y * 2.60190307e-06 - 1.98074187e-04  # sin(r)/r on |r| < pi/2: 5.3e-9
    s = s * y + 8.33302514e-03
    s = s * y - 1.66666567e-01
    s = (s * y + 0.999999995) * r
    c = y * -2.58039793e-07 + 2.47440364e-05  # cos(r): 9.4e-10
    c = c * y - 1.38879889e-03
    c = c * y + 4.16666005e-02
    c = c * y - 4.99999981e-01
    c = c * y + 0.999999999
    half = k * 0.5
    odd = half - ops.to_float(ops.floor_to_int(half))  # 0.0 or 0.5
    sign = 1.0 - odd * 4.0
    return s * sign, c * sign


@inner
def lane_inverse_square_root(a: Any) -> Any:
    """Return 1 / sqrt(a) for positive float lanes, relative error 5e-7; finite at zero.

    A guess from the bits and two steps like Newton's: a quarter of the time of a square root and
    a division, and, unlike the processors' own estimates, the same on every make. The guess runs
    low by a factor that the two constants make good, chosen so that each step's error is as often
    above as below (3.2e-7 after both, without rounding) and one multiple of ``a`` serves both.
    """
    y = inverse_square_root_guess(a)
    part = a * 0.64657231
    y = y * (1.54413276 - part * y * y)
    return y * (1.63420694 - part * y * y)


@overload(ops.inverse_square_root)
def _overload_inverse_square_root(a: Any) -> Any:
    if a == F32Lanes:
        return lambda a: lane_inverse_square_root(a)
    return lambda a: 1.0 / math.sqrt(a)


@overload(ops.exponential)
def _overload_exponential(a: Any) -> Any:
    if a == F32Lanes:
        return lambda a: lane_exponential(a)
    return lambda a: _scalar_exponential(a)


@overload(ops.sine_cosine)
def _overload_sine_cosine(a: Any) -> Any:
    if a == F32Lanes:
        return lambda a: lane_sine_cosine(a)
    return lambda a: _scalar_sine_cosine(a)


@inner
def _scalar_exponential(a: Any) -> Any:
    return math.exp(a)


@inner
def _scalar_sine_cosine(a: Any) -> Any:
    return math.sin(a), math.cos(a)
