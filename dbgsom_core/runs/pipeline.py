"""One run: load and prepare the data, fit, evaluate, draw, write, call the callbacks."""

from __future__ import annotations

import logging
import math
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from sklearn.base import clone

from dbgsom_core.config import Experiment, estimator_errors_located
from dbgsom_core.config.components import fills_gaps, start_problem
from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DbgsomError,
    ScaleWarning,
)
from dbgsom_core.estimators.archive import NotPlainError, stored_types, to_plain
from dbgsom_core.estimators.checkpoints import (
    Checkpoints,
    Facts,
    read_checkpoint,
)
from dbgsom_core.estimators.fitted_map import LEAVES
from dbgsom_core.estimators.sizing import SizeTried
from dbgsom_core.estimators.som import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.stability import Resampling, compute_stability
from dbgsom_core.experiments.callbacks import Callbacks
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.measuring import default_measures, value_of
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.files import to_disk
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, Stability
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import (
    EpochCallback,
    begin_phase,
    run_folder_of,
    runs_folder,
)
from dbgsom_core.runs.data import (
    Fold,
    Part,
    Rows,
    baselines,
    check_part,
    divisions,
    facts_of,
    final_fold,
    load_data,
    load_test,
    make_fold,
    most_frequent,
    subsample,
)
from dbgsom_core.runs.folder import (
    FoldMeasures,
    RunFiles,
    StoredRun,
    folds_text,
    parse_folds,
    split_digest,
    summary,
    write_text,
)
from dbgsom_core.runs.held_out import PART as HELD_OUT
from dbgsom_core.runs.held_out import HeldOut
from dbgsom_core.runs.manifest import (
    default_name,
    describe_environment,
    flat_params,
    title_of,
    with_varied,
)
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
from dbgsom_core.runs.stored_runs import RunLock, check_same, claim, mark_killed_runs
from dbgsom_core.training.parts import fit_metric
from dbgsom_core.training.state import Checkpointer, TrainingState
from dbgsom_core.training.targets import encode_classes
from dbgsom_core.training.train import BY_CALLBACK

log = logging.getLogger("dbgsom")

_EXAMPLE_ROWS = 5
_ESTIMATORS: dict[str, Any] = {"vq": SomVQ, "classifier": SomClassifier, "regressor": SomRegressor}


@dataclass(frozen=True)
class Outcome:
    """A finished run and its result."""

    run: Run
    result: RunResult


@dataclass(frozen=True)
class Task:
    """An experiment, or a sweep, to run, or to resume where there is a ``stored`` run of it."""

    experiment: Any
    name: str | None = None
    parent: Run | None = None
    varies: Mapping[str, Any] = field(default_factory=dict)
    stored: StoredRun | None = None


def run_experiment(
    experiment: Experiment,
    callbacks: Callbacks,
    registry: Registry,
    stored: StoredRun | None = None,
) -> Outcome:
    return run_task(Task(experiment, stored=stored), callbacks, registry)


def run_task(
    task: Task,
    callbacks: Callbacks,
    registry: Registry,
    data: Data | None = None,
    data_notes: Sequence[str] = (),
) -> Outcome:
    """Run one experiment; ``data_notes`` are remarks from loading ``data``.

    Nothing is written before the data is loaded, checked and prepared and the estimator's parts
    are built, which may raise `ConfigError`, `DataError` and `PluginError`. After that callbacks
    are notified of every end: `DbgsomError` where the run folder cannot be written,
    KeyboardInterrupt after a signal.
    """
    experiment: Experiment = task.experiment
    notes = [*data_notes]
    for note in experiment.notes:
        add_note(notes, note)
    with warnings_as_notes(notes):
        setup = prepare_run(experiment, data)
    measures = dict(experiment.measures or ())
    if experiment.measures is None:
        kind, labelled = experiment.model.estimator, setup.data.y is not None
        measures = dict(default_measures(registry, kind, labelled))
    run, lock = start_run(task, registry, setup)
    folder = run_folder_of(experiment.tracking, registry)
    checkpoint = Checkpoint(
        RunFiles(run.folder), folder.checkpoint_seconds, folder.checkpoint_models
    )
    with lock:
        with failures_reported(callbacks, run, lock):
            callbacks.notify("dbgsom_run_started", run=run)
            evaluator = _Evaluator(experiment, measures, notes)
            on_epoch = EpochCallback(callbacks, run, lock.touch)
            result = _fit_and_evaluate(setup, run, evaluator, on_epoch, checkpoint, lock)
            begin_phase(callbacks, run, "writing")
            callbacks.write_results(run, result)
            own = [one for one in experiment.figures if not one[1].of_sweeps]
            if own:
                begin_phase(callbacks, run, "drawing")
            figures = draw_figures(own, result.view, notes)
            begin_phase(callbacks, run, "logging")
            result = replace(result, figures=figures, notes=[*notes, *callbacks.notes])
            callbacks.notify_required("dbgsom_run_finished", run=run, result=result)
        RunFiles(run.folder).remove_checkpoints()
        notify_finished(callbacks, run, result)
    return Outcome(run, result)


