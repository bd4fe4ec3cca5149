"""What components get is read-only, what they return is checked, what they raise names them."""

import inspect
import itertools
import pickle
import signal
from typing import ClassVar

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import (
    Birth,
    GrowthComponent,
    KernelComponent,
    LabellerComponent,
    MeasureComponent,
    MetricComponent,
    ScheduleComponent,
)
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.guard import guarded, is_own
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import fixtures


class Flat(KernelComponent):
    """Equal weights."""

    def weight(self, hops, width):
        return np.ones(len(hops))


class Sprout(GrowthComponent):
    """A neuron in every second epoch."""

    def grow(self, som_map, state):
        if state.epoch % 2 or not state.room:
            return []
        for neuron in range(len(som_map)):
            for cell in som_map.free_cells(neuron):
                return [Birth(cell, som_map.prototypes[neuron], neuron)]
        return []


class Far(MetricComponent):
    """Manhattan distance."""

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None] - prototypes).sum(axis=2)


class Most(LabellerComponent):
    """The most frequent class."""

    needs_target: ClassVar[bool] = True

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmax(axis=1)]


BASES = {"kernel": Flat, "growth": Sprout, "metric": Far, "labeller": Most}


def odd(kind, **methods):
    return type("Odd", (BASES[kind],), {"__doc__": "Odd.", "__module__": __name__, **methods})()


def raising(error):
    def method(self, *given):
        raise error

    return method


def answering(answer):
    return lambda self, *given: answer(*given)


def fit(iris, **parts):
    growth = parts.pop("growth", {"name": "directed", "max_neurons": 8})
    return SomClassifier(epochs=8, random_state=0, growth=growth, **parts).fit(*iris)


WRONG = [
    ("kernel", "weight", lambda h, w: np.ones(len(h))[:-1], r"expected weights of shape \(3,\)"),
    ("kernel", "weight", lambda h, w: np.full(len(h), np.nan), "nan to nan; expected finite"),
    ("kernel", "weight", lambda h, w: -np.ones(len(h)), "weight -1; expected at least 0"),
    ("kernel", "weight", lambda h, w: h, "a winner's weight, at no hops, from 0 to 0"),
    ("kernel", "weight", lambda h, w: 1.0 + h, "weights that grow with the hops"),
    ("metric", "pairwise", lambda X, W: -np.ones((len(X), len(W))), "distances from -1 to"),
    ("metric", "pairwise", lambda X, W: np.full((len(X), len(W)), np.nan), "expected finite"),
    ("metric", "assign", lambda X, W: (np.full(len(X), 99), np.ones(len(X))), "to 99; .* at most"),
    ("metric", "prepare", lambda X: X[1:], "one for each sample"),
    ("metric", "centre", lambda means: means * np.inf, "prototypes from inf to inf"),
    ("growth", "grow", lambda m, s: [((0, -1), m.prototypes[0] * np.nan, 0)], "expected finite"),
    ("growth", "grow", lambda m, s: [((0, 0.5), m.prototypes[0], 0)], "expected integers"),
    ("growth", "grow", lambda m, s: (Birth((x, 0), m.prototypes[0], 0) for x in itertools.count(2)),
     "returned more than"),
    ("growth", "growing_threshold", lambda summary: np.inf, "inf; expected finite"),
    ("growth", "start_shape", lambda: (10**6, 10**6), "at most 65536"),
    ("labeller", "label", lambda e: e.classes[:2], r"shape \(2,\).*; expected labels"),
    ("labeller", "probabilities", lambda e: e.class_counts + 1.0, "sums of probabilities"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "method", "answer", "words"), WRONG)
def test_what_a_component_returns_is_checked(kind, method, answer, words, iris):
    place = inspect.getsourcelines(answering)[1] + 1
    head = rf"{kind} Odd \(test_border.py:{place}\): {method} .*{words}"
    with pytest.raises(ComponentError, match=head) as caught:
        fit(iris, **{kind: odd(kind, **{method: answering(answer)})})
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("birth", "words"),
    [(((0, 0), 0), "taken"), (((9, 9), 0), "no neuron is beside"), (((0, -1), 9), "no living par")],
)
def test_a_birth_that_cannot_be_names_the_strategy(birth, words, iris):
    cell, parent = birth
    growth = odd("growth", grow=lambda self, m, s: [(cell, m.prototypes[0], parent)])
    with pytest.raises(ComponentError, match=f"growth Odd: .*{words}"):
        fit(iris, growth=growth)


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(0), StopIteration()])
@pytest.mark.parametrize(
    ("kind", "method"),
    [("kernel", "weight"), ("metric", "pairwise"), ("growth", "grow"), ("labeller", "label")],
)
def test_whatever_a_component_raises_names_it(kind, method, error, iris):
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
        ("metric", "prepare", lambda self, X: np.multiply(X, 0, out=X)),
        ("metric", "pairwise", lambda self, X, W: np.multiply(X, 0, out=X)),
        ("kernel", "weight", lambda self, h, w: np.multiply(h, 0, out=h)),
        ("growth", "grow", lambda self, m, s: s.errors.sort()),
        ("growth", "grow", lambda self, m, s: np.multiply(m.prototypes, 0, out=m.prototypes)),
        ("labeller", "label", lambda self, e: e.y.sort()),
    ],
)
def test_what_a_component_gets_cannot_be_written(kind, method, body, iris):
    X, y = (one.copy() for one in iris)
    with pytest.raises(ComponentError, match="read-only"):
        fit((X, y), **{kind: odd(kind, **{method: body})})
    assert np.array_equal(X, iris[0])
    assert np.array_equal(y, iris[1])
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


