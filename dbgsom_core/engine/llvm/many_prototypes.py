"""Numbers of many prototypes at once, for functions that were written for one pair.

A metric's ``scalar(x, w, params)`` adds up feature by feature; the order of a sum is part of its
result, so a compiler may not spread it over a vector register. It may be computed for PAIRS
prototypes side by side, though. Numba compiles the same function once more for a ``w`` whose
entries are `Numbers`, one number for each prototype: plain arithmetic becomes vector instructions,
everything else is done for one number after the other by the very function that a single pair
would use, so the distances are the same bits. A function that decides anything by such a number
has no type here, and is run pair by pair instead.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typeconv import Conversion
from numba.extending import (
    intrinsic,
    lower_cast,
    make_attribute_wrapper,
    overload,
    overload_attribute,
    register_jitable,
    register_model,
)

PAIRS = 16  # two vectors of eight: one sum need not wait for the other
_LINE = 64  # bytes to which rows of numbers are aligned
_VECTOR = ir.VectorType(ir.DoubleType(), PAIRS)


class _NumbersType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name=f"Numbers{PAIRS}")

    def can_convert_from(self, typing_context: Any, other: Any) -> Any:
        plain = isinstance(other, (types.Float, types.Integer, types.Boolean))
        return Conversion.safe if plain else None

    def unify(self, typing_context: Any, other: Any) -> Any:
        plain = isinstance(other, (types.Float, types.Integer, types.Boolean))
        return self if plain else None


class _RowsType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name=f"Rows{PAIRS}")


NUMBERS, ROWS = _NumbersType(), _RowsType()


@register_model(_NumbersType)
class _NumbersModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)


@register_model(_RowsType)
class _RowsModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        members = [("address", types.int64), ("size", types.int64)]
        super().__init__(manager, fe_type, members)


make_attribute_wrapper(_RowsType, "size", "size")


@lower_cast(types.Float, NUMBERS)
@lower_cast(types.Integer, NUMBERS)
@lower_cast(types.Boolean, NUMBERS)
def _spread(context: Any, builder: Any, fromty: Any, toty: Any, value: Any) -> Any:
    number = context.cast(builder, value, fromty, types.float64)
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), PAIRS), [0] * PAIRS)
    return builder.shuffle_vector(first, undefined, zeros)


# ------------------------------------------------------------------------------ prototypes as rows


@intrinsic
def rows_at(typing_context: Any, address: Any, size: Any) -> Any:
    """Return the ``w`` of PAIRS prototypes: (size, PAIRS) numbers at an aligned address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = cgutils.create_struct_proxy(ROWS)(context, builder)
        rows.address, rows.size = arguments
        return rows._getvalue()

    return ROWS(types.int64, types.int64), generate


def _place(builder: Any, base: Any, index: Any) -> Any:
    size = ir.Constant(ir.IntType(64), 8 * PAIRS)
    address = builder.add(base, builder.mul(index, size))
    return builder.inttoptr(address, _VECTOR.as_pointer())


