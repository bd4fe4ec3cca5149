"""Fine components of each kind, and variants of them that are broken in one way each.

``FAULTS`` holds each variant with the check of the kit that finds it, and what that says.
"""

import itertools
import sys
import time
from typing import ClassVar

import numpy as np
from pydantic import Field, PrivateAttr
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from dbgsom_core.api import (
    Birth,
    Data,
    DatasetComponent,
    EngineComponent,
    FigureComponent,
    GrowthComponent,
    Html,
    InitialisationComponent,
    KernelComponent,
    LabellerComponent,
    MeasureComponent,
    MetricComponent,
    ScheduleComponent,
    StoppingComponent,
    StoredType,
    TrackerComponent,
    hookimpl,
    samples_in_memory,
)

DBGSOM_API_VERSION = 1
FAULTS = []


def fault(base, check, words, fields=None, **members):
    """Add a class that differs from a fine one in some members."""
    members = {"__doc__": "Broken.", "__module__": __name__, **members}
    cls = type(f"{base.__name__}_{check}_{len(FAULTS)}", (base,), members)
    FAULTS.append((cls, fields or {}, check, words))
    return cls


def claim(kind, value):
    """Return members that set a class attribute which is no field."""
    return {kind: value, "__annotations__": {kind: ClassVar}}


class Metric(MetricComponent):
    """Manhattan distance."""

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry", "triangle")

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None].astype(np.float64) - prototypes).sum(axis=2)


