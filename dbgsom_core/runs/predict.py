"""Models of runs, found by name, and predictions for the rows of a file."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DataError, did_you_mean, name_list
from dbgsom_core.estimators import som  # noqa: F401 - files hold them
from dbgsom_core.estimators.archive import stored_types
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.measuring import (
    column_names,
    columns_of_answers,
    select_columns,
)
from dbgsom_core.experiments.models import OWN_STEPS, step_names
from dbgsom_core.experiments.trackers import tracker_classes
from dbgsom_core.files import exists, with_files
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.persistence import FittedModel, load
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data import data_errors, load_data
from dbgsom_core.runs.describe import digest, mapping_of
from dbgsom_core.runs.folder import StoredRun, is_run, read_run
from dbgsom_core.runs.prepare import imported_step
from dbgsom_core.runs.session import build_tracker
from dbgsom_core.runs.stored_runs import find_run, load_stored
from dbgsom_core.tables import (
    Columns,
    CsvDialect,
    Faults,
    check_target,
    numbered,
    open_table,
    short,
    unseen_sentences,
    write_table,
)
from dbgsom_core.tables.reader import FrameReader, TableReader, as_column

log = logging.getLogger("dbgsom")

UNKNOWN = CsvDialect()  # nothing was said of a file
_CELLS = 1 << 20  # of a batch, which is in memory with its answers
_LEAST_ROWS = 1 << 10  # of a batch of a wide table


@dataclass(frozen=True)
class FoundModel:
    """A loaded model, and its source."""

    model: FittedModel
    where: str  # its name in messages
    run: StoredRun | None = None  # its run, where known
    notes: tuple[str, ...] = ()  # remarks on how it was found
    path: Path | None = None  # the model file, where there is one on this machine

    @property
    def feature_names(self) -> list[str] | None:
        """Feature names of the run's data, where the model does not have them."""
        names = None if self.run is None else self.run.data.get("feature_names")
        return list(map(str, names)) if isinstance(names, list) else None

    @property
    def dialect(self) -> CsvDialect:
        """The dialect of the run's CSV file, where it was one."""
        if self.run is None:
            return UNKNOWN
        dataset = mapping_of(self.run.config.get("dataset"))
        return CsvDialect(delimiter=dataset.get("delimiter"), encoding=dataset.get("encoding"))


def open_as_trained(trained: FoundModel, source: str, registry: Registry) -> TableReader | None:
    """Return files opened as a model's run read its own; None: they are any table."""
    if trained.run is None:
        return None
    name = mapping_of(trained.run.config.get("dataset")).get("name")
    cls: Any = registry.find("dataset", name) if name in registry.names("dataset") else None
    if cls is None or cls.for_new is None:
        return None
    _, (experiment,) = load_stored(trained.run, (), registry)
    known: Any = with_files(experiment.dataset, experiment.folder)
    dataset = guarded(known).for_new(source)
    if dataset is None:
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = guarded(dataset).load()
    notes = [f"{source}: {warning.message}" for warning in caught]
    columns = {**(data.ids or {}), **data.annotations}
    columns |= dict(zip(data.feature_names or (), np.asarray(data.X).T, strict=True))
    table = pa.table({name: as_column(values) for name, values in columns.items()})
    return replace(FrameReader.open(table), path=source, notes=notes)


def find_model(
    name: str, root: Path, registry: Registry, uri: str | None = None, steps: Path | None = None
) -> FoundModel:
    """Return the model of a name; classes of its owner are imported from the folder ``steps``."""
    for tracker, traits in tracker_classes(registry).items():
        if name.startswith(traits.addresses):
            with tempfile.TemporaryDirectory() as folder:
                store = {}
                if uri and traits.store_field:
                    store[traits.store_field] = uri
                built = build_tracker(tracker, registry, **store)
                path = guarded(built).fetch_model(name, Path(folder))
                return FoundModel(model_of(Path(path), steps), name)
    path = Path(name)
    if exists(path) and not path.is_dir():
        run = None
        if is_run(path.parent):
            run = read_run(path.parent.absolute())
        return FoundModel(model_of(path, steps), str(path), run, path=path)
    run, notes = trained_run(name, root)
    model = model_of(run.files.model, steps)
    return FoundModel(model, f"run {run.id}", run, notes, run.files.model)


