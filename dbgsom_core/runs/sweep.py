"""Many runs under one parent: what varies names them, the best one speaks for the sweep."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from dbgsom_core.config import Experiment, Sweep
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.ends import asked
from dbgsom_core.runs.params import common_params, flat_params
from dbgsom_core.runs.pipeline import (
    Outcome,
    make_estimator,
    run_experiment,
    tell_finished,
    told_of_failure,
)
from dbgsom_core.runs.start import runs_folder, start_run

log = logging.getLogger("dbgsom")

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


def run_sweep(sweep: Sweep, observers: Observers, registry: Registry) -> SweepOutcome:
    """Run every child; one that fails is reported and does not stop the others.

    Every child's parts are built and every data set is loaded once before anything is written.

    Raises
    ------
    DbgsomError
        A child's data or parts cannot be used, or every child failed.
    """
    first = sweep.children[0].experiment
    root = runs_folder(first, registry)
    experiments = [child.experiment for child in sweep.children]
    params = common_params([flat_params(one, make_estimator(one)) for one in experiments])
    data = _shared_data(experiments)
    varied = dict.fromkeys(key for child in sweep.children for key in child.varies)
    name = f"{len(experiments)} runs: " + " × ".join(key.rpartition(".")[2] for key in varied)
    run = start_run(sweep, registry, name=name, root=root, params=params)
    done: list[Outcome] = []
    failed: dict[str, Exception] = {}
    with told_of_failure(observers, run):
        observers.tell("dbgsom_run_started", run=run)
        for child in sweep.children:
            try:
                done.append(
                    run_experiment(
                        child.experiment,
                        observers,
                        registry,
                        data=data,
                        parent=run,
                        name=child.name,
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
                *(f"{name} failed: {error}" for name, error in failed.items()),
                *observers.notes,
            ],
        )
        observers.record("dbgsom_run_finished", run=run, result=result)
    tell_finished(observers, run, result)
    return SweepOutcome(run, result, tuple(done), tuple(failed))


def best_measures(children: list[Mapping[str, float]]) -> dict[str, float]:
    """Return the best child's measures as ``best/…``: by accuracy, else by quantization error."""
    for name, greater_is_better in _DECIDING:
        rated = [measures for measures in children if name in measures]
        if rated:
            sign = 1 if greater_is_better else -1
            best = max(rated, key=lambda measures: sign * measures[name])
            return {f"best/{key}": value for key, value in best.items()}
    return {}


def _shared_data(experiments: list[Experiment]) -> Data | None:
    """Load what the children need, so that bad data is told at once; keep what all share."""
    loaded = [
        load_data(experiment)
        for at, experiment in enumerate(experiments)
        if not any(_same_data(experiment, before) for before in experiments[:at])
    ]
    return loaded[0] if len(loaded) == 1 else None


def _same_data(one: Experiment, other: Experiment) -> bool:
    same_set = (one.dataset_name, one.dataset) == (other.dataset_name, other.dataset)
    return same_set and one.model.estimator == other.model.estimator
