"""Vector code for the inner loop of the search, written as LLVM instructions.

Numba keeps no small array in registers, so a loop that it compiles from Python reads and writes
its accumulators in memory. Here they are values: one vector of samples for each prototype of a
panel. LLVM gives each a register and folds the load of the prototype's entry into the
multiplication, which reaches the speed of a matrix product; where it does not, two blocks share
the load.

A *block* holds as many samples as a cache line holds numbers, one in each *lane*: (D, lanes), so
entry k of all of them is one load. A *panel* holds PANEL_ROWS prototypes, (D, PANEL_ROWS). D is
a multiple of UNROLL. Addresses are passed as integers; the dtype is that of the scalar ``tag``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line, and of the widest vector register
UNROLL = 4  # features a step of the inner loop
CHAINS = 2  # sums of one distance that do not wait for each other


def _is_wide() -> bool:
    # Whether there are 32 registers of 64 bytes, with AVX-512, or else 16 of 32.
    features = config.CPU_FEATURES
    if features is not None:
        return "+avx512f" in features
    named = config.CPU_NAME not in (None, "host")
    return not named and bool(llvm.get_host_cpu_features().get("avx512f", False))


def _blocks_together() -> int:
    # A processor that multiplies wide vectors as often as it loads some waits for the loads unless
    # each entry of a prototype is used twice. Zen 4 multiplies half as often, and without AVX-512
    # a block is two vectors anyway.
    name = config.CPU_NAME or "host"
    name = llvm.get_host_cpu_name() if name == "host" else name
    return 2 if _is_wide() and name != "znver4" else 1


# A panel's accumulators must fit the registers.
PANEL_ROWS = 8 if _is_wide() else 6
ROW_BITS = 3  # that tell the rows of a panel apart
assert PANEL_ROWS <= 1 << ROW_BITS
TOGETHER = _blocks_together()  # blocks that are compared with a panel at once, 2 at most

VALUES, SLACKS = 3, 2  # lines of a block's values, the last one to spare, and of its slack
_AHEAD = 2048  # bytes of a panel that are asked for before their turn

ADDRESS = ir.IntType(64)
_INDEX = ir.IntType(32)
_BYTE = ir.IntType(8)


class Vectors:
    """Instructions on vectors of one real type, a cache line long, at a place in the code."""

    def __init__(self, bits: int, builder: Any) -> None:
        self.size, self.builder = bits // 8, builder
        self.lanes = LINE // self.size
        self.real = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.reals = ir.VectorType(self.real, self.lanes)
        self.indices = ir.VectorType(_INDEX, self.lanes)
        self.wholes = ir.VectorType(ADDRESS, self.lanes)

    def splat(self, scalar: Any) -> Any:
        """Return a vector with the scalar in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_INDEX, 0))
        zeros = ir.Constant(self.indices, [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def bytes_at(self, address: Any) -> Any:
        """Return the byte pointer for an address that is an integer."""
        return self.builder.inttoptr(address, _BYTE.as_pointer())

    def at(self, base: Any, offset: int, kind: Any) -> Any:
        """Return a pointer to ``kind``, ``offset`` bytes behind the byte pointer ``base``."""
        place = self.builder.gep(base, [ir.Constant(ADDRESS, offset)])
        return self.builder.bitcast(place, kind.as_pointer())

    def load(self, base: Any, offset: int, kind: Any) -> Any:
        """Return what lies ``offset`` bytes behind ``base``."""
        align = 4 if kind in (_INDEX, self.indices) else self.size
        return self.builder.load(self.at(base, offset, kind), align=align)

    def store(self, value: Any, base: Any, offset: int) -> None:
        """Write a vector ``offset`` bytes behind ``base``."""
        align = 4 if value.type == self.indices else self.size
        self.builder.store(value, self.at(base, offset, value.type), align=align)

    def fetch(self, base: Any, offset: int, near: int = 3) -> None:
        """Fetch the cache line ``offset`` bytes behind ``base``, which need not exist.

        ``near`` 3 is for the first cache, 2 for the second.
        """
        place = self.builder.gep(base, [ir.Constant(ADDRESS, offset)])
        flags = [ir.Constant(_INDEX, flag) for flag in (0, near, 1)]
        call(self.builder, "prefetch", "p0i8", ir.VoidType(), place, *flags)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a*b + c, rounded once."""
        return call(self.builder, "fma", suffix_of(a.type), a.type, a, b, c)

    def less(self, a: Any, b: Any) -> Any:
        """Return the mask of a < b."""
        return self.builder.fcmp_ordered("<", a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        """Return the smaller of a and b, lane by lane."""
        return self.builder.select(self.less(a, b), a, b)

    def larger(self, a: Any, b: Any) -> Any:
        """Return the larger of a and b, lane by lane."""
        return self.builder.select(self.less(a, b), b, a)


def suffix_of(vector: Any) -> str:
    """Return what names of LLVM's functions of such vectors of reals end with."""
    return f"v{vector.count}f{32 if vector.element == ir.FloatType() else 64}"


def call(builder: Any, name: str, suffix: str, kind: Any, *given: Any, **flags: Any) -> Any:
    """Call LLVM's function of a name and a suffix, which returns a ``kind``."""
    whole, module = f"llvm.{name}.{suffix}", builder.module
    function = module.globals.get(whole) or ir.Function(
        module, ir.FunctionType(kind, [value.type for value in given]), whole
    )
    return builder.call(function, given, **flags)


def square_root(builder: Any, values: Any) -> Any:
    """Return the square roots of a vector of reals."""
    return call(builder, "sqrt", suffix_of(values.type), values.type, values)


def each_address(builder: Any, together: int, first: Any, apart: Any) -> list[Any]:
    """Return the addresses of what each block has, so many bytes apart."""
    apart = ir.Constant(ADDRESS, apart) if isinstance(apart, int) else apart
    each = [first]
    for _ in range(together - 1):
        each.append(builder.add(each[-1], apart))
    return each


def variables(builder: Any, values: Sequence[Any]) -> list[Any]:
    """Return where values are kept that a loop changes; LLVM gives each a register."""
    return [cgutils.alloca_once_value(builder, value) for value in values]


def accumulate(v: Vectors, blocks: list[Any], panel: Any, start: Any, depth: Any) -> Any:
    """Write the loop over features; return, for each block, one sum for each prototype."""
    builder = v.builder
    lines = [v.bytes_at(address) for address in blocks]
    w, h = (v.bytes_at(address) for address in (panel, start))
    first = [v.splat(v.load(h, r * v.size, v.real)) for r in range(PANEL_ROWS)]
    sums = [variables(builder, first) for _ in lines]
    none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
    with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
        along = builder.mul(k, ir.Constant(ADDRESS, LINE))
        here = [builder.gep(line, [along]) for line in lines]
        wk = builder.gep(w, [builder.mul(k, ir.Constant(ADDRESS, PANEL_ROWS * v.size))])
        for line in range(0, UNROLL * PANEL_ROWS * v.size, LINE):
            v.fetch(wk, _AHEAD + line)
        totals = [[builder.load(total) for total in of_block] for of_block in sums]
        for u in range(UNROLL):
            samples = [v.load(x, u * LINE, v.reals) for x in here]
            for r in range(PANEL_ROWS):
                offset = (u * PANEL_ROWS + r) * v.size
                entry = v.splat(v.load(wk, offset, v.real))
                for of_block, x in zip(totals, samples, strict=True):
                    of_block[r] = v.fma(entry, x, of_block[r])
        for of_block, places in zip(totals, sums, strict=True):
            for total, place in zip(of_block, places, strict=True):
                builder.store(total, place)
    return [[builder.load(total) for total in of_block] for of_block in sums]


def call_either(builder: Any, condition: Any, calls: Sequence[Callable[[], Any]]) -> Any:
    """Write the first of two calls where the condition holds, else the second."""
    answers = []
    with builder.if_else(condition) as branches:
        for branch, call in zip(branches, calls, strict=True):
            with branch:
                answers.append((call(), builder.block))
    if answers[0][0] is None or isinstance(answers[0][0].type, ir.VoidType):
        return None
    answer = builder.phi(answers[0][0].type)
    for value, block in answers:
        answer.add_incoming(value, block)
    return answer


# There is no branch on what is found. A first epoch's samples lie in no order, so that some lane of
# a block finds a nearer prototype in most panels, and a processor that guesses wrong begins the
# multiplications of the next panel late. Smallest and second smallest are found by minima and
# maxima alone instead, which run beside the multiplications. For that a value carries the row of
# its prototype in its lowest ROW_BITS; what it is wrong by then is part of `Accuracy`.

_ROW = (1 << ROW_BITS) - 1


class _Keys(Vectors):
    # Values whose lowest bits tell the row, for one type.

    def __init__(self, bits: int, builder: Any) -> None:
        super().__init__(bits, builder)
        self.bits = ir.VectorType(ir.IntType(bits), self.lanes)

    def _extreme(self, which: str, a: Any, b: Any) -> Any:
        # As one instruction: of a comparison and a selection that share their comparison LLVM
        # makes a mask, for which the multiplications would wait.
        flags = ("nnan", "nsz")
        return call(self.builder, f"{which}num", suffix_of(a.type), a.type, a, b, fastmath=flags)

    def smaller(self, a: Any, b: Any) -> Any:
        """Return the smaller of a and b, which are numbers."""
        return self._extreme("min", a, b)

    def larger(self, a: Any, b: Any) -> Any:
        """Return the larger of a and b, which are numbers."""
        return self._extreme("max", a, b)

    def whole(self, number: int) -> Any:
        return ir.Constant(self.bits, [number] * self.lanes)

    def marked(self, value: Any, row: int) -> Any:
        """Return the values with their lowest bits replaced."""
        low = self.builder.and_(self.builder.bitcast(value, self.bits), self.whole(~_ROW))
        return self.builder.bitcast(self.builder.or_(low, self.whole(row)), self.reals)

    def middle(self, value: Any) -> Any:
        """Return the values without their row: amid those that they may have been."""
        return self.marked(value, (_ROW + 1) // 2)

    def place(self, value: Any, panel: Any) -> Any:
        """Return panel << ROW_BITS | the row in the lowest bits."""
        row = self.builder.and_(self.builder.bitcast(value, self.bits), self.whole(_ROW))
        row = self.builder.trunc(row, self.indices) if self.size == 8 else row
        return self.builder.or_(row, self.splat(panel))

    def nearest_two(self, values: list[Any]) -> tuple[Any, Any]:
        """Return smallest and second smallest of at least two values, lane by lane."""
        pairs = [(value, None) for value in values]
        while len(pairs) > 1:
            odd = pairs[-1:] if len(pairs) % 2 else []
            pairs = [
                self.joined(*a, *b) for a, b in zip(pairs[::2], pairs[1::2], strict=False)
            ] + odd
        return pairs[0]

    def joined(self, a: Any, after_a: Any, b: Any, after_b: Any) -> tuple[Any, Any]:
        """Return the two smallest of two pairs; None stands for what has no second."""
        second = self.larger(a, b)
        for after in (after_a, after_b):
            second = second if after is None else self.smaller(second, after)
        return self.smaller(a, b), second


class _Best:
    # The ``n_best`` nearest of one block, 1 or 2, as the loop over panels carries them: the
    # ``n_best`` + 1 smallest values and the places of all but the last.

    def __init__(self, v: _Keys, values_at: Any, places_at: Any, n_best: int) -> None:
        self.v, self.values_at, self.places_at, self.n_best = v, values_at, places_at, n_best
        self.carried = [
            *(v.load(values_at, p * LINE, v.reals) for p in range(n_best + 1)),
            *(v.load(places_at, p * 4 * v.lanes, v.indices) for p in range(n_best)),
        ]

    def after(self, carried: list[Any], panel: Any, marked: list[Any]) -> list[Any]:
        """Return what is carried on after a panel's values, and the smallest of these."""
        v = self.v
        near, then = v.nearest_two(marked)
        if self.n_best == 1:
            best, second, places = carried
            closer = v.less(near, best)
            places = v.builder.select(closer, v.place(near, panel), places)
            return [near, *v.joined(near, then, best, second), places]
        values, places = carried[:3], carried[3:]
        for value in marked:
            place = v.place(value, panel)
            closer, close = (v.less(value, other) for other in values[:2])
            second = v.builder.select(close, place, places[1])
            places = [
                v.builder.select(closer, place, places[0]),
                v.builder.select(closer, places[0], second),
            ]
            rest = v.larger(values[1], value)
            middle = v.smaller(values[1], v.larger(values[0], value))
            values = [v.smaller(values[0], value), middle, v.smaller(values[2], rest)]
        return [near, *values, *places]

    def keep(self, carried: list[Any]) -> None:
        v = self.v
        for p, value in enumerate(carried[: self.n_best + 1]):
            v.store(v.middle(value), self.values_at, p * LINE)
        for p, place in enumerate(carried[self.n_best + 1 :]):
            v.store(place, self.places_at, p * 4 * v.lanes)


def _define(module: Any, bits: int, n_best: int, together: int) -> Any:
    # The function for so many blocks of numbers of so many bits, defined in ``module`` once.
    name = f"dbgsom_sweep_{n_best}_{together}_{bits}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 10), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panels, starts, depth, which, first, values_at, places_at, nearest_at, n_panels = (
        function.args
    )
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    v, line = _Keys(bits, builder), ir.Constant(ADDRESS, LINE)
    blocks = each_address(builder, together, block, builder.mul(depth, line))
    near_at = [
        v.bytes_at(a)
        for a in each_address(builder, together, nearest_at, builder.mul(n_panels, line))
    ]
    bests = [
        _Best(v, v.bytes_at(values), v.bytes_at(places), n_best)
        for values, places in zip(
            each_address(builder, together, values_at, VALUES * LINE),
            each_address(builder, together, places_at, 2 * 4 * v.lanes),
            strict=True,
        )
    ]
    left_at, *state_at = variables(
        builder, [which, *(value for best in bests for value in best.carried)]
    )
    loop, end = function.append_basic_block("panels"), function.append_basic_block("end")
    builder.branch(loop)
    builder.position_at_end(loop)
    left, state = builder.load(left_at), [builder.load(place) for place in state_at]
    g = builder.add(first, builder.cttz(left, ir.Constant(ir.IntType(1), 1)))
    left = builder.and_(left, builder.sub(left, ir.Constant(ADDRESS, 1)))
    start = builder.mul(g, ir.Constant(ADDRESS, PANEL_ROWS * v.size))
    panel = builder.add(panels, builder.mul(start, depth))
    sums = accumulate(v, blocks, panel, builder.add(starts, start), depth)
    panel_bits = builder.trunc(builder.shl(g, ir.Constant(ADDRESS, ROW_BITS)), _INDEX)
    after, each = [], len(bests[0].carried)
    for i, (best, of_block, base) in enumerate(zip(bests, sums, near_at, strict=True)):
        marked = [v.marked(value, r) for r, value in enumerate(of_block)]
        near, *kept = best.after(state[each * i : each * (i + 1)], panel_bits, marked)
        near = v.middle(near)
        v.store(near, builder.gep(base, [builder.mul(g, line)]), 0)
        after += kept
    for value, place in zip([left, *after], [left_at, *state_at], strict=True):
        builder.store(value, place)
    builder.cbranch(builder.icmp_unsigned("!=", left, ir.Constant(ADDRESS, 0)), loop, end)
    builder.position_at_end(end)
    for i, best in enumerate(bests):
        best.keep(after[each * i : each * (i + 1)])
    builder.ret_void()
    return function


@intrinsic
def sweep_panels(
    typing_context: Any, tag: Any, n_best: Any, together: Any, block: Any, panels: Any, starts: Any,
    depth: Any, which: Any, first: Any, values: Any, places: Any, nearest: Any, n_panels: Any,
) -> Any:  # fmt: skip
    """Compare blocks with at least one panel and keep the best one or two of each lane.

    value = start[r] + Σ_k panel[k, r]*block[k, lane], wrong by half the numbers that ROW_BITS can
    tell apart. What a block gets does not depend on whether it is compared alone. ``n_best`` is 1
    or 2, ``together`` the number C of blocks that follow each other, 1 or TOGETHER; bit i of
    ``which`` stands for panel first + i. Addresses are those of numbers (C, depth, lanes), (G,
    depth, PANEL_ROWS) and (G, PANEL_ROWS); ``values`` (C, VALUES, lanes), the n_best + 1 smallest
    so far, ascending, lowered; ``places`` (C, 2, lanes) int32, panel << ROW_BITS | row of the
    n_best smallest, updated; ``nearest`` (C, G, lanes), filled with the smallest value of each
    panel.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, module = signature.args[0].bitwidth, builder.module
        _, n_best, together, *others = arguments

        def call_sweep(*kind: int) -> Any:
            return builder.call(_define(module, bits, *kind), others)

        def sweep(best: int) -> Any:
            if TOGETHER == 1:
                return call_sweep(best, 1)
            is_alone = builder.icmp_signed("==", together, ir.Constant(ADDRESS, 1))
            both = [partial(call_sweep, best, 1), partial(call_sweep, best, TOGETHER)]
            return call_either(builder, is_alone, both)

        is_one = builder.icmp_signed("==", n_best, ir.Constant(ADDRESS, 1))
        call_either(builder, is_one, [partial(sweep, 1), partial(sweep, 2)])
        return context.get_dummy_value()

    return types.void(tag, *[types.int64] * 12), generate


def accumulate_rows(
    v: Vectors, block: Any, rows: list[Any], starts: list[Any], depth: Any
) -> list[Any]:
    """Do as `accumulate` for one block and prototypes (depth,) that lie apart."""
    builder = v.builder
    zero = ir.Constant(v.reals, [0.0] * v.lanes)
    sums = [variables(builder, [start] + [zero] * (CHAINS - 1)) for start in starts]
    none, step = ir.Constant(ADDRESS, 0), ir.Constant(ADDRESS, UNROLL)
    with cgutils.for_range_slice(builder, none, depth, step) as (k, _):
        here = builder.gep(block, [builder.mul(k, ir.Constant(ADDRESS, LINE))])
        along = builder.mul(k, ir.Constant(ADDRESS, v.size))
        totals = [[builder.load(total) for total in chains] for chains in sums]
        for u in range(UNROLL):
            samples = v.load(here, u * LINE, v.reals)
            for chains, row in zip(totals, rows, strict=True):
                number = v.load(builder.gep(row, [along]), u * v.size, v.real)
                chain = chains[u % CHAINS]
                chains[u % CHAINS] = v.fma(v.splat(number), samples, chain)
        for chains, places in zip(totals, sums, strict=True):
            for total, place in zip(chains, places, strict=True):
                builder.store(total, place)
    return [reduce(builder.fadd, [builder.load(total) for total in chains]) for chains in sums]


def _define_links(module: Any, bits: int, links: int) -> Any:
    # The function of `nearest_of_links`, defined in ``module`` once.
    name = f"dbgsom_sides_{links}_{bits}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ADDRESS, [ADDRESS] * 8), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, depth, rows_at, halves_at, ids_at, slack_at, lanes, found_at = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    v = Vectors(bits, builder)
    rows_at, halves_at, ids_at, slack_at, found_at = (
        v.bytes_at(address) for address in (rows_at, halves_at, ids_at, slack_at, found_at)
    )
    stride = builder.mul(depth, ir.Constant(ADDRESS, v.size))
    neurons, rows, starts = [], [], []
    for side in range(links):
        neuron = v.load(ids_at, side * 4, _INDEX)
        nobody = builder.icmp_signed("<", neuron, ir.Constant(_INDEX, 0))
        some = builder.sext(builder.select(nobody, ir.Constant(_INDEX, 0), neuron), ADDRESS)
        half = builder.gep(halves_at, [builder.mul(some, ir.Constant(ADDRESS, v.size))])
        start = v.load(half, 0, v.real)
        start = builder.select(nobody, ir.Constant(v.real, float("inf")), start)
        neurons.append(v.splat(neuron))
        rows.append(builder.gep(rows_at, [builder.mul(some, stride)]))
        starts.append(v.splat(start))
    values = accumulate_rows(v, v.bytes_at(block), rows, starts, depth)
    best, nearest = values[0], neurons[0]
    for value, neuron in zip(values[1:], neurons[1:], strict=True):
        nearest = builder.select(v.less(value, best), neuron, nearest)
        best = v.smaller(best, value)
    limit = builder.fadd(best, v.load(slack_at, 0, v.reals))
    one, several = None, None
    for value in values:
        close = builder.fcmp_ordered("<=", value, limit)
        if one is None:
            one, several = close, ir.Constant(close.type, [0] * v.lanes)
            continue
        several = builder.or_(several, builder.and_(one, close))
        one = builder.or_(one, close)
    bits_of = ir.IntType(v.lanes)
    chosen = builder.bitcast(builder.trunc(lanes, bits_of), ir.VectorType(ir.IntType(1), v.lanes))
    before = v.load(found_at, 0, v.indices)
    v.store(builder.select(chosen, nearest, before), found_at, 0)
    doubtful = builder.bitcast(builder.and_(several, chosen), bits_of)
    builder.ret(builder.zext(doubtful, ADDRESS))
    return function


@intrinsic
def nearest_of_links(
    typing_context: Any, tag: Any, degree: Any, block: Any, depth: Any, rows: Any, halves: Any,
    ids: Any, slack: Any, lanes: Any, found: Any,
) -> Any:  # fmt: skip
    """Find which of 4 or 6 linked neighbours of a unit lies nearest to some lanes of a block.

    Addresses are those of numbers (depth, lanes), of all prototypes, negated, (K, depth) and half
    their squares (K,), of the linked neighbours (degree,) int32, -1 for none, of how close is too
    close to call (lanes,); ``lanes`` has a bit for each lane that counts, in which ``found``
    (lanes,) int32 is filled. Returns a bit for each of them in which a second neighbour is too
    close to call.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def call_links(links: int) -> Any:
            function = _define_links(builder.module, signature.args[0].bitwidth, links)
            return builder.call(function, arguments[2:])

        is_square = builder.icmp_signed("==", arguments[1], ir.Constant(ADDRESS, 4))
        return call_either(builder, is_square, [partial(call_links, 4), partial(call_links, 6)])

    return types.int64(tag, *[types.int64] * 9), generate
