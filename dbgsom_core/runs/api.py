"""Runs and sweeps from Python, `dbgsom_core.run` and `dbgsom_core.sweep`, and from commands.

Both call `execute`, whose imports run while trackers prepare.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dbgsom_core.config import (
    DEFAULT_NAMES,
    Experiment,
    Sweep,
    estimator_errors_located,
    load_experiment,
    load_sweep,
)
from dbgsom_core.config.document import Problems
from dbgsom_core.config.load import read_config
from dbgsom_core.errors import ConfigError, as_text, described
from dbgsom_core.estimators.components import build_parts
from dbgsom_core.experiments.offers import without_plugins
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.callbacks import session
from dbgsom_core.runs.folder import DATA_FILE, RunFiles, StoredRun
from dbgsom_core.runs.stored_runs import interrupted_run, is_complete, with_data
from dbgsom_core.training.parts import DEFAULT_LABELLERS, check_compatible

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from dbgsom_core.persistence import FittedModel

Overrides = Mapping[str, Any] | Sequence[str]

_VARIES = re.compile(r"sweep(=|\.(grid|list|random|optimize)\b)")  # an override says what varies


@dataclass(frozen=True)
class FinishedRun:
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

    id: str
    name: str
    experiment: str
    folder: Path
    measures: Mapping[str, float]
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: Sequence[str] = ()
    _model: Any = field(default=None, repr=False)

    @classmethod
    def from_result(cls, result: RunResult) -> FinishedRun:
        return cls(
            **_identity(result),
            params=dict(result.run.params) if result.run else {},
            notes=tuple(result.notes),
            _model=result.model,
        )

    @property
    def model(self) -> FittedModel:
        """The model, prepare steps and map, for raw rows, arrays or tables."""
        if self._model is not None:
            return self._model  # type: ignore[no-any-return]
        from dbgsom_core.runs.models import model_of

        return model_of(self.folder / "model.npz")

    @property
    def figures(self) -> list[Path]:
        """The files of its figures."""
        return RunFiles(self.folder).figures()

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with a row for each measure and a column for each part of the data.

        The last column, ``best``, is which values are best: ``greater``, ``less``, ``0``, or empty
        where no installed plugin has the measure.
        """
        import pandas as pd

        found: dict[str, dict[str, float]] = {}
        for full, value in self.measures.items():
            part, _, name = full.partition("/")
            found.setdefault(part, {})[name] = value
        frame = pd.DataFrame(found).rename_axis(index="measure")
        return frame.assign(best=list(_best_ends(frame.index).values()))


@dataclass(frozen=True)
class FinishedSweep:
    """Results of a sweep: its finished runs, in order.

    ``failed`` are the names of failed runs; ``measures`` those of the best run, as ``best/…``.
    """

    id: str
    name: str
    experiment: str
    folder: Path
    measures: Mapping[str, float]
    runs: Sequence[FinishedRun] = field(repr=False)
    failed: Sequence[str] = ()
    _best: str | None = None

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, number: int) -> FinishedRun:
        return self.runs[number]

    def __iter__(self) -> Iterator[FinishedRun]:
        return iter(self.runs)

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
        """Return a data frame with a row for each run: parameters that differ, and measures.

        ``attrs["best"]`` has which values are best by column: ``greater``, ``less``, ``0``, or
        empty where no installed plugin has the measure.
        """
        import pandas as pd

        params = pd.DataFrame([dict(run.params) for run in self.runs])
        differing = [name for name in params if len(set(map(str, params[name]))) > 1]
        measures = pd.DataFrame([dict(run.measures) for run in self.runs])
        index = pd.Index([run.name for run in self.runs], name="run")
        frame = pd.concat([params[differing], measures], axis=1).set_index(index)
        frame.attrs["best"] = _best_ends(map(str, measures))
        return frame


def execute(
    loaded: Experiment | Sweep,
    registry: Registry,
    extra: Sequence[Any] = (),
    stored: StoredRun | None = None,
    **how: Any,
) -> Any:
    """Run an experiment, or a sweep as `run_sweep` does; or resume a ``stored`` run of it."""
    first = loaded.children[0].experiment if isinstance(loaded, Sweep) else loaded
    registry = without_plugins(registry, first.disabled)
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
    source = _source(config, overrides, data, target, task, experiment)
    result = source.run(load_experiment, keep_data, verbose, resume)
    return FinishedRun.from_result(result)


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
        three seeds, and the default is three spreading factors.
    verbose : int
        1 and above: also the number of finished runs, and the best variant so far; with ``jobs``
        only this.
    jobs : int
        Number of parallel runs, each in its own process. Results are the same, to the bit.
    fail_fast : bool
        Stop at the first run that fails.

    Returns
    -------
    FinishedSweep
        A sequence of `FinishedRun`.
    """
    if not isinstance(jobs, Integral) or isinstance(jobs, bool) or jobs < 1:
        raise ConfigError(f"jobs must be a whole number from 1, not {jobs!r}")
    texts = _override_texts(overrides)
    if grid is not None:
        texts.append(f"sweep={_json({'grid': grid})}")
    source = _source(config, texts, data, target, task, experiment, sweeps=True)
    how: dict[str, Any] = {"jobs": jobs, "fail_fast": fail_fast}
    if verbose:
        how["display"] = SimpleNamespace(say=lambda text: print(as_text(text), flush=True))
    result = source.run(load_sweep, keep_data, verbose, resume, **how)
    best = result.rankings[0].best.runs[0] if len(result.rankings) == 1 else None
    runs = []
    for child, measures in result.children:
        runs.append(FinishedRun.from_result(RunResult(measures, run=child)))
    return FinishedSweep(**_identity(result), runs=runs, failed=tuple(result.failed), _best=best)


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
    name = None if target is None else str(target)
    if not isinstance(data, str | os.PathLike):
        return _first_config(*_read_frame(data), name, task, experiment)
    from dbgsom_core.runs.init import profile_data, suggest

    config = suggest(profile_data(os.fspath(data), get_registry()), name, task).plain()
    return config | ({"experiment": experiment} if experiment else {})


def _read_frame(data: Any) -> tuple[pa.Table, str | None]:
    from dbgsom_core.tables.frames import table_of_frame  # imports pyarrow

    return table_of_frame(data)


def _first_config(
    table: pa.Table, index: str | None, target: str | None, task: str | None, name: str | None
) -> dict[str, Any]:
    """Return the configuration that `init` suggests for a data frame."""
    from dbgsom_core.runs.init import profile_table, suggest

    features = table if index is None else table.drop_columns([index])
    config = suggest(profile_table(features), target, task).plain()
    dataset = config["dataset"]
    dataset["path"] = DATA_FILE
    if index is not None:
        dataset["id"] = [index, *dataset.get("id", ())]
    usual = re.sub(r"[^A-Za-z0-9 ._-]+", "-", str(dataset.get("target") or "data"))
    return {**config, "experiment": name or usual}


@dataclass(frozen=True)
class _Source:
    """A configuration and overrides, and the table of a data frame that replaces its data."""

    config: Any
    overrides: list[str]
    table: pa.Table | None = None

    def run(self, load: Any, keep_data: bool, verbose: int, resume: bool, **how: Any) -> RunResult:
        registry, stored = get_registry(), None
        loaded = load(self.config, overrides=self.overrides, registry=registry)
        observers: list[Any] = [_EpochDisplay(verbose)]
        if self.table is not None:
            loaded = with_data(loaded, lambda dataset: dataset.with_table(self.table))
            observers += [_DataKeeper(self.table)] if keep_data else []
        if resume:
            stored = interrupted_run(loaded, registry)
            if is_complete(stored, loaded):
                raise ConfigError(f"{stored.id} has finished: leave resume out")
        result: RunResult = execute(loaded, registry, observers, stored, **how)
        return result


def _source(
    config: Any,
    overrides: Overrides | None,
    data: Any,
    target: str | int | None,
    task: str | None,
    experiment: str | None,
    sweeps: bool = False,
) -> _Source:
    texts, name = _override_texts(overrides), None if target is None else str(target)
    if isinstance(config, str | os.PathLike | Mapping):
        named = {"dataset.target": name, "model.estimator": task, "experiment": experiment}
        texts += [f"{key}={_json(value)}" for key, value in named.items() if value is not None]
        if data is None:
            return _Source(config, texts)
        table, index = _read_frame(data)
        section = _dataset_of(config, texts)
        texts.append(f"dataset={_json(section)}")
    else:
        if data is not None:
            raise ConfigError("config must be a file or a mapping where data is a data frame")
        table, index = _read_frame(config)
        config = _first_config(table, index, name, task, experiment)
        section = config["dataset"]
        if sweeps:
            config["sweep"] = {"repeats": {"seeds": 3}}
            if not any(_VARIES.match(text) for text in texts):
                config["sweep"]["grid"] = {"model.spreading_factor": [0.3, 0.5, 0.7]}
    ids = section.get("id") or ()
    if index is not None and index not in ([ids] if isinstance(ids, str) else ids):
        table = table.drop_columns([index])
    return _Source(config, texts, table)


def _dataset_of(config: Any, overrides: list[str]) -> dict[str, Any]:
    """Return the section ``dataset`` of a configuration, its file replaced by a data frame's."""
    document = read_config(config, overrides, Problems())
    given = document.values.get("dataset")
    fields = get_registry().find("dataset", "parquet").model_fields
    known = given if isinstance(given, Mapping) else {}
    kept = {key: value for key, value in known.items() if key in fields}
    return {**kept, "name": "parquet", "path": DATA_FILE}


class _DataKeeper:
    """Keeps the rows of a data frame in the folder of a run, or of a sweep for all of its runs."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def dbgsom_run_started(self, run: Run) -> None:
        from dbgsom_core.tables import write_table

        kept = RunFiles(run.folder).data
        if run.parent is None and not kept.exists():
            write_table(kept, [self._table])


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
    """Shows the epochs of each run as the estimators' ``verbose`` does."""

    def __init__(self, verbose: int) -> None:
        self._verbose, self._open = verbose, ExitStack()
        self._show: Any = None

    def dbgsom_run_started(self, run: Run) -> None:
        if self._verbose and run.kind == "run":
            from dbgsom_core.estimators.display import progress_shown  # imports scikit-learn

            print(as_text(run.name))
            self._show = self._open.enter_context(progress_shown(self._verbose))

    def dbgsom_epoch_finished(self, epoch: EpochRecord) -> None:
        if self._show is not None:
            self._show(epoch)

    def dbgsom_run_finished(self) -> None:
        self._open.close()
        self._show = None

    def dbgsom_run_failed(self) -> None:
        self.dbgsom_run_finished()


def _identity(result: RunResult) -> dict[str, Any]:
    run = result.run
    assert run is not None
    names = {"id": run.id, "name": run.name, "experiment": run.experiment}
    return {**names, "folder": run.folder.absolute(), "measures": dict(result.measures)}


def _best_ends(names: Iterable[str]) -> dict[str, str]:
    from dbgsom_core.runs.ranking import best_end

    registry = get_registry()
    return {name: best_end(name, registry) for name in names}


def check_experiment(experiment: Experiment) -> None:
    """Check an experiment before its data is read, mostly without importing scikit-learn."""
    kind = experiment.model.estimator
    params: dict[str, Any] = {
        **DEFAULT_NAMES,
        "labeller": DEFAULT_LABELLERS[kind],
        "schedule": None,
        "stopping": None,
        "spreading_factor": None,
        "max_neurons": None,
        **experiment.model.params,
        "engine": experiment.engine,
    }
    with estimator_errors_located(experiment):
        check_compatible(build_parts(params), kind)
    if any(step.params or ":" in step.name for step in experiment.prepare):
        from dbgsom_core.runs.prepare import make_steps

        make_steps(experiment)
