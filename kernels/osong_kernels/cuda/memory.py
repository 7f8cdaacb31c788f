"""Loads and stores that Numba has no words for.

`peek` and `poke` take an index and a constant beside it. Of ``array[index + 3]`` Numba makes an
address of its own; with the constant apart all accesses beside one index share one address, and the
constant is part of the instruction. Addresses were most of what the search did.
"""

from __future__ import annotations

from typing import Any

from osong_kernels.cuda.compile import IS_SIMULATED

__all__ = ["load_four", "peek", "poke"]

if IS_SIMULATED:

    def load_four(array: Any, index: Any) -> Any:
        """Return four neighbours of a flat float32 array; the index is a multiple of four."""
        k = int(index)
        return array[k], array[k + 1], array[k + 2], array[k + 3]

    def peek(array: Any, index: Any, beside: Any) -> Any:
        """Return ``array[index + beside]``."""
        return array[int(index) + beside]

    def poke(array: Any, index: Any, beside: Any, value: Any) -> None:
        """Write ``array[index + beside]``."""
        array[int(index) + beside] = value

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    def _beside(
        context: Any, builder: Any, array_type: Any, array: Any, index: Any, beside: Any
    ) -> Any:
        """Return the pointer to an element; the index, 32 bits, is not negative."""
        structure = context.make_array(array_type)(context, builder, array)
        narrow = context.cast(builder, index[0], index[1], types.int32)
        place = builder.zext(narrow, ir.IntType(64))
        constant = context.cast(builder, beside[0], beside[1], types.int64)
        near = builder.gep(structure.data, [place], inbounds=True)
        return builder.gep(near, [constant], inbounds=True)

    @intrinsic
    def peek(typingctx: Any, array: Any, index: Any, beside: Any) -> Any:
        """Return ``array[index + beside]``; the index is not negative, ``beside`` a constant."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _beside(context, builder, array, args[0], (args[1], index), (args[2], beside))
            return builder.load(pointer)

        return array.dtype(array, index, beside), codegen

    @intrinsic
    def poke(typingctx: Any, array: Any, index: Any, beside: Any, value: Any) -> Any:
        """Write ``array[index + beside]``; the index is not negative, ``beside`` a constant."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _beside(context, builder, array, args[0], (args[1], index), (args[2], beside))
            builder.store(context.cast(builder, args[3], value, array.dtype), pointer)
            return context.get_dummy_value()

        return types.none(array, index, beside, value), codegen

    @intrinsic
    def load_four(typingctx: Any, array: Any, index: Any) -> Any:
        """Return four neighbours of a flat float32 array by one load of the read-only cache."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            structure = context.make_array(array)(context, builder, args[0])
            place = context.cast(builder, args[1], index, types.uintp)
            pointer = builder.gep(structure.data, [place])
            address = builder.ptrtoint(pointer, ir.IntType(64))
            four = ir.LiteralStructType([ir.FloatType()] * 4)
            assembly = ir.InlineAsm(
                ir.FunctionType(four, [ir.IntType(64)]),
                "ld.global.nc.v4.f32 {$0, $1, $2, $3}, [$4];",
                "=f,=f,=f,=f,l",
            )
            found = builder.call(assembly, [address])
            parts = [builder.extract_value(found, k) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float32, 4)(array, index), codegen
