"""Bounds and distances of the samples of a block, all lanes at once, as vector instructions.

Addresses are those of (lanes,) numbers of the dtype of the scalar ``tag``, or of float32 where a
margin is meant. With v = ‖w‖²/2 - x·w, ‖x - w‖² = ‖x‖² + 2v. A *margin* is by how much a panel is
at least farther away than the best, for all samples of a block: the upper 16 bits of a float32 that
is not negative, which are never more than it.
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
    CHAINS,
    LINE,
    UNROLL,
    Vectors,
    call,
    square_root,
    suffix_of,
    variables,
)

# What a few roundings of float32 in a row take of a number is less than this share of it.
SPARE = 2.0**-21
_INT, _SHORT = ir.IntType(32), ir.IntType(16)
_DOUBLE = ir.DoubleType()


class Lanes(Vectors):
    """Arithmetic on the samples of a block."""

    def get(self, address: Any, line: int = 0) -> Any:
        """Return the vector in a line behind an address."""
        base = self.bytes_at(address)
        return self.load(base, line * LINE, self.reals)

    def put(self, value: Any, address: Any, line: int = 0) -> None:
        """Write a vector to a line behind an address."""
        self.store(value, self.bytes_at(address), line * LINE)

    def number(self, value: float) -> Any:
        """Return a vector with a constant in every lane."""
        return ir.Constant(self.reals, [ir.Constant(self.real, value)] * self.lanes)

    def root(self, squares: Any) -> Any:
        """Return the square roots, 0 for what rounding made negative."""
        return square_root(self.builder, self.larger(squares, self.number(0.0)))

    def times(self, values: Any, factor: float) -> Any:
        """Return the values times a constant."""
        constant = ir.Constant(values.type, [ir.Constant(values.type.element, factor)] * self.lanes)
        return self.builder.fmul(values, constant)

    def plus(self, *values: Any) -> Any:
        """Return a sum."""
        total = values[0]
        for value in values[1:]:
            total = self.builder.fadd(total, value)
        return total

    def least(self, values: Any) -> Any:
        """Return the smallest of all lanes, a scalar."""
        width = values.type.count
        while width > 1:
            width //= 2
            low, high = (
                ir.Constant(ir.VectorType(_INT, width), list(places))
                for places in (range(width), range(width, 2 * width))
            )
            values = self.smaller(
                self.builder.shuffle_vector(values, values, low),
                self.builder.shuffle_vector(values, values, high),
            )
        return self.builder.extract_element(values, ir.Constant(_INT, 0))

    def bits(self, mask: Any) -> Any:
        """Return an int64 with a bit for each lane of a mask."""
        return self.builder.zext(self.builder.bitcast(mask, ir.IntType(self.lanes)), ADDRESS)

    def mask(self, bits: Any) -> Any:
        """Return the mask of an int64 with a bit for each lane."""
        low = self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(low, ir.VectorType(ir.IntType(1), self.lanes))

    def get_units(self, address: Any) -> Any:
        """Return the (lanes,) int32 at an address."""
        return self.load(self.bytes_at(address), 0, self.indices)


SCALAR = object()  # see `vector_code`


def vector_code(*kinds: Any, returns: Any = types.void) -> Callable[..., Any]:
    """Return a decorator that makes an instruction of what writes vector code.

    The instruction is called with a scalar, whose dtype numbers have, and what is of ``kinds``:
    addresses and masks are int64; SCALAR is the scalar's dtype. ``write(v, *given)`` gets `Lanes`
    instead of the scalar, and returns what the instruction does.
    """

    def decorate(write: Callable[..., Any]) -> Any:
        def define(typing_context: Any, tag: Any, *given: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                answer = write(Lanes(signature.args[0].bitwidth, builder), *arguments[1:])
                return context.get_dummy_value() if answer is None else answer

            return returns(tag, *(tag if kind is SCALAR else kind for kind in kinds)), generate

        own = list(inspect.signature(define).parameters.values())[:2]
        others = list(inspect.signature(write).parameters.values())[1:]
        functools.update_wrapper(define, write)
        define.__signature__ = inspect.Signature([*own, *others])  # type: ignore[attr-defined]
        return intrinsic(define)

    return decorate


@vector_code(returns=types.int64)
def lanes_of(v: Any) -> Any:
    """Return how many numbers of a dtype a cache line holds, as a constant for the compiler."""
    return ir.Constant(ADDRESS, v.lanes)


@vector_code(types.int64, types.int64, returns=types.float64)
def read_number(v: Lanes, row: Any, k: Any) -> Any:
    """Return number k of a row that begins at an address, as float64."""
    numbers = v.builder.inttoptr(row, v.real.as_pointer())
    value = v.builder.load(v.builder.gep(numbers, [k]), align=v.size)
    return v.builder.fpext(value, _DOUBLE) if v.size == 4 else value


@vector_code(types.int64, *[SCALAR] * 4, types.int64)
def write_slack(v: Lanes, squares: Any, c0: Any, c1: Any, c2: Any, c3: Any, slack: Any) -> None:
    """Fill slack (2, lanes): c0 + c1‖x‖ + c2‖x‖², and that plus c3‖x‖²; ``squares`` are ‖x‖²."""
    c0, c1, c2, c3 = (v.splat(c) for c in (c0, c1, c2, c3))
    square, fmul = v.get(squares), v.builder.fmul
    of_value = v.plus(c0, fmul(c1, v.root(square)), fmul(c2, square))
    v.put(of_value, slack)
    v.put(v.plus(of_value, fmul(c3, square)), slack, 1)


@vector_code(*[types.int64] * 5)
def write_tops(v: Lanes, value: Any, squares: Any, slack: Any, inside: Any, tops: Any) -> None:
    """Fill tops (lanes,) with distances within which later passes look for what may be the best.

    ``value`` are the best so far, ``slack`` (2, lanes) are those of the least exact pass to come.
    A lane whose bit is not set in ``inside`` gets a number below any distance.
    """
    best = v.plus(v.times(v.get(value), 2.0), v.times(v.get(slack), 4.0))
    square = v.plus(v.get(squares), best, v.times(v.get(slack, 1), 3.0))
    top = v.times(v.root(square), 1 + 2 * SPARE)
    v.put(v.builder.select(v.mask(inside), top, v.number(-1e30)), tops)


@vector_code(*[types.int64] * 4, types.float32, types.int64)
def write_margin(
    v: Lanes, nearest: Any, squares: Any, slack: Any, tops: Any, moved: Any, margin: Any
) -> None:
    """Write the margin of a panel, plus what samples and panel moved so far.

    ``nearest`` (lanes,) are its smallest values.
    """
    builder = v.builder
    square = v.plus(v.get(squares), v.times(v.get(nearest), 2.0))
    distance = v.times(v.root(builder.fsub(square, v.get(slack, 1))), 1 - 2 * SPARE)
    least = v.least(builder.fsub(distance, v.get(tops)))
    if v.size == 8:
        least = builder.fptrunc(least, ir.FloatType())
    none = ir.Constant(ir.FloatType(), 0.0)
    total = builder.fadd(least, builder.fmul(moved, ir.Constant(ir.FloatType(), 1 - SPARE)))
    total = builder.select(builder.fcmp_ordered(">", total, none), total, none)
    bits = builder.lshr(builder.bitcast(total, _INT), ir.Constant(_INT, 16))
    short = builder.trunc(bits, _SHORT)
    builder.store(short, builder.inttoptr(margin, _SHORT.as_pointer()), align=2)


@intrinsic
def margin_at(typing_context: Any, address: Any) -> Any:
    """Return the float32 that a margin is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _SHORT.as_pointer())
        bits = builder.zext(builder.load(place, align=2), _INT)
        return builder.bitcast(builder.shl(bits, ir.Constant(_INT, 16)), ir.FloatType())

    return types.float32(types.int64), generate


