"""Whether distances on the grid follow the distances in the data.

Above ``max_samples`` pairs are drawn in groups: by default 201600 pairs of 6400 samples, which tell
more than the two million pairs of 2000. At 100000 × 64 with 20 × 20 neurons both values deviate by
0.0003 to 0.0008 over seeds, for clusters, digits and noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue, grid_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._pairs import Pairs

_ROWS = 64  # samples whose pairs are looked at together
_SHARE = 20  # of ``max_samples``: so many groups of 64 are drawn
_OUTER = 256  # samples far from the middle among which two are farthest apart
_TABLE_ROWS = 1 << 18  # distances on the grid that are made at a time


class _Distances(MeasureComponent):
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean", description="distance on the grid: between cells, or along links"
    )
    max_samples: int = Field(
        default=2000,
        ge=2,
        description="of so many samples all pairs are looked at; of more, the pairs within seeded "
        "groups of 64, one group for each 20 of these",
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
        both, data, grid = sums.means
        bound = math.sqrt(data * grid)
        if bound <= 0:
            return sums.with_note(0.0)
        parts = sums.parts * (1 / bound, -both / (2 * data * bound), -both / (2 * grid * bound))
        return sums.with_note(min(1.0, both / bound), parts.sum(axis=1))


class KruskalShepard(_Distances):
    """Mean squared difference of distances in the data and on the grid, each over its largest.

    Over all pairs of samples, (d/max d - g/max g)² with d the distance of two samples and g that of
    their neurons (Elend & Kramer 2019, after Shepard 1962 and Kruskal 1964). 0 is perfect. Where
    pairs are drawn the largest distance is that of the 256 samples that lie farthest from the
    middle, judged by their neurons and the distance to these.
    """

    greater_is_better: ClassVar[bool] = False
    reference: ClassVar[str] = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the error; 0 for a single sample."""
        sums = self._sums(evaluation)
        data = 1 / sums.data_most if sums.data_most > 0 else 0.0
        grid = 1 / sums.grid_most if sums.grid_most > 0 else 0.0
        of_each = sums.parts @ (-2 * data * grid, data**2, grid**2)
        return sums.with_note(max(0.0, float(of_each.mean())), of_each)


@dataclass(frozen=True)
class _Sums:
    """Means of d·g, d² and g² over pairs in each group, (G, 3), and the largest d and g."""

    parts: NDArray[np.float64]
    data_most: float
    grid_most: float
    note: str
    left: float

    @property
    def means(self) -> list[float]:
        found: list[float] = self.parts.mean(axis=0).tolist()
        return found

    def with_note(self, value: float, of_each: NDArray[np.float64] | None = None) -> NotedValue:
        # With the standard error of a mean over groups, to whose parts (G,) it is linear.
        if not self.note or of_each is None or len(of_each) < 2:
            return NotedValue(value, self.note)
        error = float(of_each.std(ddof=1)) * math.sqrt(self.left / len(of_each))
        return NotedValue(value, f"{self.note}; standard error {error:.2g}")


def _sums(evaluation: Evaluation, asked: _Distances) -> _Sums:
    from dbgsom_plugins.measures._pairs import Pairs

    n, most, pairs, note = evaluation.data.n, asked.max_samples, Pairs(evaluation), ""
    groups = np.arange(n)[None]
    if n > most:
        size = min(_ROWS, most)
        count = min(n // size, max(1, most // _SHARE))
        rows = np.random.default_rng(evaluation.seed).choice(n, count * size, replace=False)
        groups = np.sort(rows.reshape(count, size), axis=1)
        note = f"from {count * size * (size - 1) // 2} pairs of {groups.size} of {n} samples"
        note += ", drawn by the seed"
    neurons, units = np.unique(evaluation.bmu[groups], return_inverse=True)
    units = units.reshape(groups.shape)
    steps = _on_grid(evaluation, neurons, asked.grid_distance)
    found, m = np.zeros((len(groups), 4)), groups.shape[1]
    of_group = iter(pairs.within(groups) if note else ())
    for group, its_units, out in zip(groups, units, found, strict=True):
        for start in range(0, m, _ROWS):
            some = slice(start, start + _ROWS)
            d = next(of_group) if note else pairs.distances(group[some], group)
            d = np.sqrt(d) if pairs.squared else d
            g = steps[its_units[some]].take(its_units, axis=1)
            out[:3] += [np.einsum("ij,ij->", one, other) for one, other in ((d, g), (d, d), (g, g))]
            out[3] = max(out[3], d.max())
    parts, data_most = found[:, :3] / max(1, m * (m - 1)), float(found[:, 3].max())
    if note:
        data_most = max(data_most, _largest(evaluation, pairs))
    return _Sums(parts, data_most, float(steps.max()), note, 1 - groups.size / n)


def _on_grid(
    evaluation: Evaluation, neurons: NDArray[np.int64], measured: Literal["euclidean", "hops"]
) -> NDArray[np.float64]:
    # The distances (u, u) of some neurons on the grid.
    found, rows = np.empty((len(neurons), len(neurons))), max(1, _TABLE_ROWS // len(neurons))
    for start in range(0, len(neurons), rows):
        some = neurons[start : start + rows]
        found[start : start + rows] = grid_distances(evaluation.som_map, some, measured, neurons)
    return found


def _largest(evaluation: Evaluation, pairs: Pairs) -> float:
    # The largest distance, or nearly so: the way to a neuron and from there to a sample are about
    # at right angles where there are many features.
    prototypes = evaluation.som_map.prototypes
    middle = np.average(prototypes, axis=0, weights=evaluation.hits)
    outward = evaluation.data.pairwise(prototypes, middle[None])[:, 0]
    reach = np.hypot(outward[evaluation.bmu], evaluation.distance)
    outer = np.sort(np.argpartition(reach, len(reach) - min(_OUTER, len(reach)))[-_OUTER:])
    apart = float(next(pairs.within(outer[None])).max())
    return math.sqrt(apart) if pairs.squared else apart
