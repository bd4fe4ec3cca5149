"""Colours that stay apart for colour-blind readers, and texts that fit: what figures share.

Every colour is an sRGB row (3,) with values 0..1.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import as_label

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from numpy.typing import NDArray

    Colours = NDArray[np.float64]

INK = "#22252b"  # titles, the map's outline
MUTED = "#6b7280"  # captions, ticks
FAINT = "#d7dbe0"  # grid lines, hatches on empty cells
PAPER = "#ffffff"
EMPTY = "#f3f4f6"  # cells without hits

# Okabe & Ito (2008) without black and yellow, which is lost on white paper.
_SIX = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7")
# Searched among published colour-blind-safe sets: the ten whose smallest distance in OKLab, under
# full protanopia, deuteranopia and tritanopia (Machado et al. 2009), is largest.
_TEN = (
    "#3f90da", "#ddaa33", "#cc3311", "#332288", "#92dadd",
    "#aa3377", "#eedd88", "#832db6", "#33bbee", "#cc6677",
)  # fmt: skip
MAX_CATEGORIES = 20  # those ten, and as many darker ones
_FEW = 7  # values and one more, of which one may be extreme


def categorical(n: int) -> Colours:
    """Return ``n`` colours (n, 3) for up to 20 unordered classes."""
    if n <= len(_SIX):
        return _from_hex(_SIX[:n])
    return np.vstack([_from_hex(_TEN), darker(len(_TEN))])[:n]


def darker(n: int) -> Colours:
    """Return dark colours (n, 3) for up to ten categories beside those that `categorical` has."""
    return 0.55 * _from_hex(_TEN[:n])


def rgb_of(code: str) -> Colours:
    """Return the colour (3,) of a code such as ``#22252b``."""
    return np.asarray(_from_hex((code,))[0])


def scale_of(low: float, high: float, cmap: str = "viridis") -> ScalarMappable:
    """Return a colour scale from ``low`` to ``high``, one wide where these are equal."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(low, high if high > low else low + 1.0), cmap=cmap)


def scale_over(
    values: NDArray[np.floating],
    cmap: str = "viridis",
    low: float | None = None,
    high: float | None = None,
) -> ScalarMappable:
    """Return the colour scale of values, or from ``low`` to ``high``, with arrows for extreme ones.

    It holds the values as its array.
    """
    from matplotlib import colormaps

    least, greatest = robust_ends(values)
    is_below = low is None and values.min() < least
    is_above = high is None and values.max() > greatest
    scale = scale_of(least if low is None else low, greatest if high is None else high, cmap)
    colours: Any = colormaps[cmap].copy()  # its stubs say that its extend is a bool
    colours.colorbar_extend = ("neither", "min", "max", "both")[is_below + 2 * is_above]
    scale.set_cmap(colours)
    scale.set_array(values)
    return scale


def robust_ends(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the least and the greatest of values (S,) that are not extreme.

    Extreme is what lies farther beyond the 10 % and 90 % quantiles than twice these are apart: with
    it most others would share a third of the colour scale. Of fewer than 8 values none is extreme.
    """
    ordered = np.sort(values)
    last = len(ordered) - 1
    low, high = ordered[math.ceil(0.1 * last)], ordered[math.floor(0.9 * last)]
    reach = 2 * (high - low)
    if last < _FEW or not reach > 0:
        return float(ordered[0]), float(ordered[-1])
    inner = ordered[(ordered >= low - reach) & (ordered <= high + reach)]
    return float(inner[0]), float(inner[-1])


def towards_white(colours: Colours, strength: NDArray[np.float64]) -> Colours:
    """Return colours (K, 3) mixed with white; strength (K,) is 1 for pure and 0 for white."""
    return 1.0 - strength[:, None] * (1.0 - colours)


def text_on(colours: Colours) -> list[str]:
    """Return for each background (K, 3) the text colour of higher contrast (WCAG 2 luminance)."""
    luminance = _to_linear(np.asarray(colours)[:, :3]) @ np.array([0.2126, 0.7152, 0.0722])
    return [INK if value > 0.26 else PAPER for value in luminance]


