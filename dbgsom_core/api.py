"""What a plugin author imports: the interfaces, their data, `Component` and `hookimpl`.

Each kind of component is a narrow Protocol with one or two required methods. Whatever else a
component can do is an optional capability, a Protocol of its own, so that old plugins outlive new
versions. A component is a frozen pydantic model with methods: its fields are its YAML section, its
logged parameters and its JSON Schema, its docstring is its help text. Derive from `Component`,
not from the Protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import pluggy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dbgsom_core.deprecation import Deprecation, deprecated_name
from dbgsom_core.errors import DataError
from dbgsom_core.nested import Nested

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure as MatplotlibFigure
    from numpy.typing import NDArray

    from dbgsom_core.evaluation import Evaluation, MapView
    from dbgsom_core.som_map import SomMap

    FloatArray = NDArray[np.floating[Any]]
    IntArray = NDArray[np.integer[Any]]

__all__ = [
    "API_VERSION",
    "SUPPORTED_API_VERSIONS",
    "Birth",
    "Component",
    "Data",
    "DataError",
    "DataSummary",
    "Dataset",
    "Figure",
    "GrowthState",
    "GrowthStrategy",
    "Kernel",
    "KernelComponent",
    "LabelEvidence",
    "Labeller",
    "Measure",
    "Metric",
    "Nested",
    "Tracker",
    "VerticalGrowth",
    "VerticalState",
    "hookimpl",
]

API_VERSION = 1
# A plugin of the previous version keeps working until the next one comes.
SUPPORTED_API_VERSIONS: tuple[int, ...] = tuple(range(max(1, API_VERSION - 1), API_VERSION + 1))

# Names that this module still answers to, each with the version in which it will be gone.
DEPRECATED: dict[str, Deprecation] = {}

hookimpl = pluggy.HookimplMarker("dbgsom")


def __getattr__(name: str) -> Any:
    return deprecated_name(__name__, name, DEPRECATED)


class Component(BaseModel):
    """Base of every component: a frozen pydantic model that forbids unknown fields.

    Values are taken strictly (``"10"`` is no int), but numpy scalars count as Python numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _numpy_scalars_are_numbers(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            key: value.item()
            if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
            else value
            for key, value in values.items()
        }


# --------------------------------------------------------------------------------------------------
# Distance metrics


@runtime_checkable
class Metric(Protocol):
    """A distance metric. One of three levels is required; the engine picks the fastest offered.

    Level ``assign(X, prototypes) -> (bmu, distance)``
        X : float array (m, D), one chunk of prepared samples, float32 or float64, read-only.
        prototypes : float64 array (K, D).
        bmu : int array (m,), the nearest prototype, ties to the lowest index.
        distance : float64 array (m,), the distance to it.

    Level ``scalar(x, w, params) -> distance``
        A class attribute ``scalar = staticmethod(numba.njit(f))`` for one pair, which the engine
        compiles into its own loop. x, w : float64 arrays (D,), one prepared sample and one
        prototype. params : float64 array (P,), see ``scalar_params``. distance : float. Pure
        arithmetic: no allocation, no Python object.

    Level ``pairwise(X, prototypes) -> distances``
        The same arguments as ``assign``; distances : float64 array (m, K). Called per chunk of
        rows, so it never sees all data at once, and from several threads.

    Optional capabilities
        ``prepare(X) -> X``: map samples, (n, D), into the space in which the map lives (cosine:
        unit rows). Called once on training data and on all data that is predicted.
        ``centre(means) -> prototypes``: turn kernel-weighted means of prepared samples, (K, D),
        into prototypes, (K, D) (cosine: unit vectors). Without it the mean is the prototype.
        ``scalar_params() -> params``: what ``scalar`` gets; without it the fields that are numbers
        or truth values, in the order in which they are declared.
        ``examples(generator, n) -> X``: n raw samples (n, D) that the metric accepts, for the
        conformance kit; n normal ones without it.
        ``claims`` (attribute): which of ``"identity"`` (d(x, x) = 0), ``"symmetry"`` and
        ``"triangle"`` hold between prepared samples; the conformance kit tests what is claimed.
        ``geometry`` (class attribute): ``"euclidean"`` says that the distance is the square root
        of the float64 sum of squared differences, added feature by feature. The engine then finds
        the same units by its own fast search and uses the methods for the rest.
        ``fit(X) -> state``: learn from the raw training samples (n, D), once in a training. The
        state, a mapping of names to numpy arrays, is saved with the model, and ``prepare`` gets it
        as its second argument: ``prepare(X, state)``. Samples of weight 0 are left out.
        ``learns_weighted`` (class attribute): True when `fit` takes the positive sample weights
        (n,), a weight of 2 being the sample twice, as its second argument: ``fit(X, weights)``.
        ``form(X, units, influence, weights, so_far) -> prototypes``: make the prototypes (K, D)
        of each epoch from the samples themselves (manhattan: weighted medians). Where it is
        missing or None they are ``centre`` of the means.
        ``forms_below`` (class attribute): they are means, too, while the kernel gives linked
        neighbours more than this share of the weight of a neuron's own samples (median: 0.25).
        ``handles`` (class attribute): what else the methods take; with ``"missing"`` in it an
        entry of X may be nan. Such a feature is left out and sums are scaled by D/observed. With
        ``"sparse"`` X may be a scipy CSR matrix, in ``prepare`` as well.
    """

    def pairwise(self, X: FloatArray, prototypes: FloatArray) -> FloatArray:
        """Return the distances (m, K) of m samples to K prototypes."""