# ------------------------------------------------------------------- before the run folder


@dataclass(frozen=True)
class Setup:
    """The estimator of a run and its data."""

    data: Data
    test: Data | None  # a separate data set for testing
    fold: Fold  # of the final model
    divided: list[tuple[Rows, Rows]]  # training and test rows of each fold
    estimator: Any  # unfitted


def prepare_run(experiment: Experiment, data: Data | None = None) -> Setup:
    data = load_data(experiment) if data is None else data
    for column in experiment.report_by:
        groups_of(data, column)  # which may refuse it
    test = load_test(experiment, data)
    fold = final_fold(experiment, data, test)
    divided = divisions(experiment, data)
    check_part(experiment, fold.train.X, fold.train.y, "the part to train on")
    if fold.test is not None:
        check_part(experiment, fold.test.X, fold.test.y, "the part to test on")
    fills = any(fills_gaps(step.name) for step in experiment.prepare)
    for number, (train, _) in enumerate(divided, start=1):
        y = None if data.y is None else data.y[train]
        X = None if fills or isinstance(data.X, Partitions) else data.X[train]
        check_part(experiment, X, y, f"the part to train on of fold {number}")
    estimator = make_estimator(experiment)
    with estimator_errors_located(experiment):
        parts = estimator.check_parts(fold.train.y)
        make_estimator(experiment)._checked(fold.train.X, parts, reset=True)
        metric = fit_metric(parts.metric, fold.train.X)
        samples = parts.over(fold.train.X, metric.calls)
        samples.check_varies()
        misfit = start_problem(parts.init, parts.growth, samples.X.shape[1])
        if misfit is not None:
            raise ValueError(misfit)
    for name, step in fold.steps:
        try:
            to_plain(step, {}, name, stored_types())
        except NotPlainError as error:
            text = f"prepare step '{name}' cannot be saved with the model: it {error}"
            raise ConfigError(text) from error
    return Setup(data, test, fold, divided, estimator)


def make_estimator(experiment: Experiment) -> Any:
    estimator = _ESTIMATORS[experiment.model.estimator](
        **experiment.model.params, random_state=experiment.seed, engine=experiment.engine
    )
    with estimator_errors_located(experiment):
        estimator.parts()
    return estimator


# ---------------------------------------------------------------------------- begin and end


def start_run(
    task: Task,
    registry: Registry,
    setup: Setup | None = None,
    *,
    root: Path | None = None,
    params: Mapping[str, Any] | None = None,
) -> tuple[Run, RunLock]:
    """Return a run (a sweep without ``setup``) and the lock of its folder, which is held."""
    experiment, stored = task.experiment, task.stored
    group = experiment.experiment
    runs = runs_folder(experiment, registry) if root is None else root
    for killed in mark_killed_runs(runs, group):
        log.warning("closed as killed: %s: %s", killed.files.folder, killed.error)
    estimator = parts = None
    facts: dict[str, Any] = {}
    if setup is not None:
        estimator, y = setup.estimator, setup.data.y
        parts = estimator.parts()
        facts = facts_of(experiment, setup.data, setup.test)
        baseline = baselines(setup.fold, setup.divided, y, estimator._kind)
        facts |= {"baseline": baseline} if baseline else {}
        parts_of_data = {"train": setup.fold.train, "test": setup.fold.test}
        facts["parts"] = {k: part.X.shape[0] for k, part in parts_of_data.items() if part}
        if baseline and estimator._kind == "classifier":
            facts["most_frequent"] = most_frequent(setup.fold.train.y, setup.data.target_names)
    environment = describe_environment(registry, experiment, parts)
    if stored is not None and "directory" in stored.environment:
        environment["directory"] = stored.environment["directory"]  # its relative paths start there
    if stored is not None and stored.params:
        params = stored.params  # those that were given, while the folder's configuration gives all
    elif params is None:
        params = with_varied(flat_params(experiment, estimator), task.varies)
    given = getattr(experiment, "name", None) and experiment.resolved["name"]
    if stored is not None:
        folder = stored.files.folder
    else:
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        folder = (runs / group).absolute() / f"{stamp}-{secrets.token_hex(3)}"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise DbgsomError(f"the run folder cannot be created: {error}") from error
    run = Run(
        id=folder.name,
        name=task.name or given or default_name(experiment, estimator, params),
        experiment=group,
        kind="sweep" if setup is None else "run",
        folder=folder,
        config=experiment.resolved,
        params=params,
        environment=environment,
        data=facts,
        parent=task.parent,
        total_epochs=0 if estimator is None else int(estimator.epochs),
        varies=task.varies,
        tags=experiment.resolved.get("tags") or {},
    )
    if stored is not None:
        check_same(stored, run)
        return run, claim(stored)
    lock = RunLock(folder)
    lock.acquire()
    return run, lock


