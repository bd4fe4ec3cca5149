"""Why a model answers to one row of a file as it does, and the training samples nearest to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.estimators.answers import Explanation, nearest_rows
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.models.find import FoundModel, training_data
from dbgsom_core.runs.models.samples import UNKNOWN, FileSamples
from dbgsom_core.tables import CsvDialect, as_texts, unseen_sentences


@dataclass(frozen=True)
class Like:
    """A row of the training data: its number from 0, what identifies it, target and distance."""

    row: int
    ids: dict[str, Any]
    target: Any
    distance: float


@dataclass(frozen=True)
class Explained:
    """An explanation, the rows of the training data nearest to it, and what a reader should know.

    ``target`` is what the data calls it, and ``ids`` are what identifies the row, where its file
    says so.
    """

    explanation: Explanation
    nearest: Sequence[Like]
    notes: Sequence[str]
    target: str = "target"
    ids: Mapping[str, str] = field(default_factory=dict)


def explain_row(
    found: FoundModel,
    source: str,
    row: int,
    registry: Registry,
    nearest: int = 5,
    dialect: CsvDialect = UNKNOWN,
) -> Explained:
    """Say why a model answers to one row of a file as it does."""
    model = found.model
    samples = FileSamples(source, model, dialect, found.dialect)
    batch = samples.row(row)
    x = batch.X[0]
    carried = {**batch.ids, **batch.annotations}
    texts = {name: as_texts(values)[0].as_py() for name, values in carried.items()}
    ids = {name: text for name, text in texts.items() if text is not None}
    notes = [*found.notes, *samples.notes, *unseen_sentences(samples.unseen)]
    if gaps := int(np.isnan(np.asarray(x, dtype=np.float64)).sum()):
        notes.append(f"{gaps} of its features have no value, and are left out of its distances")
    data = _training_data(found, registry, notes) if nearest else None
    try:
        explanation = model.explain(x, found.feature_names)
    except DbgsomError:
        raise
    except ValueError as error:
        raise DataError(f"{source}, row {row}: {error}") from error
    like: Sequence[Like] = ()
    if data is not None:
        like = _nearest(model, x, data, nearest)
    target = (model.columns and model.columns.target) or "target"
    return Explained(explanation, like, notes, target, ids)


def _training_data(found: FoundModel, registry: Registry, notes: list[str]) -> Data | None:
    if found.run is None:
        return None
    try:
        data, is_same = training_data(found.run, registry)
    except DbgsomError as error:
        notes.append(f"the training data cannot be had: {str(error).splitlines()[0]}")
        return None
    if is_same:
        return data
    notes.append("the training data is not what it was in the run: nearest rows are left out")
    return None


def _nearest(model: FittedModel, x: Any, data: Data, count: int) -> list[Like]:
    one, X = model.prepare(np.reshape(x, (1, -1))), model.prepare(data.X)
    rows, distances = nearest_rows(model.estimator, one, X, count)
    ids = {**(data.ids or {}), **data.annotations}
    return [
        Like(
            row,
            {name: values[row] for name, values in ids.items()},
            None if data.y is None else data.y[row],
            distance,
        )
        for row, distance in zip(rows.tolist(), distances.tolist(), strict=True)
    ]
