"""Several numbers for each sample, or one that is not known of all of them.

The map is trained on all samples, whatever is known of them. Each number is then learnt from the
samples of which it is known, as if it were the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Assignment, PerSample
from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.interfaces.labellers import Labeller, LabellerAbilities
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.answering import Answering, State
from dbgsom_core.training.labels import Past, evidence_of, label_leaves, label_neurons
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import Target


@dataclass(frozen=True)
class Output:
    """What is learnt of one number.

    Attributes
    ----------
    neurons, leaves : float64 arrays (K,) and (L,)
        What they answer.
    summaries : Summaries
        Of the samples of which it is known.
    answering : Answering or None
        Where the labeller answers from more than the winning neuron.
    """

    neurons: NDArray[np.float64]
    leaves: NDArray[np.float64]
    summaries: Summaries
    answering: Answering | None

    @classmethod
    def learnt(
        cls,
        labeller: Labeller,
        tree: Tree,
        samples: Samples,
        found: Assignment,
        ended: Assignment,
        target: Target,
        past: Past,
    ) -> Self:
        """Learn from samples, all with a number, that won ``found`` and ``ended`` in leaves."""
        som_map: SomMap = tree.maps[0]
        evidence = evidence_of(som_map, samples, found, target, past)
        neurons = leaves = label_neurons(labeller, evidence, samples)
        if len(tree.maps) > 1:
            leaves = label_leaves(labeller, tree, samples, ended, target, past)
        summaries, _ = Summaries.of(samples, ended, len(tree), target)
        answering = Answering.of(labeller, tree, summaries, samples, ended, target)
        if answering is None:
            return cls(neurons.labels, leaves.labels, summaries, None)
        answers = answering.of_prototypes(tree.weights, samples.metric)
        of_neurons = answers if len(tree.maps) == 1 else neurons.labels
        return cls(of_neurons, answers, summaries, answering)


@dataclass(frozen=True)
class AnsweringEach:
    """What answers each of T numbers; ``single`` where there is but one, with gaps."""

    each: tuple[Answering, ...]
    single: bool

    def __call__(self, data: Samples) -> NDArray[np.float64]:
        """Return numbers (n, T), (n,) of a single one, for prepared samples."""
        return joined([answering(data) for answering in self.each], self.single)

    def of_prototypes(
        self, prototypes: NDArray[np.float64], metric: MetricCalls
    ) -> NDArray[np.float64]:
        """Return the same for prototypes (K, D)."""
        return joined([one.of_prototypes(prototypes, metric) for one in self.each], self.single)

    @property
    def state(self) -> State:
        """What was learnt of all, each name after the number of the output and a dot."""
        return {
            f"{number}.{name}": array
            for number, one in enumerate(self.each)
            for name, array in one.state.items()
        }

    @staticmethod
    def states(state: State, count: int) -> list[State]:
        """Return the state of each of so many outputs."""
        found: list[dict[str, NDArray[Any]]] = [{} for _ in range(count)]
        for name, array in state.items():
            number, dot, own = name.partition(".")
            if dot and number.isdecimal() and int(number) < count:
                found[int(number)][own] = array
        return list(found)


@dataclass(frozen=True)
class Outputs:
    """What is learnt of all: neurons (K, T) and leaves (L, T), or (K,) and (L,) of a single one."""

    neurons: NDArray[np.float64]
    leaves: NDArray[np.float64]
    summaries: tuple[Summaries, ...]
    answering: AnsweringEach | None

    @classmethod
    def learnt(
        cls,
        labeller: Labeller,
        tree: Tree,
        samples: Samples,
        found: PerSample,
        ended: PerSample,
        target: Target,
        past: Past,
    ) -> Self:
        """Learn from all samples that won ``found`` and ``ended`` in leaves."""
        assert target.outputs is not None

        def of(one: PerSample, rows: NDArray[np.intp]) -> Assignment:
            return Assignment(one.bmu[rows], one.distance[rows])

        if LabellerAbilities.of(labeller).several_targets:
            evidence = evidence_of(tree.maps[0], samples, found, target, past)
            neurons = leaves = label_neurons(labeller, evidence, samples).labels
            if len(tree.maps) > 1:
                leaves = label_leaves(labeller, tree, samples, ended, target, past).labels
            known = [
                Summaries.of(samples.subset(rows), of(ended, rows), len(tree), Target(y))[0]
                for rows, y in target.outputs
            ]
            neurons, leaves = (np.asarray(one, np.float64) for one in (neurons, leaves))
            return cls(neurons, leaves, tuple(known), None)

        each = [
            Output.learnt(
                labeller,
                tree,
                samples.subset(rows),
                of(found, rows),
                of(ended, rows),
                Target(y),
                past,
            )
            for rows, y in target.outputs
        ]
        single = target.y.ndim == 1
        answering = tuple(one.answering for one in each if one.answering is not None)
        return cls(
            joined([one.neurons for one in each], single),
            joined([one.leaves for one in each], single),
            tuple(one.summaries for one in each),
            AnsweringEach(answering, single) if answering else None,
        )


def joined(columns: Sequence[NDArray[Any]], single: bool) -> NDArray[np.float64]:
    """Return the columns side by side, (n, T), or the only one."""
    return np.asarray(columns[0] if single else np.column_stack(columns), dtype=np.float64)
