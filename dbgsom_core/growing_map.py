"""What the estimators share: fitting a map, finding neurons, mixing prototypes."""

from __future__ import annotations

import math
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from dbgsom_core.api import LabelEvidence
from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.fitted_metric import fitted
from dbgsom_core.engine.found import Assignment, Search
from dbgsom_core.engine.local import DataPass
from dbgsom_core.evaluation import Evaluation
from dbgsom_core.events import EpochRecord, GrowthEvent
from dbgsom_core.labels import NeuronLabels, label_neurons
from dbgsom_core.observers import callback_notifier
from dbgsom_core.parts import PartParams, Parts, build_parts
from dbgsom_core.som_map import SomMap
from dbgsom_core.start import Moments, check_varies, principal_start, random_start, summarize
from dbgsom_core.train import Task, Training, train


class GrowingMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, PartParams, BaseEstimator):
    """Base of the estimators; its parameters and attributes are described there."""

    som_map_: SomMap
    history_: tuple[EpochRecord, ...]
    neuron_labels_: NDArray[Any]

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
        random_state: Any = None,
        engine: Any = "local",
        callbacks: Any = None,
        verbose: int = 0,
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
        self.random_state = random_state
        self.engine = engine
        self.callbacks = callbacks
        self.verbose = verbose

    # ------------------------------------------------------------------------------ fitting

    def _fit(self, X: NDArray[Any], y: NDArray[Any] | None, classes: Any, codes: Any) -> Self:
        parts = self.check_parts(y)
        self._metric = fitted(parts.metric, X)
        data = parts.engine.over(X, self._metric)
        with one_blas_thread():
            training = self._train(parts, data, codes)
            self._keep(parts, data, training)
            self._label(parts, data, y, classes, codes)
        return self

    def parts(self) -> Parts:
        """Return the parts that the parameters name, built; raises as `check_parts`."""
        return build_parts(self.get_params(deep=False))

    def check_parts(self, y: NDArray[Any] | None) -> Parts:
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
        parts = self.parts()
        for kind, part in (("growth", parts.growth), ("labeller", parts.labeller)):
            needs = getattr(part, "needs_classes", False) or getattr(part, "needs_target", False)
            if needs and y is None:
                name = type(part).__name__
                raise ValueError(f"{kind} {name} needs class labels: give y to fit")
        return parts

    def _train(self, parts: Parts, data: DataPass, codes: Any) -> Training:
        moments = Moments.of(data.X)
        check_varies(data.X)
        n_classes = None if codes is None else int(codes.max()) + 1
        summary = summarize(data, moments, n_classes)
        growing_threshold = getattr(parts.growth, "growing_threshold", None)
        threshold = math.nan if growing_threshold is None else float(growing_threshold(summary))
        cap = getattr(parts.growth, "max_neurons", None)
        automatic = cap == "auto"
        task = Task(
            data=data,
            kernel=parts.kernel,
            growth=parts.growth,
            epochs=int(self.epochs),
            tol=float(self.tol),
            deviation=summary.deviation,
            threshold=threshold,
            max_neurons=max(4, math.ceil(5 * math.sqrt(len(data.X)))) if automatic else cap,
            cap_is_automatic=automatic,
            class_codes=codes,
        )
        self.growing_threshold_ = threshold
        som_map = self._start(parts, data, moments)
        return train(task, som_map, callback_notifier(self.callbacks, self.verbose))

    def _start(self, parts: Parts, data: DataPass, moments: Moments) -> SomMap:
        shape_of = getattr(parts.growth, "start_shape", None)
        rows, columns = (2, 2) if shape_of is None else shape_of()
        cap = getattr(parts.growth, "max_neurons", None)
        if isinstance(cap, int) and rows * columns > cap:
            raise ValueError(
                f"the map starts with {rows} × {columns} neurons, more than max_neurons={cap}"
            )
        if isinstance(self.init, str) and self.init == "pca":
            prototypes = principal_start(data.X, moments, rows, columns)
        elif isinstance(self.init, str) and self.init == "random":
            rng = check_random_state(self.random_state)
            prototypes = random_start(data.X, moments, rows * columns, rng)
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

    def _keep(self, parts: Parts, data: DataPass, training: Training) -> None:
        som_map, found = training.som_map, training.found
        self.weights_ = som_map.prototypes
        if data.X.dtype == np.float32:  # what users get is what finds the units
            self.weights_ = som_map.prototypes.astype(np.float32)
            som_map.prototypes = self.weights_.astype(np.float64)
            found = training.search.assign(som_map.prototypes, som_map.positions)
        assignment = Assignment(found.bmu, found.distance)
        self._parts = parts
        self._assignment = assignment
        self.som_map_ = som_map
        self.history_ = training.history
        self.n_iter_ = len(training.history)
        self.converged_ = training.converged
        self.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
        self.growth_events_: list[GrowthEvent] = [
            event for record in training.history for event in record.births
        ]
        self._n_features_out = len(som_map)
        self.hit_counts_ = np.bincount(assignment.bmu, minlength=len(som_map))
        self.errors_ = np.bincount(
            assignment.bmu, weights=assignment.distance, minlength=len(som_map)
        ).astype(np.float64)
        self.quantization_error_ = float(assignment.distance.mean())
        self.topographic_error_ = self._topographic_error(training.search)

    def _topographic_error(self, search: Search) -> float:
        if len(self.som_map_) < 2:
            return 0.0
        best_two = search.nearest_two(self.som_map_.prototypes)
        return float(np.mean(self.som_map_.hops[best_two[:, 0], best_two[:, 1]] != 1))

    def _label(
        self, parts: Parts, data: DataPass, y: NDArray[Any] | None, classes: Any, codes: Any
    ) -> None:
        n_neurons, bmu = len(self.som_map_), self._assignment.bmu
        counts = None
        if codes is not None:
            flat = np.bincount(bmu * len(classes) + codes, minlength=n_neurons * len(classes))
            counts = flat.reshape(n_neurons, len(classes))
        evidence = LabelEvidence(self.som_map_, bmu, self.hit_counts_, y, classes, counts)
        labels: NeuronLabels = label_neurons(parts.labeller, evidence, data)
        self.neuron_labels_ = labels.labels
        self._probabilities = labels.probabilities
        self._live = labels.live
        self.labels_ = labels.labels[bmu]
        del self._assignment

    # ------------------------------------------------------------------------- using the map

    def _samples(self, X: Any) -> DataPass:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32], order="C")
        return self._parts.engine.over(X, self._metric)

    def _live_units(self, X: Any) -> NDArray[np.int64]:
        # Only neurons that won a training sample have something to say.
        data = self._samples(X)
        bmu = data.assign(self.som_map_.prototypes[self._live]).bmu
        return np.asarray(self._live[bmu])

    def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
        """Return the best-matching units of samples, as rows of ``weights_``.

        Parameters
        ----------
        X : array-like (n, D)
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
        if not _is_integer(k) or not 1 <= k <= len(self.som_map_):
            raise ValueError(f"k must be between 1 and {len(self.som_map_)}, not {k!r}")
        if k == 1:
            return data.assign(self.som_map_.prototypes).bmu
        return data.nearest(self.som_map_.prototypes, k)[0]

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Write each sample as a sparse non-negative mixture of the prototypes.

        The coefficients c minimise ‖x - Σ_j c_j w_j‖ subject to c >= 0 (Lawson & Hanson 1974,
        ch. 23), in the space of the metric; most of them are 0.

        Parameters
        ----------
        X : array-like (n, D)

        Returns
        -------
        float array (n, K), in the dtype of X
        """
        from dbgsom_core.engine.mixture import mixture_coefficients

        data = self._samples(X)
        with one_blas_thread():
            return mixture_coefficients(data.X, self.som_map_.prototypes).astype(
                data.X.dtype, copy=False
            )

    def calculate_quantization_error(self, X: Any) -> float:
        """Return the mean distance of samples X (n, D) to their best-matching units."""
        data = self._samples(X)
        return float(data.assign(self.som_map_.prototypes).distance.mean())

    def evaluate(self, X: Any, y: Any = None, predictions: Any = None, seed: int = 0) -> Evaluation:
        """Lay the map beside samples X (n, D): what measures and figures look at."""
        return Evaluation(
            som_map=self.som_map_, data=self._samples(X), y=y, predictions=predictions, seed=seed
        )

    def plot(self, **options: Any) -> Any:
        """Draw the neurons as dots and their links as lines; see `dbgsom_core.plotting.plot`."""
        from dbgsom_core.plotting import plot

        check_is_fitted(self)
        return plot(self, **options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to one file, without pickle; `load` reads it."""
        from dbgsom_core.persistence import save

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
        from dbgsom_core.persistence import load_estimator

        loaded: Self = load_estimator(path, cls)
        return loaded

    @property
    def average_distances_(self) -> NDArray[np.float64]:
        """Mean distance of each prototype to its linked neighbours (U-matrix height), (K,)."""
        check_is_fitted(self)
        prototypes = self.som_map_.prototypes
        # The map's prototypes are prepared already, so they are compared as they are.
        distances = DataPass(prototypes, self._metric).pairwise(prototypes, prototypes)
        linked = self.som_map_.hops == 1
        return np.asarray((distances * linked).sum(axis=1) / np.maximum(linked.sum(axis=1), 1))

    @property
    def densities_(self) -> NDArray[np.float64]:
        """Hits of each neuron per unit of mean distance to its neighbours, (K,)."""
        return np.asarray(self.hit_counts_ / np.maximum(self.average_distances_, 1e-300))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "neuron_labels_")


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer))
