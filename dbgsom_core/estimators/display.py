"""Figures of fitted maps from Python: scikit-learn's displays, the explorer, dots and lines."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.estimators.components import build
from dbgsom_core.estimators.growth_film import frames_of
from dbgsom_core.estimators.validation import is_integer
from dbgsom_core.interfaces.figures import FigureAbilities, Html, MapView, images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, Stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEED_SAMPLES = (
    "class_pies", "data_projection", "u_star_matrix", "topographic_function_curve", "child_maps",
)  # fmt: skip


class SomDisplay:
    """A figure of a fitted map; Jupyter shows it, and `savefig` writes PNG, SVG or PDF.

    Attributes
    ----------
    figure_ : matplotlib Figure or Html
        The page, or the figure of the ``ax`` that was given; of several images the first.
    figures_ : dict of str to matplotlib Figure or Html
        All of them, by the names of their files.
    ax_ : matplotlib Axes or None
        The one that was given.
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
        stability: Stability | None = None,
        title: str = "",
        **style: Any,
    ) -> Self:
        """Draw a fitted map.

        Parameters
        ----------
        model : SomVQ, SomClassifier or SomRegressor
            Fitted; or the model of a run, which takes raw samples: values are then told in the
            units of the data where the prepare steps can be undone.
        X : array-like (n, D), optional
            Samples to show on the map, those of the training or others. Without them the map shows
            what it remembers of its training: hits, errors and prototypes. The index of a DataFrame
            names the samples, which ``label_map`` writes on a map without labels.
        kind : str
            A figure by its name, as under ``figures:`` in YAML: ``label_map``, ``hit_map``,
            ``u_matrix``, ``component_planes``, …, also a plugin's.
        y : array-like (n,), optional
            Targets of X.
        ax : matplotlib Axes, optional
            Where to draw; a page of its own without it. A figure with several panels divides them;
            one of a plugin that draws pages only is put there as a picture.
        feature_names : sequence of D str, optional
            ``feature_names_in_`` without it.
        label_names : mapping, optional
            What labels are called.
        image_shape : (rows, columns), optional
            Of samples that are images.
        extra : mapping of str to array-like (n,), or DataFrame, optional
            Numbers of each sample of X that the map was not trained on; ``variable_stars`` and
            ``component_planes`` show them among their ``variables``.
        stability : Stability, optional
            What ``model.stability(X)`` returned: ``trust_map`` shows it.
        title : str
        **style
            Fields of the figure, as in YAML: ``most=12``, ``variables=["age", "height"]``.

        Returns
        -------
        SomDisplay

        Raises
        ------
        UnknownNameError
            There is no such figure; the message names the nearest.
        ValueError
            The model is not fitted, the figure has no such field or cannot be drawn; the message
            says why.

        Examples
        --------
        >>> from dbgsom_core import SomDisplay, SomVQ
        >>> vq = SomVQ().fit(X)
        >>> SomDisplay.from_estimator(vq, X, kind="component_planes").savefig("planes.svg")
        """
        estimator, with_steps = _map_within(model)
        component = build("figure", {**style, "name": kind}, kind)
        if FigureAbilities.of(component).of_sweeps:
            raise ValueError(f"{kind} shows sweeps, and this is one map")
        if X is None:
            if kind in _NEED_SAMPLES or y is not None or extra is not None:
                raise ValueError(f"{kind} needs samples here: give X")
            evaluation, novelty = remembered(estimator), None
        else:
            samples = X if with_steps is None else with_steps.prepare(X)
            targets = None if y is None else np.asarray(y)
            predictions = estimator.predict(samples)
            if targets is not None and len(targets) != len(predictions):
                raise ValueError(f"y has {len(targets)} values for {len(predictions)} samples")
            evaluation = estimator.evaluate(samples, y=targets, predictions=predictions)
            novelty = _novelty_of(estimator, samples)
        if feature_names is None and with_steps is not None:
            feature_names = with_steps.names_prepared()
        view = view_of(
            estimator,
            evaluation,
            feature_names=_feature_names(estimator, feature_names),
            label_names=dict(label_names or {}),
            image_shape=_image_shape(image_shape),
            variables=_numbers(extra, evaluation.data.n),
            stability=stability,
            sample_ids=_ids_of(X),
            novelty=novelty,
            undo=None if with_steps is None else with_steps.undone,
            title=title or type(estimator).__name__,
        )
        draw = guarded("figure", component, "draw")
        return cls(lambda where: draw(replace(view, axes=where)), kind).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the figure again, into axes or on a page of its own."""
        self.figures_ = images_of(self.kind, self._draw(ax))
        figure = next(iter(self.figures_.values()))
        if ax is not None:
            if isinstance(figure, Html):
                raise ValueError(f"{self.kind} is a page of HTML and has no place in axes")
            if figure is not ax.figure:
                from matplotlib.image import imread

                ax.imshow(imread(io.BytesIO(_png(figure))))
                ax.set_axis_off()
                figure = ax.figure
        self.figure_, self.ax_ = figure, ax
        return self

    def savefig(self, path: str | PathLike[str], **options: Any) -> None:
        """Write the page: the ending of ``path`` says how, ``.png``, ``.svg`` or ``.pdf``.

        A page of HTML is written as it is, to a file that ends in ``.html`` or ``.htm``.
        """
        if isinstance(self.figure_, Html):
            if Path(path).suffix.lower() not in (".html", ".htm"):
                raise ValueError(f"{self.kind} is a page of HTML: {path} must end in .html")
            self.figure_.save(path)
        else:
            self.figure_.savefig(path, **options)

    def _repr_png_(self) -> bytes | None:
        pyplot = sys.modules.get("matplotlib.pyplot")
        number = None if self.ax_ is None else getattr(self.figure_, "number", None)
        if pyplot is not None and number in pyplot.get_fignums():
            return None  # notebooks show figures of pyplot at the end of a cell
        return None if isinstance(self.figure_, Html) else _png(self.figure_)

    def _repr_html_(self) -> str | None:
        return self.figure_.frame() if isinstance(self.figure_, Html) else None

    def __repr__(self) -> str:
        return f"<SomDisplay of {self.kind}>"


def plotted(estimator: Any, options: Mapping[str, Any], ax: Axes | None) -> Axes:
    """Return the axes in which a fitted map is drawn as dots and lines, see `FittedMap.plot`."""
    given = {name: value for name, value in options.items() if value is not None}
    draw = guarded("figure", build("figure", {**given, "name": "dots"}, "plot"), "draw")
    names = _feature_names(estimator, None)
    view = view_of(estimator, remembered(estimator), feature_names=names)
    if ax is not None:
        draw(replace(view, axes=ax))
        return ax
    import matplotlib.pyplot as plt  # so that a notebook shows the figure

    figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
    try:
        draw(replace(view, axes=ax))
    except BaseException:
        plt.close(figure)
        raise
    return ax


def explored(
    model: Any,
    X: Any,
    y: Any = None,
    names: Sequence[str] | None = None,
    path: str | PathLike[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    other: Any = None,
) -> Html:
    """Return the explorer of a fitted map, see `FittedMap.explore`."""
    view = _explorer_view(_map_within(model), X, y, names, image_shape)
    if other is not None:
        beside = _explorer_view(_map_within(other), X, y, names, image_shape)
        view = replace(view, other=beside)
    page: Html = build("figure", "explorer").draw(view)
    if path is not None:
        page.save(path)
    return page


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


def remembered(model: Any) -> Evaluation:
    """Return a fitted map beside its prototypes, with the hits and errors of its training."""
    prototypes = model._prototypes()
    evaluation = Evaluation(model.som_map_, prototypes)
    vars(evaluation).update(
        hits=np.asarray(model.hit_counts_),
        errors=np.asarray(model.errors_, dtype=np.float64),
        distance=np.full(prototypes.n, float(model.quantization_error_)),
    )
    return evaluation


def _explorer_view(
    within: tuple[Any, Any],
    X: Any,
    y: Any,
    names: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
) -> MapView:
    (estimator, model), undo, samples = within, None, X
    if model is not None:
        samples, undo = model.prepare(X), model.undone
    features, n = estimator.n_features_in_, np.shape(samples)[0] if np.ndim(samples) else 0
    names = _feature_names(estimator, names)
    image_shape = _image_shape(image_shape)
    if image_shape is not None and image_shape[0] * image_shape[1] != features:
        size = " × ".join(map(str, image_shape))
        raise ValueError(f"images of {size} do not have the {features} features of the map")
    several = estimator._kind == "regressor" and np.ndim(y) == 2
    if y is not None and np.shape(y)[: 1 + (not several)] != (n,):
        raise ValueError(f"y must have shape ({n},), one a sample, not {np.shape(y)}")
    y = None if y is None else np.asarray(y)
    return view_of(
        estimator,
        estimator.evaluate(samples, y=y[:, 0] if several else y),  # the first of several targets
        feature_names=names,
        image_shape=image_shape,
        title=type(estimator).__name__,
        novelty=_novelty_of(estimator, samples),
        sample_ids=_ids_of(X),
        undo=undo,
        film=frames_of(estimator),
    )


def _ids_of(X: Any) -> Any:
    # What the index of a DataFrame calls the samples, (n,).
    index = getattr(X, "index", None)
    return None if index is None or callable(index) else np.asarray(index)


def _novelty_of(estimator: Any, X: Any) -> Callable[[], Any] | None:
    # Maps of files of format 1 may know nothing of it.
    return partial(estimator.score_samples, X) if hasattr(estimator, "_novelty") else None


def _png(figure: Any) -> bytes:
    page = io.BytesIO()
    figure.savefig(page, format="png")
    return page.getvalue()


# --------------------------------------------------------------------- what figures are given


def _map_within(model: Any) -> tuple[Any, Any]:
    # The fitted estimator in a model, and the model with its prepare steps or None.
    found = getattr(model, "model", model)  # of a finished run
    with_steps = found if hasattr(found, "undone") else None
    estimator = found if with_steps is None else with_steps.estimator
    if not isinstance(getattr(estimator, "_kind", None), str):
        raise TypeError(
            "a map is drawn of a fitted SomVQ, SomClassifier or SomRegressor, or of the model of a "
            f"run, not of a {type(model).__name__}"
        )
    check_is_fitted(estimator)
    return estimator, with_steps


def _feature_names(estimator: Any, names: Any) -> list[str]:
    if names is None:
        return [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    features = estimator.n_features_in_
    if isinstance(names, str):  # whose letters would be names
        raise TypeError(f"names must be {features} names, one a feature, not {names!r}")
    given = [str(name) for name in names]
    if len(given) != features:
        raise ValueError(f"{len(given)} names of features, and the map has {features} features")
    return given


def _image_shape(shape: Any) -> tuple[int, int] | None:
    if shape is None:
        return None
    pair = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if len(pair) != 2 or not all(is_integer(size) and size > 0 for size in pair):
        raise ValueError(f"image_shape must be (rows, columns), two whole numbers, not {shape!r}")
    return int(pair[0]), int(pair[1])


def _numbers(variables: Mapping[str, Any] | None, n: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in () if variables is None else variables:
        values = np.asarray(variables[name], dtype=np.float64)  # type: ignore[index]
        if values.shape != (n,):
            raise ValueError(f"variable '{name}' has shape {values.shape}, not ({n},)")
        found[str(name)] = np.where(np.isfinite(values), values, np.nan)
    return found
