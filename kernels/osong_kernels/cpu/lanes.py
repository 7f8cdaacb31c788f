"""Vectors of 16 lanes as Numba values: lockstep search chains as straight vector code.

LLVM's loop vectoriser gives up where it cannot prove that arrays do not alias, which in a torsion
tree is nearly everywhere. Here a lane vector is a first-class value (`<16 x float>` in LLVM), so
arithmetic on it is vector code by construction: one register on AVX-512, two on AVX2, four on
SSE or NEON, with the same result per lane on each width.

Jitted code sees ``F32Lanes`` (floats), ``I32Lanes`` (indices) and ``MaskLanes`` (conditions) with
``+ - * /``, comparisons, ``&`` and the functions of ``physics.ops``; ``lane_memory`` reads and
writes them. Scalars mix with lane vectors and are broadcast. All of it exists in jitted code only.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from osong_kernels.physics import ops

__all__ = [
    "N_LANES",
    "any_lane",
    "broadcast",
    "inverse_square_root_guess",
    "lane_numbers",
]

N_LANES = 16
"""Chains that advance together; fixed, so that results do not depend on the vector width."""

FLOAT_VECTOR = ir.VectorType(ir.FloatType(), N_LANES)
INT_VECTOR = ir.VectorType(ir.IntType(32), N_LANES)
_MASK_VECTOR = ir.VectorType(ir.IntType(1), N_LANES)
# 'contract' lets LLVM fuse multiply-adds; nothing may be reordered, so lanes stay reproducible.
_FLAGS = ("contract", "nsz", "arcp")


def overload(function: Any) -> Any:
    """Overload ``function`` in jitted code by an annotated Python function.

    Numba compares signatures with those of the (unannotated) lambdas that it gets back.
    """

    def decorate(implementation: Any) -> Any:
        implementation.__annotations__ = {}
        return extending.overload(function)(implementation)

    return decorate


class _Lanes(types.Type):
    """Numba type of one lane vector."""


F32Lanes = _Lanes("F32Lanes")
I32Lanes = _Lanes("I32Lanes")
MaskLanes = _Lanes("MaskLanes")
_LLVM = {F32Lanes: FLOAT_VECTOR, I32Lanes: INT_VECTOR, MaskLanes: _MASK_VECTOR}


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _LLVM[fe_type])


def _splat(builder: Any, scalar: Any, vector_type: Any) -> Any:
    zero = ir.Constant(ir.IntType(32), 0)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), scalar, zero)
    indices = ir.Constant(ir.VectorType(ir.IntType(32), N_LANES), [0] * N_LANES)
    return builder.shuffle_vector(single, ir.Constant(vector_type, ir.Undefined), indices)


def as_vector(context: Any, builder: Any, value: Any, from_type: Any, lanes: Any) -> Any:
    """Return a value in every lane, or lanes as they are."""
    if from_type == lanes:
        return value
    scalar = types.float32 if lanes == F32Lanes else types.int32
    return _splat(builder, context.cast(builder, value, from_type, scalar), _LLVM[lanes])


def _is_scalar(numba_type: Any) -> bool:
    return isinstance(numba_type, types.Number)


def _operand_kind(a: Any, b: Any) -> Any:
    """Return the lane type that two operands meet in, or None."""
    for lanes in (F32Lanes, I32Lanes):
        if (a == lanes or b == lanes) and all(x == lanes or _is_scalar(x) for x in (a, b)):
            return lanes
    return None


def _binary(emit: dict[Any, Any], result: dict[Any, Any] | None = None) -> Any:
    @intrinsic
    def apply(typingctx: Any, a: Any, b: Any) -> Any:
        lanes = _operand_kind(a, b)
        if lanes is None or lanes not in emit:
            return None
        returned = result[lanes] if result else lanes

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x = as_vector(context, builder, args[0], a, lanes)
            y = as_vector(context, builder, args[1], b, lanes)
            return emit[lanes](builder, x, y)

        return returned(a, b), codegen

    return apply


def _register(function: Any, implementation: Any) -> None:
    @overload(function)
    def overloaded(a: Any, b: Any) -> Any:
        if _operand_kind(a, b) is not None:
            return lambda a, b: implementation(a, b)
        return None


def intrinsic_call(builder: Any, name: str, args: list[Any], result_type: Any = None) -> Any:
    """Call an LLVM intrinsic; it returns the type of its first argument unless told."""
    returned = result_type or args[0].type
    declared = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(returned, [x.type for x in args]), name
    )
    return builder.call(declared, args)


_ARITHMETIC: dict[Any, dict[Any, Any]] = {
    operator.add: {
        F32Lanes: lambda b, x, y: b.fadd(x, y, flags=_FLAGS),
        I32Lanes: lambda b, x, y: b.add(x, y),
    },
    operator.sub: {
        F32Lanes: lambda b, x, y: b.fsub(x, y, flags=_FLAGS),
        I32Lanes: lambda b, x, y: b.sub(x, y),
    },
    operator.mul: {
        F32Lanes: lambda b, x, y: b.fmul(x, y, flags=_FLAGS),
        I32Lanes: lambda b, x, y: b.mul(x, y),
    },
    operator.truediv: {F32Lanes: lambda b, x, y: b.fdiv(x, y, flags=_FLAGS)},
}
for _function, _emit in _ARITHMETIC.items():
    _register(_function, _binary(_emit))


def _comparison(symbol: str) -> dict[Any, Any]:
    return {
        F32Lanes: lambda b, x, y: b.fcmp_ordered(symbol, x, y),
        I32Lanes: lambda b, x, y: b.icmp_signed(symbol, x, y),
    }


_MASK_RESULT = {F32Lanes: MaskLanes, I32Lanes: MaskLanes}
for _function, _symbol in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _register(_function, _binary(_comparison(_symbol), _MASK_RESULT))


def _extremum(symbol: str) -> dict[Any, Any]:
    return {
        F32Lanes: lambda b, x, y: b.select(b.fcmp_ordered(symbol, x, y), x, y),
        I32Lanes: lambda b, x, y: b.select(b.icmp_signed(symbol, x, y), x, y),
    }


_minimum = _binary(_extremum("<"))
_maximum = _binary(_extremum(">"))


@intrinsic
def _mask_and(typingctx: Any, a: Any, b: Any) -> Any:
    if a != MaskLanes or b != MaskLanes:
        return None
    return MaskLanes(a, b), lambda context, builder, signature, args: builder.and_(*args)


@overload(operator.and_)
def _overload_and(a: Any, b: Any) -> Any:
    if a == MaskLanes and b == MaskLanes:
        return lambda a, b: _mask_and(a, b)
    return None


@intrinsic
def _select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    lanes = _operand_kind(a, b) or F32Lanes

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x = as_vector(context, builder, args[1], a, lanes)
        y = as_vector(context, builder, args[2], b, lanes)
        return builder.select(args[0], x, y)

    return lanes(condition, a, b), codegen


def _float_intrinsic(name: str) -> Any:
    @intrinsic
    def apply(typingctx: Any, a: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return intrinsic_call(builder, f"llvm.{name}.v{N_LANES}f32", [args[0]])

        return F32Lanes(a), codegen

    return apply


_sqrt = _float_intrinsic("sqrt")
_fabs = _float_intrinsic("fabs")
_floor = _float_intrinsic("floor")


@intrinsic
def _negate(typingctx: Any, a: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fneg(args[0])

    return F32Lanes(a), codegen


@overload(operator.neg)
def _overload_neg(a: Any) -> Any:
    return (lambda a: _negate(a)) if a == F32Lanes else None


@intrinsic
def _to_int(typingctx: Any, a: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptosi(args[0], INT_VECTOR)

    return I32Lanes(a), codegen


@intrinsic
def _to_float(typingctx: Any, a: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sitofp(args[0], FLOAT_VECTOR)

    return F32Lanes(a), codegen


@intrinsic
def _exponent_bits(typingctx: Any, a: Any) -> Any:
    """Return 2**a as float for integer lanes: the exponent field, set directly."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bias = _splat(builder, ir.Constant(ir.IntType(32), 127), INT_VECTOR)
        shift = _splat(builder, ir.Constant(ir.IntType(32), 23), INT_VECTOR)
        return builder.bitcast(builder.shl(builder.add(args[0], bias), shift), FLOAT_VECTOR)

    return F32Lanes(a), codegen


