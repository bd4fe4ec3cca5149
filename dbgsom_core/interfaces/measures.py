"""Measures, the evaluation of a map on data that they get, and stability over refits."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    Self,
    TypeVar,
)

from dbgsom_core.interfaces.component import Component, guarded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.samples import Samples
    from dbgsom_core.som_map.som_map import SomMap
    from dbgsom_core.som_map.tree import Descent, Tree

    AnswersOf = Callable[[Samples], NDArray[np.float64]]

_Made = TypeVar("_Made")

UNEVEN = 2 / 3  # share of one class above which accuracy says little: a constant has that much
ABOVE_CHANCE = "stability/groups_above_chance"  # by which runs of clusters may be ranked
_LASTS = 0.6  # mean Jaccard coefficient below which a group is not to be trusted (Hennig 2007)
_MOST_NAMED = 5  # groups in a sentence


class NotedValue(float):
    """The value of a measure with a ``note``, such as the size of a subsample.

    ``references`` are values to compare it with, which runs log as ``test/NAME_KEY``.
    """

    note: str
    references: Mapping[str, float]

    def __new__(
        cls, value: float, note: str = "", references: Mapping[str, float] | None = None
    ) -> Self:
        made = super().__new__(cls, value)
        made.note, made.references = note, dict(references or {})
        return made


@dataclass(frozen=True)
class Evaluation:
    """A trained map on one part of the data; derived arrays are computed once.

    Attributes
    ----------
    som_map : SomMap
        The map, K neurons in order of birth.
    data : Samples
        The samples, prepared by the metric.
    y : array (n,) or None
        Targets as given.
    predictions : array (n,) or None
        The estimator's answers: classes, values, or cluster numbers.
    seed : int
        For measures that sample.
    labelled : bool array (n,) or None
        Which samples have a class, where y marks some that have none; None: all.
    classes : array (C,) or None
        The classes that a classifier knows.
    probabilities_of, novelty_of : callable or None
        What `probabilities` and `novelty` call.
    drawn_from : int
        Of how many samples these were drawn; 0 where they are all.
    all_hits : array (K,) or None
        How many of all of them each neuron won, where that is known.
    training_of : callable or None
        What `training` calls.
    """

    som_map: SomMap
    data: Samples
    y: NDArray[Any] | None = None
    predictions: NDArray[Any] | None = None
    seed: int = 0
    labelled: NDArray[np.bool_] | None = None
    classes: NDArray[Any] | None = None
    probabilities_of: AnswersOf | None = None
    novelty_of: AnswersOf | None = None
    drawn_from: int = 0
    all_hits: NDArray[Any] | None = None
    training_of: Callable[[], Evaluation] | None = None

    @cached_property
    def _shared(self) -> dict[Hashable, Any]:
        return {}

    def once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """Return the cached result of ``make()`` for a key, to share costly computations."""
        if key not in self._shared:
            self._shared[key] = make()
        result: _Made = self._shared[key]
        return result

    @cached_property
    def probabilities(self) -> NDArray[np.float64] | None:
        """Probabilities (n, C) of the ``classes``; None where the estimator gives none."""
        return None if self.probabilities_of is None else self.probabilities_of(self.data)

    @cached_property
    def novelty(self) -> NDArray[np.float64] | None:
        """Novelty of each sample, (n,), higher for less similar to training; None: unknown."""
        return None if self.novelty_of is None else self.novelty_of(self.data)

    @cached_property
    def training(self) -> Evaluation | None:
        """The map on the samples of its training, where these are held out; None: not known."""
        return None if self.training_of is None else self.training_of()

    @property
    def X(self) -> Any:  # noqa: N802
        """The samples in the metric's space: float array (n, D), nan where missing, or CSR."""
        return self.data.X

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (rows, distances (m, K)) over all samples without holding n*K at once."""
        return self.data.chunks(self.som_map.prototypes)

    @cached_property
    def _nearest(self) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        # Distances are None where the search needs none to find the neurons.
        return self.data.nearest_units(self.som_map.prototypes, 2)

    @cached_property
    def bmu(self) -> NDArray[np.int64]:
        """The best-matching unit of each sample, shape (n,); ties to the lowest row."""
        import numpy as np

        # Contiguous, however it was found: loops are compiled for one kind of array.
        return np.ascontiguousarray(self._nearest[0][:, 0])

    @property
    def second_bmu(self) -> NDArray[np.int64]:
        """The second-best matching unit of each sample, shape (n,)."""
        return self._nearest[0][:, 1]

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each sample to its best-matching unit, shape (n,), metric's units."""
        distances = self._nearest[1]
        if distances is not None:
            return distances[:, 0]
        if self.data.is_euclidean:
            return self.data.unit_distances(self.som_map.prototypes, self.bmu)
        return self.data.distances_to(self.som_map.prototypes, self.bmu)

    @property
    def n_all(self) -> int:
        """How many samples these stand for: ``drawn_from``, or as many as they are."""
        return self.drawn_from or int(self.data.n)

    @cached_property
    def tree(self) -> Tree:
        """The map and the child maps below it, with their leaves."""
        from dbgsom_core.som_map.tree import Tree

        return Tree.of(self.som_map)

    @cached_property
    def _descent(self) -> Descent:
        from dbgsom_core.som_map.tree import descend

        return descend(self.tree, self.data)

    @property
    def leaf(self) -> NDArray[np.int64]:
        """The leaf of ``tree`` where each sample's way down the maps ends, shape (n,)."""
        return self._descent.leaf if self.som_map.children else self.bmu

    @property
    def leaf_distance(self) -> NDArray[np.float64]:
        """The distance of each sample to that leaf's prototype, shape (n,), metric's units.

        It is ``distance`` for a map without child maps.
        """
        return self._descent.distance if self.som_map.children else self.distance

    @cached_property
    def hits(self) -> NDArray[np.int64]:
        """How many samples each neuron won, shape (K,)."""
        import numpy as np  # a configuration is checked without it

        return np.bincount(self.bmu, minlength=len(self.som_map))

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """Sum of the distances of the samples that each neuron won, shape (K,)."""
        import numpy as np

        return np.bincount(self.bmu, self.distance, len(self.som_map)).astype(np.float64)

    @cached_property
    def prototype_distances(self) -> NDArray[np.float64]:
        """Distances between all prototypes, shape (K, K), metric's units."""
        return self.data.pairwise(self.som_map.prototypes, self.som_map.prototypes)

    @cached_property
    def combined_errors(self) -> NDArray[np.float64]:
        """Length of the shortest path from each sample to its nearest prototype and on along links,
        each as long as its two prototypes lie apart, to the second nearest, shape (n,).
        """
        import numpy as np

        from dbgsom_core.som_map.topology import path_lengths  # numpy is slow to import

        n_neurons, first, second = len(self.som_map), self.bmu, self.second_bmu
        if n_neurons == 1:
            return self.distance
        is_wanted = np.zeros((n_neurons, n_neurons), dtype=np.bool_)
        is_wanted[first, second] = True
        paths = path_lengths(self.som_map.links, self.prototype_distances, is_wanted)
        return np.asarray(self.distance + paths[first, second])