@intrinsic
def _entry(typing_context: Any, rows: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = cgutils.create_struct_proxy(ROWS)(context, builder, value=arguments[0])
        return builder.load(_place(builder, place.address, arguments[1]), align=_LINE)

    return NUMBERS(rows, types.int64), generate


@intrinsic
def write_numbers(typing_context: Any, numbers: Any, address: Any) -> Any:
    """Write numbers, or one number for all, to an aligned address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, address = arguments
        builder.store(value, builder.inttoptr(address, _VECTOR.as_pointer()), align=_LINE)
        return context.get_dummy_value()

    return types.void(NUMBERS, types.int64), generate


@overload(operator.getitem, strict=False)
def _getitem(rows: Any, index: Any) -> Any:
    if isinstance(rows, _RowsType) and isinstance(index, types.Integer):

        def entry(rows: Any, index: Any) -> Any:
            return _entry(rows, index if index >= 0 else index + rows.size)

        return entry
    return None


@overload(len, strict=False)
def _len(rows: Any) -> Any:
    return (lambda rows: rows.size) if isinstance(rows, _RowsType) else None


@overload_attribute(_RowsType, "shape", strict=False)
def _shape(rows: Any) -> Any:
    return lambda rows: (rows.size,)


# ------------------------------------------------------------------------------------- arithmetic


def _are_numbers(*kinds: Any) -> bool:
    plain = (types.Float, types.Integer, types.Boolean)
    some = any(isinstance(kind, _NumbersType) for kind in kinds)
    return some and all(isinstance(kind, (_NumbersType, *plain)) for kind in kinds)


def _vector_operation(name: str) -> Any:
    def typed(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments)

        return NUMBERS(NUMBERS, NUMBERS), generate

    return typed


@intrinsic
def _add(typing_context: Any, a: Any, b: Any) -> Any:
    return _vector_operation("fadd")(typing_context, a, b)


@intrinsic
def _subtract(typing_context: Any, a: Any, b: Any) -> Any:
    return _vector_operation("fsub")(typing_context, a, b)


@intrinsic
def _multiply(typing_context: Any, a: Any, b: Any) -> Any:
    return _vector_operation("fmul")(typing_context, a, b)


@intrinsic
def _divide(typing_context: Any, a: Any, b: Any) -> Any:
    return _vector_operation("fdiv")(typing_context, a, b)


def _extreme(comparison: str) -> Any:
    # As numba's min and max of two numbers: the second where it compares so, else the first.
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered(comparison, b, a), b, a)

    return NUMBERS(NUMBERS, NUMBERS), generate


@intrinsic
def _smaller(typing_context: Any, a: Any, b: Any) -> Any:
    return _extreme("<")


@intrinsic
def _larger(typing_context: Any, a: Any, b: Any) -> Any:
    return _extreme(">")


@intrinsic
def _has_zero(typing_context: Any, a: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = ir.Constant(_VECTOR, [0.0] * PAIRS)
        mask = builder.fcmp_ordered("==", arguments[0], zeros)
        bits = ir.IntType(PAIRS)
        return builder.icmp_unsigned("!=", builder.bitcast(mask, bits), ir.Constant(bits, 0))

    return types.boolean(NUMBERS), generate


@intrinsic
def _negate(typing_context: Any, a: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fneg(arguments[0])

    return NUMBERS(NUMBERS), generate


def _intrinsic_function(name: str) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.{name}.v{PAIRS}f64"
        )
        return builder.call(function, arguments)

    return generate


@intrinsic
def _absolute(typing_context: Any, a: Any) -> Any:
    return NUMBERS(NUMBERS), _intrinsic_function("fabs")


@intrinsic
def _root(typing_context: Any, a: Any) -> Any:
    return NUMBERS(NUMBERS), _intrinsic_function("sqrt")


def _define(of: Callable[..., Any], by: Any, operands: int) -> None:
    if operands == 1:

        @overload(of, strict=False)
        def one(a: Any) -> Any:
            return (lambda a: by(a)) if _are_numbers(a) else None
    else:

        @overload(of, strict=False)
        def two(a: Any, b: Any) -> Any:
            return (lambda a, b: by(a, b)) if _are_numbers(a, b) else None


for _of, _by in (
    (operator.add, _add),
    (operator.iadd, _add),
    (operator.sub, _subtract),
    (operator.isub, _subtract),
    (operator.mul, _multiply),
    (operator.imul, _multiply),
    (min, _smaller),
    (max, _larger),
):
    _define(_of, _by, 2)
_ABSOLUTE: tuple[Any, ...] = (abs, math.fabs, np.abs, np.fabs)
_ROOTS: tuple[Any, ...] = (math.sqrt, np.sqrt)
for _of in _ABSOLUTE:
    _define(_of, _absolute, 1)
for _of in _ROOTS:
    _define(_of, _root, 1)
_define(operator.neg, _negate, 1)


# ------------------------------------------------------------------- everything else, one by one


@intrinsic
def _number(typing_context: Any, numbers: Any, pair: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return types.float64(NUMBERS, types.int64), generate


@intrinsic
def _with_number(typing_context: Any, numbers: Any, pair: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, pair, number = arguments
        return builder.insert_element(numbers, number, pair)

    return NUMBERS(NUMBERS, types.int64, types.float64), generate


def _one_by_one(of: Callable[..., Any], operands: int) -> None:
    if operands == 1:

        @overload(of, strict=False)
        def one(a: Any) -> Any:
            if not _are_numbers(a):
                return None

            def each(a: Any) -> Any:
                out = a
                for pair in range(PAIRS):
                    out = _with_number(out, pair, of(_number(a, pair)))
                return out

            return each
    else:

        @overload(of, strict=False)
        def two(a: Any, b: Any) -> Any:
            return _each_of_two(of, a, b) if _are_numbers(a, b) else None


def _each_of_two(of: Callable[..., Any], a: Any, b: Any) -> Callable[..., Any]:
    # A plain operand stays as it is: a power of a whole number is not one of a float.
    if not isinstance(b, _NumbersType):

        def each(a: Any, b: Any) -> Any:
            out = a
            for pair in range(PAIRS):
                out = _with_number(out, pair, of(_number(a, pair), b))
            return out
    elif not isinstance(a, _NumbersType):

        def each(a: Any, b: Any) -> Any:
            out = b
            for pair in range(PAIRS):
                out = _with_number(out, pair, of(a, _number(b, pair)))
            return out
    else:

        def each(a: Any, b: Any) -> Any:
            out = a
            for pair in range(PAIRS):
                out = _with_number(out, pair, of(_number(a, pair), _number(b, pair)))
            return out

    return each


def _division(of: Callable[..., Any]) -> None:
    # What becomes of a division by zero is for the function's error model to say.
    @overload(of, strict=False)
    def divide(a: Any, b: Any) -> Any:
        if not _are_numbers(a, b):
            return None
        each = register_jitable(_each_of_two(of, a, b))
        return lambda a, b: each(a, b) if _has_zero(b) else _divide(a, b)


def _power(of: Callable[..., Any]) -> None:
    @overload(of, strict=False, prefer_literal=True)
    def power(a: Any, b: Any) -> Any:
        if not _are_numbers(a, b):
            return None
        if isinstance(b, types.IntegerLiteral) and b.literal_value == 2:
            return lambda a, b: _multiply(a, a)
        return _each_of_two(of, a, b)


_division(operator.truediv)
_division(operator.itruediv)
_power(operator.pow)
_power(operator.ipow)
_TWO: tuple[Any, ...] = (
    *(math.pow, math.atan2, math.hypot),
    *(np.power, np.minimum, np.maximum, np.hypot, np.arctan2),
)
_SHARED = ("exp", "log", "log1p", "expm1", "sin", "cos", "tan", "tanh", "floor", "ceil")
_ALONE: tuple[Any, ...] = (
    *(getattr(module, name) for name in _SHARED for module in (math, np)),
    *(math.acos, math.asin, math.atan, np.arccos, np.arcsin, np.arctan, np.square),
)
for _of in _TWO:
    _one_by_one(_of, 2)
for _of in _ALONE:
    _one_by_one(_of, 1)
