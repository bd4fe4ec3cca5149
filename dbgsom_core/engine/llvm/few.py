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
_CUT_OFF = 24  # bits of float64, without which 32 tell apart what lies within 16 powers of two


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
        _carry(done, 0, entry, done_next, body)
        _carry(total, [0.0] * v.lanes, entry, added, body)
        builder.cbranch(builder.icmp_unsigned("<", done_next, stride), body, end)
        builder.position_at_end(end)
        v.store(builder, square_root(builder, added), out, 0)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def write_keys(typing_context: Any, values: Any, n: Any, keys: Any) -> Any:
    """Write a whole number of 32 bits for each of ``n`` numbers, in the same order.

    What is larger has no smaller key. The same one have zeros, numbers that differ by less than
    2**-28 of themselves, and all that are 65,536 times the smallest other than zero, or more.

    Parameters
    ----------
    values : address
        Of ``n`` float64 numbers of at least 0.
    n : int
        A multiple of TOLD.
    keys : address
        Of (n,) uint32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, n, keys = arguments
        v = Vectors(64)
        values, keys = v.bytes_at(builder, values), v.bytes_at(builder, keys)
        wholes, halves = ir.VectorType(ADDRESS, TOLD), ir.VectorType(ir.IntType(32), TOLD)
        largest = ir.Constant(wholes, [2**32 - 1] * TOLD)
        shift = ir.Constant(wholes, [_CUT_OFF] * TOLD)
        none, a_key = ir.Constant(wholes, [-1] * TOLD), ir.Constant(ADDRESS, 1 << _CUT_OFF)

        entry, body, end = _blocks(builder)
        j, least = builder.phi(ADDRESS), builder.phi(wholes)
        bits = v.load(builder, _place(builder, values, j), 0, wholes)
        is_zero = builder.icmp_unsigned("==", bits, ir.Constant(wholes, [0] * TOLD))
        lower = _lower(builder, builder.select(is_zero, none, bits), least)
        j_next = builder.add(j, ir.Constant(ADDRESS, TOLD))
        _carry(j, 0, entry, j_next, body)
        _carry(least, [-1] * TOLD, entry, lower, body)
        builder.cbranch(builder.icmp_signed("<", j_next, n), body, end)
        builder.position_at_end(end)
        lowest, width = lower, TOLD
        while width > 1:
            width //= 2
            parts = (
                builder.shuffle_vector(lowest, lowest, _lanes(range(first, first + width)))
                for first in (0, width)
            )
            lowest = _lower(builder, *parts)
        lowest = builder.extract_element(lowest, ir.Constant(ir.IntType(32), 0))
        # One key less, which is that of zeros.
        base = splat(builder, builder.sub(_higher(builder, lowest, a_key), a_key), TOLD)

        entry, body, end = _blocks(builder)
        j = builder.phi(ADDRESS)
        bits = v.load(builder, _place(builder, values, j), 0, wholes)
        above = builder.sub(_higher(builder, bits, base), base)
        key = _lower(builder, builder.lshr(above, shift), largest)
        at = builder.gep(keys, [builder.shl(j, ir.Constant(ADDRESS, 2))])
        v.store(builder, builder.trunc(key, halves), at, 0)
        j_next = builder.add(j, ir.Constant(ADDRESS, TOLD))
        _carry(j, 0, entry, j_next, body)
        builder.cbranch(builder.icmp_signed("<", j_next, n), body, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


@intrinsic
def write_ranks(typing_context: Any, keys: Any, n: Any, first: Any, ranks: Any) -> Any:
    """Write how many of ``n`` keys are less than each of RANKED of them.

    Parameters
    ----------
    keys : address
        Of uint32, RANKED of them from ``first`` on whatever ``n`` is.
    n, first : int
        ``n`` is a multiple of TOLD.
    ranks : address
        Of (RANKED,) int32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        keys, n, first, ranks = arguments
        v = Vectors(32)
        whole = ir.IntType(32)
        wholes, step = ir.VectorType(whole, RANKED), ir.Constant(ADDRESS, 2)
        base = v.bytes_at(builder, keys)
        mine = v.load(builder, builder.gep(base, [builder.shl(first, step)]), 0, wholes)
        entry, body, end = _blocks(builder)
        j, rank = builder.phi(ADDRESS), builder.phi(wholes)
        at, more = builder.gep(base, [builder.shl(j, step)]), rank
        for i in range(TOLD):
            other = splat(builder, v.load(builder, at, 4 * i, whole), RANKED)
            less = builder.icmp_unsigned("<", other, mine)
            one_more = builder.add(more, ir.Constant(wholes, [1] * RANKED))
            more = builder.select(less, one_more, more)
        j_next = builder.add(j, ir.Constant(ADDRESS, TOLD))
        _carry(j, 0, entry, j_next, body)
        _carry(rank, [0] * RANKED, entry, more, body)
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

    Addresses: ``ranks`` are int32, ``few`` int64, ``values`` float64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(64)
        n, *addresses = arguments
        ranks, few, values, few_out, values_out = (v.bytes_at(builder, one) for one in addresses)
        entry, body, end = _blocks(builder)
        j, total = builder.phi(ADDRESS), builder.phi(ADDRESS)
        place = builder.gep(ranks, [builder.shl(j, ir.Constant(ADDRESS, 2))])
        rank = builder.zext(v.load(builder, place, 0, ir.IntType(32)), ADDRESS)
        for source, target in ((few, few_out), (values, values_out)):
            one = v.load(builder, _place(builder, source, j), 0, ADDRESS)
            v.store(builder, one, _place(builder, target, rank), 0)
        more = builder.add(total, rank)
        j_next = builder.add(j, ir.Constant(ADDRESS, 1))
        _carry(j, 0, entry, j_next, body)
        _carry(total, 0, entry, more, body)
        builder.cbranch(builder.icmp_signed("<", j_next, n), body, end)
        builder.position_at_end(end)
        return more

    return types.int64(*[types.int64] * 6), generate


def _lower(builder: Any, a: Any, b: Any) -> Any:
    # The smaller of a and b, lane by lane.
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


def _higher(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned(">", a, b), a, b)


def _lanes(lanes: Any) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), [*lanes])


def _carry(phi: Any, start: Any, entry: Any, later: Any, body: Any) -> None:
    # What a loop hands from one step to the next.
    phi.add_incoming(ir.Constant(phi.type, start), entry)
    phi.add_incoming(later, body)


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
