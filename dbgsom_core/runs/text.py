"""Numbers as text; what differs between two configurations; digests."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.component import flat

LEAST_P = 0.001  # below it a p-value is no number in a text
_LARGEST_INTEGER = 1e15  # above it a float has no more digits before the point
_MARKS = re.compile(r"[\\`*\[\]|~$<>&]|(?<!\w)_|_(?!\w)")  # an underscore within a word is a letter
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_BLOCK = 1 << 22  # bytes of an array that are read together


def to_digits(value: float, digits: int) -> str:
    """Return a number with ``digits`` significant digits, large ones as integers."""
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < _LARGEST_INTEGER:
        return f"{value:.0f}"
    return text


def number(value: float) -> str:
    """Return a number with three digits, from 1 on with four."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    return to_digits(value, 4 if abs(value) >= 1 else 3)


def value_of(mean: float, deviation: float | None) -> str:
    """Return mean and deviation as text, both rounded to two digits of the deviation."""
    if deviation is None or not math.isfinite(deviation):
        return number(mean)
    if deviation == 0 or not math.isfinite(mean):
        return f"{number(mean)} ± {number(deviation)}"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    if digits > 8 or abs(mean) >= 1e6:
        return f"{number(mean)} ± {deviation:.2g}"
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def p_value(p: float) -> str:
    return f"p < {LEAST_P}" if p < LEAST_P else f"p = {p:.2g}"


def percent(share: float) -> str:
    """Return a share as ``12 %``, one below 1 % with two digits."""
    return f"{100 * share:.2g} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def plural(n: int, noun: str) -> str:
    """Return ``1 seed`` or ``2 seeds``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def diff(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each dotted key in which configurations differ; None: it lacks it."""
    before, after = flat(was), flat(now)
    differing = {}
    for key in before | after:
        if before.get(key) != after.get(key):
            differing[key] = before.get(key), after.get(key)
    return differing


def digest(*parts: Any) -> str:
    """Return the sha256 of arrays, their types and shapes included, and of plain values."""
    sha = hashlib.sha256()
    for part in parts:
        if part is None:
            sha.update(b"none")
        elif hasattr(part, "dtype"):
            _add_array(sha, part)
        else:
            sha.update(json.dumps(part, sort_keys=True, default=str).encode())
    return sha.hexdigest()


def _add_array(sha: Any, array: Any) -> None:
    import numpy as np  # is slow to import

    if array.dtype == object:
        array = array.astype(str)
    sha.update(f"{array.dtype.str}{array.shape}".encode())
    bytes_of_row = math.prod(array.shape[1:]) * array.dtype.itemsize
    step = max(1, _BLOCK // (bytes_of_row or 1))
    ends = getattr(array, "ends", None)  # of partitions, which are read one by one
    if ends is None:
        ends = [*range(0, len(array), step), None]
    for start, stop in pairwise(ends):
        sha.update(np.ascontiguousarray(array[start:stop]).data.cast("B"))


def as_markdown(text: object) -> str:
    """Return markdown that shows a text: no mark, tag, line break or control in it counts."""
    line = as_text(" ".join(str(text).split()))
    return _MARKS.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), line)
