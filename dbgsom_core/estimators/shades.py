"""A colour for each neuron of a fitted map, for quick looks: the HTML repr and the terminal."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CATEGORIES = 20
NOBODY = (232, 234, 237)  # neurons that won no training sample
# Dark to bright, so that the order is seen without colours, too.
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])


@dataclass(frozen=True)
class Shades:
    """How the neurons of a map are coloured.

    Attributes
    ----------
    what : str
        What the colours stand for.
    colours : uint8 array (K, 3)
    texts : sequence of K str
        The value of each neuron.
    legend : sequence of (text, colour)
        The categories, or the ends of the scale.
    """

    what: str
    colours: NDArray[np.uint8]
    texts: Sequence[str]
    legend: Sequence[tuple[str, tuple[int, int, int]]]


def shades_of(
    estimator: Any, by: str | None = None, names: Mapping[Any, str] | None = None
) -> Shades:
    """Return the colours of a fitted map.

    Parameters
    ----------
    estimator : SomVQ, SomClassifier or SomRegressor
    by : {"label", "hits"}, optional
        None: the label where a classifier or a labeller with few groups gives it meaning, the
        answer of a regressor, else the hits.
    names : mapping from label to str, optional
    """
    labels, hits = np.asarray(estimator.neuron_labels_), np.asarray(estimator.hit_counts_)
    names, regresses = names or {}, estimator._kind == "regressor"
    live, many = int(np.count_nonzero(hits)), len(np.unique(labels))
    numbered = estimator._kind == "vq" and many >= live  # each neuron is a label of its own
    few = 1 < many <= MOST_CATEGORIES and not numbered
    if by == "hits" or (by is None and not regresses and not few):
        return _scale("hits", hits.astype(np.float64), hits > 0)
    if regresses:
        return _scale("answer", labels.astype(np.float64), np.ones(len(hits), bool))
    kinds, codes = np.unique(labels, return_inverse=True)
    if not few:
        scale = _scale("label", codes.astype(np.float64), hits > 0)
        texts = [str(names.get(label, label)) for label in labels.tolist()]
        ends = [str(names.get(kind, kind)) for kind in kinds[[0, -1]].tolist()]
        legend = [(text, colour) for text, (_, colour) in zip(ends, scale.legend, strict=True)]
        return replace(scale, texts=texts, legend=legend)
    palette = np.array([_category(rank, len(kinds)) for rank in range(len(kinds))], dtype=np.uint8)
    told = [str(names.get(kind, kind)) for kind in kinds.tolist()]
    colours = palette[codes]
    colours[hits == 0] = NOBODY
    legend = [(text, _rgb(colour)) for text, colour in zip(told, palette, strict=True)]
    return Shades("label", colours, [told[code] for code in codes], legend)


def _scale(what: str, values: NDArray[np.float64], shown: NDArray[np.bool_]) -> Shades:
    low, high = (float(end(values[shown])) for end in (np.min, np.max))
    places = (values - low) / ((high - low) or 1.0)
    colours = np.column_stack(
        [np.interp(places, np.linspace(0, 1, len(_RAMP)), channel) for channel in _RAMP.T]
    ).astype(np.uint8)
    colours[~shown] = NOBODY
    ends = [(f"{low:.4g}", _rgb(_RAMP[0])), (f"{high:.4g}", _rgb(_RAMP[-1]))]
    return Shades(what, colours, [f"{value:.4g}" for value in values], ends)


def _category(rank: int, count: int) -> tuple[int, int, int]:
    # Hues all around, light and dark in turn.
    lightness = (0.62, 0.42)[rank % 2] if count > 2 else 0.5
    red, green, blue = colorsys.hls_to_rgb(0.58 + rank / count, lightness, 0.62)
    return round(255 * red), round(255 * green), round(255 * blue)


def _rgb(colour: Any) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in colour)
    return red, green, blue