@dataclass(frozen=True)
class LazyEvaluation(Evaluation):
    """An evaluation whose predictions are made on demand, by ``predictions_of`` samples."""

    predictions_of: Callable[[Samples], NDArray[Any]] | None = None

    @property  # type: ignore[misc] # the constructor sets it, too: to nothing
    def predictions(self) -> NDArray[Any] | None:
        of = self.predictions_of
        return None if of is None else self.once("predictions", lambda: of(self.data))

    @predictions.setter
    def predictions(self, given: NDArray[Any] | None) -> None:
        pass


class MeasureComponent(Component):
    """Base of measures of a trained map on a part of the data, logged as ``train/NAME`` and so on.

    The first line of a measure's docstring says what is measured, for tables.

    Attributes
    ----------
    greater_is_better : bool
        Every measure says it.
    needs_target : bool
        True when it reads ``evaluation.y``; left out otherwise.
    estimators : tuple of str or None
        The kinds (``vq``, ``classifier``, ``regressor``) whose default list holds it; None: every
        kind, (): none. One that names others cannot be used with a regressor, and one of a
        regressor with no other.
    in_metric_units : bool
        True when the value grows with the metric's distances, so that runs of different metrics or
        prepare steps are not ranked by it.
    zero_is_best : bool
        True when the value has both signs and is best at 0: runs are compared by its absolute
        value, and ``greater_is_better`` is False.
    training_only : bool
        True when values on other samples say nothing: runs measure the training part alone.
    bounds : (float, float)
        The smallest and the largest value that there can be.
    reference : str
        Authors and year of the definition.
    """

    KIND: ClassVar[str] = "measure"
    greater_is_better: ClassVar[bool]
    needs_target: ClassVar[bool] = False
    estimators: ClassVar[tuple[str, ...] | None] = None
    in_metric_units: ClassVar[bool] = False
    zero_is_best: ClassVar[bool] = False
    training_only: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = ""

    @classmethod
    def lacks(cls) -> str:
        unsaid = "" if hasattr(cls, "greater_is_better") else "greater_is_better"
        return " and ".join(filter(None, (super().lacks(), unsaid)))

    @abstractmethod
    def compute(self, evaluation: Evaluation) -> float:
        """Return the value on the samples of ``evaluation``, in chunks where it needs distances."""


