"""Runs and sweeps from Python, `dbgsom_core.run` and `dbgsom_core.sweep`, and from commands.

Both call `execute`, whose imports run while trackers prepare.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dbgsom_core.config import (
    Experiment,
    Sweep,
    estimator_errors_located,
    load_experiment,
    load_sweep,
)
from dbgsom_core.config.load import Problems, read_config
from dbgsom_core.errors import ConfigError, as_text, described
from dbgsom_core.estimators.parameters import build_parts
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.folder import DATA_FILE, RunFiles, StoredRun
from dbgsom_core.runs.session import session
from dbgsom_core.runs.stored_runs import interrupted_run, is_complete, with_data
from dbgsom_core.training.callbacks import progress_shown
from dbgsom_core.training.parts import check_compatible

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from dbgsom_core.persistence import FittedModel

Overrides = Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True)
class _Finished:
    id: str
    name: str
    experiment: str
    folder: Path
    measures: Mapping[str, float]


@dataclass(frozen=True)
class FinishedRun(_Finished):
    """Results of a finished run.

    Attributes
    ----------
    id, name, experiment : str
    folder : Path
        Its run folder, with the report, the figures and the model.
    measures : mapping of str to float
        Under their logged names, such as ``"test/accuracy"``.
    params : mapping
        The main parameters, which distinguish the runs of an experiment.
    notes : sequence of str
        Warnings in the report.
    """

    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: Sequence[str] = ()
    _model: Any = field(default=None, repr=False)

    @property
    def model(self) -> FittedModel:
        """The model, prepare steps and map, for raw rows, arrays or tables."""
        from dbgsom_core.runs.predict import model_of

        model: FittedModel = self._model or model_of(self.folder / "model.npz")
        return model

    @property
    def figures(self) -> list[Path]:
        """The files of its figures."""
        return RunFiles(self.folder).figures()

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with a row for each measure, a column for each part of the data."""
        import pandas as pd

        columns: dict[str, dict[str, float]] = {}
        for full, value in self.measures.items():
            part, _, name = full.partition("/")
            columns.setdefault(part, {})[name] = value
        return pd.DataFrame(columns).rename_axis(index="measure")


