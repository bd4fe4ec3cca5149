"""Dry runs: data, time, memory and files of a run or a sweep, without writing anything."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import numpy as np

from dbgsom_core.config import Experiment, Sweep, shortened
from dbgsom_core.estimators.components import AUTO
from dbgsom_core.estimators.planning import SIZING, Plan, estimate_fit, format_seconds, format_size
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.current import active_registry
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import run_folder_of, runs_folder
from dbgsom_core.runs.data import load_data, same_data
from dbgsom_core.runs.manifest import default_name, flat_params
from dbgsom_core.runs.pipeline import Setup, prepare_run
from dbgsom_core.runs.ranking import data_name
from dbgsom_core.runs.sweep import optuna

_NOT_COUNTED = "; training alone: loading, measures, figures and trackers come on top"

Line = tuple[str, str]  # a name and words


def forecast(
    experiment: Experiment, registry: Registry, data: Data | None = None
) -> tuple[list[Line], Plan]:
    """Load and prepare the data, train for some seconds, and estimate the run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        setup = prepare_run(experiment, data)
        loaded = time.perf_counter() - started
        estimator, train = setup.estimator, setup.fold.train
        named = (
            f"{kind} {active_registry().name_of(kind, part)}"
            for _, kind, part in estimator.parts().each()
        )
        fits = 1 + len(setup.divided)
        plan = estimate_fit(estimator, train.X, train.y, seed=experiment.seed, fits=fits)
        name = experiment.resolved["name"] or default_name(
            experiment, estimator, flat_params(experiment, estimator)
        )
        several = f", {_folds(setup)} and the final fit" if setup.divided else ""
        if estimator.spreading_factor == AUTO:
            several += f", {SIZING} times that of one size, as spreading_factor: auto may take"
        lines = [
            *_data_lines(experiment, setup, loaded),
            ("name", name),
            ("parts", ", ".join([f"estimator {experiment.model.estimator}", *named])),
            *plan.lines(several, _NOT_COUNTED),
            *_output_lines(experiment, registry, len(setup.data.X)),
        ]
    return lines, plan


def forecast_sweep(sweep: Sweep, registry: Registry, jobs: int = 1) -> list[Line]:
    if sweep.optimization is not None:
        optuna()
    loaded: list[tuple[Experiment, Data]] = []
    for child in sweep.children:
        if not any(same_data(child.experiment, one) for one, _ in loaded):
            loaded.append((child.experiment, load_data(child.experiment)))
    lines, plan = forecast(loaded[0][0], registry, loaded[0][1])
    jobs, (least, most) = min(jobs, sweep.runs), plan.seconds
    rounds = sweep.runs / jobs
    time = f"about {format_seconds(least * rounds)}"
    if most is None:
        time = f"at least {time}, more if maps go on growing"
    elif most >= 1.5 * least:
        time += f" to {format_seconds(most * rounds)}"
    kind = "" if sweep.optimization is None else ", chosen by a search"
    seeds = "" if sweep.seeds == 1 else f", {sweep.seeds} seeds each"
    beside = f", {jobs} beside each other" if jobs > 1 else ", one after the other"
    values: dict[str, dict[str, None]] = {}
    for child in sweep.children:
        for key, value in child.varies.items():
            values.setdefault(key.removesuffix(".name"), {})[str(value)] = None
    short = shortened(list(values))
    return [
        ("sweep", f"{sweep.runs} run{'s' * (sweep.runs != 1)}{kind}{seeds}{beside}"),
        *[("varies", f"{short[key]}: {', '.join(several)}") for key, several in values.items()],
        ("training", f"{time} in all, if each is as the first run{_NOT_COUNTED}"),
        ("", "the first run:"),
        *lines,
    ]


def _data_lines(experiment: Experiment, setup: Setup, loaded: float) -> Iterator[Line]:
    X, y, regresses = setup.data.X, setup.data.y, experiment.model.estimator == "regressor"
    name = data_name(experiment.resolved, {"name": experiment.dataset_name})
    text = f"{name}: {len(X)} × {X.shape[1]} {X.dtype}, {format_size(X.nbytes)}"
    if y is not None:
        text += f", targets {y.dtype}" if regresses else f", {len(np.unique(y))} classes"
    yield "data", f"{text}; ready in {format_seconds(loaded)}"
    train, test = setup.fold.train.X, setup.fold.test
    if steps := ", ".join(name for name, _ in setup.fold.steps):
        yield "prepare", f"{steps}: {train.shape[1]} features, {train.dtype}"
    if test is not None:
        yield "split", f"{len(train)} rows to train on, {len(test.X)} to test"
    elif setup.divided:
        ranges = []
        for rows in zip(*setup.divided, strict=True):
            sizes = sorted({*map(len, rows)})
            ranges.append(" to ".join(map(str, dict.fromkeys([sizes[0], sizes[-1]]))))
        sizes_text = f"{ranges[0]} rows to train on, {ranges[1]} to test"
        yield "split", f"{_folds(setup)}, {sizes_text} in each; the model is of all rows"


def _folds(setup: Setup) -> str:
    count = len(setup.divided)
    return "1 division" if count == 1 else f"{count} folds"


def _output_lines(experiment: Experiment, registry: Registry, n_samples: int) -> Iterator[Line]:
    suited = f"those that suit {experiment.model.estimator}"
    for what, named in (("measures", experiment.measures), ("figures", experiment.figures)):
        names = ", ".join(name for name, _ in named or ())
        yield what, suited if named is None else names or "none"
    folder = runs_folder(experiment, registry).absolute() / experiment.experiment
    assigned = run_folder_of(experiment.tracking, registry).assigns(n_samples)
    assignments = "assignments.csv, " if assigned else ""
    yield (
        "writes",
        f"{folder}/<time>: config.yaml, run.json, environment.json, metrics.jsonl, measures.json, "
        f"model.npz, {assignments}neurons.csv, report.md, report.html, figures/",
    )
    for section in experiment.resolved["tracking"]:
        if section["name"] != "run_folder":
            given = {key: value for key, value in flat(section).items() if value is not None}
            name = given.pop("name")
            fields = ", ".join(f"{key} {value}" for key, value in given.items())
            yield "", f"{name}: {fields}" if fields else str(name)
