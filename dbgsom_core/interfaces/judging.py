"""What every verdict on what components return is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import UnfitError


def numbers(answer: Any, shape: tuple[int, ...], what: str, where: Any = None) -> NDArray[Any]:
    """Return an answer as an array of real numbers of this shape, all of them finite."""
    array: NDArray[Any] = np.asarray(answer)
    kind = array.dtype.kind
    if array.shape == shape and (kind in "iub" or (kind == "f" and _all_finite(array))):
        return array
    what = what if where is None else f"{what} {where}"
    if array.shape != shape:
        raise UnfitError(f"returned {what} of shape {array.shape}, not {shape}")
    if kind not in "fiub":
        raise UnfitError(f"returned {what} of {array.dtype}, not real numbers")
    raise UnfitError(f"returned {what} that are not finite")


def _all_finite(array: NDArray[Any]) -> bool:
    # One number tells of a short row in a tenth of the time; where it overflows all are looked at.
    if array.ndim == 1 and math.isfinite(array.dot(array)):
        return True
    return bool(np.isfinite(array).all())


def described(value: Any) -> str:
    """Return what kind of value it is, and its shape."""
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return name if shape is None else f"{name} of {value.dtype}, shape {shape}"
