"""A fitted map as a small picture in HTML, shown below scikit-learn's diagram in notebooks."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from dbgsom_core.errors import as_text
from dbgsom_core.estimators.shades import shades_of

_WIDTH = 320.0  # pixels of the whole map, at most
_CELL = 18.0  # pixels of one cell, at most
_MOST_NEURONS = 2500  # a larger picture would only slow the page down
_LONGEST = 40  # letters of one entry of the legend


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
    centres = som_map.plane_positions
    corners = np.asarray(som_map.grid.corners)
    low, high = centres.min(axis=0) + corners.min(axis=0), centres.max(axis=0) + corners.max(axis=0)
    size = min(_CELL, _WIDTH / float((high - low).max()))
    width, height = ((high - low) * size).tolist()
    cells = []
    for row, (centre, text) in enumerate(zip(centres, shades.texts, strict=True)):
        around = (centre + corners - low) * size
        points = " ".join(f"{x:.1f},{height - y:.1f}" for x, y in around.tolist())
        told = f"neuron {row}, {shades.what} {_shown(text)}, {estimator.hit_counts_[row]:g} hits"
        cells.append(
            f'<polygon points="{points}" fill="{_hex(shades.colours[row])}"><title>{told}'
            "</title></polygon>"
        )
    legend = " ".join(
        f'<span style="color:{_hex(colour)}">&#9632;</span>&nbsp;{_shown(text)}'
        for text, colour in shades.legend
    )
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" role="img" aria-label="the map" '
        f'stroke="#fff" stroke-width="0.5">{"".join(cells)}</svg>'
        f"<div>{shades.what}: {legend}</div>"
    )


def _shown(text: str) -> str:
    text = as_text(text)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)
