"""The map beside samples whose targets are known, while it is in training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample
from dbgsom_core.engine.local import Samples
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.interfaces.measures import AskedEvaluation, Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.labels import Past
from dbgsom_core.training.targets import Target
from dbgsom_core.training.told import Told


@dataclass(frozen=True)
class Judge:
    """What stopping rules see that need targets.

    Attributes
    ----------
    labeller : Labeller
        Answers as it would if the training ended now; child maps, which come later, do not.
    data : Samples
        Those that train.
    target : Target
        Theirs.
    validation : (Samples, Target) or None
        What is held out.
    """

    labeller: Labeller
    data: Samples
    target: Target
    validation: tuple[Samples, Target] | None

    def evaluations(
        self, som_map: SomMap, found: PerSample, past: Past
    ) -> tuple[Evaluation, Evaluation]:
        """Return the map beside what trains and what is held out, as far as targets are known.

        Nothing is labelled until somebody asks for predictions.

        Raises
        ------
        ValueError
            No target of what is held out is known.
        """
        now = _Now(self, som_map, found, past)
        train = now.beside(self.data, self.target)
        return train, train if self.validation is None else now.beside(*self.validation)


@dataclass(frozen=True)
class _Now:
    # A map after an epoch, and what it won.
    judge: Judge
    som_map: SomMap
    found: PerSample
    past: Past

    @cached_property
    def told(self) -> Told:
        judge = self.judge
        found = judge.data.lasting(self.som_map.prototypes, self.found)
        tree = Tree.of(self.som_map)
        return Told.of(
            judge.labeller, tree, judge.data, found, found, judge.target, None, self.past
        )

    @property
    def _classes(self) -> NDArray[Any] | None:
        return self.judge.target.classes

    def _leaves(self, data: Samples) -> NDArray[np.int64]:
        tree = Tree.of(self.som_map)
        return descend(tree, data, tree.live(self.told.leaves.hits)).leaf

    def predictions(self, data: Samples) -> NDArray[Any]:
        """Return what samples are answered."""
        answering = self.told.answering
        if answering is None:
            return np.asarray(self.told.leaves.labels[self._leaves(data)])
        answers = answering(data)
        return answers if self._classes is None else self._classes[answers.argmax(axis=1)]

    def probabilities(self, data: Samples) -> NDArray[np.float64]:
        """Return the probabilities of their classes."""
        if self.told.answering is not None:
            return self.told.answering(data)
        shares = self.told.leaves.probabilities
        if shares is None:
            raise ValueError(
                f"labeller {type(self.judge.labeller).__name__} gives no probabilities"
            )
        return np.asarray(shares[self._leaves(data)])

    def beside(self, data: Samples, target: Target) -> Evaluation:
        """Return the map beside those samples of which a target is known."""
        known = target.known
        if not known.any():
            raise ValueError(
                "none of the samples that a stopping rule measures has a target: hold out more of "
                "them (its validation), or measure what needs none"
            )
        if not known.all():
            data, target = data.subset(np.flatnonzero(known)), target.of(known)
        y = target.y  # of labels beside None, whose array is one of objects, those of classes
        if target.classes is not None and target.codes is not None:
            y = target.classes[target.codes]
        return AskedEvaluation(
            self.som_map,
            data,
            y,
            classes=target.classes,
            probabilities_of=None if self._classes is None else self.probabilities,
            predictions_of=self.predictions,
        )
