"""Fitted maps as figures see them, and the page that explores one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

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


def explored(
    estimator: Any,
    X: Any,
    y: Any,
    names: Sequence[str] | None,
    path: str | PathLike[str] | None,
    image_shape: tuple[int, int] | None,
) -> Html:
    """Return the explorer of a fitted map, see `GrowingMap.explore`."""
    details = _details(estimator, X, y, names, image_shape)
    y = None if y is None else np.asarray(y)
    if y is not None and y.ndim > 1:
        y = y[:, 0]  # of several targets the page shows the first
    evaluation = estimator.evaluate(X, y=y)
    figure = get_registry().build("figure", "explorer")
    page: Html = figure.draw(view_of(estimator, evaluation, **details))
    if path is not None:
        page.save(path)
    return page


def _details(
    estimator: Any,
    X: Any,
    y: Any,
    names: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
) -> dict[str, Any]:
    features, n = estimator.n_features_in_, np.shape(X)[0] if np.ndim(X) else 0
    if names is None:
        names = getattr(estimator, "feature_names_in_", ())
    elif len(names) != features:
        raise ValueError(f"names has {len(names)} names, and the map {features} features")
    if image_shape is not None and int(np.prod(image_shape)) != features:
        told = " × ".join(map(str, image_shape))
        raise ValueError(f"images of {told} do not have the {features} features of the map")
    several = estimator._kind == "regressor" and np.ndim(y) == 2
    if y is not None and np.shape(y)[: 1 + (not several)] != (n,):
        raise ValueError(f"y must have shape ({n},), one a sample, not {np.shape(y)}")
    index = getattr(X, "index", None)
    return {
        "feature_names": [str(name) for name in names],
        "image_shape": image_shape,
        "sample_ids": None if index is None or callable(index) else np.asarray(index),
        "title": type(estimator).__name__,
        # A model of an early version has none.
        "novelty": partial(estimator.score_samples, X) if hasattr(estimator, "_novelty") else None,
    }
