"""Vector code that compares a block of samples with one panel after the other.

There is no branch on what is found. A first epoch's samples lie in no order, so that some lane of
a block finds a nearer prototype in most panels, and a processor that guesses wrong begins the
multiplications of the next panel late. Smallest and second smallest are found by minima and
maxima alone instead, which run beside the multiplications. For that a value carries the row of its
prototype in its lowest ROW_BITS; what it is wrong by then is part of `Accuracy`.
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
    ROW_BITS,
    TOGETHER,
    VALUES,
    Vectors,
    accumulate,
    call_together,
    each_address,
)

_ROW = (1 << ROW_BITS) - 1

_INDEX = ir.IntType(32)


class _Keys(Vectors):
    # Values whose lowest bits tell the row, for one type.

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.bits = ir.VectorType(ir.IntType(bits), self.lanes)

    def _extreme(self, builder: Any, which: str, a: Any, b: Any) -> Any:
        # As one instruction: of a comparison and a selection that share their comparison LLVM
        # makes a mask, for which the multiplications would wait.
        name = f"llvm.{which}num.{self.suffix}"
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(self.reals, [self.reals] * 2), name
        )
        return builder.call(function, [a, b], fastmath=("nnan", "nsz"))

    def smaller(self, builder: Any, a: Any, b: Any) -> Any:
        """Return the smaller of a and b, which are numbers."""
        return self._extreme(builder, "min", a, b)

    def larger(self, builder: Any, a: Any, b: Any) -> Any:
        """Return the larger of a and b, which are numbers."""
        return self._extreme(builder, "max", a, b)

    def whole(self, number: int) -> Any:
        return ir.Constant(self.bits, [number] * self.lanes)

    def marked(self, builder: Any, value: Any, row: int) -> Any:
        """Return the values with their lowest bits replaced."""
        low = builder.and_(builder.bitcast(value, self.bits), self.whole(~_ROW))
        return builder.bitcast(builder.or_(low, self.whole(row)), self.reals)

    def middle(self, builder: Any, value: Any) -> Any:
        """Return the values without their row: amid those that they may have been."""
        return self.marked(builder, value, (_ROW + 1) // 2)

    def place(self, builder: Any, value: Any, panel: Any) -> Any:
        """Return panel << ROW_BITS | the row in the lowest bits."""
        row = builder.and_(builder.bitcast(value, self.bits), self.whole(_ROW))
        row = builder.trunc(row, self.indices) if self.size == 8 else row
        return builder.or_(row, self.splat(builder, panel))

    def nearest_two(self, builder: Any, values: list[Any]) -> tuple[Any, Any]:
        """Return smallest and second smallest of at least two values, lane by lane."""
        pairs = [(value, None) for value in values]
        while len(pairs) > 1:
            odd = pairs[-1:] if len(pairs) % 2 else []
            pairs = [
                self.joined(builder, *a, *b) for a, b in zip(pairs[::2], pairs[1::2], strict=False)
            ] + odd
        return pairs[0]

    def joined(self, builder: Any, a: Any, after_a: Any, b: Any, after_b: Any) -> tuple[Any, Any]:
        """Return the two smallest of two pairs; None stands for what has no second."""
        second = self.larger(builder, a, b)
        for after in (after_a, after_b):
            second = second if after is None else self.smaller(builder, second, after)
        return self.smaller(builder, a, b), second


class _Best:
    # What is known of one block, as the loop over panels carries it.

    def __init__(self, v: _Keys, builder: Any, values_at: Any, places_at: Any) -> None:
        self.v, self.values_at, self.places_at = v, values_at, places_at
        self.carried = [
            v.load(builder, values_at, 0, v.reals),
            v.load(builder, values_at, LINE, v.reals),
            v.load(builder, places_at, 0, v.indices),
        ]

    def after(self, builder: Any, carried: list[Any], panel: Any, near: Any, then: Any) -> Any:
        """Return best, second and places after a panel's two nearest."""
        best, second, places = carried
        closer = self.v.less(builder, near, best)
        places = builder.select(closer, self.v.place(builder, near, panel), places)
        return [*self.v.joined(builder, near, then, best, second), places]

    def keep(self, builder: Any, carried: list[Any]) -> None:
        best, second, places = carried
        self.v.store(builder, self.v.middle(builder, best), self.values_at, 0)
        self.v.store(builder, self.v.middle(builder, second), self.values_at, LINE)
        self.v.store(builder, places, self.places_at, 0)