def trained_run(name: str, root: Path) -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run of a name that has a model, for a sweep its best run, and notes."""
    run, notes = find_run(name, root, besides=" and no model file")
    if run.kind == "sweep":
        if run.best is None:
            raise DataError(f"{run.id} is a sweep without a best run: name one of its runs")
        best = read_run(run.files.folder.with_name(run.best))
        notes = (*notes, f"{best.id} is the best run of sweep {run.id} ({best.name})")
        run = best
    if not exists(run.files.model):
        raise DataError(f"run {run.id} has no model: {run.damage or run.status}")
    return run, notes


def training_data(run: StoredRun, registry: Registry) -> tuple[Experiment, Data, bool]:
    """Return the experiment of a run, its data, and whether that is unchanged."""
    _, (experiment,) = load_stored(run, (), registry)
    with warnings.catch_warnings():  # the run itself has given them
        warnings.simplefilter("ignore")
        data = load_data(experiment)
    return experiment, data, run.data.get("digest") in (None, digest(data.X, data.y))


def model_of(path: Path, folder: Path | None = None) -> FittedModel:
    """Return the model of a file; classes of its owner are imported from a folder, if given."""
    classes = dict(OWN_STEPS)
    if folder is not None:
        for name in step_names(path):
            if name not in stored_types():
                classes[name] = imported_step(name, folder)
    model = load(path, steps=classes.values())
    return model if isinstance(model, FittedModel) else FittedModel((), model)


class SampleBatch(NamedTuple):
    """Some rows: the number of the first one, samples X (n, D), and columns to carry along."""

    first: int
    X: NDArray[Any]
    carried: dict[str, pa.Array]


class FileSamples:
    """The rows of a file as a model's samples, in batches.

    Columns are found by name where the model has names, otherwise by position.

    Parameters
    ----------
    path : str
    model : FittedModel
    dialect, trained : CsvDialect
        Of a CSV file: that of the user, and of the training's.
    keep : sequence of str
        Columns to carry along, besides ids and dates of the model's columns.
    target : str, optional
        A column to carry along where the file has it.
    table : TableReader, optional
        The rows, where they are open already.

    Attributes
    ----------
    table : TableReader
    columns : Columns
        Those of the samples.
    carried : mapping of str to int
        The places of columns to carry along.
    notes : list of str
        Remarks on the file.
    unseen : dict
        The categories that did not occur in the training.
    """

    def __init__(
        self,
        path: str,
        model: FittedModel,
        dialect: CsvDialect = UNKNOWN,
        trained: CsvDialect = UNKNOWN,
        keep: Sequence[str] = (),
        target: str | None = None,
        table: TableReader | None = None,
    ) -> None:
        known = model.columns or Columns(())
        decimal, thousands = dialect.decimal or known.decimal, dialect.thousands
        if thousands is None and known.thousands != decimal:
            thousands = known.thousands
        if thousands == decimal:
            raise DataError(f"{path}: '{decimal}' is the decimal mark and stands between thousands")
        dialect = replace(dialect, decimal=decimal)
        self.table = table or open_table(path, dialect, trained=trained, known=known.names)
        self.unseen: dict[str, Counter[str]] = {}
        self._looks_back = model.looks_back
        self.notes = [*self.table.notes]
        names = numbered(self.table.names)
        self.carried = {}
        for name in keep:
            if name not in names:
                near = did_you_mean(name, names)
                raise DataError(f"{path} has no column '{name}' to carry along{near}")
            self.carried[name] = names.index(name)
        beside = {*names} - {*known.names} if table else ()  # of a data set, not of a file
        for name in (*known.ids, *known.annotations, target, *sorted(beside)):
            if name in names:
                self.carried[name] = names.index(name)
        if known.names and self.table.format != "npy":
            places, others = known.places(self.table.names, path)
            ignored = [f"'{short(name)}'" for name in others if name not in self.carried]
            if ignored:
                text = f"{len(ignored)} column(s) that the model does not know are ignored"
                self.notes.append(f"{path}: {text}: {name_list(ignored)}")
        else:
            carried = self.carried.values()
            places = [place for place in range(len(names)) if place not in carried]
            known = self._by_order(names, places, model)
        self._places = places
        self.columns = replace(known, decimal=decimal, thousands=thousands or "")

    def batches(self) -> Iterator[SampleBatch]:
        """Yield the rows in batches; raises `DataError` for cells that cannot be used.

        Rows of a model that looks back are one batch.
        """
        first, batches = 0, self._read()
        if self._looks_back:
            whole = pa.Table.from_batches(batches).combine_chunks()
            batches = iter(whole.to_batches())
        for batch in batches:
            yield self._samples(batch, first)
            first += batch.num_rows

    def row(self, number: int) -> SampleBatch:
        """Return one row, counted from 0."""
        first = 0
        for batch in self._read():
            if number < first + batch.num_rows:
                return self._samples(batch.slice(number - first, 1), number)
            first += batch.num_rows
        raise DataError(
            f"{self.table.path} has {first} rows, counted from 0: there is no row {number}"
        )

    def _read(self) -> Iterator[pa.RecordBatch]:
        rows = max(_LEAST_ROWS, _CELLS // (8 + len(self.columns.feature_names)))
        return self.table.batches(sorted({*self._places, *self.carried.values()}), rows)

    def _samples(self, batch: pa.RecordBatch, first: int) -> SampleBatch:
        columns, faults = [batch.column(str(place)) for place in self._places], Faults()
        X = self.columns.features(columns, self.unseen, faults)
        faults.check(self.table, first)
        carried = {name: batch.column(str(place)) for name, place in self.carried.items()}
        return SampleBatch(first, X, carried)

    def _by_order(self, names: Sequence[str], places: Sequence[int], model: FittedModel) -> Columns:
        """Return what is known of columns without names, which are in the order of features."""
        features = tuple(names[place] for place in places)
        if model.columns is not None:
            width = len(model.columns.feature_names)
        else:
            width = int(getattr(model.first, "n_features_in_", model.estimator.n_features_in_))
        if len(features) != width:
            raise DataError(
                f"{self.table.path} has {len(features)} columns for the model, which was trained "
                f"on {width} in their order: carry others along with --keep"
            )
        types = {self.table.types[place] for place in places}
        if self.table.format == "npy" and types == {pa.float32()}:
            return Columns(features, dtype="float32")
        return Columns(features)


def predict_file(
    model: FittedModel,
    source: str,
    target: str,
    columns: Sequence[str] = (),
    keep: Sequence[str] = (),
    dialect: CsvDialect = UNKNOWN,
    *,
    trained: CsvDialect = UNKNOWN,
    table: TableReader | None = None,
    progress: Callable[[int, int | None], object] = lambda rows, total: None,
) -> tuple[int, int, list[str]]:
    """Write a model's predictions for each row of a file, in batches.

    ``progress`` gets the rows so far, and of all where they are known. Returns the number of
    predictions, of outliers among them, and notes.
    """
    check_target(target)
    names = select_columns(model, columns)
    samples = FileSamples(source, model, dialect, trained, keep, table=table)
    twice = samples.carried.keys() & {*column_names(model, names)}
    if twice:
        both = f"the column '{min(twice)}' is carried along and written as well"
        raise DataError(f"{both}: leave one out with --columns or --keep")
    empty, outliers = list[int](), 0

    def tables() -> Generator[dict[str, Any], None, None]:
        nonlocal outliers
        for batch in samples.batches():
            answered, table = _answers(model, samples, batch, names)
            empty.extend((batch.first + np.flatnonzero(~answered)).tolist())
            if "outlier" in table:
                outliers += pc.sum(table["outlier"]).as_py() or 0
            yield {**batch.carried, **table}

    def report(rows: int) -> None:
        progress(rows, samples.table.num_rows)

    with closing(tables()) as batches:
        rows = write_table(target, batches, progress=report, beside=source, dialect=dialect)
    for sentence in unseen_sentences(samples.unseen):
        log.warning("%s", sentence)
    if empty:
        text = f"{len(empty)} row(s) have no value and are not answered"
        samples.notes.append(f"{text}, first row {empty[0]}")
    return rows - len(empty), outliers, samples.notes


def _answers(
    model: FittedModel, samples: FileSamples, batch: SampleBatch, names: Sequence[str]
) -> tuple[NDArray[np.bool_], dict[str, pa.Array]]:
    """Return which rows have a value and are answered, and the answers, null for others."""
    X = batch.X
    answered = np.full(len(X), model.fills_gaps) | ~np.isnan(X).all(axis=1)
    if not (model.fills_gaps or "missing" in model.estimator._metric.calls.handles):
        faults = Faults()
        samples.columns.gaps(X, faults, "the model's metric takes none", answered)
        faults.check(samples.table, batch.first)
    if not answered.any():
        X = np.ones_like(X[:1])  # for the types of answers
    elif not answered.all():
        X = X[answered]
    with data_errors(f"{samples.table.path}, rows from {batch.first} on"):
        columns = columns_of_answers(model, model.answers(X), names)
    places = pa.array(np.cumsum(answered) - 1, mask=~answered)  # of the answer of each row
    return answered, {name: as_column(cells).take(places) for name, cells in columns.items()}
