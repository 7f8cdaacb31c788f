"""Loads that Numba has no words for."""

from __future__ import annotations

from typing import Any

from osong_kernels.cuda.compile import IS_SIMULATED

__all__ = ["load_four"]

if IS_SIMULATED:

    def load_four(array: Any, index: Any) -> Any:
        """Return four neighbours of a flat float32 array; the index is a multiple of four."""
        k = int(index)
        return array[k], array[k + 1], array[k + 2], array[k + 3]

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

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
