"""Lines of a CSV file made of columns, one loop for all of them.

A float is written by the shortest decimal that reads back to the bit, the closest one where several
are as short: Schubfach, of R. Giulietti (2020), "The Schubfach way to render doubles". Against
`repr` of Python and Arrow's text it is checked in `tests/engine/test_text_lines.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, inner_loop, loop
from dbgsom_core.engine.llvm.memory import eight_bytes, write_eight_bytes
from dbgsom_core.engine.text.powers_of_ten import LEAST_POWER, powers_of_ten, product_high

FLOAT, INTEGER, TRUTH, TEXT = 0, 1, 2, 3
WIDEST = 24  # characters of a number: -1.7976931348623157e+308
SPARE = 16  # bytes that may be read or written behind all others, and mean nothing
LENGTH_BITS = 28  # a text is told by where it starts and how long it is: 2**28 bytes at most
_LENGTHS = (1 << LENGTH_BITS) - 1

_PLAIN_FROM, _PLAIN_BELOW = -6, 10  # exponents of ten of numbers that are written without one
_U0, _U1, _U2, _U4, _U10, _U40 = (np.uint64(one) for one in (0, 1, 2, 4, 10, 40))
_SIGN, _FRACTION, _HIDDEN = (np.uint64(one) for one in (1 << 63, (1 << 52) - 1, 1 << 52))
_FRACTION_BITS = np.uint64(52)
_HUNDRED, _EIGHT_DIGITS = np.uint64(100), np.uint64(10**8)
_POINTED = 8  # exponents of ten below which the point is among the first eight digits
_DIGITS = 17  # of a float, at most
_ZEROS = np.uint64(0x3030303030303030)  # eight characters
_ZERO_POINT = np.uint64(0x3030303030302E30)
_U8, _U16, _U20, _U32, _U56 = (np.uint64(one) for one in (8, 16, 20, 32, 56))
_TEN_THOUSAND, _POINT_WIDE = np.uint64(10_000), np.uint64(ord("."))
_EVERY_32, _EVERY_16 = np.uint64(0x7F0000007F), np.uint64(0x000F000F000F000F)
_MINUS, _PLUS, _POINT, _ZERO, _E, _NEWLINE, _QUOTE = (np.uint8(ord(one)) for one in '-+.0e\n"')


def _word(text: str) -> np.uint64:
    # Of 7 characters at most, the first one lowest, and their number on top.
    return np.uint64(int.from_bytes(text.encode(), "little") | len(text) << 56)


_TRUE, _FALSE, _INFINITE = (_word(one) for one in ("true", "false", "inf"))
_SMALL = 1000  # whole numbers below it are words


class Tables(NamedTuple):
    """`powers_of_ten`, 10**i (20,), the digits of 0 to 99 (200,), and small whole numbers as words.

    A word is what `_word` makes of up to seven characters.
    """

    powers: NDArray[np.uint64]
    tens: NDArray[np.uint64]
    pairs: NDArray[np.uint8]
    small: NDArray[np.uint64]


@lru_cache(maxsize=1)
def tables() -> Tables:
    """Return the tables of this module."""
    pairs = "".join(f"{one:02}" for one in range(100)).encode()
    tens = np.array([10**i for i in range(20)], dtype=np.uint64)
    small = np.array([_word(str(one)) for one in range(_SMALL)])
    return Tables(powers_of_ten(), tens, np.frombuffer(pairs, np.uint8).copy(), small)


def text_at(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how texts (n,) are told in ``cells`` of `write_lines`, by start and length."""
    return (starts << LENGTH_BITS) | lengths


