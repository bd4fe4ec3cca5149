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
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import pluggy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dbgsom_core.deprecation import Deprecation, deprecated_name
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.files import write_atomically
from dbgsom_core.interfaces.growth import (
    Birth,
    DataSummary,
    GrowthState,
    GrowthStrategy,
    VerticalGrowth,
    VerticalState,
)
from dbgsom_core.interfaces.metrics import (
    AssigningMetric,
    CentringMetric,
    FittingMetric,
    FormingMetric,
    Metric,
    PreparingMetric,
    ScalarMetric,
)
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
    "AssigningMetric",
    "Birth",
    "CentringMetric",
    "Component",
    "Data",
    "DataError",
    "DataSummary",
    "Dataset",
    "Figure",
    "FittingMetric",
    "FormingMetric",
    "GrowthState",
    "GrowthStrategy",
    "Kernel",
    "KernelComponent",
    "LabelEvidence",
    "Labeller",
    "Measure",
    "Metric",
    "Nested",
    "PreparingMetric",
    "ScalarMetric",
    "Tracker",
    "VerticalGrowth",
    "VerticalState",
    "hookimpl",
    "write_atomically",
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
