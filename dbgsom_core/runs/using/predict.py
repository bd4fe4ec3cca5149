"""What a model says of the rows of a file, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.workers import available_threads
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.estimators.answer_columns import answer_columns, chosen_columns, written_columns
from dbgsom_core.estimators.answers import Answers
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.coded import Coded
from dbgsom_core.interfaces.columns import told_unseen
from dbgsom_core.interfaces.faults import CellsError, Faults, gathered
from dbgsom_core.files import exists
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.runs.using.ahead import each_ahead
from dbgsom_core.runs.using.table_head import NOT_SAID, Written
from dbgsom_core.runs.using.table_reading import Chunk, Wanted, all_chunks_of
from dbgsom_core.runs.using.table_writing import Table, check_target, write_table

log = private_logger("dbgsom")
_OF_NOVELTY = frozenset({"novelty", "pvalue", "outlier"})
_SHOWN = 5  # rows that a note lists
_AT_ONCE = 16  # chunks that are answered at most, and in memory


@dataclass
class Predicted:
    """What became of the rows of a file.

    Attributes
    ----------
    rows, outliers : int
        Outliers are counted where a column tells of novelty.
    notes : list of str
        What a reader should know: columns that were ignored, and so on.
    """

    rows: int = 0
    outliers: int = 0
    notes: list[str] = field(default_factory=list)


def predict_file(
    model: FittedModel,
    source: str,
    target: str,
    columns: Sequence[str] = (),
    keep: Sequence[str] = (),
    written: Written = NOT_SAID,
    *,
    trained: Written = NOT_SAID,
    stdout: Any = None,
    tell: Callable[[int], object] = lambda rows: None,
) -> Predicted:
    """Write what a model says of each row of a file, in their order.

    Memory holds a few chunks, however long the file is.

    Parameters
    ----------
    model : FittedModel
    source : str
        A CSV (also packed), parquet or npy file; ``-`` is a CSV table on standard input.
    target : str
        A .csv, .tsv, .parquet or .npy file, which is there once it is whole; ``-`` is standard
        output, or the stream ``stdout`` in its place.
    columns : sequence of str
        Which of `answer_columns.COLUMNS`, in this order; all that the model has without it.
    keep : sequence of str
        Columns of the file to carry along; those that identify a row to the model always are.
    written, trained : Written, optional
        What was said of a CSV file, and what is known of the one of the training: what was not
        said is as there where the file does not show that it is otherwise.
    tell : callable
        Hears now and then how many rows are done.

    Raises
    ------
    DataError
        The file or the columns cannot be used.
    """
    check_target(target)
    if exists(source) and exists(target) and Path(source).samefile(target):
        raise DataError(f"{target} is the file that is read: name another one with -o")
    try:
        names = chosen_columns(model, columns)
    except DataError as error:
        raise DataError(f"--columns: {error}") from None
    as_array = target.lower().endswith(".npy")
    ids = () if model.columns is None or as_array else model.columns.ids
    named = written_columns(model, names)
    for name in (*keep, *ids):
        if name in named:
            raise DataError(
                f"the column '{name}' is carried along and written as well: leave one out with "
                "--columns or --keep"
            )
    wanted = Wanted(model.columns, width_of(model), tuple(keep), ids, written, trained)
    done, empty = Predicted(notes=wanted.notes), _Empty()
    tells_novelty = not _OF_NOVELTY.isdisjoint(names)  # finding it out costs most

    threads = min(available_threads(), _AT_ONCE)
    faulty = False  # as far as chunks were told, in their order

    def asked() -> Generator[tuple[Chunk, Any], None, None]:
        with closing(all_chunks_of(source, wanted)) as chunks:
            for chunk in chunks:
                yield empty.filled(model, chunk)

    def answer(item: tuple[Chunk, Any]) -> tuple[Chunk, Table | Faults | Exception, int]:
        # What is written of a chunk, or why nothing is, and how many outliers it has.
        chunk, blank = item
        if faulty or chunk.faults:
            return chunk, _faults(model, chunk), 0
        try:
            answers, table = _answered(model, source, chunk, names, not as_array)
        except CellsError as error:
            return chunk, error.faults, 0
        except Exception as error:  # of no interest where cells before it are faulty
            return chunk, error, 0
        outliers = answers.outlier if tells_novelty else None
        if blank.any():
            table = {name: _without(one, blank) for name, one in table.items()}
        count = 0 if outliers is None else int((outliers & ~blank).sum())
        return chunk, {**chunk.kept, **table}, count

    def answered() -> Generator[Table | Faults, None, None]:
        nonlocal faulty
        with closing(each_ahead(answer, asked(), threads)) as found:
            for chunk, told, outliers in found:
                if isinstance(told, Exception):
                    if not faulty:
                        raise told
                    told = _faults(model, chunk)
                faulty = faulty or isinstance(told, Faults)
                done.outliers += outliers
                yield told

    with closing(answered()) as tables:  # read, answered and written at once
        rows = write_table(target, gathered(source, tables), stdout, tell)
    for told in told_unseen(wanted.unseen):
        log.warning("%s", told)
    done.rows = rows - empty.count
    done.notes += empty.notes(as_array)
    if not rows:
        done.notes.append(f"{source} has no rows")
    return done


def _without(column: Any, blank: NDArray[np.bool_]) -> Any:
    if isinstance(column, Coded):
        return replace(column, codes=np.where(blank, -1, column.codes))
    return np.ma.array(column, mask=blank)


class _Empty:
    """Rows without any value, which are not answered: how many, and where the first ones are."""

    def __init__(self) -> None:
        self.count = 0
        self._named: list[str] = []

    def filled(self, model: FittedModel, chunk: Chunk) -> tuple[Chunk, Any]:
        """Return a chunk that can be answered, and which of its rows (n,) were empty."""
        X = chunk.X
        blank = np.zeros(len(X), dtype=bool)
        if X.dtype.kind == "f" and not model.fills_gaps:
            some = np.flatnonzero(np.isnan(X[:, 0]))  # seldom any: to look at all takes long
            blank[some] = np.isnan(X[some]).all(axis=1)
        if not blank.any():
            return chunk, blank
        self.count += int(blank.sum())
        for row in np.flatnonzero(blank)[: _SHOWN + 1].tolist():
            line = "" if chunk.line is None else f" (line {chunk.line + row})"
            self._named.append(f"{chunk.first + row}{line}")
        # They get the answer of the row with the fewest gaps, which is thrown away.
        donor = np.ones(X.shape[1]) if blank.all() else X[np.isnan(X).sum(axis=1).argmin()]
        X = np.where(blank[:, np.newaxis], donor, X)
        return chunk._replace(X=X), blank

    def notes(self, as_array: bool) -> list[str]:
        """Return what a reader should know of them."""
        if not self.count:
            return []
        shown = ", ".join(self._named[:_SHOWN]) + (", …" if self.count > _SHOWN else "")
        told = (
            f"row {shown} has no value and is not answered"
            if self.count == 1
            else f"{self.count} rows have no value and are not answered: {shown}"
        )
        return [told + (" (whole numbers there are -1)" if as_array else "")]


def width_of(model: FittedModel) -> int:
    """Return how many features a raw sample of a model has."""
    if model.columns is not None:
        return len(model.columns.feature_names)
    first = model.steps[0][1] if model.steps else model.estimator
    return int(getattr(first, "n_features_in_", model.estimator.n_features_in_))


def _answered(
    model: FittedModel, source: str, chunk: Chunk, names: Sequence[str], coded: bool
) -> tuple[Answers, Table]:
    try:
        answers = model.answers(chunk.X)
        return answers, answer_columns(model, answers, names, coded)
    except DbgsomError:
        raise
    except ValueError as error:
        if gaps := _gaps(model, chunk, error):
            raise CellsError(source, gaps) from error
        told = str(error).splitlines()[0]
        raise DataError(f"{source}, rows from {chunk.first} on: {told}") from error


def _faults(model: FittedModel, chunk: Chunk) -> Faults:
    # What is wrong with a chunk, where there is no use in answering it.
    faults, X = Faults(), chunk.X
    faults.take(chunk.faults)
    if X.dtype.kind == "f" and (gaps := np.isnan(X).any(axis=1)).any():
        row = X[gaps][:1]
        try:
            model.answers(np.where(np.isinf(row), 0, row))
        except DbgsomError:
            raise
        except ValueError as error:
            faults.take(_gaps(model, chunk, error))
    return faults


def _gaps(model: FittedModel, chunk: Chunk, error: ValueError) -> Faults:
    # What is missing of samples that a model cannot take, which raised an error.
    names = range(chunk.X.shape[1]) if model.columns is None else model.columns.feature_names
    told, gaps = str(error).splitlines()[0], Faults()
    told = f"the value is missing: this model cannot take that ({told})"
    gaps.add_where(np.isnan(np.asarray(chunk.X, dtype=np.float64)), [*map(str, names)], told)
    return gaps.placed(chunk.first, chunk.line, str)