@contextmanager
def failures_reported(callbacks: Callbacks, run: Run, lock: RunLock) -> Iterator[None]:
    """Report an exception that ends a run, first to the run folder, then to other callbacks."""
    try:
        yield
    except BaseException as error:
        try:
            callbacks.notify_required("dbgsom_run_failed", run=run, error=error)
        except Exception as unwritten:
            log.warning("how it ended could not be written: %s", unwritten)
        lock.remove_unbegun()
        callbacks.notify_others("dbgsom_run_failed", run=run, error=error)
        raise


def notify_finished(callbacks: Callbacks, run: Run, result: RunResult) -> None:
    """Notify the other callbacks of a run that is already finished in its folder."""
    try:
        callbacks.notify_others("dbgsom_run_finished", run=run, result=result)
    except KeyboardInterrupt:
        log.warning(
            "%s had finished and is complete; 'dbgsom sync' updates the trackers",
            run.folder,
        )
        raise


# ----------------------------------------------------------------------- fit, evaluate, measure


def _fit_and_evaluate(
    setup: Setup,
    run: Run,
    evaluator: _Evaluator,
    on_epoch: EpochCallback,
    checkpoint: Checkpoint,
    lock: RunLock,
) -> RunResult:
    experiment, notes = evaluator.experiment, evaluator.notes
    data, fold, estimator = setup.data, setup.fold, setup.estimator
    with warnings_as_notes(notes):
        if experiment.prepare:  # scales are as they are wanted
            warnings.simplefilter("ignore", ScaleWarning)
        folds, held = _cross_validate(setup, evaluator, on_epoch, checkpoint, lock)
        after_epoch = [on_epoch, checkpoint.keep_epoch]
        estimator.set_params(callbacks=after_epoch, checkpoint=checkpoint.of_fit("map"))
        estimator.fit(fold.train.X, fold.train.y)
        estimator.set_params(callbacks=None, checkpoint=None)
        if estimator.stopped_by_:
            ran, kept = estimator.n_iter_, estimator.kept_epoch_
            notes.append(
                f"{on_epoch.stopped_by or estimator.stopped_by_} ended the training after {ran} of "
                f"at most {estimator.history_[-1].epochs} epochs"
                + ("" if kept == ran else f", and the map is that of epoch {kept}")
            )
        on_epoch.begin("measuring")
        notes.extend(describe_sizes(estimator.sizes_tried_, estimator.spreading_factor_))
        trained, some, found = evaluator.evaluate(estimator, fold.train, "train")
        measures = found | summary(folds)
        scored = ("training", trained)
        if held is not None and (tested := held.evaluation(trained, setup.divided)) is not None:
            scored = (HELD_OUT, tested)
        if fold.test is not None:
            tested, _, found = evaluator.evaluate(estimator, fold.test, "test", fold.train)
            measures |= found
            scored = ("test", tested) if tested.y is not None else scored
        if experiment.stability is not None:
            on_epoch.begin("refitting")
        stability = evaluator.stability(estimator, fold.train)
        measures |= {} if stability is None else stability.logged()
        model = FittedModel(fold.steps, estimator, data.columns)
        title, n, total = title_of(run), some.X.shape[0], fold.train.X.shape[0]
        title += f" · {n:,} of {total:,} samples" if n < total else ""
        view = view_of_run(estimator, trained, some, data, fold.steps, title)
        undo = model.undone if fold.steps else None
        view = replace(view, stability=stability, undo=undo, scored=scored)
        view = replace(view, restore=model.restored, raw_names=data.feature_names or ())
        if not guarded(estimator._parts.labeller).needs_target:
            assert trained.predictions is not None
            profile = profile_clusters(model, data, some.rows, some.X, trained.predictions)
            view = replace(view, profile=profile)
        elif some.y is not None and estimator._kind == "classifier" and data.image_shape is None:
            profile = profile_classes(data, some.rows, some.X, some.y, view.class_names)
            view = replace(view, class_profile=profile)
        if experiment.report_by:
            labels, names = all_labels(model, data), view.label_names
            counts = [
                count_groups(column, groups_of(data, column), labels, names)
                for column in experiment.report_by
            ]
            view = replace(view, groups=counts)
        epoch_models = checkpoint.epoch_models(estimator, fold.train.X, fold.train.y)
    return RunResult(
        measures=measures,
        folds=[one.measures for one in folds],
        history=estimator.history_,
        view=view,
        model=model,
        checkpoints={
            epoch: FittedModel(fold.steps, fitted, data.columns)
            for epoch, fitted in epoch_models.items()
        },
        example=data.X[:_EXAMPLE_ROWS],
        tables=tables_of(model, data, view, fold, setup.divided),
        notes=notes,
    )


