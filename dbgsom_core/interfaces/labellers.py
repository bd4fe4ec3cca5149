"""What a labeller is, and what it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dbgsom_core.interfaces.component import Abilities, Component

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.arrays import FloatArray, IntArray
    from dbgsom_core.som_map.som_map import SomMap


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
    """A labeller: gives each neuron the answer for the samples that it wins."""

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        """Return one label per neuron, shape (K,). Entries of neurons without hits are ignored:
        the core gives a dead neuron the label of the nearest live one.
        """


class LabellerComponent(Component):
    """Base of labellers: the defaults of all but `label`.

    Optional capabilities
        ``probabilities(evidence) -> array (K, C)``: class probabilities per neuron, rows sum to 1.
        ``needs_target`` (attribute): True when `label` reads ``y`` or ``class_counts``.
        ``estimators`` (attribute): the kinds (``vq``, ``classifier``, ``regressor``) that it can
        answer for; the others refuse it. None: every kind.
    """

    probabilities: ClassVar[Callable[..., Any] | None] = None
    needs_target: ClassVar[bool] = False
    estimators: ClassVar[tuple[str, ...] | None] = None


@dataclass(frozen=True)
class LabellerAbilities(Abilities):
    """What one labeller can do; see `LabellerComponent`. A method that it lacks is None."""

    kind: ClassVar[str] = "labeller"
    defaults: ClassVar[Component] = LabellerComponent()
    methods: ClassVar[tuple[str, ...]] = ("label", "probabilities")

    probabilities: Callable[[LabelEvidence], Any] | None
    needs_target: bool
    estimators: tuple[str, ...] | None
    label: Any = None
