"""Numbers and arrays in memory that is known by its address."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from dbgsom_core.engine.llvm.tile import ADDRESS, Vectors


@intrinsic
def read_number(typing_context: Any, kind: Any, row: Any, k: Any) -> Any:
    """Return number k, of the scalar's dtype, of a row that begins at an address, as float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth)
        _, row, k = arguments
        numbers = builder.inttoptr(row, v.real.as_pointer())
        value = builder.load(builder.gep(numbers, [k]), align=v.size)
        return builder.fpext(value, ir.DoubleType()) if v.size == 4 else value

    return types.float64(kind, types.int64, types.int64), generate


@intrinsic
def array_at(typing_context: Any, kind: Any, address: Any, shape: Any) -> Any:
    """Return an array of the scalar's dtype over memory at an address, in the order of C.

    Who calls the loop keeps the memory. Where the shape is constant, so are the steps.
    """
    array_type = types.Array(kind, len(shape), "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, address, shape = arguments
        array = make_array(array_type)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
        lengths, step, steps = (
            cgutils.unpack_tuple(builder, shape),
            ir.Constant(ADDRESS, size),
            list[Any](),
        )
        for length in reversed(lengths):
            steps.insert(0, step)
            step = builder.mul(step, length)
        populate_array(
            array, builder.inttoptr(address, array.data.type), lengths, steps, size, None
        )
        return array._getvalue()

    return array_type(kind, types.int64, shape), generate


@intrinsic
def eight_bytes(typing_context: Any, address: Any) -> Any:
    """Return the eight bytes from an address on, the first one lowest, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load(where, align=1)

    return types.uint64(types.int64), generate


@intrinsic
def write_eight_bytes(typing_context: Any, address: Any, value: Any) -> Any:
    """Write the eight bytes of a uint64 from an address on, the lowest one first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, value = arguments
        where = builder.inttoptr(address, ir.IntType(64).as_pointer())
        builder.store(value, where, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate
