"""One run: load, prepare, fit, measure, draw, tell the observers."""

from __future__ import annotations

import logging
import secrets
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dbgsom_core.config import Experiment
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.estimators.classifier import SomClassifier
from dbgsom_core.estimators.clustering import SomVQ
from dbgsom_core.estimators.growing_map import view_of
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.estimators.plain_values import NotPlainError, to_plain
from dbgsom_core.estimators.regressor import SomRegressor
from dbgsom_core.estimators.stored_classes import stored_types
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.guard import guarded, who
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.interfaces.privacy import masked
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.runs.components import describe_components
from dbgsom_core.runs.data import Fold, Part, Rows, digest, divisions, load_data, make_fold, whole
from dbgsom_core.runs.environment import describe_environment
from dbgsom_core.runs.params import default_name, flat_params
from dbgsom_core.training.fitted_metric import fitted

log = logging.getLogger("dbgsom")

_ESTIMATORS: dict[str, Any] = {
    "vq": SomVQ,
    "classifier": SomClassifier,
    "regressor": SomRegressor,
}
_EXAMPLE_ROWS = 5
_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)


@dataclass(frozen=True)
class Outcome:
    """A finished run and its result."""

    run: Run
    result: RunResult


def make_observers(
    tracking: Sequence[tuple[str, Component]], registry: Registry, extra: Sequence[Any] = ()
) -> Observers:
    """Return the observers of a run: the run folder, plugins with hooks, ``extra``, trackers."""
    trackers: list[Any] = [tracker for name, tracker in tracking if name != "run_folder"]
    first = _run_folder(tracking, registry).observer()
    made = [(one, tracker) for tracker in trackers for one in _observer_of(tracker)]
    others = [one for one, _ in made]
    names = {id(one): who("tracker", tracker) for one, tracker in made}
    return Observers([first, *registry.observers, *extra, *others], vital=first, names=names)


def _observer_of(tracker: Any) -> Iterator[Any]:
    try:
        yield guarded("tracker", tracker, "observer")()
    except Exception as error:  # a run without its tracker is better than none
        log.warning("%s; the run goes on without it", error)


def run_experiment(
    experiment: Experiment,
    observers: Observers,
    registry: Registry,
    *,
    data: Data | None = None,
    parent: Run | None = None,
    name: str | None = None,
) -> Outcome:
    """Run one experiment.

    Nothing is written before the data is loaded, checked and prepared and the estimator's parts
    are built. From then on observers hear how it ends, whatever ends it.

    Raises
    ------
    DataError
        The data cannot be used.
    ConfigError, PluginError
        The parts do not fit together or cannot be had.
    """
    notes: list[str] = []
    with _noted(notes):
        data = load_data(experiment) if data is None else data
        fold = whole(experiment, data)
        divided = divisions(experiment, data)
    estimator = make_estimator(experiment)
    with _told_as_config(experiment):
        parts = estimator.check_parts(fold.train.y)
        metric = fitted(parts.metric, fold.train.X)
        parts.over(fold.train.X, metric.abilities).check_varies()
    _check_savable(fold)
    run = start_run(experiment, registry, data=data, estimator=estimator, parent=parent, name=name)
    with told_of_failure(observers, run):
        observers.tell("dbgsom_run_started", run=run)

        def heard(record: EpochRecord) -> None:
            observers.tell("dbgsom_epoch_finished", run=run, epoch=record)

        result = _result(experiment, registry, run, data, fold, divided, estimator, heard, notes)
        observers.tell("dbgsom_run_finished", run=run, result=result)
    return Outcome(run, result)


def make_estimator(experiment: Experiment) -> Any:
    """Return the unfitted estimator that a Python user would write for this experiment.

    Raises
    ------
    ConfigError
        Its parts do not fit together.
    """
    estimator = _ESTIMATORS[experiment.model.estimator](
        **experiment.model.params, random_state=experiment.seed, engine=experiment.engine
    )
    with _told_as_config(experiment):
        estimator.parts()
    return estimator


