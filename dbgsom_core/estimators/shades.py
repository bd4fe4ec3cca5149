"""A colour for each neuron of a fitted map, and the map as a small picture in HTML.

Notebooks and terminals show them before matplotlib is imported.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import as_text

MOST_CATEGORIES = 20
_DEAD = (232, 234, 237)  # neurons that won no training sample
# Dark to bright, so that the order is seen without colours, too.
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])
_WIDTH = 320.0  # pixels of the whole map, at most
_CELL = 18.0  # pixels of one cell, at most
_MOST_NEURONS = 2500  # a larger picture would only slow the page down
_LONGEST = 40  # characters of one entry of the legend


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
    legend: Sequence[tuple[str, tuple[int, ...]]]


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
    regresses, kinds = estimator._kind == "regressor", np.unique(labels)
    # Where each neuron is a label of its own, labels are no categories.
    numbered = estimator._kind == "vq" and len(kinds) >= np.count_nonzero(hits)
    few = 1 < len(kinds) <= MOST_CATEGORIES and not numbered
    if by == "hits" or (by is None and not regresses and not few):
        return _scale("hits", hits.astype(np.float64), hits > 0)
    if regresses:
        return _scale("answer", labels.astype(np.float64), np.ones(len(hits), bool))
    codes = np.searchsorted(kinds, labels)
    called = [str((names or {}).get(kind, kind)) for kind in kinds.tolist()]
    texts = [called[code] for code in codes]
    if not few:
        scale = _scale("label", codes.astype(np.float64), hits > 0)
        (_, first), (_, last) = scale.legend
        return Shades("label", scale.colours, texts, [(called[0], first), (called[-1], last)])
    palette = [_category(rank, len(kinds)) for rank in range(len(kinds))]
    colours = np.array(palette, dtype=np.uint8)[codes]
    colours[hits == 0] = _DEAD
    return Shades("label", colours, texts, list(zip(called, palette, strict=True)))


def map_html(estimator: Any) -> str:
    """Return a fitted estimator's map as HTML: a cell a neuron, with its value as a tooltip."""
    som_map = estimator.som_map_
    torus = "" if som_map.grid.torus is None else " on a torus"
    facts = (
        f"{len(som_map)} neurons{torus} after {estimator.n_iter_} epochs · quantization error "
        f"{estimator.quantization_error_:.4g} · topographic error "
        f"{estimator.topographic_error_:.3g}"
    )
    picture = _svg(estimator) if len(som_map) <= _MOST_NEURONS else ""
    style = "font-family: sans-serif; font-size: 12px; margin: 6px 0"
    return f'<div class="dbgsom-map" style="{style}">{picture}<div>{facts}</div></div>'


def _svg(estimator: Any) -> str:
    som_map, shades = estimator.som_map_, shades_of(estimator)
    centres, corners = som_map.plane_positions, np.asarray(som_map.grid.corners)
    outlines = centres[:, None] + corners
    low, high = outlines.min(axis=(0, 1)), outlines.max(axis=(0, 1))
    size = min(_CELL, _WIDTH / float((high - low).max()))
    width, height = ((high - low) * size).tolist()
    cells = []
    for row, outline in enumerate((outlines - low) * size):
        points = " ".join(f"{x:.1f},{height - y:.1f}" for x, y in outline.tolist())
        value = f"{shades.what} {_escaped(shades.texts[row])}, {estimator.hit_counts_[row]:g} hits"
        cells.append(
            f'<polygon points="{points}" fill="{_hex(shades.colours[row])}">'
            f"<title>neuron {row}, {value}</title></polygon>"
        )
    legend = " ".join(
        f'<span style="color:{_hex(colour)}">&#9632;</span>&nbsp;{_escaped(text)}'
        for text, colour in shades.legend
    )
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" role="img" aria-label="the map" '
        f'stroke="#fff" stroke-width="0.5">{"".join(cells)}</svg>'
        f"<div>{shades.what}: {legend}</div>"
    )


def _escaped(text: str) -> str:
    text = as_text(text)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)


def _scale(what: str, values: NDArray[np.float64], known: NDArray[np.bool_]) -> Shades:
    low, high = float(values[known].min()), float(values[known].max())
    at = (values - low) / ((high - low) or 1.0)
    channels = [np.interp(at, np.linspace(0, 1, len(_RAMP)), channel) for channel in _RAMP.T]
    colours = np.column_stack(channels).astype(np.uint8)
    colours[~known] = _DEAD
    legend = [(f"{low:.4g}", tuple(_RAMP[0])), (f"{high:.4g}", tuple(_RAMP[-1]))]
    return Shades(what, colours, [f"{value:.4g}" for value in values], legend)


def _category(rank: int, count: int) -> tuple[int, ...]:
    # Hues all around, light and dark in turn.
    lightness = (0.62, 0.42)[rank % 2] if count > 2 else 0.5
    channels = colorsys.hls_to_rgb(0.58 + rank / count, lightness, 0.62)
    return tuple(round(255 * channel) for channel in channels)
