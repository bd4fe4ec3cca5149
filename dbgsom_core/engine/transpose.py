"""Vector code that turns rows of samples into a block, where each sample has a lane."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.panel import LINE, Vectors


def _define(module: Any, bits: int) -> Any:
    # The function that transposes a square of ``lanes`` rows, defined in ``module`` once.
    name = f"dbgsom_transpose_{bits}"
    if name in module.globals:
        return module.globals[name]
    v = Vectors(bits)
    address = ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [address] * 3), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    rows, stride, block = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vectors = []
    for _ in range(v.lanes):
        vectors.append(v.load(builder, v.bytes_at(builder, rows), 0, v.reals))
        rows = builder.add(rows, stride)
    low, high = (_interleaved(v, half) for half in (0, v.lanes // 2))
    # Interleaving rows i and i + lanes/2 moves one bit of the row's number to the column's; after
    # as many steps as it has bits they have changed places.
    for _ in range(v.lanes.bit_length() - 1):
        pairs = zip(vectors[: v.lanes // 2], vectors[v.lanes // 2 :], strict=True)
        vectors = [
            builder.shuffle_vector(one, other, mask) for one, other in pairs for mask in (low, high)
        ]
    for lane, vector in enumerate(vectors):
        v.store(builder, vector, v.bytes_at(builder, block), lane * LINE)
    builder.ret_void()
    return function


def _interleaved(v: Vectors, start: int) -> Any:
    # Half of each of two vectors, from entry ``start`` on, by turns.
    places = [start + i // 2 + (i % 2) * v.lanes for i in range(v.lanes)]
    return ir.Constant(v.indices, places)


@intrinsic
def transpose_square(typing_context: Any, one: Any, rows: Any, stride: Any, block: Any) -> Any:
    """Write block (lanes, lanes) = rows.T; a row begins ``stride`` bytes behind the last one.

    ``rows`` and ``block`` are addresses; the dtype is that of the scalar ``one``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(_define(builder.module, signature.args[0].bitwidth), arguments[1:])
        return context.get_dummy_value()

    return types.void(one, types.int64, types.int64, types.int64), generate
