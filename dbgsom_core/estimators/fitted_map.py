"""What a fitted map can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.local import Samples
from dbgsom_core.estimators.answers import Answers, Explanation, explained
from dbgsom_core.estimators.error_bars import ErrorBars
from dbgsom_core.estimators.exploring import explored
from dbgsom_core.estimators.figures_of_merit import FiguresOfMerit
from dbgsom_core.estimators.lazy import by_rows
from dbgsom_core.estimators.model_file import load_estimator, save
from dbgsom_core.estimators.novelty_scores import NoveltyScores
from dbgsom_core.estimators.validation import check_samples, is_integer
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Descent, Tree, descend
from dbgsom_core.training.answering import Answering
from dbgsom_core.training.fitted_metric import FittedMetric
from dbgsom_core.training.outputs import AnsweringEach
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import labelled

_ALGORITHMS = ("mixture", "distances")


class FittedMap(
    FiguresOfMerit, NoveltyScores, ErrorBars, ClassNamePrefixFeaturesOutMixin, TransformerMixin
):
    """Methods that use a map and leave it as it is."""

    _kind: ClassVar[str]
    som_map_: SomMap
    weights_: NDArray[np.floating[Any]]
    hit_counts_: NDArray[Any]
    neuron_labels_: NDArray[Any]
    leaf_labels_: NDArray[Any]
    leaf_hit_counts_: NDArray[Any]
    transform_algorithm: str
    _parts: Parts
    _metric: FittedMetric
    _tree: Tree
    _leaf_probabilities: NDArray[np.float64] | None
    _answering: Answering | AnsweringEach | None

    def _samples(self, X: Any) -> Samples:
        check_is_fitted(self)
        engine = self._parts.engine
        X = check_samples(self, X, self._metric.abilities, reset=False, engine=engine)
        return self._parts.over(X, self._metric.abilities)

    def _to_live_leaves(self, data: Samples) -> Descent:
        # Only neurons that won a training sample have something to say.
        return descend(self._tree, data, self._tree.live(self.leaf_hit_counts_))

    @by_rows
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the cluster, class or number that stands for each sample of X (n, D), shape (n,).

        It is that of the nearest neuron that won a training sample, or of its child map's nearest
        one where it has a child map; a labeller that answers from more than the nearest neuron
        asks those around the sample, of all leaves.
        """
        return self._answers(self._samples(X))

    def _answers(self, data: Samples) -> NDArray[Any]:
        if self._answering is None:
            return np.asarray(self.leaf_labels_[self._to_live_leaves(data).leaf])
        return self._said(self._answering(data))

    def _said(self, answers: NDArray[np.float64]) -> NDArray[Any]:
        return answers

    def answers(self, X: Any) -> Answers:
        """Return label, unit, cell, distance, novelty and probabilities of samples X (n, D).

        Each is found out when it is asked for, by this map: leave X as it is until then.
        """
        return Answers(self, self._samples(X))

    def explain(self, x: Any, names: Sequence[str] | None = None) -> Explanation:
        """Return why the map answers to one sample as it does.

        Parameters
        ----------
        x : array-like (D,) or (1, D)
            nan where a value is missing.
        names : sequence of D str, optional
            What the features are called; ``feature_names_in_`` without it.

        Returns
        -------
        Explanation
            Its neuron, label and novelty, the features in which it differs most from the
            prototype, and the neurons beside it.

        Raises
        ------
        ValueError
            x is not one sample that the map takes.
        """
        return explained(self, x, names)

    @by_rows
    def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
        """Return the best-matching units of samples, as rows of ``weights_``.

        Parameters
        ----------
        X : array-like or CSR matrix (n, D)
        k : int
            How many units, nearest first; equal distances go to the lower row.

        Returns
        -------
        int64 array (n,) for ``k=1``, else (n, k)

        Raises
        ------
        ValueError
            ``k`` is not between 1 and the number of neurons.
        """
        data = self._samples(X)
        if not is_integer(k) or not 1 <= k <= len(self.som_map_):
            raise ValueError(f"k must be between 1 and {len(self.som_map_)}, not {k!r}")
        if k == 1:
            return data.assign(self.som_map_.prototypes).bmu
        return data.nearest_units(self.som_map_.prototypes, k)[0]

    @by_rows
    def bmu_path(self, X: Any) -> NDArray[np.int64]:
        """Return the way of each sample down the maps.

        Parameters
        ----------
        X : array-like (n, D)

        Returns
        -------
        int64 array (n, depth)
            The first column is `bmu`, a row of ``weights_``. The second is a row of the child map
            ``som_map_.children[…]`` of that neuron, and so on; -1 where there is none.
        """
        data = self._samples(X)
        return descend(self._tree, data).path

    @by_rows
    def transform(
        self, X: Any, algorithm: str | None = None, sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """Describe each sample by the prototypes of the leaves, the neurons without a child map.

        Unless growth is hierarchical these are all neurons of the map.

        Parameters
        ----------
        X : array-like or CSR matrix (n, D)
        algorithm : {"mixture", "distances"}, optional
            ``"mixture"``: the coefficients c >= 0 that minimise ‖x - Σ_j c_j w_j‖ (Lawson & Hanson
            1974, ch. 23) in the space of the metric; most of them are 0, at most D are not. A
            missing value counts as that of the best-matching unit. ``"distances"``: the distance to
            each prototype, in the metric's units, as `sklearn.cluster.KMeans` gives them. None:
            ``transform_algorithm``.
        sparse : bool
            Return mixtures as a CSR array; the dense one is never made.

        Returns
        -------
        float array or csr_array (n, L), in the dtype of X

        Raises
        ------
        ValueError
            There is no such algorithm, or distances, none of which is 0, are asked for as sparse.
        """
        data = self._samples(X)
        wanted = self.transform_algorithm if algorithm is None else algorithm
        self._check_algorithm(wanted, "algorithm")
        if sparse and wanted == "distances":
            raise ValueError("distances are not sparse: sparse=True needs algorithm='mixture'")
        with one_blas_thread():
            if wanted == "distances":
                return data.distances(self._tree.weights)
            return data.mixtures(self._tree.weights, sparse)

    def inverse_transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return the samples Σ_j c_j w_j (n, D) that mixture coefficients c describe.

        Parameters
        ----------
        X : array-like or sparse matrix (n, L)
            Coefficients as `transform` gives them.

        Returns
        -------
        float array (n, D), in the dtype of the coefficients

        Raises
        ------
        ValueError
            There is not one column for each leaf, ``transform_algorithm`` is ``"distances"``, or
            the metric maps samples into a space of its own.
        """
        check_is_fitted(self)
        if self.transform_algorithm == "distances":
            raise ValueError(
                "inverse_transform needs mixture coefficients, and transform_algorithm='distances' "
                "gives distances, which do not tell the sample"
            )
        self._check_units("inverse_transform")
        floats = [np.float64, np.float32]
        coefficients = check_array(X, accept_sparse="csr", dtype=floats, input_name="X")
        prototypes = self._tree.weights.astype(coefficients.dtype)
        if coefficients.shape[1] != len(prototypes):
            raise ValueError(
                f"X has {coefficients.shape[1]} coefficients a sample, but transform gives "
                f"{len(prototypes)}, one for each leaf"
            )
        return np.asarray(coefficients @ prototypes)

    @by_rows
    def impute(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return X (n, D) with the best-matching unit's value wherever a value is missing (nan).

        Raises
        ------
        ValueError
            The metric maps samples into a space of its own, so prototypes hold no such values.
        """
        data = self._samples(X)
        self._check_units("impute")
        return data.completed(self._tree.weights)

    def evaluate(self, X: Any, y: Any = None, predictions: Any = None, seed: int = 0) -> Evaluation:
        """Lay the map beside samples X (n, D): what measures and figures look at."""
        numbers = y is None or self._kind == "regressor"
        known = None if numbers else labelled(y, None, ())  # those that are there
        return Evaluation(
            som_map=self.som_map_,
            data=self._samples(X),
            y=y,
            predictions=predictions,
            labelled=known,
            seed=seed,
            novelty_of=lambda data: -self._scores(data),
        )

    def plot(self, **options: Any) -> Any:
        """Draw the neurons as dots and their links as lines; see `estimators.plotting.plot`."""
        from dbgsom_core.estimators.plotting import plot

        check_is_fitted(self)
        return plot(self, **options)

    def explore(
        self,
        X: Any,
        y: Any = None,
        names: Sequence[str] | None = None,
        path: str | PathLike[str] | None = None,
        *,
        image_shape: tuple[int, int] | None = None,
        other: Any = None,
    ) -> Html:
        """Return the map with samples as an interactive page, which notebooks show.

        Parameters
        ----------
        X : array-like, DataFrame or CSR matrix (n, D)
            The index of a DataFrame names the samples.
        y : array-like (n,), optional
            Their classes or values.
        names : sequence of D str, optional
            What the features are called; ``feature_names_in_`` without it.
        path : path, optional
            Where the page is written, too: one HTML file that needs nothing else.
        image_shape : (rows, columns), optional
            Samples are images of this shape.
        other : fitted estimator, optional
            Of the same features: its map stands beside this one, with the same samples lit.

        Returns
        -------
        Html

        Raises
        ------
        ValueError
            X cannot be used, or the others do not fit it.
        """
        return explored(self, X, y, names, path, image_shape, other)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to one file, without pickle; `load` reads it."""
        check_is_fitted(self)
        save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read an estimator of this class from a file that `save` wrote.

        Raises
        ------
        ModelFileError
            The file cannot be read, is from a newer version, or holds something else.
        PluginError
            A component's plugin is not installed; the message names it.
        """
        loaded: Self = load_estimator(path, cls)
        return loaded

    @property
    def leaf_weights_(self) -> NDArray[np.floating[Any]]:
        """Prototypes of the leaves, the neurons without a child map, shape (L, D)."""
        check_is_fitted(self)
        return np.asarray(self._tree.weights.astype(self.weights_.dtype))

    @property
    def leaf_paths_(self) -> NDArray[np.int64]:
        """Rows of the neurons that lead to each leaf, as in `bmu_path`, shape (L, depth)."""
        check_is_fitted(self)
        return self._tree.paths

    def _check_algorithm(self, algorithm: Any, name: str) -> None:
        if algorithm not in _ALGORITHMS:
            raise ValueError(f"{name} must be 'mixture' or 'distances', not {algorithm!r}")

    def _check_units(self, method: str) -> None:
        metric = self._metric.abilities
        if metric.prepare is not None:
            raise ValueError(
                f"{method} needs prototypes in the units of X, and metric {metric.name} has its own"
            )
