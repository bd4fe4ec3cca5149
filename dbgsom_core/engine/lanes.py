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
    index,
    lane_numbers,
    stack_slots,
    word,
)

# Relative error of what is computed of bounds: roots, products and sums are wrong by less than 5
# roundings of float32, and 2⁻²¹ is 8 of them (tests/engine/accuracy.md, "Lower bounds").
SPARE = 2.0**-21
BELOW_ANY_DISTANCE = -1e30  # as upper bound of a lane: its gap is then never the smallest
_SHORT = ir.IntType(16)
_SINGLE = ir.FloatType()
# Partial sums of a distance, of every second feature, added in parallel. Their number is part of
# the order of additions: another one changes the last bits of errors.
CHAINS = 2
SCALAR = object()  # see `vector_code`


def vector_code(*kinds: Any, returns: Any = types.void) -> Callable[..., Any]:
    """Return a decorator that makes a numba intrinsic of a function that writes LLVM code.

    The intrinsic takes a scalar, which sets the dtype, and arguments of ``kinds``: addresses and
    masks are int64, SCALAR is the scalar's dtype. ``write(v, *arguments)`` takes `Vectors` instead
    of the scalar and returns the intrinsic's value.
    """

    def decorate(write: Callable[..., Any]) -> Any:
        def define(typing_context: Any, tag: Any, *given: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                value = write(Vectors(tag.bitwidth, builder), *arguments[1:])
                return context.get_dummy_value() if value is None else value

            return returns(tag, *(tag if kind is SCALAR else kind for kind in kinds)), generate

        # Numba reads the names of the arguments from the signature of ``define``; the first of
        # ``write`` stands for the scalar.
        functools.update_wrapper(define, write)
        names = ("typing_context", *inspect.signature(write).parameters)
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, positional) for name in names]
        define.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return intrinsic(define)

    return decorate


@vector_code(returns=types.int64)
def lanes_of(v: Any) -> Any:
    """Return how many numbers of a dtype a cache line holds, as a constant for the compiler."""
    # No instruction: loops over lanes get a length that the compiler knows.
    return word(v.lanes)


@vector_code(types.int64, types.int64, returns=types.float64)
def read_number(v: Vectors, row: Any, k: Any) -> Any:
    """Return number k of a row that begins at an address, as float64."""
    # vmovsd, or vcvtss2sd of a float32.
    numbers = v.builder.inttoptr(row, v.real.as_pointer())
    value = v.builder.load(v.builder.gep(numbers, [k]), align=v.size)
    return v.builder.fpext(value, DOUBLE) if v.size == 4 else value


@vector_code(types.int64, *[SCALAR] * 4, types.int64)
def write_slack(
    v: Vectors, squares: Any, constant: Any, by_norm: Any, by_square: Any, rounding: Any, slack: Any
) -> None:
    """Fill slack (2, lanes): 2E = constant + by_norm ‖x‖ + by_square ‖x‖², and 2E + rounding ‖x‖².

    E bounds the error of a value, see `Accuracy`; ``rounding`` times ‖x‖² that of ‖x‖² itself,
    which counts where distances are compared instead of values. ``squares`` are the ‖x‖².
    """
    # vsqrtps, vmulps, vaddps.
    fmul = v.builder.fmul
    square = v.get(squares)
    of_norm = fmul(v.splat(by_norm), v.root(square))
    of_square = fmul(v.splat(by_square), square)
    of_value = v.plus(v.splat(constant), of_norm, of_square)
    v.put(of_value, slack)
    v.put(v.plus(of_value, fmul(v.splat(rounding), square)), slack, 1)


@vector_code(*[types.int64] * 5)
def write_upper_bounds(
    v: Vectors, value: Any, squares: Any, slack: Any, inside: Any, upper: Any
) -> None:
    """Fill upper (lanes,) with U: a panel that is farther away is neither nearest nor ambiguous.

    ``value`` are the smallest values, ``slack`` (2, lanes) those of the least exact pass to come. A
    lane without a bit in ``inside`` gets a number below any distance.
    """
    # U² is to be b² + 9E + 2S at least, with the distance b to the unit and S = ``rounding`` ‖x‖²
    # (README.md, "Bounds", step 1). ‖x‖² + 2 value is b² but for 2E + S, so 11E + 3S are to be
    # added to it. The rows of slack, 2E and 2E + S, make 14E + 3S with the factors 4 and 3.
    # vsqrtps, vmulps, vaddps; vblendmps for lanes without a sample.
    of_value = v.plus(v.times(v.get(value), 2.0), v.times(v.get(slack), 4.0))
    square = v.plus(v.get(squares), of_value, v.times(v.get(slack, 1), 3.0))
    rounded_up = v.times(v.root(square), 1 + 2 * SPARE)  # once for the sums, once for the root
    bounds = v.builder.select(v.mask(inside), rounded_up, v.number(BELOW_ANY_DISTANCE))
    v.put(bounds, upper)


