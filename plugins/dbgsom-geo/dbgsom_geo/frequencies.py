"""When neurons win, and what follows what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import FigureComponent, MapView, as_label
from dbgsom_geo.composites import PLAIN
from dbgsom_geo.days import days_of, transition_counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERS = 20  # neurons up to which cells carry numbers
_LEAST_YEARS = 5  # for a trend
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SeasonalFrequency(FigureComponent):
    """The share of the days of each month, and of each year, that a neuron wins.

    At the right is the trend in points of per cent a decade, a line by least squares through the
    yearly shares, bold where it is more than twice its standard error.
    """

    def draw(self, view: MapView) -> Figure:
        days = days_of(view.annotations, "seasonal_frequency")
        n, bmu = len(view.evaluation.som_map), view.evaluation.bmu
        months = _shares(bmu, days.months - 1, n, 12)
        years = np.arange(days.years.min(), days.years.max() + 1)
        yearly = _shares(bmu, days.years - years[0], n, len(years))
        figure, wide = _page(view, n, 11.0)
        across = figure.add_gridspec(1, 2, width_ratios=[1, 1.3], wspace=0.18, **wide)
        first, second = (figure.add_subplot(one) for one in across)
        _heat(figure, first, months, "% of the days of the month")
        _heat(figure, second, yearly, "% of the days of the year", pad=0.16)
        first.set(title="By month", ylabel="neuron", xticks=range(12))
        first.set_xticklabels(_MONTHS, size=8)
        every = max(1, -(-len(years) // 8))
        second.set(title="By year", xticks=range(0, len(years), every), xticklabels=years[::every])
        known = np.isfinite(yearly).all(axis=0)
        if n <= 3 * _NUMBERS and known.sum() >= _LEAST_YEARS:
            size = min(8.0, 300 / n)
            second.text(len(years), -0.7, "trend", size=size)
            for neuron, share in enumerate(yearly[:, known]):
                slope, error = _trend(years[known].astype(float), share)
                bold = "bold" if abs(slope) > 2 * error else "normal"
                place: Any = {"va": "center", "weight": bold, "size": size}
                second.text(len(years), neuron, f"{10 * slope:+.1f}", **place)
        return figure


class Transitions(FigureComponent):
    """The probability of each neuron on the day after a day of another; diagonal: persistence.

    Only samples that follow at once in time count, so that gaps between seasons do not.
    """

    def draw(self, view: MapView) -> Figure:
        days = days_of(view.annotations, "transitions")
        n = len(view.evaluation.som_map)
        counts, _, step = transition_counts(view.evaluation.bmu, days, n)
        if not counts.any():
            raise ValueError("transitions needs days that follow each other: leave it out")
        totals = counts.sum(axis=1, keepdims=True)
        shares = 100 * counts / np.where(totals, totals, np.nan)
        figure, wide = _page(view, n, float(np.clip(0.35 * n + 3.2, 6.0, 10.5)))
        axes = figure.add_subplot(figure.add_gridspec(1, 1, **wide)[0])
        _heat(figure, axes, shares, "% of the days that follow", root=True)
        axes.set(xlabel="neuron of the next day", ylabel="neuron", aspect="equal")
        if step != 1:
            axes.set_xlabel(f"neuron {step:g} days later")
        axes.set_title(f"{counts.sum():,} pairs that follow each other", size=9, loc="left")
        for row, column in np.argwhere(shares >= 0.5) if n <= _NUMBERS else ():
            dark = "white" if shares[row, column] > 0.3 * np.nanmax(shares) else "0.15"
            place: Any = {"ha": "center", "va": "center", "color": dark}
            axes.text(column, row, f"{shares[row, column]:.0f}", size=7.5, **place)
        return figure


def _shares(bmu: NDArray[Any], groups: NDArray[Any], n: int, m: int) -> NDArray[np.float64]:
    # Per cent (n, m) of the samples of each group that a neuron won; nan for groups without any.
    counts = np.bincount(bmu * m + groups, minlength=n * m).reshape(n, m)
    totals = counts.sum(axis=0)
    return np.asarray(100 * counts / np.where(totals, totals, np.nan))


def _trend(years: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[float, float]:
    # The slope of a line by least squares, and its standard error.
    x = years - years.mean()
    slope = float(x @ shares / (x @ x))
    rest = shares - shares.mean() - slope * x
    return slope, float(np.sqrt(rest @ rest / (len(x) - 2) / (x @ x)))


def _page(view: MapView, n: int, width: float) -> tuple[Figure, dict[str, float]]:
    # A page with its title, and where the panels are.
    from matplotlib.figure import Figure

    height = float(np.clip(0.28 * n + 1.9, 3.6, 10.0))
    figure = Figure(figsize=(width, height))
    figure.text(0.25 / width, 1 - 0.35 / height, as_label(view.title, int(11 * width)), size=12, **PLAIN)
    ends = {"left": 0.7 / width, "right": 1 - 0.4 / width}
    return figure, ends | {"top": 1 - 0.95 / height, "bottom": 0.6 / height}


def _heat(
    figure: Figure, axes: Any, values: Any, label: str, root: bool = False, pad: float = 0.03
) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import MaxNLocator

    norm = PowerNorm(0.5 if root else 1.0, 0.0, max(1e-9, float(np.nanmax(values))))
    image = axes.imshow(values, aspect="auto", cmap="YlGnBu", norm=norm, interpolation="nearest")
    figure.colorbar(image, ax=axes, label=label, pad=pad)
    for axis, count in ((axes.yaxis, values.shape[0]), (axes.xaxis, values.shape[1])):
        axis.set_major_locator(MaxNLocator(min(count, 20), integer=True))
    axes.set_facecolor("0.85")  # where there is no day
