"""Figures of fitted maps from Python, as scikit-learn's displays."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.estimators.exploring import ids_of, view_of
from dbgsom_core.interfaces.figures import FigureAbilities, Html, images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.plugins.registry import get_registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dbgsom_core.interfaces.stability import Stability

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
            Fitted.
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
        check_is_fitted(model)
        component = get_registry().build("figure", {"name": kind, **style})
        if FigureAbilities.of(component).of_sweeps:
            raise ValueError(f"{kind} shows sweeps, and this is one map")
        if X is None:
            if kind in _NEED_SAMPLES or y is not None or extra is not None:
                raise ValueError(f"{kind} needs samples here: give X")
            evaluation = remembered(model)
        else:
            targets = None if y is None else np.asarray(y)
            evaluation = model.evaluate(X, y=targets, predictions=model.predict(X))
            if targets is not None and len(targets) != evaluation.data.n:
                raise ValueError(f"y has {len(targets)} values for {evaluation.data.n} samples")
        names = getattr(model, "feature_names_in_", ()) if feature_names is None else feature_names
        view = view_of(
            model,
            evaluation,
            feature_names=tuple(str(name) for name in names),
            label_names=dict(label_names or {}),
            image_shape=image_shape,
            variables=_numbers(extra, evaluation.data.n),
            stability=stability,
            sample_ids=ids_of(X),
            title=title or type(model).__name__,
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

                ax.imshow(imread(io.BytesIO(_written(figure, "png"))))
                ax.set_axis_off()
                figure = ax.figure
        self.figure_, self.ax_ = figure, ax
        return self

    def savefig(self, path: str | PathLike[str], **options: Any) -> None:
        """Write the page: the ending of ``path`` says how, ``.png``, ``.svg`` or ``.pdf``.

        A page of HTML is written as it is.
        """
        if isinstance(self.figure_, Html):
            self.figure_.save(path)
        else:
            self.figure_.savefig(path, **options)

    def _repr_png_(self) -> bytes | None:
        return None if isinstance(self.figure_, Html) else _written(self.figure_, "png")

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
    found = {}
    for name in variables if variables is not None else ():
        values = np.asarray(variables[name], dtype=np.float64)  # type: ignore[index]
        if values.shape != (n,):
            raise ValueError(f"variable '{name}' has shape {values.shape}, not ({n},)")
        found[str(name)] = np.where(np.isfinite(values), values, np.nan)
    return found
