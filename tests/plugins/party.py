"""A third party's plugin with something of most kinds, each as short as it can be written."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr
from sklearn.base import BaseEstimator, TransformerMixin

from dbgsom_core.api import (
    Birth,
    Death,
    FigureComponent,
    Grid,
    GridComponent,
    GrowthComponent,
    Html,
    InitialisationComponent,
    Insert,
    KernelComponent,
    LabellerComponent,
    MetricComponent,
    Nested,
    ScheduleComponent,
    StoppingComponent,
    StoredType,
    hookimpl,
    measured,
)

DBGSOM_API_VERSION = 1
SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


class PlusPlus(InitialisationComponent):
    """Samples far from each other, drawn by the power of their distances (k-means++)."""

    power: float = Field(default=2.0, gt=0, description="2 is that of k-means++")

    def prototypes(self, start):
        chosen = start.samples(1)
        pool = start.samples(min(start.data.n, 512))
        while len(chosen) < len(start):
            gaps = np.linalg.norm(pool[:, None] - chosen, axis=2).min(axis=1)
            shares = gaps**self.power
            row = start.rng.choice(len(pool), p=shares / shares.sum())
            chosen = np.vstack([chosen, pool[row]])
        return chosen


class Moore(GridComponent):
    """Square cells that are linked at their corners, too."""

    def lattice(self, rows, columns):
        return Grid(SIDES, (), ((1.0, 0.0), (0.0, 1.0)), CORNERS, "moore")


class Leaning(KernelComponent):
    """A gaussian that reaches farther along the rows than across."""

    reads: ClassVar[str] = "offsets"
    stretch: float = Field(default=2.0, gt=0, description="reach along x over that along y")

    def weight(self, hops, width):
        x, y = np.asarray(hops).T
        return np.exp(-((x / self.stretch) ** 2 + y**2) / (2 * width**2))


class Restless(GrowthComponent):
    """Births, deaths and whole rows or columns in turn; the youngest end dies first."""

    removes: ClassVar[bool] = True
    max_neurons: int = Field(default=40, ge=4, description="cap on the map")
    _age: np.ndarray | None = PrivateAttr(None)  # epochs that each neuron has been there

    def remembered(self):
        return self._age

    def remember(self, value):
        self._age = value

    def renumber(self, rows):
        self._age = np.where(rows < 0, 0, self._age[rows])

    def grow(self, som_map, state):
        age = np.zeros(len(som_map), int) if self._age is None else self._age
        self._age = age = age + 1
        best = int(np.argmax(state.hits))
        ends = np.flatnonzero(som_map.degrees() == 1)
        free = som_map.free_cells(best)
        if state.epoch % 4 == 0:
            along = som_map.positions[:, 1] == som_map.positions[best, 1]
            return [Insert(best, k) for k in som_map.neighbours(best) if along[k]][:1]
        if state.epoch % 4 == 1 and len(ends):
            return [Death(int(ends[age[ends].argmin()]))]
        return [Birth(cell, som_map.prototypes[best], best) for cell in free[:2]]


class Split(GrowthComponent):
    """Beside the neuron of the widest samples one is born at one of them, drawn by lot."""

    def grow(self, som_map, state):
        ask, widest = state.context, -1.0
        if state.epoch % 3 or len(som_map) > 20:
            return []
        for neuron in np.flatnonzero(som_map.boundary()).tolist():
            own = som_map.prototypes[[neuron]]
            for chunk in ask.samples(neuron):
                width = float((ask.distances(chunk.X, own)[:, 0] * chunk.weights).max())
                if width > widest:
                    sample = chunk.X[ask.generator.integers(len(chunk.X))]
                    widest, born = width, (som_map.free_cells(neuron)[0], sample, neuron)
        return [] if widest < 0 else [Birth(*born)]


class Worse(StoppingComponent):
    """A measure of held out samples is worse than in the epoch before."""

    measure: Annotated[Any, Nested("measure")] = Field(
        default="topographic_error", validate_default=True, description="what is measured"
    )
    validation: float = Field(default=0.2, ge=0, lt=1, description="share that is held out")

    def watch(self, state):
        return measured(self.measure, state.validation)

    def stop(self, state):
        return len(state.watched) > 1 and state.watched[-1] > state.watched[-2]


class Sqrt(ScheduleComponent):
    """The width falls faster and faster."""

    def width(self, start, end, remaining):
        return end + (start - end) * remaining**0.5


class Scaled(MetricComponent):
    """Manhattan distance in steps of each column's median absolute deviation, which it learns."""

    uses_state: ClassVar[bool] = True

    def fit(self, X):
        return {"step": np.maximum(np.median(np.abs(X - np.median(X, axis=0)), axis=0), 1e-9)}

    def pairwise(self, X, prototypes, state):
        return (np.abs(X[:, None] - prototypes) / state["step"]).sum(axis=2)


