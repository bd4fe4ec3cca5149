"""The tables that a run leaves behind: where each sample ended, and what each neuron is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin

from dbgsom_core.estimators.answer_columns import answer_columns, way_of
from dbgsom_core.estimators.answers import usual_distance
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.columns import numbered
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.files import write_atomically
from dbgsom_core.interfaces.privacy import masked
from dbgsom_core.interfaces.stability import Stability
from dbgsom_core.runs.csv_lines import CsvLines

Rows = Iterator[Sequence[Any]]
_ROWS = 1 << 13  # as Python objects, of some 500 bytes each
_CHUNK, _CELLS = 1 << 16, 1 << 20  # rows at most, and numbers in their samples
_EXACT_POWERS = 22  # of 10, in float64


def tables_of(
    model: FittedModel, data: Data, stability: Stability | None = None
) -> dict[str, Callable[[], Rows]]:
    """Return what makes the rows of ``assignments`` and ``neurons``, the names of columns first,
    and with a stability of ``links``.

    Samples are the raw ones of the data set, in its order; a chunk of them is looked at at a time.
    """
    tables = {
        "assignments": lambda: RowsOfColumns(_assignments(model, data)),
        "neurons": lambda: _neurons(model, data.feature_names),
    }
    if stability is not None:
        tables["links"] = lambda: _links(stability)
    return tables


def _links(stability: Stability) -> Rows:
    yield ["unit", "other", "stays"]
    for (one, other), share in zip(
        stability.links.tolist(), stability.link_shares.tolist(), strict=True
    ):
        yield [one, other, "" if math.isnan(share) else share]


class RowsOfColumns(Rows):
    """Rows of a table that is made some columns (n,) at a time, the names of columns first.

    Who writes them takes the columns, which are a tenth of the work that rows are.
    """

    def __init__(self, chunks: Iterator[Mapping[str, Any]]) -> None:
        self._chunks, self._rows = chunks, self._each()

    def columns(self) -> Iterator[Mapping[str, Any]]:
        """Yield the columns of some rows after the other, all of them, in place of the rows."""
        return self._chunks

    def __next__(self) -> Sequence[Any]:
        """Return the next row."""
        return next(self._rows)

    def _each(self) -> Rows:
        for number, chunk in enumerate(self._chunks):
            if not number:
                yield [*chunk]
            yield from zip(*(np.asarray(one).tolist() for one in chunk.values()), strict=True)


def write_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as a CSV file, atomically and a chunk at a time; secrets in them are masked."""

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            if isinstance(rows, RowsOfColumns):
                lines = CsvLines(mask=masked)
                for number, chunk in enumerate(rows.columns()):
                    if not number:
                        file.write(lines.header(chunk))
                    file.writelines(lines.blocks(chunk))
                return
            left = iter(rows)
            while some := list(islice(left, _ROWS)):
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerows(some)
                file.write(masked(text.getvalue()).encode())

    write_atomically(path, write)


def _assignments(model: FittedModel, data: Data) -> Iterator[Mapping[str, Any]]:
    ids, deep = dict(data.ids or {}), model.estimator._tree.depth > 1
    names = ["unit", "x", "y", *(["path"] if deep else []), "label", "distance", "novelty"]
    step = max(1, min(_CHUNK, _CELLS // data.X.shape[1]))
    for start in range(0, len(data.X), step):
        part = slice(start, start + step)
        found = model.answers(data.X[part])
        first = {name: one[part] for name, one in ids.items()}
        if not ids:
            first = {"row": np.arange(start, start + len(found.unit))}
        told = answer_columns(model, found, names)
        both = numbered([*first, *told])  # an id may be called unit
        yield dict(zip(both, [*first.values(), *told.values()], strict=True))


def _neurons(model: FittedModel, names: Sequence[str] | None) -> Rows:
    estimator, tree = model.estimator, model.estimator._tree
    deep = tree.depth > 1
    prototypes = _in_columns(model, tree.weights)
    if prototypes is None:
        names, prototypes = (), np.empty((len(tree), 0))
    if names is None:
        names = [f"feature {i}" for i in range(prototypes.shape[1])]
    told = without_noise(prototypes).tolist()
    yield ["unit", "x", "y", *(["path"] if deep else []), "hits", "error", "label", *names]
    for leaf, path in enumerate(tree.paths.tolist()):
        number, way = 0, [neuron for neuron in path if neuron >= 0]
        for neuron in way[:-1]:
            number = int(tree.child_of[number][neuron])
        hits = estimator.leaf_hit_counts_[leaf].item()
        # Of neurons below others it is known on average.
        mean = usual_distance(estimator, leaf) if deep else None
        error = float(estimator.errors_[leaf]) if mean is None else mean * hits
        yield [
            way[0],
            *tree.maps[number].positions[way[-1]].tolist(),
            *([way_of(path)] if deep else []),
            hits,
            error,
            estimator.leaf_labels_[[leaf]].tolist()[0],
            *told[leaf],
        ]


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
