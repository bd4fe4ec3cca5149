"""Bounds and errors of the samples of a block, all lanes at once, as vector instructions.

Addresses are those of (lanes,) numbers of the dtype of the scalar ``one``, or of float32 where a
margin is meant. With v = ‖w‖²/2 - x·w, ‖x - w‖² = ‖x‖² + 2v. A *margin* is by how much a panel is
at least farther away than the best, for all samples of a block: the upper 16 bits of a float32 that
is not negative, which are never more than it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.tile import ADDRESS, LINE, PANEL_ROWS, ROW_BITS, Vectors, square_root

# What a few roundings of float32 in a row take of a number is less than this share of it.
SPARE = 2.0**-21
POOR = 512.0  # a squared distance below so many of its errors is computed anew
_INT, _SHORT = ir.IntType(32), ir.IntType(16)


class _Lanes(Vectors):
    # Arithmetic on a block for one place in the code that is being generated.

    def __init__(self, one: Any, builder: Any) -> None:
        super().__init__(one.bitwidth)
        self.builder = builder
        self.wholes = ir.VectorType(ADDRESS, self.lanes)

    def get(self, address: Any, line: int = 0) -> Any:
        base = self.bytes_at(self.builder, address)
        return self.load(self.builder, base, line * LINE, self.reals)

    def put(self, value: Any, address: Any, line: int = 0) -> None:
        self.store(self.builder, value, self.bytes_at(self.builder, address), line * LINE)

    def number(self, value: float) -> Any:
        return ir.Constant(self.reals, [ir.Constant(self.real, value)] * self.lanes)

    def root(self, squares: Any) -> Any:
        """Return the square roots, 0 for what rounding made negative."""
        return square_root(self.builder, self.larger(self.builder, squares, self.number(0.0)))

    def spread(self, scalar: Any) -> Any:
        return self.splat(self.builder, scalar)

    def times(self, values: Any, factor: float) -> Any:
        constant = ir.Constant(values.type, [ir.Constant(values.type.element, factor)] * self.lanes)
        return self.builder.fmul(values, constant)

    def plus(self, *values: Any) -> Any:
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
                self.builder,
                self.builder.shuffle_vector(values, values, low),
                self.builder.shuffle_vector(values, values, high),
            )
        return self.builder.extract_element(values, ir.Constant(_INT, 0))

    def bits(self, mask: Any) -> Any:
        return self.builder.zext(self.builder.bitcast(mask, ir.IntType(self.lanes)), ADDRESS)

    def mask(self, bits: Any) -> Any:
        """Return the mask of an int64 with a bit for each lane."""
        low = self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(low, ir.VectorType(ir.IntType(1), self.lanes))

    def get_units(self, address: Any) -> Any:
        return self.load(self.builder, self.bytes_at(self.builder, address), 0, self.indices)


@intrinsic
def write_slack(
    typing_context: Any, one: Any, squares: Any, c0: Any, c1: Any, c2: Any, c3: Any, slack: Any
) -> Any:
    """Fill slack (2, lanes): c0 + c1‖x‖ + c2‖x‖², and that plus c3‖x‖²; ``squares`` are ‖x‖²."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, squares, *constants, slack = arguments
        c0, c1, c2, c3 = (v.spread(c) for c in constants)
        square = v.get(squares)
        of_value = v.plus(c0, builder.fmul(c1, v.root(square)), builder.fmul(c2, square))
        v.put(of_value, slack)
        v.put(v.plus(of_value, builder.fmul(c3, square)), slack, 1)
        return context.get_dummy_value()

    return types.void(one, types.int64, one, one, one, one, types.int64), generate