@runtime_checkable
class AssigningMetric(Protocol):
    """Optional: find the best-matching units without the whole distance matrix."""

    def assign(self, X: FloatArray, prototypes: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return (bmu, distance), each of shape (m,); equal distances go to the lowest index."""


@runtime_checkable
class ScalarMetric(Protocol):
    """Optional: the distance of one pair as a numba-compiled function, a static class attribute."""

    @staticmethod
    def scalar(x: FloatArray, w: FloatArray, params: FloatArray) -> float:
        """Return the distance of sample x (D,) to prototype w (D,)."""


@runtime_checkable
class PreparingMetric(Protocol):
    """Optional: a metric whose map lives in a transformed space."""

    def prepare(self, X: FloatArray) -> FloatArray:
        """Return the prepared samples, shape (n, D); never changes X."""


@runtime_checkable
class CentringMetric(Protocol):
    """Optional: a metric whose prototype is not the plain mean."""

    def centre(self, means: FloatArray) -> FloatArray:
        """Return the prototypes (K, D) for kernel-weighted means (K, D); never changes them."""


@runtime_checkable
class FittingMetric(Protocol):
    """Optional: a metric that learns from the training data, such as a covariance."""

    def fit(self, X: FloatArray, weights: FloatArray | None = None) -> Mapping[str, NDArray[Any]]:
        """Return what it learns from raw samples (n, D), weighted by weights (n,), as named arrays;
        never changes them.
        """

    def prepare(self, X: FloatArray, state: Mapping[str, NDArray[Any]]) -> FloatArray:
        """Return the prepared samples, shape (n, D), with what ``fit`` returned; read-only."""


@runtime_checkable
class FormingMetric(Protocol):
    """Optional: a metric whose prototypes are made of samples, not of their mean."""

    def form(
        self,
        X: FloatArray,
        units: IntArray,
        influence: FloatArray,
        weights: FloatArray | None,
        so_far: FloatArray,
    ) -> FloatArray:
        """Return the prototypes of one epoch, float64 (K, D); never changes an argument.

        Parameters
        ----------
        X : float array (n, D)
            The prepared training samples, the same array in every epoch.
        units : int64 array (n,)
            The group of each sample: its neuron, or a pair of neurons that it trains.
        influence : float64 array (G, K)
            What a sample of each group weighs in each neuron, none negative.
        weights : float64 array (n,) or None
            What each sample weighs besides; None: all 1.
        so_far : float64 array (K, D)
            The prototypes until now, to be kept for a neuron that nothing reaches.
        """


# --------------------------------------------------------------------------------------------------
# Neighbourhood kernels


@runtime_checkable
class Kernel(Protocol):
    """A neighbourhood kernel: how much a neuron learns from samples won some hops away.

    Derive from `KernelComponent` to get the width schedule (``start``, ``end``, ``decay``).
    """

    def weight(self, hops: FloatArray, width: float) -> FloatArray:
        """Return the weights (H,) at graph distances ``hops`` (H,) for a kernel ``width`` in hops.

        Vectorised. ``weight(0) > 0``, weights are finite, not negative and do not depend on the
        other entries of ``hops``: they are computed once per hop count and looked up.
        """


class KernelComponent(Component):
    """Base of kernels: the width schedule over the epochs e = 1..E of the training.

    linear: (start - end)*t + end with t = (E - e)/(E - 1) (Vasighi & Amini 2017);
    exponential: start*(end/start)**((e - 1)/(E - 1)).
    """

    start: float | None = Field(
        default=None,
        gt=0,
        description="width in hops at first; null: from the map's size",
    )
    end: float | None = Field(
        default=None,
        gt=0,
        description="width in hops at the last epoch; "
        "null: 0.5, or 0.3 where growth has a link_pull",
    )
    decay: Literal["linear", "exponential"] = Field(
        default="exponential", description="how the width goes from start to end"
    )


# --------------------------------------------------------------------------------------------------
# Growth strategies


@dataclass(frozen=True)
class DataSummary:
    """What a growth strategy may know of the training data before training.

    Attributes
    ----------
    n_samples : float
        Number of training samples, or the sum of their weights.
    n_features : int
    deviation : float
        ‖std(X)‖, the Euclidean norm of the columns' standard deviations (population), in the
        units of the prepared data.
    spread : float
        Root mean square distance of the samples to their centre under the metric in use; equal
        to ``deviation`` for the Euclidean metric.
    n_classes : int or None
        Number of classes when labels were given.
    """

    n_samples: float
    n_features: int
    deviation: float
    spread: float
    n_classes: int | None = None


@dataclass(frozen=True)
class GrowthState:
    """What a growth strategy sees after the update of one epoch; arrays are read-only.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that just ran (from 1) and how many the growing phase has.
    threshold : float
        What `growing_threshold` returned, or nan.
    errors : float64 array (K,)
        Sum of distances of the samples that each neuron won under the updated prototypes.
    hits : int array (K,)
        Number of those samples; with sample weights float64, the sum of the weights, as ``errors``
        are then weighted sums.
    class_counts : int array (K, C) or None
        The same samples by class, when labels were given.
    movement : float
        Root mean square step of the prototypes in this epoch over the data's ``deviation``.
    room : int or None
        How many neurons may still be born before ``max_neurons``; None: no limit.
    """

    epoch: int
    epochs: int
    threshold: float
    errors: FloatArray
    hits: IntArray | FloatArray
    class_counts: IntArray | FloatArray | None
    movement: float
    room: int | None


class Birth(NamedTuple):
    """A neuron to be born: free cell ``position`` (x, y), ``prototype`` (D,), ``parent`` row."""

    position: tuple[int, int]
    prototype: FloatArray
    parent: int


@runtime_checkable
class GrowthStrategy(Protocol):
    """A growth strategy: decides after each epoch which neurons are born, and where.

    Optional capabilities
        ``growing_threshold(summary) -> float``: computed once before training from a
        `DataSummary`; ends up in ``growing_threshold_`` and in every `GrowthState`.
        ``start_shape() -> (rows, columns)``: the map at the start; (2, 2) without it.
        ``max_neurons`` (field): ``"auto"`` (5*sqrt(n)), an int or None. The core never lets a map
        exceed it, whatever `grow` returns.
        ``fine_tuning`` (field): the share of the epochs, in [0, 1), that is kept for a fine-tuning
        phase without growth, at the kernel's final width.
        ``link_pull`` (field): in that phase each sample weighs this much in the linked neighbour
        of its best-matching unit that lies nearest to it; 0 without it.
        ``class_tuning`` (field): in that phase a sample with a class trains the nearest neuron in
        which its class is in the majority; False without it.
        ``smooth_before_growth`` (field): in an epoch in which neurons are to be born the
        prototypes are smoothed over linked neighbours first, and `grow` is asked again.
        ``needs_classes`` (attribute): True when `grow` reads ``class_counts``.
        ``wants_children(som_map, state)``: neurons get child maps, see `VerticalGrowth`.
    """

    def grow(self, som_map: SomMap, state: GrowthState) -> Sequence[Birth]:
        """Return the births of this epoch, most urgent first; empty to let the map settle.

        Called in the growing phase after every epoch but the first and the last. Each position
        must be free and linked to the map. ``som_map`` must not be changed.
        """


@dataclass(frozen=True)
class VerticalState:
    """What a vertical growth strategy sees of a trained map of the tree; arrays are read-only.

    Attributes
    ----------
    depth : int
        1 for the first map, 2 for a child map, and so on.
    errors : float64 array (K,)
        Sum of the distances of the training samples that each neuron won, in the metric's units.
    hits : int array (K,)
        Number of those samples.
    root_error : float
        qe₀: the same sum over all training samples for a single neuron at their mean.
    """

    depth: int
    errors: FloatArray
    hits: IntArray | FloatArray
    root_error: float


@runtime_checkable
class VerticalGrowth(Protocol):
    """Optional: a growth strategy whose neurons may get a child map that splits their samples.

    Optional capabilities
        ``base`` (field): the growth strategy that grows each map, declared as
        ``Annotated[Any, Nested("growth")]``; the strategy itself without it. What estimators fill
        into a growth strategy goes to it.
    """

    def wants_children(self, som_map: SomMap, state: VerticalState) -> NDArray[np.bool_]:
        """Return for each neuron (K,) whether its samples shall have a map of their own.

        Asked once for every map of the tree when its training has ended. Neurons whose samples do
        not vary, or that hold all samples of their map, get none.
        """


# --------------------------------------------------------------------------------------------------
# Labellers


@dataclass(frozen=True)
class LabelEvidence:
    """What a labeller sees of a trained map.

    Attributes
    ----------
    som_map : SomMap
        The trained map with K neurons.
    bmu : int array (n,)
        The best-matching unit of each training sample.
    hits : int array (K,)
        Training samples won by each neuron.
    y : array (n,) or None
        The training targets as given.
    classes : array (C,) or None
        The sorted distinct labels, when y holds classes.
    class_counts : int array (K, C) or None
        Training samples of each class won by each neuron; samples without a class are not counted.
    weights : float64 array (n,) or None
        Sample weights. ``hits`` and ``class_counts`` are then float64 sums of them.
    """

    som_map: SomMap
    bmu: IntArray
    hits: IntArray | FloatArray
    y: NDArray[Any] | None = None
    classes: NDArray[Any] | None = None
    class_counts: IntArray | FloatArray | None = None
    weights: FloatArray | None = None


@runtime_checkable
class Labeller(Protocol):
    """A labeller: gives each neuron the answer for the samples that it wins.

    Optional capabilities
        ``probabilities(evidence) -> array (K, C)``: class probabilities per neuron, rows sum to 1.
        ``needs_target`` (attribute): True when `label` reads ``y`` or ``class_counts``.
        ``estimators`` (attribute): the kinds (``vq``, ``classifier``, ``regressor``) that it can
        answer for; the others refuse it. Every kind without it.
    """

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        """Return one label per neuron, shape (K,). Entries of neurons without hits are ignored:
        the core gives a dead neuron the label of the nearest live one.
        """


# --------------------------------------------------------------------------------------------------
# Data sets, measures, figures, trackers


@dataclass(frozen=True)
class Data:
    """A loaded data set.

    Attributes
    ----------
    X : float array (n, D)
    y : array (n,) or None
        Class labels of any type, or regression targets.
    feature_names : sequence of D str, optional
    target_names : sequence of str, optional
        Names for the classes 0..C-1 when y holds integers.
    image_shape : (rows, columns), optional
        When each sample is an image.
    """

    X: FloatArray
    y: NDArray[Any] | None = None
    feature_names: Sequence[str] | None = None
    target_names: Sequence[str] | None = None
    image_shape: tuple[int, int] | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """A data set: fields say which, `load` reads it."""

    def load(self) -> Data:
        """Return the data; raise `DataError` with one sentence that names the cure."""


@runtime_checkable
class Measure(Protocol):
    """A measure of a trained map on one part of the data; logged as ``train/NAME``, ``test/NAME``.

    Optional capabilities
        ``needs_target`` (attribute): True when it reads ``evaluation.y``; left out otherwise.
        ``estimators`` (attribute): the kinds (``vq``, ``classifier``, ``regressor``) whose default
        list holds it; every kind without it. One that names others cannot be used with a regressor,
        nor one that names the regressor alone with others.
    """

    greater_is_better: ClassVar[bool]

    def compute(self, evaluation: Evaluation) -> float:
        """Return the value on the samples of ``evaluation``, in chunks where it needs distances."""


@runtime_checkable
class Figure(Protocol):
    """A figure of a trained map."""

    def draw(self, view: MapView) -> MatplotlibFigure:
        """Return a new matplotlib figure made without pyplot's global state."""


@runtime_checkable
class Tracker(Protocol):
    """A tracker: settings from which an observer of the run is made.

    Optional capabilities
        ``how_to_open() -> str``: the command or address that shows the runs, told at the end.
        ``mirror(folder) -> None``: bring the tracker up to date with the folder of a run that has
        ended, as ``dbgsom sync`` does; doing it twice is as good as once.
    """

    def observer(self) -> object:
        """Return a fresh object with any of the four lifecycle hooks as methods.

        ``dbgsom_run_started(run)``, ``dbgsom_epoch_finished(run, epoch)``,
        ``dbgsom_run_finished(run, result)``, ``dbgsom_run_failed(run, error)``; no decorator is
        needed. ``run.folder`` is written before the observer hears of an event.
        """
