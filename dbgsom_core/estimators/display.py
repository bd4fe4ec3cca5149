"""Display of fitted maps: figures and the explorer."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.estimators.parameters import build
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.figures import Html, MapView, images_of
from dbgsom_core.interfaces.measures import Evaluation, Stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEED_SAMPLES = (
    "class_pies", "data_projection", "child_maps", "names",
    "confusion_matrix", "roc_curve", "precision_recall", "lift", "predicted_actual",
    "doubtful_labels",
)  # fmt: skip


class SomDisplay:
    """A figure of a fitted map; Jupyter shows it, and `savefig` writes PNG, SVG or PDF.

    Attributes
    ----------
    figure_ : matplotlib Figure or Html
        The page, or the figure of the given ``ax``; of several images the first.
    figures_ : dict of str to matplotlib Figure or Html
        All images, by file name.
    ax_ : matplotlib Axes or None
        The given ``ax``.
    kind : str
    """

    def __init__(self, draw: Callable[[Axes | None], Any], kind: str) -> None:
        self._draw, self.kind = draw, kind
        self.figure_: Any = None
        self.figures_: dict[str, Any] = {}
        self.ax_: Axes | None = None

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any = None,
        *,
        kind: str = "u_matrix",
        y: Any = None,
        ax: Axes | None = None,
        feature_names: Sequence[str] | None = None,
        label_names: Mapping[Any, str] | None = None,
        image_shape: tuple[int, int] | None = None,
        extra: Mapping[str, Any] | None = None,
        annotations: Mapping[str, Any] | None = None,
        stability: Stability | None = None,
        title: str = "",
        **style: Any,
    ) -> Self:
        """Draw a fitted map.

        Parameters
        ----------
        model : SomVQ, SomClassifier or SomRegressor
            Fitted; or the model of a run, which takes raw samples: values are then in the units of
            the data where the prepare steps can be undone.
        X : array-like (n, D), optional
            Samples to show on the map. Without them the figure shows hits, errors and prototypes of
            the training. The index of a DataFrame names the samples.
        kind : str
            A figure by its name, as under ``figures:`` in YAML: ``label_map``, ``hit_map``,
            ``u_matrix``, ``component_planes``, …, also a plugin's.
        y : array-like (n,), optional
            Targets of X.
        ax : matplotlib Axes, optional
            Axes to draw in; default: a new page. A figure with several panels divides them.
        feature_names : sequence of D str, optional
            Default: ``feature_names_in_``.
        label_names : mapping, optional
            Names of labels.
        image_shape : (rows, columns), optional
            Shape of samples that are images.
        extra : mapping of str to array-like (n,), or DataFrame, optional
            Numbers of each sample of X that the map was not trained on; ``variable_stars`` and
            ``component_planes`` show them among their ``variables``.
        annotations : mapping of str to array-like (n,), or DataFrame, optional
            Dates, files and the like of each sample of X, for figures that ask for them by name.
        stability : Stability, optional
            What ``model.stability(X)`` returned: ``trust_map`` shows it.
        title : str
        **style
            Fields of the figure, as in YAML: ``most=12``, ``variables=["age", "height"]``.

        Examples
        --------
        >>> from dbgsom_core import SomDisplay, SomVQ
        >>> vq = SomVQ().fit(X)
        >>> SomDisplay.from_estimator(vq, X, kind="component_planes").savefig("planes.svg")
        """
        component = build("figure", {**style, "name": kind}, kind)
        if component.of_sweeps:
            raise ValueError(f"{kind} is a figure of sweeps, not of one map")
        is_of_training = y is None and extra is None and annotations is None
        if X is None and (kind in _NEED_SAMPLES or not is_of_training):
            raise ValueError(f"{kind} needs samples here: give X")
        view = _view_of_model(model, X, y, feature_names, extra, annotations)
        if image_shape is not None:
            features = view.evaluation.som_map.prototypes.shape[1]
            if math.prod(image_shape) != features:
                raise ValueError(f"images of {image_shape} do not have the {features} features")
        view = replace(
            view,
            image_shape=image_shape,
            label_names=dict(label_names or {}),
            stability=stability,
            title=title or view.title,
        )
        draw = guarded(component).draw
        return cls(lambda where: draw(replace(view, axes=where)), kind).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the figure again, into axes or on a page of its own."""
        self.figures_ = images_of(self.kind, self._draw(ax))
        figure = next(iter(self.figures_.values()))
        if ax is not None:
            if isinstance(figure, Html):
                raise ValueError(f"{self.kind} is a page of HTML, which axes cannot hold")
            if figure is not ax.figure:
                raise ValueError(f"{self.kind} cannot be drawn into axes: leave ax out")
        self.figure_, self.ax_ = figure, ax
        return self

    def savefig(self, path: str | PathLike[str], **options: Any) -> None:
        """Write the page in the format of the suffix of ``path``, ``.png``, ``.svg`` or ``.pdf``.

        A page of HTML is written as it is, to a file that ends in ``.html`` or ``.htm``.
        """
        if isinstance(self.figure_, Html):
            if Path(path).suffix.lower() not in (".html", ".htm"):
                raise ValueError(f"{self.kind} is a page of HTML: {path} must end in .html")
            self.figure_.save(path)
        else:
            self.figure_.savefig(path, **options)

    def _repr_png_(self) -> bytes | None:
        if isinstance(self.figure_, Html):
            return None
        pyplot = sys.modules.get("matplotlib.pyplot")
        number = None if self.ax_ is None else getattr(self.figure_, "number", None)
        if pyplot is not None and number in pyplot.get_fignums():
            return None  # notebooks show figures of pyplot at the end of a cell
        page = io.BytesIO()
        self.figure_.savefig(page, format="png")
        return page.getvalue()

    def _repr_html_(self) -> str | None:
        return self.figure_.frame() if isinstance(self.figure_, Html) else None

    def __repr__(self) -> str:
        return f"<SomDisplay of {self.kind}>"


