"""The explorer: a map, its neurons and its samples in one interactive page.

The page is plain JavaScript on canvas without a build step: with thumbnails of 400 neurons plotly
takes 5.0 MB, bokeh 1.7 and altair 1.2, d3 draws none of this by itself, and 0.5 MB is the limit.
"""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dbgsom_core.api import FigureComponent, Html

if TYPE_CHECKING:
    from dbgsom_core.api import MapView

_SCRIPTS = (
    "state",
    "colours",
    "map",
    "pointer",
    "growth",
    "details",
    "samples",
    "selection",
    "clusters",
    "start",
)
_ESCAPED = "<>&\u2028\u2029"  # letters that mean something to HTML or end a line of a script


class Explorer(FigureComponent):
    """The map as one interactive page: zoom, hover, colours, samples, clusters, child maps, growth.

    The page needs no other file, no server and no network. Values are those of the data where the
    prepare steps can be undone, else those that the map sees; distances are those of the map.
    """

    max_samples: int = Field(
        default=100_000, ge=1, description="samples in the page; of more it holds a seeded sample"
    )

    def draw(self, view: MapView) -> Html:
        from dbgsom_plugins.figures.explorer._payload import payload

        return Html(page(payload(view, self.max_samples)))


def page(told: dict[str, Any]) -> str:
    """Return the page that shows a payload, whose texts are text whatever they hold."""
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in _ESCAPED:
        data = data.replace(letter, f"\\u{ord(letter):04x}")
    scripts = "\n".join(_file(f"{name}.js") for name in _SCRIPTS)
    parts = {
        "title": escape(told["title"] or "Map"),
        "style": _file("explorer.css"),
        "data": data,
        "script": scripts,
    }
    return Template(_file("explorer.html")).substitute(parts)


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
