"""Vector code that turns a tile of samples and prototypes into their distances.

Here prototypes lie in the lanes of a block and samples in a panel, the other way round than in a
search: the distances of a sample are then beside each other, as they are in memory.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.fast.panel import ADDRESS, LINE, PANEL_ROWS, Vectors, accumulate

LANES = LINE // 8  # prototypes of a tile; samples are PANEL_ROWS


def _define(module: Any, bits: int) -> Any:
    # The function for results of so many bits, defined in ``module`` once.
    name = f"dbgsom_tile_{bits}"
    if name in module.globals:
        return module.globals[name]
    v, result = Vectors(64), Vectors(bits)
    real = ir.DoubleType()
    arguments = [*[ADDRESS] * 7, real, real]
    function = ir.Function(module, ir.FunctionType(ADDRESS, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panel, start, depth, norms_at, out, stride, *shared = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder, (sums,) = accumulate(v, builder, [block], panel, start, depth)
    cancelled, unit = (v.splat(builder, number) for number in shared)
    starts, norms_at = v.bytes_at(builder, start), v.bytes_at(builder, norms_at)
    norms, limits = (v.load(builder, norms_at, line * LINE, v.reals) for line in (0, 1))
    reals = ir.VectorType(result.real, v.lanes)
    unit = builder.fptrunc(unit, reals) if bits == 32 else unit
    root = _root(module, reals, f"v{v.lanes}f{bits}")
    lost: Any = ir.Constant(ADDRESS, 0)
    for r, total in enumerate(sums):
        square = builder.fadd(total, norms)
        own = v.splat(builder, v.load(builder, starts, r * v.size, v.real))
        least = builder.fadd(builder.fmul(cancelled, own), limits)
        mask = builder.fcmp_unordered("<", square, least)  # nan counts as lost
        which = builder.zext(builder.bitcast(mask, ir.IntType(v.lanes)), ADDRESS)
        lost = builder.or_(lost, builder.shl(which, ir.Constant(ADDRESS, r * v.lanes)))
        square = builder.fptrunc(square, reals) if bits == 32 else square
        distance = builder.fmul(builder.call(root, [square]), unit)
        place = builder.add(out, builder.mul(stride, ir.Constant(ADDRESS, r)))
        builder.store(distance, builder.inttoptr(place, reals.as_pointer()), align=bits // 8)
    builder.ret(lost)
    return function


def _root(module: Any, reals: Any, suffix: str) -> Any:
    name = f"llvm.sqrt.{suffix}"
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(reals, [reals]), name)


@intrinsic
def write_tile(
    typing_context: Any,
    one: Any,
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
    """Write the distances of PANEL_ROWS samples to LANES prototypes; return which need care.

    square = ‖x‖² + Σ_k (-2w_k)x_k + ‖w‖² in float64, distance = unit*√square.

    Parameters
    ----------
    one : scalar of the dtype of the distances
    block : address
        Of (depth, LANES) float64: -2w.
    panel, start : address
        Of (depth, PANEL_ROWS) and (PANEL_ROWS,) float64: x and ‖x‖².
    depth : int
        A multiple of UNROLL.
    norms : address
        Of (2, LANES) float64: ‖w‖² and the limit of each prototype.
    out, stride : address and bytes
        Of the first distance, and from the row of one sample to that of the next.
    cancelled, unit : float64

    Returns
    -------
    int64
        Bit r*LANES + lane is set where the square is nan or below ``cancelled``*‖x‖² + the limit.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = _define(builder.module, signature.args[0].bitwidth)
        return builder.call(function, arguments[1:])

    return types.int64(one, *[types.int64] * 7, types.float64, types.float64), generate


assert PANEL_ROWS * LANES <= 64  # the bits of the answer
