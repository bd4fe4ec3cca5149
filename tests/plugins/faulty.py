"""Components that are broken, each in one way as its docstring says, after a fine one of its kind.

``FAULTS`` says by which check of the kit each is found, and what it says.
"""

import ctypes
import itertools
import sys
import time
from typing import ClassVar

import numpy as np
from pydantic import Field, PrivateAttr
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from dbgsom_core.api import (
    Birth,
    Component,
    Data,
    KernelComponent,
    StoredType,
    hookimpl,
    samples_in_memory,
)

DBGSOM_API_VERSION = 1
FAULTS = []


def found_by(check, words, **fields):
    """Note by which check of the kit a class is found, with which fields."""

    def add(cls):
        FAULTS.append((cls, fields, check, words))
        return cls

    return add


# ------------------------------------------------------------------------------------------ metrics


class Metric(Component):
    """Manhattan distance."""

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry", "triangle")

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None].astype(np.float64) - prototypes).sum(axis=2)


class Assigning(Metric):
    """Fine, too, with a level of its own."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        return distances.argmin(axis=1), distances.min(axis=1)


@found_by("geometry", "is not the Euclidean distance")
class Pretending(Metric):
    """Says that it is Euclidean, and is not."""

    geometry: ClassVar[str] = "euclidean"


@found_by("shapes_and_dtypes", "distances of shape")
class FlatMetric(Metric):
    """One dimension too few."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes)[0]


@found_by("shapes_and_dtypes", "read-only")
class WritingMetric(Metric):
    """Writes into the samples."""

    def pairwise(self, X, prototypes):
        X *= 0
        return super().pairwise(X, prototypes)


@found_by("chunk_invariance", "chunks of 1 choose other units")
class Remembering(Metric):
    """Looks at the other rows of the chunk."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X - X.mean(axis=0), prototypes)


@found_by("determinism", "two calls differ")
class ChanceMetric(Metric):
    """Another answer each time."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) * np.random.default_rng().uniform(1, 2)


@found_by("triangle", "a detour is .* shorter")
class Squared(Metric):
    """Claims the triangle inequality without keeping it."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) ** 2


@found_by("symmetry", "differ")
class Lopsided(Metric):
    """Claims symmetry without keeping it."""

    def pairwise(self, X, prototypes):
        gap = X[:, None].astype(np.float64) - prototypes
        return np.where(gap < 0, -2 * gap, gap).sum(axis=2)


@found_by("identity", "= 1.0")
class Distant(Metric):
    """Far from itself."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) + 1


