"""Vector code that turns a tile of samples and prototypes into their distances.

Here prototypes lie in the lanes of a block and samples in a panel, the other way round than in a
search: the distances of a sample are then beside each other, as they are in memory.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.panel import (
    ADDRESS,
    LINE,
    PANEL_ROWS,
    TOGETHER,
    Vectors,
    accumulate,
    call_together,
    each_address,
    square_root,
)

LANES = LINE // 8  # prototypes of a block; samples are PANEL_ROWS


def _define(module: Any, bits: int, together: int) -> Any:
    # The function for so many blocks and results of so many bits, defined in ``module`` once.
    name = f"dbgsom_tile_{together}_{bits}"
    if name in module.globals:
        return module.globals[name]
    v, result = Vectors(64), Vectors(bits)
    real = ir.DoubleType()
    arguments = [*[ADDRESS] * 7, real, real]
    answer = ir.LiteralStructType([ADDRESS] * 2)
    function = ir.Function(module, ir.FunctionType(answer, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panel, start, depth, norms_at, out, stride, *shared = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    blocks = each_address(builder, together, block, builder.mul(depth, ir.Constant(ADDRESS, LINE)))
    builder, sums = accumulate(v, builder, blocks, panel, start, depth)
    cancelled, unit = (v.splat(builder, number) for number in shared)
    starts = v.bytes_at(builder, start)
    reals = ir.VectorType(result.real, v.lanes)
    unit = builder.fptrunc(unit, reals) if bits == 32 else unit
    all_lost: Any = ir.Constant(answer, ir.Undefined)
    for i in range(2):
        lost: Any = ir.Constant(ADDRESS, 0)
        for r, total in enumerate(sums[i] if i < together else ()):
            norms, limits = (
                v.load(builder, v.bytes_at(builder, norms_at), (2 * i + line) * LINE, v.reals)
                for line in (0, 1)
            )
            square = builder.fadd(total, norms)
            own = v.splat(builder, v.load(builder, starts, r * v.size, v.real))
            least = builder.fadd(builder.fmul(cancelled, own), limits)
            mask = builder.fcmp_unordered("<", square, least)  # nan counts as lost
            which = builder.zext(builder.bitcast(mask, ir.IntType(v.lanes)), ADDRESS)
            lost = builder.or_(lost, builder.shl(which, ir.Constant(ADDRESS, r * v.lanes)))
            square = builder.fptrunc(square, reals) if bits == 32 else square
            distance = builder.fmul(square_root(builder, square), unit)
            place = builder.add(out, builder.mul(stride, ir.Constant(ADDRESS, r)))
            place = builder.add(place, ir.Constant(ADDRESS, i * v.lanes * bits // 8))
            builder.store(distance, builder.inttoptr(place, reals.as_pointer()), align=bits // 8)
        all_lost = builder.insert_value(all_lost, lost, i)
    builder.ret(all_lost)
    return function


@intrinsic
def write_tile(
    typing_context: Any,
    one: Any,
    together: Any,
    block: Any,
    panel: Any,
    start: Any,
    depth: Any,
    norms: Any,
    out: Any,
    stride: Any,
    cancelled: Any,
    unit: Any,
) -> Any:
    """Write the distances of PANEL_ROWS samples to the prototypes of blocks; say which need care.

    square = ‖x‖² + Σ_k (-2w_k)x_k + ‖w‖² in float64, distance = unit*√square.

    Parameters
    ----------
    one : scalar of the dtype of the distances
    together : int
        1 or TOGETHER, 2 at most: how many blocks (C) that follow each other.
    block : address
        Of (C, depth, LANES) float64: -2w.
    panel, start : address
        Of (depth, PANEL_ROWS) and (PANEL_ROWS,) float64: x and ‖x‖².
    depth : int
        A multiple of UNROLL.
    norms : address
        Of (C, 2, LANES) float64: ‖w‖² and the limit of each prototype.
    out, stride : address and bytes
        Of the first distance, and from the row of one sample to that of the next.
    cancelled, unit : float64

    Returns
    -------
    int64, int64
        Of the first block and, if there is one, of the second: bit r*LANES + lane is set where the
        square is nan or below ``cancelled``*‖x‖² + the limit.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, module = signature.args[0].bitwidth, builder.module
        alone, several = _define(module, bits, 1), _define(module, bits, TOGETHER)
        lost = call_together(builder, arguments[1], alone, several, arguments[2:])
        both = (builder.extract_value(lost, i) for i in range(2))
        return context.make_tuple(builder, signature.return_type, both)

    both = types.UniTuple(types.int64, 2)
    return both(one, *[types.int64] * 8, types.float64, types.float64), generate


assert PANEL_ROWS * LANES <= 64  # the bits of an answer
assert TOGETHER <= 2
