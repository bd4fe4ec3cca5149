"""All of a run that comes before its folder: the data, divided and prepared, and the estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.config.matching import fills_gaps
from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.errors import ConfigError
from dbgsom_core.estimators.classifier import SomClassifier
from dbgsom_core.estimators.clustering import SomVQ
from dbgsom_core.estimators.plain_values import NotPlainError, stored_types, to_plain
from dbgsom_core.estimators.regressor import SomRegressor
from dbgsom_core.estimators.validation import check_samples
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.runs.check import estimator_errors_located
from dbgsom_core.runs.data import check_part, load_data, load_test
from dbgsom_core.runs.split import Fold, Rows, baselines, divisions, final_fold
from dbgsom_core.training.compatibility import why_no_start
from dbgsom_core.training.fitted_metric import fitted

_ESTIMATORS: dict[str, Any] = {
    "vq": SomVQ,
    "classifier": SomClassifier,
    "regressor": SomRegressor,
}


@dataclass(frozen=True)
class Setup:
    """What a run trains, and on what.

    Attributes
    ----------
    data : Data
    test : Data or None
        What is kept for testing as a data set of its own.
    fold : Fold
        The model that is kept is trained on.
    divided : list of (rows, rows)
        The rows to train and to test on of each fold.
    estimator : unfitted estimator
    """

    data: Data
    test: Data | None
    fold: Fold
    divided: list[tuple[Rows, Rows]]
    estimator: Any

    def baseline(self) -> dict[str, float]:
        """Return what always the most frequent class, or the mean, measures; empty: neither."""
        y, kind = self.data.y, self.estimator._kind
        if y is None or kind not in ("classifier", "regressor"):
            return {}
        return baselines(self.fold, self.divided, y, kind == "classifier")


def prepare_run(experiment: Experiment, data: Data | None = None) -> Setup:
    """Load the data, check, divide and prepare it, and build the estimator.

    Raises `DataError` where the data cannot be used, and `ConfigError` or `PluginError` where the
    parts do not fit together or cannot be had.
    """
    data = load_data(experiment) if data is None else data
    test = load_test(experiment, data)
    fold = final_fold(experiment, data, test)
    divided = divisions(experiment, data)
    check_part(experiment, fold.train.X, fold.train.y, "the part to train on")
    if fold.test is not None:
        check_part(experiment, fold.test.X, fold.test.y, "the part to test on")
    for number, (train, _) in enumerate(divided, start=1):
        y = None if data.y is None else data.y[train]
        fills = any(fills_gaps(step.name) for step in experiment.prepare)
        X = None if fills or isinstance(data.X, BlockTable) else data.X[train]
        check_part(experiment, X, y, f"the part to train on of fold {number}")
    estimator = make_estimator(experiment)
    with estimator_errors_located(experiment):
        parts = estimator.check_parts(fold.train.y)
        unfitted = make_estimator(experiment)
        check_samples(unfitted, fold.train.X, parts.metric, reset=True, engine=parts.engine)
        metric = fitted(parts.metric, fold.train.X)
        samples = parts.over(fold.train.X, metric.abilities)
        samples.check_varies()
        misfit = why_no_start(parts.init, parts.growth, samples.X.shape[1])
        if misfit is not None:
            raise ValueError(misfit)
    _check_can_be_saved(fold)
    return Setup(data, test, fold, divided, estimator)


def make_estimator(experiment: Experiment) -> Any:
    """Return the unfitted estimator that a Python user would write for this experiment."""
    estimator = _ESTIMATORS[experiment.model.estimator](
        **experiment.model.params, random_state=experiment.seed, engine=experiment.engine
    )
    with estimator_errors_located(experiment):
        estimator.parts()
    return estimator


def _check_can_be_saved(fold: Fold) -> None:
    """Refuse prepare steps that no model file could hold before anything is trained."""
    for name, step in fold.steps:
        try:
            to_plain(step, {}, name, stored_types())
        except NotPlainError as error:
            raise ConfigError(
                f"prepare step '{name}' cannot be saved with the model without pickle ({error})"
            ) from error
