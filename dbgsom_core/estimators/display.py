"""Display of fitted maps: figures, the explorer, HTML in notebooks, and progress of a fit."""

from __future__ import annotations

import colorsys
import io
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.errors import as_text
from dbgsom_core.estimators.checkpoints import frames_of
from dbgsom_core.estimators.components import build
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.figures import Html, MapView, images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, Stability
from dbgsom_core.plugins.callbacks import line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEED_SAMPLES = (
    "class_pies", "data_projection", "u_star_matrix", "topographic_function_curve", "child_maps",
    "confusion_matrix", "roc_curve", "predicted_actual",
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
        given = (y, extra, annotations)
        lacking = kind in _NEED_SAMPLES or any(one is not None for one in given)
        if X is None and lacking:
            raise ValueError(f"{kind} needs samples here: give X")
        view = _view(
            model,
            X,
            y,
            feature_names,
            image_shape,
            label_names=dict(label_names or {}),
            variables={} if extra is None else {str(name): extra[name] for name in extra},
            annotations={}
            if annotations is None
            else {str(n): annotations[n] for n in annotations},
            stability=stability,
            title=title,
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
        pyplot = sys.modules.get("matplotlib.pyplot")
        number = None if self.ax_ is None else getattr(self.figure_, "number", None)
        if pyplot is not None and number in pyplot.get_fignums():
            return None  # notebooks show figures of pyplot at the end of a cell
        return None if isinstance(self.figure_, Html) else _png(self.figure_)

    def _repr_html_(self) -> str | None:
        return self.figure_.frame() if isinstance(self.figure_, Html) else None

    def __repr__(self) -> str:
        return f"<SomDisplay of {self.kind}>"


def plot_neurons(estimator: Any, options: Mapping[str, Any], ax: Axes | None) -> Axes:
    given = {name: value for name, value in options.items() if value is not None}
    draw = guarded(build("figure", {**given, "name": "dots"}, "plot")).draw
    view = _view(estimator)
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


def explorer_page(
    model: Any, X: Any, y: Any, names: Any, path: Any, image_shape: Any = None
) -> Html:
    title = type(unwrap(model)[0]).__name__
    view = _view(model, X, y, names, image_shape, predicts=False, title=title)
    page: Html = build("figure", "explorer").draw(view)
    if path is not None:
        page.save(path)
    return page


def unwrap(model: Any) -> tuple[Any, Any]:
    """Return the fitted estimator in a model or finished run, and the model with steps or None."""
    found = getattr(model, "model", model)
    with_steps = found if hasattr(found, "undone") else None
    estimator = found if with_steps is None else with_steps.estimator
    if not isinstance(getattr(estimator, "_kind", None), str):
        raise ValueError(
            "this takes a fitted SomVQ, SomClassifier or SomRegressor, or the model of a run, not "
            f"a {type(model).__name__}"
        )
    check_is_fitted(estimator)
    return estimator, with_steps


def _view(
    model: Any,
    X: Any = None,
    y: Any = None,
    names: Sequence[str] | None = None,
    image_shape: tuple[int, int] | None = None,
    predicts: bool = True,
    title: str = "",
    variables: Mapping[str, Any] | None = None,
    annotations: Mapping[str, Any] | None = None,
    **details: Any,
) -> MapView:
    """Return the view of a fitted map on samples X (n, D), or without X on its training.

    With ``predicts`` it has predictions beside the targets.
    """
    estimator, with_steps = unwrap(model)
    if names is None and with_steps is not None:
        names = with_steps.names_prepared()
    given = getattr(estimator, "feature_names_in_", ()) if names is None else names
    features = estimator.n_features_in_
    if names is not None and len(names) != features:
        raise ValueError(f"{len(names)} names of features, and the map has {features} features")
    if image_shape is not None and math.prod(image_shape) != features:
        raise ValueError(f"images of {image_shape} do not have the {features} features of the map")
    if X is None:
        evaluation = training_evaluation(estimator)
    else:
        samples = X if with_steps is None else with_steps.prepare(X)
        predictions = estimator.predict(samples) if predicts else None
        y = None if y is None else np.asarray(y)
        evaluation = estimator.evaluate(samples, y=y, predictions=predictions)
        if y is not None and len(y) != evaluation.data.n:
            raise ValueError(f"y has {len(y)} values for {evaluation.data.n} samples")
        details["novelty"] = partial(estimator.score_samples, samples)
    columns = {}
    for name, values in (variables or {}).items():
        column = _one_each(f"variable '{name}'", np.asarray(values, dtype=np.float64), evaluation)
        columns[name] = np.where(np.isfinite(column), column, np.nan)
    beside = {
        name: _one_each(f"annotation '{name}'", np.asarray(values), evaluation)
        for name, values in (annotations or {}).items()
    }
    index = getattr(X, "index", None)  # of a DataFrame: names of samples
    known = getattr(with_steps, "columns", None)  # of the table of a run
    raw = getattr(X, "columns", ()) if known is None else known.feature_names
    return view_of(
        estimator,
        evaluation,
        feature_names=[str(name) for name in given],
        image_shape=image_shape,
        variables=columns,
        annotations=beside,
        sample_ids=None if index is None or callable(index) else np.asarray(index),
        undo=None if with_steps is None else with_steps.undone,
        restore=None if with_steps is None else with_steps.restored,
        raw_names=[str(name) for name in raw],
        title=title or type(estimator).__name__,
        film=frames_of(estimator),
        **details,
    )


def _one_each(what: str, column: NDArray[Any], evaluation: Evaluation) -> NDArray[Any]:
    n = evaluation.data.n
    if column.shape != (n,):
        raise ValueError(f"{what} has shape {column.shape}, not ({n},)")
    return column


def view_of(estimator: Any, evaluation: Evaluation, **details: Any) -> MapView:
    return MapView(
        evaluation=evaluation,
        neuron_labels=estimator.neuron_labels_,
        neuron_probabilities=estimator._probabilities,
        leaf_labels=estimator.leaf_labels_,
        history=estimator.history_,
        estimator=estimator._kind,
        **details,
    )


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


def _png(figure: Any) -> bytes:
    page = io.BytesIO()
    figure.savefig(page, format="png")
    return page.getvalue()


# ----------------------------------------------------------------- the colours of neurons

MOST_CATEGORIES = 20
_DEAD = (232, 234, 237)  # neurons without training samples
# Dark to bright, so that the order is visible without colours.
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])
_WIDTH = 320.0  # pixels of the whole map, at most
_CELL = 18.0  # pixels of one cell, at most
_MOST_NEURONS = 2500  # a larger image slows the page down
_LONGEST = 40  # characters of one entry of the legend


