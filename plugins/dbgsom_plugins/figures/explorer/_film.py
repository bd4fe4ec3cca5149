"""Prototypes of past epochs, small enough for the page."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_TOP = 63  # codes of a value: 0 for none, 1 … 63 from the least to the largest of its column


def film_of(
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
