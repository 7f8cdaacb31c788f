"""Small networks on packed bits: the definition, in float64, half byte by half byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["run_bit_networks"]


def run_bit_networks(
    packed: npt.NDArray[np.uint8],
    table: npt.NDArray[np.floating],
    bias: npt.NDArray[np.floating],
    weight: npt.NDArray[np.floating],
    out: npt.NDArray[np.floating],
) -> None:
    """Fill ``out`` with what the networks give; see ``cpu.bit_networks``."""
    for i, bytes_of_one in enumerate(packed):
        for k in range(len(table)):
            hidden = bias[k].astype(np.float64)
            for place, byte in enumerate(bytes_of_one.tolist()):
                for half, value in enumerate((byte % 16, byte // 16)):
                    if value:  # row 0 of a half byte is read by nobody
                        hidden += table[k, 16 * (2 * place + half) + value]
            out[i, k] = float((weight[k].astype(np.float64) * np.maximum(hidden, 0.0)).sum())
