"""Vector code for the linked neighbours of a unit: which of four, or of six, lies nearest."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.tile import ADDRESS, LINE, UNROLL, Vectors

_INDEX = ir.IntType(32)
_CHAINS = 2  # sums of a side that do not wait for each other


def _accumulate(v: Vectors, function: Any, rows: list[Any], starts: list[Any]) -> Any:
    # The loop over features; returns (builder behind it, one sum for each side).
    entry = ir.IRBuilder(function.basic_blocks[-1])
    body, end = function.append_basic_block("features"), function.append_basic_block("end")
    x = v.bytes_at(entry, function.args[0])
    zero = ir.Constant(v.reals, [0.0] * v.lanes)
    first = [[start] + [zero] * (_CHAINS - 1) for start in starts]
    fma = function.module.globals.get(f"llvm.fma.{v.suffix}") or ir.Function(
        function.module, ir.FunctionType(v.reals, [v.reals] * 3), f"llvm.fma.{v.suffix}"
    )
    entry.branch(body)
    builder = ir.IRBuilder(body)
    k = builder.phi(ADDRESS)
    carried = [[builder.phi(v.reals) for _ in chains] for chains in first]
    sums = [list(chains) for chains in carried]
    here = builder.gep(x, [builder.mul(k, ir.Constant(ADDRESS, LINE))])
    along = builder.mul(k, ir.Constant(ADDRESS, v.size))
    for u in range(UNROLL):
        samples = v.load(builder, here, u * LINE, v.reals)
        for chains, row in zip(sums, rows, strict=True):
            number = v.load(builder, builder.gep(row, [along]), u * v.size, v.real)
            chain = u % _CHAINS
            chains[chain] = builder.call(fma, [v.splat(builder, number), samples, chains[chain]])
    following = builder.add(k, ir.Constant(ADDRESS, UNROLL))
    k.add_incoming(ir.Constant(ADDRESS, 0), entry.block)
    k.add_incoming(following, body)
    for phis, before, after in zip(carried, first, sums, strict=True):
        for phi, at_first, later in zip(phis, before, after, strict=True):
            phi.add_incoming(at_first, entry.block)
            phi.add_incoming(later, body)
    builder.cbranch(builder.icmp_unsigned("<", following, function.args[1]), body, end)
    builder = ir.IRBuilder(end)
    totals = []
    for chains in sums:
        total = chains[0]
        for chain in chains[1:]:
            total = builder.fadd(total, chain)
        totals.append(total)
    return builder, totals


def _define(module: Any, bits: int, links: int) -> Any:
    """Return the function of `nearest_of_four` or of six ``links``, defined in ``module`` once."""
    name = f"dbgsom_sides_{links}_{bits}"
    if name in module.globals:
        return module.globals[name]
    v = Vectors(bits)
    function = ir.Function(module, ir.FunctionType(ADDRESS, [ADDRESS] * 8), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    _, depth, rows_at, halves_at, ids_at, slack_at, lanes, found_at = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    rows_at, halves_at, ids_at, slack_at, found_at = (
        v.bytes_at(builder, address) for address in (rows_at, halves_at, ids_at, slack_at, found_at)
    )
    stride = builder.mul(depth, ir.Constant(ADDRESS, v.size))
    neurons, rows, starts = [], [], []
    for side in range(links):
        neuron = v.load(builder, ids_at, side * 4, _INDEX)
        nobody = builder.icmp_signed("<", neuron, ir.Constant(_INDEX, 0))
        some = builder.sext(builder.select(nobody, ir.Constant(_INDEX, 0), neuron), ADDRESS)
        half = builder.gep(halves_at, [builder.mul(some, ir.Constant(ADDRESS, v.size))])
        start = v.load(builder, half, 0, v.real)
        start = builder.select(nobody, ir.Constant(v.real, float("inf")), start)
        neurons.append(v.splat(builder, neuron))
        rows.append(builder.gep(rows_at, [builder.mul(some, stride)]))
        starts.append(v.splat(builder, start))
    builder, values = _accumulate(v, function, rows, starts)
    best, nearest = values[0], neurons[0]
    for value, neuron in zip(values[1:], neurons[1:], strict=True):
        nearest = builder.select(v.less(builder, value, best), neuron, nearest)
        best = v.smaller(builder, best, value)
    limit = builder.fadd(best, v.load(builder, slack_at, 0, v.reals))
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
    before = v.load(builder, found_at, 0, v.indices)
    v.store(builder, builder.select(chosen, nearest, before), found_at, 0)
    doubtful = builder.bitcast(builder.and_(several, chosen), bits_of)
    builder.ret(builder.zext(doubtful, ADDRESS))
    return function


@intrinsic
def nearest_of_four(
    typing_context: Any,
    one: Any,
    block: Any,
    depth: Any,
    rows: Any,
    halves: Any,
    ids: Any,
    slack: Any,
    lanes: Any,
    found: Any,
) -> Any:
    """Find which side of a unit lies nearest to some lanes of a block.

    Parameters
    ----------
    one : scalar of the dtype
    block : address
        Of (depth, lanes) numbers.
    depth : int
    rows, halves : address
        Of (K, depth) and (K,) numbers: all prototypes, negated, and half their squares.
    ids : address
        Of (4,) int32: the linked neighbours, -1 for none.
    slack : address
        Of (lanes,) numbers: how close is too close to call.
    lanes : int
        A bit for each lane that is asked about.
    found : address
        Of (lanes,) int32, filled in those lanes.

    Returns
    -------
    int
        A bit for each of the lanes in which a second side is too close to call.
    """
    return types.int64(one, *[types.int64] * 8), _caller(4)


@intrinsic
def nearest_of_six(
    typing_context: Any,
    one: Any,
    block: Any,
    depth: Any,
    rows: Any,
    halves: Any,
    ids: Any,
    slack: Any,
    lanes: Any,
    found: Any,
) -> Any:
    """Do as `nearest_of_four` for six linked neighbours."""
    return types.int64(one, *[types.int64] * 8), _caller(6)


def _caller(links: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = _define(builder.module, signature.args[0].bitwidth, links)
        return builder.call(function, arguments[1:])

    return generate
