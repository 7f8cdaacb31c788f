"""Small networks on packed bits: their first layer is a sum of rows, one for every four bits.

A molecule has some 190 half bytes that are not zero, so its first layer is 190 rows of 32 numbers
to add up where a product of matrices would take 4,096. The lanes are hidden units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from osong_kernels.compile import inner, kernel
from osong_kernels.cpu.lane_memory import load, store
from osong_kernels.cpu.lanes import N_LANES
from osong_kernels.physics import ops

__all__ = ["TILE", "run_bit_networks"]

TILE = 256
"""Molecules that read one network's rows before the next one's: its rows stay in the cache."""


@inner
def _row_numbers(packed: Any, molecule: Any, rows: Any) -> Any:
    """Write the row of each half byte that is not zero; return how many there are."""
    n = 0
    for byte in range(packed.shape[1]):
        value = np.int64(packed[molecule, byte])
        if value & 15:
            rows[n] = 32 * byte + (value & 15)
            n += 1
        if value >> 4:
            rows[n] = 32 * byte + 16 + (value >> 4)
            n += 1
    return n


@inner
def _run_network(
    table: Any, bias: Any, weight: Any, network: Any, rows: Any, n_rows: Any, sums: Any
) -> Any:
    """Return what 32 hidden units give for the sum of some rows."""
    a0 = load(bias, (network, 0))
    a1 = load(bias, (network, 1))
    for k in range(n_rows):
        row = np.int64(rows[k])
        a0 = a0 + load(table, (network, row, 0))
        a1 = a1 + load(table, (network, row, 1))
    total = ops.maximum(a0, 0.0) * load(weight, (network, 0))
    total = total + ops.maximum(a1, 0.0) * load(weight, (network, 1))
    store(sums, (0,), total)
    result = np.float32(0.0)
    for lane in range(N_LANES):
        result += sums[0, lane]
    return result


@kernel
def run_bit_networks(packed: Any, table: Any, bias: Any, weight: Any, out: Any) -> None:
    """Fill ``out`` with what networks of 32 hidden units give for packed bits.

    ``packed`` (n, n_bytes) uint8; ``table`` (n_networks, 32 * n_bytes, 2, 16) float32, whose row
    ``16 * k + v`` is the sum of the weights of the bits that are set in value ``v`` of the k-th
    half byte, the lower half of a byte first; ``bias`` and ``weight`` (n_networks, 2, 16) float32;
    ``out`` (n, n_networks) float32: the sum of ``weight * max(0, bias + rows)``. The order of sums
    is fixed.
    """
    n = packed.shape[0]
    rows = np.empty((TILE, 2 * packed.shape[1]), np.int32)
    n_rows = np.empty(TILE, np.int64)
    sums = np.empty((1, N_LANES), np.float32)
    for begin in range(0, n, TILE):
        end = min(begin + TILE, n)
        for i in range(begin, end):
            n_rows[i - begin] = _row_numbers(packed, i, rows[i - begin])
        for network in range(table.shape[0]):
            for i in range(begin, end):
                out[i, network] = _run_network(
                    table, bias, weight, network, rows[i - begin], n_rows[i - begin], sums
                )
