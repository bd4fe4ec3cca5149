"""Vector code for the inner loop of the search, written as LLVM instructions.

Numba keeps no small array in registers, so a loop that it compiles from Python reads and writes
its accumulators in memory. Here they are values: one vector of samples for each prototype of a
panel. LLVM gives each a register and folds the load of the prototype's entry into the
multiplication, which reaches the speed of a matrix product.

A *block* holds as many samples as a cache line holds numbers, one in each *lane*: (D, lanes), so
entry k of all of them is one load. A *panel* holds PANEL_ROWS prototypes, (D, PANEL_ROWS). D is
a multiple of UNROLL. Addresses are passed as integers; the dtype is that of the scalar ``tag``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line, and of the widest vector register
UNROLL = 4  # features a step of the inner loop
VALUES = 3  # lines of a block's values: `sweep_panels` keeps one more than the two nearest
SLACKS = 2  # lines of a block's slack, see `lanes.write_slack`
_AHEAD = 2048  # prefetch distance in bytes of a panel


def _is_wide() -> bool:
    # Whether there are 32 registers of 64 bytes (AVX-512), or 16 of 32.
    features = config.CPU_FEATURES
    if features is not None:
        return "+avx512f" in features
    named = config.CPU_NAME not in (None, "host")
    return not named and bool(llvm.get_host_cpu_features().get("avx512f", False))


# A panel's accumulators must fit the registers.
PANEL_ROWS = 8 if _is_wide() else 6
ROW_BITS = 3  # bits of the row number in a panel
_ROW = (1 << ROW_BITS) - 1
assert PANEL_ROWS <= _ROW + 1

ADDRESS = ir.IntType(64)
INDEX = ir.IntType(32)
DOUBLE = ir.DoubleType()


def word(value: int) -> Any:
    """Return a constant of 64 bits, as addresses are."""
    return ir.Constant(ADDRESS, value)


def index(value: int) -> Any:
    """Return a constant of 32 bits, as LLVM numbers lanes."""
    return ir.Constant(INDEX, value)


def lane_numbers(lanes: Iterable[int]) -> Any:
    """Return the constant vector of lanes that a shuffle takes."""
    numbers = list(lanes)
    return ir.Constant(ir.VectorType(INDEX, len(numbers)), numbers)


class Vectors:
    """Builder of instructions on vectors of one real type, a cache line long.

    ``size`` is the bytes of a number, ``lanes`` the numbers of a vector.
    """

    def __init__(self, bits: int, builder: Any) -> None:
        self.size = bits // 8
        self.builder = builder
        self.lanes = LINE // self.size
        self.real = ir.FloatType() if bits == 32 else DOUBLE
        self.reals = ir.VectorType(self.real, self.lanes)
        self.indices = ir.VectorType(INDEX, self.lanes)
        self.wholes = ir.VectorType(ADDRESS, self.lanes)

    def splat(self, scalar: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, index(0))
        return self.builder.shuffle_vector(first, undefined, lane_numbers([0] * self.lanes))

    def bytes_at(self, address: Any) -> Any:
        return self.builder.inttoptr(address, ir.IntType(8).as_pointer())

    def at(self, base: Any, offset: int, kind: Any) -> Any:
        """Return a pointer to ``kind``, ``offset`` bytes behind the byte pointer ``base``."""
        place = self.builder.gep(base, [word(offset)])
        return self.builder.bitcast(place, kind.as_pointer())

    def load(self, base: Any, offset: int, kind: Any) -> Any:
        align = 4 if kind in (INDEX, self.indices) else self.size
        return self.builder.load(self.at(base, offset, kind), align=align)

    def store(self, value: Any, base: Any, offset: int) -> None:
        align = 4 if value.type == self.indices else self.size
        self.builder.store(value, self.at(base, offset, value.type), align=align)

    def get(self, address: Any, line: int = 0) -> Any:
        return self.load(self.bytes_at(address), line * LINE, self.reals)

    def put(self, value: Any, address: Any, line: int = 0) -> None:
        self.store(value, self.bytes_at(address), line * LINE)

    def get_units(self, address: Any) -> Any:
        return self.load(self.bytes_at(address), 0, self.indices)

    def fetch(self, base: Any, offset: int, near: int) -> None:
        """Fetch a cache line, which need not exist, into the first cache (``near`` 3) or second."""
        place = self.builder.gep(base, [word(offset)])
        flags = [index(flag) for flag in (0, near, 1)]
        call(self.builder, "prefetch", "p0i8", ir.VoidType(), place, *flags)

    def apply(self, name: str, *vectors: Any, **flags: Any) -> Any:
        """Call an LLVM intrinsic that treats each lane alone, as sqrt."""
        kind = vectors[0].type
        bits = 32 if kind.element == ir.FloatType() else 64
        return call(self.builder, name, f"v{kind.count}f{bits}", kind, *vectors, **flags)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a*b + c, rounded once."""
        return self.apply("fma", a, b, c)

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.fcmp_ordered("<", a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.less(a, b), a, b)

    def number(self, value: float) -> Any:
        return ir.Constant(self.reals, [ir.Constant(self.real, value)] * self.lanes)

    def root(self, squares: Any) -> Any:
        """Return the square roots, 0 of numbers that rounding made negative."""
        none = self.number(0.0)
        not_negative = self.builder.select(self.less(squares, none), none, squares)
        return self.apply("sqrt", not_negative)

    def times(self, values: Any, factor: float) -> Any:
        return self.builder.fmul(values, self.number(factor))

    def plus(self, *values: Any) -> Any:
        total = values[0]
        for value in values[1:]:
            total = self.builder.fadd(total, value)
        return total

    def bits(self, mask: Any) -> Any:
        return self.builder.zext(self.builder.bitcast(mask, ir.IntType(self.lanes)), ADDRESS)

    def mask(self, bits: Any) -> Any:
        low = self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(low, ir.VectorType(ir.IntType(1), self.lanes))


