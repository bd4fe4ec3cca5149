"""What components get stays as it was, what they return is judged, what they raise names them."""

import inspect
import itertools
import os
import pickle
import signal
import sys
from typing import ClassVar

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import Birth, Component, KernelComponent
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.guard import Guarded, guarded, is_from_a_signal, is_own
from dbgsom_core.plugins.callbacks import Callbacks
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.testing import material


class Flat(KernelComponent):
    """Answers with what it is told to, or does it."""

    def weight(self, hops, width):
        return np.ones(len(hops))


class Sprout(Component):
    """One neuron in every second epoch."""

    def grow(self, som_map, state):
        if state.epoch % 2 or not state.room:
            return []
        for neuron in range(len(som_map)):
            for cell in som_map.free_cells(neuron):
                return [Birth(cell, som_map.prototypes[neuron], neuron)]
        return []


class Far(Component):
    """Manhattan distance."""

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None] - prototypes).sum(axis=2)


class Most(Component):
    """The most frequent class."""

    needs_target: ClassVar[bool] = True

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmax(axis=1)]


def like(base, **methods):
    return type("Odd", (base,), {"__doc__": "Odd.", "__module__": __name__, **methods})()


def raising(error):
    def method(self, *given):
        raise error

    return method


def fit(iris, **parts):
    X, y = iris
    growth = parts.pop("growth", {"name": "directed", "max_neurons": 8})
    estimator = SomClassifier(epochs=8, random_state=0, growth=growth, **parts)
    return estimator.fit(X, y)


def answering(answer):
    return lambda self, *given: answer(*given)


WRONG = [
    ("kernel", Flat, "weight", lambda h, w: np.ones(len(h))[:-1], "returned weights of shape"),
    ("kernel", Flat, "weight", lambda h, w: np.full(len(h), np.nan), "that are not finite"),
    ("kernel", Flat, "weight", lambda h, w: -np.ones(len(h)), "returned a negative weight"),
    ("kernel", Flat, "weight", lambda h, w: h, "the winner learns nothing"),
    ("metric", Far, "pairwise", lambda X, W: -np.ones((len(X), len(W))), "negative distance"),
    ("metric", Far, "pairwise", lambda X, W: np.full((len(X), len(W)), np.nan), "not finite"),
    ("metric", Far, "assign", lambda X, W: (np.full(len(X), 99), np.ones(len(X))), "99 to 99 of"),
    ("metric", Far, "prepare", lambda X: X[1:], "rows stand for samples"),
    ("metric", Far, "centre", lambda means: means * np.inf, "prototypes that are not finite"),
    ("growth", Sprout, "grow", lambda m, s: [((0, 0), m.prototypes[0], 0)], "which is taken"),
    ("growth", Sprout, "grow", lambda m, s: [((9, 9), m.prototypes[0], 0)], "no neuron is"),
    ("growth", Sprout, "grow", lambda m, s: [((0, -1), m.prototypes[0] * np.nan, 0)], "not finite"),
    ("growth", Sprout, "grow", lambda m, s: [((0, -1), m.prototypes[0], 9)], "names parent 9"),
    ("growth", Sprout, "growing_threshold", lambda summary: np.inf, "returned inf"),
    ("growth", Sprout, "start_shape", lambda: (10**6, 10**6), "65536 neurons"),
    ("labeller", Most, "label", lambda e: e.classes[:2], r"shape \(2,\)"),
    ("labeller", Most, "probabilities", lambda e: e.class_counts + 1.0, "sum to"),
]


