"""What each neuron answers: the labeller's word, or the nearest neuron's that can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.majorities import count_classes
from dbgsom_core.interfaces.labellers import LabelEvidence, Labeller, LabellerAbilities
from dbgsom_core.som_map.grid import SomMap
from dbgsom_core.training.targets import Target


@dataclass(frozen=True)
class NeuronLabels:
    """Answers of all K neurons.

    Attributes
    ----------
    labels : array (K,)
    probabilities : float64 array (K, C) or None
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float64] | None


def evidence_of(
    som_map: SomMap,
    bmu: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    target: Target | None,
) -> LabelEvidence:
    """Return what a labeller sees of a trained map: units ``bmu`` (n,) of the training samples."""
    counts, classes, n_neurons = None, None, len(som_map)
    if target is not None and target.codes is not None and target.classes is not None:
        classes = target.classes
        counts = count_classes(bmu, target.codes, n_neurons, len(classes), weights)
    hits = np.bincount(bmu, weights, n_neurons)
    y = None if target is None else target.y
    return LabelEvidence(som_map, bmu, hits, y, classes, counts, weights)


def label_neurons(labeller: Labeller, evidence: LabelEvidence, data: LocalSamples) -> NeuronLabels:
    """Ask the labeller, then let neurons without (labelled) samples answer as their nearest one
    with some.

    Raises
    ------
    ValueError
        The labeller's answer has the wrong shape.
    """
    prototypes, counts = evidence.som_map.prototypes, evidence.class_counts
    heard = evidence.hits if counts is None else counts.sum(axis=1)
    telling = np.flatnonzero(heard > 0)
    nearest = _nearest_of(telling, prototypes, data)
    labels = _checked("label", labeller.label(evidence), (len(prototypes),), labeller)
    probabilities = LabellerAbilities.of(labeller).probabilities
    shares = None
    if probabilities is not None and evidence.classes is not None:
        shape = (len(prototypes), len(evidence.classes))
        shares = _checked("probabilities", probabilities(evidence), shape, labeller)[nearest]
    return NeuronLabels(labels[nearest], shares)


def _nearest_of(
    telling: NDArray[np.int64], prototypes: NDArray[np.float64], data: LocalSamples
) -> NDArray[np.int64]:
    # Which of the telling neurons is nearest to each neuron; a telling one is so itself.
    nearest = np.arange(len(prototypes))
    others = np.delete(nearest, telling)
    if len(others):
        found = LocalSamples(prototypes[others], data.metric).assign(prototypes[telling])
        nearest[others] = telling[found.bmu]
    return nearest


def _checked(method: str, given: Any, shape: tuple[int, ...], labeller: Labeller) -> NDArray[Any]:
    answer: NDArray[Any] = np.asarray(given)
    if answer.shape != shape:
        raise ValueError(
            f"{method} of labeller {type(labeller).__name__} returned shape {answer.shape}, "
            f"not {shape}"
        )
    return answer
