"""Numbers as text, for tables, sentences and reports."""

from __future__ import annotations

import math

_LARGEST_INTEGER = 1e15  # above it a float has no more digits before the point


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
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def plural(n: int, noun: str) -> str:
    """Return ``1 seed`` or ``2 seeds``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
