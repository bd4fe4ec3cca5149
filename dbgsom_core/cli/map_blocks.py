"""A map as blocks of text: coloured where the terminal can, letters or shades where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from dbgsom_core.errors import as_text
from dbgsom_core.estimators.shades import Shades, shades_of

_CELL = 3  # letters
_SHADES = ("·░▒▓█", ".:+*#")  # in Unicode, and in ASCII
_LONGEST = 30  # letters of a name in the legend


def map_blocks(estimator: Any, by: str | None, console: Console) -> list[Text]:
    """Return the lines that show a fitted map, its legend below it.

    ``by`` is what is shown: ``"label"``, ``"hits"``, or what suits the estimator (None). Every cell
    holds a text, so that nothing is lost without colours.
    """
    shades, som_map = shades_of(estimator, by), estimator.som_map_
    places = som_map.plane_positions
    columns = np.floor((places[:, 0] - places[:, 0].min()) * _CELL + 0.5).astype(int).tolist()
    heights = np.unique(places[:, 1])[::-1].tolist()
    texts = _texts(shades, estimator, console)
    lines = []
    for height in heights:
        line, end = Text(), 0
        neurons = np.flatnonzero(places[:, 1] == height)
        for neuron in sorted(neurons.tolist(), key=lambda one: columns[one]):
            line.append(" " * (columns[neuron] - end))
            line.append(texts[neuron], _style(shades.colours[neuron]))
            end = columns[neuron] + _CELL
        lines.append(line)
    legend = Text(f"{shades.what}: ")
    for (text, colour), sign in zip(shades.legend, _signs(shades, console), strict=True):
        legend.append(f" {sign} ", _style(colour))
        legend.append(f" {_short(text)}  ")
    return [*lines, Text(), legend]


def _texts(shades: Shades, estimator: Any, console: Console) -> list[str]:
    alive = np.asarray(estimator.hit_counts_) > 0
    if len(shades.legend) > 2 or shades.what == "label":
        names = [text for text, _ in shades.legend]
        listed = set(shades.texts) <= set(names)  # else they are the ends of many
        signs = dict(zip(names, _signs(shades, console), strict=True)) if listed else {}
        return [
            (signs.get(text, text[:_CELL]) if lives else _ramp(console)[0]).center(_CELL)
            for text, lives in zip(shades.texts, alive, strict=True)
        ]
    values = np.array([float(text) for text in shades.texts])
    low, high = values[alive].min(), values[alive].max()
    steps = np.clip(1 + np.floor(4 * (values - low) / ((high - low) or 1.0)), 1, 4).astype(int)
    ramp = _ramp(console)
    if console.color_system is not None and max(map(len, shades.texts)) <= _CELL:
        return [text.center(_CELL) for text in shades.texts]
    return [
        (ramp[step] if lives else ramp[0]) * _CELL
        for step, lives in zip(steps.tolist(), alive, strict=True)
    ]


def _signs(shades: Shades, console: Console) -> list[str]:
    """Return one or two letters for each entry of the legend, all different where that can be."""
    names = [text for text, _ in shades.legend]
    if shades.what != "label":
        ramp = _ramp(console)
        return [ramp[1], ramp[-1]]
    for length in (1, 2):
        signs = [_short(name)[:length] for name in names]
        if len(set(signs)) == len(signs):
            return signs
    return [chr(ord("a") + rank) for rank in range(len(names))]


def _ramp(console: Console) -> str:
    return _SHADES["utf" not in console.encoding.lower()]


def _style(colour: Any) -> Style:
    red, green, blue = (int(channel) for channel in colour)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return Style(color="black" if bright else "white", bgcolor=f"rgb({red},{green},{blue})")


def _short(text: str) -> str:
    text = as_text(text).replace("\n", " ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