@dataclass(frozen=True)
class FinishedSweep(_Finished, Sequence[FinishedRun]):
    """Results of a sweep: its finished runs, in order.

    ``failed`` are the names of failed runs; ``measures`` those of the best run, as ``best/…``.
    """

    runs: Sequence[FinishedRun] = field(default=(), repr=False)
    failed: Sequence[str] = ()
    _best: str | None = None

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, number: Any) -> Any:
        return self.runs[number]

    @property
    def best(self) -> FinishedRun:
        """The first run of the best variant.

        Raises
        ------
        LookupError
            The runs have no measure to rank by, or several data sets.
        """
        for run in self.runs:
            if run.id == self._best:
                return run
        raise LookupError("none is best: no measure decides, or there are several data sets")

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with a row for each run: parameters that differ, and measures."""
        import pandas as pd

        index = pd.Index([run.name for run in self.runs], name="run")
        params = pd.DataFrame([run.params for run in self.runs], index)
        measures = pd.DataFrame([run.measures for run in self.runs], index)
        return params.loc[:, params.nunique(dropna=False) > 1].join(measures)


def execute(
    loaded: Experiment | Sweep,
    registry: Registry,
    extra: Sequence[Any] = (),
    stored: StoredRun | None = None,
    **how: Any,
) -> Any:
    """Run an experiment, or a sweep as `run_sweep` does; or resume a ``stored`` run of it."""
    first = loaded.children[0].experiment if isinstance(loaded, Sweep) else loaded
    registry = registry.without(first.disabled)
    with session(first, registry, extra) as callbacks:
        if isinstance(loaded, Sweep):
            from dbgsom_core.runs.sweep import run_sweep

            return run_sweep(loaded, callbacks, registry, stored, **how)
        from dbgsom_core.runs.pipeline import run_experiment

        return run_experiment(loaded, callbacks, registry, stored)


def run(
    config: Any,
    overrides: Overrides | None = None,
    *,
    data: Any = None,
    target: str | int | None = None,
    task: str | None = None,
    experiment: str | None = None,
    keep_data: bool = True,
    verbose: int = 0,
    resume: bool = False,
) -> FinishedRun:
    """Run the experiment of a configuration, or of a data frame, as ``dbgsom run`` does.

    Parameters
    ----------
    config : path, mapping or data frame
        A YAML file, the same as plain values, or the rows themselves, for the configuration that
        `init` returns for them.
    overrides : mapping of dotted keys to values, or sequence of "key=value", optional
        Values that replace those of the configuration, as with ``--set``.
    data : data frame, optional
        Rows that replace the data of a configuration: of pandas, polars, or pyarrow. The section
        ``dataset`` says the roles of the columns, as for a Parquet file.
    target : str, optional
        The column to predict.
    task : {"classifier", "regressor", "vq"}, optional
        The estimator; default: the configuration's, or what suits the target.
    experiment : str, optional
        The name under which runs are found; default: the configuration's, or the target.
    keep_data : bool
        Keep the rows of a data frame in the run folder as ``data.parquet``. Without them
        ``dbgsom run --resume``, ``explore`` and the nearest rows of ``explain`` are not available.
    verbose : int
        As for the estimators: 1 shows a progress bar, or about ten lines where standard output is
        no terminal, 2 a line for each epoch.
    resume : bool
        Resume the newest unfinished run of this configuration.

    Returns
    -------
    FinishedRun

    Raises
    ------
    ConfigError, DataError, PluginError
        Nothing was written.
    DbgsomError
        The run failed.
    KeyboardInterrupt
        It was interrupted, as its folder notes; ``resume=True`` continues it.
    """
    source = _read_source(config, overrides, data, target, task, experiment)
    with progress_shown(verbose) as show:
        observers = [_EpochDisplay(show)] if show else []
        result = _run(load_experiment, source, observers, keep_data, resume)
    run: Any = result.run
    return FinishedRun(*_identity(run, result.measures), run.params, result.notes, result.model)


def sweep(
    config: Any,
    overrides: Overrides | None = None,
    *,
    data: Any = None,
    target: str | int | None = None,
    task: str | None = None,
    experiment: str | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    keep_data: bool = True,
    verbose: int = 0,
    resume: bool = False,
    jobs: int = 1,
    fail_fast: bool = False,
) -> FinishedSweep:
    """Run all variants of a configuration's sweep section, as ``dbgsom sweep`` does.

    Parameters and errors are those of `run`, and:

    Parameters
    ----------
    grid : mapping of dotted keys to sequences of values, optional
        What varies, ``sweep.grid`` of the configuration. For a data frame alone each variant has
        three seeds.
    verbose : int
        1 and above: the number of finished runs, and the best run so far.
    jobs : int
        Number of parallel runs, each in its own process. Results are the same, to the bit.
    fail_fast : bool
        Stop at the first run that fails.

    Returns
    -------
    FinishedSweep
        A sequence of `FinishedRun`.
    """
    if type(jobs) is not int or jobs < 1:
        raise ConfigError(f"jobs must be a whole number from 1, not {jobs!r}")
    texts = _override_texts(overrides)
    if grid is not None:
        texts.append(f"sweep={_json({'grid': grid})}")
    source = _read_source(config, texts, data, target, task, experiment, sweeps=True)
    how: dict[str, Any] = {"jobs": jobs, "fail_fast": fail_fast}
    if verbose:
        how["display"] = SimpleNamespace(say=lambda text: print(as_text(text), flush=True))
    result = _run(load_sweep, source, [], keep_data, resume, **how)
    best = None
    if len(result.rankings) == 1:
        best = result.rankings[0].best.runs[0]
    runs = []
    for child, measures in result.children:
        runs.append(FinishedRun(*_identity(child, measures), child.params))
    return FinishedSweep(*_identity(result.run, result.measures), runs, list(result.failed), best)


def _identity(
    run: Any, measures: Mapping[str, float]
) -> tuple[str, str, str, Path, Mapping[str, float]]:
    return run.id, run.name, run.experiment, run.folder.absolute(), dict(measures)


def init(
    data: Any,
    target: str | int | None = None,
    *,
    task: str | None = None,
    experiment: str | None = None,
) -> dict[str, Any]:
    """Return a first configuration for a data frame or file, as ``dbgsom init`` writes it.

    Parameters
    ----------
    data : data frame, or path
        Rows of pandas, polars or pyarrow; or a CSV, Parquet, .npy or .npz file.
    target, task, experiment
        As for `run`; without a target it is a guess.

    Returns
    -------
    dict
        Plain values, to be changed and given to `run`: ``run(config, data=frame)``.

    Raises
    ------
    DataError
        It is no table that a map can be trained on; the sentence names the cure.
    """
    if not isinstance(data, str | os.PathLike):
        return _first_config(*_read_frame(data), target, task, experiment)
    from dbgsom_core.runs.init import profile_data, suggest

    config = suggest(profile_data(os.fspath(data), get_registry()), _name(target), task).config
    if experiment is not None:
        config["experiment"] = experiment
    return config


def _name(column: str | int | None) -> str | None:
    return None if column is None else str(column)


def _read_frame(data: Any) -> tuple[pa.Table, str | None]:
    from dbgsom_core.tables.reader import table_of_frame  # imports pyarrow

    return table_of_frame(data)


def _first_config(
    table: pa.Table,
    index: str | None,
    target: str | int | None,
    task: str | None,
    experiment: str | None,
) -> dict[str, Any]:
    """Return the configuration that `init` suggests for a data frame."""
    from dbgsom_core.runs.init import profile_table, suggest

    features = table if index is None else table.drop_columns([index])
    config = suggest(profile_table(features), _name(target), task).config
    config["dataset"] = _with_frame(config["dataset"], index)
    usual = re.sub(r"[^A-Za-z0-9 ._-]+", "-", config["dataset"].get("target") or "data")
    return {**config, "experiment": experiment or usual}


def _with_frame(section: Mapping[str, Any], index: str | None) -> dict[str, Any]:
    """Return a section ``dataset``, its file replaced by a data frame's, whose index is an id."""
    fields = get_registry().find("dataset", "parquet").model_fields
    of_frame = {key: value for key, value in section.items() if key in fields}
    ids = of_frame.get("id") or []
    if isinstance(ids, str):
        ids = [ids]
    if index is not None and index not in ids:
        of_frame["id"] = [index, *ids]
    return {**of_frame, "name": "parquet", "path": DATA_FILE}


