"""Philox 4x32-10: random numbers as a function of a key and a counter, nothing else.

Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
doi:10.1145/2063384.2063405. The key is made of the seed and the ligand, the counter of the chain,
the step and the draw; so no draw depends on what else is computed where.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import formula

__all__ = ["philox", "uniform"]

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MANTISSA_SHIFT = np.uint64(8)
_SCALE = 2.0**-24


@formula
def philox(key_0: Any, key_1: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """Return four random 32-bit words (as uint64) of a 2-word key and a 4-word counter."""
    for _ in range(10):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        high_0, low_0 = product_0 >> _SHIFT, product_0 & _LOW
        high_1, low_1 = product_1 >> _SHIFT, product_1 & _LOW
        c0, c1, c2, c3 = high_1 ^ c1 ^ key_0, low_1, high_0 ^ c3 ^ key_1, low_0
        key_0 = (key_0 + _WEYL_0) & _LOW
        key_1 = (key_1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@formula
def uniform(word: Any) -> Any:
    """Return a number in [0, 1) with 24 random bits, exact in float32."""
    return float(word >> _MANTISSA_SHIFT) * _SCALE