@found_by("ties_go_to_the_lowest_row", "a tie went to the higher row")
class LastWins(Assigning):
    """Ties go to the highest row."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        bmu = distances.shape[1] - 1 - distances[:, ::-1].argmin(axis=1)
        return bmu, distances.min(axis=1)


@found_by("levels_agree", "pairwise differs from assign")
class TwoMetrics(Assigning):
    """Two levels that disagree."""

    def assign(self, X, prototypes):
        bmu, distance = super().assign(X, prototypes)
        return bmu, 3 * distance


@found_by("prepare", "turns float32 into float64")
class Doubling(Metric):
    """prepare turns float32 into float64."""

    def prepare(self, X):
        return np.asarray(X, dtype=np.float64)


@found_by("prepare", "must not depend on other rows")
class Centring(Metric):
    """prepare depends on the other rows."""

    def prepare(self, X):
        return X - X.mean(axis=0)


@found_by("attributes", "has claims")
class Boasting(Metric):
    """Claims what there is not."""

    claims: ClassVar[tuple[str, ...]] = ("beauty",)


# ------------------------------------------------------------------------------------------ kernels


class Kernel(KernelComponent):
    """A gaussian."""

    def weight(self, hops, width):
        return np.exp(-0.5 * np.square(np.asarray(hops, dtype=np.float64) / width))


@found_by("weights", "returned a negative weight")
class Negative(Kernel):
    """A whole wavelet: below 0 from one width on."""

    def weight(self, hops, width):
        return (1 - np.square(hops / width)) * super().weight(hops, width)


@found_by("weights_fall", "above the nearer")
class Growing(Kernel):
    """Learns most from the farthest."""

    def weight(self, hops, width):
        return 1.0 + np.asarray(hops) / width


@found_by("weights", "depends on the other hop counts")
class Normed(Kernel):
    """Weights depend on the other hop counts."""

    def weight(self, hops, width):
        weights = super().weight(hops, width)
        return weights / weights.sum()


@found_by("weights", "SystemExit: 0")
class Exiting(Kernel):
    """Calls sys.exit with success."""

    def weight(self, hops, width):
        sys.exit(0)


@found_by("attributes", "AttributeError: inside")
class BadProperty(Component):
    """A property raises."""

    @property
    def start(self):
        raise AttributeError("inside")

    def weight(self, hops, width):
        return np.exp(-np.asarray(hops) / width)


@found_by("docstring", "no docstring")
class Undocumented(Kernel):
    __doc__ = None


@found_by("field_descriptions", "no description: power")
class Bare(Kernel):
    """A field without words."""

    power: float = 1.0


@found_by("saving", "builds", power=2.0)
class Lossy(Kernel):
    """A field that does not come back."""

    power: float = Field(default=1.0, description="x", exclude=True)


class Hanging(Kernel):
    """Never comes back."""

    def weight(self, hops, width):
        time.sleep(3600)


class Ending(Kernel):
    """Ends the process."""

    def weight(self, hops, width):
        ctypes.CDLL(None)._exit(0)


# ------------------------------------------------------------------------------------------- growth


class Growth(Component):
    """A neuron in every second epoch."""

    max_neurons: int | None = Field(default=12, ge=4, description="cap on the map")

    def grow(self, som_map, state):
        return [] if state.epoch % 2 else self.birth(som_map)

    def birth(self, som_map):
        for neuron in range(len(som_map)):
            for cell in som_map.free_cells(neuron):
                return [Birth(cell, som_map.prototypes[neuron] + 0.1, neuron)]
        raise LookupError


@found_by("births", "returned more than")
class EndlessRow(Growth):
    """A row of neurons without end, each beside the last."""

    def grow(self, som_map, state):
        x, y = som_map.positions.max(axis=0).tolist()
        for step in itertools.count(1):
            yield Birth((x + step, y), som_map.prototypes[0], 0)


@found_by("births_among_hexagons", "no neuron is beside it|is taken")
class North(Growth):
    """Takes the first link for the one that leads north, as on squares it does."""

    def grow(self, som_map, state):
        free = np.flatnonzero(som_map.links[:, 0] < 0)
        cells = som_map.positions[free] + (0, 1)
        born = zip(cells.tolist(), free.tolist(), strict=True)
        return [Birth((x, y), np.ones(4), parent) for (x, y), parent in born]


@found_by("growth_resumes", r"has no remembered\(\) that gives it")
class Forgetful(Growth):
    """Counts epochs itself, and no checkpoint knows."""

    _seen: list[int] = PrivateAttr(default_factory=list)

    def grow(self, som_map, state):
        self._seen.append(state.epoch)
        return [] if len(self._seen) % 3 else self.birth(som_map)


class Steady(Forgetful):
    """Counts epochs itself, and nothing is wrong."""

    def remembered(self):
        return {"seen": self._seen, "array": np.arange(2.0)}

    def remember(self, value):
        self._seen[:] = [] if value is None else value["seen"]


@found_by("growth_resumes", "does not remember all of it")
class HalfForgetful(Forgetful):
    """Remembers how often it was asked, and takes nothing back."""

    def remembered(self):
        return len(self._seen)


@found_by("growth_resumes", "no checkpoint can hold what it remembers")
class Unwritable(Forgetful):
    """Remembers what no checkpoint can hold."""

    def remembered(self):
        return {1, 2}

    def remember(self, value):
        pass


@found_by("children", "answers of shape")
class FewChildren(Growth):
    """Answers for one neuron."""

    def wants_children(self, som_map, state):
        return [True]


# ---------------------------------------------------------------------------------------- labellers


class Labeller(Component):
    """The most frequent class."""

    needs_target: ClassVar[bool] = True

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmax(axis=1)]

    def probabilities(self, evidence):
        counts = evidence.class_counts + 1e-9
        return counts / counts.sum(axis=1, keepdims=True)


@found_by("probabilities", "not its most probable class")
class Disagreeing(Labeller):
    """Labels that its probabilities do not favour."""

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmin(axis=1)]


@found_by("answers", "a thread got other answers")
class Sharing(Labeller):
    """Answers from memory that all calls share."""

    _shared: ClassVar[list] = []

    def learn(self, around, y, weights, som_map):
        return {"nothing": np.zeros(0)}

    def answer(self, around, state):
        self._shared[:] = [np.eye(around.n_classes)[around.values[:, 0]]]
        time.sleep(0.001)
        return self._shared[0]


# ------------------------------------------------------- data sets, measures, figures, engines

_KEPT = np.random.default_rng(0).normal(size=(60, 3))


@found_by("load", "share their arrays")
class SharedData(Component):
    """Hands out the same array each time."""

    def load(self):
        return Data(_KEPT)


class Measure(Component):
    """The largest distance."""

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation):
        return float(evaluation.distance.max())


@found_by("measure_without_targets", "say needs_target = True")
class Unasked(Measure):
    """Reads targets without saying so."""

    def compute(self, evaluation):
        return float(np.mean(evaluation.y == evaluation.predictions))


@found_by("value", "must return one number, not str")
class Wordy(Measure):
    """Returns text."""

    def compute(self, evaluation):
        return "0.5"


class Figure(Component):
    """The errors of neurons."""

    def draw(self, view):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 2))
        figure.add_subplot(title=view.title).plot(view.evaluation.errors)
        return figure


@found_by("draw", "read-only")
class Moving(Figure):
    """Changes the map."""

    def draw(self, view):
        view.evaluation.som_map.prototypes[:] = 0
        return super().draw(view)


class Engine(Component):
    """The built-in engine, with small chunks."""

    def over(self, X, metric, weights=None):
        return samples_in_memory(X, metric, weights, threads=1, chunk_rows=50)


# ----------------------------------------------------------------------------------------- trackers


class Ear:
    """Hears everything."""

    def dbgsom_run_started(self, run):
        self.run = run

    def dbgsom_epoch_finished(self, run, epoch):
        self.epoch = epoch

    def dbgsom_run_finished(self, run, result):
        self.result = result

    def dbgsom_run_failed(self, run, error):
        self.error = error


class Tracker(Component):
    """Keeps what it hears."""

    ear: ClassVar[type] = Ear

    def observer(self):
        return self.ear()

    def how_to_open(self):
        return "look here"


@found_by("finished_run", "tripped")
class Tripping(Tracker):
    """Raises in an epoch."""

    class ear(Ear):  # noqa: N801
        def dbgsom_epoch_finished(self, run, epoch):
            raise RuntimeError("tripped")


@found_by("failed_run", "no attribute 'epoch'")
class Unready(Tracker):
    """Cannot hear of a run that fails before its first epoch."""

    class ear(Ear):  # noqa: N801
        def dbgsom_run_failed(self, run, error):
            return self.epoch


@found_by("how_to_open", "gives None")
class Speechless(Tracker):
    """No word on how to open."""

    def how_to_open(self):
        return None


# ------------------------------------------------------------------------------------ prepare steps


class Step(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Columns above their least value."""

    def fit(self, X, y=None):
        self.low_, self.n_features_in_ = np.min(X, axis=0).astype(float), X.shape[1]
        return self

    def transform(self, X):
        return X - self.low_

    def inverse_transform(self, X):
        return X + self.low_


