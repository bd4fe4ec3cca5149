"""Checks of the parts of a model: most of them are what small fits must give."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.loops import fill_hops
from dbgsom_core.errors import DataError, PluginError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.estimators.som import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.interfaces.component import Guarded, given_fields
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.stopping import STOP, Stop, judges_targets, measures_of
from dbgsom_core.persistence import load
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import MODEL_PART, check, kind_of
from dbgsom_core.training.parts import is_suitable_measure

# ----------------------------------------------------------------------------- small fits

_INTERRUPTED = 7  # epoch after which a training is interrupted: no multiple of a usual period
_LONG = 400  # epochs of a whole fit: enough for growth that ends to end
_MOST = 4  # neurons for each of its samples
_SMALL_CHUNKS = {"name": "local", "threads": 2, "chunk_rows": 7}


def _targets(component: Any) -> Any:
    """Return the targets that a component needs beside `fixtures.data`; None: none."""
    able = Guarded(component)
    needed = getattr(able, "needs_target", False) or getattr(able, "needs_classes", False)
    numbers = fixtures.only_regresses(component)
    if kind_of(component) == "stopping":
        needed = judges_targets(component)
        numbers = not all(is_suitable_measure(m, "classifier") for m in measures_of(component))
    if numbers:
        return fixtures.data()[:, 0]
    return fixtures.classes() if needed else None


def _fit(component: Any, X: Any = None, y: Any = None, **params: Any) -> Any:
    """Return an estimator that was trained with a component, on data that suit it."""
    kind = kind_of(component)
    growth = {"name": "fixed", "rows": 2, "columns": 3}
    if kind == "grid":
        growth |= {"rows": 1 if component.lattice(4, 4).is_line else 4, "columns": 4}
    if X is None:
        X = fixtures.data()
    if y is None:
        y = _targets(component)
    part = {"init" if kind == "initialisation" else kind: component}
    params = {"growth": growth, "epochs": 20, "tol": 0, "random_state": 0, **part, **params}
    if y is None:
        return SomVQ(**params).fit(X)
    supervised = SomRegressor if y.dtype.kind == "f" else SomClassifier
    return supervised(**params).fit(X, y)


def _alike(first: Any, second: Any) -> bool:
    """Return whether arrays are equal, floats but for rounding."""
    first = np.asarray(first)
    second = np.asarray(second)
    if first.dtype.kind != "f" or first.shape != second.shape:
        return np.array_equal(first, second)
    return np.allclose(first, second, rtol=1e-9, atol=1e-12)


def _assert_same_fit(first: Any, second: Any, message: str) -> None:
    for name in ("neurons_", "weights_", "labels_"):
        assert _alike(getattr(first, name), getattr(second, name)), message


@check(MODEL_PART)
def check_tiny_fit(component: Any) -> None:
    """A small map is trained with it, the same a second time and with other threads, on squares and
    hexagons where it grows and of float32 where it is a metric; saved and loaded it answers alike.
    """
    again: dict[str, Any] = {"engine": _SMALL_CHUNKS}
    variants: list[dict[str, Any]] = [{"X": fixtures.data()}]
    kind = kind_of(component)
    if kind == "engine":
        again = {}
    elif kind == "growth":
        variants = [{"X": fixtures.data(), "grid": grid} for grid in ("square", "hexagonal")]
    elif kind == "metric":
        samples = fixtures.samples_for(component)
        variants = [{"X": samples}, {"X": samples.astype(np.float32)}]
    for params in variants:
        som = _fit(component, **params)
        assert np.isfinite(som.weights_).all(), "the fit leaves prototypes that are not finite"
        second = _fit(component, **params, **again)
        _assert_same_fit(som, second, "a second training, with other threads, differs")
        _assert_saved(som, params["X"])


def _assert_saved(som: Any, X: NDArray[Any]) -> None:
    try:
        for _, kind, part in som._parts.each():
            get_registry().identify(kind, part)
    except PluginError:  # not installed: it cannot be loaded by name
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        som.save(path)
        same = np.array_equal(load(path).predict(X), som.predict(X))
    assert same, "a saved and loaded model answers differently"


def _keeps_state(component: Any) -> bool:
    return kind_of(component) in ("growth", "stopping")


@check(MODEL_PART, _keeps_state)
def check_resumes(component: Any) -> None:
    """A training that was interrupted goes on to the same map: what it keeps from epoch to epoch is
    what `remembered` of growth or `watch` of a stopping rule returns.
    """

    def fit(**params: Any) -> Any:
        copy = type(component).model_validate(given_fields(component))
        return _fit(copy, **params)

    def interrupt(epoch: EpochRecord) -> None:
        if epoch.epoch == _INTERRUPTED:
            raise KeyboardInterrupt  # another error would be a warning

    with TemporaryDirectory() as folder:
        checkpoint = Checkpoints(Path(folder, "fit.npz"), seconds=0.0)
        with suppress(KeyboardInterrupt):
            fit(checkpoint=checkpoint, callbacks=interrupt)
        resumed = fit(checkpoint=checkpoint)
    message = "the map differs after an interruption: it keeps something that no checkpoint has"
    _assert_same_fit(fit(), resumed, message)


# ------------------------------------------------------------------------ kernels, growth


@check("kernel")
def check_weights(component: Any) -> None:
    """Its weights are finite, not negative unless it inhibits, above 0 at the winner, each by its
    own hop count alone; they do not grow with the hops unless it says ``rises = True``, nor fall
    faster at a larger width.
    """
    kernel = Guarded(component)
    cells = SQUARE.plane(SQUARE.rectangle(5, 5) - 2)
    lengths = np.linalg.norm(cells, axis=1)
    offsets = cells[np.argsort(lengths, kind="stable")]
    given = {"hops": np.arange(12.0), "plane": np.unique(lengths), "offsets": offsets}
    sums = []
    for width in (0.2, 0.37, 1.0, 3.3, 20.0):
        weights = np.asarray(kernel.weight(given[kernel.reads], width))
        assert weights.dtype.kind == "f", f"weights are {weights.dtype}"
        sums.append(weights.sum() / weights[0])
    if not (kernel.rises or kernel.inhibits or kernel.reads == "offsets"):
        assert sums[0] <= sums[-1], "a larger width gives neighbours smaller weights"


@check("growth", lambda component: Guarded(component).max_neurons is None)
def check_growth_ends(component: Any) -> None:
    """Without ``max_neurons`` growth ends: a map of 40 samples has at most 160 neurons."""
    most = _MOST * fixtures.SAMPLES

    def stop(epoch: EpochRecord) -> Stop | None:
        return STOP if epoch.neurons > most else None

    som = _fit(component, epochs=_LONG, callbacks=stop)
    n = len(som.leaf_weights_)
    assert n <= most, (
        f"after {len(som.history_)} epochs the map of {fixtures.SAMPLES} samples has {n} neurons: "
        "births must end where errors are below the threshold, or at a max_neurons"
    )


# ------------------------------------------------------- initialisations, grids, schedules


@check("initialisation")
def check_prototypes(component: Any) -> None:
    """It gives a finite prototype for each cell of squares, hexagons and a line, not all equal."""
    data = fixtures.trained().evaluate(fixtures.data()).data
    for rows, grid in ((2, SQUARE), (2, HEXAGONAL), (1, LINE)):
        start = Start(rows, 6 // rows, grid, data, data.moments(), np.random.RandomState(0))
        prototypes = Guarded(component).prototypes(start)
        assert (prototypes != prototypes[0]).any(), (
            "all prototypes are equal: no neuron wins a sample alone"
        )


@check("grid")
def check_lattice(component: Any) -> None:
    """It has a name, small maps hang together, and steps are least numbers of links."""
    lattice = Guarded(component).lattice(4, 4)
    assert lattice.name, "its name is empty"
    rows = 1 if lattice.is_line else 4
    som_map = SomMap.rectangle(rows, 16 // rows, np.zeros((16, 1)), lattice)
    assert not som_map.is_apart, "a map of 4 × 4 neurons does not hang together"
    cells = som_map.positions
    hops = np.array(som_map.hops)
    fill_hops(hops, som_map.links)
    same = np.array_equal(hops, lattice.steps(cells[:, None], cells))
    assert same, "steps and links differ: are the links all around a cell?"


@check("schedule")
def check_widths(component: Any) -> None:
    """Its widths are finite numbers above 0, the same when asked twice, and go towards the end."""
    for start, end in ((4.0, 0.5), (1.0, 1.0), (1e-3, 1e3)):
        first, *_, last = (Guarded(component).width(start, end, left) for left in (1, 0.5, 0.1, 0))
        wrong = (first - last) * (start - end) < 0
        assert not wrong, f"from {start:g} to {end:g} it goes from {first:g} to {last:g}"


# ------------------------------------------------------------------------------ labellers


@check("labeller")
def check_answers(component: Any) -> None:
    """It answers samples in a few, and in threads, as all together; where it needs targets, of
    groups that are far apart with the right one, and of classes with the most probable one.
    """
    group = np.arange(fixtures.SAMPLES) % 3
    X = fixtures.data() + 100.0 * group[:, None]
    y = _targets(component)
    numbers = y is not None and y.dtype.kind == "f"
    if numbers:
        y = 10.0 * group
    som = _fit(component, X, y)
    answers = som.predict(X)
    with ThreadPoolExecutor(4) as pool:
        parts = np.concatenate(list(pool.map(som.predict, np.array_split(X, 8) * 4)))
    whole = np.concatenate([answers] * 4)
    assert _alike(parts, whole), (
        "a thread got other answers, or an answer depends on the other samples"
    )
    if y is None:
        return
    points = som._point(answers)
    right = points == y
    if numbers:
        right = np.abs(points - y) < 1.0
    assert right.mean() > 0.5, "of groups that are far apart it answers with another one"
    able = Guarded(component)
    if not numbers and (able.probabilities is not None or able.answer is not None):
        X = fixtures.generator().standard_normal((fixtures.SAMPLES, 2))  # whose classes overlap
        som = _fit(component, X)
        shares = som.predict_proba(X)
        chosen = shares[som.predict(X)[:, None] == som.classes_]
        likely = np.allclose(chosen, shares.max(axis=1))
        assert likely, "it answers with another class than its most probable one"


# ------------------------------------------------ engines: the map does not depend on them

_SAMPLES = 211  # so that parts of any usual size are of different length
_FEATURES = 5
_MANY = 9001  # with so many features above what the built-in engines hold unpacked, or read at once
_WIDE = 32
_GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 14}
_CHILD_MAPS = {"name": "hierarchical", "base": _GROWING, "tau_2": 0.2}
_LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_weights_", "leaf_hit_counts_",
)  # fmt: skip
_ANSWERS = "predict", "transform", "score_samples", "calculate_quantization_error"


def _fit_both(
    component: Any, X: NDArray[Any], y: Any = None, sample_weight: Any = None, **params: Any
) -> Any:
    """Return estimators that were trained with an engine and with the built-in one."""
    cls: Any = SomVQ if y is None else SomClassifier
    params = {"growth": _GROWING, "epochs": 12, "tol": 0, "random_state": 0, **params}
    estimators = []
    for engine in (component, "local"):
        estimators.append(cls(engine=engine, **params).fit(X, y, sample_weight=sample_weight))
    return estimators


def _assert_same_bits(mine: Any, local: Any, X: NDArray[Any]) -> None:
    for name in _LEARNED:
        same = np.array_equal(getattr(mine, name), getattr(local, name))
        assert same, f"{name} differs from that of engine 'local'"
    for method in _ANSWERS:
        same = np.array_equal(getattr(mine, method)(X), getattr(local, method)(X))
        assert same, f"{method} differs from that of engine 'local'"


@check("engine")
def check_same_maps(component: Any) -> None:
    """A map that it trains has the bits of the built-in engine's: of few and many samples, float32,
    weighted and missing values, with classes and child maps, and when training goes on; answers
    for new samples have, too.
    """
    rng = fixtures.generator()
    codes = rng.integers(0, 4, _SAMPLES)
    X = 3.0 * rng.standard_normal((4, _FEATURES))[codes]
    X += rng.standard_normal(X.shape)
    many = rng.standard_normal((_MANY, _WIDE)).astype(np.float32)
    gaps = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    many_gaps = np.where(rng.random(many.shape) < 0.1, np.nan, many)
    weights = {"sample_weight": rng.integers(0, 4, _MANY).astype(np.float64)}
    few_weights = {"sample_weight": codes.astype(np.float64)}
    child_maps = {"y": codes, "labeller": "majority", "growth": _CHILD_MAPS}
    cases: tuple[tuple[Any, dict[str, Any]], ...] = (
        (X, {}), (X, few_weights), (X, {"metric": "manhattan"}), (X, child_maps), (gaps, {}),
        (X.astype(np.float32), {}), (many, {}), (many, weights), (many_gaps, {}),
    )  # fmt: skip
    with Guarded(component).session():
        for samples, params in cases:
            with suppress(DataError):  # it may refuse missing values, say
                mine, local = _fit_both(component, samples, **params)
                _assert_same_bits(mine, local, samples[:_SAMPLES])
        mine, local = _fit_both(component, X[:90])
        _assert_same_bits(mine.partial_fit(X[90:]), local.partial_fit(X[90:]), X)
