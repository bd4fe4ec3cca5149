"""A number for each neuron, as a colour and, where it fits, as a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dbgsom_plugins.figures._cells import map_of_cells
from dbgsom_plugins.figures._colours import PAPER, scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView


_DECIMALS = 5  # after which numbers are written with a power of ten
_LARGE = 1e6  # and from here on


def draw_values(
    view: MapView,
    title: str,
    values: NDArray[np.float64],
    label: str,
    *,
    whole: bool = False,
    from_zero: bool = True,
    notes: Sequence[str] = (),
) -> Figure:
    """Return a map of values (K,) of at least 0; neurons without hits are hatched.

    ``label`` names the values at the colour bar; ``whole``: they are whole numbers; colours begin
    at 0 or, without ``from_zero``, at the least value.
    """
    from matplotlib.colors import to_rgb

    dead = view.evaluation.hits == 0
    top = float(values[~dead].max(initial=0.0))
    low = 0.0 if from_zero else float(values[~dead].min(initial=top))
    scale = scale_of(low, top)
    colours = np.asarray(scale.to_rgba(values))[:, :3]
    colours[dead] = to_rgb(PAPER)
    told = [*notes, *(["Hatched neurons have no hits."] if dead.any() else [])]
    texts = texts_of(values, dead, 0 if whole else None)
    sheet = map_of_cells(view, title, colours, texts, told)
    sheet.colour_bar(scale, label, whole=whole)
    return sheet.figure


def texts_of(
    values: NDArray[np.float64], dead: NDArray[np.bool_], decimals: int | None = None
) -> list[str]:
    """Return values (K,) as texts with the same decimals, "" where a neuron is dead.

    Without ``decimals`` the largest has three digits.
    """
    top = float(np.abs(values[~dead]).max(initial=0.0))
    if decimals is None:
        decimals = max(0, 2 - math.floor(math.log10(top))) if top > 0 else 0
    kind = "f" if decimals <= _DECIMALS and top < _LARGE else "g"
    return [
        "" if empty else f"{value:.{decimals if kind == 'f' else 3}{kind}}"
        for value, empty in zip(values.tolist(), dead.tolist(), strict=True)
    ]
