"""Vertical growth: neurons whose samples spread too far get a map of their own."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from dbgsom_core.engine.contract import PerSample
from dbgsom_core.engine.local import Samples
from dbgsom_core.interfaces.context import Context, seed_of
from dbgsom_core.interfaces.growth import VerticalState
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.checkpoint import Path
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target
from dbgsom_core.training.trainer import Trainer


def is_vertical(parts: Parts) -> bool:
    """Return whether the growth strategy may give neurons child maps."""
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
    return data.total_distance(data.metric.centred(data.moments().mean[None]))


def grow_children(
    trainer: Trainer,
    parts: Parts,
    som_map: SomMap,
    data: Samples,
    found: PerSample,
    target: Target | None,
    qe0: float,
    path: Path = (),
) -> None:
    """Give the neurons of a trained map child maps, and theirs, where the strategy wants them.

    ``parts`` are those with the vertical strategy, ``data`` the samples that the map was trained
    on, with the units that they ``found`` and their targets, ``qe0`` is the `root_error`, and
    ``path`` leads down to the map, whose ``children`` are filled.
    """
    exact = data.found(som_map.prototypes, found)
    hits, errors = exact.hits, exact.errors
    for array in (hits, errors):
        array.flags.writeable = False
    context = Context(data, found, seed_of(trainer.settings.random_state))
    asks = parts.growing.wants_children
    assert asks is not None  # or the strategy were not vertical
    wanted = np.asarray(asks(som_map, VerticalState(len(path) + 1, errors, hits, qe0, context)))
    for rows in data.groups(found):
        neuron = int(found.bmu[rows[0]])
        # A neuron that holds everything would get the same map again.
        if not wanted[neuron] or len(rows) == len(found.bmu):
            continue
        samples, own = data.subset(rows), None if target is None else target.of(rows)
        knows_classes = own is not None and own.codes is not None and int(own.codes.max()) >= 0
        if trainer.parts.growing.needs_classes and not knows_classes:
            continue
        try:
            samples.check_varies(samples.moments())
        except ValueError:
            continue
        below = (*path, neuron)
        with warnings.catch_warnings():
            # Nobody chose the size of each child map, so nobody needs to hear of its cap.
            warnings.filterwarnings("ignore", message=r"growth stopped at max_neurons='auto'")
            training, won, _ = trainer.train(samples, own if knows_classes else None, below)
        som_map.children[neuron] = training.som_map
        grow_children(trainer, parts, training.som_map, samples, won, own, qe0, below)
