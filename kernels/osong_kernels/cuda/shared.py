"""Loads and stores of sixteen bytes of shared memory: four numbers of float32 at once.

Numba's own are four bytes wide, because it knows of no better alignment. The array begins at a
multiple of sixteen bytes (``alignment=16``); for global memory see ``memory``.
"""

from __future__ import annotations

from typing import Any

from osong_kernels.cuda.compile import IS_SIMULATED

__all__ = ["load_shared", "store_shared"]

if IS_SIMULATED:

    def load_shared(array: Any, index: Any) -> Any:
        """Return four neighbours of a flat float32 array; the index is a multiple of four."""
        k = int(index)
        return array[k], array[k + 1], array[k + 2], array[k + 3]

    def store_shared(array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> None:
        """Store four neighbours of a flat float32 array; the index is a multiple of four."""
        k = int(index)
        array[k], array[k + 1], array[k + 2], array[k + 3] = a, b, c, d

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    _FOUR = ir.VectorType(ir.FloatType(), 4)

    def _address(context: Any, builder: Any, array: Any, value: Any, index: Any, place: Any) -> Any:
        """Return the address of four neighbours in an array of type ``array``."""
        numbers = context.make_array(array)(context, builder, value).data
        place = context.cast(builder, place, index, types.uintp)
        return builder.bitcast(builder.gep(numbers, [place], inbounds=True), _FOUR.as_pointer())

    @intrinsic
    def load_shared(typingctx: Any, array: Any, index: Any) -> Any:
        """Return four neighbours of a flat float32 array; the index is a multiple of four."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            address = _address(context, builder, array, args[0], index, args[1])
            numbers = builder.load(address)
            numbers.align = 16
            parts = [builder.extract_element(numbers, ir.IntType(32)(k)) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float32, 4)(array, index), codegen

    @intrinsic
    def store_shared(typingctx: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        """Store four neighbours of a flat float32 array; the index is a multiple of four."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            address = _address(context, builder, array, args[0], index, args[1])
            numbers = ir.Constant(_FOUR, ir.Undefined)
            for k in range(4):
                numbers = builder.insert_element(numbers, args[2 + k], ir.IntType(32)(k))
            builder.store(numbers, address).align = 16
            return context.get_dummy_value()

        number = types.float32
        return types.void(array, index, number, number, number, number), codegen
