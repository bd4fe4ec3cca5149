"""Models of runs, found by name, and predictions for the rows of a file."""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.estimators import som  # noqa: F401 - files hold them
from dbgsom_core.experiments.answer_columns import (
    column_names,
    columns_of_answers,
    select_columns,
)
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.trackers import tracker_classes
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.persistence import FittedModel, load
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import build_tracker
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.folder import StoredRun, is_run, read_run
from dbgsom_core.runs.stored_runs import find_run, load_stored
from dbgsom_core.runs.text import digest
from dbgsom_core.tables import (
    Columns,
    CsvDialect,
    Faults,
    Unseen,
    check_target,
    is_text,
    number,
    numbered,
    open_table,
    short,
    unseen_sentences,
    write_table,
)
from dbgsom_core.tables.safe_files import exists

log = logging.getLogger("dbgsom")

UNKNOWN = CsvDialect()  # nothing was said of a file
_CELLS = 1 << 20  # of a batch
_MOST_ROWS, _LEAST_ROWS = 1 << 17, 1 << 10
_LISTED = 5  # names in a note
_OF_NOVELTY = frozenset({"novelty", "pvalue", "outlier"})
# The characters that OWASP's page on CSV injection lists; a text may be many joined by line feeds.
_FORMULA = re.compile(r"^(?:[\t\r]|[^\S\n]*[-=+@＝＋－＠])", re.MULTILINE)


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
        found = None if self.run is None else self.run.data.get("feature_names")
        return [str(one) for one in found] if isinstance(found, list) else None

    @property
    def dialect(self) -> CsvDialect:
        """The dialect of the run's CSV file, where it was one."""
        dataset = None if self.run is None else self.run.config.get("dataset")
        known = dataset if isinstance(dataset, dict) else {}
        encoding, delimiter = known.get("encoding"), known.get("delimiter")
        return CsvDialect(
            delimiter=delimiter if isinstance(delimiter, str) and len(delimiter) == 1 else None,
            encoding=encoding if isinstance(encoding, str) else None,
        )


def find_model(name: str, root: Path, registry: Registry, uri: str | None = None) -> FoundModel:
    for tracker, traits in tracker_classes(registry).items():
        if name.startswith(traits.addresses):
            with tempfile.TemporaryDirectory() as folder:
                store = {traits.store_field: uri} if uri and traits.store_field else {}
                built = build_tracker(tracker, registry, **store)
                path = guarded(built).fetch_model(name, Path(folder))
                return FoundModel(model_of(Path(path)), name)
    path = Path(name)
    if exists(path) and not path.is_dir():
        run = read_run(path.parent.absolute()) if is_run(path.parent) else None
        return FoundModel(model_of(path), str(path), run, path=path)
    run, notes = trained_run(name, root)
    return FoundModel(model_of(run.files.model), f"run {run.id}", run, notes, run.files.model)


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
        how = {"running": "it still goes on", "failed": "it failed", "killed": "it was killed"}
        why = run.damage or how.get(run.status, "its model.npz is not there")
        raise DataError(f"run {run.id} has no model: {why}")
    return run, notes


def training_data(run: StoredRun, registry: Registry) -> tuple[Data, bool]:
    """Return the training data of a run, and whether it is unchanged."""
    _, experiments = load_stored(run, (), registry)
    with warnings.catch_warnings():  # the run itself has given them
        warnings.simplefilter("ignore")
        data = load_data(experiments[0])
    return data, run.data.get("digest") in (None, digest(data.X, data.y))


def model_of(path: Path) -> FittedModel:
    model = load(path)
    return model if isinstance(model, FittedModel) else FittedModel((), model)


class SampleBatch(NamedTuple):
    """Some rows: the number of the first one, samples X (n, D), and columns to carry along.

    ``ids`` are those that were named to be kept, and those that identify a row; ``annotations``
    what the model's columns have beside the features. Cells at fault are 0 or infinite in X.
    """

    first: int
    X: NDArray[Any]
    ids: dict[str, pa.Array]
    annotations: dict[str, pa.Array]
    faults: Faults


