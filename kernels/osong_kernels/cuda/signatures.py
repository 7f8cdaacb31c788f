"""Numba's types of what the search's kernels take, for compiling them without a device."""

from __future__ import annotations

from typing import Final

from numba import types

from osong_kernels.arguments import PairTable
from osong_kernels.cuda.layout import DeviceField, LigandArrays
from osong_kernels.cuda.receptor import DeviceReceptor
from osong_kernels.physics.pair_terms import PairWeights

__all__ = ["FIELD", "FLOATS", "INTEGERS", "LIGANDS", "RECEPTOR", "TABLE", "WEIGHTS"]

FLOATS: Final = types.float32[::1]
INTEGERS: Final = types.int32[::1]
_PLACES: Final = types.int64[::1]
LIGANDS: Final = types.NamedTuple(
    (
        INTEGERS, FLOATS, types.uint64[::1], FLOATS, FLOATS, FLOATS, INTEGERS, INTEGERS, INTEGERS,
        INTEGERS, INTEGERS, FLOATS, types.uint32[::1], FLOATS, _PLACES, _PLACES,
    ),
    LigandArrays,
)  # fmt: skip
FIELD: Final = types.NamedTuple((FLOATS, *(types.int32,) * 3, *(types.float32,) * 5), DeviceField)
TABLE: Final = types.NamedTuple((types.float32[:, :, ::1], *(types.float32,) * 3), PairTable)
WEIGHTS: Final = types.NamedTuple((types.float32,) * len(PairWeights._fields), PairWeights)
RECEPTOR: Final = types.NamedTuple((*(FLOATS,) * 5, types.float32), DeviceReceptor)
