"""Vector code that compares samples with prototypes in whole numbers, two features at a time.

Of 16 bits, whose products a processor adds up twice as fast as those of float32, and without an
error. Prototypes lie in the lanes of a block and samples in a panel, as in `expanded_tile`.
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
    TOGETHER,
    call_together,
    each_address,
    splat,
)

LANES = LINE // 4  # prototypes of a block
PAIRS = 2  # of features, a step
MANY = 64  # numbers that `up_to` and `ends_of` look at
NONE = 2**31 - 1  # the value of no prototype

_SHORT, _INT, _BYTE = ir.IntType(16), ir.IntType(32), ir.IntType(8)
_WHOLES = ir.VectorType(_INT, LANES)


def _load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    place = builder.add(address, ir.Constant(ADDRESS, offset))
    align = 2 if kind.element == _SHORT else 4
    return builder.load(builder.inttoptr(place, kind.as_pointer()), align=align)


def _store(builder: Any, values: Any, address: Any, offset: int) -> None:
    place = builder.add(address, ir.Constant(ADDRESS, offset))
    builder.store(values, builder.inttoptr(place, values.type.as_pointer()), align=4)


def _places(places: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_INT, len(places)), places)


def _of_two(builder: Any, sign: str, a: Any, b: Any) -> Any:
    # The smaller or the larger of a and b, lane by lane.
    return builder.select(builder.icmp_signed(sign, a, b), a, b)


def _products(builder: Any, a: Any, b: Any) -> Any:
    # Each pair's sum of products: one instruction, if the processor has it.
    wide = ir.VectorType(_INT, 2 * LANES)
    both = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    halves = (
        builder.shuffle_vector(both, both, _places([2 * lane + i for lane in range(LANES)]))
        for i in range(2)
    )
    return builder.add(*halves)


def _define(module: Any, together: int) -> Any:
    # The function for so many blocks, defined in ``module`` once.
    name = f"dbgsom_coarse_{together}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS] * 8), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    block, panel, pairs, norms, out, stride, lows, lows_stride = function.args
    shorts = ir.VectorType(_SHORT, 2 * LANES)
    entry, body, end = (function.append_basic_block(part) for part in ("entry", "pairs", "summed"))
    builder = ir.IRBuilder(entry)
    blocks = each_address(builder, together, block, builder.mul(pairs, ir.Constant(ADDRESS, LINE)))
    starts = [_load(builder, norms, i * LINE, _WHOLES) for i in range(together)]
    builder.branch(body)
    builder.position_at_end(body)
    done = builder.phi(ADDRESS)
    carried = [[builder.phi(_WHOLES) for _ in range(PANEL_ROWS)] for _ in blocks]
    sums: list[list[Any]] = [list(of_block) for of_block in carried]
    for u in range(PAIRS):
        pair = builder.add(done, ir.Constant(ADDRESS, u))
        line = builder.mul(pair, ir.Constant(ADDRESS, LINE))
        w = [_load(builder, builder.add(address, line), 0, shorts) for address in blocks]
        row = builder.add(panel, builder.mul(pair, ir.Constant(ADDRESS, 4 * PANEL_ROWS)))
        for r in range(PANEL_ROWS):
            place = builder.add(row, ir.Constant(ADDRESS, 4 * r))
            own = builder.load(builder.inttoptr(place, _INT.as_pointer()), align=4)
            x = builder.bitcast(splat(builder, own, LANES), shorts)
            for of_block, of_w in zip(sums, w, strict=True):
                of_block[r] = builder.add(of_block[r], _products(builder, x, of_w))
    following = builder.add(done, ir.Constant(ADDRESS, PAIRS))
    done.add_incoming(ir.Constant(ADDRESS, 0), entry)
    done.add_incoming(following, body)
    for start, at_first, later in zip(starts, carried, sums, strict=True):
        for phi, value in zip(at_first, later, strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, body)
    builder.cbranch(builder.icmp_unsigned("<", following, pairs), body, end)
    builder.position_at_end(end)
    for i, of_block in enumerate(sums):
        for r, values in enumerate(of_block):
            out_row, lows_row = (
                builder.add(first, builder.mul(apart, ir.Constant(ADDRESS, r)))
                for first, apart in ((out, stride), (lows, lows_stride))
            )
            _store(builder, values, out_row, i * LINE)
            low = _load(builder, lows_row, i * LINE, _WHOLES)
            _store(builder, _of_two(builder, "<", values, low), lows_row, i * LINE)
    builder.ret_void()
    return function


@intrinsic
def write_values(
    typing_context: Any,
    together: Any,
    block: Any,
    panel: Any,
    pairs: Any,
    norms: Any,
    out: Any,
    stride: Any,
    lows: Any,
    lows_stride: Any,
) -> Any:
    """Write values of PANEL_ROWS samples and the prototypes of blocks, and lower the lowest.

    value = norm + Σ_k (-w_k)x_k, in int32, which must not overflow.

    Parameters
    ----------
    together : int
        1 or TOGETHER: how many blocks (C) that follow each other.
    block, panel : address
        Of (C, pairs, LANES, 2) and (pairs, PANEL_ROWS, 2) int16: -w and x.
    pairs : int
        A multiple of PAIRS.
    norms : address
        Of (C, LANES) int32.
    out, stride : address and bytes
        Of the first value, and from the row of one sample to that of the next.
    lows, lows_stride : address and bytes
        The same of C*LANES numbers for each sample, of which each becomes that value, if smaller.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        alone, several = (_define(builder.module, count) for count in (1, TOGETHER))
        call_together(builder, arguments[0], alone, several, arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9), generate


@intrinsic
def up_to(typing_context: Any, address: Any, limit: Any) -> Any:
    """Return which of MANY int32 numbers from an address on are at most ``limit``, as bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, limit = arguments
        found = _load(builder, address, 0, ir.VectorType(_INT, MANY))
        limits = splat(builder, limit, MANY)
        return builder.bitcast(builder.icmp_signed("<=", found, limits), ADDRESS)

    return types.int64(types.int64, types.int32), generate


@intrinsic
def ends_of(typing_context: Any, address: Any) -> Any:
    """Return the smallest of MANY int32 numbers from an address on, and the largest below NONE."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lines = range(0, 4 * MANY, LINE)
        smallest = [_load(builder, arguments[0], line, _WHOLES) for line in lines]
        none = ir.Constant(_WHOLES, [NONE] * LANES)
        least = ir.Constant(_WHOLES, [-NONE] * LANES)
        largest = [
            builder.select(builder.icmp_signed("==", one, none), least, one) for one in smallest
        ]
        ends = (_reduced(builder, smallest, "<"), _reduced(builder, largest, ">"))
        return context.make_tuple(builder, signature.return_type, ends)

    return types.UniTuple(types.int32, 2)(types.int64), generate


def _reduced(builder: Any, vectors: list[Any], sign: str) -> Any:
    # The one number of all lanes of all vectors.
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [_of_two(builder, sign, a, b) for a, b in pairs]
    (values,), width = vectors, LANES
    while width > 1:
        width //= 2
        low, high = (
            builder.shuffle_vector(values, values, _places(list(range(first, first + width))))
            for first in (0, width)
        )
        values = _of_two(builder, sign, low, high)
    return builder.extract_element(values, ir.Constant(_INT, 0))
