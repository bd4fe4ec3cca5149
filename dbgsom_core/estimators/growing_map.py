"""What the estimators share: their parameters, and fitting a map."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.tables import BlockTable, picked
from dbgsom_core.errors import callers_level
from dbgsom_core.estimators.checkpoints import Checkpoints, facts_of
from dbgsom_core.estimators.fitted_map import FittedMap
from dbgsom_core.estimators.held_out import HeldOut, held_samples
from dbgsom_core.estimators.late_labels import LEAVES, LateLabels
from dbgsom_core.estimators.part_params import (
    AUTO,
    NOTHING,
    PartParams,
    build_engine,
    build_metric,
    build_parts,
    engine_for,
)
from dbgsom_core.estimators.planning import Planned
from dbgsom_core.estimators.sizing import SizesTried, sized, spreading_factor_of
from dbgsom_core.estimators.validation import (
    LEAST_SAMPLES,
    check_samples,
    check_weights,
    is_integer,
    is_number,
    is_robust,
)
from dbgsom_core.estimators.verbose import shown
from dbgsom_core.interfaces.engine import at_work
from dbgsom_core.interfaces.epochs import GrowthEvent
from dbgsom_core.interfaces.guard import blamed
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.callbacks import callback_notifier
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.compatibility import check_suits, reads_target, why_no_grid
from dbgsom_core.training.fit import FittedState, Held, Settings, fit_map
from dbgsom_core.training.fitted_metric import fitted
from dbgsom_core.training.novelty import Calibration
from dbgsom_core.training.parts import Absent, Parts
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import Target
from dbgsom_core.training.train import NOT_WRITTEN
from dbgsom_core.training.vertical import check_goes_on

_Method = TypeVar("_Method", bound=Callable[..., Any])


def all_or_nothing(method: _Method) -> _Method:
    """Let the engine be at work during a method, which leaves all as it was where it raises."""

    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **keywords: Any) -> Any:
        before = dict(vars(self))
        engine = build_engine(engine_for(self.engine, args[0] if args else keywords.get("X")))
        try:
            with at_work(engine):
                return method(self, *args, **keywords)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast(_Method, guarded)


# The fields are the parameters: scikit-learn reads them from the constructor that they make.
@dataclass(kw_only=True, eq=False, repr=False)
class GrowingMap(Planned, FittedMap, PartParams, BaseEstimator):
    """Base of the estimators; its parameters and attributes are described there."""

    _kind: ClassVar[str] = "vq"  # as configurations, figures and parts call it
    labels_ = LateLabels()  # hidden by an attribute, mostly

    metric: Any = "euclidean"
    kernel: Any = "gaussian"
    growth: Any = "directed"
    grid: Any = "auto"
    labeller: Any = "index"
    epochs: int = 100
    tol: float = 1e-4
    spreading_factor: float | str | None = None
    max_neurons: int | str | None = None
    init: Any = "pca"
    robust: float | str | None = None
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

    def parts(self, X: Any = None, absent: Mapping[str, Absent] = NOTHING) -> Parts:
        """Return the parts that the parameters name, built; raises as `check_parts`."""
        params = self.get_params(deep=False)
        if self._sizes_itself and hasattr(self, "spreading_factor_"):  # what goes on keeps to it
            params["spreading_factor"] = self.spreading_factor_
        return build_parts({**params, "engine": engine_for(self.engine, X)}, absent)

    @property
    def _sizes_itself(self) -> bool:
        return isinstance(self.spreading_factor, str) and self.spreading_factor == AUTO

    def check_parts(self, y: Any, X: Any = None, absent: Mapping[str, Absent] = NOTHING) -> Parts:
        """Return the built parts after checking every parameter that needs no look into X.

        Those that are ``absent`` stay so.

        Raises
        ------
        ValueError
            A parameter is wrong, or a part needs class labels and ``y`` is None.
        """
        if not is_integer(self.epochs) or self.epochs < 1:
            raise ValueError(f"epochs must be an integer of at least 1, not {self.epochs!r}")
        if not isinstance(self.tol, (int, float, np.number)) or not 0 <= self.tol < math.inf:
            raise ValueError(f"tol must be a number of at least 0, not {self.tol!r}")
        if not is_robust(self.robust):
            raise ValueError(
                f"robust must be None, 'auto' or a positive number, not {self.robust!r}"
            )
        if not isinstance(self.warm_start, (bool, np.bool_)):
            raise ValueError(f"warm_start must be True or False, not {self.warm_start!r}")
        if not isinstance(self.verbose, (bool, int, np.integer)):
            raise ValueError(f"verbose must be an integer, not {self.verbose!r}")
        self._check_algorithm(self.transform_algorithm, "transform_algorithm")
        Checkpoints.of(self.checkpoint)
        if not is_number(self.contamination) or not 0 < self.contamination <= 0.5:
            told = f"not {self.contamination!r}"
            raise ValueError(f"contamination must be a number above 0 and at most 0.5, {told}")
        if self.calibration is not None and not (
            is_number(self.calibration) and 0 < self.calibration < 1
        ):
            raise ValueError(
                f"calibration must be None or a number between 0 and 1, not {self.calibration!r}"
            )
        parts = self.parts(X, absent)
        check_suits(parts, self._kind)
        known = not absent.keys() & {"growth", "grid"}
        misfit = why_no_grid(parts.growth, parts.grid) if known else None
        if misfit is not None:
            raise ValueError(misfit)
        reader = reads_target(parts)
        if reader is not None and y is None:
            raise ValueError(f"{reader} needs class labels: give y to fit")
        return parts

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            metric = MetricAbilities.of(build_metric(self.get_params(deep=False)))
        except ValueError:  # fit tells
            return tags
        tags.input_tags.allow_nan = "missing" in metric.handles
        tags.input_tags.sparse = "sparse" in metric.handles
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------------------ fitting

    def _require(self, y: Any, targets: str) -> None:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} needs {targets}: requires y to be passed, but the target "
                "y is None"
            )

    def _checked(self, X: Any, parts: Parts, *, reset: bool) -> Any:
        least = LEAST_SAMPLES if reset else 1
        return check_samples(self, X, parts.metric, reset=reset, least=least, engine=parts.engine)

    def _fit(self, parts: Parts, X: Any, target: Target | None, sample_weight: Any) -> Self:
        """Train a new map, or with ``warm_start`` go on from the last one."""
        start = None
        if self.warm_start and hasattr(self, "som_map_"):
            start = self.som_map_
            _check_columns(start, X)
            check_goes_on(start, self._metric.metric, parts, self.grid)
        weights = check_weights(X, sample_weight, LEAST_SAMPLES)
        held = HeldOut.of(X.shape[0], self.calibration, parts.stopping, LEAST_SAMPLES)
        if start is None:
            self.sizes_tried_ = SizesTried()
        if start is None and self._sizes_itself:
            self.sizes_tried_, parts = sized(self, parts, X, target, weights, held.all)
        if start is None:  # a map that goes on lives in the space in which it is
            self._metric = fitted(parts.metric, *held.left(X, weights))
        validation = held_samples(
            parts, self._metric.abilities, X, weights, held.validation, target
        )
        samples, target, kept = self._weighted(parts, X, target, weights, held.all)
        self._train(parts, samples, target, start, None, X, kept, validation)
        self._calibrate(X, held, weights)
        self._warn_of_collapse(samples)
        self._warn_of_unrest()
        return self

    def _partial_fit(self, parts: Parts, X: Any, target: Target | None, sample_weight: Any) -> Self:
        """Go on with new samples; what is remembered of earlier ones stands beside them.

        ``target`` is that of the new samples and of the remembered ones, in this order.
        """
        check_goes_on(self.som_map_, self._metric.metric, parts, self.grid)
        memory: Summaries = self._memory
        weights = check_weights(X, sample_weight, 1)
        held = HeldOut.of(X.shape[0], self.calibration, parts.stopping, 1)
        validation = held_samples(
            parts, self._metric.abilities, X, weights, held.validation, target
        )
        samples, _, kept = self._weighted(parts, X, None, weights, held.all)
        if target is not None and kept is not None:
            rows = np.concatenate([kept, np.ones(len(memory.weights), dtype=bool)])
            target = target.of(rows)
        everything = samples.followed_by(memory.X, memory.weights, memory.scatter)
        self._train(parts, everything, target, self.som_map_, samples.n, X, kept, validation)
        self._calibrate(X, held, weights)
        return self

    def _calibrate(self, X: Any, held: HeldOut, weights: NDArray[np.float64] | None) -> None:
        abilities = self._metric.abilities
        data = held_samples(self._parts, abilities, X, weights, held.calibration)
        if data is not None:
            level = float(self.contamination)
            self._novelty = Calibration.of(self._density, data.samples, level)

    def _weighted(
        self,
        parts: Parts,
        X: Any,
        target: Target | None,
        weights: NDArray[np.float64] | None,
        held: NDArray[np.bool_] | None,
    ) -> tuple[Samples, Target | None, NDArray[np.bool_] | None]:
        # Samples of weight 0 are left out of training, as are those that are held out; kept says
        # which are not, None: all.
        kept = None if held is None else ~held
        if weights is not None and not weights.all():
            kept = weights > 0 if kept is None else kept & (weights > 0)
        if kept is not None:
            X, weights = picked(X, kept), None if weights is None else weights[kept]
            target = None if target is None else target.of(kept)
        return parts.over(X, self._metric.abilities, weights), target, kept

    def _train(
        self,
        parts: Parts,
        samples: Samples,
        target: Target | None,
        start: SomMap | None,
        new: int | None,
        X: Any,
        kept: NDArray[np.bool_] | None,
        validation: Held | None,
    ) -> None:
        settings = Settings(
            self.epochs,
            self.tol,
            self.robust,
            self.contamination,
            self.random_state,
        )
        checkpoints, progress = Checkpoints.of(self.checkpoint), NOT_WRITTEN
        if checkpoints is not None:
            facts = facts_of(parts, self._metric, samples, target, settings, start, new, validation)
            progress = checkpoints.progress(facts, self.random_state)
        with shown(self.verbose) as show:
            notify = callback_notifier(self.callbacks, show)
            with one_blas_thread(), blamed("engine", parts.engine):
                state = fit_map(
                    parts, samples, target, settings, notify, start, new, progress, validation
                )
                self._take(parts, state)
                self._take_labels(X, samples, self._leaves_of_all(X, kept, state.new_leaves))
        if checkpoints is not None:
            checkpoints.ended()

    def _take(self, parts: Parts, state: FittedState) -> None:
        """Copy out what a fit left."""
        self._parts = parts
        self.som_map_, self._tree, self.weights_ = state.som_map, state.tree, state.weights
        self.history_, self.converged_ = state.history, state.converged
        self.n_iter_, self.stopped_by_ = len(state.history), state.stopped
        self.kept_epoch_ = state.kept
        self.neurons_ = [(x, y) for x, y in state.som_map.positions.tolist()]
        self.growth_events_: list[GrowthEvent] = [
            event for record in state.history[: state.kept] for event in record.births
        ]
        self._n_features_out = len(state.tree)
        self.growing_threshold_ = state.growing_threshold
        self.spreading_factor_ = spreading_factor_of(parts)
        self.hit_counts_, self.errors_ = state.hit_counts, state.errors
        self.quantization_error_ = state.quantization_error
        self.topographic_error_ = state.topographic_error
        self.neuron_labels_, self._probabilities = state.neuron_labels, state.probabilities
        self.leaf_labels_ = state.leaves.labels
        self._leaf_probabilities = state.leaves.probabilities
        self.leaf_hit_counts_ = state.leaves.hits
        self._density, self._novelty = state.density, state.calibration
        self._memory, self._answering = state.summaries, state.answering
        self._outputs = list(state.outputs)
        self._deviations = state.deviations

    def _leaves_of_all(
        self, X: Any, kept: NDArray[np.bool_] | None, trained: NDArray[np.integer[Any]]
    ) -> NDArray[np.integer[Any]]:
        if kept is None:
            return trained
        leaves = np.empty(len(kept), trained.dtype)
        leaves[kept] = trained
        left_out = self._parts.over(picked(X, ~kept), self._metric.abilities)
        leaves[~kept] = self._to_live_leaves(left_out).leaf
        return leaves

    def _take_labels(self, X: Any, samples: Samples, leaves: NDArray[np.integer[Any]]) -> None:
        for name in ("labels_", LEAVES):  # of an earlier fit
            self.__dict__.pop(name, None)
        if isinstance(samples.X, BlockTable):
            setattr(self, LEAVES, leaves)
        else:
            self.__dict__["labels_"] = np.asarray(self.leaf_labels_[leaves])

    def _warn_of_collapse(self, data: Samples) -> None:
        if np.count_nonzero(self.hit_counts_) != 1 or len(self.som_map_) == 1:
            return
        cure = "; look at the scales of the columns and at the metric"
        if data.metric.form is not None:
            cure = (
                ": medians and modes of wide neighbourhoods are alike where one value is frequent; "
                "try manhattan with prototype='mean', growth='fixed', or kernel="
                "{'name': 'gaussian', 'start': 0.5, 'end': 0.3}"
            )
        warnings.warn(
            f"one of {len(self.som_map_)} neurons won all {data.n} samples{cure}",
            stacklevel=callers_level(),
        )

    def _warn_of_unrest(self) -> None:
        # Without fine-tuning the width goes down to the last epoch: nothing can come to rest.
        fine = any(record.phase == "fine" for record in self.history_)
        if self.converged_ or not fine or self.tol == 0 or self.stopped_by_:
            return
        of = "" if self.n_iter_ == self.epochs else f", of which it had {self.epochs}"
        warnings.warn(
            f"the map has not converged in {self.n_iter_} epochs{of}; raise epochs, or say "
            "tol=0 to run them all and hear nothing of it",
            ConvergenceWarning,
            stacklevel=callers_level(),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "neuron_labels_")

    def _repr_html_inner(self) -> str:
        return self._with_map(super()._repr_html_inner())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] = self._with_map(bundle["text/html"])
        return bundle

    def _with_map(self, diagram: str) -> str:
        if not self.__sklearn_is_fitted__():
            return diagram
        from dbgsom_core.estimators.html import map_html

        return diagram + map_html(self)


def _check_columns(som_map: SomMap, X: Any) -> None:
    if som_map.prototypes.shape[1] != X.shape[1]:
        raise ValueError(
            f"warm_start goes on from a map of {som_map.prototypes.shape[1]} features, and X has "
            f"{X.shape[1]}; fit a new estimator, or set warm_start=False"
        )