def measured(measure: MeasureComponent, evaluation: Evaluation) -> float:
    """Return the value of a measure; exceptions name the measure."""
    return float(guarded(measure).compute(evaluation))


class Interval(NamedTuple):
    """The mean of a number over refits, and the ends of its confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Stability:
    """How sure a map is, as `stability` of an estimator finds it.

    Attributes
    ----------
    links : int64 array (M, 2)
        The links of the map, as rows of ``weights_``.
    link_shares : float64 array (M,)
        Of two samples, one won by either end, how often a refit has them in the same or in linked
        neurons; nan where an end won none.
    chance : float
        The same for any two samples.
    agreements : float64 array (K,) or None
        For each neuron how often a refit gives its samples the label that the map gives them,
        cluster numbers matched (Kuhn 1955); nan where it won none. None: answers are numbers.
    measures : mapping of str to Interval
        Of the refits, on the samples that each was not fitted to.
    repeatability : Interval
        Spearman's correlation between the distances on the grid that two refits give to samples.
    sizes : int64 array (n,)
        How many neurons each refit has.
    share : float
        Of the samples that each refit is fitted to.
    level : float
        Of the intervals.
    """

    links: NDArray[np.int64]
    link_shares: NDArray[np.float64]
    chance: float
    agreements: NDArray[np.float64] | None
    measures: Mapping[str, Interval]
    repeatability: Interval
    sizes: NDArray[np.int64]
    share: float = 0.5
    level: float = 0.95
    weights: NDArray[np.float64] = field(repr=False, kw_only=True)
    hits: NDArray[np.int64] = field(repr=False, kw_only=True)

    @property
    def link_share(self) -> float:
        """The mean of ``link_shares`` over pairs of samples."""
        import numpy as np

        known = self.weights > 0
        return float(np.average(self.link_shares[known], weights=self.weights[known]))

    @property
    def agreement(self) -> float | None:
        """The mean of ``agreements`` over samples; None where answers are numbers."""
        import numpy as np

        if self.agreements is None:
            return None
        known = self.hits > 0
        return float(np.average(self.agreements[known], weights=self.hits[known]))

    def logged(self) -> dict[str, float]:
        """Return what trackers log: ``stability/NAME`` and, of measures, the interval's ends as
        ``stability_low/NAME`` and ``stability_high/NAME``.
        """
        values = {"stability/links": self.link_share, "stability/links_by_chance": self.chance}
        if self.agreement is not None:
            values["stability/agreement"] = self.agreement
        for name, interval in {"repeatability": self.repeatability, **self.measures}.items():
            values[f"stability/{name}"] = interval.mean
            values[f"stability_low/{name}"] = interval.low
            values[f"stability_high/{name}"] = interval.high
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def __str__(self) -> str:
        lines = [
            f"{len(self.sizes)} refits to {self.share:.0%} of the samples, {self.sizes.min()} to "
            f"{self.sizes.max()} neurons",
            f"links: {self.link_share:.3f} of pairs stay neighbours, by chance {self.chance:.3f}",
        ]
        if self.agreement is not None:
            lines.append(f"labels: {self.agreement:.3f} of answers agree")
        for name, interval in {"repeatability": self.repeatability, **self.measures}.items():
            lines.append(f"{name}: {interval}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ClusterStability:
    """How sure the groups of a map are, as `cluster_stability` of `SomVQ` finds it.

    Two disjoint halves of the samples have a map each, and both answer samples of neither.

    Attributes
    ----------
    numbers : int64 array (N,)
        The numbers of groups that were tried, ascending, with that of the map.
    agreements : sequence of N Interval
        Adjusted Rand index of the answers of two halves (Hubert & Arabie 1985); 0 of one group.
        Ends of intervals are nan of one pair of halves.
    chances : float64 array (N,)
        The same with the groups of one half shuffled.
    groups : array (C,)
        The labels of the map's groups.
    group_shares : sequence of C Interval
        Jaccard coefficient of a group and the most similar one of a half's map (Hennig 2007).
    group_chances : float64 array (C,)
        The same with the groups of the half shuffled.
    halves : int
        Number of pairs of halves.
    rows : (int, int)
        How many samples a half has, and how many neither has.
    level : float
        Of the intervals.
    """

    numbers: NDArray[np.int64]
    agreements: Sequence[Interval]
    chances: NDArray[np.float64]
    groups: NDArray[Any]
    group_shares: Sequence[Interval]
    group_chances: NDArray[np.float64]
    halves: int
    rows: tuple[int, int]
    level: float = 0.95

    @property
    def place(self) -> int:
        """The place of the map's own number among ``numbers``."""
        return int(self.numbers.searchsorted(len(self.groups)))

    @property
    def above_chance(self) -> NDArray[np.float64]:
        """Agreement less chance of each number, (N,)."""
        import numpy as np

        return np.array([found.mean for found in self.agreements]) - self.chances

    @property
    def suggested(self) -> int:
        """The number of groups whose agreement is farthest above chance.

        Of those within its interval the largest; 1 where that interval holds chance.
        """
        above = self.above_chance
        best = int(above.argmax())
        low = self.agreements[best].low
        if above[best] <= 0 or low <= self.chances[best]:
            return 1
        if math.isnan(low):
            return int(self.numbers[best])
        return int(self.numbers[above >= low - self.chances[best]].max())

    @property
    def doubtful(self) -> list[int]:
        """Places of the groups with a mean coefficient below 0.6, which do not last."""
        places = []
        for place, share in enumerate(self.group_shares):
            if share.mean < _LASTS:
                places.append(place)
        return places

    @property
    def sentence(self) -> str:
        """What a run ends with: how many groups there are, and how sure they are."""
        best = self.suggested
        chosen = self.agreements[int(self.numbers.searchsorted(best))]
        if len(self.groups) == 1:
            if best == 1:
                return "one group: no division is better than none"
            return f"one group; new halves agree on {best} with ARI {_in_brackets(chosen)}"
        own = self.agreements[self.place]
        text = f"{len(self.groups)} groups; new halves give them again with ARI "
        text += _in_brackets(own)
        if math.isnan(own.low):
            text += " (one pair of halves: no interval)"
        elif own.low <= self.chances[self.place]:
            text += ", not clearly better than chance"
        text += self._doubts()
        if best > 1 and own.mean < chosen.low:
            text += f"; {best} groups come again with {_in_brackets(chosen)}"
        return text

    def _doubts(self) -> str:
        """Return the groups that do not last, as the end of a sentence."""
        places = self.doubtful
        if not places:
            return ""
        means = [_short(self.group_shares[place].mean) for place in places]
        names = [str(self.groups[place]) for place in places]
        if len(names) == 1:
            return f"; group {names[0]} alone is doubtful, {means[0]}"
        span = f"{min(means, key=float)} to {max(means, key=float)}"
        if len(names) == len(self.groups):
            return f"; all are doubtful, {span}"
        if len(names) > _MOST_NAMED:
            return f"; {len(names)} of them are doubtful, {span}"
        return f"; groups {', '.join(names[:-1])} and {names[-1]} are doubtful, {span}"

    def logged(self) -> dict[str, float]:
        """Return what trackers log: agreement of the map's groups above chance, with the interval's
        ends as ``stability_low/…`` and ``stability_high/…``, the agreement, and the number.
        """
        own, chance = self.agreements[self.place], float(self.chances[self.place])
        values = {
            "stability/groups": float(len(self.groups)),
            "stability/groups_ari": own.mean,
            ABOVE_CHANCE: own.mean - chance,
            "stability_low/groups_above_chance": own.low - chance,
            "stability_high/groups_above_chance": own.high - chance,
        }
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def __str__(self) -> str:
        half, rest = self.rows
        lines = [
            self.sentence,
            f"{self.halves} pairs of halves of {half} samples, {rest} of neither",
        ]
        for number, found, chance in zip(self.numbers, self.agreements, self.chances, strict=True):
            lines.append(f"{number:>6} groups: ARI {_in_brackets(found)}, chance {_short(chance)}")
        shares = zip(self.groups.tolist(), self.group_shares, self.group_chances, strict=True)
        for group, found, chance in shares:
            text = f"group {group}: Jaccard {_in_brackets(found)}, chance {_short(chance)}"
            lines.append(text)
        return "\n".join(lines)


def _short(value: float) -> str:
    """Return a number of -1 to 1 with two decimals, as .77."""
    return f"{value:z.2f}".replace("0.", ".", 1)


def _in_brackets(found: Interval) -> str:
    if math.isnan(found.low):
        return _short(found.mean)
    return f"{_short(found.mean)} [{_short(found.low)}, {_short(found.high)}]"
