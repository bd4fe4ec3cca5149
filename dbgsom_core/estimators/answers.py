"""All that a fitted map says of samples at once, and why it says so of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import DataError, ModelFileError, did_you_mean
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.som_map.tree import Descent
from dbgsom_core.training.groups import Calibration, Novelty

_MOST_NEIGHBOURS = 12
_ROUNDING = 1e-12


class Answers:
    """What a map says of n samples, each found out when it is asked for.

    It is that of the map as it was when they were given, whatever is trained meanwhile. The array
    of the samples is read then and not copied: ask before you write others into it.

    A sample belongs to the nearest neuron that won a training sample, and on to its child map's
    nearest one where it has a child map.
    """

    def __init__(self, estimator: Any, data: Samples) -> None:
        """Answer prepared samples by the map of a fitted estimator."""
        self._estimator, self._data = copy(estimator), data

    def __repr__(self) -> str:
        there = "label, unit, cell, leaf, distance, novelty, pvalue, outlier, probabilities"
        return f"<answers to {self._data.n} samples: {there}>"

    @cached_property
    def ended(self) -> Descent:
        """Where the samples came to on the live leaves."""
        ended: Descent = self._estimator._predictor.descend(self._data)
        return ended

    @property
    def unit(self) -> NDArray[np.int64]:
        """Rows of ``weights_`` that the samples belong to, int64 (n,)."""
        return self.ended.path[:, 0]

    @property
    def leaf(self) -> NDArray[np.int64]:
        """Rows of ``leaf_weights_``, int64 (n,); those of ``unit`` without child maps."""
        return self.ended.leaf

    @property
    def distance(self) -> NDArray[np.float64]:
        """Distances to the leaf's prototype in the metric's units, float64 (n,)."""
        return self.ended.distance

    @property
    def cell(self) -> NDArray[np.int64]:
        """Where the units are on the grid, (x, y) = (column, row), int64 (n, 2)."""
        cells: NDArray[np.int64] = self._estimator.som_map_.positions[self.unit]
        return cells

    @cached_property
    def _answered(self) -> NDArray[np.float64] | None:
        # What a labeller says that answers samples and not neurons.
        answering = self._estimator._answering
        return None if answering is None else answering(self._data)

    @cached_property
    def label(self) -> NDArray[Any]:
        """As `predict` gives it, (n,), or (n, T) of several numbers."""
        if self._answered is None:
            return np.asarray(self._estimator.leaf_labels_[self.leaf])
        if not hasattr(self._estimator, "classes_"):
            return self._answered
        return np.asarray(self._estimator.classes_[self._answered.argmax(axis=1)])

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """As `predict_proba` gives them, float64 (n, C) in the order of ``classes_``, or None."""
        if not hasattr(self._estimator, "classes_"):
            return None
        if self._answered is not None:
            return self._answered
        shares = self._estimator._leaf_probabilities
        return None if shares is None else np.asarray(shares[self.leaf])

    @cached_property
    def novelty(self) -> NDArray[np.float64]:
        """As `score_samples` gives it, float64 (n,)."""
        return np.asarray(self._estimator._scores(self._data, lambda: self.ended))

    @property
    def pvalue(self) -> NDArray[np.float64] | None:
        """As `novelty_pvalue` gives it, float64 (n,); None for a map that was saved without it."""
        known = self._estimator._novelty
        return known.pvalues(self.novelty) if isinstance(known, Calibration) else None

    @property
    def outlier(self) -> NDArray[np.bool_]:
        """Where the novelty is below ``offset_``, bool (n,)."""
        return np.asarray(self.novelty < self._estimator._novelty.offset)


@dataclass(frozen=True)
class Neighbour:
    """A neuron beside the one of a sample.

    Attributes
    ----------
    unit : int
    cell : (x, y)
    label : object
    hits : float
        The training samples that it won.
    distance : float
        Of the sample to its prototype.
    """

    unit: int
    cell: tuple[int, int]
    label: Any
    hits: float
    distance: float


@dataclass(frozen=True)
class Difference:
    """How far one feature of a sample is from that of its neuron's prototype.

    Attributes
    ----------
    feature : str
    value, prototype : float
    deviations : float
        ``value`` - ``prototype`` in standard deviations of the feature in the training data.
    """

    feature: str
    value: float
    prototype: float
    deviations: float


@dataclass(frozen=True)
class Explanation:
    """Why a map answers to one sample as it does.

    Attributes
    ----------
    label : object
    probabilities : mapping of class to float
        Empty where the labeller gives none.
    unit : int
        A row of ``weights_``.
    cell : (x, y)
    path : tuple of int
        The neuron on each map of the way down; one without child maps.
    hits : float
        The training samples that ended there.
    distance, usual_distance : float
        To the prototype, and the mean distance of the training samples there.
    novelty : float
        See `SomVQ.score_samples`.
    pvalue : float or None
        See `SomVQ.novelty_pvalue`; None for a map that was saved without it.
    outlier : bool
    differences : tuple of Difference
        Of all observed features, the largest in deviations first.
    neighbours : tuple of Neighbour
        The linked neurons, nearest to the sample first; of the child map at the end of ``path``.
    """

    label: Any
    probabilities: Mapping[Any, float]
    unit: int
    cell: tuple[int, int]
    path: tuple[int, ...]
    hits: float
    distance: float
    usual_distance: float
    novelty: float
    pvalue: float | None
    outlier: bool
    differences: tuple[Difference, ...]
    neighbours: tuple[Neighbour, ...]


def explained(
    estimator: Any,
    x: Any,
    names: Sequence[str] | None = None,
    undo: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Explanation:
    """Return why a fitted map answers to a sample x (D,) as it does; see `FittedMap.explain`.

    ``undo`` turns samples (n, D) of the map's features into those that are shown.
    """
    samples = estimator._samples(as_row(x))
    if samples.n != 1:
        raise DataError(f"one sample is explained at a time, not {samples.n}")
    if not hasattr(estimator, "_deviations"):
        raise ModelFileError(
            "this map was saved by a version that explains nothing; fit and save it again"
        )
    answers = Answers(estimator, samples)
    ended, leaf = answers.ended, int(answers.leaf[0])
    shares = answers.probabilities
    path = tuple(int(neuron) for neuron in ended.path[0] if neuron >= 0)
    names = _feature_names(estimator, names)
    both = np.array([_dense(samples.X[0]), estimator._tree.weights[leaf]], dtype=np.float64)
    difference, deviations = both[0] - both[1], estimator._deviations
    # A feature that never varied is far away as soon as it differs at all.
    differs = abs(difference) > _ROUNDING * abs(both).max(axis=0)
    steps = np.where(differs, np.copysign(np.inf, difference), 0.0)
    np.divide(difference, deviations, out=steps, where=deviations > 0)
    if undo is not None:
        both = undo(both)
    return Explanation(
        label=answers.label.tolist()[0],
        probabilities={}
        if shares is None
        else dict(zip(estimator.classes_.tolist(), shares[0].tolist(), strict=True)),
        unit=int(answers.unit[0]),
        cell=(int(answers.cell[0, 0]), int(answers.cell[0, 1])),
        path=path,
        hits=float(estimator.leaf_hit_counts_[leaf]),
        distance=float(answers.distance[0]),
        usual_distance=usual_distance(estimator, leaf),
        novelty=float(answers.novelty[0]),
        pvalue=None if answers.pvalue is None else float(answers.pvalue[0]),
        outlier=bool(answers.outlier[0]),
        differences=tuple(
            Difference(names[i], float(both[0, i]), float(both[1, i]), float(steps[i]))
            for i in np.argsort(-abs(steps), kind="stable").tolist()
            if not np.isnan(steps[i])  # missing
        ),
        neighbours=tuple(_neighbours(estimator, samples, path))[:_MOST_NEIGHBOURS],
    )


def usual_distance(estimator: Any, leaf: int) -> float:
    """Return the mean distance of the training samples of a leaf to it; 0 where there are none."""
    if isinstance(estimator._novelty, Novelty):
        return float(estimator._novelty.means[leaf])
    memory = estimator._memory
    there = memory.units == leaf
    if not there.any():
        return 0.0
    return float(np.average(memory.scatter[there], weights=memory.weights[there]))


def as_row(x: Any) -> Any:
    """Return a sample (D,), a row of a table as pandas gives it included, as samples (1, D)."""
    if getattr(x, "ndim", 1) == 2:
        return x
    return x.to_frame().T if hasattr(x, "to_frame") else np.reshape(np.asarray(x), (1, -1))


def nearest_rows(
    estimator: Any, x: Any, X: Any, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which rows of X (n, D) are nearest to x (1, D) in the metric, and their distances."""
    one = estimator._samples(x)
    point = one.completed(estimator._tree.weights) if one.incomplete else _dense(one.X[0])
    distances = estimator._samples(X).distances(np.reshape(point, (1, -1)).astype(np.float64))[:, 0]
    rows = np.argsort(distances, kind="stable")[:count]
    return rows, np.asarray(distances[rows], dtype=np.float64)


def _feature_names(estimator: Any, names: Sequence[str] | None) -> list[str]:
    columns, metric = estimator.som_map_.prototypes.shape[1], estimator._metric.abilities
    if metric.fit is not None or columns != estimator.n_features_in_:  # a space of its own
        return [f"axis {i}" for i in range(columns)]
    if names is None:
        names = getattr(estimator, "feature_names_in_", None)
    return [f"feature {i}" for i in range(columns)] if names is None else list(map(str, names))


def _dense(row: Any) -> NDArray[Any]:
    return np.ravel(row.toarray() if hasattr(row, "toarray") else row)


def _neighbours(estimator: Any, samples: Any, path: tuple[int, ...]) -> Iterator[Neighbour]:
    tree, number = estimator._tree, 0
    for neuron in path[:-1]:
        number = int(tree.child_of[number][neuron])
    som_map, leaves = tree.maps[number], tree.leaf_of[number]
    linked = som_map.neighbours(path[-1])
    distances = samples.distances(som_map.prototypes[linked])[0].tolist() if linked else []
    for distance, unit in sorted(zip(distances, linked, strict=True)):
        leaf, (x, y) = int(leaves[unit]), som_map.positions[unit].tolist()
        if leaf >= 0:
            label = estimator.leaf_labels_[[leaf]].tolist()[0]
            hits = float(estimator.leaf_hit_counts_[leaf])
        else:  # it has a child map
            inside = tree.paths[:, : len(path)] == (*path[:-1], unit)
            hits = float(estimator.leaf_hit_counts_[inside.all(axis=1)].sum())
            label = None
        yield Neighbour(unit, (x, y), label, hits, distance)