def test_what_a_component_makes_of_a_map_or_an_evaluation_is_its_own(iris):
    def adding(self, som_map, state):
        som_map.add([Birth((0, 2), som_map.prototypes[0], 4)], 1)
        return []

    som_map = SomMap.rectangle(2, 4, np.zeros((8, 2)))
    assert guarded(odd("growth", grow=adding)).grow(som_map, None) == []
    assert len(som_map) == 8
    assert som_map.prototypes.flags.writeable

    class Sorting(MeasureComponent):
        """Sorts in place what was made for it."""

        greater_is_better: ClassVar[bool] = False

        def compute(self, evaluation):
            evaluation.bmu.sort()
            return float(evaluation.bmu[0])

    estimator = fixtures.trained()
    evaluation = estimator.evaluate(fixtures.data())
    compute = guarded(Sorting()).compute
    compute(evaluation)
    assert np.array_equal(evaluation.bmu, estimator.bmu(fixtures.data()))
    with pytest.raises(ComponentError, match="read-only"):  # what is there is read-only
        compute(evaluation)
    assert evaluation.X.flags.writeable


def test_a_geometry_is_not_taken_on_trust(iris):
    class Squared(Far):
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


def by_chance(answer):
    return lambda *given: answer(*given) * np.random.default_rng().uniform(0.5, 1)


def lopsided(self, X, prototypes):
    gaps = X[:, None].astype(np.float64) - prototypes
    return np.where(gaps < 0, -2 * gaps, gaps).sum(axis=2)


def fading(self, hops, width):
    return np.exp(-hops / width)


def narrowing(self, start, end, remaining):
    return end + (start - end) * remaining


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("metric", by_chance(Far.pairwise), "answers otherwise when it is asked again"),
        ("metric", lopsided, "the distance .*; expected .*, as its claims symmetry"),
        (
            "metric",
            lambda *given: Far.pairwise(*given) + 1,
            "1 .*; expected 0, as its claims identity",
        ),
        (
            "metric",
            lambda *given: Far.pairwise(*given).astype(int),
            "int64.*; expected float d",
        ),
        ("kernel", by_chance(fading), "expected the same, without chance"),
        (
            "kernel",
            lambda *given: fading(*given) / fading(*given).sum(),
            "whatever else is asked",
        ),
        (
            "kernel",
            lambda *given: fading(*given) * 1e-200,
            "winner's weight, .* from 1e-200",
        ),
        ("schedule", by_chance(narrowing), "expected the same, without chance"),
    ],
)
def test_a_fit_refuses_what_a_few_questions_show(kind, method, words, iris):
    claims = {"claims": ("identity", "symmetry"), "__annotations__": {"claims": ClassVar}}
    name = {"metric": "pairwise", "kernel": "weight", "schedule": "width"}[kind]
    members = {name: method, **(claims if kind == "metric" else {})}
    part = type("Odd", (BASES.get(kind, ScheduleComponent),), {"__doc__": "x", **members})()
    with pytest.raises(ComponentError, match=rf"^{kind} Odd.*{words}"):
        fit(iris, **{kind: part})


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"needs_classes": property(raising(AttributeError("inside")))}, "AttributeError: inside"),
        (
            {"fine_tuning": property(lambda self: 3)},
            "has fine_tuning = 3: .* less than 1",
        ),
        (
            {"growing_epochs": property(lambda self: 0)},
            "growing_epochs = 0: .* greater than 0",
        ),
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
        assert is_own(cls())
        assert not is_own(twins[kind])
    mine, usual = (SomVQ(epochs=20, **parts).fit(iris[0]) for parts in (twins, {}))
    assert np.array_equal(mine.weights_, usual.weights_)
    assert mine.growth_events_ == usual.growth_events_


def test_a_fitted_estimator_with_a_component_survives_pickle(iris):
    estimator = SomVQ(growth=Sprout(), epochs=6).fit(iris[0])
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.predict(iris[0]), estimator.predict(iris[0]))