# A configuration, overrides, and the table of a data frame that replaces its data.
_Source = tuple[Any, list[str], "pa.Table | None"]


def _run(
    load: Callable[..., Any],
    source: _Source,
    observers: list[Any],
    keep_data: bool,
    resume: bool,
    **how: Any,
) -> RunResult:
    """Load a configuration, with the rows of a data frame in place of its data, and execute it."""
    config, overrides, table = source
    registry, stored = get_registry(), None
    loaded = load(config, overrides, registry)
    if table is not None:
        loaded = with_data(loaded, lambda dataset: dataset.with_table(table))
        if keep_data:
            observers.append(_DataKeeper(table))
    if resume:
        stored = interrupted_run(loaded, registry)
        if is_complete(stored, loaded):
            raise ConfigError(f"{stored.id} has finished: leave resume out")
    result: RunResult = execute(loaded, registry, observers, stored, **how)
    return result


def _read_source(
    config: Any,
    overrides: Overrides | None,
    data: Any,
    target: str | int | None,
    task: str | None,
    experiment: str | None,
    sweeps: bool = False,
) -> _Source:
    """Return what `run` and `sweep` were given as a configuration, overrides and a table."""
    texts = _override_texts(overrides)
    if isinstance(config, str | os.PathLike | Mapping):
        keys = ("dataset.target", "model.estimator", "experiment")
        for key, value in zip(keys, (_name(target), task, experiment), strict=True):
            if value is not None:
                texts.append(f"{key}={_json(value)}")
        if data is None:
            return config, texts, None
        table, index = _read_frame(data)
        section = read_config(config, texts, Problems()).values.get("dataset")
        if not isinstance(section, Mapping):  # a name, or nothing
            section = {}
        texts.append(f"dataset={_json(_with_frame(section, index))}")
        return config, texts, table
    if data is not None:
        raise ConfigError("config must be a file or a mapping where data is a data frame")
    table, index = _read_frame(config)
    config = _first_config(table, index, target, task, experiment)
    if sweeps:
        config["sweep"] = {"repeats": {"seeds": 3}}
    return config, texts, table


class _DataKeeper:
    """Keeps the rows of a data frame in the folder of a run, or of a sweep for all of its runs."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def dbgsom_run_started(self, run: Run) -> None:
        from dbgsom_core.tables import write_table

        path = RunFiles(run.folder).data
        if run.parent is None and not path.exists():
            write_table(path, [self._table])


def _override_texts(overrides: Overrides | None) -> list[str]:
    if hasattr(overrides, "shape"):
        cure = "make it a column of the data frame, and name that: run(frame, target='y')"
        raise ConfigError(f"overrides are keys and values, and no {described(overrides)}: {cure}")
    if not isinstance(overrides, Mapping):
        return list(overrides or ())
    return [f"{key}={_json(value)}" for key, value in overrides.items()]


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError as error:
        raise ConfigError(f"overrides hold values that YAML cannot express: {error}") from error


class _EpochDisplay:
    """Shows the epochs of a run as the estimators' ``verbose`` does."""

    def __init__(self, show: Callable[[EpochRecord], object]) -> None:
        self._show = show

    def dbgsom_epoch_finished(self, epoch: EpochRecord) -> None:
        self._show(epoch)


def check_experiment(experiment: Experiment) -> None:
    """Check an experiment before its data is read, mostly without importing scikit-learn."""
    model = experiment.model
    params = {**experiment.resolved["model"], **experiment.estimator_params}
    params["engine"] = experiment.engine
    with estimator_errors_located(experiment):
        check_compatible(build_parts(params), model.estimator)
    if any(step.params or ":" in step.name for step in experiment.prepare):
        from dbgsom_core.runs.prepare import make_steps

        make_steps(experiment)