def text_from(cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return starts and lengths of texts (n,) that `text_at` made."""
    return cells >> LENGTH_BITS, cells & _LENGTHS


@loop
def write_lines(
    kinds: NDArray[np.uint8],
    cells: NDArray[np.int64],
    gone: NDArray[np.bool_],
    texts: NDArray[np.uint8],
    delimiter: int,
    known: Tables,
    start: int,
    stop: int,
    out: NDArray[np.uint8],
) -> int:
    """Write rows ``start`` to ``stop`` to ``out``, and return how many bytes that are.

    Parameters
    ----------
    kinds : uint8 array (C,)
        ``FLOAT``, ``INTEGER``, ``TRUTH`` or ``TEXT``.
    cells : int64 array (C, n)
        The bits of float64, an integer, 0 or 1, or what `text_at` makes.
    gone : bool array (C, n)
        Cells that are left empty, as those with nan are.
    texts : uint8 array
        All texts, in UTF-8 and quoted where they have to be, and ``SPARE`` bytes.
    delimiter : int
        The byte between cells.
    known : Tables
    out : uint8 array
        Room for each row's texts and ``WIDEST`` bytes a number, one byte a cell, two for the
        quotes that stand for an empty cell alone on its line, and ``SPARE`` bytes at the end.
    """
    at, last, out_at, texts_at = 0, kinds.size - 1, out.ctypes.data, texts.ctypes.data
    for row in range(start, stop):
        begin = at
        for column in range(kinds.size):
            cell = cells[column, row]
            if not gone[column, row]:
                if kinds[column] == FLOAT:
                    at = _write_float(np.uint64(cell), known, out, at, out_at)
                elif kinds[column] == INTEGER and 0 <= cell < _SMALL:
                    at = _write_word(known.small[cell], at, out_at)
                elif kinds[column] == INTEGER:
                    at = _write_integer(cell, known, out, at)
                elif kinds[column] == TRUTH:
                    at = _write_word(_TRUE if cell else _FALSE, at, out_at)
                else:
                    source, length = texts_at + (cell >> LENGTH_BITS), cell & _LENGTHS
                    for i in range(0, length, 8):
                        write_eight_bytes(out_at + at + i, eight_bytes(source + i))
                    at += length
            if last == 0 and at == begin:
                out[at] = out[at + 1] = _QUOTE
                at += 2
            out[at] = _NEWLINE if column == last else delimiter
            at += 1
    return at


@inlined
def _write_word(word: np.uint64, at: int, out_at: int) -> int:
    write_eight_bytes(out_at + at, word)
    return at + int(word >> _U56)


@inner_loop
def _write_integer(value: int, known: Tables, out: NDArray[np.uint8], at: int) -> int:
    size = np.uint64(value)
    if value < 0:
        out[at] = _MINUS
        at += 1
        size = _U0 - size
    count = _count(size, known)
    _write_digits(size, count, known, out, at)
    return at + count


@inlined
def _write_float(
    bits: np.uint64, known: Tables, out: NDArray[np.uint8], at: int, out_at: int
) -> int:
    size = bits & ~_SIGN
    infinite = np.uint64(0x7FF0000000000000)
    if size > infinite:  # nan
        return at
    if bits != size:
        out[at] = _MINUS
        at += 1
    if size == infinite:
        return _write_word(_INFINITE, at, out_at)
    if size == _U0:
        out[at] = _ZERO
        return at + 1
    power: int
    digits, power = _shortest(size, known.powers)
    while digits % _U10 == _U0:
        digits //= _U10
        power += 1
    count = _count_of_long(digits, known)
    exponent = count - 1 + power
    if _PLAIN_FROM <= exponent < _POINTED:
        return _write_pointed(digits, count, exponent, known, out, at, out_at)
    if exponent < _PLAIN_FROM or exponent >= _PLAIN_BELOW:
        return _write_scientific(digits, count, exponent, known, out, at)
    if power >= 0:
        _write_digits(digits, count, known, out, at)
        for i in range(power):
            out[at + count + i] = _ZERO
        return at + count + power
    _write_digits(digits, count, known, out, at + 1)
    for i in range(exponent + 1):
        out[at + i] = out[at + i + 1]
    out[at + exponent + 1] = _POINT
    return at + count + 1


@inlined
def _write_pointed(
    digits: np.uint64,
    count: int,
    exponent: int,
    known: Tables,
    out: NDArray[np.uint8],
    at: int,
    out_at: int,
) -> int:
    # All of _DIGITS, eight at a time, of which the last ones are written over if there were fewer.
    digits *= known.tens[_DIGITS - count]
    above = digits // _EIGHT_DIGITS
    first = above // _EIGHT_DIGITS
    middle = _eight_characters(above - first * _EIGHT_DIGITS)
    last = _eight_characters(digits - above * _EIGHT_DIGITS)
    if exponent < 0:
        write_eight_bytes(out_at + at, _ZERO_POINT)
        at -= exponent
        out[at + 1] = np.uint8(first) + _ZERO
        write_eight_bytes(out_at + at + 2, middle)
        write_eight_bytes(out_at + at + 10, last)
        return at + 1 + count
    out[at] = np.uint8(first) + _ZERO
    shift = _U8 * np.uint64(exponent)
    before = (_U1 << shift) - _U1
    behind = (middle & ~before) << _U8
    write_eight_bytes(out_at + at + 1, (middle & before) | (_POINT_WIDE << shift) | behind)
    out[at + 9] = np.uint8(middle >> _U56)
    write_eight_bytes(out_at + at + 10, last)
    return at + 1 + max(exponent, count if count > exponent + 1 else 0)


@inlined
def _eight_characters(number: np.uint64) -> np.uint64:
    # Of a number below 10**8, the first one lowest; halves, quarters and eighths side by side:
    # P. Khuong (2017), "How to print integers really fast".
    above = number // _TEN_THOUSAND
    halves = above | ((number - above * _TEN_THOUSAND) << _U32)
    hundreds = ((halves * np.uint64(10_486)) >> _U20) & _EVERY_32
    quarters = hundreds | ((halves - _HUNDRED * hundreds) << _U16)
    tens = ((quarters * np.uint64(103)) >> _U10) & _EVERY_16
    return np.uint64(tens | ((quarters - _U10 * tens) << _U8) | _ZEROS)


@inner_loop
def _write_scientific(
    digits: np.uint64, count: int, exponent: int, known: Tables, out: NDArray[np.uint8], at: int
) -> int:
    _write_digits(digits, count, known, out, at + 1)
    out[at] = out[at + 1]
    if count > 1:
        out[at + 1] = _POINT
        at += 1
    at += count
    out[at] = _E
    out[at + 1] = _MINUS if exponent < 0 else _PLUS
    return _write_integer(abs(exponent), known, out, at + 2)


@inlined
def _count_of_long(digits: np.uint64, known: Tables) -> int:
    # How many digits there are, without a branch for those that most numbers have.
    if digits >= known.tens[_DIGITS - 3]:
        more = int(digits >= known.tens[_DIGITS - 2]) + int(digits >= known.tens[_DIGITS - 1])
        return _DIGITS - 2 + more
    return _count(digits, known)


@inlined
def _count(digits: np.uint64, known: Tables) -> int:
    # How many digits there are.
    count = 1
    while count < 20 and digits >= known.tens[count]:
        count += 1
    return count


@inlined
def _write_digits(
    digits: np.uint64, count: int, known: Tables, out: NDArray[np.uint8], at: int
) -> None:
    # Eight at a time, as each division waits for the one before.
    end = at + count
    while digits >= _EIGHT_DIGITS:
        above = digits // _EIGHT_DIGITS
        _write_few(digits - above * _EIGHT_DIGITS, 8, known, out, end)
        digits = above
        end -= 8
    _write_few(digits, end - at, known, out, end)


@inlined
def _write_few(
    digits: np.uint64, count: int, known: Tables, out: NDArray[np.uint8], end: int
) -> None:
    few, hundred = np.uint32(digits), np.uint32(100)
    while count >= 2:
        above = few // hundred
        pair = 2 * np.int64(few - above * hundred)
        out[end - 2] = known.pairs[pair]
        out[end - 1] = known.pairs[pair + 1]
        few = above
        end -= 2
        count -= 2
    if count:
        out[end - 1] = np.uint8(few) + _ZERO


@inlined
def _shortest(size: np.uint64, powers: NDArray[np.uint64]) -> tuple[np.uint64, Any]:
    # Digits and a power of ten of a positive float64 of these bits; digits may end in zeros.
    fraction, biased = size & _FRACTION, np.int64(size >> _FRACTION_BITS)
    c, q = (fraction | _HIDDEN, biased - 1075) if biased else (fraction, np.int64(-1074))
    if -53 < q <= 0 and c & ((_U1 << np.uint64(-q)) - _U1) == _U0:  # a small whole number
        return c >> np.uint64(-q), np.int64(0)
    closer = fraction == _U0 and biased > 1  # the float below is half as far away as that above
    odd = c & _U1
    k = (q * 1262611 - (524031 if closer else 0)) >> 22  # floor(log10(2**q)), or of 3/4 of that
    h = np.uint64(q + ((-k * 1741647) >> 19) + 1)  # + floor(log2(10**-k))
    high, low = powers[-k - LEAST_POWER, 0], powers[-k - LEAST_POWER, 1]
    centre = _U4 * c
    lower = _rounded_to_odd(high, low, (centre - _U2 + np.uint64(closer)) << h) + odd
    value = _rounded_to_odd(high, low, centre << h)
    upper = _rounded_to_odd(high, low, (centre + _U2) << h) - odd
    s = value // _U4
    # Whether there is one of a digit less, without a branch: it is so for every second number.
    fewer = s // _U10
    below_fewer, above_fewer = lower <= _U40 * fewer, _U40 * fewer + _U40 <= upper
    below, above = lower <= _U4 * s, _U4 * s + _U4 <= upper
    middle = _U4 * s + _U2
    up = (value > middle) | ((value == middle) & ((s & _U1) != _U0))
    up = above if below != above else up
    shorter = (s >= _U10) & (below_fewer != above_fewer)
    digits = fewer + np.uint64(above_fewer) if shorter else s + np.uint64(up)
    return digits, k + np.int64(shorter)


@inlined
def _rounded_to_odd(high: np.uint64, low: np.uint64, factor: np.uint64) -> np.uint64:
    # The product with a power of ten over 2**128; the last bit says whether anything was cut off.
    carried = product_high(low, factor)
    rest = high * factor + carried
    whole = product_high(high, factor) + np.uint64(rest < carried)
    return np.uint64(whole | np.uint64(rest > _U1))