@found_by("step_rows_stand_alone", "blocks of 1 become other rows")
class Beside(Step):
    """A row depends on those beside it."""

    def transform(self, X):
        return X - np.min(X, axis=0)


@found_by("step_table", "two calls differ")
class ChanceStep(Step):
    """Rows are drawn by lot."""

    def transform(self, X):
        return X - self.low_ + np.random.default_rng().random()


@found_by("step_reads_only", "fit changes the samples")
class WritingStep(Step):
    """Fitting writes into the samples."""

    def fit(self, X, y=None):
        super().fit(X)
        X -= self.low_
        return self


@found_by("step_reads_only", "changes what it learnt")
class Learning(Step):
    """It goes on learning from what it transforms."""

    def transform(self, X):
        self.low_ = np.minimum(self.low_, np.min(X, axis=0))
        return X - self.low_


@found_by("step_table", "40 samples become 39")
class Dropping(Step):
    """A row is left out."""

    def transform(self, X):
        return (X - self.low_)[1:]


@found_by("step_table", "nan or infinity")
class Infinite(Step):
    """It divides by zero."""

    def transform(self, X):
        with np.errstate(divide="ignore"):
            return 1.0 / np.round(X - self.low_)


@found_by("step_columns", "gives other samples")
class OneWay(Step):
    """What it does is not undone."""

    def inverse_transform(self, X):
        return X


@found_by("step_saving", "list the class in a plugin's dbgsom_transformers")
class Unlisted(Step):
    """No model file may hold it."""


FINE = [Metric, Assigning, Kernel, Growth, Steady, Labeller, Measure, Figure, Tracker, Step, Engine]


@hookimpl
def dbgsom_transformers():
    held = {"n_features_in_": "size[D]", "low_": "finite[D]"}
    listed = [Step, *(cls for cls, *_ in FAULTS if issubclass(cls, Step) and cls is not Unlisted)]
    return {cls.__name__.lower(): StoredType(f"{__name__}:{cls.__name__}", held) for cls in listed}