@pytest.mark.parametrize(("kind", "base", "method", "answer", "words"), WRONG)
def test_what_a_component_returns_is_judged(kind, base, method, answer, words, iris):
    odd = like(base, **{method: answering(answer)})
    place = inspect.getsourcelines(answering)[1] + 1
    head = rf"{kind} Odd \(test_border.py:{place}\): {method} .*{words}"
    with pytest.raises(ComponentError, match=head) as told:
        fit(iris, **{kind: odd})
    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), SystemExit(0), KeyboardInterrupt(), BaseException("x"), StopIteration()],
)
@pytest.mark.parametrize(
    ("kind", "base", "method"),
    [
        ("kernel", Flat, "weight"),
        ("metric", Far, "pairwise"),
        ("growth", Sprout, "grow"),
        ("labeller", Most, "label"),
    ],
)
def test_whatever_a_component_raises_names_it(kind, base, method, error, iris):
    line = inspect.getsourcelines(raising)[1] + 2
    head = rf"{kind} Odd \(test_border.py:{line}\): {type(error).__name__}"
    with pytest.raises(ComponentError, match=head):
        fit(iris, **{kind: like(base, **{method: raising(error)})})


def test_an_interrupt_of_a_person_is_no_fault_of_a_component(iris):
    kernel = like(Flat, weight=lambda self, h, w: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(iris, kernel=kernel)

    def handler(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(iris, kernel=kernel)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_told_from_one_that_is_raised():
    for raised, sent in ((lambda: signal.raise_signal(signal.SIGINT), True), (_interrupt, False)):
        with pytest.raises(KeyboardInterrupt) as told:
            raised()
        assert is_from_a_signal(told.value) is sent


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "base", "method", "body"),
    [
        ("metric", Far, "prepare", lambda self, X: np.multiply(X, 0, out=X)),
        ("metric", Far, "pairwise", lambda self, X, W: np.multiply(X, 0, out=X)),
        ("kernel", Flat, "weight", lambda self, h, w: np.multiply(h, 0, out=h)),
        ("growth", Sprout, "grow", lambda self, m, s: s.errors.sort()),
        ("labeller", Most, "label", lambda self, e: e.y.sort()),
    ],
)
def test_what_a_component_gets_cannot_be_written(kind, base, method, body, iris):
    X, y = (one.copy() for one in iris)
    with pytest.raises(ComponentError, match="read-only"):
        fit((X, y), **{kind: like(base, **{method: body})})
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
    odd = like(Most, learn=lambda self, around, y, weights, som_map: learnt, answer=answer)
    with pytest.raises(ComponentError, match="read-only"):
        fit(iris, labeller=odd)
    assert learnt["seen"][0] == 0


def test_a_strategy_that_changes_the_map_is_refused():
    def moving(self, som_map, state):
        som_map.prototypes[:] = 0
        return []

    def adding(self, som_map, state):
        som_map.add([Birth((1, 1), som_map.prototypes[0], 0)], 1)
        return []

    for body, words in ((moving, "read-only"), (adding, "grow changes the map")):
        som_map = material.ring()
        grow = Guarded("growth", like(Sprout, grow=body), "grow")
        with pytest.raises(ComponentError, match=words):
            grow(som_map, material.growth_state(som_map, 1.0))
        assert som_map.prototypes.flags.writeable


def test_a_measure_that_sorts_what_it_gets_changes_nothing_of_it():
    class Sorting(Component):
        """Sorts in place what was made for it."""

        greater_is_better: ClassVar[bool] = False

        def compute(self, evaluation):
            evaluation.bmu.sort()
            return float(evaluation.bmu[0])

    estimator = material.trained()
    evaluation = estimator.evaluate(material.data())
    guarded("measure", Sorting(), "compute")(evaluation)  # what it makes is its own
    assert np.array_equal(evaluation.bmu, estimator.bmu(material.data()))
    with pytest.raises(ComponentError, match="read-only"):  # and what is there is locked
        guarded("measure", Sorting(), "compute")(evaluation)
    assert np.array_equal(evaluation.bmu, estimator.bmu(material.data()))
    assert evaluation.X.flags.writeable