class Shades(NamedTuple):
    """The colours of a map's neurons."""

    what: str  # the coloured variable
    colours: NDArray[np.uint8]  # (K, 3)
    texts: Sequence[str]  # the value of each neuron
    legend: Sequence[tuple[str, tuple[int, ...]]]  # the categories, or the ends of the scale


def shades_of(
    estimator: Any, by: str | None = None, names: Mapping[Any, str] | None = None
) -> Shades:
    """Return the colours of a fitted map, by its labels or ``"hits"``; labels may have ``names``.

    None: the label of a classifier or of a labeller with few groups, the prediction of a regressor,
    otherwise the hits.
    """
    labels, hits = np.asarray(estimator.neuron_labels_), np.asarray(estimator.hit_counts_)
    regresses, kinds = estimator._kind == "regressor", np.unique(labels)
    # Where each neuron is a label of its own, labels are no categories.
    numbered = estimator._kind == "vq" and len(kinds) >= np.count_nonzero(hits)
    few = 1 < len(kinds) <= MOST_CATEGORIES and not numbered
    if by == "hits" or (by is None and not regresses and not few):
        return _scale("hits", hits.astype(np.float64), hits > 0)
    if regresses:
        return _scale("answer", labels.astype(np.float64), np.ones(len(hits), bool))
    codes = np.searchsorted(kinds, labels)
    called = [str((names or {}).get(kind, kind)) for kind in kinds.tolist()]
    texts = [called[code] for code in codes]
    if not few:
        scale = _scale("label", codes.astype(np.float64), hits > 0)
        (_, first), (_, last) = scale.legend
        return Shades("label", scale.colours, texts, [(called[0], first), (called[-1], last)])
    palette = []  # hues all around, light and dark in turn
    for rank in range(len(kinds)):
        lightness = (0.62, 0.42)[rank % 2] if len(kinds) > 2 else 0.5
        channels = colorsys.hls_to_rgb(0.58 + rank / len(kinds), lightness, 0.62)
        palette.append(tuple(round(255 * channel) for channel in channels))
    colours = np.array(palette, dtype=np.uint8)[codes]
    colours[hits == 0] = _DEAD
    return Shades("label", colours, texts, list(zip(called, palette, strict=True)))


