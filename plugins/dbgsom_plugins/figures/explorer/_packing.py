"""Arrays as short texts, which the page unpacks."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGITS = 5  # that count, of numbers that are written out


def packed_integers(values: NDArray[Any]) -> dict[str, Any]:
    """Return integers of at least 0 as little-endian bytes in base64, one to four each."""
    largest = int(values.max(initial=0))
    size = 1 if largest < 2**8 else 2 if largest < 2**16 else 4
    content = np.ascontiguousarray(values, dtype=f"<u{size}").tobytes()
    return {"size": size, "data": b64encode(content).decode()}


def packed_table(values: NDArray[Any], size: int) -> dict[str, Any]:
    """Return a table (R, D) with each column in equal steps from its least to its largest value.

    A value is ``low + (code - 1) * step`` of its column; code 0 stands for no value, which is what
    nan and infinities are. ``size`` is the number of bytes of a code.
    """
    table = np.array(values, dtype=np.float64)
    table[~np.isfinite(table)] = np.nan
    some = ~np.isnan(table).all(axis=0)
    low, high = np.zeros(table.shape[1]), np.zeros(table.shape[1])
    if some.any():
        low[some] = np.nanmin(table[:, some], axis=0)
        high[some] = np.nanmax(table[:, some], axis=0)
    most = 2 ** (8 * size) - 1
    step = high / (most - 1) - low / (most - 1)  # their difference may overflow
    codes = np.zeros(table.shape)
    np.divide(table - low, step, out=codes, where=(step > 0) & ~np.isnan(table))
    codes = np.where(np.isnan(table), 0, np.clip(np.rint(codes), 0, most - 1) + 1)
    return {
        "rows": len(table),
        "low": low.tolist(),
        "step": step.tolist(),
        "size": size,
        "data": b64encode(codes.astype(f"<u{size}").tobytes()).decode(),
    }


def short(values: Any) -> list[float | None]:
    """Return numbers with five digits that count; None for those that are not finite."""
    return [
        (int(one) if one.is_integer() and abs(one) < 1e15 else float(f"{one:.{_DIGITS}g}"))
        if np.isfinite(one)
        else None
        for one in np.asarray(values, dtype=np.float64).tolist()
    ]