class FileSamples:
    """The rows of a file as a model's samples, in batches.

    Columns are found by name where the model has names, otherwise by position. ``dialect`` is the
    user's for a CSV file, ``trained`` that of the training's, ``keep`` columns to carry along (None
    where the command has no such option).

    ``ids`` are the positions of columns to carry along, by name, ``notes`` remarks on the file,
    ``unseen`` the categories that did not occur in the training.
    """

    def __init__(
        self,
        path: str,
        model: FittedModel,
        dialect: CsvDialect = UNKNOWN,
        trained: CsvDialect = UNKNOWN,
        keep: Sequence[str] | None = None,
    ) -> None:
        columns: Columns | None = model.columns
        mark = dialect.decimal or (columns.decimal if columns else ".")
        thousands = dialect.thousands
        if thousands is None:
            thousands = (columns.thousands if columns else "").replace(mark, "")
        if thousands == mark:
            both = f"'{mark}' is the decimal mark and cannot stand between thousands, too"
            raise DataError(f"{path}: {both}: say with --decimal which other one it is")
        written = replace(dialect, decimal=mark, thousands=thousands)
        self.path, self.unseen = path, Unseen()
        known = () if columns is None else columns.names
        self._reader = open_table(path, written, trained=trained, known=known)
        self.notes = [*self._reader.notes]
        names = numbered(self._reader.names)
        self.ids, self._annotations = self._carried(names, columns, keep or ())
        if columns is None or self._reader.format == "npy":
            columns, self._places = self._by_order(names, model, keep)
        else:
            self._places, strange = columns.places(self._reader.names, path)
            ignored = [f"'{short(name)}'" for name in strange if name not in self.ids]
            if ignored:
                self.notes.append(
                    f"{path}: {len(ignored)} column(s) that the model does not know are ignored: "
                    f"{', '.join(ignored[:_LISTED])}{', …' if len(ignored) > _LISTED else ''}"
                )
        self._columns = replace(columns, decimal=mark, thousands=thousands)
        self.feature_names = self._columns.feature_names

    @property
    def num_rows(self) -> int | None:
        """The number of rows, where it is known before they are read."""
        return self._reader.num_rows

    def batches(self) -> Iterator[SampleBatch]:
        first = 0
        for batch in self._read():
            yield self._samples(batch, first)
            first += batch.num_rows

    def row(self, number: int) -> SampleBatch:
        first = 0
        for batch in self._read():
            if number < first + batch.num_rows:
                found = self._samples(batch.slice(number - first, 1), number)
                if found.faults:
                    raise DataError(self.message(found.faults))
                return found
            first += batch.num_rows
        raise DataError(f"{self.path} has {first} rows, counted from 0: there is no row {number}")

    def message(self, faults: Faults) -> str:
        """Return a message on faults by lines of the file."""
        return faults.message(self.path, self.lines(faults.rows()))

    def gaps(self, X: NDArray[Any], cure: str, first: int) -> Faults:
        """Return which values of samples X (n, D) are missing, of rows from ``first`` on."""
        return self._columns.gaps(X, cure).shift(first)

    def lines(self, rows: Sequence[int]) -> dict[int, int]:
        """Return the line of each row, where rows stand on lines that can be counted."""
        return self._reader.lines(rows)

    def _read(self) -> Iterator[pa.RecordBatch]:
        rows = min(_MOST_ROWS, max(_LEAST_ROWS, _CELLS // len(self.feature_names)))
        carried = {*self.ids.values(), *self._annotations.values()}
        used = sorted({*self._places, *carried})
        yield from self._reader.batches(used, rows)

    def _samples(self, batch: pa.RecordBatch, first: int) -> SampleBatch:
        columns, faults = [batch.column(str(place)) for place in self._places], Faults()
        X = self._columns.features(columns, batch.num_rows, self.unseen, faults)
        ids, annotations = (
            {name: batch.column(str(place)) for name, place in places.items()}
            for places in (self.ids, self._annotations)
        )
        for name, column in annotations.items():
            if is_text(column):
                annotations[name] = self._columns.texts(column)
        return SampleBatch(first, X, ids, annotations, faults.shift(first))

    def _carried(
        self, names: Sequence[str], columns: Columns | None, keep: Sequence[str]
    ) -> tuple[dict[str, int], dict[str, int]]:
        if self._reader.format == "npy":
            if keep:
                raise DataError(f"{self.path} has no columns by name: leave out --keep")
            return {}, {}
        for name in keep:
            if name not in names:
                near = did_you_mean(name, names)
                raise DataError(f"{self.path} has no column '{name}' to carry along{near}")
        places = {name: place for place, name in enumerate(names)}
        own, beside = ((), ()) if columns is None else (columns.ids, columns.annotations)
        ids = [*keep, *(name for name in own if name in places)]
        rest = [name for name in beside if name in places and name not in ids]
        return {name: places[name] for name in ids}, {name: places[name] for name in rest}

    def _by_order(
        self, names: Sequence[str], model: FittedModel, keep: Sequence[str] | None
    ) -> tuple[Columns, list[int]]:
        width = int(getattr(model.first, "n_features_in_", model.estimator.n_features_in_))
        if model.columns is not None:
            width = len(model.columns.feature_names)
        places = [place for place in range(len(names)) if place not in self.ids.values()]
        if len(places) != width:
            cure = "leave others out of the file"
            cure += "" if keep is None else ", or carry them along with --keep"
            lacking = width - len(places)
            cure = f"give the {lacking} that it lacks, in their order" if lacking > 0 else cure
            raise DataError(
                f"{self.path} has {len(places)} columns for the model, which was trained on "
                f"{width} without knowing their names: {cure}"
            )
        called = [names[place] for place in places]
        if model.columns is not None:
            called = [*model.columns.feature_names]
        if len({*called}) < width:  # a name was taken by one that was numbered
            called = [str(place) for place in places]
        types = [self._reader.types[place] for place in places]
        single = self._reader.format == "npy" and all(one == pa.float32() for one in types)
        return Columns(tuple(called), dtype="float32" if single else "float64"), places


def predict_file(
    model: FittedModel,
    source: str,
    target: str,
    columns: Sequence[str] = (),
    keep: Sequence[str] = (),
    dialect: CsvDialect = UNKNOWN,
    *,
    trained: CsvDialect = UNKNOWN,
    progress: Callable[[int, int | None], object] = lambda rows, total: None,
    for_spreadsheets: bool = False,
) -> tuple[int, int, list[str]]:
    """Write a model's predictions for each row of a file, in batches.

    ``progress`` gets the rows so far, and of all where they are known. ``for_spreadsheets``: no
    text in it is a formula. Returns the number of predictions, of outliers
    among them, and notes.
    """
    check_target(target)
    try:
        names = select_columns(model, columns)
    except DataError as error:
        raise DataError(f"--columns: {error}") from None
    samples = FileSamples(source, model, dialect, trained, keep)
    written = column_names(model, names)
    for name in samples.ids:
        if name in written:
            both = f"the column '{name}' is carried along and written as well"
            raise DataError(f"{both}: leave one out with --columns or --keep")
    answering = _Answering(model, samples, names)
    with closing(answering.tables()) as tables:
        mask = quote_formula if for_spreadsheets else None
        rows = write_table(
            target,
            tables,
            progress=lambda rows: progress(rows, samples.num_rows),
            mask=mask,
            beside=source,
        )
    for sentence in unseen_sentences(samples.unseen):
        log.warning("%s", sentence)
    notes = [*samples.notes]
    if answering.empty:
        line = "".join(f" (line {n})" for n in samples.lines([answering.first_empty]).values())
        more = " (whole numbers there are -1)" if target.lower().endswith(".npy") else ""
        notes.append(
            f"{answering.empty} row(s) have no value and are not answered, first row "
            f"{answering.first_empty}{line}{more}"
        )
    if not rows:
        notes.append(f"{source} has no rows")
    return rows - answering.empty, answering.outliers, notes


def quote_formula(text: str) -> str:
    """Return a text with ' in front where a spreadsheet may take a line of it for a formula."""
    is_number = text.lstrip().startswith("-") and number(text) is not None
    return f"'{text}" if _FORMULA.search(text) and not is_number else text


class _Answering:
    """Predictions for batches of samples, with counts of outliers and of empty rows.

    After the first unusable cell, batches are only searched for more of them.
    """

    def __init__(self, model: FittedModel, samples: FileSamples, names: Sequence[str]) -> None:
        self._model, self._samples, self._names = model, samples, names
        self._refusal: str | None = None  # of missing values, once that is known
        self.outliers = self.empty = self.first_empty = 0

    def tables(self) -> Generator[dict[str, Any], None, None]:
        """Yield the columns of answers, batch by batch; raise all faults at the end."""
        faults = Faults()
        try:
            for batch in self._samples.batches():
                empty = self._empty(batch)
                faults.merge(batch.faults)
                faults.merge(self._gaps(batch, empty))
                if not faults:
                    table = {**batch.ids, **self._answers(batch, empty)}
                    yield table | {n: a for n, a in batch.annotations.items() if n not in table}
        except DataError as error:
            if not faults:
                raise
            raise DataError(f"{self._samples.message(faults)}\n{error}") from error
        if faults:
            raise DataError(self._samples.message(faults))

    def _empty(self, batch: SampleBatch) -> NDArray[np.bool_]:
        """Return which rows have no value at all and are left without an answer."""
        X = batch.X
        empty = np.zeros(len(X), dtype=bool)
        if X.dtype.kind == "f" and not self._model.fills_gaps:
            some = np.flatnonzero(np.isnan(X[:, 0]))  # seldom any: to look at all takes long
            empty[some] = np.isnan(X[some]).all(axis=1)
        if empty.any() and not self.empty:
            self.first_empty = batch.first + int(empty.argmax())
        self.empty += int(empty.sum())
        return empty

    def _gaps(self, batch: SampleBatch, empty: NDArray[np.bool_]) -> Faults:
        """Return the missing values, where the model takes none."""
        X = np.where(empty[:, np.newaxis], 0, batch.X) if empty.any() else batch.X
        rows = np.flatnonzero(np.isnan(X).any(axis=1))
        if len(rows) and self._refusal is None:
            some = X[rows[:1]]
            try:
                self._model.answers(np.where(np.isinf(some), 0, some))
                self._refusal = ""
            except DbgsomError:
                raise
            except ValueError as error:
                self._refusal = str(error).splitlines()[0]
        if not len(rows) or not self._refusal:
            return Faults()
        return self._samples.gaps(X, f"this model cannot take that ({self._refusal})", batch.first)

    def _answers(self, batch: SampleBatch, empty: NDArray[np.bool_]) -> dict[str, Any]:
        X = batch.X
        if empty.any():
            X = X[~empty] if not empty.all() else np.ones_like(X[:1])
        try:
            answers = self._model.answers(X)
            table = columns_of_answers(self._model, answers, self._names)
        except DbgsomError:
            raise
        except ValueError as error:
            why = str(error).splitlines()[0]
            raise DataError(f"{self._samples.path}, rows from {batch.first} on: {why}") from error
        if not (_OF_NOVELTY.isdisjoint(self._names) or empty.all()):
            self.outliers += int(np.count_nonzero(np.asarray(answers.outlier)))
        if empty.any():
            places = pa.array(np.cumsum(~empty) - 1, mask=empty)
            table = {name: pa.array(column).take(places) for name, column in table.items()}
        return table
