"""Arrays and prototypes of past epochs as short texts, which the page unpacks."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_DIGITS = 5  # that count, of numbers that are written out
_TOP = 63  # codes of a value: 0 for none, 1 … 63 from the least to the largest of its column


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


def past_epochs(
    view: MapView, columns: NDArray[np.int64], colours: NDArray[np.float64], letters: int
) -> dict[str, Any] | None:
    """Return the frames of the first map, None where there are none that can be shown.

    A frame has a row a neuron of its epoch: the values of ``columns``, as the view tells them, and
    the colour of the neuron of the finished map that is most like it, of ``colours`` (K, 3), as
    three more. Each value is one of 63 steps between the ends of its column over all frames. Frames
    go from the last to the first, each column by column as the difference to the frame after it,
    modulo 64, packed by zlib. So many frames are left out, evenly, that they fit into ``letters``.
    """
    frames = _shown(view)
    if not frames:
        return None
    final = np.nan_to_num(view.evaluation.som_map.prototypes)
    values = [
        np.column_stack([view.in_own_units(one)[:, columns], colours[_nearest(one, final)]])
        for one in frames.values()
    ]
    every = np.concatenate(values)
    every[~np.isfinite(every)] = np.nan
    known = ~np.isnan(every).all(axis=0)
    low, high = np.zeros(every.shape[1]), np.zeros(every.shape[1])
    low[known], high[known] = np.nanmin(every[:, known], axis=0), np.nanmax(every[:, known], axis=0)
    step = np.where(high > low, (high - low) / (_TOP - 1), 1.0)
    codes = [_codes(one, low, step) for one in values]
    epochs = list(frames)
    data = _packed(codes)
    while len(data) > letters:
        count = min(len(epochs) - 1, int(len(epochs) * letters / len(data)))
        if count < 1:
            return None
        places = np.unique(np.rint(np.linspace(0, len(epochs) - 1, count)).astype(int))
        epochs, codes = [epochs[i] for i in places], [codes[i] for i in places]
        data = _packed(codes)
    return {
        "epochs": epochs,
        "rows": [len(one) for one in codes],
        "low": low.tolist(),
        "step": step.tolist(),
        "data": data,
    }


def _shown(view: MapView) -> Mapping[int, NDArray[np.float64]]:
    # Those in which a row is the neuron that has this row now, before the last epoch.
    births = view.evaluation.som_map.birth_epochs
    changed = max((one.epoch for one in view.history if one.changes), default=0)
    last = view.history[-1].epoch if view.history else 0
    return {
        epoch: np.asarray(one, dtype=np.float64)
        for epoch, one in view.film.items()
        if changed <= epoch < last
        and one.ndim == 2
        and one.shape[1] == view.evaluation.som_map.prototypes.shape[1]
        and len(one) == np.count_nonzero(births <= epoch)
        and (births[: len(one)] <= epoch).all()
    }


def _nearest(rows: NDArray[np.float64], final: NDArray[np.float64]) -> NDArray[np.int64]:
    rows = np.nan_to_num(rows)
    apart = (final**2).sum(axis=1) - 2 * rows @ final.T
    return np.asarray(apart.argmin(axis=1))


def _codes(
    values: NDArray[np.float64], low: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.uint8]:
    places = 1 + np.rint((values - low) / step)
    return np.where(np.isfinite(places), np.clip(places, 1, _TOP), 0).astype(np.uint8)


def _packed(codes: list[NDArray[np.uint8]]) -> str:
    parts, after = [], None
    for one in reversed(codes):
        told = one if after is None else (one - after[: len(one)]) & _TOP
        parts.append(told.T.tobytes())
        after = one
    return b64encode(zlib.compress(b"".join(parts), 9)).decode()
