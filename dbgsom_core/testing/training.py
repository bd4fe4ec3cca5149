"""Checks of initialisations, grids, schedules and stopping rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dbgsom_core.engine.loops import fill_hops
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stopping import (
    StoppingAbilities,
    StopState,
    judges_targets,
    measures_of,
)
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import MODEL_PART, Subject, ask, check
from dbgsom_core.training.parts import measure_suits


def _start(grid: Grid) -> Start:
    data = material.trained().evaluate(material.data()).data
    shape = (1, 6) if grid.is_line else (2, 3)
    return Start(*shape, grid, data, data.moments(), np.random.RandomState(0))


@check("initialisation")
def check_prototypes(component: Any, subject: Subject) -> None:
    """It gives a finite prototype for each cell of squares, hexagons and a line, by its rng."""
    for grid in (SQUARE, HEXAGONAL, LINE):
        first, again = (
            ask("initialisation", component, "prototypes", _start(grid)) for _ in range(2)
        )
        assert np.array_equal(first, again), "two calls differ: draw from rng"


@check("grid")
def check_lattice(component: Any, subject: Subject) -> None:
    """Its links lead both ways, small maps hang together, and steps are least numbers of links."""
    lattice, again = (ask("grid", component, "lattice", 4, 4) for _ in range(2))
    assert lattice == again, "two calls differ"
    assert lattice.name, "its name is empty"
    rows = 1 if lattice.is_line else 4
    som_map = SomMap.rectangle(rows, 16 // rows, np.zeros((16, 1)), lattice)
    for neuron in range(16):
        for other in som_map.neighbours(neuron):
            assert neuron in som_map.neighbours(other), f"{neuron} leads to {other}, not back"
    assert not som_map.is_apart, "a map of 4 × 4 neurons does not hang together"
    cells, hops = som_map.positions, np.array(som_map.hops)
    fill_hops(hops, som_map.links)
    steps = som_map.grid.steps(cells[:, None], cells)
    assert np.array_equal(hops, steps), "steps and links differ: are the links all around a cell?"


@check("schedule")
def check_widths(component: Any, subject: Subject) -> None:
    """Its widths are finite numbers above 0, the same when asked twice."""
    for start, end in ((4.0, 0.5), (1.0, 1.0), (1e-3, 1e3)):
        for remaining in (1.0, 0.5, 1 / 3, 0.0):
            given = (start, end, remaining)
            first, again = (ask("schedule", component, "width", *given) for _ in range(2))
            assert first == again, f"width{given} is {first}, and then {again}"


def _targets(rule: Any) -> Any:
    # What a stopping rule needs beside `material.data`: classes, numbers or nothing.
    if not judges_targets(rule):
        return None
    numbers = any(not measure_suits(one, "classifier") for one in measures_of(rule))
    return material.data()[:, 0] if numbers else material.classes()


def _evaluation(rule: Any) -> Evaluation:
    y, data = _targets(rule), material.data()
    seen: Evaluation = material.trained().evaluate(data, y, predictions=y)
    if y is None or y.dtype.kind == "f":
        return seen
    classes, codes = np.unique(y, return_inverse=True)
    shares = np.eye(len(classes))[codes]
    return replace(seen, classes=classes, probabilities_of=lambda data: shares[: data.n])


@check("stopping")
def check_stops(component: Any, subject: Subject) -> None:
    """It says True or False from the first epoch on, `watch` a number, and it keeps nothing."""
    rule, evaluation, history = (
        StoppingAbilities.of(component), _evaluation(component), material.trained().history_,
    )  # fmt: skip
    watched: list[float] = []
    for epoch in range(1, len(history) + 1):
        state = StopState(
            history[:epoch], len(history), epoch == len(history), evaluation, evaluation,
            tuple(watched),
        )  # fmt: skip
        if rule.watch is not None:
            watched.append(ask("stopping", component, "watch", state))
            state = replace(state, watched=tuple(watched))
        if rule.is_best is not None:
            ask("stopping", component, "is_best", state)
        answers = {ask("stopping", component, "stop", state) for _ in range(2)}
        assert len(answers) == 1, "what a rule remembers is what its watch returns"


@check(MODEL_PART)
def check_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained with it, saved and loaded; of metrics and growth the same with any
    threads, and never past ``max_neurons``.
    """
    X, y = material.data(), None
    parts = {"init" if subject.kind == "initialisation" else subject.kind: component}
    if subject.kind == "metric":
        X = material.samples_for(component)
        material.check_fit(X.astype(np.float32), **parts)
    elif subject.kind == "grid":
        rows = 1 if component.lattice(4, 4).is_line else 4
        parts["growth"] = {"name": "fixed", "rows": rows, "columns": 16 // rows}
    elif subject.kind == "stopping":
        y = _targets(component)
    elif subject.kind == "growth":
        parts["epochs"] = 20
        y = material.classes() if GrowthAbilities.of(component).needs_classes else None
    elif subject.kind == "labeller" and LabellerAbilities.of(component).needs_target:
        y = np.arange(material.SAMPLES) % 3
        if not material.only_regresses(component):
            material.check_fit(X, material.classes(), **parts)
    estimator = material.check_fit(X, y, **parts)
    if subject.kind in ("metric", "growth"):
        material.check_threads(X, y, **parts)
    cap = getattr(component, "max_neurons", None)
    assert not isinstance(cap, int) or len(estimator.weights_) <= cap, "it grows past its cap"