@vector_code(*[types.int64] * 4, types.float32, types.int64)
def write_lower_bound(
    v: Vectors, nearest: Any, squares: Any, slack: Any, upper: Any, drift: Any, address: Any
) -> None:
    """Write the lower bound of a panel, plus the ``drift`` so far of samples' units and panel.

    ``nearest`` (lanes,) are the panel's smallest values. A pass skips the panel while what is
    written exceeds its drift times 1 + SPARE.
    """
    # vsqrtps; vminps of halves, 16 lanes to 1; the upper half of the float's bits by vpextrw.
    builder = v.builder
    square = v.plus(v.get(squares), v.times(v.get(nearest), 2.0))
    square = builder.fsub(square, v.get(slack, 1))  # at most the true one
    rounded_down = v.times(v.root(square), 1 - 2 * SPARE)
    gap = _least_lane(v, builder.fsub(rounded_down, v.get(upper)))
    if v.size == 8:
        gap = builder.fptrunc(gap, _SINGLE)
    total = builder.fadd(gap, builder.fmul(drift, ir.Constant(_SINGLE, 1 - SPARE)))
    none = ir.Constant(_SINGLE, 0.0)  # what is below it is compared in any case
    total = builder.select(builder.fcmp_ordered(">", total, none), total, none)
    # To cut off the lower bits rounds a non-negative float down.
    bits = builder.lshr(builder.bitcast(total, INDEX), index(16))
    short = builder.trunc(bits, _SHORT)
    builder.store(short, builder.inttoptr(address, _SHORT.as_pointer()), align=2)


def _least_lane(v: Vectors, values: Any) -> Any:
    # The smallest of all lanes: of the halves the smaller, until one lane is left.
    width = v.lanes
    while width > 1:
        width //= 2
        low = v.builder.shuffle_vector(values, values, lane_numbers(range(width)))
        high = v.builder.shuffle_vector(values, values, lane_numbers(range(width, 2 * width)))
        values = v.smaller(low, high)
    return v.builder.extract_element(values, index(0))


@vector_code(types.int64, returns=types.float32)
def read_lower_bound(v: Vectors, address: Any) -> Any:
    """Return the lower bound that is stored at an address."""
    # movzx, shl, vmovd.
    builder = v.builder
    short = builder.load(builder.inttoptr(address, _SHORT.as_pointer()), align=2)
    bits = builder.shl(builder.zext(short, INDEX), index(16))
    return builder.bitcast(bits, _SINGLE)


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
        lanes = cgutils.unpack_tuple(builder, lanes)
        squares = _squared_distances(v, v.bytes_at(block), rows, lanes, depth)
        close = v.bits(v.less(squares, v.splat(near)))
        distances = _whole_steps(v, v.apply("sqrt", squares), steps)
        nothing = ir.Constant(v.wholes, [0] * v.lanes)
        sums = []
        left_out = word(0)
        for bits in lanes:
            chosen = v.mask(builder.and_(bits, builder.not_(close)))
            summands = builder.select(chosen, distances, nothing)
            sums.append(call(builder, "vector.reduce.add", f"v{v.lanes}i64", ADDRESS, summands))
            left_out = builder.or_(left_out, builder.and_(bits, close))
        return context.make_tuple(builder, signature.return_type, (*sums, left_out))

    whole = types.int64
    real = types.float64
    several = types.UniTuple(whole, count)
    signature = types.UniTuple(whole, count + 1)(tag, whole, several, several, whole, real, real)
    return signature, generate


def _squared_distances(v: Vectors, block: Any, rows: list[Any], lanes: Any, depth: Any) -> Any:
    # The float64 squares (lanes,): of each lane to the prototype in ``rows`` that has its bit.
    # For each feature twice (8 float64 lanes each): vcvtps2pd, vsubpd of the prototype's entry,
    # vfmadd231pd; with several prototypes vbroadcastsd under the mask of each.
    builder = v.builder
    doubles = ir.VectorType(DOUBLE, v.lanes)
    singles = ir.VectorType(_SINGLE, v.lanes)
    masks = [v.mask(bits) for bits in lanes]
    sums = stack_slots(builder, [ir.Constant(doubles, [0.0] * v.lanes)] * CHAINS)
    with cgutils.for_range_slice(builder, word(0), depth, word(UNROLL)) as (k, _):
        line = builder.gep(block, [builder.mul(k, word(LINE))])
        entries_at = builder.mul(k, word(8))
        totals = [builder.load(total) for total in sums]
        for u in range(UNROLL):
            values = v.load(line, u * LINE, v.reals)
            if v.size == 8:  # so that errors have the same bits for blocks of either dtype
                values = builder.fptrunc(values, singles)
            entry = None
            for row, mask in zip(rows, masks, strict=True):
                other = v.splat(v.load(builder.gep(row, [entries_at]), u * 8, DOUBLE))
                entry = other if entry is None else builder.select(mask, other, entry)
            difference = builder.fsub(builder.fpext(values, doubles), entry)
            chain = u % CHAINS
            totals[chain] = v.fma(difference, difference, totals[chain])
        for total, slot in zip(totals, sums, strict=True):
            builder.store(total, slot)
    return v.plus(*(builder.load(total) for total in sums))


