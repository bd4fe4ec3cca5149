"""One run: load and prepare the data, fit, evaluate, draw, write, call the callbacks."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from dbgsom_core.config import Experiment, estimator_errors_located
from dbgsom_core.config.components import fills_gaps
from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.estimators.allow_list import NotPlainError, stored_types, to_plain
from dbgsom_core.estimators.classifier import SomClassifier
from dbgsom_core.estimators.clustering import SomVQ
from dbgsom_core.estimators.measuring import default_measures, value_of
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.estimators.regressor import SomRegressor
from dbgsom_core.estimators.sizing import describe_sizes
from dbgsom_core.estimators.stability import stability_of
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import FigureAbilities
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, Stability
from dbgsom_core.interfaces.privacy import private_logger, redact_error, redaction
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.callbacks import Callbacks
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.assignments import tables_of
from dbgsom_core.runs.callbacks import EpochCallback, run_folder_of, runs_folder
from dbgsom_core.runs.checkpoint import Checkpoint
from dbgsom_core.runs.data import check_part, facts_of, load_data, load_test
from dbgsom_core.runs.figures import add_note, draw_figures, view_of_run, warnings_as_notes
from dbgsom_core.runs.find import RunLock, mark_killed_runs
from dbgsom_core.runs.folder import RunFiles, StoredRun
from dbgsom_core.runs.folds import FoldMeasures, digest_of_rows, summary
from dbgsom_core.runs.manifest import (
    default_name,
    describe_environment,
    flat_params,
    title_of,
    with_varied,
)
from dbgsom_core.runs.resume import check_same, claim
from dbgsom_core.runs.signals import shutdown
from dbgsom_core.runs.split import (
    Fold,
    Part,
    Rows,
    baselines,
    divisions,
    evaluate_part,
    final_fold,
    make_fold,
    subsample,
)
from dbgsom_core.training.parts import fitted, why_no_start

log = private_logger("dbgsom")

_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Outcome:
    """A finished run and its result."""

    run: Run
    result: RunResult


def run_experiment(
    experiment: Experiment,
    callbacks: Callbacks,
    registry: Registry,
    *,
    data: Data | None = None,
    data_notes: Sequence[str] = (),
    parent: Run | None = None,
    name: str | None = None,
    varies: Mapping[str, Any] | None = None,
    stored: StoredRun | None = None,
) -> Outcome:
    """Run one experiment, or resume a ``stored`` run of it that was interrupted.

    A child of a sweep has a ``parent``, a ``name``, and what it ``varies``. ``data`` that is loaded
    already comes with what was noted when it was loaded.

    Nothing is written before the data is loaded, checked and prepared and the estimator's parts
    are built: `ConfigError`, `DataError` and `PluginError` come first. From then on callbacks are
    called however it ends: with `DbgsomError` where the run folder cannot be written, with
    `Interrupted` where a signal asked the process to end.
    """
    with redaction(experiment.secrets):
        notes = [*data_notes]
        with warnings_as_notes(notes):
            setup = prepare_run(experiment, data)
        measures = dict(experiment.measures or ())
        if experiment.measures is None:
            kind, labelled = experiment.model.estimator, setup.data.y is not None
            measures = dict(default_measures(registry, kind, labelled))
        shutdown.check()
        run, lock = start_run(
            experiment,
            registry,
            setup=setup,
            parent=parent,
            name=name,
            varies=varies,
            stored=stored,
        )
        folder = run_folder_of(experiment.tracking, registry)
        checkpoint = Checkpoint(
            RunFiles(run.folder), folder.checkpoint_seconds, folder.checkpoint_models
        )
        with lock:
            with failures_reported(callbacks, run, lock):
                callbacks.notify("dbgsom_run_started", run=run)
                shutdown.check()
                evaluator = _Evaluator(experiment, measures, notes)
                on_epoch = EpochCallback(callbacks, run, lock.touch)
                result = _fit_and_evaluate(setup, run, evaluator, on_epoch, checkpoint, lock)
                callbacks.keep(run, result)
                own = [
                    one for one in experiment.figures if not FigureAbilities.of(one[1]).of_sweeps
                ]
                figures = draw_figures(own, result.view, notes)
                result = replace(result, figures=figures, notes=[*notes, *callbacks.notes])
                callbacks.notify_required("dbgsom_run_finished", run=run, result=result)
            checkpoint.remove()
            notify_finished(callbacks, run, result)
        return Outcome(run, result)


# ---------------------------------------------------------------- what comes before the folder

_ESTIMATORS: dict[str, Any] = {
    "vq": SomVQ,
    "classifier": SomClassifier,
    "regressor": SomRegressor,
}


@dataclass(frozen=True)
class Setup:
    """What a run trains, and on what."""

    data: Data
    test: Data | None  # what is kept for testing as a data set of its own
    fold: Fold  # what the model that is kept is trained on
    divided: list[tuple[Rows, Rows]]  # the rows to train and to test on of each fold
    estimator: Any  # unfitted

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
        make_estimator(experiment)._checked(fold.train.X, parts, reset=True)
        metric = fitted(parts.metric, fold.train.X)
        samples = parts.over(fold.train.X, metric.abilities)
        samples.check_varies()
        misfit = why_no_start(parts.init, parts.growth, samples.X.shape[1])
        if misfit is not None:
            raise ValueError(misfit)
    for name, step in fold.steps:
        try:
            to_plain(step, {}, name, stored_types())
        except NotPlainError as error:
            raise ConfigError(
                f"prepare step '{name}' cannot be saved with the model without pickle ({error})"
            ) from error
    return Setup(data, test, fold, divided, estimator)


def make_estimator(experiment: Experiment) -> Any:
    """Return the unfitted estimator that a Python user would write for this experiment."""
    estimator = _ESTIMATORS[experiment.model.estimator](
        **experiment.model.params, random_state=experiment.seed, engine=experiment.engine
    )
    with estimator_errors_located(experiment):
        estimator.parts()
    return estimator


# ---------------------------------------------------------------------------- begin and end


def start_run(
    experiment: Any,
    registry: Registry,
    *,
    setup: Setup | None = None,
    parent: Run | None = None,
    name: str | None = None,
    root: Path | None = None,
    params: Mapping[str, Any] | None = None,
    varies: Mapping[str, Any] | None = None,
    stored: StoredRun | None = None,
) -> tuple[Run, RunLock]:
    """Return what a run is (a sweep without ``setup``), and the lock of its folder, which is held.

    A ``stored`` run keeps its folder, must be the same in all that its result depends on, and goes
    on in this process alone. Runs of the same experiment whose process died are marked as killed.
    """
    group = experiment.experiment
    runs = runs_folder(experiment, registry) if root is None else root
    for dead in mark_killed_runs(runs, group):
        log.warning("closed as killed: %s: %s", dead.files.folder, dead.error)
    estimator = None if setup is None else setup.estimator
    facts: dict[str, Any] = {}
    if setup is not None:
        facts = facts_of(experiment, setup.data, setup.test)
        if baseline := setup.baseline():
            facts["baseline"] = baseline
    parts = None if estimator is None else estimator.parts()
    environment = describe_environment(registry, experiment, parts)
    if stored is not None and "directory" in stored.environment:
        environment["directory"] = stored.environment["directory"]  # its relative paths start there
    if stored is not None and stored.params:
        params = stored.params  # those that were given, while the folder's configuration gives all
    elif params is None:
        params = with_varied(flat_params(experiment, estimator), varies or {})
    given = getattr(experiment, "name", None) and experiment.resolved["name"]
    folder = _new_folder(runs / group) if stored is None else stored.files.folder
    run = Run(
        id=folder.name,
        name=name or given or default_name(experiment, estimator, params),
        experiment=group,
        kind="sweep" if setup is None else "run",
        folder=folder,
        config=experiment.resolved,
        params=params,
        environment=environment,
        data=facts,
        parent=parent,
        total_epochs=0 if estimator is None else int(estimator.epochs),
        varies=varies or {},
        tags=experiment.resolved.get("tags") or {},
    )
    if stored is not None:
        check_same(stored, run)
        return run, claim(stored)
    lock = RunLock(folder)
    lock.acquire()
    return run, lock


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


@contextmanager
def failures_reported(callbacks: Callbacks, run: Run, lock: RunLock) -> Iterator[None]:
    """Report what ends a run early, whatever it is, to the run folder before all others."""
    try:
        yield
    except BaseException as error:
        cause = shutdown.cause(error)
        redact_error(cause)
        with shutdown.deferred():
            try:
                callbacks.notify_required("dbgsom_run_failed", run=run, error=cause)
            except Exception as unwritten:
                log.warning("how it ended could not be written: %s", unwritten)
            lock.remove_unused()
        callbacks.notify_others("dbgsom_run_failed", run=run, error=cause)
        if cause is error:
            raise
        raise cause from error


def notify_finished(callbacks: Callbacks, run: Run, result: RunResult) -> None:
    """Call the other callbacks of a run that the run folder has as finished: so it stays."""
    try:
        callbacks.notify_others("dbgsom_run_finished", run=run, result=result)
        shutdown.check()
    except KeyboardInterrupt:
        log.warning(
            "%s had finished and is complete; 'dbgsom sync' sends to trackers what they miss",
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
        folds = _cross_validate(setup, evaluator, checkpoint, lock)
        explored = any(name == "explorer" for name, _ in experiment.figures)
        film = checkpoint.film() if explored else None
        after_epoch = [on_epoch, checkpoint.keep_epoch, *([film] if film else [])]
        estimator.set_params(callbacks=after_epoch, checkpoint=checkpoint.of_fit("map"))
        estimator.fit(fold.train.X, fold.train.y)
        estimator.set_params(callbacks=None, checkpoint=None)
        notes.extend(on_epoch.early_end(estimator))
        notes.extend(describe_sizes(estimator.sizes_tried_, estimator.spreading_factor_))
        some = evaluator.subsample(fold.train, "train")
        trained = evaluate_part(estimator, some, fold.train, experiment.seed, estimator.hit_counts_)
        measures = evaluator.measure(trained, "train") | summary(folds)
        if fold.test is not None:
            tested = evaluator.subsample(fold.test, "test")
            evaluation = evaluate_part(estimator, tested, fold.test, experiment.seed)
            measures |= evaluator.measure(evaluation, "test")
        stability = evaluator.stability(estimator, fold.train)
        measures |= {} if stability is None else stability.logged()
        model = FittedModel(fold.steps, estimator, data.columns)
        title, n, total = title_of(run), some.X.shape[0], fold.train.X.shape[0]
        title += f" · {n:,} of {total:,} samples" if n < total else ""
        view = view_of_run(estimator, trained, some, data, fold.steps, title)
        view = replace(view, stability=stability, undo=model.undone if fold.steps else None)
        view = replace(view, film=film.frames) if film else view
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
        tables=tables_of(model, data, stability),
        notes=notes,
    )


def _cross_validate(
    setup: Setup, evaluator: _Evaluator, checkpoint: Checkpoint, lock: RunLock
) -> list[FoldMeasures]:
    def on_epoch(_: Any) -> None:
        lock.touch()
        shutdown.check()

    experiment, seed = evaluator.experiment, evaluator.experiment.seed
    folds = checkpoint.read_folds(setup.divided)
    for number, (train, test) in list(enumerate(setup.divided, start=1))[len(folds) :]:
        log.info("fold %d of %d", number, len(setup.divided))
        fold = make_fold(experiment, setup.data, train, test)
        estimator = make_estimator(experiment).set_params(
            callbacks=[on_epoch], checkpoint=checkpoint.of_fit(f"fold-{number}")
        )
        estimator.fit(fold.train.X, fold.train.y)
        assert fold.test is not None
        evaluation = evaluate_part(estimator, subsample(fold.test, seed), fold.test, seed)
        measures = evaluator.measure(evaluation, "test", of_fold=True)
        rows = digest_of_rows(train, test)
        folds.append(FoldMeasures(number, len(train), len(test), rows, measures))
        checkpoint.write_folds(folds)
    return folds


@dataclass(frozen=True)
class _Evaluator:
    """Measures the maps of one experiment; what fails is a note, and no reason to lose a map."""

    experiment: Experiment
    measures: Mapping[str, Component]
    notes: list[str]

    def subsample(self, part: Part, name: str) -> Part:
        """Return the samples of a part that measures and figures use."""
        some = subsample(part, self.experiment.seed)
        if len(some.X) < len(part.X):
            self.notes.append(
                f"{name} measures and figures are from {len(some.X)} of {len(part.X)} samples, "
                "drawn by the seed: the data are read in blocks; what the model and the tables say "
                "is of all"
            )
        return some

    def measure(
        self, evaluation: Evaluation, part: str, *, of_fold: bool = False
    ) -> dict[str, float]:
        """Return the measures of a part, by their logged names."""
        values = {}
        for name, measure in self.measures.items():
            try:
                values[f"{part}/{name}"], remark = value_of(measure, evaluation)
                if remark and not of_fold:
                    self.notes.append(f"{part}/{name}: {remark}")
            except Exception as error:
                text = f"measure {part}/{name} failed ({type(error).__name__}: {error})"
                if text not in self.notes:  # a fold more of the same
                    add_note(self.notes, text)
            shutdown.check()
        return values

    def stability(self, estimator: Any, part: Part) -> Stability | None:
        """Return how stable the map is under resampling, where that is configured."""
        settings = self.experiment.stability
        if settings is None:
            return None
        log.info("stability: %d refits", settings.resamples)
        return stability_of(
            estimator,
            part.X,
            part.y,
            settings.resamples,
            settings.share,
            {name: _NanOnError(measure) for name, measure in self.measures.items()},
            settings.level,
            self.experiment.seed,
            -1,
            lambda _: shutdown.check(),
        )


class _NanOnError:
    """A measure that is nan where it fails on a refit: its failure on the map is a note already."""

    greater_is_better: ClassVar[bool] = False  # not used

    def __init__(self, measure: Component) -> None:
        self._compute = guarded("measure", measure, "compute")

    def compute(self, evaluation: Evaluation) -> float:
        try:
            return float(self._compute(evaluation))
        except Exception:
            return math.nan