def _cross_validate(
    setup: Setup,
    evaluator: _Evaluator,
    of_run: EpochCallback,
    checkpoint: Checkpoint,
    lock: RunLock,
) -> tuple[list[FoldMeasures], HeldOut | None]:
    """Return the measures of folds, and their answers where each row has one that is to count."""

    def on_epoch(_: Any) -> None:
        lock.touch()

    experiment = evaluator.experiment
    folds = checkpoint.read_folds(setup.divided)
    held, kind, y = None, setup.estimator._kind, setup.data.y
    if kind != "vq" and y is not None and fold_numbers(len(y), setup.divided) is not None:
        classes = None
        if kind == "classifier":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the fit says it
                classes = encode_classes(y, y, setup.estimator.unlabelled).classes
        held = HeldOut(checkpoint.folder, classes)
        for one in folds:
            held.read(one)
    for number, (train, test) in list(enumerate(setup.divided, start=1))[len(folds) :]:
        of_run.begin(f"fold {number} of {len(setup.divided)}")
        fold = make_fold(experiment, setup.data, train, test)
        checkpoints = checkpoint.of_fit(f"fold-{number}")
        estimator = make_estimator(experiment).set_params(
            callbacks=[on_epoch], checkpoint=checkpoints
        )
        estimator.fit(fold.train.X, fold.train.y)
        assert fold.test is not None
        tested, _, measures = evaluator.evaluate(
            estimator, fold.test, "test", fold.train, of_fold=True
        )
        digest = split_digest(train, test)
        folds.append(FoldMeasures(number, len(train), len(test), digest, measures))
        if held is not None:
            held.add(folds[-1], tested)
        write_text(checkpoint.files.folds, folds_text(folds))
        checkpoints.path.unlink(missing_ok=True)
    return folds, held


