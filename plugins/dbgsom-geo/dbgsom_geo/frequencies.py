"""When neurons win, and what follows what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, FigureComponent, MapView, as_label
from dbgsom_geo.composites import PLAIN, By, types_of
from dbgsom_geo.days import days_of, transition_counts, winters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CALLED = {"unit": "neuron", "label": "label"}
_NUMBERS = 20  # neurons up to which cells carry numbers


class SeasonalFrequency(FigureComponent):
    """The share of the days of each month, and of each year, that a neuron wins, or a label has.

    Without some months a winter counts to the year of its January. At the right is the trend in
    points of per cent a decade, a line by least squares through the yearly shares, bold where it is
    more than twice its standard error.
    """

    by: By = "unit"

    def draw(self, view: MapView) -> Figure:
        days = days_of(view.annotations, "seasonal_frequency")
        types, names = types_of(view, self.by)
        n, of_day = len(names), types[view.evaluation.bmu]
        months, of_year = winters(days.years, days.months, set(days.months.tolist()))
        years = np.arange(of_year.min(), of_year.max() + 1)
        monthly = _shares(of_day, days.months - 1, n, 12)[:, np.array(months) - 1]
        yearly = _shares(of_day, of_year - years[0], n, len(years))
        figure, grid = _page(view, names, 11.0, width_ratios=[1, 1.3], wspace=0.18)
        first, second = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
        _heat(first, monthly, names, "% of the days of the month")
        _heat(second, yearly, names, "% of the days of the year", pad=0.2)
        second.tick_params(labelleft=False)
        first.set(title="By month", xticks=range(len(months)), xticklabels=months)
        first.set_ylabel(_CALLED[self.by])
        every = max(1, -(-len(years) // 8))
        second.set(title="By year", xticks=range(0, len(years), every), xticklabels=years[::every])
        known = np.isfinite(yearly).all(axis=0)
        if n <= 3 * _NUMBERS and known.sum() >= 5:
            text: Any = {"va": "center", "size": min(8.0, 300 / n)}
            second.text(len(years), -0.6, "trend, points\na decade", va="bottom", size=8)
            for one, share in enumerate(yearly[:, known]):
                (slope, _), errors = np.polyfit(years[known] - years[0], share, 1, cov=True)
                bold = "bold" if abs(slope) > 2 * errors[0, 0] ** 0.5 else "normal"
                second.text(len(years), one, f"{10 * slope:+.1f}", weight=bold, **text)
        return figure


class Transitions(FigureComponent):
    """The probability of each neuron, or label, after a day of another; diagonal: persistence.

    Only samples that follow at once in time count, so that gaps between seasons do not.
    """

    by: By = "unit"

    def draw(self, view: MapView) -> Figure:
        types, names = types_of(view, self.by)
        n, days = len(names), days_of(view.annotations, "transitions")
        counts, _, step = transition_counts(types[view.evaluation.bmu], days, n)
        if not counts.any():
            raise DataError("transitions needs days that follow each other: leave it out")
        totals = counts.sum(axis=1, keepdims=True)
        shares = 100 * counts / np.where(totals, totals, np.nan)
        figure, grid = _page(view, names, float(np.clip(0.35 * n + 3.2, 6.0, 10.5)))
        axes = figure.add_subplot(grid[0])
        _heat(axes, shares, names, "% of the days that follow", power=0.5)
        _name(axes.xaxis, names)
        if max(map(len, names)) > 3:
            axes.xaxis.set_tick_params(rotation=90)
        later = "of the next day" if step == 1 else f"{step:g} days later"
        called = _CALLED[self.by]
        axes.set(xlabel=f"{called} {later}", ylabel=called, aspect="equal")
        axes.set_title(f"{counts.sum():,} pairs that follow each other", size=9, loc="left")
        for row, column in np.argwhere(shares >= 0.5) if n <= _NUMBERS else ():
            dark = "white" if shares[row, column] > 0.3 * np.nanmax(shares) else "0.15"
            number = f"{shares[row, column]:.0f}"
            axes.text(column, row, number, ha="center", va="center", color=dark, size=7.5)
        return figure


def _shares(bmu: NDArray[Any], groups: NDArray[Any], n: int, m: int) -> NDArray[np.float64]:
    # Per cent (n, m) of the samples of each group that a neuron won; nan for groups without any.
    counts = np.bincount(bmu * m + groups, minlength=n * m).reshape(n, m)
    totals = counts.sum(axis=0)
    return np.asarray(100 * counts / np.where(totals, totals, np.nan))


def _page(view: MapView, names: list[str], width: float, **ratios: Any) -> tuple[Figure, Any]:
    # A page with its title and room for names, and the grid of its two panels, or of one.
    from matplotlib.figure import Figure

    room = 0.08 * max(0, max(map(len, names)) - 3)
    below = 0.6 if ratios else 0.6 + room
    height = float(np.clip(0.28 * len(names) + 1.3, 3.0, 9.4)) + below
    figure, title = Figure(figsize=(width, height)), as_label(view.title, int(9.5 * width))
    figure.text(0.25 / width, 1 - 0.35 / height, title, size=12, **PLAIN)
    ends = {"left": (0.7 + room) / width, "right": 1 - 0.4 / width, "top": 1 - 0.95 / height}
    return figure, figure.add_gridspec(1, 1 + bool(ratios), bottom=below / height, **ends, **ratios)


def _name(axis: Any, names: list[str]) -> None:
    shown = {i: name.replace("$", r"\$") for i, name in enumerate(names)}  # no formulas
    axis.set_major_formatter(lambda at, _: shown.get(at, ""))


def _heat(axes: Any, values: Any, names: list[str], label: str, **how: float) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import MaxNLocator

    norm = PowerNorm(how.get("power", 1.0), 0.0, float(np.nanmax(values)))
    image = axes.imshow(values, aspect="auto", cmap="YlGnBu", norm=norm, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label=label, pad=how.get("pad", 0.03))
    axes.xaxis.set_major_locator(MaxNLocator(min(values.shape[1], 20), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(min(values.shape[0], 20), integer=True))
    _name(axes.yaxis, names)
    axes.set_facecolor("0.85")  # where there is no day
