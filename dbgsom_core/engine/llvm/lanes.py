"""Bounds and distances of the samples of a block, all lanes at once, as vector instructions.

Addresses are those of (lanes,) numbers of the dtype of the scalar ``one``, or of float32 where a
margin is meant. With v = ‖w‖²/2 - x·w, ‖x - w‖² = ‖x‖² + 2v. A *margin* is by how much a panel is
at least farther away than the best, for all samples of a block: the upper 16 bits of a float32 that
is not negative, which are never more than it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.tile import (
    ADDRESS,
    CHAINS,
    LINE,
    PANEL_ROWS,
    ROW_BITS,
    UNROLL,
    Vectors,
    call,
    square_root,
    suffix_of,
    variables,
)


@intrinsic
def read_number(typing_context: Any, kind: Any, row: Any, k: Any) -> Any:
    """Return number k, of the scalar's dtype, of a row that begins at an address, as float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(signature.args[0].bitwidth)
        _, row, k = arguments
        numbers = builder.inttoptr(row, v.real.as_pointer())
        value = builder.load(builder.gep(numbers, [k]), align=v.size)
        return builder.fpext(value, ir.DoubleType()) if v.size == 4 else value

    return types.float64(kind, types.int64, types.int64), generate


# What a few roundings of float32 in a row take of a number is less than this share of it.
SPARE = 2.0**-21
_INT, _SHORT = ir.IntType(32), ir.IntType(16)


class _Lanes(Vectors):
    # Arithmetic on a block for one place in the code that is being generated.

    def __init__(self, one: Any, builder: Any) -> None:
        super().__init__(one.bitwidth)
        self.builder = builder

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
def ties_of(typing_context: Any, one: Any, values: Any, slack: Any) -> Any:
    """Return a bit for each lane whose second best of values (2, lanes) is too close to call."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, values, slack = arguments
        limit = v.plus(v.get(values), v.get(slack))
        return v.bits(builder.fcmp_ordered("<=", v.get(values, 1), limit))

    return types.int64(one, types.int64, types.int64), generate


@intrinsic
def distances_of(
    typing_context: Any, one: Any, block: Any, prototypes: Any, lanes: Any, depth: Any, near: Any,
    steps: Any,
) -> Any:  # fmt: skip
    """Return sums of distances of the samples of a block to some prototypes, in whole steps.

    Squares are float64, of samples rounded to float32.

    Parameters
    ----------
    one : scalar of the dtype
    block : address
        Of (depth, lanes) numbers.
    prototypes : tuple of addresses
        Of (depth,) float64 each.
    lanes : tuple of int
        A bit for each lane whose distance to that prototype is wanted; no lane has several.
    depth : int
    near : float
        Lanes whose squared distance lies below are left out.
    steps : float
        Distances times steps are below 2^51, and rounded to whole numbers.

    Returns
    -------
    tuple of int
        A sum for each prototype, and a bit for each of the lanes left out.
    """
    count = len(prototypes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Lanes(signature.args[0], builder)
        _, block, prototypes, lanes, depth, near, steps = arguments
        rows = [v.bytes_at(builder, row) for row in cgutils.unpack_tuple(builder, prototypes)]
        lanes, block = cgutils.unpack_tuple(builder, lanes), v.bytes_at(builder, block)
        doubles = ir.VectorType(ir.DoubleType(), v.lanes)
        singles = ir.VectorType(ir.FloatType(), v.lanes)
        zeros = ir.Constant(doubles, [0.0] * v.lanes)
        sums = variables(builder, [zeros] * CHAINS)
        masks = [v.mask(bits) for bits in lanes]
        none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
        with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
            line = builder.gep(block, [builder.mul(k, ir.Constant(ADDRESS, LINE))])
            along = builder.mul(k, ir.Constant(ADDRESS, 8))
            totals = [builder.load(total) for total in sums]
            for u in range(UNROLL):
                values = v.load(builder, line, u * LINE, v.reals)
                values = values if v.size == 4 else builder.fptrunc(values, singles)
                entries = [
                    v.spread(v.load(builder, builder.gep(row, [along]), u * 8, ir.DoubleType()))
                    for row in rows
                ]
                entry = entries[0]
                for mask, other in zip(masks[1:], entries[1:], strict=True):
                    entry = builder.select(mask, other, entry)
                difference = builder.fsub(builder.fpext(values, doubles), entry)
                total = totals[u % CHAINS]
                totals[u % CHAINS] = v.fma(builder, difference, difference, total)
            for total, place in zip(totals, sums, strict=True):
                builder.store(total, place)
        total = v.plus(*(builder.load(total) for total in sums))
        close = v.bits(v.less(builder, total, v.spread(near)))
        # AVX2 has no conversion: beside a number this large the last bits of a sum are whole.
        large = ir.Constant(doubles, [1.5 * 2.0**52] * v.lanes)
        scaled = builder.fmul(square_root(builder, total), v.spread(steps))
        wholes = (builder.bitcast(n, v.wholes) for n in (builder.fadd(scaled, large), large))
        whole, nothing = builder.sub(*wholes), ir.Constant(v.wholes, [0] * v.lanes)
        name, suffix = "vector.reduce.add", f"v{v.lanes}i64"
        answers, left_out = [], none
        for bits in lanes:
            chosen = v.mask(builder.and_(bits, builder.not_(close)))
            chosen = builder.select(chosen, whole, nothing)
            answers.append(call(builder, name, suffix, ADDRESS, chosen))
            left_out = builder.or_(left_out, builder.and_(bits, close))
        return context.make_tuple(builder, signature.return_type, (*answers, left_out))

    whole, real = types.int64, types.float64
    several = types.UniTuple(whole, count)
    signature = types.UniTuple(whole, count + 1)(one, whole, several, several, whole, real, real)
    return signature, generate


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
        middle = v.load(builder, centre, 0, doubles)
        steps, grid = v.splat(builder, steps), v.splat(builder, grid)
        packed = []
        for lane in range(v.lanes):
            start = v.bytes_at(builder, v.load(builder, rows_at, lane * 8, ADDRESS))
            values = v.load(builder, start, 0, samples)
            if single:
                values = builder.fpext(values, doubles)
            values = builder.fmul(builder.fsub(values, middle), steps)
            values = builder.fmul(call(builder, "rint", suffix_of(doubles), doubles, values), grid)
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
