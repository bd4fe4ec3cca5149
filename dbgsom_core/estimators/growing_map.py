"""Base class of the estimators: parameters and fitting."""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from types import FrameType
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.engine.results import Flags
from dbgsom_core.engine.runtime import available_memory, one_blas_thread
from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import DataError, ScaleWarning, callers_level
from dbgsom_core.estimators.checkpoints import Checkpoints, facts_of
from dbgsom_core.estimators.fitted_map import ALGORITHMS, LEAVES, FittedMap, Kind
from dbgsom_core.estimators.parameters import (
    AUTO,
    build,
    build_parts,
    component_class,
    engine_for,
    fields_of,
    with_field,
)
from dbgsom_core.estimators.samples import (
    LEAST_SAMPLES,
    MOST_SPREAD,
    Rows,
    check_samples,
    check_weights,
    held_out,
    scales,
)
from dbgsom_core.estimators.sizing import SizesTried, choose_size
from dbgsom_core.interfaces.component import guarded, own_error_names
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.training.callbacks import callback_notifier, progress_shown
from dbgsom_core.training.fit import FittedState, check_continues, fit_map
from dbgsom_core.training.groups import Calibration, append_clusters
from dbgsom_core.training.parts import (
    KIND_OF,
    Parts,
    check_compatible,
    find_target_reader,
    fit_metric,
)
from dbgsom_core.training.state import SETTINGS, FitTask
from dbgsom_core.training.targets import Target, encode_classes

_Method = TypeVar("_Method", bound=Callable[..., Any])


def all_or_nothing(method: _Method) -> _Method:
    """Decorate a fit to run in its engine's session, and to restore all attributes if it raises."""

    @functools.wraps(method)
    def fit(self: Any, *args: Any, **keywords: Any) -> Any:
        before = dict(vars(self))
        engine = build("engine", engine_for(self.engine, args[0] if args else keywords.get("X")))
        try:
            with guarded(engine).session():
                return method(self, *args, **keywords)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast(_Method, fit)


_log = logging.getLogger("dbgsom")
_COPY = 1.5  # sizes of dense data: a packed copy, and bounds that take half of it
_ROW_BYTES = 24  # unit, error and label of a row
_LEAST_MEMORY = 1 << 19  # bytes that are worth a line: fewer are 0 MiB

_METRICS_OF_SCALE = ("euclidean", "manhattan", "chebyshev", "minkowski")  # sums over columns


