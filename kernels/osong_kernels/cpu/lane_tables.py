"""Looking lanes up in rows of 32 numbers that stay in registers, on each make of processor."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from osong_kernels.cpu.lane_memory import index_values, lane_pointer
from osong_kernels.cpu.lanes import (
    FLOAT_VECTOR,
    INT_VECTOR,
    N_LANES,
    F32Lanes,
    I32Lanes,
    intrinsic_call,
    overload,
)
from osong_kernels.physics import ops

__all__: list[str] = []

_INT = ir.IntType(32)
_EIGHT_FLOATS = ir.VectorType(ir.FloatType(), 8)
_EIGHT_INTEGERS = ir.VectorType(_INT, 8)


@overload(ops.look_up)
def _overload_look_up(table: Any, index: Any, entry: Any) -> Any:
    if entry == I32Lanes:
        return lambda table, index, entry: _look_up(table, index, entry)
    return lambda table, index, entry: table[index][entry]


@intrinsic
def _look_up(typingctx: Any, table: Any, index: Any, entries: Any) -> Any:
    """Return ``table[index + (entries,)]`` lane by lane; the same numbers by any of three ways."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = index_values(context, builder, index, args[1])
        row = lane_pointer(context, builder, table, args[0], parts)
        features = context.codegen().magic_tuple()[2].split(",")
        if "+avx512f" in features:
            return _permute_two(builder, row, args[2])
        if "+avx2" in features:
            return _permute_four(builder, row, args[2])
        return _load_each(builder, row, args[2])

    return F32Lanes(table, index, entries), codegen


def _permute_two(builder: Any, row: Any, entries: Any) -> Any:
    """One instruction a row, the row two registers of sixteen."""
    low = builder.load(row, align=4)
    high = builder.load(builder.gep(row, [ir.Constant(_INT, 1)]), align=4)
    return intrinsic_call(builder, "llvm.x86.avx512.vpermi2var.ps.512", [low, entries, high])


def _permute_four(builder: Any, row: Any, entries: Any) -> Any:
    """Four permutations and three blends for eight lanes, the row four registers of eight."""
    eights = builder.bitcast(row, _EIGHT_FLOATS.as_pointer())
    rows = [builder.load(builder.gep(eights, [ir.Constant(_INT, k)]), align=4) for k in range(4)]
    halves = []
    for first in (0, 8):
        half = builder.shuffle_vector(
            entries, ir.Constant(INT_VECTOR, ir.Undefined), _numbers(range(first, first + 8))
        )
        # the permutation reads three bits of the entry, the blends the fourth and the fifth
        found = [intrinsic_call(builder, "llvm.x86.avx2.permps", [part, half]) for part in rows]
        is_odd, is_high = _has_bit(builder, half, 8), _has_bit(builder, half, 16)
        low = builder.select(is_odd, found[1], found[0])
        high = builder.select(is_odd, found[3], found[2])
        halves.append(builder.select(is_high, high, low))
    return builder.shuffle_vector(halves[0], halves[1], _numbers(range(N_LANES)))


def _has_bit(builder: Any, numbers: Any, bit: int) -> Any:
    picked = builder.and_(numbers, ir.Constant(_EIGHT_INTEGERS, [bit] * 8))
    return builder.icmp_unsigned("!=", picked, ir.Constant(_EIGHT_INTEGERS, [0] * 8))


def _load_each(builder: Any, row: Any, entries: Any) -> Any:
    floats = builder.bitcast(row, ir.FloatType().as_pointer())
    out: Any = ir.Constant(FLOAT_VECTOR, ir.Undefined)
    for lane in range(N_LANES):
        where = ir.Constant(_INT, lane)
        value = builder.load(builder.gep(floats, [builder.extract_element(entries, where)]))
        out = builder.insert_element(out, value, where)
    return out


def _numbers(values: range) -> Any:
    return ir.Constant(ir.VectorType(_INT, len(values)), list(values))