def explorer_page(
    model: Any, X: Any, y: Any, names: Any, path: Any, image_shape: Any = None
) -> Html:
    """Return the explorer of a model with samples X (n, D), and write it to a path if there is one.

    ``names`` are those of its features.
    """
    page: Html = SomDisplay.from_estimator(
        model, X, kind="explorer", y=y, feature_names=names, image_shape=image_shape
    ).figure_
    if path is not None:
        page.save(path)
    return page


def unwrap(model: Any) -> tuple[Any, Any]:
    """Return the fitted estimator in a model or finished run, and the model with steps or None."""
    estimator, with_steps = getattr(model, "model", model), None  # of a run
    if hasattr(estimator, "undone"):
        with_steps = estimator
        estimator = with_steps.estimator
    if not isinstance(getattr(estimator, "_kind", None), str):
        raise ValueError(
            "this takes a fitted SomVQ, SomClassifier or SomRegressor, or the model of a run, not "
            f"a {type(model).__name__}"
        )
    check_is_fitted(estimator)
    return estimator, with_steps


def _view_of_model(
    model: Any, X: Any, y: Any, names: Sequence[str] | None, variables: Any, annotations: Any
) -> MapView:
    """Return the view of a fitted map on samples X (n, D), or without X on its training."""
    estimator, with_steps = unwrap(model)
    details: dict[str, Any] = {"cluster_stability": getattr(estimator, "cluster_stability_", None)}
    if with_steps is not None:
        details["undo"], details["restore"] = with_steps.undone, with_steps.restored
        details["raw_names"] = with_steps.feature_names or ()
        if names is None:
            names = with_steps.names_prepared()
    if names is None:
        names = getattr(estimator, "feature_names_in_", ())
    elif len(names) != estimator.n_features_in_:
        features = estimator.n_features_in_
        raise ValueError(f"{len(names)} names of features, and the map has {features} features")
    if X is None:
        evaluation = training_evaluation(estimator)
    else:
        samples = X if with_steps is None else with_steps.prepare(X)
        evaluation = estimator.evaluate(samples, y=y, predictions=estimator.predict(samples))
        details["novelty"] = partial(estimator.score_samples, samples)
        if hasattr(X, "iloc"):  # a data frame
            details["sample_ids"] = np.asarray(X.index)
        n = evaluation.data.n
        details["annotations"] = _columns("annotation", annotations, n)
        numbers = {}
        for name, column in _columns("variable", variables, n).items():
            values = column.astype(np.float64)
            numbers[name] = np.where(np.isfinite(values), values, np.nan)
        details["variables"] = numbers
    view: MapView = estimator._view(
        evaluation,
        feature_names=[str(name) for name in names],
        title=type(estimator).__name__,
        **details,
    )
    return view


def _columns(what: str, given: Any, n: int) -> dict[str, NDArray[Any]]:
    """Return columns (n,) of a mapping or data frame by name."""
    columns = {}
    for name in () if given is None else given:
        column = np.asarray(given[name])
        if column.shape != (n,):
            raise ValueError(f"{what} '{name}' has shape {column.shape}, not ({n},)")
        columns[str(name)] = column
    return columns


def training_evaluation(model: Any) -> Evaluation:
    """Return the evaluation on a map's own prototypes, with hits and errors of its training."""
    prototypes = model._prototypes()
    evaluation = Evaluation(model.som_map_, prototypes)
    vars(evaluation).update(
        hits=np.asarray(model.hit_counts_),
        errors=np.asarray(model.errors_, dtype=np.float64),
        distance=np.full(prototypes.n, float(model.quantization_error_)),
    )
    return evaluation
