"""A run's map as figures see it, drawing them, and notes of what went wrong meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from dbgsom_core.errors import level_of
from dbgsom_core.estimators.exploring import view_of
from dbgsom_core.estimators.scaling import names_after
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import MapView, images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.privacy import masked, masked_name, private_logger
from dbgsom_core.runs.data.loading import Part
from dbgsom_core.runs.ends import asked
from dbgsom_core.runs.patience import Aside

log = private_logger("dbgsom")

_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)


def view_of_run(
    estimator: Any, evaluation: Evaluation, part: Part, data: Data, steps: Any, title: str
) -> MapView:
    """Return the map of a run with a part of a data set, after ``steps``, as figures see it."""
    names = {}
    if estimator._kind != "regressor" and data.target_names is not None and data.y is not None:
        names = dict(enumerate(data.target_names)) if data.y.dtype.kind in "iu" else {}
    # Cluster numbers are no classes, whatever the data set calls its classes.
    supervised = LabellerAbilities.of(estimator._parts.labeller).needs_target
    pixels = [f"{i}" for i in range(data.X.shape[1])]
    features = names_after(steps, data.feature_names) or ()
    return view_of(
        estimator,
        evaluation,
        label_names=names if supervised else {},
        class_names=names,
        feature_names=features if len(features) == part.X.shape[1] else (),
        image_shape=data.image_shape if names_after(steps, pixels) == pixels else None,
        title=title,
        sample_ids=_ids(data, part),
        sample_ids_name=" ".join(_identities(data)),
        target_name="" if data.columns is None else data.columns.target or "",
        variables=_variables(data, part),
        novelty=partial(estimator.score_samples, part.X),
    )


def _identities(data: Data) -> dict[str, Any]:
    """Return the columns that say which sample is which: ids, or rows, with dates beside them."""
    if not data.annotations:
        return dict(data.ids or {})
    return {**(data.ids or {"row": np.arange(len(data.X))}), **data.annotations}


def _ids(data: Data, part: Part) -> Any:
    columns = _identities(data)
    if not columns or part.rows is None:
        return None if isinstance(part.rows, slice) else part.rows
    found = [[str(one) for one in cells[part.rows].tolist()] for cells in columns.values()]
    return np.array([" ".join(one) for one in zip(*found, strict=True)])


def _variables(data: Data, part: Part) -> dict[str, Any]:
    if part.rows is None:
        return {}
    return {name: values[part.rows] for name, values in data.variables.items()}


def drawn(
    figures: Iterable[tuple[str, Component]], view: Any, patience: float, notes: list[str]
) -> dict[str, Any]:
    """Return figures by name; one that cannot be drawn is a note."""
    made: dict[str, Any] = {}
    with noted(notes):
        for name, figure in figures:
            try:
                draw = partial(guarded("figure", figure, "draw"), view)
                made |= images_of(masked_name(name), Aside(patience).do(draw))
            except Exception as error:
                note(notes, f"figure {name} failed ({type(error).__name__}: {error})")
            asked.check()
    return made


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Turn Python warnings into notes of the report, each told once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            told = (one for one in caught if not issubclass(one.category, _FOR_DEVELOPERS))
            levels = {str(one.message): level_of(one.category) for one in told}
            for text, level in levels.items():
                note(notes, text, level)


def note(notes: list[str], text: str, level: int = logging.WARNING) -> None:
    """Add a note to those of the report, secrets masked, and tell it now."""
    notes.append(masked(text))
    log.log(level, "%s", notes[-1])
