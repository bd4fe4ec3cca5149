"""Vertical growth: neurons whose samples spread too far get a map of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample
from dbgsom_core.engine.local import Samples
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.growth import VerticalState
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.progress import Progress
from dbgsom_core.training.targets import Target
from dbgsom_core.training.train import Training

# Trains one map on samples and their targets (or None), whose progress may be known.
TrainOne = Callable[[Parts, Samples, Target | None, Progress], Training]


def is_vertical(parts: Parts) -> bool:
    """Say whether the growth strategy may give neurons child maps."""
    return parts.growing.wants_children is not None


def horizontal(parts: Parts) -> Parts:
    """Return the parts with the strategy that grows a single map."""
    base = parts.growing.base if is_vertical(parts) else None
    return parts if base is None else replace(parts, growth=base)


def check_goes_on(som_map: SomMap, metric: Any, parts: Parts, grid: Any) -> None:
    """Raise ValueError where a map of a metric cannot be trained on with these parts.

    ``grid`` is what the estimator calls that of the parts.
    """
    trained, n_features = som_map.grid, som_map.prototypes.shape[1]
    if trained.flat != horizontal(parts).growing.grid(parts.grid, n_features).flat:
        raise ValueError(
            f"the map was trained on a {trained.name} grid and cannot go on with "
            f"grid={grid!r}; fit a new estimator, or set the grid back"
        )
    if metric != parts.metric:
        raise ValueError(
            f"the map was trained with metric {metric!r} and cannot go on with "
            f"{parts.metric!r}; fit a new estimator, or set the metric back"
        )


def root_error(data: Samples) -> float:
    """Return qe₀, the sum of the distances of all samples to a single neuron at their mean.

    Rauber, Merkl & Dittenbach (2002), in the metric's units; the mean is the metric's ``centre``
    where it has one.
    """
    mean = data.moments().mean[None]
    return data.total_distance(data.metric.centred(mean))


@dataclass(frozen=True)
class ChildMaps:
    """What stays the same while a tree grows.

    Attributes
    ----------
    parts : Parts
        With the vertical strategy.
    train_one : callable (parts, data, target, progress) -> Training
        Trains one map as the root was trained, from the principal axes of its samples.
    root_error : float
    seed : tuple of int
    """

    parts: Parts
    train_one: TrainOne
    root_error: float
    seed: tuple[int, ...] = (0,)

    def grow(
        self,
        som_map: SomMap,
        data: Samples,
        found: PerSample,
        target: Target | None,
        progress: Progress,
    ) -> None:
        """Give the neurons of a trained map child maps, and theirs, where the strategy wants them.

        Parameters
        ----------
        som_map : SomMap
            Its ``children`` are filled.
        data : Samples
            The samples that the map was trained on, n of them.
        found : PerSample
            Their best-matching units.
        target : Target or None
            Theirs.
        progress : Progress
            That of the map, whose way down says how deep it lies.
        """
        wanted = self._wanted(som_map, data, found, len(progress.way) + 1)
        for rows in data.groups(found):
            neuron = int(found.bmu[rows[0]])
            # A neuron that holds everything would get the same map again.
            if not wanted[neuron] or len(rows) == len(found.bmu):
                continue
            samples = data.subset(rows)
            own = None if target is None else target.of(rows)
            if self._can_train(samples, own):
                page = progress.below(neuron)
                child, below = self._child(samples, own, page)
                som_map.children[neuron] = child
                self.grow(child, samples, below, own, page)

    def _wanted(
        self, som_map: SomMap, data: Samples, found: PerSample, depth: int
    ) -> NDArray[np.bool_]:
        exact = data.found(som_map.prototypes, found)
        hits, errors = exact.hits, exact.errors
        for array in (hits, errors):
            array.flags.writeable = False
        state = VerticalState(depth, errors, hits, self.root_error, Context(data, found, self.seed))
        asks = self.parts.growing.wants_children
        assert asks is not None  # or the strategy were not vertical
        return np.asarray(asks(som_map, state), dtype=bool)

    def _can_train(self, samples: Samples, target: Target | None) -> bool:
        grows_by_class = horizontal(self.parts).growing.needs_classes
        if grows_by_class and not _knows_classes(target):
            return False
        try:
            samples.check_varies(samples.moments())
        except ValueError:
            return False
        return True

    def _child(
        self, samples: Samples, target: Target | None, progress: Progress
    ) -> tuple[SomMap, PerSample]:
        target = target if _knows_classes(target) else None
        with warnings.catch_warnings():
            # Nobody chose the size of each child map, so nobody needs to hear of its cap.
            warnings.filterwarnings("ignore", message=r"growth stopped at max_neurons='auto'")
            training = self.train_one(horizontal(self.parts), samples, target, progress)
        som_map = training.som_map
        if samples.X.dtype != np.float32:
            return som_map, training.found
        # What users get is what finds the units.
        som_map.prototypes = som_map.prototypes.astype(np.float32).astype(np.float64)
        return som_map, training.search.assign(som_map.prototypes, som_map.positions)


def _knows_classes(target: Target | None) -> bool:
    return target is not None and target.codes is not None and int(target.codes.max()) >= 0
