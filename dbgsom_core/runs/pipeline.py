"""One run: load, prepare, fit, measure, draw, tell the observers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dbgsom_core.config import Experiment
from dbgsom_core.estimators.measuring import default_measures, value_of
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.estimators.sizing import size_told
from dbgsom_core.estimators.stability import stability_of
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import FigureAbilities, MapView
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.privacy import hiding, mask_error, masked, private_logger
from dbgsom_core.interfaces.stability import Stability
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data.baseline import baselines
from dbgsom_core.runs.data.drawn import drawn_part, drawn_told, evaluated
from dbgsom_core.runs.data.loading import Fold, Part, make_fold
from dbgsom_core.runs.data.ready import make_estimator, make_ready
from dbgsom_core.runs.data.splitting import Rows
from dbgsom_core.runs.drawing import drawn, note, noted, view_of_run
from dbgsom_core.runs.ends import asked
from dbgsom_core.runs.folder.dead import seen_alive
from dbgsom_core.runs.folder.folds import FoldMeasures, digest_of_rows, summary
from dbgsom_core.runs.folder.store import RunFiles, StoredRun
from dbgsom_core.runs.hearing import Heard
from dbgsom_core.runs.params import title_of
from dbgsom_core.runs.resume import Done
from dbgsom_core.runs.rows import tables_of
from dbgsom_core.runs.start import start_run
from dbgsom_core.runs.tracking import run_folder_of

log = private_logger("dbgsom")

_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Outcome:
    """A finished run and its result."""

    run: Run
    result: RunResult


def run_experiment(
    experiment: Experiment,
    observers: Observers,
    registry: Registry,
    *,
    data: Data | None = None,
    data_notes: Sequence[str] = (),
    parent: Run | None = None,
    name: str | None = None,
    varies: Mapping[str, Any] | None = None,
    stored: StoredRun | None = None,
) -> Outcome:
    """Run one experiment, or go on with a ``stored`` run of it that was interrupted.

    A child of a sweep has a ``parent``, a ``name``, and what it ``varies``. ``data`` that is there
    already comes with what was noted when it was loaded.
    Nothing is written before the data is loaded, checked and prepared and the estimator's parts
    are built. From then on observers hear how it ends, whatever ends it.

    Raises
    ------
    DataError
        The data cannot be used.
    ConfigError, PluginError
        The parts do not fit together or cannot be had.
    ConfigError, DataError
        The stored run had another configuration, other components or other data.
    DbgsomError
        The run folder cannot be written.
    Interrupted
        The process was asked to end, see `dbgsom_core.runs.ends`.
    """
    with hiding(experiment.secrets):
        plan = _planned(experiment, registry, data, data_notes)
        run = start_run(
            experiment,
            registry,
            data=plan.data,
            test=plan.test,
            estimator=plan.estimator,
            baseline=plan.baseline(),
            parent=parent,
            name=name,
            varies=varies,
            stored=stored,
        )
        kept = run_folder_of(experiment.tracking, registry)
        done = Done(RunFiles(run.folder), kept.checkpoint_seconds, kept.checkpoint_models)
        with told_of_failure(observers, run):
            observers.tell("dbgsom_run_started", run=run)
            asked.check()
            result = _result(plan, run, Heard(observers, run), done)
            observers.keep(run, result)
            figures = _drawn(experiment, result.view, plan.notes)
            result = replace(result, figures=figures, notes=[*plan.notes, *observers.notes])
            observers.record("dbgsom_run_finished", run=run, result=result)
        done.forget()
        tell_finished(observers, run, result)
        return Outcome(run, result)


@dataclass(frozen=True)
class _Plan:
    """What one run is to do, checked before anything is written; ``notes`` grow meanwhile."""

    experiment: Experiment
    data: Data
    test: Data | None
    fold: Fold
    divided: list[tuple[Rows, Rows]]
    estimator: Any
    measures: Mapping[str, Component]
    notes: list[str]

    def baseline(self) -> Mapping[str, float] | None:
        """Return what always the most frequent class, or the mean, would measure; or None."""
        y, kind = self.data.y, self.experiment.model.estimator
        if y is None or kind not in ("classifier", "regressor"):
            return None
        return baselines(self.fold, self.divided, y, kind == "classifier")


def _planned(
    experiment: Experiment, registry: Registry, data: Data | None, data_notes: Sequence[str]
) -> _Plan:
    notes = [*data_notes]
    with noted(notes):
        ready = make_ready(experiment, data)
    measures = _chosen_measures(experiment, registry, ready.data)
    asked.check()
    return _Plan(
        experiment, ready.data, ready.test, ready.fold, ready.divided, ready.estimator, measures,
        notes,
    )  # fmt: skip


@contextmanager
def told_of_failure(observers: Observers, run: Run) -> Iterator[None]:
    """Tell observers what ended a run, whatever it was; the run folder before all others."""

    def close(error: BaseException) -> None:
        mask_error(error)
        with asked.shielded():
            try:
                observers.record("dbgsom_run_failed", run=run, error=error)
            except Exception as unwritten:
                log.warning("how it ended could not be written: %s", unwritten)
            with suppress(OSError):  # a run that could not even begin leaves no empty folder
                run.folder.rmdir()

    with asked.closing(close), seen_alive(RunFiles(run.folder).status):
        try:
            yield
        except BaseException as error:
            reason = asked.reason(error)
            close(reason)
            observers.spread("dbgsom_run_failed", run=run, error=reason)
            if reason is error:
                raise
            raise reason from error


def tell_finished(observers: Observers, run: Run, result: RunResult) -> None:
    """Tell the others of a run that the run folder has as finished: so it stays."""
    try:
        observers.spread("dbgsom_run_finished", run=run, result=result)
        asked.check()
    except KeyboardInterrupt:
        log.warning(
            "%s had finished and is complete; 'dbgsom sync' sends to trackers what they miss",
            run.folder,
        )
        raise


def _result(plan: _Plan, run: Run, heard: Heard, done: Done) -> RunResult:
    estimator, fold = plan.estimator, plan.fold
    with noted(plan.notes):
        folds = _cross_validated(plan, done)
        models = done.epoch_models()
        film = done.film(any(name == "explorer" for name, _ in plan.experiment.figures))
        estimator.set_params(callbacks=[heard, models, *film], checkpoint=done.checkpoints("map"))
        estimator.fit(fold.train.X, fold.train.y)
        estimator.set_params(callbacks=None, checkpoint=None)
        plan.notes.extend(map(masked, heard.end_told(estimator)))
        plan.notes.extend(size_told(estimator.sizes_tried_, estimator.spreading_factor_))
        part = _looked_at(plan, fold.train, "train")
        seed = plan.experiment.seed
        trained = evaluated(estimator, part, fold.train, seed, estimator.hit_counts_)
        values = _measured(plan, trained, "train") | summary(folds)
        if fold.test is not None:
            tested = _looked_at(plan, fold.test, "test")
            values |= _measured(plan, evaluated(estimator, tested, fold.test, seed), "test")
        stability = _stability(plan, estimator)
        values |= {} if stability is None else stability.logged()
        model = FittedModel(fold.steps, estimator, plan.data.columns)
        title = _title(run, part, fold.train)
        view = view_of_run(estimator, trained, part, plan.data, fold.steps, title)
        view = replace(view, stability=stability, undo=model.undone if fold.steps else None)
        view = replace(view, film=film[0].frames) if film else view
        earlier = models.made(estimator, fold.train.X, fold.train.y)
    return RunResult(
        measures=values,
        folds=[one.measures for one in folds],
        history=estimator.history_,
        view=view,
        model=model,
        checkpoints={
            epoch: FittedModel(fold.steps, one, plan.data.columns) for epoch, one in earlier.items()
        },
        example=plan.data.X[:_EXAMPLE_ROWS],
        tables=tables_of(model, plan.data, stability),
        notes=plan.notes,
    )


def _cross_validated(plan: _Plan, done: Done) -> list[FoldMeasures]:
    folds = done.folds(plan.divided)
    for number, (train, test) in list(enumerate(plan.divided, start=1))[len(folds) :]:
        log.info("fold %d of %d", number, len(plan.divided))
        fold = make_fold(plan.experiment, plan.data, train, test)
        estimator = make_estimator(plan.experiment).set_params(
            callbacks=[lambda _: asked.check()], checkpoint=done.checkpoints(f"fold-{number}")
        )
        estimator.fit(fold.train.X, fold.train.y)
        assert fold.test is not None
        seed = plan.experiment.seed
        found = evaluated(estimator, drawn_part(fold.test, seed), fold.test, seed)
        measures = _measured(plan, found, "test", noted=False)
        rows = digest_of_rows(train, test)
        folds.append(FoldMeasures(number, len(train), len(test), rows, measures))
        done.keep_folds(folds)
    return folds


def _chosen_measures(
    experiment: Experiment, registry: Registry, data: Data
) -> dict[str, Component]:
    if experiment.measures is not None:
        return dict(experiment.measures)
    return default_measures(registry, experiment.model.estimator, data.y is not None)


def _looked_at(plan: _Plan, part: Part, name: str) -> Part:
    some = drawn_part(part, plan.experiment.seed)
    plan.notes.extend(drawn_told(name, part, some))
    return some


def _title(run: Run, part: Part, whole: Part) -> str:
    # Figures say themselves when they show but some of the samples.
    n, all_of_them = part.X.shape[0], whole.X.shape[0]
    return title_of(run) + (f" · {n:,} of {all_of_them:,} samples" if n < all_of_them else "")


def _measured(
    plan: _Plan, evaluation: Evaluation, prefix: str, *, noted: bool = True
) -> dict[str, float]:
    values = {}
    for name, measure in plan.measures.items():
        try:
            values[f"{prefix}/{name}"], told = value_of(measure, evaluation)
            if told and noted:
                plan.notes.append(masked(f"{prefix}/{name}: {told}"))
        except Exception as error:  # the map is trained: one measure less is no reason to lose it
            told = f"measure {prefix}/{name} failed ({type(error).__name__}: {error})"
            if masked(told) not in plan.notes:  # a fold more of the same
                note(plan.notes, told)
        asked.check()
    return values


class _Forgiving:
    """A measure whose failure on a refit, which it has told of before, is no number."""

    greater_is_better: ClassVar[bool] = False  # nobody asks

    def __init__(self, measure: Component) -> None:
        self._compute = guarded("measure", measure, "compute")

    def compute(self, evaluation: Evaluation) -> float:
        try:
            return float(self._compute(evaluation))
        except Exception:
            return math.nan


def _stability(plan: _Plan, estimator: Any) -> Stability | None:
    asked_for, part = plan.experiment.stability, plan.fold.train
    if asked_for is None:
        return None
    log.info("stability: %d refits", asked_for.resamples)
    return stability_of(
        estimator,
        part.X,
        part.y,
        asked_for.resamples,
        asked_for.share,
        {name: _Forgiving(measure) for name, measure in plan.measures.items()},
        asked_for.level,
        plan.experiment.seed,
        -1,
        lambda _: asked.check(),
    )


def _drawn(experiment: Experiment, view: MapView | None, notes: list[str]) -> dict[str, Any]:
    figures = [one for one in experiment.figures if not FigureAbilities.of(one[1]).of_sweeps]
    return drawn(figures, view, experiment.patience, notes)
