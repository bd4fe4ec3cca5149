"""One run: load and prepare the data, fit, evaluate, draw, write, notify the callbacks."""

from __future__ import annotations

import logging
import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import clone

from dbgsom_core.config import Experiment, estimator_errors_located
from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.errors import ConfigError, DataError, DbgsomError, ScaleWarning
from dbgsom_core.estimators.archive import NotPlainError, stored_types, to_plain
from dbgsom_core.estimators.checkpoints import Checkpoints, Facts, read_checkpoint
from dbgsom_core.estimators.fitted_map import LEAVES
from dbgsom_core.estimators.parameters import AUTO
from dbgsom_core.estimators.som import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.measuring import default_measures
from dbgsom_core.experiments.models import own_steps
from dbgsom_core.experiments.trackers import FoldMeasures, Run, RunResult
from dbgsom_core.files import to_disk
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data import (
    Division,
    Fold,
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
)
from dbgsom_core.runs.describe import (
    default_name,
    describe_environment,
    digest,
    flat_params,
    title_of,
)
from dbgsom_core.runs.folder import RunFiles, StoredRun, find_folders, read_run, run_lock
from dbgsom_core.runs.profile import (
    count_groups,
    groups_of,
    profile_classes,
    profile_clusters,
    samples_of,
)
from dbgsom_core.runs.results import (
    HELD_OUT,
    Answers,
    Evaluator,
    add_note,
    all_labels,
    answers_of,
    draw_figures,
    fold_numbers,
    held_out,
    sentence_on_errors,
    summary,
    suspects_of,
    tables_of,
    view_of_run,
    warnings_as_notes,
)
from dbgsom_core.runs.session import Callbacks, EpochCallback, run_folder_of, runs_folder
from dbgsom_core.runs.stored_runs import check_same
from dbgsom_core.training.parts import check_start, fit_metric
from dbgsom_core.training.state import Checkpointer, TrainingState, read_state, write_state
from dbgsom_core.training.targets import encode_classes
from dbgsom_core.training.train import BY_CALLBACK

_MOST_OTHERS = 20  # runs and sweeps among which a first run is looked for
_MOST_FIELDS = 4  # of a name

log = logging.getLogger("dbgsom")

_EXAMPLE_ROWS = 3  # in run.json and the signature of the served model
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
        assert result.view is not None
        if experiment.stability == AUTO and result.view.cluster_stability is None:
            figures = [figure for figure in figures if figure[0] != "stability"]
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
        is_unfinished = stored is not None and stored.status != "finished"
        if is_unfinished and read_run(run.folder).status == "finished":
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
    divided: list[Division]  # training and test rows of each fold
    estimator: Any