def map_html(estimator: Any) -> str:
    """Return a fitted estimator's map as HTML: a cell for each neuron, values as tooltips."""
    som_map = estimator.som_map_
    torus = "" if som_map.grid.torus is None else " on a torus"
    facts = (
        f"{len(som_map)} neurons{torus} after {estimator.n_iter_} epochs · quantization error "
        f"{estimator.quantization_error_:.4g} · topographic error "
        f"{estimator.topographic_error_:.3g}"
    )
    style = "font-family: sans-serif; font-size: 12px; margin: 6px 0"
    end = f"<div>{facts}</div></div>"
    begin = f'<div class="dbgsom-map" style="{style}">'
    if len(som_map) > _MOST_NEURONS:
        return begin + end
    shades = shades_of(estimator)
    outlines = som_map.plane_positions[:, None] + np.asarray(som_map.grid.corners)
    low, high = outlines.min(axis=(0, 1)), outlines.max(axis=(0, 1))
    size = min(_CELL, _WIDTH / float((high - low).max()))
    width, height = ((high - low) * size).tolist()
    cells = []
    for row, outline in enumerate((outlines - low) * size):
        points = " ".join(f"{x:.1f},{height - y:.1f}" for x, y in outline.tolist())
        value = f"{shades.what} {_escaped(shades.texts[row])}, {estimator.hit_counts_[row]:g} hits"
        cells.append(
            f'<polygon points="{points}" fill="{_hex(shades.colours[row])}">'
            f"<title>neuron {row}, {value}</title></polygon>"
        )
    legend = " ".join(
        f'<span style="color:{_hex(colour)}">&#9632;</span>&nbsp;{_escaped(text)}'
        for text, colour in shades.legend
    )
    return (
        f'{begin}<svg width="{width:.0f}" height="{height:.0f}" role="img" aria-label="the map" '
        f'stroke="#fff" stroke-width="0.5">{"".join(cells)}</svg>'
        f"<div>{shades.what}: {legend}</div>{end}"
    )


def _escaped(text: str) -> str:
    text = as_text(text)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)


def _scale(what: str, values: NDArray[np.float64], known: NDArray[np.bool_]) -> Shades:
    low, high = float(values[known].min()), float(values[known].max())
    at = (values - low) / ((high - low) or 1.0)
    channels = [np.interp(at, np.linspace(0, 1, len(_RAMP)), channel) for channel in _RAMP.T]
    colours = np.column_stack(channels).astype(np.uint8)
    colours[~known] = _DEAD
    legend = [(f"{low:.4g}", tuple(_RAMP[0])), (f"{high:.4g}", tuple(_RAMP[-1]))]
    return Shades(what, colours, [f"{value:.4g}" for value in values], legend)


# ------------------------------------------------------------------------ the epochs of a fit

_CELLS = 24  # of the bar
_SECONDS_BETWEEN_BARS = 0.1
_LINES = 10  # of the epochs, evenly; a slow fit also prints every few seconds
_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress_shown(verbose: int) -> Iterator[Callable[[EpochRecord], object] | None]:
    """Yield a function that prints the progress after an epoch, or None for ``verbose`` 0.

    ``verbose`` 1: a progress bar in a terminal or a notebook; elsewhere a line each tenth of the
    epochs, and every five seconds. 2: a line for each epoch.
    """
    if verbose != 1:
        with compile_clock(*([print] if verbose else [])):
            yield (lambda epoch: print(line(epoch))) if verbose else None
        return
    progress = _Progress(sys.stdout)
    with compile_clock(progress.print_line):
        try:
            yield progress
        except BaseException:
            progress.end("stopped after")
            raise
        progress.end("done in")


class _Progress:
    def __init__(self, stream: Any) -> None:
        self._stream, self._started = stream, time.monotonic()
        self._in_place = stream.isatty() or type(stream).__module__.startswith("ipykernel")
        utf = "utf" in str(getattr(stream, "encoding", "")).lower()
        self._full, self._empty = "━╌" if utf else "#-"
        self._shown, self._tenth, self._width = 0.0, -1, 0
        self._last: EpochRecord | None = None

    def __call__(self, epoch: EpochRecord) -> None:
        self._last, now, share = epoch, time.monotonic(), epoch.epoch / epoch.epochs
        since, tenth = now - self._shown, _LINES * epoch.epoch // epoch.epochs
        if self._in_place:
            if since >= _SECONDS_BETWEEN_BARS:
                self._shown = now
                self._draw(epoch, f"ETA {(now - self._started) * (1 - share) / share:.0f} s")
        elif (tenth > self._tenth or since >= _SECONDS_BETWEEN_LINES) and share < 1:
            self._shown, self._tenth = now, tenth
            self.print_line(line(epoch))

    def print_line(self, text: str) -> None:
        self._write(f"{text}\n")
        self._width = 0

    def end(self, how: str) -> None:
        if self._last is None:
            return
        took = f"{how} {self._last.seconds:.2f} s"
        if self._in_place:
            self._draw(self._last, f"{took}\n")
        else:
            self.print_line(f"{line(self._last)}  {took}")

    def _draw(self, epoch: EpochRecord, rest: str) -> None:
        cells = round(epoch.epoch / epoch.epochs * _CELLS)
        self._write(
            f"epoch {epoch.epoch}/{epoch.epochs} {self._full * cells}"
            f"{self._empty * (_CELLS - cells)} {epoch.neurons} neurons  "
            f"QE {epoch.quantization_error:.4g}  {rest}"
        )

    def _write(self, text: str) -> None:
        if self._in_place:  # overwrite the last line
            text, self._width = f"\r{text.ljust(self._width)}", len(text)
        self._stream.write(text)
        self._stream.flush()
