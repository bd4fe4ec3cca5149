"""The samples that measures and figures look at, where all of them are more than memory holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.runs.data.loading import Part

_MOST, _LEAST = 1 << 18, 1 << 14  # samples, between which
_BYTES = 1 << 26  # that they take says how many


def drawn_part(part: Part, seed: int) -> Part:
    """Return the samples of a part that is read in blocks that measures look at, in memory.

    One is drawn from each of equal stretches of it, so that nothing of the length of the part is
    held. A part in memory, or of no more samples than that, comes back as it is.
    """
    X = part.X
    if not isinstance(X, BlockTable):
        return part
    n, count = len(X), int(np.clip(_BYTES // (X.nbytes // max(len(X), 1)), _LEAST, _MOST))
    if n <= count:
        return part
    ends = np.arange(count + 1) * n // count
    chances = np.random.default_rng(seed).random(count)
    rows = ends[:-1] + (chances * np.diff(ends)).astype(np.int64)
    known = rows if isinstance(part.rows, slice) else part.rows
    if known is not None and known is not rows:
        known = known[rows]
    return Part(X[rows], None if part.y is None else part.y[rows], known)


def drawn_told(name: str, part: Part, some: Part) -> list[str]:
    """Return a sentence for the report where not all samples are looked at."""
    if len(some.X) == len(part.X):
        return []
    return [
        f"{name} measures and figures are from {len(some.X)} of {len(part.X)} samples, drawn by "
        "the seed: the data are read in blocks; what the model and the tables say is of all"
    ]


def evaluated(
    estimator: Any, some: Part, whole: Part, seed: int, hits: NDArray[Any] | None = None
) -> Evaluation:
    """Return a trained map beside ``some`` samples of a part, and what is known of the ``whole``.

    ``hits`` (K,) of the whole, or None where nobody counted them.
    """
    predictions = estimator.predict(some.X)
    found: Evaluation = estimator.evaluate(some.X, y=some.y, predictions=predictions, seed=seed)
    n = whole.X.shape[0]
    return found if some.X.shape[0] == n else replace(found, drawn_from=n, all_hits=hits)
