"""Explanations of the predictions of a fitted map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, as_text
from dbgsom_core.estimators.answers import Answers, usual_distance
from dbgsom_core.tables.frames import arrow_table

if TYPE_CHECKING:
    import pandas as pd

_MOST_NEIGHBOURS = 12
_MOST_SHARES = 5  # classes that are printed
_MOST_SHOWN = 8  # features that are printed
_LEAST_SHOWN = 0.005  # share that is printed
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Neighbour:
    """A linked neighbour of a sample's neuron.

    Attributes
    ----------
    unit : int
    cell : (x, y)
    label : object
    hits : float
        Its training samples.
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
    """The difference of a sample and its neuron's prototype in one feature.

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


@dataclass(frozen=True, repr=False)
class Explanation:
    """Explanation of a map's prediction for one sample; printed as a short table.

    Attributes
    ----------
    label : object
    probabilities : mapping of class to float
        Empty where the labeller has none.
    unit : int
        A row of ``weights_``.
    cell : (x, y)
    path : tuple of int
        The neuron on each map down to the leaf; one without child maps.
    hits : float
        The training samples of the leaf.
    distance, usual_distance : float
        To the prototype, and the mean distance of the leaf's training samples.
    novelty : float
        See `SomVQ.score_samples`.
    pvalue : float
        See `SomVQ.novelty_pvalue`.
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
    pvalue: float
    outlier: bool
    differences: tuple[Difference, ...]
    neighbours: tuple[Neighbour, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with value, prototype and deviations of each feature."""
        import pandas as pd

        columns = ["value", "prototype", "deviations"]
        rows = {
            as_text(one.feature): [getattr(one, it) for it in columns] for one in self.differences
        }
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return frame.rename_axis(index="feature")

    def _lines(self) -> list[str]:
        shares = sorted(self.probabilities.items(), key=lambda item: -item[1])[:_MOST_SHARES]
        rated = ", ".join(f"{one} {share:.0%}" for one, share in shares if share >= _LEAST_SHOWN)
        like = "unlike" if self.outlier else "like"
        return [
            f"label {self.label}{rated and f' ({rated})'}",
            f"neuron {self.unit} at ({self.cell[0]}, {self.cell[1]}), which won {self.hits:g} "
            f"training sample{'s' * (self.hits != 1)}; distance {self.distance:.4g}, there usually "
            f"{self.usual_distance:.4g}",
            f"novelty {self.novelty:.3g} (p {self.pvalue:.2g}): {like} the training data",
        ]

    def __repr__(self) -> str:
        names = [as_text(one.feature) for one in self.differences[:_MOST_SHOWN]]
        width = max(map(len, ["feature", *names]))
        lines = [*map(as_text, self._lines())]
        lines.append(f"{'feature':<{width}}  {'value':>10}  {'prototype':>10}  deviations")
        for name, one in zip(names, self.differences, strict=False):
            values = f"{one.value:>10.5g}  {one.prototype:>10.5g}  {one.deviations:>+10.2f}"
            lines.append(f"{name:<{width}}  {values}")
        if rest := len(self.differences) - len(names):
            lines.append(f"… and {rest} more in to_frame()")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        lines = "<br>".join(escape(as_text(line)) for line in self._lines())
        table: str = self.to_frame().to_html(float_format="{:.5g}".format, border=0)
        return f"<p>{lines}</p>{table}"


def explain_sample(
    estimator: Any,
    x: Any,
    names: Sequence[str] | None = None,
    undo: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Explanation:
    """Return the explanation of a prediction for a sample x (D,); see `FittedMap.explain`.

    ``undo`` turns samples (n, D) of the map's features into raw ones.
    """
    samples = estimator._samples(as_row(x))
    if samples.n != 1:
        raise DataError(f"explain takes one sample, not {samples.n}")
    answers = Answers(estimator, samples)
    descent, leaf = answers.descent, int(answers.leaf[0])
    shares = answers.probabilities
    path = tuple(int(neuron) for neuron in descent.path[0] if neuron >= 0)
    names = _feature_names(estimator, names)
    both = np.array([_dense(samples.X[0]), estimator._tree.weights[leaf]], dtype=np.float64)
    difference, deviations = both[0] - both[1], estimator._deviations
    # Any difference in a feature that was constant in training is infinitely many deviations.
    differs = abs(difference) > _ROUNDING * abs(both).max(axis=0)
    steps = np.where(differs, np.copysign(np.inf, difference), 0.0)
    np.divide(difference, deviations, out=steps, where=deviations > 0)
    if undo is not None:
        spread = abs(undo(both + deviations) - undo(both))
        both = undo(both)
        both = np.where(abs(both) < _ROUNDING * spread, 0.0, both)  # 0 scaled there and back
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
        pvalue=float(answers.pvalue[0]),
        outlier=bool(answers.outlier[0]),
        differences=tuple(
            Difference(names[i], float(both[0, i]), float(both[1, i]), float(steps[i]))
            for i in np.argsort(-abs(steps), kind="stable").tolist()
            if not np.isnan(steps[i])  # missing
        ),
        neighbours=tuple(_neighbours(estimator, samples, path))[:_MOST_NEIGHBOURS],
    )


def as_row(x: Any) -> Any:
    """Return a sample (D,), or a pandas row of a table, as samples (1, D)."""
    if getattr(x, "ndim", 1) == 2 or arrow_table(x) is not None:
        return x
    return x.to_frame().T if hasattr(x, "to_frame") else np.reshape(np.asarray(x), (1, -1))


def nearest_rows(
    estimator: Any, x: Any, X: Any, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the rows of X (n, D) nearest to x (1, D) in the metric, and their distances."""
    one = estimator._samples(x)
    point = one.completed(estimator._tree.weights) if one.incomplete else _dense(one.X[0])
    distances = estimator._samples(X).distances(np.reshape(point, (1, -1)).astype(np.float64))[:, 0]
    rows = np.argsort(distances, kind="stable")[:count]
    return rows, np.asarray(distances[rows], dtype=np.float64)


def _feature_names(estimator: Any, names: Sequence[str] | None) -> list[str]:
    columns, metric = estimator.som_map_.prototypes.shape[1], estimator._metric.calls
    if metric.fit is not None or columns != estimator.n_features_in_:  # another space
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
    som_map = tree.maps[number]
    linked = som_map.neighbours(path[-1])
    distances = samples.distances(som_map.prototypes[linked])[0].tolist() if linked else []
    for distance, unit in sorted(zip(distances, linked, strict=True)):
        leaf, (x, y) = int(tree.leaf_of[number][unit]), som_map.positions[unit].tolist()
        label = None if leaf < 0 else estimator.leaf_labels_[[leaf]].tolist()[0]  # a child map's
        below = (tree.paths[:, : len(path)] == (*path[:-1], unit)).all(axis=1)
        hits = float(estimator.leaf_hit_counts_[below].sum())
        yield Neighbour(unit, (x, y), label, hits, distance)
