"""Methods of a fitted map: predictions, units, transforms, novelty, quality, figures, files."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from dbgsom_core.engine.results import Flags, Floats, Integers
from dbgsom_core.engine.runtime import one_blas_thread
from dbgsom_core.engine.samples import Samples
from dbgsom_core.estimators.display import SomDisplay, explorer_page
from dbgsom_core.estimators.explanations import Explanation, explain_sample
from dbgsom_core.estimators.model_file import load_estimator, save
from dbgsom_core.estimators.parameters import build, engine_for
from dbgsom_core.estimators.samples import check_samples, weights_of
from dbgsom_core.estimators.stability import Resampling, compute_stability
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.context import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.figures import Html, MapView
from dbgsom_core.interfaces.labellers import point_answers
from dbgsom_core.interfaces.measures import Evaluation, Stability
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.topology import (
    TopographicFunction,
    topographic_function,
    topographic_product,
)
from dbgsom_core.som_map.tree import Descent, Tree, descend
from dbgsom_core.training.groups import Calibration, Density, MicroClusters
from dbgsom_core.training.labelling import FittedLabeller, Labels, Predictor, Threshold
from dbgsom_core.training.parts import FittedMetric, Parts
from dbgsom_core.training.targets import AS_GIVEN, mark_labelled

LEAVES = "_ended_in"  # attribute: the leaf of each training sample, which no file holds
ALGORITHMS = ("mixture", "distances")
Kind = Literal["vq", "classifier", "regressor"]
_Method = TypeVar("_Method", bound=Callable[..., Any])


def by_rows(method: _Method) -> _Method:
    """Decorate a row-wise method ``(X, ...)`` to take lazy collections, as of dask.

    Where an engine with ``lazily`` has the name of X's package, it computes the results by
    partition.
    """
    names = list(inspect.signature(method).parameters)[2:]

    @functools.wraps(method)
    def answer(self: Any, X: Any, *args: Any, **keywords: Any) -> Any:
        name = "local" if type(X) is np.ndarray else engine_for("local", X)
        lazily = None if name == "local" else guarded(build("engine", name)).lazily
        if lazily is None:
            return method(self, X, *args, **keywords)
        check_is_fitted(self)
        model = copy(self)
        for attribute in ("labels_", LEAVES):  # of all training samples
            vars(model).pop(attribute, None)
        keywords |= zip(names, args, strict=False)
        # Workers get the model pickled, so it is no closure.
        return lazily(X, functools.partial(getattr(model, method.__name__), **keywords))

    return cast(_Method, answer)


class _LazyLabels:
    """Descriptor of `labels_` for training samples read in blocks: the labels of their leaves.

    For samples in memory an instance attribute hides it.
    """

    def __get__(self, estimator: Any, owner: type[Any] | None = None) -> Any:
        if estimator is None:
            return self
        if LEAVES in vars(estimator):
            return np.asarray(estimator.leaf_labels_[vars(estimator)[LEAVES]])
        raise AttributeError(
            f"this {type(estimator).__name__} has no labels_: it is not fitted, or it was loaded "
            "and samples were read in blocks, or its groups named since, so that labels are not "
            "known; predict(X) returns them"
        )


class Answers:
    """Label, unit, distance and novelty of n samples, each computed when it is read.

    They are of the map at construction, whatever is trained later. The array of the samples is not
    copied: do not write to it before all are read.

    A sample belongs to the nearest neuron with training samples, and in hierarchical maps to such
    a neuron of its child map.
    """

    def __init__(self, estimator: FittedMap, samples: Samples) -> None:
        """Hold prepared samples and a copy of a fitted estimator."""
        self._estimator, self.samples = copy(estimator), samples

    @cached_property
    def descent(self) -> Descent:
        """Paths and leaves of the samples, among leaves with training samples."""
        return self._estimator._predictor.descend(self.samples)

    @property
    def unit(self) -> Integers:
        """Rows of ``weights_`` that the samples belong to, int64 (n,)."""
        return self.descent.path[:, 0]

    @property
    def leaf(self) -> Integers:
        """Rows of ``leaf_weights_``, int64 (n,); those of ``unit`` without child maps."""
        return self.descent.leaf

    @property
    def distance(self) -> Floats:
        """Distances to the leaf's prototype in the metric's units, float64 (n,)."""
        return self.descent.distance

    @property
    def cell(self) -> Integers:
        """Where the units are on the grid, (x, y) = (column, row), int64 (n, 2)."""
        return self._estimator.som_map_.positions[self.unit]

    @cached_property
    def _predictions(self) -> Floats | None:
        # Of a labeller that predicts by sample; None: it labels neurons.
        labeller = self._estimator._answering
        return None if labeller is None else labeller(self.samples)

    @cached_property
    def label(self) -> NDArray[Any]:
        """As `predict` gives it, (n,), or (n, Q) of a labeller with Q columns."""
        if self._predictions is None:
            if self._estimator._centres is not None:
                return self._estimator._predictor.labels(self.samples)
            return self._estimator.leaf_labels_[self.leaf]
        if not hasattr(self._estimator, "classes_"):
            return self._predictions
        return self._estimator._predictor.decide(self._predictions)

    @property
    def probabilities(self) -> Floats | None:
        """As `predict_proba` gives them, float64 (n, C) in the order of ``classes_``, or None."""
        if not hasattr(self._estimator, "classes_"):
            return None
        if self._predictions is not None:
            return self._predictions
        shares = self._estimator._leaf_probabilities
        return None if shares is None else shares[self.leaf]

    @cached_property
    def novelty(self) -> Floats:
        """As `score_samples` gives it, float64 (n,)."""
        return self._estimator._scores(self.samples)

    @property
    def pvalue(self) -> Floats:
        """As `novelty_pvalue` gives it, float64 (n,)."""
        return self._estimator._novelty.pvalues(self.novelty)

    @property
    def outlier(self) -> Flags:
        """Where the novelty is below ``offset_``, bool (n,)."""
        return self.novelty < self._estimator._novelty.offset


class FittedMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Base class of the estimators: all methods of a fitted model, which do not change it.

    `SomMap` is the map alone: neurons, prototypes and links. `GrowingMap` adds parameters and
    `fit`, which sets the attributes.
    """

    _kind: ClassVar[Kind]
    labels_ = _LazyLabels()
    som_map_: SomMap
    weights_: NDArray[np.floating[Any]]
    hit_counts_: NDArray[Any]
    neuron_labels_: NDArray[Any]
    leaf_labels_: NDArray[Any]
    _centres: Floats | None
    leaf_hit_counts_: NDArray[Any]
    history_: tuple[EpochRecord, ...]
    growth_events_: list[GrowthEvent]
    kept_epoch_: int
    transform_algorithm: str
    _parts: Parts
    _metric: FittedMetric
    _tree: Tree
    _probabilities: Floats | None
    _leaf_probabilities: Floats | None
    _memory: MicroClusters
    _answering: FittedLabeller | None
    _novelty: Calibration
    _density: Density
    classes_: NDArray[Any]
    threshold_: float
    positive_: Any
    _target_transform = AS_GIVEN  # of a classifier and a vq always

    def _set_map(self, som_map: SomMap, tree: Tree, history: tuple[EpochRecord, ...]) -> None:
        """Set the map, with what follows from it and from the records of its epochs."""
        self.som_map_, self._tree, self.history_ = som_map, tree, history
        self.n_iter_, self._n_features_out = len(history), len(tree)
        self.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
        self.growth_events_ = []
        for record in history[: self.kept_epoch_]:  # later births are not of this map
            self.growth_events_ += record.births

    # ------------------------------------------------------------------------------ answers

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "neuron_labels_")

    def _samples(self, X: Any) -> Samples:
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # only now, as it is slow
        metric = self._metric.calls
        X = check_samples(self, X, metric.handles, self._parts.engine, reset=False)
        return self._parts.over(X, metric)

    @property
    def _predictor(self) -> Predictor:
        leaves = Labels(
            self.leaf_labels_, self._leaf_probabilities, self.leaf_hit_counts_, self._centres
        )
        classes = getattr(self, "classes_", None)
        threshold = None
        if hasattr(self, "threshold_"):  # of a classifier, where it is not one half
            threshold = Threshold(self.classes_.tolist().index(self.positive_), self.threshold_)
        return Predictor(self._tree, leaves, self._answering, classes, threshold)

    @by_rows
    def predict(self, X: Any) -> NDArray[Any]:
        """Return the cluster, class or number of each sample of X (n, D), shape (n,).

        For a labeller with several columns (n, Q).

        It is the label of the nearest neuron with training samples, in hierarchical maps of the
        nearest leaf; some labellers predict from several leaves around the sample instead.
        """
        data = self._samples(X)
        return self._predictor.labels(data)

    def _point(self, answers: NDArray[Any]) -> NDArray[Any]:
        return point_answers(guarded(self._parts.labeller), answers)

    def answers(self, X: Any) -> Answers:
        """Return label, unit, cell, distance, novelty and probabilities of samples X (n, D).

        Each is computed when it is read, by this map: do not change X before.
        """
        return Answers(self, self._samples(X))

    def _usual_distance(self, leaf: int) -> float:
        """Return the mean distance of a leaf's training samples to it; 0 without samples."""
        clusters = self._memory
        in_leaf = np.asarray(clusters.units) == leaf
        if not in_leaf.any():
            return 0.0
        return float(np.average(clusters.scatter[in_leaf], weights=clusters.weights[in_leaf]))

    def explain(self, x: Any, names: Sequence[str] | None = None) -> Explanation:
        """Return an explanation of the prediction for one sample.

        Its neuron, label and novelty, the features with the largest differences from the prototype,
        and the linked neurons.

        Parameters
        ----------
        x : array-like (D,) or (1, D)
            nan where a value is missing.
        names : sequence of D str, optional
            Feature names; default: ``feature_names_in_``.
        """
        return explain_sample(self, x, names)

    @by_rows
    def bmu(self, X: Any, k: int = 1) -> Integers:
        """Return the best-matching units of samples X (n, D), as rows of ``weights_``.

        int64 (n,) for ``k=1``, else (n, k) nearest first; equal distances go to the lower row.
        """
        data = self._samples(X)
        if not isinstance(k, Integral) or not 1 <= k <= len(self.som_map_):
            raise ValueError(f"k must be between 1 and {len(self.som_map_)}, not {k!r}")
        if k == 1:
            return data.assign(self.som_map_.prototypes).bmu
        return data.nearest_units(self.som_map_.prototypes, k)[0]

    @by_rows
    def bmu_path(self, X: Any) -> Integers:
        """Return the path of each sample of X (n, D) down the maps, int64 (n, depth).

        The first column is `bmu`, a row of ``weights_``. The second is a row of the child map
        ``som_map_.children[…]`` of that neuron, and so on; -1 where there is none.
        """
        return descend(self._tree, self._samples(X)).path

    @by_rows
    def transform(
        self, X: Any, algorithm: str | None = None, sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """Return each sample in coordinates of the leaves, the neurons without a child map.

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
        """
        data = self._samples(X)
        algorithm = self.transform_algorithm if algorithm is None else algorithm
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be 'mixture' or 'distances', not {algorithm!r}")
        if sparse and algorithm == "distances":
            raise ValueError("distances are not sparse: sparse=True needs algorithm='mixture'")
        with one_blas_thread():
            if algorithm == "distances":
                return data.distances(self._tree.weights)
            return data.mixtures(self._tree.weights, sparse)

    def inverse_transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return the samples Σ_j c_j w_j (n, D) that mixture coefficients c describe.

        X are (n, L), an array or a sparse matrix, as `transform` gives them.
        """
        check_is_fitted(self)
        if self.transform_algorithm == "distances":
            raise ValueError(
                "inverse_transform needs mixture coefficients, and transform_algorithm='distances' "
                "gives distances, which do not determine the sample"
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
        """Return X (n, D) with the best-matching unit's value wherever a value is missing (nan)."""
        data = self._samples(X)
        self._check_units("impute")
        return data.completed(self._tree.weights)

    def evaluate(self, X: Any, y: Any = None, predictions: Any = None, seed: int = 0) -> Evaluation:
        """Return the evaluation of the map on samples X (n, D), for measures and figures."""
        if np.ndim(predictions) == 2 and len(predictions):
            predictions = self._point(np.asarray(predictions))
        data = self._samples(X)
        labelled = None
        if y is not None:
            y = np.asarray(y)
            if len(y) != data.n:
                raise ValueError(f"y has {len(y)} values for {data.n} samples")
            if self._kind != "regressor":
                labelled = mark_labelled(y, None, ())
        return Evaluation(
            som_map=self.som_map_,
            data=data,
            y=y,
            predictions=predictions,
            labelled=labelled,
            seed=seed,
            novelty_of=lambda data: -self._scores(data),
        )

    def _view(self, evaluation: Evaluation, **details: Any) -> MapView:
        """Return what figures draw of the map and an evaluation, with more fields of the view."""
        return MapView(
            evaluation=evaluation,
            neuron_labels=self.neuron_labels_,
            neuron_probabilities=self._probabilities,
            leaf_labels=self.leaf_labels_,
            leaf_hits=self.leaf_hit_counts_,
            history=self.history_,
            estimator=self._kind,
            **details,
        )

    # ------------------------------------------------------------------------------ novelty

    @by_rows
    def score_samples(self, X: Any) -> Floats:
        """Return how normal each sample of X (n, D) is, (n,): the higher, the more like training.

        The score is minus the root mean squared distance to the nearest training samples, the r-th
        weighted by exp(-r/10), estimated from micro-clusters, in units of the spread within neurons
        (see `training.groups.Density`): at most 0. It does not depend on the scale of the data.
        Outliers are below ``offset_``.
        """
        return self._scores(self._samples(X))

    def _scores(self, data: Samples) -> Floats:
        return self._density.scores(data)

    @by_rows
    def novelty_pvalue(self, X: Any) -> Floats:
        """Return conformal p-values of samples X (n, D), (n,): small for samples unlike training.

        The share of calibration samples, including the sample itself, whose score is at most the
        sample's (Vovk, Gammerman & Shafer 2005): above 0, and at most ``contamination`` where
        `score_samples` is below ``offset_``. With samples held out by ``calibration`` the p-value
        of a new sample of the same distribution is at most α with probability at most α, for every
        α. Without ``calibration`` leave-one-out scores of the training samples are used, and this
        holds approximately.
        """
        return self._novelty.pvalues(self._scores(self._samples(X)))

    @property
    def offset_(self) -> float:
        """The score below which a sample counts as an outlier: `novelty_pvalue` is then at most
        ``contamination``.
        """
        check_is_fitted(self)
        return self._novelty.offset

    # -------------------------------------------------------------------------- map quality

    def calculate_quantization_error(self, X: Any, sample_weight: Any = None) -> float:
        """Return the mean distance of samples X (n, D) to their best-matching units.

        Where neurons have child maps it is the distance to the leaf at the end of `bmu_path`.
        ``sample_weight`` (n,) weighs the samples in the mean.
        """
        distances = np.asarray(self._leaf_distances(X))  # lazy collections are computed once
        return float(np.average(distances, weights=weights_of(distances, sample_weight)))

    @by_rows
    def _leaf_distances(self, X: Any) -> Floats:
        return descend(self._tree, self._samples(X)).distance

    def topographic_function(self, X: Any, neighbours: Literal[4, 8] = 8) -> TopographicFunction:
        """Return the topographic function (Villmann et al. 1997) of the map on samples X (n, D).

        ``neighbours`` 8: the paper's maximum norm on the grid; 4: hops along the map's links.
        Returned are whole numbers k = -m … m and Φ at each.
        """
        if neighbours not in (4, 8):
            raise ValueError(f"neighbours must be 4 or 8, not {neighbours!r}")
        nearest = np.atleast_2d(np.asarray(self.bmu(X, min(2, len(self.som_map_)))).T)
        return topographic_function(self.som_map_, nearest[0], nearest[-1], neighbours)

    @property
    def average_distances_(self) -> Floats:
        """Mean distance of each prototype to its linked neighbours (U-matrix height), (K,)."""
        prototypes = self._prototypes()
        return self.som_map_.mean_over_links(prototypes.pairwise(prototypes.X, prototypes.X))

    @property
    def densities_(self) -> Floats:
        """Hits of each neuron per unit of mean distance to its neighbours, (K,)."""
        return self.hit_counts_ / np.maximum(self.average_distances_, 1e-300)

    @property
    def topographic_product_(self) -> float:
        """The topographic product (Bauer & Pawelzik 1992), computed on access."""
        return topographic_product(self.som_map_, self._prototypes().pairwise)

    def _prototypes(self) -> Samples:
        check_is_fitted(self)  # prototypes are prepared already
        return Samples(self.som_map_.prototypes, self._metric.calls)

    def stability(
        self,
        X: Any,
        y: Any = None,
        n: int = 20,
        *,
        share: float = 0.5,
        measures: Mapping[str, Any] | Sequence[str] | None = None,
        level: float = 0.95,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> Stability:
        """Return the stability of the map, by refits to subsamples.

        Parameters
        ----------
        X : array-like or CSR matrix (m, D)
            The samples that the map was fitted to.
        y : array-like (m,), optional
            Their targets, as for `fit`; a classifier's subsamples are stratified by class.
        n : int
            Number of refits.
        share : float in (0, 1)
            Share of the samples in a random subsample; with 0.5 each two in turn are disjoint.
        measures : sequence of str, or mapping of names to measures, optional
            Computed on the samples outside the subsample. None: quantization and topographic error,
            and accuracy or R².
        level : float in (0, 1)
            Level of the confidence intervals.
        random_state : int
            Seed of the subsamples.
        n_jobs : int, optional
            Number of threads for refits; -1: one per processor. The result is the same.

        Returns
        -------
        Stability
            For each link how often two samples across it stay neighbours, for each neuron how often
            its label stays, for each measure a confidence interval, by the delete-d jackknife (Shao
            & Wu 1989).
        """
        check_is_fitted(self)
        resampling = Resampling(n, share, measures, level, random_state, n_jobs)
        return compute_stability(self, X, y, resampling)

    # -------------------------------------------------------------------- figures and files

    def plot(
        self,
        *,
        color: str | None = None,
        pointsize: str | None = None,
        layout: Literal["grid", "pca"] = "grid",
        palette: str | None = None,
        ax: Any = None,
    ) -> Any:
        """Draw the neurons as dots and their links as lines.

        Parameters
        ----------
        color : str, optional
            ``label``, ``epoch_created``, ``error``, ``average_distance``, ``density``,
            ``hit_count``, a feature by its name (``feature_names_in_``, or ``feature 0``, …), or
            ``pca_rgb``: colours as alike as the prototypes, by their first three principal
            components. Dots without a finite value are grey.
        pointsize : str, optional
            One of the numeric attributes; the area of a dot is proportional to it.
        layout : {"grid", "pca"}
            Dots lie on the map's grid, or where their prototypes are in the plane of the first two
            principal components. On the grid of a torus the links across its sides stand out.
        palette : str, optional
            The name of any matplotlib colormap.
        ax : matplotlib Axes, optional
            Axes to draw in; default: a new figure.

        Returns
        -------
        matplotlib Axes
        """
        new_figure = None
        if ax is None:
            import matplotlib.pyplot as plt  # so that a notebook shows the figure

            new_figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
        try:
            return SomDisplay.from_estimator(
                self,
                kind="dots",
                ax=ax,
                color=color,
                pointsize=pointsize,
                layout=layout,
                palette=palette,
            ).ax_
        except BaseException:
            if new_figure is not None:
                plt.close(new_figure)
            raise

    def explore(
        self,
        X: Any,
        y: Any = None,
        names: Sequence[str] | None = None,
        path: str | PathLike[str] | None = None,
        *,
        image_shape: tuple[int, int] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> Html:
        """Return the map with samples as an interactive page, which notebooks show.

        Parameters
        ----------
        X : array-like, DataFrame or CSR matrix (n, D)
            The index of a DataFrame names the samples.
        y : array-like (n,), optional
            Their classes or values.
        names, feature_names : sequence of D str, optional
            Feature names, under either name; default: ``feature_names_in_``.
        path : path, optional
            File to write the page to, as self-contained HTML.
        image_shape : (rows, columns), optional
            Shape of samples that are images.

        Returns
        -------
        Html
        """
        names = feature_names if names is None else names
        return explorer_page(self, X, y, names, path, image_shape)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to one file, without pickle; `load` reads it."""
        check_is_fitted(self)
        save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read an estimator of this class from a file that `save` wrote."""
        loaded: Self = load_estimator(path, cls)
        return loaded

    @property
    def leaf_weights_(self) -> NDArray[np.floating[Any]]:
        """Prototypes of the leaves, the neurons without a child map, shape (L, D)."""
        check_is_fitted(self)
        return self._tree.weights.astype(self.weights_.dtype)

    @property
    def leaf_paths_(self) -> Integers:
        """Rows of the neurons that lead to each leaf, as in `bmu_path`, shape (L, depth)."""
        check_is_fitted(self)
        return self._tree.paths

    def _check_units(self, method: str) -> None:
        metric = self._metric.metric
        if metric.prepare is not None:
            name = type(metric).__name__
            raise ValueError(
                f"{method} needs prototypes in the units of X, and metric {name} has its own"
            )