@vector_code(types.int64, types.int64, returns=types.int64)
def ties_of(v: Lanes, values: Any, slack: Any) -> Any:
    """Return a bit for each lane whose second best of values (2, lanes) is too close to call."""
    limit = v.plus(v.get(values), v.get(slack))
    return v.bits(v.builder.fcmp_ordered("<=", v.get(values, 1), limit))


@intrinsic
def distances_of(
    typing_context: Any, tag: Any, block: Any, prototypes: Any, lanes: Any, depth: Any, near: Any,
    steps: Any,
) -> Any:  # fmt: skip
    """Return sums of distances of the samples of a block to some prototypes, in whole steps.

    Squares are float64, of samples rounded to float32. ``block`` is the address of (depth, lanes)
    numbers, ``prototypes`` those of (depth,) float64 each, ``lanes`` have a bit for each lane whose
    distance to that prototype is wanted; no lane has several. Distances times ``steps`` are below
    2^51, and rounded to whole numbers. Lanes whose squared distance is below ``near`` are left out:
    a bit for each of them is returned behind the sums.
    """
    count = len(prototypes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Lanes(signature.args[0].bitwidth, builder)
        _, block, prototypes, lanes, depth, near, steps = arguments
        rows = [v.bytes_at(row) for row in cgutils.unpack_tuple(builder, prototypes)]
        lanes, block = cgutils.unpack_tuple(builder, lanes), v.bytes_at(block)
        doubles = ir.VectorType(_DOUBLE, v.lanes)
        singles = ir.VectorType(ir.FloatType(), v.lanes)
        sums = variables(builder, [ir.Constant(doubles, [0.0] * v.lanes)] * CHAINS)
        masks = [v.mask(bits) for bits in lanes]
        none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
        with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
            line = builder.gep(block, [builder.mul(k, ir.Constant(ADDRESS, LINE))])
            along = builder.mul(k, ir.Constant(ADDRESS, 8))
            totals = [builder.load(total) for total in sums]
            for u in range(UNROLL):
                values = v.load(line, u * LINE, v.reals)
                values = values if v.size == 4 else builder.fptrunc(values, singles)
                entry, *others = (
                    v.splat(v.load(builder.gep(row, [along]), u * 8, _DOUBLE)) for row in rows
                )
                for mask, other in zip(masks[1:], others, strict=True):
                    entry = builder.select(mask, other, entry)
                difference = builder.fsub(builder.fpext(values, doubles), entry)
                totals[u % CHAINS] = v.fma(difference, difference, totals[u % CHAINS])
            for total, place in zip(totals, sums, strict=True):
                builder.store(total, place)
        total = v.plus(*(builder.load(total) for total in sums))
        close = v.bits(v.less(total, v.splat(near)))
        # AVX2 has no conversion: beside a number this large the last bits of a sum are whole.
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
def lanes_other(v: Lanes, units: Any, others: Any) -> Any:
    """Return a bit mask of the lanes in which two (lanes,) int32 differ."""
    return v.bits(v.builder.icmp_signed("!=", v.get_units(units), v.get_units(others)))


@vector_code(types.int64, types.int32, returns=types.int64)
def lanes_with(v: Lanes, units: Any, unit: Any) -> Any:
    """Return a bit mask of the lanes in which units (lanes,) int32 are ``unit``."""
    return v.bits(v.builder.icmp_signed("==", v.get_units(units), v.splat(unit)))


@intrinsic
def lowest_bit(typing_context: Any, bits: Any) -> Any:
    """Return the place of the lowest bit that is set in an int64, 64 if there is none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@intrinsic
def count_of(typing_context: Any, bits: Any) -> Any:
    """Return how many bits of an int64 are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), generate


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Return the columns of as many vectors as each has lanes."""
    # In each turn rows i and i + h exchange the squares of side h beside the diagonal.
    lanes, h = len(rows), 1
    while h < lanes:
        upper = [j if not j & h else lanes + j - h for j in range(lanes)]
        lower = [j + h if not j & h else lanes + j for j in range(lanes)]
        for i in range(lanes):
            if not i & h:
                a, b = rows[i], rows[i + h]
                for place, taken in ((i, upper), (i + h, lower)):
                    mask = ir.Constant(ir.VectorType(_INT, lanes), taken)
                    rows[place] = builder.shuffle_vector(a, b, mask)
        h *= 2
    return rows


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
        samples = ir.VectorType(ir.FloatType() if single else _DOUBLE, v.lanes)
        doubles = ir.VectorType(_DOUBLE, v.lanes)
        rows_at, centre, out, totals = (v.bytes_at(a) for a in (rows_at, centre, out, totals))
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
        total = v.load(totals, 0, doubles)
        for k, values in enumerate(transposed(builder, packed)):
            v.store(values, out, k * LINE)
            wide = builder.fpext(values, doubles) if v.size == 4 else values
            total = builder.fadd(total, builder.fmul(wide, wide))
        v.store(total, totals, 0)
        return context.get_dummy_value()

    numbers = (types.float64, types.float64)
    signature = types.void(tag, given, types.int64, types.int64, *numbers, types.int64, types.int64)
    return signature, generate


@vector_code(*[types.int64] * 4)
def transpose_tile(v: Lanes, row: Any, stride: Any, out: Any, out_stride: Any) -> None:
    """Copy a square of (lanes, lanes) numbers, transposed: samples to lanes, or lanes to samples.

    ``row`` and ``out`` are addresses of first rows, ``stride`` and ``out_stride`` the bytes from
    one row to the next.
    """
    square = []
    for _ in range(v.lanes):
        square.append(v.load(v.bytes_at(row), 0, v.reals))
        row = v.builder.add(row, stride)
    for values in transposed(v.builder, square):
        v.store(values, v.bytes_at(out), 0)
        out = v.builder.add(out, out_stride)


@vector_code(types.int64, types.int64, types.float64, types.int64)
def add_row(v: Lanes, row: Any, depth: Any, sign: Any, sums: Any) -> None:
    """Add ``sign``, which is 1 or -1, times a row (depth,) of numbers to float64 sums (depth,).

    Addresses; depth is a multiple of UNROLL.
    """
    builder = v.builder
    doubles, numbers = ir.VectorType(_DOUBLE, UNROLL), ir.VectorType(v.real, UNROLL)
    row, sums = v.bytes_at(row), v.bytes_at(sums)
    undefined = ir.Constant(doubles, ir.Undefined)
    first = builder.insert_element(undefined, sign, ir.Constant(_INT, 0))
    zeros = ir.Constant(ir.VectorType(_INT, UNROLL), [0] * UNROLL)
    signs = builder.shuffle_vector(first, undefined, zeros)
    none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
    with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
        read = builder.gep(row, [builder.mul(k, ir.Constant(ADDRESS, v.size))])
        place = v.at(builder.gep(sums, [builder.mul(k, ir.Constant(ADDRESS, 8))]), 0, doubles)
        values = v.load(read, 0, numbers)
        values = builder.fpext(values, doubles) if v.size == 4 else values
        total = builder.fadd(builder.load(place, align=8), builder.fmul(values, signs))
        builder.store(total, place, align=8)


@intrinsic
def fetch_line(typing_context: Any, address: Any) -> Any:
    """Fetch the cache line at an address, which need not exist, into the second cache.

    The first is full of what is being worked on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(32, builder)
        v.fetch(v.bytes_at(arguments[0]), 0, 2)
        return context.get_dummy_value()

    return types.void(types.int64), generate
