"""Checks of kernels, growth, starts, grids, schedules, stopping rules, labellers and engines."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from typing import Any
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from dbgsom_core.engine.loops import fill_hops
from dbgsom_core.errors import DataError
from dbgsom_core.estimators.archive import NotPlainError, from_plain, to_plain
from dbgsom_core.interfaces.component import given_fields
from dbgsom_core.interfaces.engine import EngineComponent
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
from dbgsom_core.testing.kit import (
    MODEL_PART,
    Function,
    Subject,
    call_twice,
    check,
)
from dbgsom_core.training.growth import apply_growth, split_changes
from dbgsom_core.training.parts import is_suitable_measure

# -------------------------------------------------------------------------------- kernels

_WIDTHS = (0.2, 0.37, 1.0, 3.3, 20.0)


def _weights(kernel: Any, width: float, some: Any = slice(None)) -> NDArray[np.float64]:
    # Of hops, plane distances or plane offsets, whichever the kernel reads, nearest first.
    able, cells = Guarded(kernel), SQUARE.plane(SQUARE.rectangle(5, 5) - 2)
    lengths = np.linalg.norm(cells, axis=1)
    offsets = cells[np.argsort(lengths, kind="stable")]
    reads = {"hops": np.arange(12.0), "plane": np.unique(lengths), "offsets": offsets}[able.reads]
    return np.asarray(able.weight(reads[some], width))


@check("kernel")
def check_weights(component: Any, subject: Subject) -> None:
    """Its weights are finite, not negative unless it inhibits, above 0 at the winner, each by its
    own hop count alone, the same again and in several threads.
    """
    for width in _WIDTHS:
        weights = _weights(component, width)
        assert weights.dtype.kind == "f", f"weights are {weights.dtype}"
        alone = [_weights(component, width, [0, hops])[1] for hops in (0, 1, 5)]
        same = np.array_equal(alone, weights[[0, 1, 5]])
        assert same, f"width {width}: a weight depends on the other hop counts"
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: _weights(component, width), range(64)):  # noqa: B023
                assert np.array_equal(found, weights), "two calls differ"


def _must_decrease(kernel: Any) -> bool:
    able = Guarded(kernel)
    return not (able.rises or able.inhibits or able.reads == "offsets")


@check("kernel", _must_decrease)
def check_weights_fall(component: Any, subject: Subject) -> None:
    """Its weights do not grow with the hops: who learns from afar says ``rises = True``, nor fall
    faster at a larger width.
    """
    shares = []
    for width in _WIDTHS:
        weights = _weights(component, width)
        shares.append(float(weights.sum() / weights[0]))
    assert shares[0] <= shares[-1], "a larger width gives neighbours smaller weights"


# -------------------------------------------------------------------------------- growth

_EPOCHS, _SPLIT, _ROOM = 12, 5, 3  # epochs, those before an interruption; births an epoch
_LONG, _MOST = 400, 4  # epochs of a whole fit, and neurons for each of its samples


def _requests(growth: Any, som_map: SomMap, room: int | None = None, **changed: Any) -> list[Any]:
    growing = Guarded(growth)
    threshold = growing.growing_threshold(fixtures.summary())
    state = replace(fixtures.growth_state(som_map, threshold, room), **changed)
    found: list[Any] = growing.grow(som_map, state)
    return found


def _apply(growth: Any, som_map: SomMap, wanted: list[Any], epoch: int = 20) -> SomMap:
    # Apply requested changes to the map and renumber the strategy; raises for an invalid birth.
    growing = Guarded(growth)
    grown = apply_growth(som_map, wanted, epoch, may_disconnect=growing.may_disconnect)
    if grown.births or grown.changes:
        growing.renumber(grown.rows)
    return grown.som_map


def _restart(growth: Any, remembered: Any = None) -> Any:
    # A copy of the strategy as at the start of a training, or resumed with its stored state.
    fresh = type(growth).model_validate(given_fields(growth))
    fresh.remember(remembered)
    return fresh


def _run_growth(
    growth: Any, som_map: SomMap, first: int, last: int, epochs: int = 50, idle: int = 0
) -> tuple[list[Any], SomMap]:
    # The changes requested in some epochs, with a few births in each, and the map that results.
    # The first ``idle`` neurons win no samples.
    found = []
    for epoch in range(first, last + 1):
        hits = fixtures.growth_state(som_map, 1.0).hits
        hits = np.where(np.arange(len(som_map)) < idle, 0, hits)
        changes, born = split_changes(
            _requests(growth, som_map, _ROOM, epoch=epoch, epochs=epochs, hits=hits)
        )
        wanted = [*changes, *born[:_ROOM]]
        som_map = _apply(growth, som_map, wanted, epoch)
        found += wanted
    return found, som_map


def _assert_same_growth(first: list[Any], second: list[Any], message: str) -> None:
    (changes, born), (others, again) = split_changes(first), split_changes(second)
    assert changes == others and len(born) == len(again), message
    for one, other in zip(born, again, strict=True):
        same = (one.position, one.parent) == (other.position, other.parent)
        assert same and np.array_equal(one.prototype, other.prototype), message


@check("growth")
def check_growing_threshold(component: Any, subject: Subject) -> None:
    """Its threshold is a finite number, its map starts with at least two neurons."""
    growing: Any = Guarded(component)
    growing.growing_threshold(fixtures.summary())
    rows, columns = start_shape(growing)
    assert rows * columns >= 2, f"starts with {rows} × {columns} neurons"


@check("growth")
def check_births(component: Any, subject: Subject) -> None:
    """Every birth takes a free linked cell, has a finite prototype and a living parent: among
    squares, hexagons and, unless its ``grows_in_line`` is False, on a line; it answers the same
    when asked again, whatever room there is.
    """
    row = SomMap.rectangle(1, 5, fixtures.generator().standard_normal((5, 4)), LINE)
    in_line = Guarded(component).grows_in_line
    for som_map in (fixtures.ring(), fixtures.ring(HEXAGONAL), *([row] if in_line else ())):
        growth = _restart(component)
        _apply(growth, som_map, _requests(growth, som_map))
    for room in (0, 1, 100):
        _requests(_restart(component), fixtures.ring(), room)
    first, second = (_requests(_restart(component), fixtures.ring()) for _ in range(2))
    _assert_same_growth(first, second, "two calls differ")


@check("growth")
def check_changes(component: Any, subject: Subject) -> None:
    """Neurons without hits or with: what dies or is put between leaves a map that can be."""
    for grid, idle in ((SQUARE, 0), (SQUARE, 9), (HEXAGONAL, 9)):
        start = SomMap.rectangle(4, 5, fixtures.generator().standard_normal((20, 4)), grid)
        grown = _run_growth(_restart(component), start, 1, _EPOCHS, _EPOCHS + 1, idle)[1]
        split = grown.is_apart and not Guarded(component).may_disconnect
        assert len(grown) and not split, "its deaths take the map apart"


@check("growth")
def check_growth_resumes(component: Any, subject: Subject) -> None:
    """A training that was interrupted goes on to the same births: `remembered` is all it keeps."""
    whole = _run_growth(_restart(component), fixtures.ring(), 1, _EPOCHS)[0]
    again = _run_growth(_restart(component), fixtures.ring(), 1, _EPOCHS)[0]
    message = "a second training differs from the first: it keeps something"
    _assert_same_growth(whole, again, message)
    first = _restart(component)
    wanted, som_map = _run_growth(first, fixtures.ring(), 1, _SPLIT)
    arrays: dict[str, Any] = {}  # as a checkpoint holds them
    try:
        plain = to_plain(first.remembered(), arrays, "what it remembers")
    except NotPlainError as error:
        raise AssertionError(f"no checkpoint can hold what it remembers: it {error}") from error
    kept = from_plain(json.loads(json.dumps(plain)), arrays.pop)
    wanted += _run_growth(_restart(component, kept), som_map, _SPLIT + 1, _EPOCHS)[0]
    lacks = type(first).remembered is GrowthComponent.remembered
    lost = "has no remembered() that gives it" if lacks else "does not remember all of it"
    message = f"births differ after an interruption: it keeps something and {lost}"
    _assert_same_growth(whole, wanted, message)


@check("growth", lambda component: Guarded(component).max_neurons is None)
def check_growth_ends(component: Any, subject: Subject) -> None:
    """Without ``max_neurons`` growth ends: a map of 40 samples has at most 160 neurons."""
    from dbgsom_core.estimators.som import SomClassifier

    most = _MOST * fixtures.SAMPLES

    def stop(epoch: EpochRecord) -> Stop | None:
        return STOP if epoch.neurons > most else None

    params = {"growth": _restart(component), "epochs": _LONG, "tol": 0, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = SomClassifier(**params, callbacks=stop)
        fitted.fit(fixtures.data(), fixtures.classes())
    n = len(fitted.leaf_weights_)
    assert n <= most, (
        f"after {len(fitted.history_)} epochs the map of {fixtures.SAMPLES} samples has {n} "
        "neurons: births must end where errors are below the threshold, or at a max_neurons"
    )


@check("growth", lambda component: Guarded(component).wants_children is not None)
def check_children(component: Any, subject: Subject) -> None:
    """Vertical growth answers for every neuron, twice the same."""
    som_map = fixtures.ring()
    n = len(som_map)
    state = VerticalState(1, np.linspace(0.0, 1.0, n), np.arange(n) * 100, 1.0)
    call_twice(component, "wants_children", som_map, state)


# ------------------------------------------------------- initialisations, grids, schedules


@check("initialisation")
def check_prototypes(component: Any, subject: Subject) -> None:
    """It gives a finite prototype for each cell of squares, hexagons and a line, by its rng."""
    for grid in (SQUARE, HEXAGONAL, LINE):
        data = fixtures.trained().evaluate(fixtures.data()).data
        shape = (1, 6) if grid.is_line else (2, 3)
        first, again = (
            Guarded(component).prototypes(start)
            for start in (
                Start(*shape, grid, data, data.moments(), np.random.RandomState(0))
                for _ in range(2)
            )
        )
        assert np.array_equal(first, again), "two calls differ: draw from rng"
        assert (first != first[0]).any(), "all prototypes are equal: no neuron wins a sample alone"


@check("grid")
def check_lattice(component: Any, subject: Subject) -> None:
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
def check_widths(component: Any, subject: Subject) -> None:
    """Its widths are finite numbers above 0, the same when asked twice, and go towards the end."""
    for start, end in ((4.0, 0.5), (1.0, 1.0), (1e-3, 1e3)):
        first, *_, last = (
            call_twice(component, "width", start, end, remaining)
            for remaining in (1.0, 0.5, 1 / 3, 0.0)
        )
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
def check_stops(component: Any, subject: Subject) -> None:
    """It says True or False from the first epoch on, `watch` a number, and it keeps nothing."""
    rule, history = Guarded(component), fixtures.trained().history_
    y = _targets(component)
    seen: Evaluation = fixtures.trained().evaluate(fixtures.data(), y, predictions=y)
    if y is not None and y.dtype.kind != "f":
        classes, codes = np.unique(y, return_inverse=True)
        shares = np.eye(len(classes))[codes]
        seen = replace(seen, classes=classes, probabilities_of=lambda data: shares[: data.n])
    watched: list[float] = []
    for epoch in range(1, len(history) + 1):
        final = epoch == len(history)
        state = StopState(history[:epoch], len(history), final, seen, seen, tuple(watched))
        if rule.watch is not None:
            watched.append(Guarded(component).watch(state))
            state = replace(state, watched=tuple(watched))
        if rule.is_best is not None:
            Guarded(component).is_best(state)
        answers = {Guarded(component).stop(state) for _ in range(20)}
        assert len(answers) == 1, "what a rule remembers is what its watch returns"


# ----------------------------------------------------------------------------- small fits


@check(MODEL_PART)
def check_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained with it, saved and loaded; of metrics and growth the same with any
    threads, and never past ``max_neurons``.
    """
    X, y = fixtures.data(), None
    parts = {"init" if subject.kind == "initialisation" else subject.kind: component}
    if subject.kind == "metric":
        X = fixtures.samples_for(component)
        fixtures.check_fit(X.astype(np.float32), **parts)
    elif subject.kind == "grid":
        rows = 1 if component.lattice(4, 4).is_line else 4
        parts["growth"] = {"name": "fixed", "rows": rows, "columns": 16 // rows}
    elif subject.kind == "stopping":
        y = _targets(component)
    elif subject.kind == "growth":
        parts["epochs"] = 20
        y = fixtures.classes() if Guarded(component).needs_classes else None
    elif subject.kind == "labeller" and Guarded(component).needs_target:
        y = np.arange(fixtures.SAMPLES) % 3
        if not fixtures.only_regresses(component):
            fixtures.check_fit(X, fixtures.classes(), **parts)
    estimator = fixtures.check_fit(X, y, **parts)
    if subject.kind in ("metric", "growth"):
        fixtures.check_threads(X, y, **parts)
    cap = getattr(component, "max_neurons", None)
    assert not isinstance(cap, int) or len(estimator.weights_) <= cap, "it grows past its cap"


# ------------------------------------------------------------------------------ labellers


def _evidence(component: Any, y: NDArray[Any] | None = None) -> Any:
    evidence = fixtures.evidence()
    if y is None and not fixtures.only_regresses(component):
        return evidence
    y = fixtures.data()[:, 0] if y is None else y
    return replace(evidence, y=y, classes=None, class_counts=None)


def _columns(component: Any) -> tuple[int, ...]:
    columns = Guarded(component).columns
    return () if columns is None else (len(columns),)


@check("labeller")
def check_labels(component: Any, subject: Subject) -> None:
    """It gives one label a neuron, or one for each of its ``columns``, the same again; without
    ``answer`` a class of the targets.
    """
    evidence = _evidence(component)
    labels = call_twice(component, "label", evidence)
    shape = (len(evidence.som_map), *_columns(component))
    assert labels.shape == shape, f"labels have shape {labels.shape}, not {shape}"
    able = Guarded(component)
    if evidence.classes is not None and able.needs_target and able.answer is None:
        strange = set(labels.tolist()) - set(evidence.classes.tolist())
        assert not strange, f"label {min(strange, key=str)!r} is no class of the targets"


@check("labeller", lambda component: Guarded(component).probabilities is not None)
def check_probabilities(component: Any, subject: Subject) -> None:
    """Its probabilities sum to 1, and the label of a neuron is one of the most probable classes."""
    evidence: Any = fixtures.evidence()
    shares = Guarded(component).probabilities(evidence)
    labels = Guarded(component).label(evidence)
    for neuron in np.flatnonzero(evidence.hits > 0):
        known = np.flatnonzero(evidence.classes == labels[neuron])
        assert all(shares[neuron, known] >= shares[neuron].max() - 1e-9), (
            f"neuron {neuron} is labelled {labels[neuron]!r}, which is not its most probable class"
        )


@check("labeller", lambda component: Guarded(component).answer is not None)
def check_answers(component: Any, subject: Subject) -> None:
    """It learns arrays, the same again, and answers samples from the groups around them, one by one
    and in threads as all together. Of groups far apart an answer is the label of the neuron.
    """
    regresses = fixtures.only_regresses(component)
    around = fixtures.surroundings(numbers=regresses)
    n, rng = len(around.X), np.random.default_rng(0)
    y = rng.normal(size=n) if regresses else rng.integers(0, 3, n)
    given = (around, y, None, fixtures.ring())
    state, again = (Guarded(component).learn(*given) for _ in range(2))
    same = state.keys() == again.keys() and all(np.array_equal(state[k], again[k]) for k in state)
    assert same, "it learns other arrays from the same samples: draw from a field seed"
    answers = Guarded(component).answer(around, state)
    shape = (n, *(_columns(component) if regresses else (3,)))
    assert answers.shape == shape, f"shape {answers.shape}, not {shape}"
    per_sample = ("distances", "weights", "values", "units", "X")
    parts = [slice(start, start + 5) for start in range(0, n, 5)]

    def answer(rows: slice) -> NDArray[Any]:
        some = replace(around, **{name: getattr(around, name)[rows] for name in per_sample})
        return np.asarray(Guarded(component).answer(some, state))

    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate([*map(answer, parts), *pool.map(answer, parts)])
    same = np.allclose(found, np.concatenate([answers, answers]))
    assert same, "a thread got other answers, or an answer depends on the other samples"
    X, group = fixtures.data(), np.arange(fixtures.SAMPLES) % 3
    X += 100.0 * group[:, None]
    fitted = fixtures.check_fit(X, 10.0 * group if regresses else group, labeller=component)
    bmu, k = fitted.bmu(X), len(fitted.weights_)
    counts = np.array([np.bincount(group[bmu == neuron], minlength=3) for neuron in range(k)])
    seen = fixtures.evidence()
    seen = replace(seen, som_map=fitted.som_map_, bmu=bmu, hits=counts.sum(axis=1), y=group,
                   classes=np.arange(3), class_counts=counts)  # fmt: skip
    if regresses:
        seen = replace(seen, y=10.0 * group, classes=None, class_counts=None)
    labels = Guarded(component).label(seen)
    apart = np.abs(fitted._point(fitted.predict(X)) - fitted._point(labels[bmu]))
    assert np.median(apart) < 1.0, "answer and label disagree on groups that are far apart"


# ------------------------------------------------ engines: the map does not depend on them

_SAMPLES, _FEATURES = 211, 5  # so that parts of any usual size are of different length
_MANY, _WIDE = 9001, 32  # above what the built-in engines hold unpacked or read at a time
_GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 14}
_LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_weights_", "leaf_hit_counts_",
)  # fmt: skip


