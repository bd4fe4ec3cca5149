"""Vector code for the inner loop of the search, written as LLVM instructions.

Numba keeps no small array in registers, so a loop that it compiles from Python reads and writes
its accumulators in memory. Here they are values: one vector of samples for each prototype of a
panel. LLVM gives each a register and folds the load of the prototype's entry into the
multiplication, which reaches the speed of a matrix product; where it does not, two blocks share
the load.

A *block* holds as many samples as a cache line holds numbers, one in each *lane*: (D, lanes), so
entry k of all of them is one load. A *panel* holds PANEL_ROWS prototypes, (D, PANEL_ROWS). D is
a multiple of UNROLL. Addresses are passed as integers; the dtype is that of the scalar ``one``.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line, and of the widest vector register
UNROLL = 4  # features a step of the inner loop


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
_PLACES = 2  # best prototypes of a sample that are told at once
_AHEAD = 2048  # bytes of a panel that are asked for before their turn

ADDRESS = ir.IntType(64)
_INDEX = ir.IntType(32)
_BYTE = ir.IntType(8)


class Vectors:
    """Instructions on vectors of one real type, a cache line long."""

    def __init__(self, bits: int) -> None:
        self.size = bits // 8
        self.lanes = LINE // self.size
        self.real = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.reals = ir.VectorType(self.real, self.lanes)
        self.indices = ir.VectorType(_INDEX, self.lanes)
        self.suffix = f"v{self.lanes}f{bits}"

    def splat(self, builder: Any, scalar: Any) -> Any:
        """Return a vector with the scalar in every lane."""
        return splat(builder, scalar, self.lanes)

    def bytes_at(self, builder: Any, address: Any) -> Any:
        """Return the byte pointer for an address that is an integer."""
        return builder.inttoptr(address, _BYTE.as_pointer())

    def at(self, builder: Any, base: Any, offset: int, kind: Any) -> Any:
        """Return a pointer to ``kind``, ``offset`` bytes behind the byte pointer ``base``."""
        place = builder.gep(base, [ir.Constant(ADDRESS, offset)])
        return builder.bitcast(place, kind.as_pointer())

    def load(self, builder: Any, base: Any, offset: int, kind: Any) -> Any:
        """Return what lies ``offset`` bytes behind ``base``."""
        align = 4 if kind in (_INDEX, self.indices) else self.size
        return builder.load(self.at(builder, base, offset, kind), align=align)

    def store(self, builder: Any, value: Any, base: Any, offset: int) -> None:
        """Write a vector ``offset`` bytes behind ``base``."""
        align = 4 if value.type == self.indices else self.size
        builder.store(value, self.at(builder, base, offset, value.type), align=align)

    def fetch(self, builder: Any, base: Any, offset: int, near: int = 3) -> None:
        """Ask for the cache line ``offset`` bytes behind ``base``, which need not exist.

        ``near`` 3 is for the first cache, 2 for the second.
        """
        function = builder.module.globals.get("llvm.prefetch.p0i8") or ir.Function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _INDEX, _INDEX, _INDEX]),
            "llvm.prefetch.p0i8",
        )
        place = builder.gep(base, [ir.Constant(ADDRESS, offset)])
        builder.call(function, [place, *(ir.Constant(_INDEX, flag) for flag in (0, near, 1))])

    def less(self, builder: Any, a: Any, b: Any) -> Any:
        """Return the mask of a < b."""
        return builder.fcmp_ordered("<", a, b)

    def smaller(self, builder: Any, a: Any, b: Any) -> Any:
        """Return the smaller of a and b, lane by lane."""
        return builder.select(self.less(builder, a, b), a, b)

    def larger(self, builder: Any, a: Any, b: Any) -> Any:
        """Return the larger of a and b, lane by lane."""
        return builder.select(self.less(builder, a, b), b, a)

    def any(self, builder: Any, mask: Any) -> Any:
        """Say whether the mask holds in some lane."""
        bits = ir.IntType(self.lanes)
        return builder.icmp_unsigned("!=", builder.bitcast(mask, bits), ir.Constant(bits, 0))


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """Return a vector of so many lanes with the scalar in each."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INDEX, 0))
    zeros = ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


def square_root(builder: Any, values: Any) -> Any:
    """Return the square roots of a vector of reals."""
    bits = 32 if values.type.element == ir.FloatType() else 64
    name = f"llvm.sqrt.v{values.type.count}f{bits}"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(values.type, [values.type]), name
    )
    return builder.call(function, [values])


