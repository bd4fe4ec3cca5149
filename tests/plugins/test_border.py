"""What components get is read-only, what they return is checked, what they raise names them."""

import inspect
import itertools
import pickle
import signal
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import (
    Birth,
    MeasureComponent,
)
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.testing import fixtures

sys.path.insert(0, str(Path(__file__).parent))
import faulty

FINE = {
    "kernel": faulty.Kernel,
    "growth": faulty.Growth,
    "metric": faulty.Metric,
    "labeller": faulty.Labeller,
    "schedule": faulty.Narrowing,
}


def odd(kind, **methods):
    return type("Odd", (FINE[kind],), {"__doc__": "Odd.", "__module__": __name__, **methods})()


def raising(error):
    def method(self, *given):
        raise error

    return method


def answering(answer):
    return lambda self, *given: answer(*given)


def fit(iris, **parts):
    growth = parts.pop("growth", {"name": "directed", "max_neurons": 8})
    return SomClassifier(epochs=8, random_state=0, growth=growth, **parts).fit(*iris)


@pytest.mark.parametrize(
    ("kind", "method", "answer", "words"),
    [
        ("kernel", "weight", lambda h, w: np.ones(len(h))[:-1], r"weights of shape \(3,\)"),
        ("kernel", "weight", lambda h, w: -np.ones(len(h)), "weight -1; expected at least 0"),
        ("kernel", "weight", lambda h, w: 1.0 + h, "weights that grow with the hops"),
        ("metric", "pairwise", lambda X, W: -np.ones((len(X), len(W))), "distances from -1 to"),
        ("metric", "assign", lambda X, W: (np.full(len(X), 99), np.ones(len(X))), "to 99; "),
        ("metric", "prepare", lambda X: X[1:], "one for each sample"),
        ("metric", "centre", lambda means: means * np.inf, "prototypes from inf to inf"),
        (
            "growth",
            "grow",
            lambda m, s: [((0, -1), m.prototypes[0] * np.nan, 0)],
            "expected finite",
        ),
        ("growth", "grow", lambda m, s: [((0, 0.5), m.prototypes[0], 0)], "expected integers"),
        ("growth", "grow", lambda m, s: [((0, 0), m.prototypes[0], 0)], "taken"),
        ("growth", "grow", lambda m, s: [((9, 9), m.prototypes[0], 0)], "no neuron is beside"),
        (
            "growth",
            "grow",
            lambda m, s: (Birth((x, 0), m.prototypes[0], 0) for x in itertools.count(2)),
            "returned more than",
        ),
        ("growth", "grow", lambda m, s: [((0, -1), m.prototypes[0], 9)], "no living parent"),
        ("growth", "start_shape", lambda: (10**6, 10**6), "at most 65536"),
        ("growth", "growing_threshold", lambda summary: np.inf, "inf; expected finite"),
        ("labeller", "label", lambda e: e.classes[:2], r"shape \(2,\).*; expected labels"),
        ("labeller", "label", lambda e: np.full(len(e.hits), 9), "which is no class"),
        ("labeller", "probabilities", lambda e: e.class_counts + 1.0, "sums of probabilities"),
    ],
)
def test_what_a_component_returns_is_checked(kind, method, answer, words, iris):
    with pytest.raises(ComponentError, match=f"^{kind} Odd.*{words}") as caught:
        fit(iris, **{kind: odd(kind, **{method: answering(answer)})})
    assert caught.value.exit_code == 3


def lopsided(self, X, prototypes):
    gaps = X[:, None].astype(np.float64) - prototypes
    return np.where(gaps < 0, -2 * gaps, gaps).sum(axis=2)


def by_chance(*given):
    return np.random.default_rng().uniform(0.5, 1)


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("metric", lambda *given: faulty.far(*given) * by_chance(), "when it is asked again"),
        ("metric", lopsided, "as its claims symmetry"),
        ("kernel", lambda self, hops, width: np.exp(-hops) * by_chance(), "without chance"),
        ("schedule", by_chance, "without chance"),
    ],
)
def test_a_fit_refuses_what_a_few_questions_show(kind, method, words, iris):
    claims = {"claims": ("identity", "symmetry"), "__annotations__": {"claims": ClassVar}}
    name = {"metric": "pairwise", "kernel": "weight", "schedule": "width"}[kind]
    part = odd(kind, **{name: method}, **(claims if kind == "metric" else {}))
    with pytest.raises(ComponentError, match=rf"^{kind} Odd.*{words}"):
        fit(iris, **{kind: part})


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(0), StopIteration()])
@pytest.mark.parametrize(
    ("kind", "method"), [("kernel", "weight"), ("metric", "pairwise"), ("labeller", "label")]
)
def test_whatever_a_component_raises_names_it_and_its_line(kind, method, error, iris):
    line = inspect.getsourcelines(raising)[1] + 2
    head = rf"{kind} Odd \(test_border.py:{line}\): {type(error).__name__}"
    with pytest.raises(ComponentError, match=head):
        fit(iris, **{kind: odd(kind, **{method: raising(error)})})


