"""Reading and writing lane vectors, and gathering neighbours from tables and lattices.

Like the values of ``lanes``, these exist in jitted code only.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from osong_kernels.cpu.lanes import (
    FLOAT_VECTOR,
    INT_VECTOR,
    N_LANES,
    F32Lanes,
    I32Lanes,
    as_vector,
)

__all__ = ["gather_cell", "gather_pairs", "index_values", "lane_pointer", "load", "store"]


def lane_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: list[Any]) -> Any:
    """Return the LLVM pointer to the lanes ``array[index + (:,)]``."""
    structure = context.make_array(array_type)(context, builder, array)
    zero = context.get_constant(types.intp, 0)
    pointer = cgutils.get_item_pointer(
        context, builder, array_type, structure, [*index, zero], wraparound=False
    )
    vector = FLOAT_VECTOR if array_type.dtype == types.float32 else INT_VECTOR
    return builder.bitcast(pointer, vector.as_pointer())


def index_values(context: Any, builder: Any, index_type: Any, index: Any) -> list[Any]:
    """Return the parts of an index tuple as LLVM integers of pointer width."""
    parts = cgutils.unpack_tuple(builder, index, len(index_type))
    return [
        context.cast(builder, part, part_type, types.intp)
        for part, part_type in zip(parts, index_type, strict=True)
    ]


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Return the lanes ``array[index + (:,)]``; ``index`` is a tuple, the lane axis is last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = index_values(context, builder, index, args[1])
        pointer = lane_pointer(context, builder, array, args[0], parts)
        return builder.load(pointer, align=4)

    return (F32Lanes if array.dtype == types.float32 else I32Lanes)(array, index), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write lanes (or a scalar, broadcast) to ``array[index + (:,)]``."""
    lanes = F32Lanes if array.dtype == types.float32 else I32Lanes

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = index_values(context, builder, index, args[1])
        pointer = lane_pointer(context, builder, array, args[0], parts)
        builder.store(as_vector(context, builder, args[2], value, lanes), pointer, align=4)
        return context.get_dummy_value()

    return types.none(array, index, value), codegen


@intrinsic
def gather_pairs(typingctx: Any, array: Any, offset: Any, indices: Any) -> Any:
    """Return ``(array[k], array[k + 1])`` lane by lane, ``k = offset + indices``, flat float32.

    One 64-bit load a lane brings both neighbours: on Zen 4 that is four times fewer operations
    than two hardware gathers of 16 floats (some 80 micro-operations each).
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        structure = context.make_array(array)(context, builder, args[0])
        start = builder.gep(structure.data, [context.cast(builder, args[1], offset, types.intp)])
        zero = ir.Constant(ir.IntType(64), 0)
        low_high = _load_cells(builder, start, args[2], [zero])
        return context.make_tuple(builder, signature.return_type, low_high)

    return types.UniTuple(F32Lanes, 2)(array, offset, indices), codegen


@intrinsic
def gather_cell(
    typingctx: Any, array: Any, offset: Any, indices: Any, x_stride: Any, y_stride: Any
) -> Any:
    """Return the eight corners of each lane's cell, ``v_xyz`` in binary order, flat float32.

    Corner 000 is ``array[offset + indices]``; z neighbours lie side by side. One 64-bit load a lane
    brings two of them. Lane by lane, so that one address serves four loads: four times
    ``gather_pairs`` needs a fifth more instructions, for addresses that no register can hold.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        structure = context.make_array(array)(context, builder, args[0])

        def integer(value: Any, numba_type: Any) -> Any:
            return context.cast(builder, value, numba_type, types.intp)

        start = builder.gep(structure.data, [integer(args[1], offset)])
        x, y = integer(args[3], x_stride), integer(args[4], y_stride)
        shifts = [ir.Constant(x.type, 0), y, x, builder.add(x, y)]
        corners = _load_cells(builder, start, args[2], shifts)
        return context.make_tuple(builder, signature.return_type, corners)

    returned = types.UniTuple(F32Lanes, 8)
    return returned(array, offset, indices, x_stride, y_stride), codegen


def _load_cells(builder: Any, start: Any, indices: Any, shifts: list[Any]) -> list[Any]:
    """Return low and high element of the pairs at each shift, sixteen lanes each."""
    pair = ir.DoubleType()  # two floats moved as one
    couple = ir.VectorType(pair, 2)
    parts: list[list[Any]] = [[] for _ in shifts]  # vectors of two lanes' pairs
    for first in range(0, N_LANES, 2):
        found = [ir.Constant(couple, ir.Undefined)] * len(shifts)
        for slot in range(2):
            lane = ir.Constant(ir.IntType(32), first + slot)
            index = builder.sext(builder.extract_element(indices, lane), ir.IntType(64))
            cell = builder.gep(start, [index])
            for k, shift in enumerate(shifts):
                pointer = builder.bitcast(builder.gep(cell, [shift]), pair.as_pointer())
                value = builder.load(pointer, align=4)
                where = ir.Constant(ir.IntType(32), slot)
                found[k] = builder.insert_element(found[k], value, where)
        for k, couples in enumerate(found):
            parts[k].append(couples)
    corners = []
    for couples in parts:
        joined = builder.bitcast(_join(builder, couples), ir.VectorType(ir.FloatType(), 32))
        unused = ir.Constant(joined.type, ir.Undefined)
        for first in (0, 1):
            numbers = [ir.Constant(ir.IntType(32), n) for n in range(first, 2 * N_LANES, 2)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), N_LANES), numbers)
            corners.append(builder.shuffle_vector(joined, unused, mask))
    return corners


def _join(builder: Any, vectors: list[Any]) -> Any:
    """Return vectors one behind the other, joined two by two."""
    while len(vectors) > 1:
        size = 2 * vectors[0].type.count
        mask = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(size)))
        vectors = [
            builder.shuffle_vector(a, b, mask)
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]