def _samples(n: int = _SAMPLES, d: int = _FEATURES) -> tuple[NDArray[Any], ...]:
    # Samples, classes, weights, and the samples with missing values.
    generator = fixtures.generator()
    codes = generator.integers(0, 4, n)
    X = 3.0 * generator.standard_normal((4, d))[codes] + generator.standard_normal((n, d))
    gaps = np.where(generator.random(X.shape) < 0.1, np.nan, X)
    weights = generator.integers(0, 4, n).astype(np.float64)
    return X, np.array(["ash", "beech", "cedar", "yew"])[codes], weights, gaps


def _fit_both(component: Any, *data: Any, weights: Any = None, **parts: Any) -> tuple[Any, Any]:
    # Estimators fitted with this engine and with the built-in one.
    from dbgsom_core.estimators.som import SomClassifier, SomVQ

    estimator: Any = SomClassifier if "labeller" in parts else SomVQ
    params = {"growth": _GROWING, "epochs": 12, "tol": 0, "random_state": 0, **parts}
    mine, local = (
        estimator(engine=engine, **params).fit(*data, sample_weight=weights)
        for engine in (component, "local")
    )
    return mine, local


def _assert_same(mine: Any, local: Any) -> None:
    for name in _LEARNED:
        found, expected = getattr(mine, name), getattr(local, name)
        assert np.array_equal(found, expected), f"{name} differs from that of engine 'local'"
    found, expected = (
        [(epoch.quantization_error, epoch.movement, epoch.births) for epoch in fitted.history_]
        for fitted in (mine, local)
    )
    assert found == expected, "the epochs differ from those over engine 'local'"