@dataclass(frozen=True)
class _Evaluator:
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
        some, seed = subsample(part, self.experiment.seed), self.experiment.seed
        found = estimator.evaluate(
            some.X, y=some.y, predictions=estimator.predict(some.X), seed=seed
        )
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
        if count < n and not of_fold:
            self.notes.append(
                f"{name} measures and figures are from {count} of {n} samples, drawn by the seed: "
                "the data stay where they are; what the model and the tables say is of all"
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

    def stability(self, estimator: Any, part: Part) -> Stability | None:
        settings = self.experiment.stability
        if settings is None:
            return None
        log.info("stability: %d refits", settings.resamples)
        measures = {
            name: _NanOnError(measure)
            for name, measure in self.measures.items()
            if not measure.training_only  # refits measure other samples
        }
        resampling = Resampling(
            n=settings.resamples,
            share=settings.share,
            measures=measures,
            level=settings.level,
            random_state=self.experiment.seed,
            n_jobs=-1,
        )
        return compute_stability(estimator, part.X, part.y, resampling)


class _NanOnError:
    """A measure that is nan where it fails on a refit, without a second note."""

    greater_is_better: ClassVar[bool] = False  # not used

    def __init__(self, measure: Any) -> None:
        self._compute = guarded(measure).compute
        self.bounds = measure.bounds

    def compute(self, evaluation: Evaluation) -> float:
        try:
            return float(self._compute(evaluation))
        except Exception:
            return math.nan


# --------------------------------------------------------------------------------- checkpoints


class Checkpoint:
    """The checkpoints of a run's fits, the measures of its folds, and the maps of some epochs.

    They are in the folder ``checkpoints`` of the run until it has finished, for resuming. A fit is
    saved every ``seconds`` seconds, a map after ``every`` epochs (None: never).
    """

    def __init__(self, files: RunFiles, seconds: float = 0.0, every: int | None = None) -> None:
        self.files, self.folder = files, files.checkpoints
        self._seconds, self._every = seconds, every

    def of_fit(self, name: str) -> Checkpoints:
        """Return a fit's checkpoints, before each of which the journal is flushed to disk."""
        journal = self.files.journal

        def save_journal() -> None:
            if journal.exists():
                to_disk(journal)

        path = self.folder / f"{name}.npz"
        return Checkpoints(path, self._seconds, stays=True, first=save_journal)

    def read_folds(self, divided: Sequence[tuple[Any, Any]]) -> list[FoldMeasures]:
        """Return the measures of the finished folds, whose rows must be those of ``divided``."""
        try:
            folds = parse_folds(self.files.folds.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        now = [split_digest(train, test) for train, test in divided]
        if [fold.split_digest for fold in folds] != now[: len(folds)]:
            cure = "bring the groups back, or start a new run without --resume"
            raise DataError(
                f"{self.files.folder} cannot go on: its folds were of other rows; {cure}"
            )
        return folds

    def _snapshot(self, epoch: int) -> Path:
        return self.folder / "epochs" / f"epoch-{epoch}.npz"

    def keep_epoch(self, epoch: EpochRecord) -> None:
        """Save the map of an epoch, if configured; a callback of the estimator."""
        if self._every and epoch.epoch % self._every == 0:
            Snapshot(self._snapshot(epoch.epoch)).keep(epoch)

    def epoch_models(self, trained: Any, X: Any, y: Any) -> dict[int, Any]:
        """Return a fitted estimator for each saved epoch, except that of the final map."""
        models, end = {}, trained.n_iter_ + 1
        for epoch in range(self._every, end, self._every) if self._every else ():
            path = self._snapshot(epoch)
            if epoch == trained.kept_epoch_ or not path.exists():
                continue
            snapshot = replace(Snapshot(path), history=trained.history_[:epoch])
            estimator = clone(trained).set_params(checkpoint=snapshot)
            if trained.sizes_tried_:  # they are not tried again
                estimator.set_params(spreading_factor=trained.spreading_factor_)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the training itself has warned
                    models[epoch] = estimator.fit(X, y).set_params(checkpoint=None)
                vars(models[epoch]).pop(LEAVES, None)  # a byte a row for each model, in no file
            except Exception as error:  # the map is trained: no reason to lose it
                text = f"no model of epoch {epoch} can be made ({type(error).__name__}: {error})"
                warnings.warn(text, stacklevel=2)
        return models


@dataclass(frozen=True)
class Snapshot(Checkpoints):
    """A finished checkpoint: a fit with it has the map of its epoch, without training.

    Labels, novelty and all other attributes are computed for this map. The caller must give the
    samples and parameters of the training: they are not checked.
    """

    stays: bool = True
    history: Sequence[EpochRecord] = ()  # the epochs up to this one

    def keep(self, epoch: EpochRecord) -> None:
        """Write the map of an epoch; to be called in a callback."""
        state = TrainingState(epoch.som_map, epoch.epochs, [epoch], stopped=BY_CALLBACK)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write({}, {(): state}, None)

    def resume(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        stored = read_checkpoint(self.path)
        if stored is None:
            raise CheckpointError(f"there is no {self.path}")
        state = stored.states[()]
        if self.history:
            state = replace(state, history=list(self.history))
        return Checkpointer({(): state})


def describe_sizes(tried: tuple[SizeTried, ...], chosen: float | None) -> tuple[str, ...]:
    """Return a sentence on the sizes tried and chosen, or none."""
    if not tried:
        return ()
    sizes = ", ".join(f"{size.spreading_factor:g}: {size.loss:.4g}" for size in tried)
    return (
        f"spreading_factor auto is {chosen:g}, the first within one standard error of the least "
        f"loss on held-out samples ({sizes})",
    )
