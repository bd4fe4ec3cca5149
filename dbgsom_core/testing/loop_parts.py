"""Checks of what shapes a training: how it starts, how wide it trains, when it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.read_only import MapSnapshot
from dbgsom_core.interfaces.stopping import (
    StoppingAbilities,
    StopState,
    judges_targets,
    measures_of,
)
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE, Grid
from dbgsom_core.som_map.hops import fill_hops
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import check_fit
from dbgsom_core.testing.kit import Subject, check
from dbgsom_core.training.parts import measure_suits


def _start(grid: Grid, seed: int = 0) -> Start:
    data = material.trained().evaluate(material.data()).data
    shape = (1, 6) if grid.is_line else (2, 3)
    return Start(*shape, grid, data, data.moments(), np.random.RandomState(seed))


@check("initialisation")
def check_prototypes(component: Any, subject: Subject) -> None:
    """It gives a finite prototype for each cell, on square and on hexagonal grids and on a line."""
    for grid in (SQUARE, HEXAGONAL, LINE):
        start = _start(grid)
        found = np.asarray(component.prototypes(start))
        expected = (len(start), start.n_features)
        assert found.shape == expected, f"prototypes of shape {found.shape}, not {expected}"
        assert found.dtype.kind in "fiu", f"prototypes are {found.dtype}"
        assert np.isfinite(found).all(), "prototypes must be finite"


@check("initialisation")
def check_start_determinism(component: Any, subject: Subject) -> None:
    """The same generator gives the same prototypes, and the samples stay as they were."""
    first, again = _start(SQUARE), _start(SQUARE)
    before = np.array(first.data.X)
    found = np.array(component.prototypes(first))
    assert np.array_equal(found, component.prototypes(again)), "two calls differ: draw from rng"
    assert np.array_equal(first.data.X, before), "it changes the samples"


@check("initialisation")
def check_initialisation_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained from it."""
    check_fit(material.data(), init=component)


def _full(lattice: Grid) -> SomMap:
    rows = 1 if lattice.is_line else 4
    return SomMap.rectangle(rows, 16 // rows, np.zeros((16, 1)), lattice)


@check("grid")
def check_lattice(component: Any, subject: Subject) -> None:
    """It gives a `Grid` whose links lead both ways, on which small maps hang together."""
    lattice = component.lattice(4, 4)
    assert isinstance(lattice, Grid), f"lattice gives {lattice!r}, not a Grid"
    lattice.check()
    assert lattice == component.lattice(4, 4), "two calls differ"
    assert lattice.name, "its name is empty"
    som_map = _full(lattice)
    for neuron in range(16):
        for other in som_map.neighbours(neuron):
            assert neuron in som_map.neighbours(other), f"{neuron} leads to {other}, not back"
    assert not som_map.is_apart, "a map of 4 × 4 neurons does not hang together"


@check("grid")
def check_steps(component: Any, subject: Subject) -> None:
    """Its steps are the least number of links between two cells of a full map."""
    som_map = _full(component.lattice(4, 4))
    cells, hops = som_map.positions, np.array(som_map.hops)
    fill_hops(hops, som_map.links)
    steps = som_map.grid.steps(cells[:, None], cells)
    assert np.array_equal(hops, steps), "steps and links differ: are the links all around a cell?"


@check("grid")
def check_grid_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained on it."""
    rows = 1 if component.lattice(4, 4).is_line else 4
    fixed = {"name": "fixed", "rows": rows, "columns": 16 // rows}
    check_fit(material.data(), grid=component, growth=fixed)


@check("schedule")
def check_widths(component: Any, subject: Subject) -> None:
    """Its widths are finite numbers above 0, the same when asked twice."""
    for start, end in ((4.0, 0.5), (1.0, 1.0), (1e-3, 1e3)):
        for remaining in (1.0, 0.5, 1 / 3, 0.0):
            width = component.width(start, end, remaining)
            told = f"width({start:g}, {end:g}, {remaining:g}) is {width!r}"
            assert isinstance(width, Real) and 0 < float(width) < math.inf, told
            assert width == component.width(start, end, remaining), f"{told}, and then another"


@check("schedule")
def check_schedule_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained with it."""
    check_fit(material.data(), schedule=component)


def _targets(rule: Any) -> Any:
    # What a stopping rule needs beside `material.data`: classes, numbers or nothing.
    if not judges_targets(rule):
        return None
    numbers = any(not measure_suits(one, "classifier") for one in measures_of(rule))
    return material.data()[:, 0] if numbers else material.classes()


def _seen(rule: Any) -> Evaluation:
    y, data = _targets(rule), material.data()
    seen: Evaluation = material.trained().evaluate(data, y, predictions=y)
    if y is None or y.dtype.kind == "f":
        return seen
    classes, codes = np.unique(y, return_inverse=True)
    shares = np.eye(len(classes))[codes]
    return replace(seen, classes=classes, probabilities_of=lambda data: shares[: data.n])


@check("stopping")
def check_stops(component: Any, subject: Subject) -> None:
    """It says True or False from the first epoch on, and `watch` a number; the map stays."""
    rule, evaluation = StoppingAbilities.of(component), _seen(component)
    before, history = MapSnapshot(evaluation.som_map), material.trained().history_
    noted: list[float] = []
    for epoch in range(1, len(history) + 1):
        seen = (history[:epoch], len(history), epoch == len(history), evaluation, evaluation)
        if rule.watch is not None:
            value = component.watch(StopState(*seen, tuple(noted)))
            assert isinstance(value, Real), f"watch gives {value!r}, no number"
            noted.append(float(value))
        for method in ("stop",) if rule.is_best is None else ("is_best", "stop"):
            answer = getattr(component, method)(StopState(*seen, tuple(noted)))
            told = f"{method} gives {answer!r}, not True or False"
            assert isinstance(answer, (bool, np.bool_)), told
    assert not before.has_changed, "it changes the map"
    assert 0 <= rule.validation < 1


@check("stopping")
def check_stopping_resumes(component: Any, subject: Subject) -> None:
    """It keeps nothing in itself: asked twice of the same training, it answers the same."""
    evaluation, history = _seen(component), material.trained().history_
    state = StopState(history, len(history), True, evaluation, evaluation, (1.0,) * len(history))
    answers = [bool(component.stop(state)) for _ in range(3)]
    assert len(set(answers)) == 1, "what a rule remembers is what its watch returns"


@check("stopping")
def check_stopping_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained with it."""
    check_fit(material.data(), _targets(component), stopping=component)
