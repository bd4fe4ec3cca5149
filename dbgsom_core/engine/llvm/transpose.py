"""Vector code that moves samples: square tiles, as many features as a block has lanes, and rows.

Rows of the data become columns of a block, and back, in registers: number by number that would be
the slowest step of sorting samples and of adding up what neurons won.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.tile import ADDRESS, LINE, UNROLL, Vectors


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Return the columns of as many vectors as each has lanes."""
    # In each turn rows i and i + h exchange the squares of side h beside the diagonal.
    lanes, h = len(rows), 1
    index = ir.IntType(32)
    while h < lanes:
        upper = [j if not j & h else lanes + j - h for j in range(lanes)]
        lower = [j + h if not j & h else lanes + j for j in range(lanes)]
        for i in range(lanes):
            if not i & h:
                a, b = rows[i], rows[i + h]
                for place, taken in ((i, upper), (i + h, lower)):
                    mask = ir.Constant(ir.VectorType(index, lanes), taken)
                    rows[place] = builder.shuffle_vector(a, b, mask)
        h *= 2
    return rows


@intrinsic
def pack_tile(
    typing_context: Any, one: Any, given: Any, rows: Any, centre: Any, steps: Any, grid: Any,
    out: Any, totals: Any,
) -> Any:  # fmt: skip
    """Pack lanes samples of lanes features: rint((x - centre)*steps)*grid, transposed.

    Parameters
    ----------
    one, given : scalars of the dtypes of the packed numbers and of the samples
    rows : address
        Of (lanes,) int64, the addresses of the samples' first number.
    centre : address
        Of (lanes,) float64.
    steps, grid : float64
    out : address
        Of (lanes, lanes) numbers, filled: one row for each feature.
    totals : address
        Of (lanes,) float64, to which the squares of each sample's packed numbers are added.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth)
        single = signature.args[1].bitwidth == 32
        _, _, rows_at, centre, steps, grid, out, totals = arguments
        samples = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), v.lanes)
        doubles = ir.VectorType(ir.DoubleType(), v.lanes)
        rows_at, centre, out, totals = (
            v.bytes_at(builder, address) for address in (rows_at, centre, out, totals)
        )
        module, name = builder.module, f"llvm.rint.v{v.lanes}f64"
        rint = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(doubles, [doubles]), name
        )
        middle = v.load(builder, centre, 0, doubles)
        steps, grid = v.splat(builder, steps), v.splat(builder, grid)
        packed = []
        for lane in range(v.lanes):
            start = v.bytes_at(builder, v.load(builder, rows_at, lane * 8, ADDRESS))
            values = v.load(builder, start, 0, samples)
            if single:
                values = builder.fpext(values, doubles)
            values = builder.fmul(builder.fsub(values, middle), steps)
            values = builder.fmul(builder.call(rint, [values]), grid)
            packed.append(builder.fptrunc(values, v.reals) if v.size == 4 else values)
        total = v.load(builder, totals, 0, doubles)
        for k, values in enumerate(transposed(builder, packed)):
            v.store(builder, values, out, k * LINE)
            wide = builder.fpext(values, doubles) if v.size == 4 else values
            total = builder.fadd(total, builder.fmul(wide, wide))
        v.store(builder, total, totals, 0)
        return context.get_dummy_value()

    numbers = (types.float64, types.float64)
    signature = types.void(one, given, types.int64, types.int64, *numbers, types.int64, types.int64)
    return signature, generate


@intrinsic
def turn_tile(
    typing_context: Any, one: Any, rows: Any, stride: Any, out: Any, out_stride: Any
) -> Any:
    """Copy a square of (lanes, lanes) numbers, transposed: samples to lanes, or lanes to samples.

    Parameters
    ----------
    one : scalar of the dtype
    rows, out : address
        Of the first row.
    stride, out_stride : int
        Bytes from one row to the next.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth)
        _, row, stride, out, out_stride = arguments
        square = []
        for _ in range(v.lanes):
            square.append(v.load(builder, v.bytes_at(builder, row), 0, v.reals))
            row = builder.add(row, stride)
        for values in transposed(builder, square):
            v.store(builder, values, v.bytes_at(builder, out), 0)
            out = builder.add(out, out_stride)
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 4), generate


@intrinsic
def add_row(typing_context: Any, given: Any, row: Any, depth: Any, sign: Any, sums: Any) -> Any:
    """Add ``sign``, which is 1 or -1, times a row (depth,) of ``given``'s dtype to sums (depth,).

    Addresses; the sums are float64, depth is a multiple of UNROLL.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth)
        _, row, depth, sign, sums = arguments
        doubles = ir.VectorType(ir.DoubleType(), UNROLL)
        numbers = ir.VectorType(v.real, UNROLL)
        row, sums = v.bytes_at(builder, row), v.bytes_at(builder, sums)
        undefined = ir.Constant(doubles, ir.Undefined)
        first = builder.insert_element(undefined, sign, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), UNROLL), [0] * UNROLL)
        signs = builder.shuffle_vector(first, undefined, zeros)
        none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
        with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
            read = builder.gep(row, [builder.mul(k, ir.Constant(ADDRESS, v.size))])
            write = builder.gep(sums, [builder.mul(k, ir.Constant(ADDRESS, 8))])
            values = v.load(builder, read, 0, numbers)
            values = builder.fpext(values, doubles) if v.size == 4 else values
            total = builder.load(v.at(builder, write, 0, doubles), align=8)
            total = builder.fadd(total, builder.fmul(values, signs))
            builder.store(total, v.at(builder, write, 0, doubles), align=8)
        return context.get_dummy_value()

    return types.void(given, types.int64, types.int64, types.float64, types.int64), generate


@intrinsic
def fetch_line(typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address, which need not exist.

    It goes to the second cache: the first is full of what is being worked on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(32)
        v.fetch(builder, v.bytes_at(builder, arguments[0]), 0, 2)
        return context.get_dummy_value()

    return types.void(types.int64), generate
