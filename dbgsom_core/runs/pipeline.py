"""One run: load and prepare the data, fit, evaluate, draw, write, notify the callbacks."""

from __future__ import annotations

import logging
import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from dbgsom_core.config import Experiment, estimator_errors_located
from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.errors import ConfigError, DbgsomError, ScaleWarning
from dbgsom_core.estimators.archive import NotPlainError, stored_types, to_plain
from dbgsom_core.estimators.som import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.stability import Resampling, compute_stability
from dbgsom_core.experiments.callbacks import Callbacks
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.measuring import default_measures, value_of
from dbgsom_core.experiments.models import own_steps
from dbgsom_core.experiments.trackers import FoldMeasures, Run, RunResult
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.measures import Evaluation, Stability
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import EpochCallback, run_folder_of, runs_folder
from dbgsom_core.runs.checkpoint import RunCheckpoint
from dbgsom_core.runs.data import (
    Fold,
    Part,
    Rows,
    baselines,
    check_fold,
    check_part,
    data_errors,
    divisions,
    facts_of,
    final_fold,
    load_data,
    load_test,
    make_fold,
    most_frequent,
    same_data,
    subsample,
)
from dbgsom_core.runs.folder import RunFiles, StoredRun, read_run, run_lock
from dbgsom_core.runs.held_out import PART as HELD_OUT
from dbgsom_core.runs.held_out import answers_of, held_out
from dbgsom_core.runs.manifest import default_name, describe_environment, flat_params, title_of
from dbgsom_core.runs.profile import count_groups, groups_of, profile_classes, profile_clusters
from dbgsom_core.runs.results import (
    add_note,
    all_labels,
    draw_figures,
    fold_numbers,
    tables_of,
    view_of_run,
    warnings_as_notes,
)
from dbgsom_core.runs.stored_runs import check_same
from dbgsom_core.runs.text import digest
from dbgsom_core.training.parts import check_start, fit_metric
from dbgsom_core.training.targets import encode_classes

log = logging.getLogger("dbgsom")

_EXAMPLE_ROWS = 3
_ESTIMATORS: dict[str, Any] = {"vq": SomVQ, "classifier": SomClassifier, "regressor": SomRegressor}


def run_experiment(
    experiment: Experiment,
    callbacks: Callbacks,
    registry: Registry,
    stored: StoredRun | None = None,
    *,
    name: str | None = None,
    parent: Run | None = None,
    varies: Mapping[str, Any] = MappingProxyType({}),
    cache: DataCache | None = None,
) -> RunResult:
    """Run one experiment, or resume a ``stored`` run of it.

    A run of a sweep has a ``name``, a ``parent``, what it ``varies``, and the ``cache`` of runs
    before. Nothing is written before the data is loaded, checked and prepared and the estimator's
    parts are built, which may raise `ConfigError`, `DataError` and `PluginError`. After that
    callbacks are notified of every end: `DbgsomError` where the run folder cannot be written,
    KeyboardInterrupt after a signal.
    """
    cache = cache or DataCache()
    data = cache.load(experiment)
    notes = [*cache.notes]
    for note in experiment.notes:
        add_note(notes, note)
    with warnings_as_notes(notes):
        prepared = prepare(experiment, data)
    run = describe_run(prepared, registry, stored, name, parent, varies)
    settings = run_folder_of(experiment.tracking, registry)
    measures = dict(experiment.measures or ())
    if experiment.measures is None:
        is_labelled = prepared.data.y is not None
        measures = default_measures(registry, experiment.model.estimator, is_labelled)
    evaluator = Evaluator(experiment, measures, notes)

    def work() -> RunResult:
        on_epoch = EpochCallback(callbacks, run)
        checkpoint = RunCheckpoint(
            RunFiles(run.folder), settings.checkpoint_seconds, settings.checkpoint_models
        )
        with warnings_as_notes(notes):
            if experiment.prepare:  # scales are as they are wanted
                warnings.simplefilter("ignore", ScaleWarning)
            cross_validate(prepared, evaluator, on_epoch, checkpoint)
            fit(prepared, on_epoch, checkpoint, notes)
            on_epoch.begin("measuring")
            result = evaluate(prepared, evaluator, on_epoch, checkpoint, title_of(run))
        on_epoch.begin("writing")
        callbacks.notify_required("write_results", run=run, result=result)
        figures = [figure for figure in experiment.figures if not figure[1].of_sweeps]
        if figures:
            on_epoch.begin("drawing")
        drawn = draw_figures(figures, result.view, notes)
        on_epoch.begin("logging")
        return replace(result, figures=drawn, notes=[*notes, *callbacks.notes])

    return carry_out(run, stored, callbacks, work)


