"""What observers hear: a run, its epochs and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.evaluation import MapView


class GrowthEvent(NamedTuple):
    """One neuron was born: in which epoch, beside which parent (row), at which (x, y)."""

    epoch: int
    parent: int
    position: tuple[int, int]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that ran, from 1, and the upper bound of epochs.
    phase : {"growing", "fine"}
    width : float
        Kernel width in hops.
    neurons : int
        Neurons after the epoch's births.
    births : tuple of GrowthEvent
        The neurons born in this epoch.
    quantization_error : float
        Mean distance of the training samples to their best-matching unit under the updated
        prototypes, newborns included.
    movement : float
        Root mean square step of the prototypes over the data's ‖std(X)‖ (no unit).
    seconds : float
        Time since training began.
    """

    epoch: int
    epochs: int
    phase: Literal["growing", "fine"]
    width: float
    neurons: int
    births: tuple[GrowthEvent, ...]
    quantization_error: float
    movement: float
    seconds: float


@dataclass(frozen=True)
class Run:
    """One run, or a sweep whose children are runs.

    Attributes
    ----------
    id : str
        Sortable by time, unique within the experiment.
    name : str
        What a person reads in a list; children of a sweep are named by what varies.
    experiment : str
    kind : {"run", "sweep"}
    folder : Path
        ``<runs>/<experiment>/<id>``; exists while observers are called.
    config : mapping
        The resolved configuration with secrets masked: plain YAML values.
    params : mapping of str to str or number
        The few flat parameters that tell runs of an experiment apart; the same keys on every run.
    environment : mapping
        Versions, plugins, machine, git commit and dirty flag: plain JSON values.
    data : mapping
        Facts of the data: name, samples, features, digest (sha256 of X and y).
    parent : Run or None
        The sweep that this run belongs to.
    total_epochs : int
        Upper bound of the epochs that observers will hear of (0 for a sweep).
    """

    id: str
    name: str
    experiment: str
    kind: Literal["run", "sweep"]
    folder: Path
    config: Mapping[str, Any]
    params: Mapping[str, str | int | float | bool]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    parent: Run | None = None
    total_epochs: int = 0


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes
    ----------
    measures : mapping of str to float
        Final values under their logged names (``train/quantization_error``, ``test/accuracy``).
    history : sequence of EpochRecord
    figures : mapping of str to matplotlib Figure
    view : MapView or None
        The trained map as figures see it; None for a sweep.
    model : ClusterModel or None
        The saved pipeline (prepare steps and estimator): has ``save(path)`` and ``predict(X)``.
    example : array (m, D) or None
        A few raw input rows, for signatures.
    children : sequence of (Run, measures)
        The finished runs of a sweep.
    notes : sequence of str
        Sentences a reader of the report should know (warnings, parts left out).
    """

    measures: Mapping[str, float]
    history: Sequence[EpochRecord] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    view: MapView | None = None
    model: Any = None
    example: Any = None
    children: Sequence[tuple[Run, Mapping[str, float]]] = ()
    notes: Sequence[str] = ()