def each_address(builder: Any, together: int, first: Any, apart: Any) -> list[Any]:
    """Return the addresses of what each block has, so many bytes apart."""
    apart = ir.Constant(ADDRESS, apart) if isinstance(apart, int) else apart
    each = [first]
    for _ in range(together - 1):
        each.append(builder.add(each[-1], apart))
    return each


def accumulate(
    vectors: Vectors, builder: Any, blocks: list[Any], panel: Any, start: Any, depth: Any
) -> Any:
    """Write the loop over features.

    Returns the builder behind it and, for each block, one sum for each prototype.
    """
    function = builder.function
    lines = [vectors.bytes_at(builder, address) for address in blocks]
    w, h = (vectors.bytes_at(builder, address) for address in (panel, start))
    fma = builder.module.globals.get(f"llvm.fma.{vectors.suffix}") or ir.Function(
        builder.module,
        ir.FunctionType(vectors.reals, [vectors.reals] * 3),
        f"llvm.fma.{vectors.suffix}",
    )
    first = [
        vectors.splat(builder, vectors.load(builder, h, r * vectors.size, vectors.real))
        for r in range(PANEL_ROWS)
    ]
    entry, body, end = (
        builder.block,
        function.append_basic_block("features"),
        function.append_basic_block("summed"),
    )
    builder.branch(body)
    builder = ir.IRBuilder(body)
    k, wk = builder.phi(ADDRESS), builder.phi(w.type)
    places = [builder.phi(x.type) for x in lines]
    carried = [[builder.phi(vectors.reals) for _ in first] for _ in lines]
    sums: list[list[Any]] = [list(of_block) for of_block in carried]
    for line in range(0, UNROLL * PANEL_ROWS * vectors.size, LINE):
        vectors.fetch(builder, wk, _AHEAD + line)
    for u in range(UNROLL):
        samples = [vectors.load(builder, xk, u * LINE, vectors.reals) for xk in places]
        for r in range(PANEL_ROWS):
            offset = (u * PANEL_ROWS + r) * vectors.size
            entry_of_w = vectors.splat(builder, vectors.load(builder, wk, offset, vectors.real))
            for of_block, x in zip(sums, samples, strict=True):
                of_block[r] = builder.call(fma, [entry_of_w, x, of_block[r]])
    k_next = builder.add(k, ir.Constant(ADDRESS, UNROLL))
    step = ir.Constant(ADDRESS, UNROLL * LINE)
    w_next = builder.gep(wk, [ir.Constant(ADDRESS, UNROLL * PANEL_ROWS * vectors.size)])
    x_next = [builder.gep(xk, [step]) for xk in places]
    sums_next = [
        pair
        for c, of_block in zip(carried, sums, strict=True)
        for pair in zip(c, first, of_block, strict=True)
    ]
    for phi, at_first, later in (
        (k, ir.Constant(ADDRESS, 0), k_next),
        (wk, w, w_next),
        *zip(places, lines, x_next, strict=True),
        *sums_next,
    ):
        phi.add_incoming(at_first, entry)
        phi.add_incoming(later, body)
    builder.cbranch(builder.icmp_unsigned("<", k_next, depth), body, end)
    return ir.IRBuilder(end), sums


def _define(module: Any, bits: int, together: int) -> Any:
    # The function of `compare_panel_two` for so many blocks, defined in ``module`` once.
    name = f"dbgsom_panel_{together}_{bits}"
    if name in module.globals:
        return module.globals[name]
    v = Vectors(bits)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 10), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panel, start, depth, values, rows, ids, slack, nearest, n_panels = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    line = ir.Constant(ADDRESS, LINE)
    blocks = each_address(builder, together, block, builder.mul(depth, line))
    builder, sums = accumulate(v, builder, blocks, panel, start, depth)
    ids = v.bytes_at(builder, ids)
    for of_block, *addresses in zip(
        sums,
        each_address(builder, together, values, VALUES * LINE),
        each_address(builder, together, rows, _PLACES * v.lanes * 4),
        each_address(builder, together, slack, SLACKS * LINE),
        each_address(builder, together, nearest, builder.mul(n_panels, line)),
        strict=True,
    ):
        pointers = [v.bytes_at(builder, address) for address in addresses]
        builder = _insert(v, builder, of_block, ids, *pointers)
    builder.ret_void()
    return function


