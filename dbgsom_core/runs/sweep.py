"""Many runs under one parent: what varies names them, the best one speaks for the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbgsom_core.config import Experiment, Sweep
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.privacy import hiding, masked, private_logger
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data import facts_of, load_data
from dbgsom_core.runs.dead import close_if_dead
from dbgsom_core.runs.ends import asked
from dbgsom_core.runs.params import common_params, flat_params
from dbgsom_core.runs.pipeline import (
    Outcome,
    run_experiment,
    tell_finished,
    told_of_failure,
)
from dbgsom_core.runs.ready import make_estimator
from dbgsom_core.runs.resume import check_same_data, finish_off, kept_run
from dbgsom_core.runs.start import runs_folder, start_run
from dbgsom_core.runs.store import StoredRun, find_runs

log = private_logger("dbgsom")

# What decides between children, first found: (measure, greater is better).
_DECIDING = (
    ("test/accuracy", True),
    ("train/accuracy", True),
    ("test/quantization_error", False),
    ("train/quantization_error", False),
)


@dataclass(frozen=True)
class SweepOutcome:
    """A finished sweep: its parent run and result, the finished children, the failed names."""

    run: Run
    result: RunResult
    children: tuple[Outcome, ...]
    failed: tuple[str, ...]


def run_sweep(
    sweep: Sweep, observers: Observers, registry: Registry, stored: StoredRun | None = None
) -> SweepOutcome:
    """Run every child; one that fails is reported and does not stop the others.

    Of a ``stored`` sweep that was interrupted, finished children are kept, and those that have
    begun go on. Every child's parts are built and every data set is loaded once before anything is
    written.

    Raises
    ------
    DbgsomError
        A child's data or parts cannot be used, or every child failed.
    """
    with hiding(*(child.experiment.secrets for child in sweep.children)):
        return _run_all(sweep, observers, registry, stored)


def _run_all(
    sweep: Sweep, observers: Observers, registry: Registry, stored: StoredRun | None
) -> SweepOutcome:
    first = sweep.children[0].experiment
    root = runs_folder(first, registry)
    experiments = [child.experiment for child in sweep.children]
    params = common_params([flat_params(one, make_estimator(one)) for one in experiments])
    before = {} if stored is None else _children_of(stored, root)
    begun_as = [before.get(child.name) for child in sweep.children]
    data = _shared_data(experiments, begun_as)
    varied = dict.fromkeys(key for child in sweep.children for key in child.varies)
    name = f"{len(experiments)} runs: " + " × ".join(key.rpartition(".")[2] for key in varied)
    name = first.resolved["name"] or name
    run = start_run(sweep, registry, name=name, root=root, params=params, stored=stored)
    done: list[Outcome] = []
    failed: dict[str, Exception] = {}
    with told_of_failure(observers, run):
        observers.tell("dbgsom_run_started", run=run)
        for child, begun in zip(sweep.children, begun_as, strict=True):
            if begun is not None and begun.status == "finished":
                finish_off(begun, child.experiment.tracking)
                done.append(Outcome(kept_run(begun, run), RunResult(begun.measures)))
                continue
            try:
                done.append(
                    run_experiment(
                        child.experiment,
                        observers,
                        registry,
                        data=data,
                        parent=run,
                        name=child.name,
                        stored=begun,
                    )
                )
            except Exception as error:
                asked.check()  # it may have failed of that
                log.warning("%s failed (%s: %s)", child.name, type(error).__name__, error)
                failed[child.name] = error
        if not done:
            first_error = next(iter(failed.values()))
            if isinstance(first_error, DbgsomError):
                raise first_error
            told = f"every run of the sweep failed; the first: {first_error}"
            raise DbgsomError(told) from first_error
        result = RunResult(
            measures=best_measures([outcome.result.measures for outcome in done]),
            children=[(outcome.run, outcome.result.measures) for outcome in done],
            notes=[
                *(masked(f"{name} failed: {error}") for name, error in failed.items()),
                *observers.notes,
            ],
        )
        observers.record("dbgsom_run_finished", run=run, result=result)
    tell_finished(observers, run, result)
    return SweepOutcome(run, result, tuple(done), tuple(failed))


def _children_of(stored: StoredRun, root: Path) -> dict[str, StoredRun]:
    # By name; what was interrupted twice has begun once.
    found = find_runs(root, stored.experiment)
    return {one.name: close_if_dead(one) for one in found if one.parent == stored.id}


def best_measures(children: list[Mapping[str, float]]) -> dict[str, float]:
    """Return the best child's measures as ``best/…``: by accuracy, else by quantization error."""
    for name, greater_is_better in _DECIDING:
        rated = [measures for measures in children if name in measures]
        if rated:
            sign = 1 if greater_is_better else -1
            best = max(rated, key=lambda measures: sign * measures[name])
            return {f"best/{key}": value for key, value in best.items()}
    return {}


def _shared_data(experiments: list[Experiment], begun: list[StoredRun | None]) -> Data | None:
    """Load what the children need, so that bad data is told at once; keep what all share.

    Those that have begun are held against the data that they began with.
    """
    loaded: list[tuple[Experiment, Data]] = []
    for experiment, stored in zip(experiments, begun, strict=True):
        same = [data for one, data in loaded if _same_data(experiment, one)]
        data = same[0] if same else load_data(experiment)
        if not same:
            loaded.append((experiment, data))
        if stored is not None:
            check_same_data(stored, facts_of(experiment, data))
    return loaded[0][1] if len(loaded) == 1 else None


def _same_data(one: Experiment, other: Experiment) -> bool:
    same_set = (one.dataset_name, one.dataset) == (other.dataset_name, other.dataset)
    return same_set and one.model.estimator == other.model.estimator
