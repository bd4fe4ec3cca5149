"""The colours of a map's neurons on a terminal."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_CATEGORIES = 20
_DEAD = (232, 234, 237)  # neurons without training samples
# Dark to bright, so that the order is visible without colours.
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])


class Shades(NamedTuple):
    """The colours of a map's neurons."""

    what: str  # the coloured variable
    colours: NDArray[np.uint8]  # (K, 3)
    texts: Sequence[str]  # the value of each neuron
    legend: Sequence[tuple[str, tuple[int, ...]]]  # the categories, or the ends of the scale


def shades_of(estimator: Any, by: str | None = None) -> Shades:
    """Return the colours of a fitted map, by its labels or ``"hits"``.

    None: the label of a classifier or of a labeller with few groups, the prediction of a regressor,
    otherwise the hits.
    """
    labels, hits = np.asarray(estimator.neuron_labels_), np.asarray(estimator.hit_counts_)
    regresses, kinds = estimator._kind == "regressor", np.unique(labels)
    # Where each neuron is a label of its own, labels are no categories.
    numbered = estimator._kind == "vq" and len(kinds) >= np.count_nonzero(hits)
    few = 1 < len(kinds) <= MOST_CATEGORIES and not numbered
    if by == "hits" or (by is None and not regresses and not few):
        return _scale("hits", hits.astype(np.float64), hits > 0)
    if regresses:
        return _scale("answer", labels.astype(np.float64), np.ones(len(hits), bool))
    codes = np.searchsorted(kinds, labels)
    called = [str(kind) for kind in kinds.tolist()]
    texts = [called[code] for code in codes]
    if not few:
        scale = _scale("label", codes.astype(np.float64), hits > 0)
        (_, first), (_, last) = scale.legend
        return Shades("label", scale.colours, texts, [(called[0], first), (called[-1], last)])
    palette = []  # hues all around, light and dark in turn
    for rank in range(len(kinds)):
        lightness = (0.62, 0.42)[rank % 2] if len(kinds) > 2 else 0.5
        channels = colorsys.hls_to_rgb(0.58 + rank / len(kinds), lightness, 0.62)
        palette.append(tuple(round(255 * channel) for channel in channels))
    colours = np.array(palette, dtype=np.uint8)[codes]
    colours[hits == 0] = _DEAD
    return Shades("label", colours, texts, list(zip(called, palette, strict=True)))


def _scale(what: str, values: NDArray[np.float64], known: NDArray[np.bool_]) -> Shades:
    low, high = float(values[known].min()), float(values[known].max())
    at = (values - low) / ((high - low) or 1.0)
    channels = [np.interp(at, np.linspace(0, 1, len(_RAMP)), channel) for channel in _RAMP.T]
    colours = np.column_stack(channels).astype(np.uint8)
    colours[~known] = _DEAD
    legend = [(f"{low:.4g}", tuple(_RAMP[0])), (f"{high:.4g}", tuple(_RAMP[-1]))]
    return Shades(what, colours, [f"{value:.4g}" for value in values], legend)
