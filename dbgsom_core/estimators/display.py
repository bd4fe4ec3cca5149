"""Figures of fitted maps from Python, as scikit-learn's displays."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dbgsom_core.estimators.exploring import ids_of, novelty_of, view_of
from dbgsom_core.estimators.figure_arguments import (
    axes_given,
    image_shape_given,
    map_within,
    name_given,
    names_given,
)
from dbgsom_core.estimators.part_params import build_part
from dbgsom_core.interfaces.figures import FigureAbilities, Html, images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stability import Stability

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
        TypeError
            What was given is no model, no name, no axes, …
        ValueError
            The model is not fitted, the figure has no such field or cannot be drawn; the message
            says why.

        Examples
        --------
        >>> from dbgsom_core import SomDisplay, SomVQ
        >>> vq = SomVQ().fit(X)
        >>> SomDisplay.from_estimator(vq, X, kind="component_planes").savefig("planes.svg")
        """
        estimator, with_steps = map_within(model)
        name_given(kind, "kind", "the name of a figure, such as 'u_matrix'")
        component = build_part("figure", kind, style)
        if FigureAbilities.of(component).of_sweeps:
            raise ValueError(f"{kind} shows sweeps, and this is one map")
        if not isinstance(label_names, Mapping | None):
            raise TypeError(
                f"label_names must be a mapping from labels to what they are called, such as "
                f"{{0: 'no', 1: 'yes'}}, not {label_names!r}"
            )
        if not isinstance(stability, Stability | None):
            raise TypeError(
                f"stability must be what model.stability(X) returned, not {stability!r}"
            )
        novelty = None
        if X is None:
            if kind in _NEED_SAMPLES or y is not None or extra is not None:
                raise ValueError(f"{kind} needs samples here: give X")
            evaluation = remembered(estimator)
        else:
            samples = X if with_steps is None else with_steps.prepare(X)
            targets = None if y is None else np.asarray(y)
            predictions = estimator.predict(samples)
            if targets is not None and np.shape(targets)[:1] != (len(predictions),):
                told = f"has {len(targets)} values" if targets.ndim else f"is {y!r}"
                raise ValueError(f"y {told} for {len(predictions)} samples")
            evaluation = estimator.evaluate(samples, y=targets, predictions=predictions)
            novelty = novelty_of(estimator, samples)
        if feature_names is None:
            known = None if with_steps is None else with_steps.names_prepared()
            names = getattr(estimator, "feature_names_in_", ()) if known is None else known
            names = [str(name) for name in names]
        else:
            names = names_given(feature_names, estimator.n_features_in_, "feature_names")
        view = view_of(
            estimator,
            evaluation,
            feature_names=names,
            label_names=dict(label_names or {}),
            image_shape=image_shape_given(image_shape),
            variables=_numbers(extra, evaluation.data.n),
            stability=stability,
            sample_ids=ids_of(X),
            novelty=novelty,
            undo=None if with_steps is None else with_steps.undone,
            title=title or type(estimator).__name__,
        )
        draw = guarded("figure", component, "draw")
        return cls(lambda where: draw(replace(view, axes=where)), kind).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the figure again, into axes or on a page of its own."""
        axes_given(ax)
        self.figures_ = images_of(self.kind, self._draw(ax))
        figure = next(iter(self.figures_.values()))
        if ax is not None:
            if isinstance(figure, Html):
                raise ValueError(f"{self.kind} is a page of HTML and has no place in axes")
            if figure is not ax.figure:
                from matplotlib.image import imread

                ax.imshow(imread(io.BytesIO(_written(figure, "png"))))
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
        if isinstance(self.figure_, Html) or self._is_shown_anyway():
            return None
        return _written(self.figure_, "png")

    def _is_shown_anyway(self) -> bool:
        # Notebooks show figures of pyplot, in whose axes this was drawn, at the end of a cell.
        pyplot = sys.modules.get("matplotlib.pyplot")
        if self.ax_ is None or pyplot is None:
            return False
        return getattr(self.figure_, "number", None) in pyplot.get_fignums()

    def _repr_html_(self) -> str | None:
        return self.figure_.frame() if isinstance(self.figure_, Html) else None

    def __repr__(self) -> str:
        return f"<SomDisplay of {self.kind}>"


def _written(figure: Any, how: str) -> bytes:
    page = io.BytesIO()
    figure.savefig(page, format=how)
    return page.getvalue()


def remembered(model: Any) -> Evaluation:
    """Return a fitted map beside its prototypes, with the hits and errors of its training."""
    prototypes = model._prototypes()
    evaluation = Evaluation(model.som_map_, prototypes)
    hits = np.asarray(model.hit_counts_)
    vars(evaluation).update(
        hits=hits,
        errors=np.asarray(model.errors_, dtype=np.float64),
        distance=np.full(prototypes.n, float(model.quantization_error_)),
    )
    return evaluation


def _numbers(variables: Mapping[str, Any] | None, n: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if variables is None:
        return found
    if not (isinstance(variables, Mapping) or hasattr(variables, "columns")):
        raise TypeError(
            "extra must be a mapping from names to numbers of each sample, or a DataFrame, not "
            f"{type(variables).__name__}"
        )
    for name in variables:
        try:
            values = np.asarray(variables[name], dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"variable '{name}' of extra holds what is no number") from None
        if values.shape != (n,):
            raise ValueError(f"variable '{name}' has shape {values.shape}, not ({n},)")
        found[str(name)] = np.where(np.isfinite(values), values, np.nan)
    return found
