"""Prototypes of past epochs in a run folder, for pages that are drawn later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.estimators.archive import ArchiveError, opened_archive, write_archive

_STEPS = 248  # of a stored value; four of them are one of the page's, whose ends they share


def save_film(path: Path, frames: Mapping[int, NDArray[np.floating]]) -> None:
    """Write frames (k, D) by epoch with a byte a value: steps between the ends of its column.

    Values are told to half a step, a 496th of what the column spans over all frames; what is not
    finite is kept as nan.
    """
    values = np.concatenate(list(frames.values())).astype(np.float64)
    known = np.isfinite(values)
    low = np.where(known.any(axis=0), np.min(values, axis=0, initial=np.inf, where=known), 0.0)
    high = np.where(known.any(axis=0), np.max(values, axis=0, initial=-np.inf, where=known), 0.0)
    step = np.where(high > low, high / _STEPS - low / _STEPS, 1.0)  # their difference may overflow
    places = np.rint((np.where(known, values, low) - low) / step)
    codes = np.where(known, 1 + np.clip(places, 0, _STEPS), 0).astype(np.uint8)
    header = {"epochs": list(frames), "rows": [len(one) for one in frames.values()]}
    write_archive(path, header, {"codes": codes, "low": low, "step": step})


def load_film(path: Path) -> dict[int, NDArray[np.float32]]:
    """Read what `save_film` wrote; of no file nothing. Raises ArchiveError where it is no film."""
    if not path.exists():
        return {}
    with opened_archive(path) as archive:
        epochs: Any = archive.header.get("epochs")
        rows: Any = archive.header.get("rows")
        codes, low, step = (archive.take(name) for name in ("codes", "low", "step"))
        if not (
            codes.ndim == 2
            and codes.dtype == np.uint8
            and low.dtype == step.dtype == np.float64
            and low.shape == step.shape == codes.shape[1:]
            and all(isinstance(one, list) for one in (epochs, rows))
            and len(epochs) == len(rows) > 0
            and all(type(one) is int and one >= 0 for one in [*epochs, *rows])
            and sum(rows) == len(codes)
        ):
            raise ArchiveError("holds no frames that fit together")
    values = np.where(codes == 0, np.nan, low + (codes - 1.0) * step).astype(np.float32)
    return dict(zip(epochs, np.split(values, np.cumsum(rows)[:-1]), strict=True))
