"""What each neuron answers: the labeller's word, or the nearest neuron's that can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample
from dbgsom_core.engine.local import LocalSamples, Samples
from dbgsom_core.engine.per_sample import units_of
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.labellers import (
    AskedEvidence,
    LabelEvidence,
    Labeller,
    LabellerAbilities,
)
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, leaf_map, stand_ins
from dbgsom_core.training.targets import Target


@dataclass(frozen=True)
class Answers:
    """Answers of K neurons, or of the L leaves of a tree.

    Attributes
    ----------
    labels : array (K,)
        A dead one carries the label of the nearest live one within its map.
    probabilities : float64 array (K, C) or None
    hits : array (K,)
        Training samples won, or the sum of their weights.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    hits: NDArray[Any]


@dataclass(frozen=True)
class Past:
    """What a labeller may know of how the map came to be: a seed, and its epochs."""

    seed: tuple[int, ...] = (0,)
    epochs: tuple[EpochRecord, ...] = ()


def evidence_of(
    som_map: SomMap, data: Samples, found: PerSample, target: Target | None, past: Past
) -> LabelEvidence:
    """Return what a labeller sees of a trained map and the units of the training samples."""
    y = classes = None
    if target is not None:
        y, classes = target.y, target.classes
        data = data.with_classes(target.codes, 0 if classes is None else len(classes))
    won = data.found(som_map.prototypes, found)
    seen: dict[str, Any] = {
        "som_map": som_map, "hits": won.hits, "y": y, "classes": classes,
        "class_counts": won.class_counts, "weights": data.weights, "errors": won.errors,
        "context": Context(data, found, past.seed, past.epochs),
    }  # fmt: skip
    if hasattr(found, "units"):  # samples are not in memory
        return AskedEvidence(bmu=units_of(found), bmu_of=lambda: found.bmu, **seen)
    return LabelEvidence(bmu=found.bmu, **seen)


def label_neurons(labeller: Labeller, evidence: LabelEvidence, data: Samples) -> Answers:
    """Ask the labeller, then let neurons without (labelled) samples answer as their nearest one
    with some.
    """
    prototypes, counts = evidence.som_map.prototypes, evidence.class_counts
    heard = evidence.hits if counts is None else counts.sum(axis=1)
    telling = np.flatnonzero(heard > 0)
    nearest = _nearest_of(telling, prototypes, data)
    abilities = LabellerAbilities.of(labeller)
    labels = np.asarray(abilities.label(evidence))
    probabilities = abilities.probabilities
    shares = None
    if probabilities is not None and evidence.classes is not None:
        shares = np.asarray(probabilities(evidence))[nearest]
    return Answers(labels[nearest], shares, np.asarray(evidence.hits))


def label_leaves(
    labeller: Labeller,
    tree: Tree,
    data: Samples,
    ended: PerSample,
    target: Target | None,
    past: Past,
) -> Answers:
    """Ask the labeller about all leaves at once: those in which the training samples ``ended``."""
    evidence = evidence_of(leaf_map(tree), data, ended, target, past)
    answers = label_neurons(labeller, evidence, data)
    answering = stand_ins(tree, data, answers.hits)
    shares = answers.probabilities
    shares = None if shares is None else shares[answering]
    return Answers(answers.labels[answering], shares, answers.hits)


def labels_of_neurons(tree: Tree, answers: Answers) -> NDArray[Any]:
    """Return a label for each neuron of the root: with a child map that of most of its samples."""
    labels = []
    for neuron in range(len(tree.maps[0])):
        below = tree.paths[:, 0] == neuron
        distinct, rows = np.unique(answers.labels[below], return_inverse=True)
        labels.append(distinct[np.bincount(rows, weights=answers.hits[below]).argmax()])
    return np.array(labels, dtype=answers.labels.dtype)


def _nearest_of(
    telling: NDArray[np.int64], prototypes: NDArray[np.float64], data: Samples
) -> NDArray[np.int64]:
    # Which of the telling neurons is nearest to each neuron; a telling one is so itself.
    nearest = np.arange(len(prototypes))
    others = np.delete(nearest, telling)
    if len(others):
        found = LocalSamples(prototypes[others], data.metric).assign(prototypes[telling])
        nearest[others] = telling[found.bmu]
    return nearest