def call(builder: Any, name: str, suffix: str, kind: Any, *given: Any, **flags: Any) -> Any:
    """Call the LLVM intrinsic of a name and a suffix, which returns a ``kind``."""
    whole = f"llvm.{name}.{suffix}"
    module = builder.module
    function = module.globals.get(whole)
    if function is None:
        types_given = [value.type for value in given]
        function = ir.Function(module, ir.FunctionType(kind, types_given), whole)
    return builder.call(function, given, **flags)


def stack_slots(builder: Any, values: Sequence[Any]) -> list[Any]:
    """Return stack slots of loop variables; LLVM gives each a register."""
    return [cgutils.alloca_once_value(builder, value) for value in values]


def accumulate(v: Vectors, block: Any, panel: Any, start: Any, depth: Any) -> list[Any]:
    """Write the loop over features; return the values of a panel's prototypes.

    Sums begin at ``start``, ‖w‖²/2, and take one product a feature, in order: the bound of their
    error counts on it (`Accuracy`).
    """
    builder = v.builder
    samples_at, panel_at, start_at = (v.bytes_at(address) for address in (block, panel, start))
    starts = [v.splat(v.load(start_at, r * v.size, v.real)) for r in range(PANEL_ROWS)]
    sums = stack_slots(builder, starts)
    with cgutils.for_range_slice(builder, word(0), depth, word(UNROLL)) as (k, _):
        lines = builder.gep(samples_at, [builder.mul(k, word(LINE))])
        entries = builder.gep(panel_at, [builder.mul(k, word(PANEL_ROWS * v.size))])
        for line in range(0, UNROLL * PANEL_ROWS * v.size, LINE):
            v.fetch(entries, _AHEAD + line, 3)
        totals = [builder.load(total) for total in sums]
        for u in range(UNROLL):
            samples = v.load(lines, u * LINE, v.reals)
            # vmovaps of the samples; vfmadd231ps of each entry, broadcast from memory.
            for r in range(PANEL_ROWS):
                offset = (u * PANEL_ROWS + r) * v.size
                entry = v.splat(v.load(entries, offset, v.real))
                totals[r] = v.fma(entry, samples, totals[r])
        for total, slot in zip(totals, sums, strict=True):
            builder.store(total, slot)
    return [builder.load(total) for total in sums]


