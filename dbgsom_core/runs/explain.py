"""Explain and explore models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dbgsom_core.errors import DataError
from dbgsom_core.estimators.explanations import Explanation, first_dense
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.figures import Html, MapView
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.data import Part, data_errors
from dbgsom_core.runs.describe import title_of
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.predict import (
    UNKNOWN,
    FileSamples,
    FoundModel,
    open_as_trained,
)
from dbgsom_core.runs.profile import profile_clusters
from dbgsom_core.runs.results import view_of_run
from dbgsom_core.runs.rows import read_rows, training_rows
from dbgsom_core.tables import CsvDialect, as_texts, unseen_sentences


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
            _, data = training_rows(trained, registry, notes)
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
        _, data = training_rows(trained, registry, notes)
    else:
        data = read_rows(source, trained, dialect, registry, notes)
    title = trained.where if trained.run is None else title_of(trained.run)
    view = model_view(trained.model, data, trained.run, title)
    with data_errors(title):
        page: Html = registry.build("figure", "explorer").draw(view)
    return page, len(data.X), notes


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