class Medians(LabellerComponent):
    """The median of the targets of a neuron's samples."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    def label(self, evidence):
        labels = np.full(len(evidence.som_map), np.median(evidence.y))
        for neuron in np.flatnonzero(evidence.hits):
            rows = np.concatenate([one.rows for one in evidence.context.samples(neuron)])
            labels[neuron] = np.median(evidence.y[rows])
        return labels


class Quantiles(LabellerComponent):
    """Each neuron answers with quantiles of the targets of its samples."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.1, 0.5, 0.9), min_length=1, description="which"
    )

    @property
    def columns(self):
        return tuple(f"q{100 * share:g}" for share in self.shares)

    @property
    def point_column(self):
        return int(np.abs(np.array(self.shares) - 0.5).argmin())

    def label(self, evidence):
        found = np.empty((len(evidence.som_map), len(self.shares)))
        bmu, y = np.asarray(evidence.bmu), np.asarray(evidence.y)
        for neuron in range(len(found)):
            own = y[bmu == neuron]
            found[neuron] = np.quantile(own if len(own) else y, self.shares)
        return found


class Ages(FigureComponent):
    """The map after the first and after the last births, and how many neurons there are."""

    def draw(self, view):
        from matplotlib.figure import Figure

        som_map = view.evaluation.som_map
        births = som_map.birth_epochs
        figures = {}
        for name, epoch in (("first", births.min()), ("last", births.max())):
            figures[name] = Figure(figsize=(3, 3))
            figures[name].add_subplot().scatter(*som_map.plane_positions[births <= epoch].T)
        return {**figures, "count": Html(f"<!doctype html><html><p>{len(births)}</p></html>")}


class Halves(TransformerMixin, BaseEstimator):
    """Columns over half of their range; ``clip`` keeps them between 0 and 2."""

    def __init__(self, clip=False):
        self.clip = clip

    def fit(self, X, y=None):
        self.low_ = np.min(X, axis=0).astype(float)
        self.half_ = np.maximum(np.ptp(X, axis=0) / 2, 1e-12)
        return self

    def transform(self, X):
        scaled = (X - self.low_) / self.half_
        return np.clip(scaled, 0, 2) if self.clip else scaled


COLUMNS = {"low_": "finite[D]", "half_": "finite[D]", "clip": "flag"}
dbgsom_initialisations = hookimpl(lambda: {"plus_plus": PlusPlus})
dbgsom_grids = hookimpl(lambda: {"moore": Moore})
dbgsom_kernels = hookimpl(lambda: {"leaning": "party:Leaning"})
dbgsom_growth_strategies = hookimpl(lambda: {"restless": "party:Restless", "split": Split})
dbgsom_stopping_rules = hookimpl(lambda: {"worse": Worse})
dbgsom_schedules = hookimpl(lambda: {"sqrt": Sqrt})
dbgsom_metrics = hookimpl(lambda: {"scaled": Scaled})
dbgsom_labellers = hookimpl(lambda: {"medians": Medians, "quantiles": Quantiles})
dbgsom_figures = hookimpl(lambda: {"ages": Ages})
dbgsom_prepare_steps = hookimpl(lambda: {"halves": "party:Halves"})
dbgsom_transformers = hookimpl(lambda: {"halves": StoredType("party:Halves", COLUMNS)})
