"""What the measures of a run mean, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import as_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_NAMED = 3  # neurons that a sentence names


def _percent(value: float) -> str:
    if 0 < value < 0.0005:
        return "less than 0.1 %"
    if 0 < value < 0.0195:  # what 1 % and 2 % would be made of
        return f"{100 * value:.1f} %"
    if 0.995 <= value < 1:  # 100 % is said of all only
        return "more than 99 %"
    return f"{100 * value:.0f} %"


def number(value: float) -> str:
    """Return a number with four digits that count; a large one whole, as people write it."""
    text = f"{value + 0.0:.4g}"  # and no -0
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e15 else text


def _rounded(value: float) -> str:
    # Three digits, and never with an exponent, which no sentence is read with.
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def _product(value: float) -> str:
    if abs(value) < 0.01:
        return "The grid has about as many dimensions as the data asks for."
    return (
        "The plane is too flat for the data: the map folds to reach it."
        if value < 0
        else "The grid has more dimensions than the data."
    )


def _variance(value: float) -> str:
    if value < 0:
        return "Worse than always answering the mean."
    return f"{_percent(value)} of the variance of the target is explained."


# One sentence a measure, made of its value.
_READINGS: Mapping[str, Callable[[float], str]] = {
    "accuracy": lambda v: f"{_percent(v)} of the samples get the right class.",
    "adjusted_rand": lambda v: (
        "Answers and classes group the samples alike: 1 is identical, 0 is chance."
    ),
    "balanced_accuracy": lambda v: (
        f"{_percent(v)} right where every class counts the same, however small."
    ),
    "c_measure": lambda v: "Near 1: distances on the map grow with those in the data.",
    "calinski_harabasz": lambda v: (
        f"Groups lie {_rounded(v)} times as far apart as they spread, in squares; the more, the "
        "better."
    ),
    "class_scatter": lambda v: f"A class lies in {v:.2g} separate regions of the map on average.",
    "combined_error": lambda v: (
        "The way from a sample to its neuron and on along the map to the second nearest one."
    ),
    "continuity": lambda v: "Near 1: neighbours in the data stay neighbours on the map.",
    "davies_bouldin": lambda v: "How much neurons overlap, each taken as a cluster; small is good.",
    "dead_neurons": lambda v: (
        "Every neuron has samples."
        if v == 0
        else f"{v:g} neuron{'s win' if v != 1 else ' wins'} no sample of this part."
    ),
    "distortion": lambda v: (
        "Squared distance to the winner and those beside it, which training lowers."
    ),
    "entropy": lambda v: (
        f"Classes within a neuron are mixed by {v:.2g} bit{'s' * (f'{v:.2g}' != '1')}; 0 is pure."
    ),
    "kruskal_shepard": lambda v: "Near 0: distances on the map are in step with those in the data.",
    "log_loss": lambda v: "How badly probabilities are off; 0 is certain and right.",
    "macro_f1": lambda v: "Mean of the classes' F1 scores; 1 is perfect.",
    "mae": lambda v: f"Answers are off by {number(v)} on average.",
    "map_entropy": lambda v: f"Samples spread as if over {2**v:.0f} neurons with equally many.",
    "neighbourhood_preservation": lambda v: (
        f"{_percent(v)} of a sample's nearest neighbours in the data are nearest on the map, too."
    ),
    "normalized_mutual_info": lambda v: "How much answers tell of the classes: 1 all, 0 nothing.",
    "novelty_auc": lambda v: (
        f"An outlier is scored as stranger than another sample in {_percent(v)} of all pairs."
    ),
    "purity": lambda v: f"{_percent(v)} of the samples are of their neuron's most frequent class.",
    "quantization_error": lambda v: (
        f"A sample lies {number(v)} from its neuron's prototype on average."
    ),
    "r2": _variance,
    "rmse": lambda v: f"Answers are typically off by {number(v)}.",
    "roc_auc": lambda v: f"The right class gets the higher score in {_percent(v)} of all pairs.",
    "silhouette": lambda v: "Near 1: samples lie closer to their own cluster than to others.",
    "topographic_error": lambda v: (
        f"{_percent(v)} of the samples sit where the map folds: their two nearest neurons are not "
        "linked."
    ),
    "topographic_error_8": lambda v: (
        f"{_percent(v)} of the samples have two nearest neurons that do not even touch at a corner."
    ),
    "topographic_function": lambda v: (
        f"A neuron has {v:.2g} neighbours on average that are none in the data, or the other way."
    ),
    "topographic_product": _product,
    "trustworthiness": lambda v: "Near 1: neighbours on the map are neighbours in the data.",
}


def reading(name: str, value: float) -> str:
    """Return one sentence on the value of a measure; none for a measure that nobody knows."""
    known = _READINGS.get(name.rpartition("/")[2])
    said = known(value) if known is not None and np.isfinite(value) else ""
    return said[:1].upper() + said[1:]


def remarks(view: MapView, measures: Mapping[str, float] | None = None) -> list[str]:
    """Return sentences on where the map is weak, with the neurons that it concerns.

    With a run's ``measures`` accuracies are told beside what a single answer to all is worth.
    """
    evaluation, som_map = view.evaluation, view.evaluation.som_map
    hits, told = evaluation.hits, []
    if len(som_map) > 1:
        torn = som_map.hops[evaluation.bmu, evaluation.second_bmu] > 1
        share = float(torn.mean())
        if share > 0:
            counted = np.bincount(evaluation.bmu, torn, len(som_map))
            told.append(
                f"{_percent(share)} of the training samples sit where the map folds"
                f"{_at(view, counted)}."
            )
    dead = int(np.count_nonzero(hits == 0))
    if dead:
        several = "neurons have" if dead > 1 else "neuron has"
        told.append(f"{dead} {several} no training sample{_at(view, (hits == 0).astype(float))}.")
    live = np.flatnonzero(hits)
    mean = evaluation.errors / np.maximum(hits, 1)
    if len(live) > 1:
        told.append(
            f"Samples lie farthest from their prototype{_at(view, np.where(hits > 0, mean, 0))}."
        )
    share = float(hits.max() / hits.sum())
    if len(live) > 4 and share > 0.25:
        told.append(
            f"One neuron won {_percent(share)} of all training samples"
            f"{_at(view, (hits == hits.max()).astype(float))}: look at the scales of the columns."
        )
    first = _alike(view) or _by_one_answer(view, measures or {})
    return [*first, *told, *_mixed(view)]


def _at(view: MapView, weights: NDArray[Any]) -> str:
    # The neurons with the largest weights, as an end of a sentence.
    order = [k for k in np.argsort(-weights, kind="stable").tolist() if weights[k] > 0]
    cells = view.evaluation.som_map.positions
    named = [f"{k} at ({cells[k, 0]}, {cells[k, 1]})" for k in order[:_NAMED]]
    several = "s" if len(order) > 1 else ""
    which = "first of all " if len(order) > _NAMED else ""
    return f": {which}neuron{several if len(named) > 1 else ''} {', '.join(named)}" if named else ""


def _answers(view: MapView) -> tuple[NDArray[Any], NDArray[Any]] | None:
    # Classes and answers of the training samples that have a class.
    evaluation = view.evaluation
    if view.estimator != "classifier" or evaluation.y is None or evaluation.predictions is None:
        return None
    known = slice(None) if evaluation.labelled is None else evaluation.labelled
    return np.asarray(evaluation.y)[known], np.asarray(evaluation.predictions)[known]


def _alike(view: MapView) -> list[str]:
    """Return a sentence where one class is the answer to everything: accuracy alone hides it."""
    both = _answers(view)
    if both is None or len(np.unique(both[1])) != 1 or len(np.unique(both[0])) == 1:
        return []
    y, answers = both
    name = as_label(str(view.label_names.get(answers[0], answers[0])))
    return [
        f"Every training sample is answered with {name}, the class of "
        f"{_percent(float(np.mean(y == answers)))} of them: accuracy is that share and says no "
        "more; balanced_accuracy and roc_auc do."
    ]


def _by_one_answer(view: MapView, measures: Mapping[str, float]) -> list[str]:
    """Return how much is answered rightly, and how much the most frequent class would be."""
    both = _answers(view)
    train, test = (measures.get(f"{part}/accuracy", np.nan) for part in ("train", "test"))
    if both is None or not np.isfinite(train) or len(both[0]) == 0:
        return []
    classes, counted = np.unique(both[0], return_counts=True)
    most = classes[counted.argmax()]
    told = f"{_percent(train)} of the training samples get the right class"
    if np.isfinite(test):
        told = f"{_percent(test)} of the test samples get the right class, {_percent(train)} of "
        told += "those in training"
    return [
        f"{told}; always answering {as_label(str(view.label_names.get(most, most)))}, the most "
        f"frequent one, would be right for {_percent(counted.max() / counted.sum())} in training."
    ]


def _mixed(view: MapView) -> list[str]:
    """Return which two classes the answers mix up most, where there are such."""
    both = _answers(view)
    if both is None:
        return []
    y, answers = both
    wrong = y != answers
    if not wrong.any():
        return []
    pairs, counted = np.unique(
        np.array(
            [
                [str(view.label_names.get(one, one)) for one in pair]
                for pair in zip(y[wrong].tolist(), answers[wrong].tolist(), strict=True)
            ]
        ),
        axis=0,
        return_counts=True,
    )
    first, second = pairs[counted.argmax()].tolist()
    often = counted.max()
    return [
        f"The most frequent mistake in training: {as_label(first)} taken for {as_label(second)}, "
        f"{f'{often} times' if often > 1 else 'once'}."
    ]