def _insert(
    v: Vectors,
    builder: Any,
    sums: list[Any],
    ids: Any,
    values_at: Any,
    rows_at: Any,
    slack_at: Any,
    nearest_at: Any,
) -> Any:
    # Take a panel's sums over into the best of one block; returns the builder behind that.
    function, nearest = builder.function, sums
    while len(nearest) > 1:
        odd = nearest[-1:] if len(nearest) % 2 else []
        pairs = zip(nearest[::2], nearest[1::2], strict=False)
        nearest = [v.smaller(builder, a, b) for a, b in pairs] + odd
    v.store(builder, nearest[0], nearest_at, 0)
    values = [v.load(builder, values_at, p * LINE, v.reals) for p in range(VALUES)]
    enters, leaves = function.append_basic_block("enters"), function.append_basic_block("leaves")
    # Rare once the nearest panels have been seen: some lane finds a place for a newcomer.
    slack = v.load(builder, slack_at, 0, v.reals)
    # Whether or not the best have been seen before, what lies within the slack of them comes in.
    limit = builder.fadd(values[_PLACES - 1], slack)
    is_rival = builder.fcmp_ordered("<=", nearest[0], limit)
    builder.cbranch(v.any(builder, is_rival), enters, leaves)
    builder = ir.IRBuilder(enters)
    rows = [v.load(builder, rows_at, p * v.lanes * 4, v.indices) for p in range(_PLACES)]
    for r, value in enumerate(sums):
        row = v.splat(builder, v.load(builder, ids, r * 4, _INDEX))
        # Insert into the ascending list. Only minima and maxima wait for the row before: selecting
        # by masks would make each row wait for a comparison as well.
        before = [v.less(builder, value, other) for other in values[:_PLACES]]
        for p in range(_PLACES, -1, -1):
            rest = v.larger(builder, values[p - 1], value) if p else value
            values[p] = v.smaller(builder, values[p], rest)
        for p in range(_PLACES - 1, -1, -1):
            here = builder.select(before[p], row, rows[p])
            rows[p] = builder.select(before[p - 1], rows[p - 1], here) if p else here
    for p in range(VALUES):
        v.store(builder, values[p], values_at, p * LINE)
    for p in range(_PLACES):
        v.store(builder, rows[p], rows_at, p * v.lanes * 4)
    builder.branch(leaves)
    return ir.IRBuilder(leaves)


def call_together(builder: Any, together: Any, alone: Any, several: Any, arguments: Any) -> Any:
    """Write a call of ``alone`` where ``together`` is 1, else of ``several``, if there is such."""
    if TOGETHER == 1:
        return builder.call(alone, arguments)
    is_one = builder.icmp_signed("==", together, ir.Constant(ADDRESS, 1))
    answers = []
    with builder.if_else(is_one) as branches:
        for branch, function in zip(branches, (alone, several), strict=True):
            with branch:
                answers.append((builder.call(function, arguments), builder.block))
    if isinstance(answers[0][0].type, ir.VoidType):
        return None
    answer = builder.phi(answers[0][0].type)
    for value, block in answers:
        answer.add_incoming(value, block)
    return answer


@intrinsic
def compare_panel_two(
    typing_context: Any,
    one: Any,
    together: Any,
    block: Any,
    panel: Any,
    start: Any,
    depth: Any,
    values: Any,
    rows: Any,
    ids: Any,
    slack: Any,
    nearest: Any,
    n_panels: Any,
) -> Any:
    """Compare blocks with a panel and keep the two best of each lane.

    value = start[r] + Σ_k panel[k, r]*block[k, lane].

    Parameters
    ----------
    one : scalar of the dtype
    together : int
        1 or TOGETHER: how many blocks (C) that follow each other.
    block, panel, start : address
        Of (C, depth, lanes), (depth, PANEL_ROWS) and (PANEL_ROWS,) numbers.
    depth : int
    values : address
        Of (C, VALUES, lanes) numbers: the smallest values so far, ascending, lowered. The third may
        be too large where it lies farther from the second than the slack.
    rows : address
        Of (C, 2, lanes) int32: the prototypes with the smallest values, updated.
    ids : address
        Of (PANEL_ROWS,) int32: which prototypes the panel holds.
    slack : address
        Of (C, SLACKS, lanes) numbers, first: how close is too close to call.
    nearest : address
        Of (C, G, lanes) numbers, from this panel on: filled with the smallest value in it.
    n_panels : int
        G.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, module = signature.args[0].bitwidth, builder.module
        alone, several = _define(module, bits, 1), _define(module, bits, TOGETHER)
        call_together(builder, arguments[1], alone, several, arguments[2:])
        return context.get_dummy_value()

    return types.void(one, *[types.int64] * 11), generate


@intrinsic
def lanes_of(typing_context: Any, one: Any) -> Any:
    """Return how many numbers of a dtype a cache line holds, as a constant for the compiler."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ADDRESS, LINE * 8 // signature.args[0].bitwidth)

    return types.int64(one), generate