def start_run(
    experiment: Any,
    registry: Registry,
    *,
    data: Data | None = None,
    estimator: Any = None,
    parent: Run | None = None,
    name: str | None = None,
    root: Path | None = None,
    params: Mapping[str, Any] | None = None,
) -> Run:
    """Create the folder of a run (of a sweep without ``data``) and say what it is."""
    group = experiment.experiment
    runs = runs_folder(experiment, registry) if root is None else root
    folder = _new_folder(runs / group)
    facts: dict[str, Any] = {}
    if data is not None:
        regresses = experiment.model.estimator == "regressor"
        facts = {
            "name": experiment.dataset_name,
            "samples": len(data.X),
            "features": data.X.shape[1],
            "classes": None if data.y is None or regresses else len(np.unique(data.y)),
            "digest": digest(data),
        }
    environment = describe_environment(registry, experiment.folder)
    if estimator is not None:
        environment["components"] = describe_components(experiment, estimator.parts(), registry)
    given = name or getattr(experiment, "name", None)
    return Run(
        id=folder.name,
        name=given or default_name(experiment, estimator),
        experiment=group,
        kind="sweep" if data is None else "run",
        folder=folder,
        config=masked(experiment.resolved),
        params=flat_params(experiment, estimator) if params is None else params,
        environment=environment,
        data=facts,
        parent=parent,
        total_epochs=0 if estimator is None else int(estimator.epochs),
    )


@contextmanager
def told_of_failure(observers: Observers, run: Run) -> Iterator[None]:
    """Tell observers what ended a run, whatever it was."""
    try:
        yield
    except BaseException as error:
        observers.tell("dbgsom_run_failed", run=run, error=error)
        raise


def _result(
    experiment: Experiment,
    registry: Registry,
    run: Run,
    data: Data,
    fold: Fold,
    divided: list[tuple[Rows, Rows]],
    estimator: Any,
    heard: Any,
    notes: list[str],
) -> RunResult:
    measures = _chosen_measures(experiment, registry, data)
    with _noted(notes):
        values = _cross_validated(experiment, data, divided, measures, notes)
        estimator.set_params(callbacks=[heard]).fit(fold.train.X, fold.train.y)
        estimator.set_params(callbacks=None)
        values = (
            _measured(estimator, fold.train, "train", measures, experiment.seed, notes) | values
        )
        if fold.test is not None:
            values |= _measured(estimator, fold.test, "test", measures, experiment.seed, notes)
        view = _view(estimator, fold.train, data, run)
        figures = _drawn(experiment.figures, view, notes)
    return RunResult(
        measures=values,
        history=estimator.history_,
        figures=figures,
        view=view,
        model=FittedModel(fold.steps, estimator),
        example=data.X[:_EXAMPLE_ROWS],
        notes=notes,
    )


def _cross_validated(
    experiment: Experiment,
    data: Data,
    divided: list[tuple[Rows, Rows]],
    measures: Mapping[str, Component],
    notes: list[str],
) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for number, (train, test) in enumerate(divided, start=1):
        log.info("fold %d of %d", number, len(divided))
        fold = make_fold(experiment, data, train, test)
        estimator = make_estimator(experiment).fit(fold.train.X, fold.train.y)
        assert fold.test is not None
        tested = _measured(estimator, fold.test, "test", measures, experiment.seed, notes)
        for name, value in tested.items():
            found.setdefault(name, []).append(value)
    means = {name: statistics.fmean(values) for name, values in found.items()}
    spreads = {
        name.replace("test/", "test_std/"): statistics.stdev(values)
        for name, values in found.items()
        if len(values) > 1
    }
    return means | spreads