# The fields are the parameters, which scikit-learn reads from the generated constructor.
@dataclass(kw_only=True, eq=False, repr=False)
class GrowingMap(FittedMap, BaseEstimator):
    """Base of the estimators; its parameters and attributes are described there."""

    _kind: ClassVar[Kind] = "vq"  # name in configurations, figures and components
    _targets: ClassVar[str] = ""  # required kind of y
    # The other parameters are components, or checked by what they are handed to.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "transform_algorithm": [StrOptions({*ALGORITHMS})],
        "warm_start": ["boolean"],
        "verbose": [Integral],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "calibration": [Interval(Real, 0, 1, closed="neither"), None],
    }

    metric: Any = "euclidean"
    kernel: Any = "gaussian"
    growth: Any = "directed"
    grid: Any = "adaptive"
    labeller: Any = "index"
    epochs: int = 100
    tol: float = 1e-4
    spreading_factor: float | str | None = None
    max_neurons: int | str | None = None
    init: Any = "pca"
    transform_algorithm: str = "mixture"
    warm_start: bool = False
    random_state: Any = None
    engine: Any = "local"
    callbacks: Any = None
    verbose: int = 0
    contamination: float = 0.05
    checkpoint: Any = None
    calibration: float | None = None
    schedule: Any = None
    stopping: Any = None

    # --------------------------------------------------------------------------- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with ``deep`` also ``component__field`` for every component."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for part, kind in KIND_OF.items():
                for field, value in fields_of(kind, params[part]).items():
                    params[f"{part}__{field}"] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, ``component__field`` among them, and return the estimator.

        A component is replaced as a value, never changed; its fields are validated in ``fit``.
        """
        fields = {}
        for key in [*params]:
            part, is_nested, _ = key.partition("__")
            if is_nested and part in KIND_OF:
                fields[key] = params.pop(key)
        super().set_params(**params)
        # Fields of a component stand before those of a component in it.
        for key in sorted(fields, key=lambda key: key.count("__")):
            part, _, field = key.partition("__")
            spec = with_field(part, KIND_OF[part], getattr(self, part), field, fields[key])
            setattr(self, part, spec)
        return self

    def _chosen_params(self) -> dict[str, Any]:
        """Return what the last fit chose by its samples, as parameters of a fit that does not."""
        return {"spreading_factor": self.spreading_factor_} if self._sizes_itself else {}

    def parts(self, X: Any = None) -> Parts:
        """Return the built components that the parameters name; raises as `check_parts`."""
        params = self.get_params(deep=False)
        if hasattr(self, "spreading_factor_"):  # continued training keeps it
            params |= self._chosen_params()
        return build_parts({**params, "engine": engine_for(self.engine, X)})

    @property
    def _sizes_itself(self) -> bool:
        return isinstance(self.spreading_factor, str) and self.spreading_factor == AUTO

    def check_parts(self, y: Any, X: Any = None) -> Parts:
        """Return the built components after checking every parameter, without X."""
        self._validate_params()
        if self.checkpoint is not None:
            Checkpoints.from_parameter(self.checkpoint)
        parts = self.parts(X)
        check_compatible(parts, self._kind)
        reader = find_target_reader(parts)
        if reader is not None and y is None:
            raise ValueError(f"{reader} needs class labels: give y to fit")
        return parts

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        metric = self.metric
        cls = type(metric) if callable(metric) else component_class("metric", metric)
        handles = getattr(cls, "handles", ())
        tags.input_tags.allow_nan = "missing" in handles
        tags.input_tags.sparse = "sparse" in handles
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------------------ fitting

    @all_or_nothing
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train the map on X, and label its neurons from y.

        Parameters
        ----------
        X : array-like or CSR matrix (n, D)
            At least 4 samples, not all alike; nan is a missing value where the metric takes them.
        y : array-like (n,)
            Class labels or targets. `SomVQ` reads labels only where the growth strategy, the
            labeller or a stopping rule needs them. A sample without a class (None, nan, or as
            ``unlabelled`` says), or with a target that is nan, trains the map only.
        sample_weight : array-like (n,), optional
            A sample of weight w counts as w equal samples.
        """
        return self._train(X, y, sample_weight)

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Continue training with further samples; the first call is a `fit`.

        The map keeps micro-clusters of former samples, which are trained on along with the new
        samples, weighted by their number. A later call runs a fifth of ``epochs`` at the kernel's
        final width, in which the map may grow. ``labels_``, ``errors_``, ``quantization_error_``
        and ``topographic_error_`` are then of the new samples, ``hit_counts_`` of all.

        Parameters and errors are those of `fit`; one new sample is enough.
        """
        return self._train(X, y, sample_weight, continues=hasattr(self, "som_map_"))

    def _train(
        self, X: Any, y: Any, sample_weight: Any, *, continues: bool = False, classes: Any = None
    ) -> Self:
        if y is None and self._targets:
            raise ValueError(
                f"{type(self).__name__} needs {self._targets}: requires y to be passed, but the "
                "target y is None"
            )
        parts = self.check_parts(y, X)
        X = self._checked(X, parts, reset=not continues)
        if not continues:
            self._warn_of_scales(parts, X)
        target = self._target(parts, X, y, continues, classes)
        self._decide(parts, Rows(X, target, sample_weight))
        weights = self._weights(X, target, sample_weight)
        self._fit(parts, Rows(X, target, weights), continues=continues)
        return self

    def _target(self, parts: Parts, X: Any, y: Any, continues: bool, classes: Any) -> Target | None:
        """Return the encoded targets of samples X, or None where no part uses them."""
        return None if y is None or find_target_reader(parts) is None else encode_classes(X, y)

    def _decide(self, parts: Parts, rows: Rows) -> None:
        """Set how classes are decided, by samples with the weights of the caller."""

    def _weights(self, X: Any, target: Target | None, sample_weight: Any) -> Any:
        """Return the weights of samples X with what the parameters make of their classes."""
        return sample_weight

    def _take_target(self, target: Target | None, held_out: Rows | None) -> None:
        """Set attributes from the targets of a fit, besides those of `_take_state`.

        ``held_out`` are the samples for calibration.
        """

    def _checked(self, X: Any, parts: Parts, *, reset: bool) -> Any:
        handles = guarded(parts.metric).handles
        least = LEAST_SAMPLES if reset else 1
        return check_samples(self, X, handles, parts.engine, reset=reset, least=least)

    def _fit(self, parts: Parts, rows: Rows, *, continues: bool = False) -> None:
        """Train a new map, or continue the last one, and set the attributes of a fitted map.

        With ``continues``, as in `partial_fit`, micro-clusters of former samples are trained on,
        too. With ``warm_start`` there are only the ``rows``.
        """
        least = 1 if continues else LEAST_SAMPLES
        rows = rows._replace(weights=check_weights(rows.X, rows.weights, least))
        calibration, validation = held_out(rows.n, self.calibration, parts.stopping, least)
        training_mask = rows.trained(calibration, validation)
        training = rows.where(training_mask)
        if continues or (self.warm_start and hasattr(self, "som_map_")):
            start = self.som_map_
            check_continues(start, rows.X.shape[1], self._metric.metric, parts, self.grid)
        else:
            start = None
            self.sizes_tried_ = SizesTried()
            if self._sizes_itself:
                self.sizes_tried_, parts = choose_size(self, parts, training)
            self._metric = fit_metric(parts.metric, training.X, training.weights)
        task = self._task(parts, training, start, rows.observed(validation), continues)
        self._check_memory(task.samples)
        checkpoints, checkpointer = None, None
        if self.checkpoint is not None:
            checkpoints = Checkpoints.from_parameter(self.checkpoint)
            checkpointer = checkpoints.resume(facts_of(task, self._metric), self.random_state)
        with progress_shown(self.verbose) as show:
            notify = callback_notifier(self.callbacks, show)
            with one_blas_thread(), own_error_names(parts.engine):
                state = fit_map(task, notify, checkpointer)
                self._parts, self.spreading_factor_ = parts, parts.spreading_factor
                self._take_state(state)
                calibrating = None if calibration is None else rows.where(calibration)
                self._take_target(task.target, calibrating)
                self._take_labels(rows.X, training_mask, state.new_leaves)
        if checkpoints is not None and not checkpoints.stays:
            checkpoints.path.unlink(missing_ok=True)
        for_calibration = rows.observed(calibration)
        if for_calibration is not None:
            samples, level = self._over(parts, for_calibration), float(self.contamination)
            self._novelty = Calibration.from_samples(self._density, samples, level)
        if not continues:
            self._warn(task.samples.n)

    def _check_memory(self, samples: Samples) -> None:
        """Say how much memory training takes besides the data; refuse more than there is."""
        needed = _ROW_BYTES * samples.n
        data_size = 0  # in the memory of this process
        if isinstance(samples.X, np.ndarray):
            data_size = samples.X.nbytes
            copy_size = int(_COPY * data_size)
            if samples.working_memory is not None:
                copy_size = min(copy_size, samples.working_memory)
            needed += copy_size
        text = f"training takes about {needed / 2**20:,.0f} MiB of memory besides the data"
        most = available_memory()
        if data_size + needed > most:
            raise DataError(
                f"{text}, and this process may take {most / 2**20:,.0f} MiB: let the data stay in "
                "a file (engine: dask), or use float32"
            )
        if needed < _LEAST_MEMORY:
            return
        _log.info("%s", text)
        if self.verbose:
            print(text)

    def _over(self, parts: Parts, rows: Rows) -> Samples:
        return parts.over(rows.X, self._metric.calls, rows.weights)

    def _task(
        self, parts: Parts, rows: Rows, start: Any, validation: Rows | None, continues: bool
    ) -> FitTask:
        """Return the inputs of the fit, with micro-clusters of former samples where it continues.

        ``validation`` are the samples for stopping rules.
        """
        samples, target = self._over(parts, rows), rows.target
        new = None  # all are new
        if continues:
            new, clusters = samples.n, self._memory
            samples = samples.followed_by(clusters.X, clusters.weights, clusters.scatter)
            if target is not None:
                target = append_clusters(target, clusters)
        unseen = None
        if validation is not None:
            unseen = self._over(parts, validation), validation.target
        settings = {name: getattr(self, name) for name in SETTINGS}
        return FitTask(parts, samples, target, settings, start, new, unseen)

    def _take_state(self, state: FittedState) -> None:
        """Set the attributes of the fitted map, but for those of single samples."""
        neurons, leaves = state.labelled.neurons, state.labelled.leaves
        self.weights_ = state.weights
        self.neuron_labels_ = neurons.labels
        self.hit_counts_ = neurons.hits
        self._probabilities = neurons.probabilities
        self.leaf_labels_ = leaves.labels
        self.leaf_hit_counts_ = leaves.hits
        self._leaf_probabilities = leaves.probabilities
        self._centres = leaves.centres
        self._memory = state.labelled.clusters
        self._answering = state.labelled.labeller
        self.errors_ = state.errors
        self.quantization_error_ = state.quantization_error
        self.topographic_error_ = state.topographic_error
        self._density = state.density
        self._novelty = state.calibration
        self._deviations = state.deviations
        training = state.training
        self.growing_threshold_ = training.threshold
        self.converged_ = training.converged
        self.stopped_by_ = training.stopped
        self.kept_epoch_ = training.kept
        self._set_map(training.som_map, state.tree, training.history)

    def _take_labels(
        self, X: Any, training_mask: Flags | None, leaves: NDArray[np.integer[Any]]
    ) -> None:
        """Set the labels of all samples X; ``leaves`` are of those that were trained on."""
        if training_mask is not None:
            all_leaves = np.empty(len(training_mask), leaves.dtype)
            all_leaves[training_mask] = leaves
            left_out = self._parts.over(take(X, ~training_mask), self._metric.calls)
            all_leaves[~training_mask] = self._predictor.descend(left_out).leaf
            leaves = all_leaves
        attributes = self.__dict__
        for name in ("labels_", LEAVES, "cluster_stability_"):  # of an earlier fit
            attributes.pop(name, None)
        attributes[LEAVES] = leaves.astype(np.min_scalar_type(len(self.leaf_labels_)))
        if self._centres is not None:
            attributes["labels_"] = self._predictor.labels(self._parts.over(X, self._metric.calls))
        elif not isinstance(X, Partitions):
            attributes["labels_"] = np.asarray(self.leaf_labels_[leaves])

    def _warn_of_scales(self, parts: Parts, X: Any) -> None:
        """Warn where the widest columns alone decide distances.

        A pipeline has steps that may scale them, and a search warns once, of its last fit.
        """
        if not isinstance(X, np.ndarray):
            return
        if _called_by("sklearn.pipeline", "sklearn.utils.parallel"):
            return
        if get_registry().name_of("metric", parts.metric) not in _METRICS_OF_SCALE:
            return
        columns = scales(X)
        if columns is None:
            return
        names = getattr(self, "feature_names_in_", range(X.shape[1]))
        widest, narrowest = [names[column] for column in columns]
        warnings.warn(
            f"column {widest!r} spreads more than {MOST_SPREAD} times as far as column "
            f"{narrowest!r}, which counts for nothing in distances: scale the columns first, as in "
            f"make_pipeline(StandardScaler(), {type(self).__name__}()), or prepare: standardize in "
            "a configuration",
            ScaleWarning,
            stacklevel=callers_level(),
        )

    def _warn(self, n: int) -> None:
        neurons = len(self.som_map_)
        if np.count_nonzero(self.hit_counts_) == 1 and neurons > 1:
            warnings.warn(
                f"one of {neurons} neurons won all {n} samples; look at the scales of the columns "
                "and at the metric, or try growth='fixed' with a narrow kernel",
                stacklevel=callers_level(),
            )
        # Without fine-tuning the width shrinks until the last epoch: no convergence is possible.
        may_converge = "fine" in [record.phase for record in self.history_]
        if self.converged_ or not may_converge or self.tol == 0 or self.stopped_by_:
            return
        text = f"the map has not converged in {self.n_iter_} epochs"
        if self.n_iter_ != self.epochs:
            text += f", of which it had {self.epochs}"
        warnings.warn(
            f"{text}; raise epochs, or set tol=0 to run all epochs without this warning",
            ConvergenceWarning,
            stacklevel=callers_level(),
        )

    # ------------------------------------------------------------ HTML display of scikit-learn

    def _repr_html_inner(self) -> str:
        return str(super()._repr_html_inner()) + self._facts_as_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._facts_as_html()
        return bundle

    def _facts_as_html(self) -> str:
        if not self.__sklearn_is_fitted__():
            return ""
        return (
            f"<div>{len(self.som_map_)} neurons after {self.n_iter_} epochs, quantization error "
            f"{self.quantization_error_:.4g}, topographic error {self.topographic_error_:.3g}</div>"
        )


def _called_by(*modules: str) -> bool:
    """Return whether a function of one of these modules is among the callers."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") not in modules:
        frame = frame.f_back
    return frame is not None
