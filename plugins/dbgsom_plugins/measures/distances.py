"""Whether distances on the grid follow the distances in the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue, grid_distances

if TYPE_CHECKING:
    from dbgsom_core.api import Evaluation

_ROWS = 64  # samples whose pairs are looked at together


class _Distances(MeasureComponent):
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean", description="distance on the grid: between cells, or along links"
    )
    max_samples: int = Field(
        default=2000,
        ge=2,
        description="all pairs of so many samples are looked at; of more, those of a seeded sample",
    )

    def _sums(self, evaluation: Evaluation) -> _Sums:
        key = "distances", self.grid_distance, self.max_samples
        return evaluation.once(key, lambda: _sums(evaluation, self))


class CMeasure(_Distances):
    """Whether distances on the grid grow with those in the data, over all pairs of samples.

    Σ d·g / √(Σ d² · Σ g²), d the distance of two samples and g that of their neurons: the C measure
    of Goodhill & Sejnowski (1997) over its upper bound, so that it has no unit and no size of the
    map in it. 1 is perfect: grid distances are the data's, but for their unit.
    """

    greater_is_better: ClassVar[bool] = True
    reference: ClassVar[str] = "Goodhill & Sejnowski 1997"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the measure; 0 where all samples or all their neurons are the same."""
        sums = self._sums(evaluation)
        bound = math.sqrt(sums.data * sums.grid)
        return NotedValue(min(1.0, sums.both / bound) if bound > 0 else 0.0, sums.note)


class KruskalShepard(_Distances):
    """Mean squared difference of distances in the data and on the grid, each over its largest.

    Over all pairs of samples, (d/max d - g/max g)² with d the distance of two samples and g that of
    their neurons (Elend & Kramer 2019, after Shepard 1962 and Kruskal 1964). 0 is perfect.
    """

    greater_is_better: ClassVar[bool] = False
    reference: ClassVar[str] = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the error; 0 for a single sample."""
        sums = self._sums(evaluation)
        data = 1 / sums.data_most if sums.data_most > 0 else 0.0
        grid = 1 / sums.grid_most if sums.grid_most > 0 else 0.0
        total = sums.data * data**2 - 2 * sums.both * data * grid + sums.grid * grid**2
        return NotedValue(max(0.0, total) / max(1, sums.pairs), sums.note)


@dataclass(frozen=True)
class _Sums:
    """Σ d², Σ g² and Σ d·g over ordered pairs, and the largest d and g."""

    data: float
    grid: float
    both: float
    data_most: float
    grid_most: float
    pairs: int
    note: str


def _sums(evaluation: Evaluation, asked: _Distances) -> _Sums:
    from dbgsom_plugins.measures._pairs import Pairs

    n, most = evaluation.data.n, asked.max_samples
    some, note = np.arange(n), ""
    if n > most:
        some = np.sort(np.random.default_rng(evaluation.seed).choice(n, most, replace=False))
        note = f"from the pairs of {most} of {n} samples, drawn by the seed"
    neurons, units = np.unique(evaluation.bmu[some], return_inverse=True)
    steps = np.concatenate(
        [
            grid_distances(evaluation.som_map, slice(one, one + 1), asked.grid_distance)
            for one in neurons.tolist()
        ]
    )[:, neurons]
    pairs, m = Pairs(evaluation), len(some)
    sums, largest = np.zeros((-(-m // _ROWS), 3)), np.zeros(2)
    for block, start in enumerate(range(0, m, _ROWS)):
        rows = slice(start, min(start + _ROWS, m))
        apart = pairs.distances(some[rows], some)
        apart = np.sqrt(apart) if pairs.squared else apart
        on_grid = steps[units[rows]][:, units]
        products = (apart * apart, on_grid * on_grid, apart * on_grid)
        sums[block] = [float(one.sum()) for one in products]
        largest = np.maximum(largest, (apart.max(), on_grid.max()))
    data, grid, both = sums.sum(axis=0).tolist()
    return _Sums(data, grid, both, float(largest[0]), float(largest[1]), m * (m - 1), note)
