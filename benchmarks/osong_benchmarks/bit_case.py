"""The timed call of ``run_bit_networks``: the surrogate's networks on made-up fingerprints."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = ["N_MOLECULES", "bit_values"]

N_MOLECULES: Final = 512
_N_NETWORKS: Final = 8
_N_BITS: Final = 4096
_N_SET: Final = 200
"""Bits that a molecule has: some 190 half bytes that are not zero, as drug-like molecules have."""


def bit_values() -> dict[str, Any]:
    """Return the arguments; no two molecules have the same bits, and some bits are common."""
    rng = np.random.default_rng(12)
    popularity = rng.pareto(1.0, _N_BITS) + 0.1
    chances = popularity / popularity.sum()
    bits = np.zeros((N_MOLECULES, _N_BITS), bool)
    for row in bits:
        row[rng.choice(_N_BITS, _N_SET, replace=False, p=chances)] = True
    table = rng.normal(size=(_N_NETWORKS, _N_BITS // 4, 16, 2, 16)).astype(np.float32)
    table[:, :, 0] = 0.0
    bias, weight = (rng.normal(size=(_N_NETWORKS, 2, 16)).astype(np.float32) for _ in range(2))
    return {
        "packed": np.packbits(bits, axis=1, bitorder="little"),
        "table": table.reshape(_N_NETWORKS, 4 * _N_BITS, 2, 16),
        "bias": bias,
        "weight": weight,
        "out": np.zeros((N_MOLECULES, _N_NETWORKS), np.float32),
    }
