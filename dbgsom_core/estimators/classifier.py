"""A growing map whose neurons answer with a class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from dbgsom_core.estimators.components import computed
from dbgsom_core.estimators.fitted_map import by_rows
from dbgsom_core.estimators.growing_map import GrowingMap, all_or_nothing
from dbgsom_core.estimators.model_file import storable
from dbgsom_core.estimators.validation import HeldOut
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target, class_labels, labelled


@storable
@dataclass(kw_only=True, eq=False, repr=False)
class SomClassifier(ClassifierMixin, GrowingMap):
    """Growing self-organizing map whose neurons answer with a class.

    The map itself is trained on X alone (unless growth uses ``threshold: entropy``); the labeller
    then gives each neuron a class. Parameters and attributes are those of `SomVQ`, and:

    Parameters
    ----------
    unlabelled : "auto", None or label
        Which entries of y say that a sample has no class; None, nan and pandas.NA always do.
        ``"auto"``: -1, too, where it stands beside at least two other labels, all of them integers
        of at least 0 (a warning says so). None: no label.

    Attributes
    ----------
    classes_ : array (C,)
        The sorted class labels.
    labels_ : array (n,)
        The class of the neuron that won each training sample.
    """

    _kind: ClassVar[str] = "classifier"
    _targets: ClassVar[str] = "class labels"

    labeller: Any = "kernel_vote"
    unlabelled: Any = "auto"

    @all_or_nothing
    def partial_fit(  # type: ignore[override] # classes come third, as in scikit-learn
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Go on training with further samples, see `SomVQ.partial_fit`.

        ``classes`` (C,) names classes that have not been seen yet; without it those of later calls
        are added when they come.
        """
        known = hasattr(self, "som_map_")
        return self._train(X, y, sample_weight, goes_on=known, classes=classes)

    def _target(self, parts: Parts, X: Any, y: Any, goes_on: bool, classes: Any) -> Target | None:
        learned = self.classes_ if goes_on else None if classes is None else np.unique(classes)
        target = class_labels(X, y, self.unlabelled, learned)
        if classes is not None:
            target = target.with_classes(classes)
        return target.with_classes(self.classes_) if goes_on else target

    def _take_target(
        self, X: Any, target: Target | None, everything: Target | None, held: HeldOut
    ) -> None:
        assert everything is not None
        self.classes_ = everything.classes

    def evaluate(self, X: Any, y: Any = None, predictions: Any = None, seed: int = 0) -> Evaluation:
        """Lay the map beside samples X (n, D): what measures and figures look at."""
        evaluation = replace(
            super().evaluate(X, y, predictions, seed),
            classes=self.classes_,
            probabilities_of=self._predictor.probabilities,
        )
        if y is None:
            return evaluation
        return replace(evaluation, labelled=labelled(y, self.unlabelled, self.classes_))

    @by_rows
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C); `predict` names the most probable class.

        With labeller ``"kernel_vote"`` they are those of the classes around each sample, with
        ``"majority"`` the shares among the samples of the nearest neuron.

        Raises
        ------
        AttributeError
            The labeller gives no probabilities.
        """
        data = self._samples(X)
        return self._predictor.probabilities(data)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of the samples X (n, D) of which `predict` knows the class, y (n,).

        ``sample_weight`` (n,) weighs them. A lazy collection is computed once.
        """
        from sklearn.metrics import accuracy_score  # slow to import

        y, answers, weights = map(computed, (y, self.predict(X), sample_weight))
        return float(accuracy_score(y, answers, sample_weight=weights))