def _define(module: Any, bits: int, together: int) -> Any:
    # The function for so many blocks of numbers of so many bits, defined in ``module`` once.
    name = f"dbgsom_sweep_{together}_{bits}"
    if name in module.globals:
        return module.globals[name]
    v = _Keys(bits)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 10), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panels, starts, depth, which, first, values_at, places_at, nearest_at, n_panels = (
        function.args
    )
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    line = ir.Constant(ADDRESS, LINE)
    blocks = each_address(builder, together, block, builder.mul(depth, line))
    near_at = [
        v.bytes_at(builder, a)
        for a in each_address(builder, together, nearest_at, builder.mul(n_panels, line))
    ]
    bests = [
        _Best(v, builder, v.bytes_at(builder, values), v.bytes_at(builder, places))
        for values, places in zip(
            each_address(builder, together, values_at, VALUES * LINE),
            each_address(builder, together, places_at, 4 * v.lanes),
            strict=True,
        )
    ]
    before = [which, *(value for best in bests for value in best.carried)]
    entry, loop = builder.block, function.append_basic_block("panels")
    builder.branch(loop)
    builder = ir.IRBuilder(loop)
    carried = [builder.phi(value.type) for value in before]
    left, state = carried[0], carried[1:]
    g = builder.add(first, builder.cttz(left, ir.Constant(ir.IntType(1), 1)))
    left = builder.and_(left, builder.sub(left, ir.Constant(ADDRESS, 1)))
    start = builder.mul(g, ir.Constant(ADDRESS, PANEL_ROWS * v.size))
    panel = builder.add(panels, builder.mul(start, depth))
    builder, sums = accumulate(v, builder, blocks, panel, builder.add(starts, start), depth)
    found = [
        v.nearest_two(builder, [v.marked(builder, value, r) for r, value in enumerate(of_block)])
        for of_block in sums
    ]
    nearest = [v.middle(builder, near) for near, _ in found]
    for values, base in zip(nearest, near_at, strict=True):
        v.store(builder, values, builder.gep(base, [builder.mul(g, line)]), 0)
    panel_bits = builder.trunc(builder.shl(g, ir.Constant(ADDRESS, ROW_BITS)), _INDEX)
    after = [left]
    for i, (best, (near, then)) in enumerate(zip(bests, found, strict=True)):
        after += best.after(builder, state[3 * i : 3 * i + 3], panel_bits, near, then)
    for phi, at_first, later in zip(carried, before, after, strict=True):
        phi.add_incoming(at_first, entry)
        phi.add_incoming(later, builder.block)
    end = function.append_basic_block("end")
    builder.cbranch(builder.icmp_unsigned("!=", left, ir.Constant(ADDRESS, 0)), loop, end)
    builder = ir.IRBuilder(end)
    for i, best in enumerate(bests):
        best.keep(builder, after[1 + 3 * i : 4 + 3 * i])
    builder.ret_void()
    return function


@intrinsic
def sweep_panels(
    typing_context: Any,
    one: Any,
    together: Any,
    block: Any,
    panels: Any,
    starts: Any,
    depth: Any,
    which: Any,
    first: Any,
    values: Any,
    places: Any,
    nearest: Any,
    n_panels: Any,
) -> Any:
    """Compare blocks with at least one panel and keep the best of each lane.

    value = start[r] + Σ_k panel[k, r]*block[k, lane], wrong by half the numbers that ROW_BITS can
    tell apart. What a block gets does not depend on whether it is compared alone.

    Parameters
    ----------
    one : scalar of the dtype
    together : int
        1 or TOGETHER: how many blocks (C) that follow each other.
    block, panels, starts : address
        Of (C, depth, lanes), (G, depth, PANEL_ROWS) and (G, PANEL_ROWS) numbers.
    depth : int
    which, first : int
        Bit i of ``which`` stands for panel first + i.
    values : address
        Of (C, VALUES, lanes) numbers: smallest and second smallest value so far, lowered.
    places : address
        Of (C, lanes) int32: panel << ROW_BITS | row of the smallest value, updated.
    nearest : address
        Of (C, G, lanes) numbers: filled with the smallest value of each panel compared.
    n_panels : int
        G.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, module = signature.args[0].bitwidth, builder.module
        alone, several = _define(module, bits, 1), _define(module, bits, TOGETHER)
        call_together(builder, arguments[1], alone, several, arguments[2:])
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 11), generate