def carry_out(
    run: Run, stored: StoredRun | None, callbacks: Callbacks, work: Callable[[], RunResult]
) -> RunResult:
    """Do the work of a run or sweep in its folder, which is locked, and notify of how it ends.

    The run folder hears of each end first.
    """
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DbgsomError(f"the run folder cannot be created: {error}") from error
    with run_lock(run.folder):
        if stored is not None and read_run(run.folder).status == "finished" != stored.status:
            raise DbgsomError(f"run {run.id} has finished meanwhile")
        try:
            callbacks.notify("dbgsom_run_started", run=run)
            result = work()
            callbacks.notify_required("dbgsom_run_finished", run=run, result=result)
        except BaseException as error:
            try:
                callbacks.notify_required("dbgsom_run_failed", run=run, error=error)
            except Exception as unwritten:
                log.warning("how it ended could not be written: %s", unwritten)
            with suppress(OSError):  # of a disk that is away, which says nothing of what is there
                if stored is None and not RunFiles(run.folder).run.exists():  # it could not begin
                    shutil.rmtree(run.folder, ignore_errors=True)
            callbacks.notify_others("dbgsom_run_failed", run=run, error=error)
            raise
        callbacks.notify_others("dbgsom_run_finished", run=run, result=result)
    return replace(result, run=run)


# ----------------------------------------------------------------------------------- prepare


class DataCache:
    """The data of the last run, which the next one may share, and notes from loading it."""

    def __init__(self) -> None:
        self._loaded: tuple[Experiment, Data] | None = None
        self.notes: list[str] = []

    def load(self, experiment: Experiment) -> Data:
        if self._loaded is None or not same_data(experiment, self._loaded[0]):
            self._loaded, self.notes = None, []  # memory holds one data set at a time
            with warnings_as_notes(self.notes):
                self._loaded = experiment, load_data(experiment)
        return self._loaded[1]


@dataclass(frozen=True)
class Prepared:
    """The data of an experiment, divided and prepared, and its estimator, not fitted yet."""

    experiment: Experiment
    data: Data
    test: Data | None  # a separate data set for testing
    fold: Fold  # of the final model
    divided: list[tuple[Rows, Rows]]  # training and test rows of each fold
    estimator: Any


def prepare(experiment: Experiment, data: Data) -> Prepared:
    for column in experiment.report_by:
        groups_of(data, column)  # which may refuse it
    test = load_test(experiment, data)
    fold = final_fold(experiment, data, test)
    divided = divisions(experiment, data)
    check_part(experiment, fold.train.X, fold.train.y, "the part to train on")
    fills = any(step.name.endswith("Imputer") for step in experiment.prepare)
    for number, (train, _) in enumerate(divided, start=1):
        y = None if data.y is None else data.y[train]
        X = None if fills or isinstance(data.X, Partitions) else data.X[train]
        check_part(experiment, X, y, f"the part to train on of fold {number}")
    estimator = make_estimator(experiment)
    with estimator_errors_located(experiment):
        parts = estimator.check_parts(fold.train.y)
        check_fold(make_estimator(experiment), parts, fold)
        if experiment.model.estimator == "regressor":
            with data_errors("the target"):
                estimator._target(parts, fold.train.X, fold.train.y, False, None)
        metric = fit_metric(parts.metric, fold.train.X)
        samples = parts.over(fold.train.X, metric.calls)
        with data_errors("the part to train on"):
            samples.check_varies()
        check_start(parts, samples.X.shape[1])
    for name, step in fold.steps:
        try:
            to_plain(step, {}, name, {**stored_types(), **own_steps()})
        except NotPlainError as error:
            text = f"prepare step '{name}' cannot be saved with the model: it {error}"
            raise ConfigError(text) from error
    return Prepared(experiment, data, test, fold, divided, estimator)


def make_estimator(experiment: Experiment) -> Any:
    estimator = _ESTIMATORS[experiment.model.estimator](
        **experiment.model.params, random_state=experiment.seed, engine=experiment.engine
    )
    with estimator_errors_located(experiment):
        estimator.parts()
    return estimator


def describe_run(
    prepared: Prepared,
    registry: Registry,
    stored: StoredRun | None,
    name: str | None,
    parent: Run | None,
    varies: Mapping[str, Any],
) -> Run:
    experiment, data, fold = prepared.experiment, prepared.data, prepared.fold
    facts = facts_of(experiment, data, prepared.test)
    parts = {"train": fold.train, "test": fold.test}
    facts["parts"] = {key: part.X.shape[0] for key, part in parts.items() if part}
    kind = experiment.model.estimator
    baseline = baselines(fold, prepared.divided, data.y, kind)
    if baseline:
        facts["baseline"] = baseline
        if kind == "classifier":
            facts["most_frequent"] = most_frequent(fold.train.y, data.target_names)
    return new_run(
        experiment,
        registry,
        runs_folder(experiment, registry),
        stored,
        kind="run",
        name=name or experiment.resolved["name"] or default_name(experiment),
        params=flat_params(experiment.resolved),
        data=facts,
        parent=parent,
        total_epochs=int(prepared.estimator.epochs),
        varies=varies,
    )