def test_an_interrupt_is_no_fault_of_a_component(iris):
    kernel = odd("kernel", weight=lambda self, h, w: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(iris, kernel=kernel)


@pytest.mark.parametrize(
    ("kind", "method", "body"),
    [
        ("metric", "pairwise", lambda self, X, W: np.multiply(X, 0, out=X)),
        ("kernel", "weight", lambda self, h, w: np.multiply(h, 0, out=h)),
        ("growth", "grow", lambda self, m, s: s.errors.sort()),
        ("growth", "grow", lambda self, m, s: np.multiply(m.prototypes, 0, out=m.prototypes)),
        ("labeller", "label", lambda self, e: e.y.sort()),
    ],
)
def test_what_a_component_gets_cannot_be_written(kind, method, body, iris):
    X, y = (array.copy() for array in iris)
    with pytest.raises(ComponentError, match="read-only"):
        fit((X, y), **{kind: odd(kind, **{method: body})})
    assert np.array_equal(X, iris[0])
    assert X.flags.writeable
    assert y.flags.writeable


def test_what_a_labeller_learnt_cannot_be_written(iris):
    """Several threads answer by it, and the next ones."""

    def answer(self, around, state):
        state["seen"][0] += 1
        return np.eye(around.n_classes)[around.values[:, 0]]

    learnt = {"seen": np.zeros(1)}
    labeller = odd("labeller", learn=lambda self, *given: learnt, answer=answer)
    with pytest.raises(ComponentError, match="read-only"):
        fit(iris, labeller=labeller)
    assert learnt["seen"][0] == 0


def test_what_a_measure_writes_into_an_evaluation_ends_with_the_call():
    class Sorting(MeasureComponent):
        """Sorts in place what was made for it."""

        greater_is_better: ClassVar[bool] = False

        def compute(self, evaluation):
            evaluation.bmu.sort()
            return float(evaluation.bmu[0])

    estimator = fixtures.trained()
    evaluation = estimator.evaluate(fixtures.data())
    guarded(Sorting()).compute(evaluation)
    assert np.array_equal(evaluation.bmu, estimator.bmu(fixtures.data()))


def test_a_geometry_is_not_taken_on_trust(iris):
    class Squared(faulty.Metric):
        """The root is missing."""

        geometry: ClassVar[str] = "euclidean"

        def pairwise(self, X, prototypes):
            return np.square(X[:, None] - prototypes).sum(axis=2)

    class Rooted(Squared):
        """It is there."""

        def pairwise(self, X, prototypes):
            return np.sqrt(super().pairwise(X, prototypes))

    with pytest.raises(ComponentError, match=r"expected .*, as its geometry is 'euclidean'"):
        fit(iris, metric=Squared())
    assert np.array_equal(fit(iris, metric=Rooted()).weights_, fit(iris).weights_)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"needs_classes": property(raising(AttributeError("inside")))}, "AttributeError: inside"),
        ({"fine_tuning": property(lambda self: 3)}, "has fine_tuning = 3: .* less than 1"),
    ],
)
def test_attributes_that_raise_or_cannot_be_name_the_component(attributes, words):
    with pytest.raises(ComponentError, match=f"growth Odd.*{words}"):
        guarded(odd("growth", **attributes))


def test_a_subclass_of_a_built_in_trains_the_same_map_through_the_guard(iris):
    twins = {}
    for kind, name in (("kernel", "gaussian"), ("growth", "directed"), ("metric", "euclidean")):
        cls = get_registry().find(kind, name)
        twins[kind] = type(cls.__name__, (cls,), {"__doc__": "x", "__module__": __name__})()
    mine, usual = (SomVQ(epochs=20, **parts).fit(iris[0]) for parts in (twins, {}))
    assert np.array_equal(mine.weights_, usual.weights_)
    assert mine.growth_events_ == usual.growth_events_


def test_a_fitted_estimator_with_a_component_survives_pickle(iris):
    fitted = SomVQ(growth=faulty.Growth(), epochs=3).fit(iris[0])
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(iris[0]), fitted.labels_)