class Assigning(Metric):
    """The same, with a level of its own."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        return distances.argmin(axis=1), distances.min(axis=1)


far, assign = Metric.pairwise, Assigning.assign


def last_wins(self, X, W):
    distances = far(self, X, W)
    return len(W) - 1 - distances[:, ::-1].argmin(axis=1), distances.min(axis=1)


def chance(*given):
    return np.random.default_rng().uniform(1, 2)


def float32_sums(self, X, W):
    return np.abs(X[:, None].astype(np.float32) - W.astype(np.float32)).sum(2).astype(np.float64)


fault(Metric, "tiny_fit", "as its geometry is 'euclidean'", **claim("geometry", "euclidean"))
Squared = fault(Metric, "claims", "no triangle", pairwise=lambda *given: far(*given) ** 2)
fault(Metric, "attributes", "has claims", **claim("claims", ("beauty",)))
fault(Metric, "prepare", "turns float32 into float64", prepare=lambda self, X: X.astype(float))
fault(Metric, "prepare", "depend on other rows", prepare=lambda self, X: X - X.mean(axis=0))
fault(Metric, "prepare", "as far away as others are", centre=lambda self, means: 0 * means)
fault(Assigning, "levels_agree", "a tie went to the higher row", assign=last_wins)
for check, words, pairwise in (
    ("digits", "jump by", float32_sums),
    ("digits", "rounds its distances", lambda *given: np.floor(far(*given))),
    ("distances", "of shape", lambda *given: far(*given)[0]),
    ("distances", "up to 0, whose squares", lambda *given: 0 * far(*given)),
    ("distances", "vanish or overflow", lambda *given: far(*given) * 1e200),
    ("distances", "farthest from themselves", lambda *given: np.exp(-far(*given))),
    ("rows_independent", "samples alone", lambda self, X, W: far(self, X - X.mean(axis=0), W)),
    ("rows_independent", "two calls differ", lambda *given: far(*given) * chance()),
    ("rows_independent", "many samples",
     lambda self, X, W: far(self, X, W) * (1.001 if len(X) > 64 else 1.0)),
    ("levels_agree", "off by",
     lambda self, X, W: far(self, X, W) * (1.0005 if X.dtype == np.float32 else 1.0)),
):  # fmt: skip
    fault(Metric, check, words, pairwise=pairwise)


class Kernel(KernelComponent):
    """A gaussian."""

    def weight(self, hops, width):
        return np.exp(-0.5 * np.square(np.asarray(hops, dtype=np.float64) / width))


def raising(self):
    raise AttributeError("inside")


gauss = Kernel.weight
POWER = {"power": Field(default=1.0, exclude=True, description="x")}
for words, weight in (
    ("expected at least 0, or say inhibits = True",
     lambda self, h, w: (1 - np.square(h / w)) * gauss(self, h, w)),
    ("without chance and whatever else is asked",
     lambda *given: gauss(*given) / gauss(*given).sum()),
    ("winner's weight, at no hops, from 1e-200", lambda *given: gauss(*given) * 1e-200),
    ("gives neighbours smaller weights", lambda self, h, w: gauss(self, h, 1 / w)),
    ("SystemExit: 0", lambda *given: sys.exit(0)),
):  # fmt: skip
    fault(Kernel, "weights", words, weight=weight)
fault(Kernel, "attributes", "AttributeError: inside", rises=property(raising))
fault(Kernel, "attributes", "no docstring", __doc__=None)
fault(Kernel, "attributes", "no description: power", power=1.0,
      __annotations__={"power": float})  # fmt: skip
fault(Kernel, "fields", "builds", {"power": 2.0}, **POWER, __annotations__={"power": float})


class Growth(GrowthComponent):
    """A neuron in every second epoch."""

    max_neurons: int | None = Field(default=12, ge=4, description="cap on the map")

    def grow(self, som_map, state):
        return [] if state.epoch % 2 else self.birth(som_map)

    def birth(self, som_map):
        for neuron in range(len(som_map)):
            for cell in som_map.free_cells(neuron):
                return [Birth(cell, som_map.prototypes[neuron] + 0.1, neuron)]
        raise LookupError


class Counting(Growth):
    """Counts epochs itself, and no checkpoint knows."""

    _seen: list[int] = PrivateAttr(default_factory=list)

    def grow(self, som_map, state):
        self._seen.append(state.epoch)
        return [] if len(self._seen) % 3 else self.birth(som_map)


class Steady(Counting):
    """Counts epochs itself, and a checkpoint knows."""

    def remembered(self):
        return {"seen": self._seen, "array": np.arange(2.0)}

    def remember(self, value):
        self._seen[:] = [] if value is None else value["seen"]


def north(self, som_map, state):
    """Take the first link for the one that leads north, as on squares it does."""
    free = np.flatnonzero(som_map.links[:, 0] < 0)
    cells = (som_map.positions[free] + (0, 1)).tolist()
    return [Birth(tuple(cell), np.ones(4), int(row)) for cell, row in zip(cells, free, strict=True)]


fault(Growth, "tiny_fit", "no neuron is beside it|is taken", grow=north)
fault(Growth, "tiny_fit", "expected answers of shape", wants_children=lambda *given: [True])
fault(Growth, "growth_ends", "161 neurons: births must end", {"max_neurons": None})
fault(Counting, "resumes", "keeps something that no checkpoint has")
fault(Counting, "resumes", "no checkpoint can be written",
      remembered=lambda self: {1, 2}, remember=lambda self, value: None)  # fmt: skip


class Labeller(LabellerComponent):
    """The most frequent class."""

    needs_target: ClassVar[bool] = True

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmax(axis=1)]

    def probabilities(self, evidence):
        counts = evidence.class_counts + 1e-9
        return counts / counts.sum(axis=1, keepdims=True)


SHARED = []


turns = itertools.count()


def shared_answer(self, around, state):
    SHARED[:] = [np.eye(around.n_classes)[around.values[:, 0]]]
    time.sleep(0.001)
    return SHARED[0]


fault(Labeller, "answers", "of groups that are far apart",
      label=lambda self, seen: seen.classes[seen.class_counts.argmin(axis=1)])  # fmt: skip
fault(Labeller, "answers", "a thread got other answers", answer=shared_answer,
      learn=lambda *given: {"nothing": np.zeros(0)})  # fmt: skip


def vote(self, around, state):
    codes = np.arange(around.n_classes)
    nearness = around.weights / (around.distances + 1e-9)
    votes = (nearness[..., None] * (around.values[..., None] == codes)).sum(axis=1)
    return votes / votes.sum(axis=1, keepdims=True)


class Answering(Labeller):
    """The most frequent class, and for samples that of the nearest groups."""

    def learn(self, around, y, weights, som_map):
        return {"nothing": np.zeros(0)}

    answer = vote


fault(Answering, "answers", "of groups that are far apart",
      answer=lambda *given: vote(*given)[:, ::-1])  # fmt: skip
fault(
    Answering,
    "tiny_fit",
    "a second training",
    learn=lambda *given: {"turn": np.full(1, next(turns))},
    answer=lambda self, around, state: np.roll(vote(self, around, state), state["turn"][0], 1),
)


class Narrowing(ScheduleComponent):
    """Goes straight from the start to the end."""

    def width(self, start, end, remaining):
        return end + (start - end) * remaining


narrow = Narrowing.width
fault(Narrowing, "widths", "from 4 to 0.5 it goes from 0.5 to 4",
      width=lambda self, start, end, left: narrow(self, end, start, left))  # fmt: skip


class Spread(InitialisationComponent):
    """Samples by chance."""

    def prototypes(self, start):
        return start.samples(len(start))


fault(Spread, "prototypes", "all prototypes are equal",
      prototypes=lambda self, start: np.zeros((len(start), start.n_features)))  # fmt: skip


class Patient(StoppingComponent):
    """Stops after 100 epochs."""

    def stop(self, state):
        return len(state.history) > 100


stops = itertools.count(1)
fault(Patient, "tiny_fit", "a second training", stop=lambda *given: next(stops) % 30 == 0)


class Loads(DatasetComponent):
    """Samples by chance, always the same."""

    def load(self):
        return Data(np.random.default_rng(0).normal(size=(60, 3)))


class Measure(MeasureComponent):
    """The largest distance."""

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation):
        return float(evaluation.distance.max())


class Draws(FigureComponent):
    """The errors of neurons."""

    def draw(self, view):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 2))
        figure.add_subplot(title=view.title).plot(view.evaluation.errors)
        return figure


class Engine(EngineComponent):
    """The built-in engine, with small chunks."""

    def over(self, X, metric, weights=None):
        return samples_in_memory(X, metric, weights, threads=1, chunk_rows=50)


def new_figure(values=()):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2))
    axes = figure.add_subplot()
    if len(values):
        axes.plot(values)
    return figure


def draws_beside(self, view):
    if view.axes is None:
        return new_figure([1, 2])
    view.axes.figure.axes[0].plot([1, 2])
    return view.axes.figure


def draws_on_pyplot(self, view):
    import matplotlib.pyplot as plt

    plt.plot([1, 2])
    return new_figure([1, 2])


def changes_settings(self, view):
    import matplotlib as mpl

    mpl.rcParams["font.size"] = 31
    return new_figure([1, 2])


KEPT_FIGURE = []
for words, draw in (
    ("two calls give the same figure",
     lambda *given: KEPT_FIGURE.append(new_figure([1, 2])) or KEPT_FIGURE[0]),
    ("its figure holds nothing", lambda *given: new_figure()),
    ("whole page", lambda *given: Html("<p>hello</p>")),
    ("figure of pyplot", draws_on_pyplot),
    ("beside the axes", draws_beside),
    ("changes matplotlib's rcParams", changes_settings),
    ("draws from numpy's global generator", lambda *given: new_figure(np.random.random(3))),
):  # fmt: skip
    fault(Draws, "draw", words, draw=draw)

KEPT = Loads().load()
fault(Loads, "load", "share their arrays", load=lambda self: KEPT)
fault(Loads, "load", "no rows", load=lambda self: Data(np.zeros((0, 3))))
fault(Loads, "load", "no sample has a value", load=lambda self: Data(np.full((9, 3), np.nan)))
fault(Measure, "value", "say needs_target = True",
      compute=lambda self, seen: float(np.mean(seen.y == seen.predictions)))  # fmt: skip
fault(Measure, "value", "returned str; expected one number", compute=lambda *given: "0.5")


class Observer:
    """Hears everything."""

    def dbgsom_run_started(self, run):
        self.run = run

    def dbgsom_epoch_finished(self, run, epoch):
        self.epoch = epoch

    def dbgsom_run_finished(self, run, result):
        self.result = result

    def dbgsom_run_failed(self, run, error):
        self.error = error


class Tracker(TrackerComponent):
    """Keeps what it hears."""

    def observer(self):
        return Observer()

    def how_to_open(self):
        return "look here"


class Tripping(Observer):
    """Raises in an epoch."""

    def dbgsom_epoch_finished(self, run, epoch):
        raise RuntimeError("tripped")


class Unready(Observer):
    """Cannot hear of a run that fails before its first epoch."""

    def dbgsom_run_failed(self, run, error):
        return self.epoch


class Changing(Observer):
    """Adds a measure to the result."""

    def dbgsom_run_finished(self, run, result):
        result.measures["train/own"] = 1.0


fault(Tracker, "runs", "it changes the result", observer=lambda self: Changing())
fault(Tracker, "runs", "tripped", observer=lambda self: Tripping())
fault(Tracker, "runs", "no attribute 'epoch'", observer=lambda self: Unready())


class Step(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Columns above their least value."""

    def fit(self, X, y=None):
        self.low_, self.n_features_in_ = np.min(X, axis=0).astype(float), X.shape[1]
        return self

    def transform(self, X):
        return X - self.low_

    def inverse_transform(self, X):
        return X + self.low_


