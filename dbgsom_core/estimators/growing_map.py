"""What the estimators share: their parameters, and fitting a map."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.results import Assignment, Search
from dbgsom_core.estimators.fitted_map import FittedMap, MapTopology
from dbgsom_core.estimators.labels import evidence_of, label_neurons
from dbgsom_core.estimators.leaves import WithLeaves
from dbgsom_core.estimators.novelty import Novelty, NoveltyScores, check_contamination
from dbgsom_core.estimators.part_params import PartParams, build_metric, build_parts
from dbgsom_core.estimators.validation import LEAST_SAMPLES, check_samples, check_weights, handles
from dbgsom_core.interfaces.compatibility import check_suits
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.plugins.observers import callback_notifier
from dbgsom_core.som_map.grid import SomMap
from dbgsom_core.som_map.tree import leaf_map
from dbgsom_core.training.fitted_metric import component_of, fitted
from dbgsom_core.training.moments import Moments, check_varies
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.robust import RobustView
from dbgsom_core.training.start import principal_start, random_start, summarize
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import Target
from dbgsom_core.training.task import Task
from dbgsom_core.training.train import Training, train
from dbgsom_core.training.vertical import horizontal

_ROWS = 1 << 16
_Method = TypeVar("_Method", bound=Callable[..., Any])
_SHARE_OF_A_CALL = 5  # a later call of partial_fit runs a fifth of the epochs


def all_or_nothing(method: _Method) -> _Method:
    """Let a method that raises leave the estimator as it was."""

    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **keywords: Any) -> Any:
        before = dict(vars(self))
        try:
            return method(self, *args, **keywords)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast(_Method, guarded)


class GrowingMap(NoveltyScores, MapTopology, WithLeaves, FittedMap, PartParams, BaseEstimator):
    """Base of the estimators; its parameters and attributes are described there."""

    _kind: ClassVar[str] = "vq"  # as configurations, figures and parts call it

    history_: tuple[EpochRecord, ...]

    def __init__(
        self,
        *,
        metric: Any = "euclidean",
        kernel: Any = "gaussian",
        growth: Any = "directed",
        labeller: Any = "index",
        epochs: int = 100,
        tol: float = 1e-4,
        spreading_factor: float | None = None,
        max_neurons: int | str | None = None,
        init: Any = "pca",
        robust: float | str | None = None,
        transform_algorithm: str = "mixture",
        warm_start: bool = False,
        random_state: Any = None,
        engine: Any = "local",
        callbacks: Any = None,
        verbose: int = 0,
        contamination: float = 0.05,
    ) -> None:
        self.metric = metric
        self.kernel = kernel
        self.growth = growth
        self.labeller = labeller
        self.epochs = epochs
        self.tol = tol
        self.spreading_factor = spreading_factor
        self.max_neurons = max_neurons
        self.init = init
        self.robust = robust
        self.transform_algorithm = transform_algorithm
        self.warm_start = warm_start
        self.random_state = random_state
        self.engine = engine
        self.callbacks = callbacks
        self.verbose = verbose
        self.contamination = contamination

    def parts(self) -> Parts:
        """Return the parts that the parameters name, built; raises as `check_parts`."""
        return build_parts(self.get_params(deep=False))

    def check_parts(self, y: Any) -> Parts:
        """Return the built parts after checking every parameter that does not need X.

        Raises
        ------
        ValueError
            A parameter is wrong, or a part needs class labels and ``y`` is None.
        """
        if isinstance(self.epochs, bool) or not _is_integer(self.epochs) or self.epochs < 1:
            raise ValueError(f"epochs must be an integer of at least 1, not {self.epochs!r}")
        if not isinstance(self.tol, (int, float, np.number)) or not 0 <= self.tol < math.inf:
            raise ValueError(f"tol must be a number of at least 0, not {self.tol!r}")
        if not _is_robust(self.robust):
            raise ValueError(
                f"robust must be None, 'auto' or a positive number, not {self.robust!r}"
            )
        if not isinstance(self.warm_start, (bool, np.bool_)):
            raise ValueError(f"warm_start must be True or False, not {self.warm_start!r}")
        if not isinstance(self.verbose, (bool, int, np.integer)):
            raise ValueError(f"verbose must be an integer, not {self.verbose!r}")
        self._check_algorithm(self.transform_algorithm, "transform_algorithm")
        check_contamination(self.contamination)
        parts = self.parts()
        check_suits(parts, self._kind)
        for kind, part in (("growth", parts.growth), ("labeller", parts.labeller)):
            needs = getattr(part, "needs_classes", False) or getattr(part, "needs_target", False)
            if needs and y is None:
                name = type(part).__name__
                raise ValueError(f"{kind} {name} needs class labels: give y to fit")
        return parts

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            metric = build_metric(self.get_params(deep=False))
        except ValueError:  # fit tells
            return tags
        tags.input_tags.allow_nan = handles(metric, "missing")
        tags.input_tags.sparse = handles(metric, "sparse")
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------------------ fitting

    def _checked(self, X: Any, parts: Parts, *, reset: bool) -> Any:
        least = LEAST_SAMPLES if reset else 1
        return check_samples(self, X, parts.metric, reset=reset, least=least)

    def _fit(self, parts: Parts, X: Any, target: Target | None, sample_weight: Any) -> Self:
        """Train a new map, or with ``warm_start`` go on from the last one."""
        start = None
        if self.warm_start and hasattr(self, "som_map_"):
            start = self.som_map_
            _check_columns(start, X)
            self._check_same_metric(parts)
        weights = check_weights(X, sample_weight, LEAST_SAMPLES)
        if start is None:  # a map that goes on lives in the space in which it is
            self._metric = fitted(parts.metric, X, weights)
        data, target, kept = self._weighted(parts, X, target, weights)
        with one_blas_thread():
            # Nothing here holds on to the training: its search takes room.
            self._keep(parts, data, self._train(horizontal(parts), data, target, start))
            self._finish(parts, data, data.n, target)
            self.labels_ = self._labels_of_all(X, kept)
        self._warn_of_collapse(data)
        return self

    def _partial_fit(self, parts: Parts, X: Any, target: Target | None, sample_weight: Any) -> Self:
        """Go on with new samples; what is remembered of earlier ones stands beside them.

        ``target`` is that of the new samples and of the remembered ones, in this order.
        """
        self._check_same_metric(parts)
        memory: Summaries = self._memory
        weights = check_weights(X, sample_weight, 1)
        data, _, kept = self._weighted(parts, X, None, weights)
        if target is not None and kept is not None:
            rows = np.concatenate([kept, np.ones(len(memory.weights), dtype=bool)])
            target = target.of(rows)
        everything = memory.beside(data)
        with one_blas_thread():
            training = self._train(horizontal(parts), everything, target, self.som_map_, new=data.n)
            self._keep(parts, everything, training)
            del training  # its search takes room
            self._finish(parts, everything, data.n, target)
            self.labels_ = self._labels_of_all(X, kept)
        return self

    def _weighted(
        self, parts: Parts, X: Any, target: Target | None, weights: NDArray[np.float64] | None
    ) -> tuple[LocalSamples, Target | None, NDArray[np.bool_] | None]:
        # Samples of weight 0 are left out of training; kept says which are not, None: all.
        kept = None
        if weights is not None and not weights.all():
            kept = weights > 0
            X, weights = X[kept], weights[kept]
            target = None if target is None else target.of(kept)
        return parts.engine.over(X, self._metric, weights), target, kept

    def _train(
        self,
        parts: Parts,
        data: LocalSamples,
        target: Target | None,
        start: SomMap | None = None,
        new: int | None = None,
    ) -> Training:
        usual, gamma, moments = data, None, Moments.of(data)
        check_varies(data.X, moments if data.weights is None else None)
        if self.robust is not None:
            view = RobustView.of(data, None if isinstance(self.robust, str) else self.robust)
            usual, gamma = view.data, view.gamma
            moments = Moments.of(usual)
        codes = None if target is None else target.codes
        n_classes = 0 if target is None or target.classes is None else len(target.classes)
        summary = summarize(usual, moments, n_classes or None)
        growing_threshold = getattr(parts.growth, "growing_threshold", None)
        threshold = math.nan if growing_threshold is None else float(growing_threshold(summary))
        cap = getattr(parts.growth, "max_neurons", None)
        automatic = cap == "auto"
        later = new is not None
        task = Task(
            data=data,
            kernel=parts.kernel,
            growth=parts.growth,
            epochs=-(-int(self.epochs) // _SHARE_OF_A_CALL) if later else int(self.epochs),
            tol=float(self.tol),
            deviation=summary.deviation,
            threshold=threshold,
            max_neurons=max(4, math.ceil(5 * math.sqrt(data.total_weight))) if automatic else cap,
            cap_is_automatic=automatic,
            class_codes=codes,
            n_classes=n_classes,
            robust=gamma,
            continues=start is not None,
        )
        self.growing_threshold_ = threshold
        if start is None:
            som_map = self._start(parts, usual, moments)
        else:
            som_map = SomMap(start.positions, start.prototypes, start.grid)
        return train(task, som_map, callback_notifier(self.callbacks, self.verbose))

    def _start(self, parts: Parts, data: LocalSamples, moments: Moments) -> SomMap:
        shape_of = getattr(parts.growth, "start_shape", None)
        rows, columns = (2, 2) if shape_of is None else shape_of()
        cap = getattr(parts.growth, "max_neurons", None)
        if isinstance(cap, int) and rows * columns > cap:
            raise ValueError(
                f"the map starts with {rows} × {columns} neurons, more than max_neurons={cap}"
            )
        if isinstance(self.init, str) and self.init == "pca":
            prototypes = principal_start(data, moments, rows, columns)
        elif isinstance(self.init, str) and self.init == "random":
            rng = check_random_state(self.random_state)
            prototypes = random_start(data, moments, rows * columns, rng)
        elif isinstance(self.init, str) or self.init is None:
            raise ValueError(
                f"init must be 'pca', 'random' or an array of start prototypes, not {self.init!r}"
            )
        else:
            prototypes = np.asarray(self.init, dtype=np.float64)
            wanted = (rows * columns, data.X.shape[1])
            if prototypes.shape != wanted:
                raise ValueError(
                    f"init has shape {prototypes.shape}, but the map starts with "
                    f"{rows} × {columns} neurons in {wanted[1]} dimensions: shape {wanted}"
                )
            if not np.isfinite(prototypes).all():
                raise ValueError("init must hold finite numbers")
        centre = getattr(parts.metric, "centre", None)
        return SomMap.rectangle(rows, columns, prototypes if centre is None else centre(prototypes))

    def _keep(self, parts: Parts, data: LocalSamples, training: Training) -> None:
        som_map, found = training.som_map, training.found
        self.weights_ = som_map.prototypes
        if data.X.dtype == np.float32:  # what users get is what finds the units
            self.weights_ = som_map.prototypes.astype(np.float32)
            som_map.prototypes = self.weights_.astype(np.float64)
            found = training.search.assign(som_map.prototypes, som_map.positions)
        self._parts = parts
        self._unlinked = _unlinked(training.search, som_map, data.n)
        self._assignment = Assignment(found.bmu, found.distance, getattr(found, "totals", None))
        self.som_map_ = som_map
        self.history_ = training.history
        self.n_iter_ = len(training.history)
        self.converged_ = training.converged
        self.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
        self.growth_events_: list[GrowthEvent] = [
            event for record in training.history for event in record.births
        ]
        self._n_features_out = len(som_map)

    def _finish(self, parts: Parts, data: LocalSamples, new: int, target: Target | None) -> None:
        """Grow child maps, label the leaves by all samples, measure the first ``new`` of them."""
        n_neurons, weights, found = len(self.som_map_), data.weights, self._assignment
        self._grow_children(parts, data, found, target)
        evidence = evidence_of(self.som_map_, found.bmu, weights, target)
        labels = label_neurons(parts.labeller, evidence, data)
        self.hit_counts_ = np.asarray(evidence.hits)
        self.neuron_labels_ = labels.labels
        self._probabilities = labels.probabilities
        ended = self._label_leaves(parts, data, found, target)
        counted = None if weights is None else weights[:new]
        weighted = found.distance[:new] if counted is None else found.distance[:new] * counted
        self.errors_ = np.bincount(found.bmu[:new], weighted, n_neurons).astype(np.float64)
        self.quantization_error_ = float(np.average(ended.distance[:new], weights=counted))
        self.topographic_error_ = float(np.average(self._unlinked[:new], weights=counted))
        usual = ended.distance if data.scatter is None else np.hypot(ended.distance, data.scatter)
        share, leaves = float(self.contamination), leaf_map(self._tree)
        self._novelty = Novelty.of(leaves, self._metric, ended.bmu, usual, share, weights)
        self._memory = Summaries.of(data, ended, len(self._tree), target)
        self._new_leaves = ended.bmu[:new]
        del self._assignment, self._unlinked

    def _labels_of_all(self, X: Any, kept: NDArray[np.bool_] | None) -> NDArray[Any]:
        leaves = self._new_leaves
        del self._new_leaves
        if kept is not None:
            leaves, trained = np.empty(len(kept), dtype=np.int64), leaves
            leaves[kept] = trained
            left_out = self._parts.engine.over(X[~kept], self._metric)
            leaves[~kept] = self._to_live_leaves(left_out).leaf
        return np.asarray(self.leaf_labels_[leaves])

    def _check_same_metric(self, parts: Parts) -> None:
        before = component_of(self._metric)
        if before != parts.metric:
            raise ValueError(
                f"the map was trained with metric {before!r} and cannot go on with "
                f"{parts.metric!r}; fit a new estimator, or set the metric back"
            )

    def _warn_of_collapse(self, data: LocalSamples) -> None:
        if np.count_nonzero(self.hit_counts_) != 1 or len(self.som_map_) == 1:
            return
        cure = "; look at the scales of the columns and at the metric"
        if getattr(data.metric, "form", None) is not None:
            cure = (
                ": medians and modes of wide neighbourhoods are alike where one value is frequent; "
                "try manhattan with prototype='mean', growth='fixed', or kernel="
                "{'name': 'gaussian', 'start': 0.5, 'end': 0.3}"
            )
        warnings.warn(
            f"one of {len(self.som_map_)} neurons won all {data.n} samples{cure}", stacklevel=4
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "neuron_labels_")


def _unlinked(search: Search, som_map: SomMap, n: int) -> NDArray[np.bool_]:
    # Of which samples the two best-matching units are no neighbours.
    if len(som_map) == 1:
        return np.zeros(n, dtype=bool)
    found, hops = search.nearest_two(som_map.prototypes), som_map.hops
    unlinked = np.empty(n, dtype=bool)
    for start in range(0, n, _ROWS):  # to look up takes room
        first, second = found[start : start + _ROWS].T
        unlinked[start : start + _ROWS] = hops[first, second] != 1
    return unlinked


def _check_columns(som_map: SomMap, X: Any) -> None:
    if som_map.prototypes.shape[1] != X.shape[1]:
        raise ValueError(
            f"warm_start goes on from a map of {som_map.prototypes.shape[1]} features, and X has "
            f"{X.shape[1]}; fit a new estimator, or set warm_start=False"
        )


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_robust(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return value in (None, "auto")
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


def view_of(estimator: GrowingMap, evaluation: Evaluation, **details: Any) -> MapView:
    """Return a fitted map with everything that a figure may draw."""
    return MapView(
        evaluation=evaluation,
        neuron_labels=estimator.neuron_labels_,
        neuron_probabilities=estimator._probabilities,
        leaf_labels=estimator.leaf_labels_,
        history=estimator.history_,
        estimator=estimator._kind,  # type: ignore[arg-type]
        **details,
    )