@intrinsic
def write_tops(
    typing_context: Any, one: Any, value: Any, squares: Any, slack: Any, inside: Any, tops: Any
) -> Any:
    """Fill tops (lanes,) with distances within which later passes look for what may be the best.

    ``value`` are the best so far, ``slack`` (2, lanes) are those of the least exact pass to come.
    A lane whose bit is not set in ``inside`` gets a number below any distance.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, value, squares, slack, inside, tops = arguments
        best = v.plus(v.times(v.get(value), 2.0), v.times(v.get(slack), 4.0))
        square = v.plus(v.get(squares), best, v.times(v.get(slack, 1), 3.0))
        top = v.times(v.root(square), 1 + 2 * SPARE)
        v.put(builder.select(v.mask(inside), top, v.number(-1e30)), tops)
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 5), generate


@intrinsic
def write_margin(
    typing_context: Any, one: Any, nearest: Any, squares: Any, slack: Any, tops: Any, moved: Any,
    margin: Any,
) -> Any:  # fmt: skip
    """Write the margin of a panel, plus what samples and panel moved so far.

    ``nearest`` (lanes,) are its smallest values.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, nearest, squares, slack, tops, moved, margin = arguments
        square = v.plus(v.get(squares), v.times(v.get(nearest), 2.0))
        distance = v.times(v.root(builder.fsub(square, v.get(slack, 1))), 1 - 2 * SPARE)
        least = v.least(builder.fsub(distance, v.get(tops)))
        if v.size == 8:
            least = builder.fptrunc(least, ir.FloatType())
        none = ir.Constant(ir.FloatType(), 0.0)
        moved = builder.fmul(moved, ir.Constant(ir.FloatType(), 1 - SPARE))
        total = builder.fadd(least, moved)
        total = builder.select(builder.fcmp_ordered(">", total, none), total, none)
        bits = builder.lshr(builder.bitcast(total, _INT), ir.Constant(_INT, 16))
        short = builder.trunc(bits, _SHORT)
        builder.store(short, builder.inttoptr(margin, _SHORT.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 4, types.float32, types.int64), generate


@intrinsic
def margin_at(typing_context: Any, address: Any) -> Any:
    """Return the float32 that a margin is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _SHORT.as_pointer())
        bits = builder.zext(builder.load(place, align=2), _INT)
        return builder.bitcast(builder.shl(bits, ir.Constant(_INT, 16)), ir.FloatType())

    return types.float32(types.int64), generate


@intrinsic
def write_distances(
    typing_context: Any, one: Any, values: Any, squares: Any, slack: Any, distances: Any
) -> Any:
    """Fill distances (lanes,) for values (2, lanes), best and second best.

    Returns two bit masks, one bit a lane: where the second is too close to call, and where
    rounding spoils the distance.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, values, squares, slack, distances = arguments
        best, second = v.get(values), v.get(values, 1)
        square = v.plus(v.get(squares), v.times(best, 2.0))
        v.put(v.root(square), distances)
        ties = builder.fcmp_ordered("<=", second, v.plus(best, v.get(slack)))
        poor = v.less(builder, square, v.times(v.get(slack, 1), POOR))
        return context.make_tuple(builder, signature.return_type, (v.bits(ties), v.bits(poor)))

    signature = types.UniTuple(types.int64, 2)(
        one, types.int64, types.int64, types.int64, types.int64
    )
    return signature, generate


@intrinsic
def write_whole(typing_context: Any, one: Any, distances: Any, steps: Any, whole: Any) -> Any:
    """Fill whole (lanes,) int64 with distances*steps, which are below 2^51, rounded."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, distances, steps, whole = arguments
        doubles = ir.VectorType(ir.DoubleType(), v.lanes)
        values = v.get(distances)
        if v.size == 4:
            values = builder.fpext(values, doubles)
        # AVX2 has no conversion: beside a number this large the last bits of a sum are whole.
        large = ir.Constant(doubles, [1.5 * 2.0**52] * v.lanes)
        sums = builder.fadd(builder.fmul(values, v.spread(steps)), large)
        wholes = (builder.bitcast(number, v.wholes) for number in (sums, large))
        v.put(builder.sub(*wholes), whole)
        return context.get_dummy_value()

    return types.void(one, types.int64, types.float64, types.int64), generate


@intrinsic
def add_lanes(typing_context: Any, one: Any, whole: Any, lanes: Any, totals: Any) -> Any:
    """Add those of whole (lanes,) int64 whose bit is set in ``lanes`` to totals (lanes,) int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, whole, lanes, totals = arguments
        whole, totals = (v.bytes_at(builder, address) for address in (whole, totals))
        none = ir.Constant(v.wholes, [0] * v.lanes)
        more = builder.select(v.mask(lanes), v.load(builder, whole, 0, v.wholes), none)
        v.store(builder, builder.add(v.load(builder, totals, 0, v.wholes), more), totals, 0)
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 3), generate


@intrinsic
def write_units(typing_context: Any, one: Any, places: Any, ids: Any, units: Any) -> Any:
    """Fill units (lanes,) int32 with the ``ids`` (G, PANEL_ROWS) int32 of their places.

    Places (lanes,) int32 are panel << ROW_BITS | row.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        places, ids, units = (v.bytes_at(builder, address) for address in arguments[1:])
        index = v.indices.element
        for lane in range(v.lanes):
            place = v.load(builder, places, lane * 4, index)
            panel = builder.lshr(place, ir.Constant(index, ROW_BITS))
            row = builder.and_(place, ir.Constant(index, (1 << ROW_BITS) - 1))
            entry = builder.add(builder.mul(panel, ir.Constant(index, PANEL_ROWS)), row)
            offset = builder.shl(builder.zext(entry, ADDRESS), ir.Constant(ADDRESS, 2))
            unit = v.load(builder, builder.gep(ids, [offset]), 0, index)
            builder.store(unit, v.at(builder, units, lane * 4, index), align=4)
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 3), generate


@intrinsic
def lanes_other(typing_context: Any, one: Any, units: Any, others: Any) -> Any:
    """Return a bit mask of the lanes in which two (lanes,) int32 differ."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, units, others = arguments
        return v.bits(builder.icmp_signed("!=", v.get_units(units), v.get_units(others)))

    return types.int64(one, types.int64, types.int64), generate


@intrinsic
def lanes_with(typing_context: Any, one: Any, units: Any, unit: Any) -> Any:
    """Return a bit mask of the lanes in which units (lanes,) int32 are ``unit``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, units, unit = arguments
        return v.bits(builder.icmp_signed("==", v.get_units(units), v.spread(unit)))

    return types.int64(one, types.int64, types.int32), generate


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
