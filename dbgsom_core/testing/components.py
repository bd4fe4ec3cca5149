"""Checks of kernels, growth, starts, grids, schedules, stopping rules, labellers and engines."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.loops import fill_hops
from dbgsom_core.errors import DataError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.estimators.som import SomClassifier, SomVQ
from dbgsom_core.interfaces.component import given_fields
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.growth import GrowthComponent, VerticalState, start_shape
from dbgsom_core.interfaces.guard import Guarded
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stopping import (
    STOP,
    Stop,
    StopState,
    judges_targets,
    measures_of,
)
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import MODEL_PART, call_twice, check, kind_of
from dbgsom_core.training.parts import is_suitable_measure

# -------------------------------------------------------------------------------- kernels

_WIDTHS = (0.2, 0.37, 1.0, 3.3, 20.0)


def _weights(kernel: Any, width: float, some: Any = slice(None)) -> NDArray[np.float64]:
    # Of hops, plane distances or plane offsets, whichever the kernel reads, nearest first.
    cells = SQUARE.plane(SQUARE.rectangle(5, 5) - 2)
    lengths = np.linalg.norm(cells, axis=1)
    offsets = cells[np.argsort(lengths, kind="stable")]
    read = {"hops": np.arange(12.0), "plane": np.unique(lengths), "offsets": offsets}
    return np.asarray(Guarded(kernel).weight(read[kernel.reads][some], width))


@check("kernel")
def check_weights(component: Any) -> None:
    """Its weights are finite, not negative unless it inhibits, above 0 at the winner, each by its
    own hop count alone, and the same again and in several threads.
    """
    for width in _WIDTHS:
        weights = _weights(component, width)
        assert weights.dtype.kind == "f", f"weights are {weights.dtype}"
        alone = [_weights(component, width, [0, hops])[1] for hops in (0, 1, 5)]
        same = np.array_equal(alone, weights[[0, 1, 5]])
        assert same, f"width {width}: a weight depends on the other hop counts"
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(_weights, component, width) for _ in range(64)]
            same = all(np.array_equal(call.result(), weights) for call in calls)
        assert same, "two calls differ"


def _must_decrease(kernel: Any) -> bool:
    able = Guarded(kernel)
    return not (able.rises or able.inhibits or able.reads == "offsets")


@check("kernel", _must_decrease)
def check_weights_fall(component: Any) -> None:
    """Its weights do not grow with the hops: who learns from afar says ``rises = True``, nor fall
    faster at a larger width.
    """
    shares = []
    for width in _WIDTHS:
        weights = _weights(component, width)
        shares.append(float(weights.sum() / weights[0]))
    assert shares[0] <= shares[-1], "a larger width gives neighbours smaller weights"


# -------------------------------------------------------------------------------- growth

_INTERRUPTED = 7  # epoch after which a training is interrupted: no multiple of a usual period
_LONG, _MOST = 400, 4  # epochs of a whole fit, and neurons for each of its samples


def _train(growth: Any, **params: Any) -> Any:
    """Return a classifier that grew by a copy of a strategy on `fixtures.data`."""
    copy = type(growth).model_validate(given_fields(growth))
    params = {"epochs": 20, "tol": 0, "random_state": 0, **params}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SomClassifier(growth=copy, **params).fit(fixtures.data(), fixtures.classes())


def _assert_same_map(first: Any, second: Any, message: str) -> None:
    same = np.array_equal(first.neurons_, second.neurons_)
    assert same and np.array_equal(first.weights_, second.weights_), message


@check("growth")
def check_births(component: Any) -> None:
    """It starts with at least two neurons; births and deaths leave a map that can be, of squares
    and of hexagons; a second training is the same.
    """
    growing: Any = Guarded(component)
    rows, columns = start_shape(growing)
    assert rows * columns >= 2, f"starts with {rows} × {columns} neurons"
    for grid in ("square", "hexagonal"):
        first, second = _train(component, grid=grid), _train(component, grid=grid)
        _assert_same_map(first, second, "a second training differs from the first")


@check("growth")
def check_growth_resumes(component: Any) -> None:
    """A training that was interrupted goes on to the same map: `remembered` is all it keeps."""

    def interrupt(epoch: EpochRecord) -> None:
        if epoch.epoch == _INTERRUPTED:
            raise KeyboardInterrupt  # another error would be a warning

    with TemporaryDirectory() as folder:
        checkpoint = Checkpoints(Path(folder, "growth.npz"), seconds=0.0)
        with suppress(KeyboardInterrupt):
            _train(component, checkpoint=checkpoint, callbacks=interrupt)
        resumed = _train(component, checkpoint=checkpoint)
    lost = "does not remember all of it"
    if type(component).remembered is GrowthComponent.remembered:
        lost = "has no remembered() that gives it"
    message = f"the map differs after an interruption: it keeps something and {lost}"
    _assert_same_map(_train(component), resumed, message)


@check("growth", lambda component: Guarded(component).max_neurons is None)
def check_growth_ends(component: Any) -> None:
    """Without ``max_neurons`` growth ends: a map of 40 samples has at most 160 neurons."""
    most = _MOST * fixtures.SAMPLES

    def stop(epoch: EpochRecord) -> Stop | None:
        return STOP if epoch.neurons > most else None

    som = _train(component, epochs=_LONG, callbacks=stop)
    n = len(som.leaf_weights_)
    assert n <= most, (
        f"after {len(som.history_)} epochs the map of {fixtures.SAMPLES} samples has {n} neurons: "
        "births must end where errors are below the threshold, or at a max_neurons"
    )


@check("growth", lambda component: Guarded(component).wants_children is not None)
def check_children(component: Any) -> None:
    """Vertical growth answers for every neuron, twice the same."""
    som_map = fixtures.ring()
    n = len(som_map)
    state = VerticalState(1, np.linspace(0.0, 1.0, n), np.arange(n) * 100, 1.0)
    call_twice(component, "wants_children", som_map, state)


# ------------------------------------------------------- initialisations, grids, schedules


@check("initialisation")
def check_prototypes(component: Any) -> None:
    """It gives a finite prototype for each cell of squares, hexagons and a line, by its rng."""
    data = fixtures.trained().evaluate(fixtures.data()).data
    for grid in (SQUARE, HEXAGONAL, LINE):
        shape = (1, 6) if grid.is_line else (2, 3)
        starts = [
            Start(*shape, grid, data, data.moments(), np.random.RandomState(0)) for _ in range(2)
        ]
        first, again = (Guarded(component).prototypes(start) for start in starts)
        assert np.array_equal(first, again), "two calls differ: draw from rng"
        assert (first != first[0]).any(), "all prototypes are equal: no neuron wins a sample alone"


@check("grid")
def check_lattice(component: Any) -> None:
    """Its links lead both ways, small maps hang together, and steps are least numbers of links."""
    lattice = call_twice(component, "lattice", 4, 4)
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
def check_widths(component: Any) -> None:
    """Its widths are finite numbers above 0, the same when asked twice, and go towards the end."""
    for start, end in ((4.0, 0.5), (1.0, 1.0), (1e-3, 1e3)):
        remaining = (1.0, 0.5, 1 / 3, 0.0)
        widths = [call_twice(component, "width", start, end, left) for left in remaining]
        first, last = widths[0], widths[-1]
        ways = (first - last) * (start - end)
        assert ways >= 0, f"from {start:g} to {end:g} it goes from {first:g} to {last:g}"


# -------------------------------------------------------------------------- stopping rules


def _targets(rule: Any) -> Any:
    # The targets that a stopping rule needs for `fixtures.data`: classes, numbers or none.
    if not judges_targets(rule):
        return None
    numbers = any(not is_suitable_measure(measure, "classifier") for measure in measures_of(rule))
    return fixtures.data()[:, 0] if numbers else fixtures.classes()


@check("stopping")
def check_stops(component: Any) -> None:
    """It says True or False from the first epoch on, `watch` a number, and it keeps nothing."""
    rule, history = Guarded(component), fixtures.trained().history_
    y = _targets(component)
    seen: Evaluation = fixtures.trained().evaluate(fixtures.data(), y, predictions=y)
    if y is not None and y.dtype.kind != "f":
        classes, codes = np.unique(y, return_inverse=True)
        shares = np.eye(len(classes))[codes]
        seen = replace(seen, classes=classes, probabilities_of=lambda data: shares[: data.n])
    watched: tuple[float, ...] = ()
    for epoch in range(1, len(history) + 1):
        state = StopState(history[:epoch], len(history), epoch == len(history), seen, seen, watched)
        if rule.watch is not None:
            watched = (*watched, rule.watch(state))
            state = replace(state, watched=watched)
        if rule.is_best is not None:
            rule.is_best(state)
        answers = {rule.stop(state) for _ in range(20)}
        assert len(answers) == 1, "what a rule remembers is what its watch returns"


# ----------------------------------------------------------------------------- small fits


@check(MODEL_PART)
def check_tiny_fit(component: Any) -> None:
    """A small map is trained with it, saved and loaded; of metrics and growth the same with any
    threads, and never past ``max_neurons``.
    """
    kind = kind_of(component)
    X, y = fixtures.data(), None
    parts = {"init" if kind == "initialisation" else kind: component}
    if kind == "metric":
        X = fixtures.samples_for(component)
        fixtures.check_fit(X.astype(np.float32), **parts)
    elif kind == "grid":
        rows = 1 if component.lattice(4, 4).is_line else 4
        parts["growth"] = {"name": "fixed", "rows": rows, "columns": 16 // rows}
    elif kind == "stopping":
        y = _targets(component)
    elif kind == "growth":
        parts["epochs"] = 20
        y = fixtures.classes() if Guarded(component).needs_classes else None
    elif kind == "labeller" and Guarded(component).needs_target:
        y = np.arange(fixtures.SAMPLES) % 3
    som = fixtures.check_fit(X, y, **parts)
    if kind in ("metric", "growth"):
        fixtures.check_threads(X, y, **parts)
    cap = getattr(component, "max_neurons", None)
    assert not isinstance(cap, int) or len(som.weights_) <= cap, "it grows past its cap"


# ------------------------------------------------------------------------------ labellers


def _columns(component: Any) -> tuple[int, ...]:
    columns = Guarded(component).columns
    return () if columns is None else (len(columns),)


@check("labeller")
def check_labels(component: Any) -> None:
    """It gives one label a neuron, or one for each of its ``columns``, the same again; without
    ``answer`` a class of the targets, and with probabilities the most probable one.
    """
    able, evidence = Guarded(component), fixtures.evidence()
    if fixtures.only_regresses(component):
        evidence = replace(evidence, y=fixtures.data()[:, 0], classes=None, class_counts=None)
    labels = call_twice(component, "label", evidence)
    shape = (len(evidence.som_map), *_columns(component))
    assert labels.shape == shape, f"labels have shape {labels.shape}, not {shape}"
    classes = evidence.classes
    if classes is None:
        return
    if able.needs_target and able.answer is None:
        strange = set(labels.tolist()) - set(classes.tolist())
        assert not strange, f"label {min(strange, key=str)!r} is no class of the targets"
    if able.probabilities is not None:
        shares = able.probabilities(evidence)
        for neuron in np.flatnonzero(evidence.hits > 0):
            likely = shares[neuron, classes == labels[neuron]] >= shares[neuron].max() - 1e-9
            assert likely.all(), (
                f"neuron {neuron} is labelled {labels[neuron]!r}, not its most probable class"
            )


@check("labeller", lambda component: Guarded(component).answer is not None)
def check_answers(component: Any) -> None:
    """It learns arrays, the same again, and answers samples from the groups around them, one by one
    and in threads as all together. Of groups far apart it answers with the right one.
    """
    able, regresses = Guarded(component), fixtures.only_regresses(component)
    around = fixtures.surroundings(numbers=regresses)
    n, rng = len(around.X), np.random.default_rng(0)
    y = rng.normal(size=n) if regresses else rng.integers(0, 3, n)
    state, again = (able.learn(around, y, None, fixtures.ring()) for _ in range(2))
    same = state.keys() == again.keys() and all(np.array_equal(state[k], again[k]) for k in state)
    assert same, "it learns other arrays from the same samples: draw from a field seed"
    answers = able.answer(around, state)
    shape = (n, *(_columns(component) if regresses else (3,)))
    assert answers.shape == shape, f"shape {answers.shape}, not {shape}"

    def answer(start: int) -> NDArray[Any]:
        names = ("distances", "weights", "values", "units", "X")
        rows = {name: getattr(around, name)[start : start + 5] for name in names}
        return np.asarray(able.answer(replace(around, **rows), state))

    with ThreadPoolExecutor(4) as pool:
        parts = np.concatenate(list(pool.map(answer, [*range(0, n, 5)] * 2)))
    same = np.allclose(parts, np.concatenate([answers, answers]))
    assert same, "a thread got other answers, or an answer depends on the other samples"
    _check_far_groups(component, regresses)


def _check_far_groups(component: Any, regresses: bool) -> None:
    group = np.arange(fixtures.SAMPLES) % 3
    X = fixtures.data() + 100.0 * group[:, None]
    y = 10.0 * group if regresses else group
    som = fixtures.check_fit(X, y, labeller=component)
    apart = np.abs(som._point(som.predict(X)) - y)
    assert np.median(apart) < 1.0, "of groups that are far apart it answers with another one"


# ------------------------------------------------ engines: the map does not depend on them

_SAMPLES, _FEATURES = 211, 5  # so that parts of any usual size are of different length
_MANY, _WIDE = 9001, 32  # above what the built-in engines hold unpacked or read at a time
_GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 14}
_LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_weights_", "leaf_hit_counts_",
)  # fmt: skip


_ANSWERS: tuple[tuple[Any, ...], ...] = (
    ("predict",), ("bmu", 3), ("transform", "distances"), ("transform", "mixture"),
    ("score_samples",), ("calculate_quantization_error",),
)  # fmt: skip


def _fit_both(component: Any, X: Any, y: Any = None, *, weights: Any = None, **parts: Any) -> Any:
    # Estimators fitted with this engine and with the built-in one.
    cls: Any = SomVQ if y is None else SomClassifier
    params = {"growth": _GROWING, "epochs": 12, "tol": 0, "random_state": 0, **parts}
    return [
        cls(engine=engine, **params).fit(X, y, sample_weight=weights)
        for engine in (component, "local")
    ]


def _assert_same(mine: Any, local: Any) -> None:
    for name in _LEARNED:
        same = np.array_equal(getattr(mine, name), getattr(local, name))
        assert same, f"{name} differs from that of engine 'local'"


def _assert_near(component: Any, X: Any, weights: Any = None) -> None:
    mine, local = _fit_both(component, X, weights=weights, epochs=6)
    near = np.allclose(mine.weights_, local.weights_, 0, 1e-5)
    same = np.array_equal(mine.predict(X), local.predict(X))
    assert near and same, "the map of many samples differs from that of engine 'local'"


@check("engine")
def check_same_maps(component: Any) -> None:
    """A map that it trains has the bits of the built-in engine's: of float32, weighted and missing
    values too, with classes and child maps, and when training goes on, and answers for new samples
    do; of many samples the same units, and sums but for their last digits.
    """
    rng = fixtures.generator()
    codes = rng.integers(0, 4, _SAMPLES)
    X = 3.0 * rng.standard_normal((4, _FEATURES))[codes] + rng.standard_normal(
        (_SAMPLES, _FEATURES)
    )
    gaps = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    many = rng.standard_normal((_MANY, _WIDE)).astype(np.float32)
    child_maps = {"name": "hierarchical", "base": _GROWING, "tau_2": 0.2}
    with Guarded(component).session():
        for dtype in (np.float64, np.float32):
            _assert_same(*_fit_both(component, X.astype(dtype)))
        _assert_same(*_fit_both(component, X, metric="manhattan"))
        _assert_same(*_fit_both(component, X, weights=codes.astype(np.float64)))
        _assert_same(*_fit_both(component, gaps))
        _assert_same(*_fit_both(component, X, codes, labeller="majority", growth=child_maps))
        mine, local = _fit_both(component, X[:90])
        _assert_same(mine.partial_fit(X[90:]), local.partial_fit(X[90:]))
        for method, *given in _ANSWERS:
            same = np.array_equal(
                getattr(mine, method)(X, *given), getattr(local, method)(X, *given)
            )
            assert same, f"{method} differs from that of engine 'local'"
        _assert_near(component, many)
        _assert_near(component, many, rng.integers(0, 4, _MANY).astype(np.float64))
        with suppress(DataError):  # it may refuse missing values of many samples
            _assert_near(component, np.where(rng.random(many.shape) < 0.1, np.nan, many))
