"""Vector code for the products of a panel of samples with a block of prototypes."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.panel import ADDRESS, LINE, Vectors, accumulate

LANES = LINE // 8  # prototypes of a block


def _define(module: Any) -> Any:
    name = "dbgsom_products"
    if name in module.globals:
        return module.globals[name]
    v = Vectors(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 6), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panel, start, depth, out, stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder, sums = accumulate(v, builder, [block], panel, start, depth)
    for r, total in enumerate(sums[0]):
        row = builder.add(out, builder.mul(stride, ir.Constant(ADDRESS, r)))
        v.store(builder, total, v.bytes_at(builder, row), 0)
    builder.ret_void()
    return function


@intrinsic
def write_products(
    typing_context: Any, block: Any, panel: Any, start: Any, depth: Any, out: Any, stride: Any
) -> Any:
    """Write start + Σ_k w_k x_k for PANEL_ROWS samples x and LANES prototypes w, in float64.

    Parameters
    ----------
    block : address
        Of (depth, LANES) float64: w.
    panel, start : address
        Of (depth, PANEL_ROWS) and (PANEL_ROWS,) float64: x and what sums begin with.
    depth : int
        A multiple of UNROLL.
    out, stride : address and bytes
        Of the first product, and from the row of one sample to that of the next.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.call(_define(builder.module), arguments)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate
