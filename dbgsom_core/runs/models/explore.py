"""The explorer of a model, or of two beside each other, with the rows of their data or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.estimators.archive import ArchiveError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.film import load_film
from dbgsom_core.runs.manifest import title_of
from dbgsom_core.runs.models.find import FoundModel, training_data
from dbgsom_core.runs.models.samples import UNKNOWN, FileSamples
from dbgsom_core.runs.models.side_by_side import seen
from dbgsom_core.tables import CsvDialect, Faults, as_texts


@dataclass(frozen=True)
class Explored:
    """A page, how many rows it shows, and what a reader should know."""

    page: Html
    rows: int
    notes: Sequence[str]


def explore(
    found: FoundModel,
    other: FoundModel | None,
    registry: Registry,
    source: str | None = None,
    dialect: CsvDialect = UNKNOWN,
) -> Explored:
    """Draw the explorer of one model, or of two with the same rows."""
    both = [found] if other is None else [found, other]
    notes = [note for one in both for note in one.notes]
    if source is None:
        learnt = _learnt(found, registry, notes)
        digests = {None if one.run is None else one.run.data.get("digest") for one in both}
        if len(digests - {None}) > 1:
            raise DataError(
                f"{' and '.join(one.where for one in both)} did not learn from the same data: give "
                "the rows to show on both maps with --data FILE"
            )
        data = [learnt] * len(both)
    else:
        data = [_read(source, one, dialect, notes) for one in both]
    titles = [one.where if one.run is None else title_of(one.run) for one in both]
    if len(set(titles)) < len(titles):
        titles = [f"{title} ({one.where})" for title, one in zip(titles, both, strict=True)]
    views = []
    for one, rows, title in zip(both, data, titles, strict=True):
        film: Mapping[int, NDArray[np.float32]] = {}
        try:
            film = {} if one.run is None else load_film(one.run.files.film)
        except (ArchiveError, OSError) as error:
            notes.append(f"the film of {one.where} {error}: its page goes without past epochs")
        views.append(replace(seen(one.model, rows, one.run, title), film=film))
    view = views[0] if other is None else replace(views[0], other=views[1])
    try:
        page: Html = registry.build("figure", "explorer").draw(view)
    except ValueError as error:
        raise DataError(str(error)) from error
    return Explored(page, len(data[0].X), list(dict.fromkeys(notes)))


def _learnt(found: FoundModel, registry: Registry, notes: list[str]) -> Data:
    run = found.run
    if run is None:
        raise DataError(
            f"{found.where} does not say which data its model learnt from: give rows with "
            "--data FILE"
        )
    try:
        data, is_same = training_data(run, registry)
    except DbgsomError as error:
        why = str(error).splitlines()[0]
        raise DataError(
            f"the data of {found.where} cannot be had ({why}): give rows with --data FILE"
        ) from error
    if not is_same:
        notes.append(f"the data is not what it was when {found.where} learnt from it")
    return data


def _read(source: str, found: FoundModel, dialect: CsvDialect, notes: list[str]) -> Data:
    samples, faults = FileSamples(source, found.model, dialect, found.dialect), Faults()
    batches = list(samples.batches())
    for batch in batches:
        faults.merge(batch.faults)
    if faults:
        raise DataError(samples.message(faults))
    notes.extend(samples.notes)
    if not batches or not sum(len(batch.X) for batch in batches):
        raise DataError(f"{source} has no rows to show")
    columns = found.model.columns
    return Data(
        np.concatenate([batch.X for batch in batches]),
        feature_names=None if columns is None else columns.feature_names,
        ids=_joined([batch.ids for batch in batches]) or None,
        annotations=_joined([batch.annotations for batch in batches]),
    )


def _joined(parts: Sequence[Mapping[str, pa.Array]]) -> dict[str, NDArray[Any]]:
    """Return the columns of all batches as text, nothing where a cell is empty."""
    columns = {
        name: pa.chunked_array([as_texts(part[name]) for part in parts]).fill_null("")
        for name in parts[0]
    }
    return {name: column.to_numpy() for name, column in columns.items()}