def new_run(
    loaded: Any, registry: Registry, root: Path, stored: StoredRun | None, **fields: Any
) -> Run:
    """Return a run of an experiment or sweep below ``root``, or the ``stored`` one if it is it."""
    environment = describe_environment(registry, loaded.folder)
    if stored is None:
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        folder = (root / loaded.experiment).absolute() / f"{stamp}-{secrets.token_hex(3)}"
    else:
        folder = stored.files.folder
        environment["directory"] = stored.environment.get("directory")  # where its paths start
    run = Run(
        id=folder.name,
        experiment=loaded.experiment,
        folder=folder,
        config=loaded.resolved,
        environment=environment,
        tags=loaded.resolved.get("tags") or {},
        **fields,
    )
    if stored is not None:
        check_same(stored, run)
    return run


# --------------------------------------------------------------------------------------- fit


def cross_validate(
    prepared: Prepared, evaluator: Evaluator, on_epoch: EpochCallback, checkpoint: RunCheckpoint
) -> None:
    """Fit and test each fold that the checkpoint lacks, and add it there."""
    divided, data = prepared.divided, prepared.data
    digests = [digest(train, test)[:12] for train, test in divided]
    checkpoint.check_folds(digests)
    classes = classes_of(prepared)
    for number, (train, test) in enumerate(divided, start=1):
        if number <= len(checkpoint.folds):
            continue
        on_epoch.begin(f"fold {number} of {len(divided)}")
        fold = make_fold(evaluator.experiment, data, train, test)
        estimator = make_estimator(evaluator.experiment).fit(fold.train.X, fold.train.y)
        assert fold.test is not None
        tested, _, measures = evaluator.evaluate(
            estimator, fold.test, "test", fold.train, of_fold=True
        )
        sizes = len(train), len(test)
        found = FoldMeasures(number, *sizes, digests[number - 1], measures)
        checkpoint.add_fold(found, answers_of(tested, classes))


def classes_of(prepared: Prepared) -> Any:
    """Return the classes of a classifier, by which answers of folds are coded; None of others."""
    y, estimator = prepared.data.y, prepared.estimator
    if estimator._kind != "classifier":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit says it
        return encode_classes(y, y, estimator.unlabelled).classes


def fit(
    prepared: Prepared, on_epoch: EpochCallback, checkpoint: RunCheckpoint, notes: list[str]
) -> None:
    """Fit the estimator of the final model, and note why it ended early or how large it is."""
    estimator, train = prepared.estimator, prepared.fold.train
    after_epoch: list[Any] = [on_epoch, checkpoint.keep_epoch]
    estimator.set_params(callbacks=after_epoch, checkpoint=checkpoint.of_fit)
    estimator.fit(train.X, train.y)
    estimator.set_params(callbacks=None, checkpoint=None)
    if estimator.stopped_by_:
        ran, kept = estimator.n_iter_, estimator.kept_epoch_
        text = (
            f"{on_epoch.stopped_by or estimator.stopped_by_} ended the training after {ran} of at "
            f"most {estimator.history_[-1].epochs} epochs"
        )
        notes.append(text if kept == ran else f"{text}, and the map is that of epoch {kept}")
    if tried := estimator.sizes_tried_:
        sizes = ", ".join(f"{size.spreading_factor:g}: {size.loss:.4g}" for size in tried)
        notes.append(
            f"spreading_factor auto is {estimator.spreading_factor_:g}, the first within one "
            f"standard error of the least loss on held-out samples ({sizes})"
        )


# ---------------------------------------------------------------------------------- evaluate


