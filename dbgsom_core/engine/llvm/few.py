"""Vector code that compares a sample with a few prototypes, and brings numbers in order."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dbgsom_core.engine.llvm.panel import ADDRESS, LINE, Vectors, splat, square_root
from dbgsom_core.engine.llvm.transpose import transposed

TOLD = LINE // 8  # distances that are told at once, and features a step
RANKED = 32  # numbers whose ranks are told at once


@intrinsic
def write_distances_of_few(
    typing_context: Any, sample: Any, depth: Any, prototypes: Any, few: Any, out: Any
) -> Any:
    """Write the distances of a sample to TOLD prototypes, squares added by feature.

    Parameters
    ----------
    sample : address
        Of (depth,) float64.
    depth : int
        A multiple of TOLD.
    prototypes : address
        Of (K, depth) float64.
    few : address
        Of (TOLD,) int64: which prototypes.
    out : address
        Of (TOLD,) float64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sample, depth, prototypes, few, out = arguments
        v = Vectors(64)
        few, out = v.bytes_at(builder, few), v.bytes_at(builder, out)
        stride = builder.shl(depth, ir.Constant(ADDRESS, 3))
        rows = []
        for i in range(TOLD):
            row = builder.mul(v.load(builder, few, 8 * i, ADDRESS), stride)
            rows.append(builder.add(prototypes, row))
        entry, body, end = _blocks(builder)
        done, total = builder.phi(ADDRESS), builder.phi(v.reals)
        x = v.load(builder, v.bytes_at(builder, builder.add(sample, done)), 0, v.reals)
        squares = []
        for row in rows:
            w = v.load(builder, v.bytes_at(builder, builder.add(row, done)), 0, v.reals)
            step = builder.fsub(x, w)
            squares.append(builder.fmul(step, step))
        added = total
        for of_feature in transposed(builder, squares):
            added = builder.fadd(added, of_feature)
        done_next = builder.add(done, ir.Constant(ADDRESS, LINE))
        done.add_incoming(ir.Constant(ADDRESS, 0), entry)
        done.add_incoming(done_next, body)
        total.add_incoming(ir.Constant(v.reals, [0.0] * v.lanes), entry)
        total.add_incoming(added, body)
        builder.cbranch(builder.icmp_unsigned("<", done_next, stride), body, end)
        builder.position_at_end(end)
        v.store(builder, square_root(builder, added), out, 0)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def write_ranks(typing_context: Any, values: Any, n: Any, first: Any, ranks: Any) -> Any:
    """Write how many of ``n`` numbers are less than each of RANKED of them.

    Parameters
    ----------
    values : address
        Of float64 numbers, RANKED of them from ``first`` on whatever ``n`` is.
    n, first : int
    ranks : address
        Of (RANKED,) int64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, n, first, ranks = arguments
        v = Vectors(64)
        numbers, wholes = ir.VectorType(v.real, RANKED), ir.VectorType(ADDRESS, RANKED)
        base = v.bytes_at(builder, values)
        mine = v.load(builder, _place(builder, base, first), 0, numbers)
        entry, body, end = _blocks(builder)
        j, rank = builder.phi(ADDRESS), builder.phi(wholes)
        other = splat(builder, v.load(builder, _place(builder, base, j), 0, v.real), RANKED)
        less = builder.zext(builder.fcmp_ordered("<", other, mine), wholes)
        more = builder.add(rank, less)
        j_next = builder.add(j, ir.Constant(ADDRESS, 1))
        j.add_incoming(ir.Constant(ADDRESS, 0), entry)
        j.add_incoming(j_next, body)
        rank.add_incoming(ir.Constant(wholes, [0] * RANKED), entry)
        rank.add_incoming(more, body)
        builder.cbranch(builder.icmp_signed("<", j_next, n), body, end)
        builder.position_at_end(end)
        v.store(builder, more, v.bytes_at(builder, ranks), 0)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def move_to_ranks(
    typing_context: Any, n: Any, ranks: Any, few: Any, values: Any, few_out: Any, values_out: Any
) -> Any:
    """Write ``n`` >= 1 pairs where their ranks say, and return the sum of these.

    Addresses: ``few`` and ``ranks`` are int64, ``values`` float64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(64)
        n, *addresses = arguments
        ranks, few, values, few_out, values_out = (v.bytes_at(builder, one) for one in addresses)
        entry, body, end = _blocks(builder)
        j, total = builder.phi(ADDRESS), builder.phi(ADDRESS)
        rank = v.load(builder, _place(builder, ranks, j), 0, ADDRESS)
        for source, target in ((few, few_out), (values, values_out)):
            one = v.load(builder, _place(builder, source, j), 0, ADDRESS)
            v.store(builder, one, _place(builder, target, rank), 0)
        more = builder.add(total, rank)
        j_next = builder.add(j, ir.Constant(ADDRESS, 1))
        for phi, later in ((j, j_next), (total, more)):
            phi.add_incoming(ir.Constant(ADDRESS, 0), entry)
            phi.add_incoming(later, body)
        builder.cbranch(builder.icmp_signed("<", j_next, n), body, end)
        builder.position_at_end(end)
        return more

    return types.int64(*[types.int64] * 6), generate


def _place(builder: Any, base: Any, index: Any) -> Any:
    # Of a number of 8 bytes.
    return builder.gep(base, [builder.shl(index, ir.Constant(ADDRESS, 3))])


def _blocks(builder: Any) -> Any:
    # Where the code is, and the body of a loop that it goes on with, and what is behind that.
    entry, body, end = (
        builder.block,
        builder.append_basic_block("body"),
        builder.append_basic_block("behind"),
    )
    builder.branch(body)
    builder.position_at_end(body)
    return entry, body, end
