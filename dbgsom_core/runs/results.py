"""Results of a run: figures, tables of rows, and measures.

A new table of the run folder is an entry of `tables_of`, which the tracker ``run_folder`` writes.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.experiments.answer_columns import column_names, columns_of_answers, format_path
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.measuring import measured
from dbgsom_core.experiments.models import names_after
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.interfaces.component import Component, guarded
from dbgsom_core.interfaces.figures import MapView, images_of
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.data import Fold, Part, Rows, n_classes
from dbgsom_core.runs.held_out import PART as HELD_OUT
from dbgsom_core.runs.manifest import data_title, estimator_params, name_of_params
from dbgsom_core.runs.profile import table_of_clusters, table_of_groups
from dbgsom_core.runs.text import digest
from dbgsom_core.tables import numbered

log = logging.getLogger("dbgsom")

Batches = Iterator[Mapping[str, Any]]  # columns (n,) by name, some rows after the other

_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)
_ROWS, _CELLS = 1 << 16, 1 << 20  # of a batch at most: rows, and numbers in their samples
_SCORES = {"classifier": "accuracy", "regressor": "r2"}
_SMALLEST = 1e-200  # its digits have powers of 10 that float64 holds


def view_of_run(
    estimator: Any, evaluation: Evaluation, part: Part, data: Data, steps: Any, title: str
) -> MapView:
    class_names = {}
    has_codes = data.y is not None and data.y.dtype.kind in "iu"
    if estimator._kind != "regressor" and data.target_names is not None and has_codes:
        class_names = dict(enumerate(data.target_names))
    # Cluster numbers are no classes, whatever the data set calls its classes.
    supervised = guarded(estimator._parts.labeller).needs_target
    pixels = [f"{i}" for i in range(data.X.shape[1])]
    features = names_after(steps, data.feature_names) or ()
    rows: Any = part.rows
    ids = dict(data.ids or {})  # columns that say which sample is which
    if data.annotations:
        ids = {**(ids or {"row": np.arange(len(data.X))}), **data.annotations}
    sample_ids = None if isinstance(rows, slice) else rows
    if ids and rows is not None:
        sample_ids = np.array(_joined(ids, rows))

    def of_rows(columns: Mapping[str, Any]) -> dict[str, Any]:
        return {} if rows is None else {name: values[rows] for name, values in columns.items()}

    view: MapView = estimator._view(
        evaluation,
        label_names=class_names if supervised else {},
        class_names=class_names,
        feature_names=features if len(features) == part.X.shape[1] else (),
        image_shape=data.image_shape if names_after(steps, pixels) == pixels else None,
        title=title,
        sample_ids=sample_ids,
        sample_ids_name=" ".join(ids),
        target_name="" if data.columns is None else data.columns.target or "",
        variables=of_rows(data.variables),
        annotations=of_rows({**(data.ids or {}), **data.annotations}),
        novelty=partial(estimator.score_samples, part.X),
    )
    return view


def draw_figures(
    figures: Iterable[tuple[str, Component]], view: Any, notes: list[str]
) -> dict[str, Any]:
    images: dict[str, Any] = {}
    with warnings_as_notes(notes):
        for name, figure in figures:
            try:
                images |= images_of(name, guarded(figure).draw(view))
            except Exception as error:
                add_note(notes, f"figure {name} failed ({type(error).__name__}: {error})")
    return images


@contextmanager
def warnings_as_notes(notes: list[str]) -> Iterator[None]:
    """Turn Python warnings into notes of the report, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            levels = {}
            for one in caught:
                if not issubclass(one.category, _FOR_DEVELOPERS):
                    levels[str(one.message)] = getattr(one.category, "level", logging.WARNING)
            for text, level in levels.items():
                add_note(notes, text, level)


def add_note(notes: list[str], text: str, level: int = logging.WARNING) -> None:
    notes.append(text)
    log.log(level, "%s", text)


def tables_of(
    model: FittedModel,
    data: Data,
    view: MapView,
    fold: Fold,
    divided: Sequence[tuple[Rows, Rows]],
) -> dict[str, Callable[[], Batches]]:
    """Return functions that yield batches of ``assignments``, ``neurons``, and what there is more.

    ``links`` are those of a map with refits, ``clusters`` and ``classes`` profiles, ``groups`` how
    labels are spread over them.
    ``fold`` is that of the final model, ``divided`` the training and test rows of other folds.
    """
    tables: dict[str, Callable[[], Batches]] = {
        "assignments": lambda: _assignments(model, data, _parts(len(data.X), view, fold, divided)),
        "neurons": lambda: neuron_tables(model, data.feature_names),
    }
    if (stability := view.stability) is not None:
        unit, other = stability.links.T
        links = {"unit": unit, "other": other, "stays": stability.link_shares}
        tables["links"] = lambda: iter([links])
    profiles = {"clusters": view.profile, "classes": view.class_profile}
    for name, profile in profiles.items():
        if profile is not None:
            exact = replace(profile, means=without_noise(profile.means))
            what = "cluster" if name == "clusters" else "class"
            columns = _named(table_of_clusters(exact, partial(row_names, data), what))
            tables[name] = partial(iter, [columns])
    if counts := view.groups:
        tables["groups"] = lambda: iter([_named(table_of_groups(counts))])
    return tables


def row_names(data: Data, rows: NDArray[Any]) -> list[str]:
    """Return what rows of a data set are called: their ids, or their numbers."""
    return _joined(data.ids or {"row": np.arange(len(data.X))}, rows)


def _joined(columns: Mapping[str, Any], rows: Any) -> list[str]:
    """Return the cells of rows as texts, those of a row joined by blanks."""
    cells = [np.asarray(values)[rows].tolist() for values in columns.values()]
    return [" ".join(map(str, row)) for row in zip(*cells, strict=True)]


def all_labels(model: FittedModel, data: Data) -> NDArray[Any]:
    """Return what a model answers to each row of its data set, (n,)."""
    return np.concatenate([model.predict(data.X[batch]) for batch in _batches(data)])


def _parts(
    n: int, view: MapView, fold: Fold, divided: Sequence[tuple[Rows, Rows]]
) -> dict[str, NDArray[Any]]:
    """Return how rows are divided: ``part``, whether to train on, or the ``fold`` that tested them.

    Where the answers of folds are known, they are ``held_out``.
    """
    rows = fold.train.rows
    if isinstance(rows, np.ndarray) and len(rows) < n:
        trained = np.zeros(n, dtype=np.bool_)
        trained[rows] = True
        return {"part": trained}
    numbers = fold_numbers(n, divided)
    parts: dict[str, NDArray[Any]] = {} if numbers is None else {"fold": numbers}
    if view.scored is not None and view.scored[0] == HELD_OUT:
        parts["held_out"] = np.asarray(view.scored[1].predictions)
    return parts


def fold_numbers(n: int, divided: Sequence[tuple[Rows, Rows]]) -> NDArray[np.int32] | None:
    """Return the fold (n,) that tested each row; None where not each was tested exactly once."""
    numbers, times = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    for number, (_, tested) in enumerate(divided, start=1):
        numbers[tested] = number
        times[tested] += 1
    return numbers if len(divided) > 1 and (times == 1).all() else None


def _assignments(model: FittedModel, data: Data, parts: Mapping[str, NDArray[Any]]) -> Batches:
    beside = [*data.annotations.items()]
    if data.y is not None:
        target = model.columns and model.columns.target
        beside.append((target or "target", np.asarray(data.y)))
    beside += parts.items()
    deep = model.estimator._tree.depth > 1
    names = ["unit", "x", "y", *(["path"] if deep else []), "label", "distance", "novelty"]
    for batch in _batches(data):
        answers = model.answers(data.X[batch])
        first = [(name, values[batch]) for name, values in (data.ids or {}).items()]
        if not first:
            first = [("row", np.arange(batch.start, batch.start + len(answers.unit)))]
        columns = [*first, *columns_of_answers(model, answers, names).items()]
        for name, values in beside:
            cells = values[batch]
            if values is parts.get("part"):
                cells = np.where(cells, "train", "test")
            columns.append((name, cells))
        yield _named(columns)


def _batches(data: Data) -> Iterator[slice]:
    step = max(1, min(_ROWS, _CELLS // data.X.shape[1]))
    for start in range(0, len(data.X), step):
        yield slice(start, start + step)


def neuron_tables(model: FittedModel, names: Sequence[str] | None) -> Batches:
    """Yield a table of the neurons that answer; ``names`` are those of raw features."""
    estimator, tree = model.estimator, model.estimator._tree
    deep, paths = tree.depth > 1, tree.paths.tolist()
    cells, errors = [], []
    for leaf, path in enumerate(paths):
        number, way = 0, [neuron for neuron in path if neuron >= 0]
        for neuron in way[:-1]:
            number = int(tree.child_of[number][neuron])
        cells.append(tree.maps[number].positions[way[-1]])
        # Errors of neurons below others are known on average.
        mean = estimator._usual_distance(leaf) if deep else None
        hits = estimator.leaf_hit_counts_[leaf]
        errors.append(float(estimator.errors_[leaf]) if mean is None else mean * float(hits))
    x, y = np.transpose(cells)
    labels = np.asarray(estimator.leaf_labels_)
    targets = labels.T if labels.ndim == 2 else [labels]
    prototypes = _in_columns(model, tree.weights)
    features = names or [f"feature {i}" for i in range(prototypes.shape[1])]
    yield _named(
        [
            ("unit", tree.paths[:, 0]),
            ("x", x),
            ("y", y),
            *([("path", np.array([format_path(path) for path in paths]))] if deep else []),
            ("hits", estimator.leaf_hit_counts_),
            ("error", np.array(errors)),
            *zip(column_names(model, ["label"]), targets, strict=True),
            *zip(features, without_noise(prototypes).T, strict=False),  # no prototypes: no names
        ]
    )


def _named(columns: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = numbered([name for name, _ in columns])
    return dict(zip(names, (values for _, values in columns), strict=True))


def without_noise(prototypes: NDArray[Any]) -> NDArray[np.float64]:
    """Return prototypes (K, D) without digits that are rounding errors.

    Means of 0 and 1, scaled and scaled back, are 0.30000000000000004 and -1e-17. Each column is
    rounded to 13 digits of its largest value, 6 for float32.
    """
    digits = 6 if prototypes.dtype == np.float32 else 13
    values = prototypes.astype(np.float64)
    largest = np.max(abs(values), axis=0, initial=0.0, where=np.isfinite(values))
    for column in np.flatnonzero(largest > _SMALLEST):
        places = digits - math.ceil(math.log10(largest[column]))
        values[:, column] = np.round(values[:, column], places)
    return values + 0.0  # no -0


def _in_columns(model: FittedModel, prototypes: NDArray[Any]) -> NDArray[Any]:
    """Return prototypes (L, D) in the data set's columns and units, (L, 0) where that cannot be."""
    metric, features = model.estimator._metric.calls, prototypes.shape[1]
    is_learned = metric.fit is not None or features != model.estimator.n_features_in_
    if not is_learned and not model.steps:
        return prototypes
    undo = model.undone
    if is_learned or undo is None:
        return np.empty((len(prototypes), 0))
    return undo(prototypes)


# ---------------------------------------------------------------------------- fits of programs


def run_of_fit(
    estimator: Any,
    X: Any,
    y: Any,
    folder: Path,
    measures: Sequence[str] | None = None,
    figures: Sequence[str] = (),
) -> tuple[Run, RunResult]:
    """Return a fit of a Python program and its result, with the names that a run has.

    ``folder`` is where trackers may write it. ``measures``, None: the usual ones, are of the
    training samples, and so are the ``figures``.
    """
    kind = estimator._kind
    if measures is None:
        score = _SCORES.get(kind)
        measures = ["quantization_error", "topographic_error"]
        measures += [score] if score and y is not None else []
    _, evaluation, found = measured(estimator, X, y, measures)
    features = list(map(str, getattr(estimator, "feature_names_in_", ())))
    title, notes = type(estimator).__name__, list[str]()
    view = estimator._view(evaluation, feature_names=features, title=title)
    registry = get_registry()
    drawn = draw_figures([(name, registry.build("figure", name)) for name in figures], view, notes)

    data = _facts_of_arrays(estimator, X, y)
    params = estimator_params(estimator, data["name"])
    run = Run(
        id=folder.name,
        name=name_of_params({**params, "dataset": f"{title} on {data['name']}"}),
        experiment="",
        kind="run",
        folder=folder,
        config={"model": {"estimator": kind}},
        params=params,
        environment={},
        data={**data, "feature_names": features or None},
    )
    values = {f"train/{name}": value for name, value in found.items()}
    return run, RunResult(values, history=estimator.history_, figures=drawn, notes=notes)


def _facts_of_arrays(estimator: Any, X: Any, y: Any) -> dict[str, Any]:
    file = getattr(X, "filename", None)  # of a memory-mapped array
    sizes = "x".join(str(size) if isinstance(size, int) else "?" for size in np.shape(X))
    kind = "table" if hasattr(X, "columns") else "array"
    target = None if y is None else np.asarray(y)
    if hasattr(X, "__dask_graph__"):  # which may be larger than memory
        from dask.base import tokenize

        which = str(tokenize(X, y))
    else:
        which = digest(X.toarray() if hasattr(X, "toarray") else np.asarray(X), target)
    classes = None
    if target is not None and estimator._kind != "regressor":
        classes = n_classes(target)
    return {
        "name": data_title({"path": os.fspath(file)} if file else None, f"{kind}-{sizes}"),
        "samples": len(estimator.labels_),
        "features": estimator.n_features_in_,
        "classes": classes,
        "digest": which,
    }