def by_prototype(prototypes: NDArray[np.float64]) -> Colours:
    """Return a colour per prototype, (K, 3): like prototypes get like colours.

    The first three principal components of the prototypes become lightness, blue-yellow and
    green-red of OKLab (Ottosson 2020), so that the strongest difference is one of lightness, which
    every reader sees.

    Parameters
    ----------
    prototypes : float array (K, D)
    """
    scores = principal_scores(prototypes, 3)
    lightness = 0.66 + 0.22 * scores[:, 0]
    # Chroma shrinks where lightness nears its ends: there sRGB has few colours.
    chroma = 0.14 * (1.0 - 0.35 * np.abs(scores[:, 0]))
    green_red, blue_yellow = 0.8 * chroma * scores[:, 2], chroma * scores[:, 1]
    return _oklab_to_srgb(np.column_stack([lightness, green_red, blue_yellow]))


def principal_scores(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the leading principal component scores (K, count), each scaled to -1..1."""
    centred = rows - rows.mean(axis=0)
    # The small one of the two squares: a decomposition of the rows themselves takes far longer.
    is_wide = len(rows) < rows.shape[1]
    squares, vectors = np.linalg.eigh(centred @ centred.T if is_wide else centred.T @ centred)
    scores = np.zeros((len(rows), count))
    for i in range(min(count, len(squares))):
        if squares[-1 - i] <= 1e-14 * max(1.0, squares[-1]):  # rounding alone
            break
        axis = vectors[:, -1 - i]
        if is_wide:
            axis = centred.T @ axis
        score = centred @ axis
        sign = np.sign(axis[np.abs(axis).argmax()])  # the largest entry of an axis is positive
        scores[:, i] = sign * score / np.abs(score).max()
    return scores


def _from_hex(codes: tuple[str, ...]) -> Colours:
    values = bytes.fromhex("".join(codes).replace("#", ""))
    return np.frombuffer(values, np.uint8).reshape(-1, 3) / 255


# Ottosson (2020): OKLab to cone responses, and their cubes to linear sRGB.
_LAB_TO_CONES = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _to_linear(srgb: Colours) -> Colours:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _oklab_to_srgb(lab: NDArray[np.float64]) -> Colours:
    cones = (lab @ _LAB_TO_CONES.T) ** 3
    linear: Colours = np.clip(cones @ _CONES_TO_RGB.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# -------------------------------------------------------------------------------------- texts

PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # names are no formulas
LONGEST_NAME, _LONGEST_LINE = 46, 150  # characters of a name in a legend: two lines; of any text
_NAMED = 30  # characters of a variable's name: a line of a legend
_FILLED = 0.92  # of a line, as the letters of one name are not equally wide
_MOST_DIGITS = 6  # digits before or after the decimal point, as %g has them


def text_width(text: str) -> float:
    """Return the width of a text over its font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=100), False)
    return float(width) / 100


def label_of(name: str) -> str:
    """Return a variable's name as figures show it, of a long one both ends."""
    text = as_label(name, _LONGEST_LINE)
    if len(text) <= _NAMED:
        return text
    return _without_middle(text, _NAMED - 1)


def shortened(name: str, max_width: float, size: float) -> str:
    """Return a name that takes at most ``max_width`` points in a font of this size.

    A longer one loses its middle, so that names of one beginning or one end stay apart.
    """
    text = shown = as_label(name, _LONGEST_LINE)
    left = len(text)
    while left > 0:
        width = size * text_width(shown)
        if width <= max_width:
            break
        left = max(0, min(left - 1, math.ceil(left * max_width / width)))
        shown = _without_middle(text, left)
    return shown


def _without_middle(text: str, left: int) -> str:
    after = left // 2
    return f"{text[: left - after]}…{text[len(text) - after :]}"


def wrapped(name: str, max_width: float, size: float) -> list[str]:
    """Return a name in lines of at most ``max_width`` points."""
    text = as_label(name, LONGEST_NAME)
    width = size * text_width(text)
    if width <= max_width:
        return [text]
    return textwrap.wrap(text, max(1, int(_FILLED * len(text) * max_width / width)))


def numbers(values: Sequence[float], digits: int) -> list[str]:
    """Return numbers as texts with as many decimals each: ``digits`` of how far they are apart.

    Whole numbers have none. Very small and very large ones have ``digits`` of their own.
    """
    span = max(values) - min(values)
    decimals = 0
    if not all(float(value).is_integer() for value in values):
        decimals = digits - 1 - math.floor(math.log10(span or abs(values[0])))
    if decimals > _MOST_DIGITS or max(map(abs, values)) >= 10**_MOST_DIGITS:
        return [f"{value:.{digits}g}" for value in values]
    return [f"{value:z.{max(0, decimals)}f}" for value in values]