# ------------------------------------------------------------------------ as named columns

COLUMNS = (
    "label", "unit", "x", "y", "path", "distance", "novelty", "pvalue", "outlier", "probabilities",
)  # fmt: skip
Table = dict[str, Any]  # a column (n,) by its name


def as_samples(model: Any, X: Any) -> Any:
    """Return samples of any kind as the model's first step takes them without a warning."""
    if model.columns is not None or hasattr(X, "tocsr"):
        return X
    first = model.steps[0][1] if model.steps else model.estimator
    names = getattr(first, "feature_names_in_", None)
    if hasattr(X, "iloc"):
        frame = X.astype(np.float64)
        return frame.to_numpy() if names is None else frame
    array = np.asarray(X, dtype=np.float64)
    if names is None or array.ndim != 2 or array.shape[1] != len(names):
        return array
    import pandas as pd

    return pd.DataFrame(array, columns=names)


def chosen_columns(model: Any, columns: Sequence[str]) -> list[str]:
    """Return which columns are wanted: those given, or all that a model has."""
    estimator, lacking = model.estimator, {}
    if not isinstance(estimator._novelty, Calibration):
        lacking["pvalue"] = "it was saved by an older version"
    if not hasattr(estimator, "classes_") or estimator._leaf_probabilities is None:
        lacking["probabilities"] = "its labeller gives none"
    if not columns:
        deep = bool(estimator.som_map_.children)
        return [name for name in COLUMNS if not lacking.get(name) and (deep or name != "path")]
    for name in columns:
        if name not in COLUMNS:
            raise DataError(
                f"there is no column '{name}'{did_you_mean(name, COLUMNS)}; there are "
                f"{', '.join(COLUMNS)}"
            )
        if lacking.get(name):
            raise DataError(f"the model has no {name}: {lacking[name]}")
    return list(dict.fromkeys(columns))


def written_columns(model: Any, names: Sequence[str]) -> list[str]:
    """Return what columns are called in a table: one for each class, target, and column of the
    labeller.
    """
    several = {}
    if "probabilities" in names:
        classes = model.estimator.classes_.tolist()
        several["probabilities"] = [f"probability_{one}" for one in classes]
    if model.estimator.leaf_labels_.ndim == 2:  # of several targets, or numbers of one
        columns = LabellerAbilities.of(model.estimator._parts.labeller).columns
        numbers = columns or range(model.estimator.leaf_labels_.shape[1])
        several["label"] = [f"label_{number}" for number in numbers]
    return [one for name in names for one in several.get(name, [name])]


def answer_columns(model: Any, answers: Answers, names: Sequence[str]) -> Table:
    """Return the named columns of what a model answered, an array (n,) each."""
    table: Table = {}
    for name in names:
        if name in ("x", "y"):
            table[name] = answers.cell[:, ("x", "y").index(name)]
        elif name == "path":
            paths = np.array([way_of(path) for path in model.estimator._tree.paths.tolist()])
            table[name] = paths[answers.leaf]
        elif name == "probabilities" or (name == "label" and answers.label.ndim == 2):
            columns = answers.label if name == "label" else np.asarray(answers.probabilities)
            table |= zip(written_columns(model, [name]), columns.T, strict=True)
        else:
            table[name] = getattr(answers, name)
    return table


def way_of(path: Sequence[int]) -> str:
    """Return the rows of the neurons on the way to a leaf as text, ``6/2``."""
    return "/".join(str(neuron) for neuron in path if neuron >= 0)
