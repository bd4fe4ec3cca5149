"""Vector code for the linked neighbours of a unit: a panel with a row for each of four sides."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.fast.panel import ADDRESS, Vectors, accumulate

SIDES = 4


def _define(module: Any, bits: int) -> Any:
    """Return the function of `nearest_side`, defined in ``module`` once."""
    name = f"dbgsom_sides_{bits}"
    if name in module.globals:
        return module.globals[name]
    v = Vectors(bits)
    function = ir.Function(module, ir.FunctionType(ADDRESS, [ADDRESS] * 8), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panel, start, _, ids_at, slack_at, lanes, found_at = function.args
    builder, sums = accumulate(v, function, block, panel, start, SIDES)
    ids_at, slack_at, found_at = (
        v.bytes_at(builder, address) for address in (ids_at, slack_at, found_at)
    )
    best, nearest = sums[0], v.splat(builder, v.load(builder, ids_at, 0, v.index))
    for side in range(1, SIDES):
        neuron = v.splat(builder, v.load(builder, ids_at, side * 4, v.index))
        nearest = builder.select(v.less(builder, sums[side], best), neuron, nearest)
        best = v.smaller(builder, best, sums[side])
    limit = builder.fadd(best, v.load(builder, slack_at, 0, v.reals))
    close = [builder.fcmp_ordered("<=", value, limit) for value in sums]
    some, several = close[0], None
    for other in close[1:]:
        both = builder.and_(some, other)
        several = both if several is None else builder.or_(several, both)
        some = builder.or_(some, other)
    bits_of = ir.IntType(v.lanes)
    chosen = builder.bitcast(builder.trunc(lanes, bits_of), ir.VectorType(ir.IntType(1), v.lanes))
    before = v.load(builder, found_at, 0, v.indices)
    v.store(builder, builder.select(chosen, nearest, before), found_at, 0)
    doubtful = builder.bitcast(builder.and_(several, chosen), bits_of)
    builder.ret(builder.zext(doubtful, ADDRESS))
    return function


@intrinsic
def nearest_side(
    typing_context: Any,
    one: Any,
    block: Any,
    panel: Any,
    start: Any,
    depth: Any,
    ids: Any,
    slack: Any,
    lanes: Any,
    found: Any,
) -> Any:
    """Find which side of a unit lies nearest to some lanes of a block.

    Parameters
    ----------
    one : scalar of the dtype
    block, panel, start : address
        Of (depth, lanes), (depth, SIDES) and (SIDES,) numbers, as in `panel.compare_panel`.
    depth : int
    ids : address
        Of (SIDES,) int32: the neurons at the sides. Where there is none the start is inf.
    slack : address
        Of (lanes,) numbers: how close is too close to call.
    lanes : int
        A bit for each lane that is asked about.
    found : address
        Of (lanes,) int32, filled in those lanes.

    Returns
    -------
    int
        A bit for each of the lanes in which a second side is too close to call.
    """
    signature = types.int64(one, *[types.int64] * 8)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(_define(builder.module, signature.args[0].bitwidth), arguments[1:])

    return signature, generate
