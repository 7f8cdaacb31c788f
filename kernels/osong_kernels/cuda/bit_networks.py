"""Small networks on packed bits on a device: a warp is a molecule with some networks.

Eight lanes are a network: each has four of its 32 hidden units and reads them by one load of 16
bytes. The rows of the networks of a warp lie side by side, so a warp reads a row of all of them at
once, 512 bytes in a line. Eight networks on 4,096 bits have 17 MB of rows, which fit into the
second-level cache of an A100 or H100 (40 and 50 MB).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import cuda, types

from osong_kernels.cuda.compile import IS_SIMULATED, Offline, kernel
from osong_kernels.cuda.device_memory import to_device
from osong_kernels.cuda.elementary import maximum
from osong_kernels.cuda.memory import load_four
from osong_kernels.cuda.warp import (
    LANES,
    at,
    lane_index,
    lowest_bit,
    sum_of_eight,
    warp_index,
    warp_sync,
)

__all__ = ["OFFLINE", "DeviceBitNetworks", "run_bit_networks"]

_WARPS: Final = 1 if IS_SIMULATED else 8
_THREADS: Final = _WARPS * LANES
_LANES_EACH: Final = 8
_AT_ONCE: Final = LANES // _LANES_EACH
"""Networks of a warp."""
_UNITS: Final = 32
_ROW: Final = np.int32(_UNITS * _AT_ONCE)
"""Numbers of a row of all networks of a warp."""
_WORDS: Final = 128
"""Words of 32 bits that a warp holds in shared memory at a time: all of a fingerprint's."""
_HELD: Final = _WARPS * _WORDS
_MOLECULES: Final = 2 if IS_SIMULATED else 1 << 18
"""Molecules of a launch: 134 MB of fingerprints."""
_ZERO: Final = np.float32(0.0)
_FIFTEEN: Final = np.uint32(15)


@kernel
def _run_networks(
    words: Any, n_words: Any, table: Any, bias: Any, weight: Any, n_groups: Any, out: Any
) -> None:
    """Fill ``out``, a row of all groups' networks a molecule.

    ``words``: ``n_words`` a molecule, the lowest bits first. ``table``: rows of ``_ROW`` numbers,
    those of a group one behind the other, 16 for each four bits; ``bias`` and ``weight``: a row a
    group.
    """
    held = cuda.shared.array(_HELD, types.uint32)
    scratch = cuda.shared.array(LANES, types.float32)
    molecule = np.int32(cuda.blockIdx.x * _WARPS + warp_index())
    group = np.int32(cuda.blockIdx.y)
    if molecule * n_words >= len(words):
        return
    lane = lane_index()
    own = np.int32(4 * lane)
    first_held = np.int32(warp_index() * _WORDS)
    a0, a1, a2, a3 = load_four(bias, np.int32(group * _ROW + own))
    first_row = np.int32(group * n_words * 128)
    for start in range(np.int32(0), n_words, np.int32(_WORDS)):
        n_held = min(n_words - start, np.int32(_WORDS))
        for k in range(lane, n_held, np.int32(LANES)):
            held[at(first_held + k)] = words[at(molecule * n_words + start + k)]
        warp_sync()
        for k in range(n_held):
            bits = np.uint32(held[at(first_held + k)])
            while bits != np.uint32(0):
                place = np.uint32(lowest_bit(bits)) & np.uint32(28)
                value = np.uint32(bits >> place) & _FIFTEEN
                bits = np.uint32(bits & ~np.uint32(_FIFTEEN << place))
                row = np.int32(first_row + 128 * (start + k) + 4 * place + value)
                b0, b1, b2, b3 = load_four(table, np.int64(row) * _ROW + own)
                a0 += b0
                a1 += b1
                a2 += b2
                a3 += b3
        warp_sync()
    w0, w1, w2, w3 = load_four(weight, np.int32(group * _ROW + own))
    total = maximum(a0, _ZERO) * w0 + maximum(a1, _ZERO) * w1
    total += maximum(a2, _ZERO) * w2 + maximum(a3, _ZERO) * w3
    total = sum_of_eight(total, scratch)
    if lane % _LANES_EACH == 0:
        network = np.int32(group * _AT_ONCE + lane // _LANES_EACH)
        out[at(molecule * n_groups * _AT_ONCE + network)] = total


class DeviceBitNetworks:
    """Networks in a device's memory, ready for many calls.

    Parameters
    ----------
    table, bias, weight
        As in ``cpu.bit_networks``, on the host; networks of 32 hidden units.
    """

    def __init__(
        self,
        table: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
        weight: npt.NDArray[np.float32],
    ) -> None:
        self.n_networks = len(table)
        self._n_bytes = table.shape[1] // 32
        self._n_groups = -(-self.n_networks // _AT_ONCE)
        # whole words, at least one: no half byte beyond the last byte is ever set
        self._n_words = max(1, -(-self._n_bytes // 4))
        rows = np.zeros((self.n_networks, 128 * self._n_words, _UNITS), np.float32)
        rows[:, : table.shape[1]] = table.reshape(*table.shape[:2], _UNITS)
        self._table = to_device(self._grouped(rows))
        self._bias = to_device(self._grouped(bias.reshape(-1, 1, _UNITS)))
        self._weight = to_device(self._grouped(weight.reshape(-1, 1, _UNITS)))

    def _grouped(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return rows (n_networks, n_rows, 32) flat: by group, then by row, then by network."""
        n_rows = rows.shape[1]
        padded = np.zeros((self._n_groups * _AT_ONCE, n_rows, _UNITS), np.float32)
        padded[: self.n_networks] = rows
        shape = (self._n_groups, _AT_ONCE, n_rows, _UNITS)
        return np.ascontiguousarray(padded.reshape(shape).swapaxes(1, 2)).reshape(-1)

    def run(self, packed: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]) -> None:
        """Fill ``out`` (n, n_networks) float32 for ``packed`` (n, n_bytes) uint8, of the host."""
        if out.size == 0:
            return
        for begin in range(0, len(packed), _MOLECULES):
            part = slice(begin, begin + _MOLECULES)
            out[part] = self._run(packed[part])[:, : self.n_networks]

    def _run(self, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        n = len(packed)
        whole = np.ascontiguousarray(packed)
        if self._n_bytes != 4 * self._n_words:
            whole = np.zeros((n, 4 * self._n_words), np.uint8)
            whole[:, : self._n_bytes] = packed
        found = cuda.device_array(n * self._n_groups * _AT_ONCE, np.float32)
        _run_networks[(-(-n // _WARPS), self._n_groups), _THREADS](
            cuda.to_device(whole.view("<u4").reshape(-1)),
            np.int32(self._n_words),
            self._table,
            self._bias,
            self._weight,
            np.int32(self._n_groups),
            found,
        )
        answers: npt.NDArray[np.float32] = found.copy_to_host().reshape(n, -1)
        return answers


def run_bit_networks(packed: Any, table: Any, bias: Any, weight: Any, out: Any) -> None:
    """Fill ``out`` with what the networks give; see ``cpu.bit_networks``.

    Hidden units are summed up in the CPU's order, and then by a tree.
    """
    if out.size == 0:
        return
    DeviceBitNetworks(table, bias, weight).run(packed, out)


_FLAT: Final = types.float32[::1]

OFFLINE: Final = (
    Offline(
        "run_bit_networks",
        _run_networks,
        (types.uint32[::1], types.int32, _FLAT, _FLAT, _FLAT, types.int32, _FLAT),
        _THREADS,
        n_wide_loads=3,
    ),
)
