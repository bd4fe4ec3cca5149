"""What a labeller is, and what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.arrays import FloatArray, IntArray
    from dbgsom_core.som_map.grid import SomMap


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
