"""Growing maps as scikit-learn estimators."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, ClusterMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from dbgsom_core.evaluation import Evaluation, MapView
from dbgsom_core.growing_map import GrowingMap


class SomVQ(ClusterMixin, GrowingMap):
    """Growing self-organizing map for clustering and vector quantization.

    Parameters
    ----------
    metric, kernel, growth, labeller : str, mapping or component
        The parts of the map: a name, ``{"name": …, field: …}`` or an instance. Fields are reached
        as ``growth__spreading_factor``.
    epochs : int
        Upper bound of the epochs; ``n_iter_`` tells how many ran.
    tol : float
        At the final width training stops when the prototypes' root mean square step falls below
        this share of the data's deviation ‖std(X)‖; 0 never stops early.
    spreading_factor : float in (0, 1), optional
        Fills the growth strategy's field: the closer to 1, the larger the map.
    max_neurons : int, "auto" or None
        Fills the growth strategy's field: the map never exceeds it.
    init : {"pca", "random"} or array (K0, D)
        Start prototypes, row-major.
    random_state : int, RandomState or None
        Used by ``init="random"`` only.
    engine : str, mapping or LocalEngine
    callbacks : list of callables or observers, optional
        Each callable hears every `EpochRecord`; an object may have ``dbgsom_epoch_finished``.
    verbose : int
        Above 0, a line is printed for each epoch.

    Attributes
    ----------
    weights_ : float array (K, D)
        Prototypes in order of birth, in the space of the metric.
    neurons_ : list of (x, y)
        Grid cells (column, row) of the same neurons.
    labels_ : int array (n,)
        Cluster of each training sample: contiguous numbers over the neurons that won a sample.
    neuron_labels_ : array (K,)
        The same for neurons; one without samples carries its nearest live neuron's.
    growth_events_ : list of (epoch, parent, position)
    history_ : tuple of EpochRecord
    som_map_ : SomMap
        ``som_map_.children`` holds the child maps of hierarchical growth. What is said of neurons
        here is about the first map; ``labels_``, ``quantization_error_``, `predict` and `transform`
        are about the leaves, the neurons without a child map.
    leaf_weights_, leaf_paths_, leaf_labels_, leaf_hit_counts_ : arrays (L, …)
        Prototypes of the leaves, the rows of the neurons that lead to them (L, depth), their
        labels, and the training samples that ended there.
    hit_counts_, errors_ : arrays (K,)
        Training samples won, and the sum of their distances.
    growing_threshold_, quantization_error_, topographic_error_ : float
        The topographic error counts a sample whose two nearest neurons are not linked.
    n_iter_ : int
    converged_ : bool

    References
    ----------
    Vasighi, M. & Amini, H. (2017). A directed batch growing approach to enhance the topology
    preservation of self-organizing map. Applied Soft Computing 55, 424-435.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the map.

        Parameters
        ----------
        X : array-like (n, D)
            At least 4 samples of finite numbers, not all alike.
        y : array-like (n,), optional
            Class labels; read only where the growth strategy or the labeller needs them.

        Raises
        ------
        ValueError
            The data or a parameter cannot be used.
        """
        X = _training_data(self, X)
        parts = self.parts()
        wanted = getattr(parts.growth, "needs_classes", False) or getattr(
            parts.labeller, "needs_target", False
        )
        if y is None or not wanted:
            return self._fit(X, None, None, None)
        y, classes, codes = _class_labels(X, y)
        return self._fit(X, y, classes, codes)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the cluster of each sample of X (n, D), shape (n,): that of the nearest neuron
        that won a training sample, of its child map's nearest one where it has a child map.
        """
        leaves = self._live_leaves(X)
        return np.asarray(self.leaf_labels_[leaves])

    def score(self, X: Any, y: Any = None) -> float:
        """Return the negative quantization error of X (n, D), so that greater is better."""
        return -self.calculate_quantization_error(X)


class SomClassifier(ClassifierMixin, GrowingMap):
    """Growing self-organizing map whose neurons answer with a class.

    The map itself is trained on X alone (unless growth uses ``threshold: entropy``); the labeller
    then gives each neuron a class. Parameters and attributes are those of `SomVQ`, and:

    Attributes
    ----------
    classes_ : array (C,)
        The sorted class labels.
    labels_ : array (n,)
        The class of the neuron that won each training sample.
    """

    def __init__(
        self,
        *,
        metric: Any = "euclidean",
        kernel: Any = "gaussian",
        growth: Any = "directed",
        labeller: Any = "majority",
        epochs: int = 100,
        tol: float = 1e-4,
        spreading_factor: float | None = None,
        max_neurons: int | str | None = None,
        init: Any = "pca",
        random_state: Any = None,
        engine: Any = "local",
        callbacks: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            metric=metric,
            kernel=kernel,
            growth=growth,
            labeller=labeller,
            epochs=epochs,
            tol=tol,
            spreading_factor=spreading_factor,
            max_neurons=max_neurons,
            init=init,
            random_state=random_state,
            engine=engine,
            callbacks=callbacks,
            verbose=verbose,
        )

    def fit(self, X: Any, y: Any) -> Self:
        """Train the map on X (n, D) and label its neurons with y (n,).

        Raises
        ------
        ValueError
            The data, the labels or a parameter cannot be used.
        """
        if y is None:
            raise ValueError(
                "SomClassifier needs class labels: requires y to be passed, but the target y is "
                "None"
            )
        X = _training_data(self, X)
        y, self.classes_, codes = _class_labels(X, y)
        return self._fit(X, y, self.classes_, codes)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each sample of X (n, D), shape (n,)."""
        leaves = self._live_leaves(X)
        return np.asarray(self.leaf_labels_[leaves])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C): the shares among the samples of the nearest neuron.

        Raises
        ------
        AttributeError
            The labeller gives no probabilities.
        """
        leaves = self._live_leaves(X)
        if self._leaf_probabilities is None:
            name = type(self._parts.labeller).__name__
            raise AttributeError(f"labeller {name} gives no probabilities")
        return np.asarray(self._leaf_probabilities[leaves])


def view_of(estimator: GrowingMap, evaluation: Evaluation, **details: Any) -> MapView:
    """Return a fitted map with everything that a figure may draw."""
    return MapView(
        evaluation=evaluation,
        neuron_labels=estimator.neuron_labels_,
        neuron_probabilities=estimator._probabilities,
        leaf_labels=estimator.leaf_labels_,
        history=estimator.history_,
        estimator="classifier" if isinstance(estimator, SomClassifier) else "vq",
        **details,
    )


def _training_data(estimator: Any, X: Any) -> NDArray[Any]:
    return np.asarray(
        validate_data(estimator, X, dtype=[np.float64, np.float32], order="C", ensure_min_samples=4)
    )


def _class_labels(X: NDArray[Any], y: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    check_classification_targets(y)
    try:
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise ValueError("the class labels in y mix texts and numbers; use one kind") from error
    return y, classes, codes.astype(np.int64)