def _chosen_measures(
    experiment: Experiment, registry: Registry, data: Data
) -> dict[str, Component]:
    if experiment.measures is not None:
        return dict(experiment.measures)
    kind = experiment.model.estimator
    chosen = {}
    for offered in registry.offered("measure"):
        if offered.distribution != OWN_DISTRIBUTION:
            continue  # third parties' are measured when they are named
        measure = offered.load()()
        asks = MeasureAbilities.of(measure)
        meant = asks.estimators is None or kind in asks.estimators
        if meant and not (asks.needs_target and data.y is None):
            chosen[offered.name] = measure
    return chosen


def _measured(
    estimator: Any,
    part: Part,
    prefix: str,
    measures: Mapping[str, Any],
    seed: int,
    notes: list[str],
) -> dict[str, float]:
    evaluation = estimator.evaluate(
        part.X, y=part.y, predictions=estimator.predict(part.X), seed=seed
    )
    values = {}
    for name, measure in measures.items():
        try:
            values[f"{prefix}/{name}"] = float(guarded("measure", measure, "compute")(evaluation))
        except Exception as error:  # the map is trained: one measure less is no reason to lose it
            _note(notes, f"measure {prefix}/{name} failed ({type(error).__name__}: {error})")
    return values


def _view(estimator: Any, part: Part, data: Data, run: Run) -> MapView:
    names = {}
    # Cluster numbers and means are no classes, whatever the data set calls its classes.
    supervised = LabellerAbilities.of(estimator._parts.labeller).needs_target
    classes = supervised and estimator._kind != "regressor"
    if classes and data.target_names is not None and data.y is not None:
        names = dict(enumerate(data.target_names)) if data.y.dtype.kind in "iu" else {}
    same_columns = data.feature_names is not None and len(data.feature_names) == part.X.shape[1]
    return view_of(
        estimator,
        estimator.evaluate(part.X, y=part.y, predictions=estimator.labels_),
        label_names=names,
        feature_names=data.feature_names if same_columns else (),
        image_shape=data.image_shape,
        title=f"{run.experiment} · {run.name}",
    )


def _drawn(figures: Sequence[tuple[str, Any]], view: MapView, notes: list[str]) -> dict[str, Any]:
    drawn = {}
    for name, figure in figures:
        try:
            drawn[name] = guarded("figure", figure, "draw")(view)
        except Exception as error:
            _note(notes, f"figure {name} failed ({type(error).__name__}: {error})")
    return drawn


@contextmanager
def _told_as_config(experiment: Experiment) -> Iterator[None]:
    """Turn an estimator's complaint about its parameters into one about the configuration."""
    try:
        yield
    except DbgsomError:
        raise
    except ValueError as error:
        raise ConfigError(f"{experiment.source}: model: {error}") from error


def _check_savable(fold: Fold) -> None:
    """Refuse prepare steps that no model file could hold before anything is trained."""
    for name, step in fold.steps:
        try:
            to_plain(step, {}, name, stored_types())
        except NotPlainError as error:
            raise ConfigError(
                f"prepare step '{name}' cannot be saved with the model without pickle ({error})"
            ) from error


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Turn Python warnings into notes of the report, each told once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            told = (one for one in caught if not issubclass(one.category, _FOR_DEVELOPERS))
            for text in dict.fromkeys(str(warning.message) for warning in told):
                _note(notes, text)


def _note(notes: list[str], text: str) -> None:
    notes.append(text)
    log.warning("%s", text)


def runs_folder(experiment: Experiment, registry: Registry) -> Path:
    """Return the folder under which the runs of this experiment are kept."""
    return Path(_run_folder(experiment.tracking, registry).path)


def _run_folder(tracking: Sequence[tuple[str, Component]], registry: Registry) -> Any:
    return dict(tracking).get("run_folder") or registry.build("tracker", "run_folder")


def _new_folder(group: Path) -> Path:
    for _ in range(100):
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        folder = group.absolute() / f"{stamp}-{secrets.token_hex(3)}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise DbgsomError(f"the run folder cannot be created: {error}") from error
        return folder
    raise DbgsomError(f"no free name for a run folder in {group}")
