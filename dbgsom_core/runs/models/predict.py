"""What a model says of the rows of a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.estimators.answers import answer_columns, chosen_columns, written_columns
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.runs.models.samples import UNKNOWN, FileSamples, SampleBatch
from dbgsom_core.tables import CsvDialect, Faults, check_target, unseen_sentences, write_table

log = private_logger("dbgsom")
_OF_NOVELTY = frozenset({"novelty", "pvalue", "outlier"})


@dataclass
class Predicted:
    """What became of the rows of a file."""

    rows: int = 0
    outliers: int = 0  # where a column tells of novelty
    notes: list[str] = field(default_factory=list)


def predict_file(
    model: FittedModel,
    source: str,
    target: str,
    columns: Sequence[str] = (),
    keep: Sequence[str] = (),
    dialect: CsvDialect = UNKNOWN,
    *,
    trained: CsvDialect = UNKNOWN,
    stdout: Any = None,
    progress: Callable[[int], object] = lambda rows: None,
) -> Predicted:
    """Write what a model says of each row of a file, in their order.

    Memory holds a few batches, however long the file is.
    """
    check_target(target)
    try:
        names = chosen_columns(model, columns)
    except DataError as error:
        raise DataError(f"--columns: {error}") from None
    samples = FileSamples(source, model, dialect, trained, keep)
    written = written_columns(model, names)
    for name in samples.ids:
        if name in written:
            raise DataError(
                f"the column '{name}' is carried along and written as well: leave one out with "
                "--columns or --keep"
            )
    answering = _Answering(model, samples, names)
    with closing(answering.tables()) as tables:
        rows = write_table(target, tables, stream=stdout, progress=progress)
    for sentence in unseen_sentences(samples.unseen):
        log.warning("%s", sentence)
    notes = [*samples.notes]
    if answering.empty:
        first = samples.lines([answering.first_empty])
        line = "".join(f" (line {line})" for line in first.values())
        more = " (whole numbers there are -1)" if target.lower().endswith(".npy") else ""
        notes.append(
            f"{answering.empty} row(s) have no value and are not answered, first row "
            f"{answering.first_empty}{line}{more}"
        )
    if not rows:
        notes.append(f"{source} has no rows")
    return Predicted(rows - answering.empty, answering.outliers, notes)


class _Answering:
    """Answers batches of samples, and counts outliers and rows without any value.

    From the first cell on that cannot be used, samples are searched for others and not answered.
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
            table = answer_columns(self._model, answers, self._names)
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
