"""Lines of numbers read into an array, each number as the float64 nearest to what is written.

A number whose digits and power of ten are both exact floats is one product or quotient of them,
which the processor rounds as it has to be (Clinger 1990, "How to read floating point numbers
accurately"). Lines with longer ones are strange here, as others are that are no plain numbers.
`tests/engine/test_text_fields.py` compares with Python's `float`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, inner_loop, loop
from dbgsom_core.engine.llvm.bounds import lowest_bit
from dbgsom_core.engine.llvm.memory import eight_bytes

MORE, FULL, STRANGE = 0, 1, 2  # why `read_lines` ended

_EXACT_POWER, _EXACT_DIGITS = 22, np.uint64(1 << 53)  # of factors that are floats
_MOST_DIGITS, _MOST_EXPONENT = 19, 10_000
_NINE = np.uint8(9)
_U0, _SIGN, _NAN = (np.uint64(one) for one in (0, 1 << 63, 0x7FF8 << 48))
# Of eight bytes at once: zeros as text, all bits but the highest, that one, and what takes all
# above 9 there; and what adds ten times each byte, pair or four to the next one.
_ZEROS, _LOW = np.uint64(0x3030303030303030), np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH, _ABOVE_NINE = np.uint64(0x8080808080808080), np.uint64(0x7676767676767676)
_PAIRS, _EACH_PAIR = np.uint64(10 * 2**8 + 1), np.uint64(0x00FF00FF00FF00FF)
_FOURS, _EACH_FOUR = np.uint64(100 * 2**16 + 1), np.uint64(0x0000FFFF0000FFFF)
_EIGHT = np.uint64(10_000 * 2**32 + 1)
_LINE, _RETURN, _QUOTE, _SPACE, _MINUS, _PLUS, _ZERO, _E, _e = (ord(one) for one in '\n\r" -+0Ee')


class Layout(NamedTuple):
    """How lines are divided.

    Attributes
    ----------
    delimiter, mark, grouping : int
        The bytes between fields, before decimals, and between groups of three digits; 0 for none.
    places : int64 array (C,)
        Which number of a row each field becomes; -1 for fields of ASCII that are not read.
    words : uint8 array (W, L)
        What a missing value may be written as, padded with zeros.
    lengths : int64 array (W,)
    tens : float64 array (23,)
    """

    delimiter: int
    mark: int
    grouping: int
    places: NDArray[np.int64]
    words: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    tens: NDArray[np.float64]


def layout(
    delimiter: str, mark: str, grouping: str, places: NDArray[np.int64], missing: list[bytes]
) -> Layout:
    """Return how lines are divided whose missing values are written as one of those words."""
    words = np.zeros((len(missing), max(map(len, missing), default=0) + 1), np.uint8)
    for row, word in zip(words, missing, strict=True):
        row[: len(word)] = np.frombuffer(word, np.uint8)
    lengths = np.array([len(word) for word in missing], np.int64)
    tens = np.array([float(10**i) for i in range(_EXACT_POWER + 1)])
    marks = ord(delimiter), ord(mark), ord(grouping) if grouping else 0
    return Layout(*marks, places, words, lengths, tens)


@loop
def read_lines(
    data: NDArray[np.uint8],
    at: int,
    stop: int,
    how: Layout,
    out: NDArray[np.uint64],
    row: int,
) -> tuple[int, int, int]:
    """Fill rows of out (n, D), the bits of float64, from ``row`` on with the lines of ``data``.

    They begin at ``at`` and end with the last newline before ``stop``. Empty ones are left out. A
    line is strange that has more or fewer fields, quotes, or a field that is neither a number in
    digits, of some 15 that count and not far from 1, nor a word for a missing value.

    Returns
    -------
    at, row, why : int
        The beginning of the first line and the row that were not read, and ``MORE`` lines are
        needed, out is ``FULL``, or that line is ``STRANGE``.
    """
    columns = how.places.size
    while stop > at and data[stop - 1] != _LINE:
        stop -= 1
    while at < stop:
        first = data[at]
        if first == _LINE or (first == _RETURN and data[at + 1] == _LINE):
            at += 1 if first == _LINE else 2
            continue
        if row == out.shape[0]:
            return at, row, FULL
        if columns == 1 and first == _SPACE:  # perhaps an empty line
            return at, row, STRANGE
        begin = at
        for column in range(columns):
            last = column == columns - 1
            place = how.places[column]
            if place < 0:
                end = _skipped(data, at, how.delimiter)
            else:
                end = _read_field(data, at, how, out, row, place)
            if end < 0:
                return begin, row, STRANGE
            if last and data[end] == _RETURN:
                end += 1
            if data[end] != (_LINE if last else how.delimiter):
                return begin, row, STRANGE
            at = end + 1
        row += 1
    return at, row, MORE


@inner_loop
def _skipped(data: NDArray[np.uint8], at: int, delimiter: int) -> int:
    # Where a field ends that is not read; -1 where it is strange.
    while data[at] != delimiter and data[at] != _LINE and data[at] != _RETURN:
        if data[at] == _QUOTE or data[at] >= 128 or data[at] == 0:
            return -1
        at += 1
    return at


@inlined
def _read_field(
    data: NDArray[np.uint8],
    at: int,
    how: Layout,
    out: NDArray[np.uint64],
    row: int,
    place: int,
) -> int:
    # Where the field ends that is now out[row, place]; -1 where it is strange.
    if at + 9 <= data.shape[0]:
        end = _read_short(data, at, how, out, row, place)
        if end >= 0:
            return end
    while data[at] == _SPACE and how.delimiter != _SPACE:
        at += 1
    begin = at
    negative = data[at] == _MINUS
    if negative or data[at] == _PLUS:
        at += 1
    digits, seen, power = _U0, 0, 0
    start = at
    while _is_digit(data[at]):
        digits = digits * np.uint64(10) + np.uint64(data[at] - _ZERO)
        seen += 1
        at += 1
    grouped = how.grouping != 0 and seen > 0 and data[at] == how.grouping
    if grouped and seen > 3:
        return -1
    while how.grouping != 0 and seen > 0 and data[at] == how.grouping:
        for i in range(1, 4):
            if not _is_digit(data[at + i]):
                return -1
            digits = digits * np.uint64(10) + np.uint64(data[at + i] - _ZERO)
        seen += 3
        at += 4
    if data[at] == how.mark:
        at += 1
        while _is_digit(data[at]):
            digits = digits * np.uint64(10) + np.uint64(data[at] - _ZERO)
            seen += 1
            power -= 1
            at += 1
    if seen == 0:
        return _missing(data, begin, how, out, row, place)
    exponential = data[at] == _E or data[at] == _e
    if grouped and (exponential or seen > _MOST_DIGITS):
        return -1
    if seen > _MOST_DIGITS and seen - _zeros(data, start, how.mark) > _MOST_DIGITS:
        return -1
    if exponential:
        at += 1
        less = data[at] == _MINUS
        if less or data[at] == _PLUS:
            at += 1
        exponent, start = 0, at
        while _is_digit(data[at]):
            exponent = min(exponent * 10 + int(data[at] - _ZERO), _MOST_EXPONENT)
            at += 1
        if at == start:
            return -1
        power += -exponent if less else exponent
    bits = _nearest(digits, power, how)
    if bits >= _SIGN:
        return -1
    out[row, place] = bits | _SIGN if negative else bits
    return _behind_spaces(data, at, how.delimiter)


@inlined
def _behind_spaces(data: NDArray[np.uint8], at: int, delimiter: int) -> int:
    while data[at] == _SPACE and delimiter != _SPACE:
        at += 1
    return at


@inlined
def _read_short(
    data: NDArray[np.uint8],
    at: int,
    how: Layout,
    out: NDArray[np.uint64],
    row: int,
    place: int,
) -> int:
    # As `_read_field` reads a field of less than eight bytes beside its minus, most of which hold
    # nothing else than digits and a mark; -1 of others. All bytes are looked at together: no
    # branch depends on how many digits there are.
    negative = data[at] == _MINUS
    at += int(negative)
    bytes_there = eight_bytes(data.ctypes.data + at)
    digits = bytes_there ^ _ZEROS
    others = (((digits & _LOW) + _ABOVE_NINE) | digits) & _HIGH
    if others == _U0:
        return -1
    before = lowest_bit(others) >> 3
    after, end = 0, before
    if data[at + before] == how.mark:
        others &= others - np.uint64(1)
        if others == _U0:
            return -1
        end = lowest_bit(others) >> 3
        after = end - before - 1
        whole = (np.uint64(1) << np.uint64(8 * before)) - np.uint64(1)
        digits = (digits & whole) | ((digits >> np.uint64(8)) & ~whole)
    last = data[at + end]
    if before + after == 0 or (last != how.delimiter and last != _LINE and last != _RETURN):
        return -1
    # The last digit in the highest byte, zeros before the first; then pairs, fours and all.
    digits <<= np.uint64(8 * (8 - before - after))
    digits = ((digits * _PAIRS) >> np.uint64(8)) & _EACH_PAIR
    digits = ((digits * _FOURS) >> np.uint64(16)) & _EACH_FOUR
    digits = (digits * _EIGHT) >> np.uint64(32)
    value = np.float64(digits) / how.tens[after]  # both exact, so the quotient is the nearest
    bits = np.float64(value).view(np.uint64)
    out[row, place] = bits | _SIGN if negative else bits
    return int(at + end)


@inlined
def _is_digit(byte: int) -> bool:
    return bool(np.uint8(byte - _ZERO) <= _NINE)


@inner_loop
def _zeros(data: NDArray[np.uint8], at: int, mark: int) -> int:
    # How many of the digits that begin at ``at`` are zeros before all others.
    zeros = 0
    while data[at] == _ZERO or data[at] == mark:
        zeros += data[at] == _ZERO
        at += 1
    return zeros


@inner_loop
def _missing(
    data: NDArray[np.uint8],
    at: int,
    how: Layout,
    out: NDArray[np.uint64],
    row: int,
    place: int,
) -> int:
    # Where a field ends that says that its value is missing; -1 where it is something else.
    end = -1
    for w in range(how.lengths.size):
        length = how.lengths[w]
        same = 0
        while same < length and data[at + same] == how.words[w, same]:
            same += 1
        after = data[at + same]
        if same == length and after in (how.delimiter, _LINE, _RETURN):
            out[row, place] = _NAN
            end = at + same
    return end


@inlined
def _nearest(digits: np.uint64, power: int, how: Layout) -> Any:
    # The bits of the float nearest to digits*10**power; the sign's where that takes more than one
    # product or quotient of two floats that are exact.
    if digits == _U0:
        return _U0
    if digits <= _EXACT_DIGITS and -_EXACT_POWER <= power <= _EXACT_POWER:
        value = np.float64(digits)
        value = value * how.tens[power] if power >= 0 else value / how.tens[-power]
        return np.float64(value).view(np.uint64)
    return _SIGN