def evaluate(
    prepared: Prepared,
    evaluator: Evaluator,
    on_epoch: EpochCallback,
    checkpoint: RunCheckpoint,
    title: str,
) -> RunResult:
    """Measure the fitted estimator, and return all that is drawn and written of it."""
    data, fold, estimator = prepared.data, prepared.fold, prepared.estimator
    divided = prepared.divided
    trained, some, measures = evaluator.evaluate(estimator, fold.train, "train")
    measures |= summary(checkpoint.folds)
    scored = ("training", trained)
    predicts = data.y is not None and estimator._kind != "vq"
    if predicts and fold_numbers(len(data.X), divided) is not None:
        tested = held_out(trained, checkpoint.answers, divided, classes_of(prepared))
        if tested is not None:
            scored = (HELD_OUT, tested)
    if fold.test is not None:
        tested, _, of_test = evaluator.evaluate(estimator, fold.test, "test", fold.train)
        measures |= of_test
        if tested.y is not None:
            scored = ("test", tested)
    stability = evaluator.stability(estimator, fold.train, on_epoch)
    if stability is not None:
        measures |= stability.logged()
    model = FittedModel(fold.steps, estimator, data.columns)
    n, total = some.X.shape[0], fold.train.X.shape[0]
    if n < total:
        title += f" · {n:,} of {total:,} samples"
    view = view_of_run(estimator, trained, some, data, fold.steps, title)
    more: dict[str, Any] = {
        "stability": stability,
        "undo": model.undone if fold.steps else None,
        "scored": scored,
        "restore": model.restored,
        "raw_names": data.feature_names or (),
    }
    if not guarded(estimator._parts.labeller).needs_target:
        assert trained.predictions is not None
        more["profile"] = profile_clusters(model, data, some.rows, some.X, trained.predictions)
    elif some.y is not None and estimator._kind == "classifier" and data.image_shape is None:
        more["class_profile"] = profile_classes(data, some.rows, some.X, some.y, view.class_names)
    if report_by := evaluator.experiment.report_by:
        labels = all_labels(model, data)
        more["groups"] = [
            count_groups(column, groups_of(data, column), labels, view.label_names)
            for column in report_by
        ]
    view = replace(view, **more)
    kept = checkpoint.epoch_models(estimator, fold.train.X, fold.train.y)
    return RunResult(
        measures=measures,
        folds=checkpoint.folds,
        history=estimator.history_,
        view=view,
        model=model,
        checkpoints={
            epoch: FittedModel(fold.steps, fitted, data.columns) for epoch, fitted in kept.items()
        },
        example=data.X[:_EXAMPLE_ROWS],
        tables=tables_of(model, data, view, fold, divided),
        notes=evaluator.notes,
    )


def summary(folds: Sequence[FoldMeasures]) -> dict[str, float]:
    """Return the mean of each measure over folds, and the standard deviation as ``test_std/…``."""
    means, deviations = {}, {}
    for name in dict.fromkeys(name for fold in folds for name in fold.measures):
        values = [fold.measures[name] for fold in folds if name in fold.measures]
        with np.errstate(all="ignore"):  # of values that are infinite
            means[name] = float(np.mean(values))
            if len(values) > 1:
                deviations[name.replace("test/", "test_std/")] = float(np.std(values, ddof=1))
    return means | deviations


@dataclass(frozen=True)
class Evaluator:
    """Evaluation of an experiment's maps; a measure that fails becomes a note."""

    experiment: Experiment
    measures: Mapping[str, Any]
    notes: list[str]

    def evaluate(
        self,
        estimator: Any,
        part: Part,
        name: str,
        train: Part | None = None,
        *,
        of_fold: bool = False,
    ) -> tuple[Evaluation, Part, dict[str, float]]:
        """Evaluate a map on a part of the data; ``train`` is that of its training, if another."""
        seed = self.experiment.seed
        some = subsample(part, seed)
        answers = estimator.predict(some.X)
        found = estimator.evaluate(some.X, y=some.y, predictions=answers, seed=seed)
        if train is not None:

            def training() -> Evaluation:
                trained = subsample(train, seed)
                evaluation: Evaluation = estimator.evaluate(trained.X, y=trained.y, seed=seed)
                return evaluation

            found = replace(found, training_of=training)
        count, n = some.X.shape[0], part.X.shape[0]
        if count < n:
            hits = estimator.hit_counts_ if name == "train" else None
            found = replace(found, drawn_from=n, all_hits=hits)
            if not of_fold:
                self.notes.append(
                    f"{name} measures and figures are from {count} of {n} samples, drawn by the "
                    "seed: the data stay where they are; what the model and the tables say is of "
                    "all"
                )
        values = {}
        for key, measure in self.measures.items():
            if train is not None and measure.training_only:
                continue
            try:
                value = value_of(measure, found)
                values[f"{name}/{key}"] = float(value)
                for reference, its in value.references.items():
                    values[f"{name}/{key}_{reference}"] = its
                if value.note and not of_fold:
                    self.notes.append(f"{name}/{key}: {value.note}")
            except Exception as error:
                text = f"measure {name}/{key} failed ({type(error).__name__}: {error})"
                if text not in self.notes:  # a fold more of the same
                    add_note(self.notes, text)
        return found, some, values

    def stability(self, estimator: Any, part: Part, on_epoch: EpochCallback) -> Stability | None:
        settings = self.experiment.stability
        if settings is None:
            return None
        on_epoch.begin("refitting")
        # Refits measure other samples.
        measures = {name: one for name, one in self.measures.items() if not one.training_only}
        resampling = Resampling(
            n=settings.resamples,
            share=settings.share,
            measures=measures,
            level=settings.level,
            random_state=self.experiment.seed,
            n_jobs=-1,
        )
        return compute_stability(estimator, part.X, part.y, resampling)
