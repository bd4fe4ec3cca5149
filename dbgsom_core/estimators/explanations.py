"""Explanations of the predictions of a fitted map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, as_text

_MOST_NEIGHBOURS = 12  # a hexagon has six, and cells of a plugin's grid may have many
# Printed are so many classes and features, of which a terminal shows all, and shares of classes
# that are not rounded to 0 %.
_MOST_SHARES, _MOST_SHOWN, _LEAST_SHOWN = 5, 8, 0.005
_ROUNDING = 1e-12  # relative: less is what float64 arithmetic makes of equal numbers


@dataclass(frozen=True)
class Neighbour:
    """A linked neighbour of a sample's neuron.

    Attributes
    ----------
    unit : int
    cell : (x, y)
    label : object
        None of a neuron with a child map.
    distance : float
        Of the sample to its prototype.
    """

    unit: int
    cell: tuple[int, int]
    label: Any
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

    def to_frame(self) -> Any:
        """Return a data frame with value, prototype and deviations of each feature."""
        rows = {}
        for each in self.differences:
            rows[as_text(each.feature)] = [each.value, each.prototype, each.deviations]
        return data_frame("feature", ["value", "prototype", "deviations"], rows)

    def __repr__(self) -> str:
        return self.to_text()

    def to_text(self, features: int = _MOST_SHOWN) -> str:
        """Return the explanation as text, with up to so many features."""
        answer = f"label {self.label}"
        most_probable = sorted(self.probabilities.items(), key=lambda item: -item[1])
        classes = []
        for name, share in most_probable[:_MOST_SHARES]:
            if share >= _LEAST_SHOWN:
                classes.append(f"{name} {share:.0%}")
        if classes:
            answer += f" ({', '.join(classes)})"
        like = "unlike" if self.outlier else "like"
        table = self.to_frame().head(features).reset_index()
        text = as_text(
            f"{answer}\n"
            f"neuron {self.unit} at {self.cell}, training samples: {self.hits:g}, distance "
            f"{self.distance:.4g}, there usually {self.usual_distance:.4g}\n"
            f"novelty {self.novelty:.3g} (p {self.pvalue:.2g}): {like} the training data\n"
            f"{table.to_string(index=False, float_format='{:.5g}'.format)}"
        )
        hidden = len(self.differences) - features
        if hidden > 0:
            text += f"\n… and {hidden} more features"
        return text


def explain_sample(
    estimator: Any,
    x: Any,
    names: Sequence[str] | None = None,
    undo: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Explanation:
    """Return the explanation of a prediction for a sample x (D,); see `FittedMap.explain`.

    ``undo`` turns samples (n, D) of the map's features into raw ones.
    """
    answers = estimator.answers(as_row(x))
    samples = answers.samples
    if samples.n != 1:
        raise DataError(f"explain takes one sample, not {samples.n}")
    leaf = int(answers.leaf[0])
    path = tuple(neuron for neuron in answers.descent.path[0].tolist() if neuron >= 0)  # -1: none
    probabilities = {}
    if answers.probabilities is not None:
        shares = answers.probabilities[0].tolist()
        probabilities = dict(zip(estimator.classes_.tolist(), shares, strict=True))
    return Explanation(
        label=answers.label.tolist()[0],
        probabilities=probabilities,
        unit=path[0],
        cell=tuple(answers.cell[0].tolist()),
        path=path,
        hits=float(estimator.leaf_hit_counts_[leaf]),
        distance=float(answers.distance[0]),
        usual_distance=estimator._usual_distance(leaf),
        novelty=float(answers.novelty[0]),
        pvalue=float(answers.pvalue[0]),
        outlier=bool(answers.outlier[0]),
        differences=tuple(_differences(estimator, samples, leaf, names, undo)),
        neighbours=tuple(_neighbours(estimator, samples, path))[:_MOST_NEIGHBOURS],
    )


def data_frame(index: str, columns: Sequence[str], rows: dict[str, Any]) -> Any:
    """Return rows by name as a pandas data frame, whose index has a name."""
    import pandas as pd  # nothing else of estimators, training and engine needs it

    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    return frame.rename_axis(index=index)


def as_row(x: Any) -> Any:
    """Return a sample (D,), or a pandas row of a table, as samples (1, D)."""
    if len(getattr(x, "shape", ())) == 2:
        return x
    if hasattr(x, "to_frame"):
        return x.to_frame().T
    return np.reshape(np.asarray(x), (1, -1))


def first_dense(samples: Any) -> NDArray[Any]:
    """Return the first of the prepared samples, (D,)."""
    row = samples.X[0]
    return np.ravel(row.toarray() if hasattr(row, "toarray") else row)


def _differences(
    estimator: Any,
    samples: Any,
    leaf: int,
    names: Sequence[str] | None,
    undo: Callable[[NDArray[Any]], NDArray[Any]] | None,
) -> Iterator[Difference]:
    """Yield the differences of a sample and a leaf's prototype, the largest first."""
    sample, prototype = first_dense(samples), estimator._tree.weights[leaf]
    # Both rows, so that steps that are undone below are undone for both.
    pair = np.array([sample, prototype], dtype=np.float64)
    difference, spread = pair[0] - pair[1], estimator._deviations
    # A feature that was constant in training has no deviation to count in: any difference in it
    # but rounding is infinitely many.
    differs = abs(difference) > _ROUNDING * abs(pair).max(axis=0)
    deviations = np.where(differs, np.copysign(np.inf, difference), 0.0)
    np.divide(difference, spread, out=deviations, where=spread > 0)
    if undo is not None:
        raw_spread = abs(undo(pair + spread) - undo(pair))
        pair = undo(pair)
        pair = np.where(abs(pair) < _ROUNDING * raw_spread, 0.0, pair)  # 0 scaled there and back
    columns = range(len(deviations))
    is_own_space = len(columns) == estimator.n_features_in_ and estimator._metric.calls.fit is None
    if not is_own_space:
        names = [f"axis {column}" for column in columns]
    elif names is None:
        unnamed = [f"feature {column}" for column in columns]
        names = getattr(estimator, "feature_names_in_", unnamed)
    for column in np.argsort(-abs(deviations), kind="stable").tolist():
        if not np.isnan(deviations[column]):  # its value is known
            value, prototype = pair[:, column].tolist()
            yield Difference(str(names[column]), value, prototype, float(deviations[column]))


def _neighbours(estimator: Any, samples: Any, path: tuple[int, ...]) -> Iterator[Neighbour]:
    """Yield the neurons linked to the end of a path, the nearest to the sample first."""
    tree, number = estimator._tree, 0  # of the map that the path has reached
    for neuron in path[:-1]:
        number = int(tree.child_of[number][neuron])
    som_map = tree.maps[number]
    linked = som_map.neighbours(path[-1])
    if not linked:
        return
    distances = samples.distances(som_map.prototypes[linked])[0].tolist()
    for distance, unit in sorted(zip(distances, linked, strict=True)):
        leaf = int(tree.leaf_of[number][unit])
        label = None  # of a neuron with a child map
        if leaf >= 0:
            label = estimator.leaf_labels_[[leaf]].tolist()[0]
        x, y = som_map.positions[unit].tolist()
        yield Neighbour(unit, (x, y), label, distance)
