"""Explain and explore models, and check new rows beside what they know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from dbgsom_core.config import Experiment
from dbgsom_core.engine.partitions import take
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.estimators.explanations import Explanation, first_dense
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.figures import Html, MapView
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.check import Check, check_rows, moments_of
from dbgsom_core.runs.comparison import Known
from dbgsom_core.runs.data import Part, column_of, data_errors, mark_trained
from dbgsom_core.runs.describe import title_of
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.predict import (
    UNKNOWN,
    FileSamples,
    FoundModel,
    open_as_trained,
    training_data,
)
from dbgsom_core.runs.profile import profile_clusters
from dbgsom_core.runs.results import view_of_run
from dbgsom_core.runs.session import mirror_ended, tracking_of
from dbgsom_core.tables import CsvDialect, as_texts, unseen_sentences, write_table

_DAY = 10  # characters of a date in ISO 8601


@dataclass(frozen=True)
class RowExplanation:
    """An explanation of a row's prediction, its nearest training rows, and notes."""

    explanation: Explanation
    nearest: Sequence[Mapping[str, Any]]  # number from 0, ids, target and distance of each
    notes: Sequence[str]
    target: str  # its name in the data
    ids: Mapping[str, str]  # of the row, from its file


def explain_row(
    trained: FoundModel,
    source: str,
    row: int,
    registry: Registry,
    nearest: int = 5,
    dialect: CsvDialect = UNKNOWN,
) -> RowExplanation:
    """Return the explanation of a row of a file, and the training rows nearest to it."""
    model = trained.model
    if model.looks_back:
        raise DataError("the model looks at the rows before a row, and explains none alone")
    table = open_as_trained(trained, source, registry)
    samples = FileSamples(source, model, dialect, trained.dialect, table=table)
    batch = samples.row(row)
    x = batch.X[0]
    ids = {name: as_texts(values)[0].as_py() or "" for name, values in batch.carried.items()}
    notes = [*trained.notes, *samples.notes, *unseen_sentences(samples.unseen)]
    with data_errors(f"{source}, row {row}"):
        explanation = model.explain(x, trained.feature_names)
    rows: list[dict[str, Any]] = []
    if nearest and trained.run is not None:
        try:
            _, data = _training_rows(trained, registry, notes)
            with data_errors("no nearest rows"):
                rows = _nearest_rows(model, x, data, nearest)
        except DataError as error:
            notes.append(str(error))
    target = (model.columns and model.columns.target) or "target"
    return RowExplanation(explanation, rows, notes, target, ids)


def _nearest_rows(model: FittedModel, x: Any, data: Data, count: int) -> list[dict[str, Any]]:
    """Return number, ids, target and distance of the rows of the data nearest to x (D,)."""
    estimator = model.estimator
    sample = estimator._samples(model.prepare(np.reshape(x, (1, -1))))
    point = sample.completed(estimator._tree.weights) if sample.incomplete else first_dense(sample)
    point = np.reshape(point, (1, -1)).astype(np.float64)
    distances = estimator._samples(model.prepare(data.X)).distances(point)[:, 0]
    columns = {**(data.ids or {}), **data.annotations}
    nearest = []
    for row in np.argsort(distances, kind="stable")[:count].tolist():
        ids = {name: values[row] for name, values in columns.items()}
        target = None if data.y is None else data.y[row]
        distance = float(distances[row])
        nearest.append({"row": row, "ids": ids, "target": target, "distance": distance})
    return nearest


def explore(
    trained: FoundModel,
    registry: Registry,
    source: str | None = None,
    dialect: CsvDialect = UNKNOWN,
) -> tuple[Html, int, list[str]]:
    """Return the explorer of a model, the number of its rows, and notes."""
    notes = list(trained.notes)
    if source is None:
        _, data = _training_rows(trained, registry, notes)
    else:
        data = _read(source, trained, dialect, registry, notes)
    title = trained.where if trained.run is None else title_of(trained.run)
    view = model_view(trained.model, data, trained.run, title)
    with data_errors(title):
        page: Html = registry.build("figure", "explorer").draw(view)
    return page, len(data.X), notes


def check_file(
    trained: FoundModel,
    source: str,
    registry: Registry,
    by: str | None = None,
    time: str | None = None,
    dialect: CsvDialect = UNKNOWN,
    **levels: float,
) -> Check:
    """Return what the rows of a file say that the map of a run did not know, see `check`."""
    notes = list(trained.notes)
    known = known_rows(trained, registry, by, time, notes)
    new = _read(source, trained, dialect, registry, notes, [time] if time else [])
    moments = None if time is None else moments_of(column_of(new, time, "time"), time)
    title = f"{Path(source).name} beside {trained.where}"
    found = check_rows(trained.model, known, new, moments, title=title, **levels)
    return replace(found, sentences=[*found.sentences, *notes])


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
    data = _read(source, trained, dialect, registry, notes, [by])
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


def keep_check(trained: FoundModel, registry: Registry, found: Check, name: str) -> Path:
    """Write a check into the folder of a run and send it to its trackers; return its page."""
    assert trained.run is not None
    run = trained.run.as_run()
    name = f"check-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name) or 'rows'}"
    with TemporaryDirectory() as folder:
        found.save(folder)
        for path in sorted(Path(folder).iterdir()):
            kept = run.log_artifact(f"{name}/{path.name}", path)
    number = 1 + sum("check/psi_neuron" in line.metrics for line in trained.run.scalars())
    for measure, value in found.measures.items():
        run.log_scalar(f"check/{measure}", value, number)
    mirror_ended(trained.run, tracking_of(trained.run, registry))
    return kept.with_name("check.html")


def known_rows(
    trained: FoundModel, registry: Registry, by: str | None, time: str | None, notes: list[str]
) -> Known:
    """Return the rows of a run's data: those that it was fitted to, and those of its test part.

    Where the data has the column ``time`` they are in its order; a column ``by`` of dates parts
    them by day.
    """
    experiment, data = _training_rows(trained, registry, notes)
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


def _training_rows(
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


def _read(
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
        y = np.array([known.get(text) for text in annotations.pop(target)], dtype=object)
    names = samples.columns.feature_names
    return Data(X, y, feature_names=names, ids=ids or None, annotations=annotations)


def model_view(model: FittedModel, data: Data, run: Run | StoredRun | None, title: str) -> MapView:
    """Return a loaded model as figures see it, with the samples of a data set."""
    estimator = model.estimator
    with data_errors(title):
        X = model.prepare(data.X)
        evaluation = estimator.evaluate(X, y=data.y)
    undo = model.undone if model.steps else None
    if run is None:
        names = model.names_prepared() or ()
        view: MapView = estimator._view(evaluation, feature_names=names, undo=undo, title=title)
        return view
    part = Part(X, data.y, slice(None))
    view = view_of_run(estimator, evaluation, part, data, model.steps, title)
    profile = None
    if not guarded(estimator._parts.labeller).needs_target:
        profile = profile_clusters(model, data, part.rows, X, estimator.predict(X))
    return replace(view, undo=undo, profile=profile)
