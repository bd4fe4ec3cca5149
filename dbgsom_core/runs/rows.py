"""Rows that a model knows, and new ones: read for `check`, `explain` and `predict --by`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.config import Experiment
from dbgsom_core.engine.partitions import take
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparison import Known
from dbgsom_core.runs.data import column_of, data_errors, mark_trained
from dbgsom_core.runs.predict import (
    UNKNOWN,
    FileSamples,
    FoundModel,
    open_as_trained,
    training_data,
)
from dbgsom_core.tables import CsvDialect, as_texts, write_table

_MOST_UNKNOWN = 5  # classes that are named
_DAY = 10  # characters of a date in ISO 8601


def known_rows(
    trained: FoundModel, registry: Registry, by: str | None, time: str | None, notes: list[str]
) -> Known:
    """Return the rows of a run's data: those that it was fitted to, and those of its test part.

    Where the data has the column ``time`` they are in its order; a column ``by`` of dates parts
    them by day.
    """
    experiment, data = training_rows(trained, registry, notes)
    files = None
    if by is not None:
        files = column_of(data, by, "by").astype(str)
        if data.columns is not None and by in data.columns.dates:
            files = files.astype(f"U{_DAY}")
    order = np.arange(len(data.X))
    if time in {**(data.ids or {}), **data.annotations}:
        order = np.argsort(moments_of(column_of(data, time, "time"), time), kind="stable")
    y = None if data.y is None else data.y[order]
    in_order = replace(data, X=take(data.X, order), y=y, ids=None, annotations={}, variables={})
    return Known(
        in_order,
        mark_trained(experiment, data)[order],
        None if files is None else files[order],
    )


def tabulate_file(
    trained: FoundModel,
    source: str,
    by: str,
    target: str,
    registry: Registry,
    dialect: CsvDialect = UNKNOWN,
) -> tuple[int, list[str]]:
    """Write a row for each value of the column ``by`` of a file; return their number, and notes.

    ``rows``, and for each label ``count``, ``share`` and the ``median`` of each feature.
    """
    import pandas as pd  # is slow to import

    notes: list[str] = []
    data = read_rows(source, trained, dialect, registry, notes, [by])
    with data_errors(source):
        labels = trained.model.predict(data.X)
    groups = column_of(data, by, "--by").astype(str)
    counts = pd.crosstab(groups, labels)
    columns: dict[str, Any] = {by: counts.index.to_numpy(), "rows": counts.sum(axis=1).to_numpy()}
    shares = counts.div(counts.sum(axis=1), axis=0)
    for word, table in (("count", counts), ("share", shares)):
        for label in table:
            columns[f"{word} {label}"] = table[label].to_numpy()
    names = [*map(str, data.feature_names or map(str, range(data.X.shape[1])))]
    medians: Any = pd.DataFrame(data.X, columns=names).groupby([groups, labels]).median().unstack()
    for (name, label), values in medians.items():
        columns[f"median {label} {name}"] = values.to_numpy()
    write_table(target, [columns])
    return len(counts), notes


def training_rows(
    trained: FoundModel, registry: Registry, notes: list[str]
) -> tuple[Experiment, Data]:
    """Return the training data of a model's run; raises `DataError` where it is not available."""
    if trained.run is None:
        raise DataError(
            f"{trained.where} knows no training data: name its run, or give rows with --data FILE"
        )
    try:
        experiment, data, is_same = training_data(trained.run, registry)
    except DbgsomError as error:
        why = str(error).splitlines()[0]
        raise DataError(f"the training data is not available: {why}") from error
    if not is_same:
        notes.append(f"the data changed since the training of {trained.where}")
    return experiment, data


def read_rows(
    source: str,
    trained: FoundModel,
    dialect: CsvDialect,
    registry: Registry,
    notes: list[str],
    keep: Sequence[str] = (),
) -> Data:
    """Return the rows of a file, with ids, dates, texts and others that are carried along.

    Targets are those of the model's classes.
    """
    columns = trained.model.columns
    target = columns and columns.target
    table = open_as_trained(trained, source, registry)
    samples = FileSamples(source, trained.model, dialect, trained.dialect, keep, target, table)
    batches = list(samples.batches())
    notes.extend(samples.notes)
    if not batches:
        raise DataError(f"{source} has no rows to show")
    ids: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    for name in samples.carried:
        texts = pa.chunked_array([as_texts(batch.carried[name]) for batch in batches])
        group = ids if name in samples.columns.ids else annotations
        group[name] = texts.fill_null("").to_numpy()
    X = np.concatenate([batch.X for batch in batches])
    y = None
    if target in annotations and hasattr(trained.model.estimator, "classes_"):
        known = {str(label): label for label in trained.model.estimator.classes_.tolist()}
        texts = annotations.pop(target)
        y = np.array([known.get(text) for text in texts], dtype=object)
        unknown = Counter(text for text in texts if text and text not in known)
        for text, count in unknown.most_common(_MOST_UNKNOWN):
            notes.append(f"{count} row(s) of {target} '{text}', which the model does not know")
    names = samples.columns.feature_names
    return Data(X, y, feature_names=names, ids=ids or None, annotations=annotations)


def moments_of(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return times (n,) that can be sorted: numbers, or dates as texts.

    Raises
    ------
    DataError
        They are neither.
    """
    import pandas as pd  # is slow to import

    column = pd.Series(values)
    for convert in (pd.to_numeric, pd.to_datetime):
        try:
            moments = convert(column)
        except (TypeError, ValueError):
            continue
        if moments.isna().any():
            row = int(moments.isna().to_numpy().argmax())
            raise DataError(f"column '{name}' has no time in row {row} (from 0)")
        return np.asarray(moments)
    raise DataError(f"column '{name}' is no time: it holds '{values[0]}'")