def prepare(experiment: Experiment, data: Data) -> Prepared:
    """Divide and prepare the data, and build the estimator.

    What would end the run later is found here, before anything is written.
    """
    if experiment.report is not None:
        for column in experiment.report.columns:
            groups_of(data, column)  # which may refuse it
            samples_of(data, column, experiment.report)
    test = load_test(experiment, data)
    fold = final_fold(experiment, data, test)
    divided = divisions(experiment, data)
    check_part(experiment, fold.train.X, fold.train.y, "the part to train on")
    # Folds are prepared in their turn: their raw rows are checked, unless a step fills gaps.
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
            y = np.full(len(data.X), np.nan)  # all rows, so that a message has their numbers
            y[fold.train.rows] = fold.train.y
            with data_errors("the target"):
                estimator._target(parts, data.X, y, False, None)
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
    """Return the estimator of an experiment, not fitted, whose parts can be built."""
    estimator = _ESTIMATORS[experiment.model.estimator](
        **experiment.estimator_params, random_state=experiment.seed, engine=experiment.engine
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
    """Return a run as callbacks see it, with the facts of its data."""
    experiment, data, fold = prepared.experiment, prepared.data, prepared.fold
    facts = facts_of(experiment, data, prepared.test)
    facts["parts"] = {"train": fold.train.X.shape[0]}
    if fold.test is not None:
        facts["parts"]["test"] = fold.test.X.shape[0]
    kind = experiment.model.estimator
    baseline = baselines(fold, prepared.divided, data.y, kind)
    if baseline:
        facts["baseline"] = baseline
        if kind == "classifier":
            facts["most_frequent"] = most_frequent(fold.train.y, data.target_names)
    root = runs_folder(experiment, registry)
    name = name or experiment.resolved["name"]
    if not name and stored is not None:
        name = stored.name
    return new_run(
        experiment,
        registry,
        root,
        stored,
        kind="run",
        name=name or _name_beside_others(experiment, root),
        params=flat_params(experiment.resolved),
        data=facts,
        parent=parent,
        total_epochs=int(prepared.estimator.epochs),
        varies=varies,
    )


def _name_beside_others(experiment: Experiment, root: Path) -> str:
    """Return a run's name by what differs from the experiment's first run, if there is one."""
    usual = default_name(experiment)
    others = map(read_run, find_folders(root, experiment.experiment)[:_MOST_OTHERS])
    runs = [run for run in others if run.kind == "run" and not run.parent and run.started]
    if not runs:
        return usual
    from dbgsom_core.runs.ranking import differences, fields_text

    first = min(runs, key=lambda run: str(run.started))
    fields = differences([first.params, flat_params(experiment.resolved)])[1]
    if not 0 < len(fields) <= _MOST_FIELDS:
        return usual
    return f"{usual.partition(': ')[0]}: {fields_text(fields)}"


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
    experiment, divided = prepared.experiment, prepared.divided
    digests = [digest(train, test)[:12] for train, test in divided]
    checkpoint.check_folds(digests)
    classes = classes_of(prepared)
    for number, (train, test) in enumerate(divided, start=1):
        if number <= len(checkpoint.folds):
            continue
        on_epoch.begin(f"fold {number} of {len(divided)}")
        fold = make_fold(experiment, prepared.data, train, test)
        assert fold.test is not None
        estimator = make_estimator(experiment).fit(fold.train.X, fold.train.y)
        tested, _, measures = evaluator.evaluate(
            estimator, fold.test, "test", fold.train, of_fold=True
        )
        results = FoldMeasures(number, len(train), len(test), digests[number - 1], measures)
        checkpoint.add_fold(results, answers_of(tested, classes))


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
        text = (
            f"{on_epoch.stopped_by or estimator.stopped_by_} ended the training after "
            f"{estimator.n_iter_} of at most {estimator.history_[-1].epochs} epochs"
        )
        if estimator.kept_epoch_ != estimator.n_iter_:
            text += f", and the map is that of epoch {estimator.kept_epoch_}"
        notes.append(text)
    if estimator.sizes_tried_:
        sizes = []
        for size in estimator.sizes_tried_:
            sizes.append(f"{size.spreading_factor:g}: {size.loss:.4g}")
        notes.append(
            f"spreading_factor auto is {estimator.spreading_factor_:g}, the first within one "
            f"standard error of the least loss on held-out samples ({', '.join(sizes)})"
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
    trained, samples, measures = evaluator.evaluate(estimator, fold.train, "train")
    measures |= summary(checkpoint.folds)
    # Figures of answers, such as the confusion matrix, show the rows that are newest to the map.
    scored = ("training", trained)
    scored_rows = data, samples.rows
    predicts = data.y is not None and estimator._kind != "vq"
    if predicts and fold_numbers(len(data.X), divided) is not None:
        tested = held_out(trained, checkpoint.answers, divided, classes_of(prepared))
        if tested is not None:
            scored = (HELD_OUT, tested)
    if fold.test is not None:
        tested, test_part, of_test = evaluator.evaluate(estimator, fold.test, "test", fold.train)
        measures |= of_test
        if tested.y is not None:
            scored = ("test", tested)
            scored_rows = prepared.test or data, test_part.rows
    stability = evaluator.stability(estimator, fold.train, on_epoch)
    if stability is not None:
        measures |= stability.logged()
    cluster_stability = evaluator.cluster_stability(estimator, fold.train, on_epoch)
    if cluster_stability is not None:
        measures |= cluster_stability.logged()
    model = FittedModel(fold.steps, estimator, data.columns)
    n, total = samples.X.shape[0], fold.train.X.shape[0]
    if n < total:
        title += f" · {n:,} of {total:,} samples"
    view = view_of_run(estimator, trained, samples, data, fold.steps, title)
    more: dict[str, Any] = {
        "stability": stability,
        "cluster_stability": cluster_stability,
        "undo": model.undone if fold.steps else None,
        "scored": scored,
        "restore": model.restored,
        "raw_names": data.feature_names or (),
    }
    rows, X, y = samples.rows, samples.X, samples.y
    if not guarded(estimator._parts.labeller).needs_target:
        assert trained.predictions is not None
        more["profile"] = profile_clusters(model, data, rows, X, trained.predictions)
    elif y is not None and estimator._kind == "classifier" and data.image_shape is None:
        more["class_profile"] = profile_classes(data, rows, X, y, view.class_names)
    report = prepared.experiment.report
    if report is not None:
        labels = all_labels(model, data)
        more["groups"] = []
        for column in report.columns:
            groups, parts = groups_of(data, column), samples_of(data, column, report)
            counts = count_groups(column, groups, labels, view.label_names, parts)
            more["groups"].append(counts)
    view = replace(view, **more)
    verdict = ""
    if cluster_stability is not None:
        verdict = cluster_stability.sentence
    elif estimator._kind == "regressor":
        verdict = sentence_on_errors(estimator, *scored, *scored_rows)
    elif hasattr(estimator, "threshold_"):
        positive = view.class_names.get(estimator.positive_, estimator.positive_)
        verdict = f"answers {positive} from a probability of {estimator.threshold_:.3g} on"
    suspects = suspects_of(estimator, scored, data)
    if suspects is not None:
        verdict = "; ".join(filter(None, [verdict, suspects.sentence]))
    of_epochs = {}
    for epoch, fitted in checkpoint.epoch_models(estimator, fold.train.X, fold.train.y).items():
        of_epochs[epoch] = FittedModel(fold.steps, fitted, data.columns)
    return RunResult(
        measures=measures,
        folds=checkpoint.folds,
        history=estimator.history_,
        view=view,
        model=model,
        checkpoints=of_epochs,
        example=data.X[:_EXAMPLE_ROWS],
        tables=tables_of(model, data, view, fold, divided, suspects),
        notes=evaluator.notes,
        verdict=verdict,
    )


# --------------------------------------------------------------------------------- the checkpoint


class RunCheckpoint:
    """State of an unfinished run in ``checkpoint.npz`` of its folder.

    It holds the measures and answers of finished folds, the maps of every ``every``-th epoch (None:
    none), and the state of the training, which is saved every ``seconds``.
    """

    def __init__(self, files: RunFiles, seconds: float = 1.0, every: int | None = None) -> None:
        self._files, self._every = files, every
        self.of_fit = Checkpoints(files.checkpoint, seconds, stays=True, extra=self._extra)
        stored = read_checkpoint(files.checkpoint)
        extra = {} if stored is None else stored.extra
        self._maps: dict[int, TrainingState] = {}  # by epoch
        try:
            self.folds = [FoldMeasures(**fold) for fold in extra.get("folds", [])]
            self.answers: list[Answers] = list(extra.get("answers", []))
            for epoch, state in extra.get("maps", {}).items():
                self._maps[int(epoch)] = read_state(state)
        except Exception as error:  # no list has what a damaged file may hold
            raise DataError(
                f"{files.checkpoint} is damaged ({error}); remove it to train from the beginning"
            ) from error

    def _extra(self) -> Mapping[str, Any]:
        if self._files.journal.exists():  # it must not lack epochs that the checkpoint has
            to_disk(self._files.journal)
        return {
            "folds": [asdict(fold) for fold in self.folds],
            "answers": self.answers,
            "maps": {str(epoch): write_state(state) for epoch, state in self._maps.items()},
        }

    def add_fold(self, fold: FoldMeasures, answers: Answers) -> None:
        self.folds.append(fold)
        self.answers.append(answers)
        self.of_fit.write({}, {})

    def check_folds(self, digests: Sequence[str]) -> None:
        """Raise `DataError` where finished folds were of other rows than those to come."""
        finished = [fold.split_digest for fold in self.folds]
        if finished != list(digests[: len(finished)]):
            raise DataError(
                f"{self._files.folder} cannot go on: its folds were of other rows; bring the "
                "groups back, or start a new run without --resume"
            )

    def keep_epoch(self, epoch: EpochRecord) -> None:
        """Keep the map of an epoch, if configured; a callback of the estimator."""
        if self._every and epoch.epoch % self._every == 0:
            state = TrainingState(epoch.som_map, epoch.epochs, [epoch], stopped=BY_CALLBACK)
            self._maps[epoch.epoch] = state

    def epoch_models(self, trained: Any, X: Any, y: Any) -> dict[int, Any]:
        """Return a fitted estimator for each kept epoch, except that of the final map."""
        models = {}
        for epoch, state in sorted(self._maps.items()):
            if epoch == trained.kept_epoch_:
                continue
            state = replace(state, history=list(trained.history_[:epoch]))
            snapshot = _Snapshot(self._files.checkpoint, state=state)
            estimator = clone(trained).set_params(**trained._chosen_params(), checkpoint=snapshot)
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
class _Snapshot(Checkpoints):
    """A finished checkpoint in memory: a fit with it has the map of its epoch, without training.

    Labels, novelty and all other attributes are computed for this map. The caller must give the
    samples and parameters of the training: they are not checked.
    """

    stays: bool = True
    state: TrainingState | None = None

    def resume(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        assert self.state is not None
        return Checkpointer({(): self.state})
