"""Rows that a run leaves behind: where each sample ended, what each neuron is, how sure links are.

A new column of ``assignments.csv`` or ``neurons.csv`` is added here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin

from dbgsom_core.estimators.answers import answer_columns, usual_distance, way_of, written_columns
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.measures import Stability
from dbgsom_core.tables import numbered

Batches = Iterator[Mapping[str, Any]]  # columns (n,) by name, some rows after the other
_ROWS, _CELLS = 1 << 16, 1 << 20  # of a batch at most: rows, and numbers in their samples
_EXACT_POWERS = 22  # of 10, in float64


def tables_of(
    model: FittedModel, data: Data, stability: Stability | None = None
) -> dict[str, Callable[[], Batches]]:
    """Return functions that yield ``assignments`` and ``neurons``, and with a stability ``links``.

    Samples are the raw ones of the data set, in its order; a batch of them is looked at at a time.
    """
    tables: dict[str, Callable[[], Batches]] = {
        "assignments": lambda: _assignments(model, data),
        "neurons": lambda: _neurons(model, data.feature_names),
    }
    if stability is not None:
        unit, other = stability.links.T
        links = {"unit": unit, "other": other, "stays": stability.link_shares}
        tables["links"] = lambda: iter([links])
    return tables


def _assignments(model: FittedModel, data: Data) -> Batches:
    ids, deep = dict(data.ids or {}), model.estimator._tree.depth > 1
    names = ["unit", "x", "y", *(["path"] if deep else []), "label", "distance", "novelty"]
    step = max(1, min(_ROWS, _CELLS // data.X.shape[1]))
    for start in range(0, len(data.X), step):
        part = slice(start, start + step)
        answers = model.answers(data.X[part])
        first = {name: values[part] for name, values in ids.items()}
        if not ids:
            first = {"row": np.arange(start, start + len(answers.unit))}
        beside = {name: values[part] for name, values in data.annotations.items()}
        columns = [*first.items(), *answer_columns(model, answers, names).items()]
        yield _named([*columns, *beside.items()])


def _neurons(model: FittedModel, names: Sequence[str] | None) -> Batches:
    estimator, tree = model.estimator, model.estimator._tree
    deep, paths = tree.depth > 1, tree.paths.tolist()
    cells, errors = [], []
    for leaf, path in enumerate(paths):
        number, way = 0, [neuron for neuron in path if neuron >= 0]
        for neuron in way[:-1]:
            number = int(tree.child_of[number][neuron])
        cells.append(tree.maps[number].positions[way[-1]])
        # Errors of neurons below others are known on average.
        mean = usual_distance(estimator, leaf) if deep else None
        hits = estimator.leaf_hit_counts_[leaf]
        errors.append(float(estimator.errors_[leaf]) if mean is None else mean * float(hits))
    x, y = np.transpose(cells)
    labels = np.asarray(estimator.leaf_labels_)
    targets = labels.T if labels.ndim == 2 else [labels]
    prototypes = _in_columns(model, tree.weights)
    if prototypes is None:
        prototypes = np.empty((len(tree), 0))
    features = names or [f"feature {i}" for i in range(prototypes.shape[1])]
    yield _named(
        [
            ("unit", tree.paths[:, 0]),
            ("x", x),
            ("y", y),
            *([("path", np.array([way_of(path) for path in paths]))] if deep else []),
            ("hits", estimator.leaf_hit_counts_),
            ("error", np.array(errors)),
            *zip(written_columns(model, ["label"]), targets, strict=True),
            *zip(features, without_noise(prototypes).T, strict=False),  # no prototypes: no names
        ]
    )


def _named(columns: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return columns by their names, a name that is there again numbered: an id may be ``unit``."""
    names = numbered([name for name, _ in columns])
    return dict(zip(names, (values for _, values in columns), strict=True))


def without_noise(prototypes: NDArray[Any]) -> NDArray[np.float64]:
    """Return prototypes (K, D) to so many decimals that rounding is not told.

    Means of 0 and 1 that were scaled and scaled back are 0.30000000000000004 and -1e-17. Of each
    column 13 digits of its largest value stay, 6 of float32.
    """
    digits = 6 if prototypes.dtype == np.float32 else 13
    values = prototypes.astype(np.float64)
    largest = np.max(abs(values), axis=0, initial=0.0, where=np.isfinite(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        places = digits - np.ceil(np.log10(largest))
    known = (places >= 0) & (places <= _EXACT_POWERS)  # neither huge, tiny nor all 0
    powers = 10.0 ** np.where(known, places, 0.0)
    rounded = np.round(values * powers) / powers + 0.0
    return np.where(known, rounded, values)


def _in_columns(model: FittedModel, prototypes: NDArray[Any]) -> NDArray[Any] | None:
    """Return prototypes (L, D) in the data set's columns and units; None where that cannot be.

    A metric with a space of its own has prototypes in the columns, if not in the units.
    """
    metric = model.estimator._metric.abilities
    own_space = metric.prepare is not None
    if metric.fit is not None or prototypes.shape[1] != model.estimator.n_features_in_:
        return None
    for _, step in reversed(model.steps):
        undo = getattr(step, "inverse_transform", None)
        if own_space or undo is None or not isinstance(step, OneToOneFeatureMixin):
            return None
        prototypes = undo(prototypes)
    return np.asarray(prototypes)
