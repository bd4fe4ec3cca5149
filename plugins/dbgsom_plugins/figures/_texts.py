"""Texts of figures: how wide they are, how they are shortened, numbers with equal decimals."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from dbgsom_core.api import as_label

PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # names are no formulas
LONGEST_NAME, _LONGEST_LINE = 46, 150  # characters of a name in a legend, and of a line
_NAMED = 30  # characters of a variable's name
_ROOM = 0.92  # of a line that is filled: letters of one name are not equally wide
_MOST_DIGITS = 6  # digits before or after the decimal point


def text_width(text: str) -> float:
    """Return the width of a text over its font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=100), False)
    return float(width) / 100


def label_of(name: str) -> str:
    """Return a variable's name as figures show it, of a long one both ends."""
    text = as_label(name, _LONGEST_LINE)
    return text if len(text) <= _NAMED else _without_middle(text, _NAMED - 1)


def shortened(name: str, max_width: float, size: float) -> str:
    """Return a name that takes at most ``max_width`` points in a font of this size.

    A longer one loses its middle, so that names of one beginning or one end stay apart.
    """
    text = shown = as_label(name, _LONGEST_LINE)
    left = len(text)
    while left > 0 and size * text_width(shown) > max_width:
        left = min(left - 1, math.ceil(left * max_width / (size * text_width(shown))))
        shown = _without_middle(text, left)
    return shown


def _without_middle(text: str, left: int) -> str:
    after = max(0, left) // 2
    return f"{text[: max(0, left) - after]}…{text[len(text) - after :]}"


def wrapped(name: str, max_width: float, size: float) -> list[str]:
    """Return a name in lines of at most ``max_width`` points."""
    text = as_label(name, LONGEST_NAME)
    width = size * text_width(text)
    if width <= max_width:
        return [text]
    return textwrap.wrap(text, max(1, int(_ROOM * len(text) * max_width / width)))


def numbers(values: Sequence[float], digits: int) -> list[str]:
    """Return numbers as words with as many decimals each: ``digits`` of how far they are apart.

    Whole numbers have none. Very small and very large ones have ``digits`` of their own.
    """
    span = max(values) - min(values)
    decimals = 0
    if not all(float(value).is_integer() for value in values):
        decimals = digits - 1 - math.floor(math.log10(span or abs(values[0])))
    if decimals > _MOST_DIGITS or max(map(abs, values)) >= 10**_MOST_DIGITS:
        return [f"{value:.{digits}g}" for value in values]
    return [f"{value:z.{max(0, decimals)}f}" for value in values]