def test_endless_births_are_cut_at_the_room_left(iris):
    def endless(self, som_map, state):
        for x in itertools.count(2):
            yield Birth((x, 0), som_map.prototypes[0], 0)

    strategy = type(
        "Endless",
        (Sprout,),
        {"__doc__": "x", "__module__": __name__, "grow": endless, "max_neurons": 9,
         "__annotations__": {"max_neurons": ClassVar[int]}},
    )  # fmt: skip
    assert len(SomVQ(growth=strategy(), epochs=8).fit(iris[0]).weights_) == 9
    # 5√150, as with max_neurons='auto'
    with pytest.warns(UserWarning, match="growth Odd gives births without end and .* at 62 neur"):
        vq = SomVQ(growth=like(Sprout, grow=endless), epochs=8).fit(iris[0])
    assert len(vq.weights_) == 62


def test_endless_births_of_one_cell_are_an_error(iris):
    def endless(self, som_map, state):
        return itertools.repeat(Birth((2, 0), som_map.prototypes[0], 0))

    with pytest.raises(ComponentError, match=r"wants a birth in \(2, 0\), which is taken"):
        SomVQ(growth=like(Sprout, grow=endless), epochs=8).fit(iris[0])


def test_a_geometry_is_not_taken_on_trust(iris):
    class Squared(Far):
        """The root is missing."""

        geometry: ClassVar[str] = "euclidean"

        def pairwise(self, X, prototypes):
            return np.square(X[:, None] - prototypes).sum(axis=2)

    class True_(Squared):  # noqa: N801
        """It is there."""

        def pairwise(self, X, prototypes):
            return np.sqrt(super().pairwise(X, prototypes))

    with pytest.raises(ComponentError, match=r"geometry is not 'euclidean': it calls two samples"):
        fit(iris, metric=Squared())
    assert np.array_equal(fit(iris, metric=True_()).weights_, fit(iris).weights_)


def test_attributes_that_raise_or_lie_name_the_component():
    broken = property(raising(AttributeError("inside")))
    with pytest.raises(ComponentError, match=r"growth Odd .*AttributeError: inside"):
        GrowthAbilities.of(like(Sprout, needs_classes=broken))
    with pytest.raises(ComponentError, match=r"growth Odd .*has fine_tuning = 3"):
        GrowthAbilities.of(like(Sprout, fine_tuning=property(lambda self: 3)))
    with pytest.raises(ComponentError, match=r"growth Odd .*has growing_epochs = 0;"):
        GrowthAbilities.of(like(Sprout, growing_epochs=property(lambda self: 0)))


def test_strangers_that_do_as_built_ins_train_the_same_map(iris):
    registry, twins = get_registry(), {}
    for kind, name in (("kernel", "gaussian"), ("growth", "directed"), ("metric", "euclidean")):
        cls = registry.find(kind, name)
        twins[kind] = type(cls.__name__, (cls,), {"__doc__": "x", "__module__": __name__})()
        assert is_own(cls())
        assert not is_own(twins[kind])
    mine = SomVQ(epochs=20, **twins).fit(iris[0])
    usual = SomVQ(epochs=20).fit(iris[0])
    assert np.array_equal(mine.weights_, usual.weights_)
    assert mine.growth_events_ == usual.growth_events_


def test_a_fitted_estimator_with_a_component_survives_pickle(iris):
    estimator = SomVQ(growth=Sprout(), epochs=6).fit(iris[0])
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.predict(iris[0]), estimator.predict(iris[0]))


@pytest.mark.parametrize("error", [SystemExit(0), BaseException("x"), KeyboardInterrupt()])
def test_an_observer_cannot_end_a_run(error, caplog):
    class Leaving:
        dbgsom_run_started = raising(error)

    heard = []

    class Hearing:
        def dbgsom_run_started(self, run):
            heard.append(run)

    Callbacks([Leaving(), Hearing()]).notify("dbgsom_run_started", run="r")
    assert heard == ["r"]
    assert "observer Leaving failed in dbgsom_run_started" in caplog.text


def test_exits_while_importing_are_errors():
    from dbgsom_core.plugins.importing import no_exit

    with pytest.raises(SystemExit, match=r"os._exit\(0\)"), no_exit():
        os._exit(0)
    assert os._exit is sys.modules["posix" if os.name == "posix" else "nt"]._exit
