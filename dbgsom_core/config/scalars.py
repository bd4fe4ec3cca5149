"""Plain scalars by the core schema of YAML 1.2 (YAML 1.2.2, section 10.3.2)."""

from __future__ import annotations

import math
import re

from dbgsom_core.config.nodes import Plain

_WORDS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def read_scalar(text: str) -> Plain:
    """Return what an unquoted scalar means.

    ``1e-3`` is a number, ``010`` is ten, ``0o10`` is eight; ``no``, ``on`` and ``12:30:45`` are
    text. Raises ValueError for a number that is too large for the code below: an integer of more
    than 64 bits, a float that is written as none of the words for infinity and would be it.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return _fitting(int(text))
    if _OCTAL.fullmatch(text):
        return _fitting(int(text[2:], 8))
    if _HEXADECIMAL.fullmatch(text):
        return _fitting(int(text, 16))
    if _FLOAT.fullmatch(text):
        return _fitting(float(text))
    return text


def _fitting(number: float) -> float:
    if not -(2**63) <= number < 2**63 if isinstance(number, int) else math.isinf(number):
        raise ValueError("it is too large")
    return number