def _whole_steps(v: Vectors, distances: Any, steps: Any) -> Any:
    # Distances (lanes,) times ``steps``, below 2^51, rounded to int64. AVX2 has no instruction for
    # it: a float64 from 2^52 to 2^53 has no digit below 1, so that the bits of 1.5·2^52 + n are
    # those of 1.5·2^52 plus the integer n.
    builder = v.builder
    large = ir.Constant(distances.type, [1.5 * 2.0**52] * v.lanes)
    rounded = builder.fadd(builder.fmul(distances, v.splat(steps)), large)
    return builder.sub(builder.bitcast(rounded, v.wholes), builder.bitcast(large, v.wholes))


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


@vector_code(types.int64, returns=types.int64)
def lowest_bit(v: Vectors, bits: Any) -> Any:
    """Return the index of the lowest set bit of an int64, 64 if there is none."""
    return v.builder.cttz(bits, ir.Constant(ir.IntType(1), 0))  # tzcnt


@vector_code(types.int64, returns=types.int64)
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
        is_single = signature.args[1].bitwidth == 32
        _, _, rows_at, centre, steps, grid, out, totals = arguments
        samples = ir.VectorType(_SINGLE if is_single else DOUBLE, v.lanes)
        doubles = ir.VectorType(DOUBLE, v.lanes)
        rows_at, centre, out, totals = (v.bytes_at(a) for a in (rows_at, centre, out, totals))
        # A row: vcvtps2pd, vsubpd, vmulpd, vrndscalepd, vmulpd, vcvtpd2ps.
        middle = v.load(centre, 0, doubles)
        steps = v.splat(steps)
        grid = v.splat(grid)
        by_sample = []
        for lane in range(v.lanes):
            start = v.bytes_at(v.load(rows_at, lane * 8, ADDRESS))
            values = v.load(start, 0, samples)
            if is_single:
                values = builder.fpext(values, doubles)
            values = builder.fmul(builder.fsub(values, middle), steps)
            values = builder.fmul(v.apply("rint", values), grid)
            by_sample.append(builder.fptrunc(values, v.reals) if v.size == 4 else values)
        total = v.load(totals, 0, doubles)
        for k, values in enumerate(_transposed(builder, by_sample)):
            v.store(values, out, k * LINE)
            wide = builder.fpext(values, doubles) if v.size == 4 else values
            total = builder.fadd(total, builder.fmul(wide, wide))
        v.store(total, totals, 0)
        return context.get_dummy_value()

    numbers = (types.float64, types.float64)
    signature = types.void(tag, given, types.int64, types.int64, *numbers, types.int64, types.int64)
    return signature, generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    # The columns of as many rows as they have lanes. In each step rows i and i + side exchange the
    # squares of this side off the diagonal, by vpermt2ps, vunpcklps and the like (recursive
    # transposition, Eklundh 1972); sides 1, 2, 4, … move each number to its mirror place.
    lanes = len(rows)
    side = 1
    while side < lanes:
        # For the row above and the row below: which lanes of both, the second's from ``lanes`` on.
        above = []
        below = []
        for lane in range(lanes):
            if lane & side:
                above.append(lanes + lane - side)
                below.append(lanes + lane)
            else:
                above.append(lane)
                below.append(lane + side)
        for i in range(lanes):
            if i & side:
                continue
            upper = rows[i]
            lower = rows[i + side]
            rows[i] = builder.shuffle_vector(upper, lower, lane_numbers(above))
            rows[i + side] = builder.shuffle_vector(upper, lower, lane_numbers(below))
        side *= 2
    return rows


@vector_code(types.int64)
def fetch_line(v: Vectors, address: Any) -> None:
    """Prefetch the cache line at an address, which need not exist, into the L2 cache.

    L1 is full of the current block and panel.
    """
    v.fetch(v.bytes_at(address), 0, 2)  # prefetcht1