def writing(self, X, y=None):
    X -= X.min(axis=0)
    return Step.fit(self, X)


def learning(self, X):
    self.low_ = np.minimum(self.low_, np.min(X, axis=0))
    return X - self.low_


def infinite(self, X):
    with np.errstate(divide="ignore"):
        return 1.0 / np.round(X - self.low_)


for check, words, transform in (
    ("step_rows", "alone becomes another", lambda self, X: X - X.min(axis=0)),
    ("step_rows", "two calls differ", lambda self, X: X + chance()),
    ("step_rows", "40 samples become 39", lambda self, X: (X - self.low_)[1:]),
    ("step_rows", "nan or infinity", infinite),
    ("step_rows", "two calls differ|changes what it learnt", learning),
):
    fault(Step, check, words, transform=transform)
fault(Step, "step_rows", "it changes the samples", fit=writing)
fault(Step, "step_columns", "gives other samples", inverse_transform=lambda self, X: X)
fault(Step, "step_saving", "add the class in a plugin's dbgsom_transformers")

FINE = [Metric, Assigning, Kernel, Growth, Steady, Labeller, Answering, Narrowing, Spread, Patient,
        Loads, Measure, Draws, Tracker, Step, Engine]  # fmt: skip


@hookimpl
def dbgsom_transformers():
    held = {"n_features_in_": "size[D]", "low_": "finite[D]"}
    return {"step": StoredType(f"{__name__}:Step", held)}