def _assert_near(mine: Any, local: Any, X: Any) -> None:
    # The same units, and the same sums up to rounding.
    for name in ("neurons_", "labels_", "hit_counts_", "weights_", "errors_"):
        found, expected = (np.asarray(getattr(fitted, name)) for fitted in (mine, local))
        close = 1e-5 * float(np.abs(expected).max()) if name in ("weights_", "errors_") else 0.0
        near = found.shape == expected.shape and np.allclose(found, expected, 0, close)
        assert near, f"{name} of many differs from engine 'local'"
    assert np.array_equal(mine.predict(X), local.predict(X)), "predict differs for many samples"


def engine_check(function: Function) -> Function:
    """Add a function to the checks of engines; all its fits are in one session of the engine."""

    @wraps(function)
    def in_session(component: Any, subject: Subject) -> None:
        with Guarded(component).session():
            function(component, subject)

    return check("engine")(in_session)


@engine_check
def check_same_maps(component: Any, subject: Subject) -> None:
    """A map that it trains has the bits of the built-in engine's: of float32, weighted and missing
    values too, with classes and child maps, and when training goes on.
    """
    X, y, weights, gaps = _samples()
    for parts in ({}, {"metric": "manhattan"}, {"init": "random"}):
        for dtype in (np.float64, np.float32):
            _assert_same(*_fit_both(component, X.astype(dtype), **parts))
    _assert_same(*_fit_both(component, X, weights=weights))
    mine, local = _fit_both(component, gaps)
    _assert_same(mine, local)
    assert np.array_equal(mine.impute(gaps), local.impute(gaps)), "missing values differ"
    for growth in (_GROWING, {"name": "hierarchical", "base": _GROWING, "tau_2": 0.2}):
        mine, local = _fit_both(component, X, y, labeller="majority", growth=growth)
        _assert_same(mine, local)
        assert np.array_equal(mine.predict_proba(X), local.predict_proba(X)), "probabilities differ"
    mine, local = _fit_both(component, X[:90])
    _assert_same(mine.partial_fit(X[90:]), local.partial_fit(X[90:]))


