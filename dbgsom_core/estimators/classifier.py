"""A growing map whose neurons answer with a class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from dbgsom_core.engine.local import Samples
from dbgsom_core.estimators.components import computed
from dbgsom_core.estimators.fitted_map import by_rows
from dbgsom_core.estimators.growing_map import GrowingMap, all_or_nothing
from dbgsom_core.estimators.model_file import storable
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.training.groups import followed_by
from dbgsom_core.training.targets import class_labels, labelled


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

    labeller: Any = "kernel_vote"
    unlabelled: Any = "auto"

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the map on X (n, D) and label its neurons with y (n,).

        A sample without a class (None, nan, or as ``unlabelled`` says) trains the map and labels
        nothing; a neuron without labelled samples answers as its nearest neuron with some.
        ``sample_weight`` (n,): each sample counts as if it were there so many times.

        Raises
        ------
        ValueError
            The data, the labels or a parameter cannot be used.
        """
        self._require(y, "class labels")
        parts = self.check_parts(y, X)
        X = self._checked(X, parts, reset=True)
        target = class_labels(X, y, self.unlabelled)
        self._fit(parts, X, target, sample_weight)
        self.classes_ = target.classes
        return self

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on training with further samples, see `SomVQ.partial_fit`.

        ``classes`` (C,) names classes that have not been seen yet; without it those of later calls
        are added when they come.
        """
        self._require(y, "class labels")
        parts = self.check_parts(y, X)
        known = hasattr(self, "som_map_")
        X = self._checked(X, parts, reset=not known)
        learnt = self.classes_ if known else None if classes is None else np.unique(classes)
        target = class_labels(X, y, self.unlabelled, learnt)
        if classes is not None:
            target = target.with_classes(classes)
        if known:
            target = followed_by(target.with_classes(self.classes_), self._memory)
        self._fit(parts, X, target, sample_weight, goes_on=known)
        self.classes_ = target.classes
        return self

    def evaluate(self, X: Any, y: Any = None, predictions: Any = None, seed: int = 0) -> Evaluation:
        """Lay the map beside samples X (n, D): what measures and figures look at."""
        evaluation = replace(
            super().evaluate(X, y, predictions, seed),
            classes=self.classes_,
            probabilities_of=self._probabilities_of,
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
        return self._probabilities_of(self._samples(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of the samples X (n, D) of which `predict` knows the class, y (n,).

        ``sample_weight`` (n,) weighs them. A lazy collection is computed once.
        """
        from sklearn.metrics import accuracy_score  # slow to import

        y, answers, weights = map(computed, (y, self.predict(X), sample_weight))
        return float(accuracy_score(y, answers, sample_weight=weights))

    def _probabilities_of(self, data: Samples) -> NDArray[np.float64]:
        if self._answering is not None:
            return self._answering(data)
        shares = self._leaf_probabilities
        if shares is None:
            name = type(self._parts.labeller).__name__
            raise AttributeError(f"labeller {name} gives no probabilities")
        return np.asarray(shares[self._to_live_leaves(data).leaf])

    def _labels_of(self, answers: NDArray[np.float64]) -> NDArray[Any]:
        return np.asarray(np.asarray(self.classes_)[answers.argmax(axis=1)])