@intrinsic
def inverse_square_root_guess(typingctx: Any, a: Any) -> Any:
    """Return 1.1 / sqrt(a) to 4 %, from the bits of the float: half the exponent, negated."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        magic = _splat(builder, ir.Constant(ir.IntType(32), 0x5F1FF500), INT_VECTOR)
        one = _splat(builder, ir.Constant(ir.IntType(32), 1), INT_VECTOR)
        bits = builder.lshr(builder.bitcast(args[0], INT_VECTOR), one)
        return builder.bitcast(builder.sub(magic, bits), FLOAT_VECTOR)

    return F32Lanes(a), codegen


# --- the functions of physics.ops, for scalars and for lanes in jitted code ---


@overload(ops.select)
def _overload_select(condition: Any, if_true: Any, if_false: Any) -> Any:
    if condition == MaskLanes:
        return lambda condition, if_true, if_false: _select(condition, if_true, if_false)
    return lambda condition, if_true, if_false: if_true if condition else if_false


@overload(ops.minimum)
def _overload_minimum(a: Any, b: Any) -> Any:
    if _operand_kind(a, b) is not None:
        return lambda a, b: _minimum(a, b)
    return lambda a, b: a if a < b else b


@overload(ops.maximum)
def _overload_maximum(a: Any, b: Any) -> Any:
    if _operand_kind(a, b) is not None:
        return lambda a, b: _maximum(a, b)
    return lambda a, b: a if a > b else b


@overload(ops.absolute)
def _overload_absolute(a: Any) -> Any:
    return (lambda a: _fabs(a)) if a == F32Lanes else (lambda a: abs(a))


@overload(ops.square_root)
def _overload_square_root(a: Any) -> Any:
    return (lambda a: _sqrt(a)) if a == F32Lanes else (lambda a: np.sqrt(a))


@overload(ops.floor_to_int)
def _overload_floor_to_int(a: Any) -> Any:
    if a == F32Lanes:
        return lambda a: _to_int(_floor(a))
    return lambda a: np.int32(np.floor(a))


@overload(ops.truncate)
def _overload_truncate(a: Any) -> Any:
    return (lambda a: _to_int(a)) if a == F32Lanes else (lambda a: np.int32(a))


@overload(ops.to_float)
def _overload_to_float(a: Any) -> Any:
    return (lambda a: _to_float(a)) if a == I32Lanes else (lambda a: np.float32(a))


@overload(ops.power_of_two)
def _overload_power_of_two(a: Any) -> Any:
    if a == I32Lanes:
        return lambda a: _exponent_bits(a)
    return lambda a: np.float32(2.0) ** a


@intrinsic
def broadcast(typingctx: Any, scalar: Any) -> Any:
    """Return a float lane vector with ``scalar`` in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return as_vector(context, builder, args[0], scalar, F32Lanes)

    return F32Lanes(scalar), codegen


@intrinsic
def lane_numbers(typingctx: Any) -> Any:
    """Return the float lane vector 0, 1, 2, ..."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(FLOAT_VECTOR, [float(lane) for lane in range(N_LANES)])

    return F32Lanes(), codegen


@intrinsic
def any_lane(typingctx: Any, mask: Any) -> Any:
    """Return whether the condition holds in any lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(N_LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(N_LANES), 0))

    return types.boolean(mask), codegen