@engine_check
def check_same_maps_of_many(component: Any, subject: Subject) -> None:
    """Of many samples it trains the map of the built-in engine, sums but for their last digits, of
    a memory-mapped file too, and the same bits when asked twice.
    """
    X, _, weights, _ = _samples(_MANY, _WIDE)
    X = X.astype(np.float32)
    mine, local = _fit_both(component, X, epochs=6)
    _assert_near(mine, local, X)
    again = clone(mine).fit(X)
    for name in _LEARNED:
        assert np.array_equal(getattr(again, name), getattr(mine, name)), f"{name} differs again"
    if type(component).opened is not EngineComponent.opened:
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/X.npy", X)
            mapped = np.load(f"{folder}/X.npy", mmap_mode="r")
            _assert_near(clone(mine).fit(mapped), local, X)
    wide = X.astype(np.float64)
    _assert_near(*_fit_both(component, wide, weights=weights, epochs=6), wide)


@engine_check
def check_same_incomplete_maps_of_many(component: Any, subject: Subject) -> None:
    """Of many samples with missing values it trains the built-in engine's map, or refuses them."""
    gaps = _samples(_MANY, _WIDE)[3]
    try:
        mine, local = _fit_both(component, gaps, epochs=6)
    except DataError as error:
        raise SkipTest(str(error)) from error
    _assert_near(mine, local, gaps)


@engine_check
def check_same_answers(component: Any, subject: Subject) -> None:
    """It answers for new samples as the built-in engine does, to the bit."""
    X = _samples()[0]
    mine, local = _fit_both(component, X[:120])
    new = X[120:]
    answers: dict[str, Callable[[Any], Any]] = {
        "predict": lambda one: one.predict(new),
        "bmu": lambda one: one.bmu(new, 3),
        "distances": lambda one: one.transform(new, "distances"),
        "mixture": lambda one: one.transform(new, "mixture"),
        "score_samples": lambda one: one.score_samples(new),
        "quantization error": lambda one: one.calculate_quantization_error(new),
        "evaluation": lambda one: one.evaluate(new).distance,
        "chunks": lambda one: np.vstack([block for _, block in one.evaluate(new).chunks()]),
    }
    for name, of in answers.items():
        assert np.array_equal(of(mine), of(local)), f"{name} differs from engine 'local'"
