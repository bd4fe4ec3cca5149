"""What neurons and leaves answer, and what stands for the samples from which they know it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample, Totals
from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.answering import Answering
from dbgsom_core.training.labels import (
    Answers,
    Past,
    evidence_of,
    label_leaves,
    label_neurons,
    labels_of_neurons,
)
from dbgsom_core.training.outputs import AnsweringEach, Outputs
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import Target


@dataclass(frozen=True)
class Told:
    """What neurons and leaves answer, and what stands for the samples from which they know it.

    ``summary_of`` (n,) says which summary each sample is in, where a neuron may have several.
    """

    hits: NDArray[Any]
    neurons: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    leaves: Answers
    summaries: Summaries
    summary_of: NDArray[np.int64] | None
    answering: Answering | AnsweringEach | None
    outputs: tuple[Summaries, ...] = ()

    @classmethod
    def of(
        cls,
        labeller: Labeller,
        tree: Tree,
        samples: Samples,
        found: PerSample,
        ended: PerSample,
        target: Target | None,
        totals: Totals | None,
        past: Past,
    ) -> Told:
        """Let the labeller learn from samples that won ``found`` and ``ended`` in leaves."""
        one = len(tree.maps) == 1
        if target is not None and target.outputs is not None:
            outputs = Outputs.learnt(labeller, tree, samples, found, ended, target, past)
            summaries, own = Summaries.of(samples, ended, len(tree), None, totals)
            hits = samples.found(tree.maps[0].prototypes, found).hits
            won = hits if one else np.bincount(ended.bmu, samples.weights, len(tree))
            leaves = Answers(outputs.leaves, None, won)
            return cls(
                hits,
                outputs.neurons,
                None,
                leaves,
                summaries,
                own,
                outputs.answering,
                outputs.summaries,
            )
        evidence = evidence_of(tree.maps[0], samples, found, target, past)
        labels = leaves = label_neurons(labeller, evidence, samples)
        neurons = labels.labels
        if not one:
            leaves = label_leaves(labeller, tree, samples, ended, target, past)
            if target is None:  # numbers of clusters mean nothing before the leaves are numbered
                neurons = labels_of_neurons(tree, leaves)
        summaries, own = Summaries.of(samples, ended, len(tree), target, totals)
        answering = Answering.of(labeller, tree, summaries, samples, ended, target, own)
        if answering is not None:
            leaves = _answered(leaves, answering, tree.weights, samples.metric, target)
            if one:
                labels, neurons = leaves, leaves.labels
        return cls(labels.hits, neurons, labels.probabilities, leaves, summaries, own, answering)


def _answered(
    answers: Answers,
    answering: Answering,
    prototypes: NDArray[np.float64],
    metric: MetricCalls,
    target: Target | None,
) -> Answers:
    # What neurons answer: what samples at their prototypes are answered.
    found = answering.of_prototypes(prototypes, metric)
    classes = None if target is None else target.classes
    if classes is None:
        return replace(answers, labels=found)
    return replace(answers, labels=classes[found.argmax(axis=1)], probabilities=found)
