"""Why the fast search is exact: DOCSTRING"""

from __future__ import annotations

import math

from dbgsom_core.engine.euclidean.blocks import Accuracy
from dbgsom_core.engine.llvm.panel import ROW_BITS

DOUBLE = 2.0**-53  # the rounding unit of float64, u₆₄ above
_MORE = 1.02  # for products of errors, which the derivation leaves out
_TINY = 1e-30  # for what float32 rounds to 0


def accuracy_of(d: int, unit: float, grid: float, largest: float) -> Accuracy:
    """Return E for samples with d features in blocks of a dtype with this rounding unit.

    ``grid`` is the step of packed numbers, 0 for none; ``largest`` at least the norm of the longest
    packed prototype.
    """
    product = _MORE * (d + 5 + (1 << ROW_BITS)) * unit
    start = _MORE * (d + 1) * unit if unit == DOUBLE and grid == 0 else 0.0
    definition = _MORE / 2 * (d + 6) * DOUBLE
    constant = (product / 2 + definition + start / 2) * largest**2
    moved = _MORE / 2 * math.sqrt(d) * grid * largest
    by_norm = (product + 2 * definition) * largest
    return Accuracy(constant + moved + _TINY, by_norm, definition, unit, largest)