# No branches on values: in a first epoch samples are unsorted, so that some lane of a block finds a
# nearer prototype in most panels, and mispredicted branches delay the multiplications of the next
# panel. Smallest and second smallest values are found by minima and maxima instead, in parallel
# with the multiplications. The row of the prototype is stored in the lowest ROW_BITS of its value;
# the error is part of `Accuracy`.


class _Keys(Vectors):
    # Values with the row in their lowest bits.

    def __init__(self, bits: int, builder: Any) -> None:
        super().__init__(bits, builder)
        self.keys = ir.VectorType(ir.IntType(bits), self.lanes)

    def _extreme(self, which: str, a: Any, b: Any) -> Any:
        # One instruction: for a shared comparison with selections LLVM makes a mask, which delays
        # the multiplications.
        return self.apply(f"{which}num", a, b, fastmath=("nnan", "nsz"))

    def smaller(self, a: Any, b: Any) -> Any:
        return self._extreme("min", a, b)

    def larger(self, a: Any, b: Any) -> Any:
        return self._extreme("max", a, b)

    def with_row_bits(self, value: Any, row: int) -> Any:
        """Return the values with the row number in their lowest bits."""
        bits = self.builder.bitcast(value, self.keys)
        high = self.builder.and_(bits, ir.Constant(self.keys, [~_ROW] * self.lanes))
        marked = self.builder.or_(high, ir.Constant(self.keys, [row] * self.lanes))
        return self.builder.bitcast(marked, self.reals)

    def with_middle_row(self, value: Any) -> Any:
        # What is compared with others is in the middle of what the row bits may be: the error is
        # half of 2^ROW_BITS.
        return self.with_row_bits(value, (_ROW + 1) // 2)

    def slot(self, value: Any, panel: Any) -> Any:
        """Return panel << ROW_BITS | the row in the lowest bits."""
        bits = self.builder.bitcast(value, self.keys)
        row = self.builder.and_(bits, ir.Constant(self.keys, [_ROW] * self.lanes))
        if self.size == 8:
            row = self.builder.trunc(row, self.indices)
        return self.builder.or_(row, self.splat(panel))

    def nearest_two(self, values: list[Any]) -> tuple[Any, Any]:
        """Return smallest and second smallest of at least two values, lane by lane."""
        # A tournament: pairs of pairs, so that as many minima as possible run in parallel.
        pairs = [(value, None) for value in values]
        while len(pairs) > 1:
            merged = []
            for left, right in zip(pairs[::2], pairs[1::2], strict=False):
                merged.append(self.merge_pairs(*left, *right))
            if len(pairs) % 2:
                merged.append(pairs[-1])
            pairs = merged
        return pairs[0]

    def merge_pairs(self, a: Any, after_a: Any, b: Any, after_b: Any) -> tuple[Any, Any]:
        """Return the two smallest of two pairs (first, second or None)."""
        second = self.larger(a, b)
        for other in (after_a, after_b):
            if other is not None:
                second = self.smaller(second, other)
        return self.smaller(a, b), second

    def update_best(
        self, n_best: int, carried: list[Any], panel: Any, marked: list[Any]
    ) -> list[Any]:
        """Return a panel's smallest value and the updated state.

        The state is the ``n_best`` + 1 smallest values, and the slots of all but the last.
        """
        near, then = self.nearest_two(marked)
        select = self.builder.select
        if n_best == 1:
            best, second, slot = carried
            slot = select(self.less(near, best), self.slot(near, panel), slot)
            return [near, *self.merge_pairs(near, then, best, second), slot]
        # Insertion into a ≤ b ≤ c, with the slots of a and b.
        a, b, c, slot_a, slot_b = carried
        for value in marked:
            slot = self.slot(value, panel)
            below_a = self.less(value, a)
            below_b = self.less(value, b)
            slot_b = select(below_a, slot_a, select(below_b, slot, slot_b))
            slot_a = select(below_a, slot, slot_a)
            c = self.smaller(c, self.larger(b, value))
            b = self.smaller(b, self.larger(a, value))
            a = self.smaller(a, value)
        return [near, a, b, c, slot_a, slot_b]


def _sweep_function(module: Any, bits: int, n_best: int) -> Any:
    # The sweep for numbers of ``bits`` bits, defined once in ``module``.
    name = f"dbgsom_sweep_{n_best}_{bits}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 9), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panels, starts, depth, which, first, values, slots, nearest = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    v = _Keys(bits, builder)
    values_at, slots_at, nearest_at = (v.bytes_at(address) for address in (values, slots, nearest))
    slots_line = 4 * v.lanes  # bytes
    state = [v.load(values_at, p * LINE, v.reals) for p in range(n_best + 1)]
    state += [v.load(slots_at, p * slots_line, v.indices) for p in range(n_best)]
    left_at, *state_at = stack_slots(builder, [which, *state])
    loop = function.append_basic_block("panels")
    end = function.append_basic_block("end")
    builder.branch(loop)

    # One panel: that of the lowest bit of what is left.
    builder.position_at_end(loop)
    left = builder.load(left_at)
    state = [builder.load(place) for place in state_at]
    lowest = builder.cttz(left, ir.Constant(ir.IntType(1), 1))
    g = builder.add(first, lowest)
    left = builder.and_(left, builder.sub(left, word(1)))
    start = builder.mul(g, word(PANEL_ROWS * v.size))
    panel = builder.add(panels, builder.mul(start, depth))
    sums = accumulate(v, block, panel, builder.add(starts, start), depth)
    panel_bits = builder.trunc(builder.shl(g, word(ROW_BITS)), INDEX)
    marked = [v.with_row_bits(value, r) for r, value in enumerate(sums)]
    near, *state = v.update_best(n_best, state, panel_bits, marked)
    line = builder.gep(nearest_at, [builder.mul(g, word(LINE))])
    v.store(v.with_middle_row(near), line, 0)
    for value, place in zip([left, *state], [left_at, *state_at], strict=True):
        builder.store(value, place)
    builder.cbranch(builder.icmp_unsigned("!=", left, word(0)), loop, end)

    builder.position_at_end(end)
    for p, value in enumerate(state[: n_best + 1]):
        v.store(v.with_middle_row(value), values_at, p * LINE)
    for p, slot in enumerate(state[n_best + 1 :]):
        v.store(slot, slots_at, p * slots_line)
    builder.ret_void()
    return function


@intrinsic
def sweep_panels(
    typing_context: Any, tag: Any, n_best: Any, block: Any, panels: Any, starts: Any, depth: Any,
    which: Any, first: Any, values: Any, slots: Any, nearest: Any,
) -> Any:  # fmt: skip
    """Compare a block with at least one panel and update the smallest values of each lane.

    value = start[r] + Σ_k panel[k, r]*block[k, lane], with an error of half of 2^ROW_BITS units in
    the last place. ``n_best`` is 1 or 2; bit i of ``which`` selects panel first + i. Addresses are
    those of numbers (depth, lanes), (G, depth, PANEL_ROWS) and (G, PANEL_ROWS); ``values``
    (VALUES, lanes), the n_best + 1 smallest so far, ascending; ``slots`` (2, lanes) int32, the
    as panel << ROW_BITS | row, of the n_best smallest; ``nearest`` (G, lanes), filled with the
    smallest value of each panel.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        is_one = builder.icmp_signed("==", arguments[1], word(1))
        with builder.if_else(is_one) as branches:
            for n_best, branch in enumerate(branches, 1):
                with branch:
                    function = _sweep_function(builder.module, tag.bitwidth, n_best)
                    builder.call(function, arguments[2:])
        return context.get_dummy_value()

    return types.void(tag, *[types.int64] * 10), generate
