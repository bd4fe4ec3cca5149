"""Fitted maps as figures see them, and the page that explores one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.estimators.figure_arguments import image_shape_given, map_within, names_given
from dbgsom_core.estimators.film import film_of
from dbgsom_core.interfaces.figures import Html, MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.plugins.registry import get_registry


def view_of(estimator: Any, evaluation: Evaluation, **details: Any) -> MapView:
    """Return a fitted map with everything that a figure may draw."""
    return MapView(
        evaluation=evaluation,
        neuron_labels=estimator.neuron_labels_,
        neuron_probabilities=estimator._probabilities,
        leaf_labels=estimator.leaf_labels_,
        history=estimator.history_,
        estimator=estimator._kind,
        **details,
    )


def ids_of(X: Any) -> Any:
    """Return what the index of a DataFrame calls the samples, (n,); None without one."""
    index = getattr(X, "index", None)
    return None if index is None or callable(index) else np.asarray(index)


def novelty_of(estimator: Any, X: Any) -> Callable[[], NDArray[np.float64]] | None:
    """Return what finds the novelty of prepared samples (n, D), None of an early version."""
    return partial(estimator.score_samples, X) if hasattr(estimator, "_novelty") else None


def explored(
    model: Any,
    X: Any,
    y: Any = None,
    names: Sequence[str] | None = None,
    path: str | PathLike[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    other: Any = None,
) -> Html:
    """Return the explorer of a fitted map, see `GrowingMap.explore`."""
    view = _view(map_within(model), X, y, names, image_shape)
    if other is not None:
        view = replace(view, other=_view(map_within(other, "other"), X, y, names, image_shape))
    page: Html = get_registry().build("figure", "explorer").draw(view)
    if path is not None:
        page.save(path)
    return page


def _view(
    within: tuple[Any, Any],
    X: Any,
    y: Any,
    names: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
) -> MapView:
    # Of an estimator, or of a model with prepare steps.
    (estimator, model), undo, samples = within, None, X
    if model is not None:
        samples, undo = model.prepare(X), model.undone
    details = _details(estimator, samples, y, names, image_shape)
    y = None if y is None else np.asarray(y)
    if y is not None and y.ndim > 1:
        y = y[:, 0]  # of several targets the page shows the first
    return view_of(
        estimator,
        estimator.evaluate(samples, y=y),
        sample_ids=ids_of(X),
        undo=undo,
        film=film_of(estimator),
        **details,
    )


def _details(
    estimator: Any,
    X: Any,
    y: Any,
    names: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
) -> dict[str, Any]:
    features, n = estimator.n_features_in_, np.shape(X)[0] if np.ndim(X) else 0
    if names is None:
        names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    else:
        names = names_given(names, features)
    image_shape = image_shape_given(image_shape)
    if image_shape is not None and image_shape[0] * image_shape[1] != features:
        told = " × ".join(map(str, image_shape))
        raise ValueError(f"images of {told} do not have the {features} features of the map")
    several = estimator._kind == "regressor" and np.ndim(y) == 2
    if y is not None and np.shape(y)[: 1 + (not several)] != (n,):
        raise ValueError(f"y must have shape ({n},), one a sample, not {np.shape(y)}")
    return {
        "feature_names": names,
        "image_shape": image_shape,
        "title": type(estimator).__name__,
        "novelty": novelty_of(estimator, X),
    }
