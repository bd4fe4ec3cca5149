"""Instructions on all lanes of a block at once, written as LLVM code; see README.md, "The tile".

Numba vectorises none of these loops well, so each function names in a comment the instructions of
AVX-512 that LLVM is to make of it; on AVX2 it makes two or four of half the width. Addresses are
those of (lanes,) numbers of the dtype of the scalar ``tag``. With v = ‖w‖²/2 - x·w,
‖x - w‖² = ‖x‖² + 2v. A *lower bound* (README.md, "Bounds") is stored as the upper 16 bits of a
non-negative float32, rounded down.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dbgsom_core.engine.tile import (
    ADDRESS,
    DOUBLE,
    INDEX,
    LINE,
    UNROLL,
    Vectors,
    call,
    square_root,
    stack_slots,
    suffix_of,
)

# Bound on the relative error of a few float32 roundings in a row.
SPARE = 2.0**-21
_SHORT = ir.IntType(16)
CHAINS = 2  # independent partial sums of a distance, added in parallel


SCALAR = object()  # see `vector_code`


def vector_code(*kinds: Any, returns: Any = types.void, tagged: bool = True) -> Callable[..., Any]:
    """Return a decorator that makes a numba intrinsic of a function that writes LLVM code.

    The intrinsic takes a scalar, which sets the dtype, and arguments of ``kinds``: addresses and
    masks are int64, SCALAR is the scalar's dtype. ``write(v, *arguments)`` takes `Vectors` instead
    of the scalar and returns the intrinsic's value. Without ``tagged`` there is no scalar.
    """

    def decorate(write: Callable[..., Any]) -> Any:
        def define(typing_context: Any, *given: Any) -> Any:
            tag = given[:1] if tagged else ()

            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                bits = signature.args[0].bitwidth if tagged else 32
                answer = write(Vectors(bits, builder), *arguments[len(tag) :])
                return context.get_dummy_value() if answer is None else answer

            types_given = [given[0] if kind is SCALAR else kind for kind in kinds]
            return returns(*tag, *types_given), generate

        names = list(inspect.signature(write).parameters)  # the first stands for the scalar
        if not tagged:
            names = names[1:]
        functools.update_wrapper(define, write)
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, positional) for name in ("typing_context", *names)]
        define.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return intrinsic(define)

    return decorate


@vector_code(returns=types.int64)
def lanes_of(v: Any) -> Any:
    """Return how many numbers of a dtype a cache line holds, as a constant for the compiler."""
    # No instruction: loops over lanes get a length that the compiler knows.
    return ir.Constant(ADDRESS, v.lanes)


@vector_code(types.int64, types.int64, returns=types.float64)
def read_number(v: Vectors, row: Any, k: Any) -> Any:
    """Return number k of a row that begins at an address, as float64."""
    # vmovsd, or vcvtss2sd of a float32.
    numbers = v.builder.inttoptr(row, v.real.as_pointer())
    value = v.builder.load(v.builder.gep(numbers, [k]), align=v.size)
    return v.builder.fpext(value, DOUBLE) if v.size == 4 else value


@vector_code(types.int64, *[SCALAR] * 4, types.int64)
def write_slack(v: Vectors, squares: Any, c0: Any, c1: Any, c2: Any, c3: Any, slack: Any) -> None:
    """Fill slack (2, lanes): c0 + c1‖x‖ + c2‖x‖², and that plus c3‖x‖²; ``squares`` are ‖x‖²."""
    # vsqrtps, vmulps, vaddps.
    c0, c1, c2, c3 = (v.splat(c) for c in (c0, c1, c2, c3))
    square, fmul = v.get(squares), v.builder.fmul
    of_value = v.plus(c0, fmul(c1, v.root(square)), fmul(c2, square))
    v.put(of_value, slack)
    v.put(v.plus(of_value, fmul(c3, square)), slack, 1)


@vector_code(*[types.int64] * 5)
def write_upper_bounds(
    v: Vectors, value: Any, squares: Any, slack: Any, inside: Any, upper: Any
) -> None:
    """Fill upper (lanes,) with upper bounds on the distance of the BMU in later passes.

    ``value`` are the smallest values, ``slack`` (2, lanes) those of the least exact pass to come. A
    lane without a bit in ``inside`` gets a number below any distance.
    """
    # vsqrtps, vmulps, vaddps; vblendmps for lanes without a sample.
    best = v.plus(v.times(v.get(value), 2.0), v.times(v.get(slack), 4.0))
    square = v.plus(v.get(squares), best, v.times(v.get(slack, 1), 3.0))
    top = v.times(v.root(square), 1 + 2 * SPARE)
    v.put(v.builder.select(v.mask(inside), top, v.number(-1e30)), upper)


@vector_code(*[types.int64] * 4, types.float32, types.int64)
def write_lower_bound(
    v: Vectors, nearest: Any, squares: Any, slack: Any, upper: Any, moved: Any, margin: Any
) -> None:
    """Write the lower bound of a panel, plus the drift ``moved`` of samples' units and panel.

    ``nearest`` (lanes,) are the panel's smallest values.
    """
    # vsqrtps; vminps of halves, 16 lanes to 1; the upper half of the float's bits by vpextrw.
    builder = v.builder
    square = v.plus(v.get(squares), v.times(v.get(nearest), 2.0))
    distance = v.times(v.root(builder.fsub(square, v.get(slack, 1))), 1 - 2 * SPARE)
    gaps, width = builder.fsub(distance, v.get(upper)), v.lanes
    while width > 1:  # the smallest of all lanes
        width //= 2
        halves = []
        for first in (0, width):
            lanes = ir.Constant(ir.VectorType(INDEX, width), list(range(first, first + width)))
            halves.append(builder.shuffle_vector(gaps, gaps, lanes))
        gaps = v.smaller(*halves)
    least = builder.extract_element(gaps, ir.Constant(INDEX, 0))
    if v.size == 8:
        least = builder.fptrunc(least, ir.FloatType())
    none = ir.Constant(ir.FloatType(), 0.0)
    total = builder.fadd(least, builder.fmul(moved, ir.Constant(ir.FloatType(), 1 - SPARE)))
    total = builder.select(builder.fcmp_ordered(">", total, none), total, none)
    bits = builder.lshr(builder.bitcast(total, INDEX), ir.Constant(INDEX, 16))
    short = builder.trunc(bits, _SHORT)
    builder.store(short, builder.inttoptr(margin, _SHORT.as_pointer()), align=2)


@vector_code(types.int64, returns=types.float32, tagged=False)
def read_lower_bound(v: Vectors, address: Any) -> Any:
    """Return the lower bound that is stored at an address."""
    # movzx, shl, vmovd.
    place = v.builder.inttoptr(address, _SHORT.as_pointer())
    bits = v.builder.zext(v.builder.load(place, align=2), INDEX)
    return v.builder.bitcast(v.builder.shl(bits, ir.Constant(INDEX, 16)), ir.FloatType())


@vector_code(types.int64, types.int64, returns=types.int64)
def ties_of(v: Vectors, values: Any, slack: Any) -> Any:
    """Return a bit for each lane whose two smallest values (2, lanes) are ambiguous."""
    # vaddps, vcmpleps into a mask, kmovw.
    limit = v.plus(v.get(values), v.get(slack))
    return v.bits(v.builder.fcmp_ordered("<=", v.get(values, 1), limit))


@intrinsic
def distances_of(
    typing_context: Any, tag: Any, block: Any, prototypes: Any, lanes: Any, depth: Any, near: Any,
    steps: Any,
) -> Any:  # fmt: skip
    """Return sums of distances of the samples of a block to some prototypes, in whole steps.

    Squares are float64, of samples rounded to float32. ``block`` is the address of (depth, lanes)
    numbers, ``prototypes`` those of (depth,) float64 each, ``lanes`` have a bit for each lane that
    belongs to that prototype, at most one. Distances times ``steps`` are below 2^51, and rounded to
    integers. Lanes whose squared distance is below ``near`` are left out, and returned as bits
    after the sums.
    """
    count = len(prototypes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth, builder)
        _, block, prototypes, lanes, depth, near, steps = arguments
        rows = [v.bytes_at(row) for row in cgutils.unpack_tuple(builder, prototypes)]
        lanes, block = cgutils.unpack_tuple(builder, lanes), v.bytes_at(block)
        doubles = ir.VectorType(DOUBLE, v.lanes)
        singles = ir.VectorType(ir.FloatType(), v.lanes)
        sums = stack_slots(builder, [ir.Constant(doubles, [0.0] * v.lanes)] * CHAINS)
        masks = [v.mask(bits) for bits in lanes]
        none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
        # For each feature twice (8 float64 lanes each): vcvtps2pd, vsubpd of the prototype's entry,
        # vfmadd231pd; with several prototypes vbroadcastsd under the mask of each.
        with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
            line = builder.gep(block, [builder.mul(k, ir.Constant(ADDRESS, LINE))])
            along = builder.mul(k, ir.Constant(ADDRESS, 8))
            totals = [builder.load(total) for total in sums]
            for u in range(UNROLL):
                values = v.load(line, u * LINE, v.reals)
                values = values if v.size == 4 else builder.fptrunc(values, singles)
                entry, *others = (
                    v.splat(v.load(builder.gep(row, [along]), u * 8, DOUBLE)) for row in rows
                )
                for mask, other in zip(masks[1:], others, strict=True):
                    entry = builder.select(mask, other, entry)
                difference = builder.fsub(builder.fpext(values, doubles), entry)
                totals[u % CHAINS] = v.fma(difference, difference, totals[u % CHAINS])
            for total, place in zip(totals, sums, strict=True):
                builder.store(total, place)
        total = v.plus(*(builder.load(total) for total in sums))
        close = v.bits(v.less(total, v.splat(near)))
        # AVX2 has no conversion to int64: added to a number this large, the last bits are integer.
        large = ir.Constant(doubles, [1.5 * 2.0**52] * v.lanes)
        scaled = builder.fmul(square_root(builder, total), v.splat(steps))
        wholes = (builder.bitcast(n, v.wholes) for n in (builder.fadd(scaled, large), large))
        whole, nothing = builder.sub(*wholes), ir.Constant(v.wholes, [0] * v.lanes)
        answers, left_out, suffix = [], none, f"v{v.lanes}i64"
        for bits in lanes:
            chosen = v.mask(builder.and_(bits, builder.not_(close)))
            chosen = builder.select(chosen, whole, nothing)
            answers.append(call(builder, "vector.reduce.add", suffix, ADDRESS, chosen))
            left_out = builder.or_(left_out, builder.and_(bits, close))
        return context.make_tuple(builder, signature.return_type, (*answers, left_out))

    whole, real = types.int64, types.float64
    several = types.UniTuple(whole, count)
    signature = types.UniTuple(whole, count + 1)(tag, whole, several, several, whole, real, real)
    return signature, generate


@vector_code(types.int64, types.int64, returns=types.int64)
def lanes_other(v: Vectors, units: Any, others: Any) -> Any:
    """Return a bit for each lane whose units (lanes,) int32 differ."""
    # vpcmpneqd into a mask, kmovw.
    return v.bits(v.builder.icmp_signed("!=", v.get_units(units), v.get_units(others)))


@vector_code(types.int64, types.int32, returns=types.int64)
def lanes_with(v: Vectors, units: Any, unit: Any) -> Any:
    """Return a bit for each lane with this unit."""
    # vpbroadcastd, vpcmpeqd into a mask, kmovw.
    return v.bits(v.builder.icmp_signed("==", v.get_units(units), v.splat(unit)))


@vector_code(types.int64, returns=types.int64, tagged=False)
def lowest_bit(v: Vectors, bits: Any) -> Any:
    """Return the index of the lowest set bit of an int64, 64 if there is none."""
    return v.builder.cttz(bits, ir.Constant(ir.IntType(1), 0))  # tzcnt


@vector_code(types.int64, returns=types.int64, tagged=False)
def count_of(v: Vectors, bits: Any) -> Any:
    """Return the number of set bits of an int64."""
    return v.builder.ctpop(bits)  # popcnt


@intrinsic
def pack_tile(
    typing_context: Any, tag: Any, given: Any, rows: Any, centre: Any, steps: Any, grid: Any,
    out: Any, totals: Any,
) -> Any:  # fmt: skip
    """Pack lanes samples of lanes features: rint((x - centre)*steps)*grid, transposed.

    ``tag`` and ``given`` are scalars of the dtypes of packed numbers and samples. Addresses are
    those of (lanes,) int64, the addresses of the samples' first number; of (lanes,) float64; of
    (lanes, lanes) numbers, filled, a row for each feature; of (lanes,) float64, to which the
    squares of each sample's packed numbers are added.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth, builder)
        single = signature.args[1].bitwidth == 32
        _, _, rows_at, centre, steps, grid, out, totals = arguments
        samples = ir.VectorType(ir.FloatType() if single else DOUBLE, v.lanes)
        doubles = ir.VectorType(DOUBLE, v.lanes)
        rows_at, centre, out, totals = (v.bytes_at(a) for a in (rows_at, centre, out, totals))
        # A row: vcvtps2pd, vsubpd, vmulpd, vrndscalepd, vmulpd, vcvtpd2ps.
        middle, steps, grid = v.load(centre, 0, doubles), v.splat(steps), v.splat(grid)
        packed = []
        for lane in range(v.lanes):
            start = v.bytes_at(v.load(rows_at, lane * 8, ADDRESS))
            values = v.load(start, 0, samples)
            if single:
                values = builder.fpext(values, doubles)
            values = builder.fmul(builder.fsub(values, middle), steps)
            values = builder.fmul(call(builder, "rint", suffix_of(doubles), doubles, values), grid)
            packed.append(builder.fptrunc(values, v.reals) if v.size == 4 else values)
        # Transpose: in each step rows i and i + h exchange the squares of side h off the diagonal,
        # by vpermt2ps, vunpcklps and the like.
        lanes, h = v.lanes, 1
        while h < lanes:
            upper = [j if not j & h else lanes + j - h for j in range(lanes)]
            lower = [j + h if not j & h else lanes + j for j in range(lanes)]
            for i in range(lanes):
                if not i & h:
                    a, b = packed[i], packed[i + h]
                    for place, taken in ((i, upper), (i + h, lower)):
                        mask = ir.Constant(ir.VectorType(INDEX, lanes), taken)
                        packed[place] = builder.shuffle_vector(a, b, mask)
            h *= 2
        total = v.load(totals, 0, doubles)
        for k, values in enumerate(packed):
            v.store(values, out, k * LINE)
            wide = builder.fpext(values, doubles) if v.size == 4 else values
            total = builder.fadd(total, builder.fmul(wide, wide))
        v.store(total, totals, 0)
        return context.get_dummy_value()

    numbers = (types.float64, types.float64)
    signature = types.void(tag, given, types.int64, types.int64, *numbers, types.int64, types.int64)
    return signature, generate


@vector_code(types.int64, tagged=False)
def fetch_line(v: Vectors, address: Any) -> None:
    """Prefetch the cache line at an address, which need not exist, into the L2 cache.

    L1 is full of the current block and panel.
    """
    v.fetch(v.bytes_at(address), 0, 2)  # prefetcht1
