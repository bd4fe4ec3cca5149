"""Figures, and their view of a trained map."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.measures import UNEVEN

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.context import EpochRecord
    from dbgsom_core.interfaces.measures import ClusterStability, Evaluation, Stability


class MapChange(NamedTuple):
    """What figures draw of a check of new rows.

    Attributes
    ----------
    shares : float array (K,)
        The share of the new rows that each neuron has, minus that of the known ones.
    groups : int array (K,)
        The new group of each neuron, from 1 on; 0: none.
    limits : ControlLimits or None
        Of the charts in time.
    rows : data frame or None
        New rows in time: ``time``, ``unit``, ``average``, ``total`` and ``alarm``.
    """

    shares: NDArray[np.float64]
    groups: NDArray[np.int64]
    limits: Any = None
    rows: Any = None


@dataclass(frozen=True)
class MapView:
    """A trained map with everything that a figure may draw.

    Attributes
    ----------
    evaluation : Evaluation
        The map beside its training data.
    neuron_labels : array (K,)
        The labeller's answer for each neuron; dead neurons carry their nearest live one's.
    neuron_probabilities : float array (K, C) or None
    title : str
        Names the run.
    leaf_labels : array (L,) or None
        The answers of the neurons without a child map, see `Tree`.
    leaf_hits : array (L,) or None
        How many samples of the training each of them won; None: those of ``evaluation``.
    sample_ids : array (n,) or None
        What the samples of the evaluation are called, or their rows in the data set.
    novelty : callable or None
        Returns the novelty of each sample, float array (n,): the lower, the stranger.
    variables : mapping of str to array (n,)
        Numbers of each sample that the map was not trained on, by name; nan for none.
    annotations : mapping of str to array (n,)
        What else the data keeps beside each sample, such as ids, dates and files, by name.
    class_names : mapping from class to text
        Of the samples' targets, also where labels are no classes; ``label_names`` without it.
    axes : matplotlib Axes or None
        Where to draw, and whose figure to return; None, or a figure that cannot: a page of its own.
    undo : callable or None
        Undoes the prepare steps of samples or prototypes, float array (m, D); see `in_own_units`.
    restore : callable or None
        Returns prepared samples or prototypes (m, D) in the data's own columns (m, F), also where
        steps change their number, as a PCA does; None where a step cannot be inverted.
    raw_names : sequence of str
        Names of the data's own columns, before the prepare steps.
    sample_ids_name, target_name : str
        What the data calls ``sample_ids`` and the targets; empty where it does not say.
    scored : (str, Evaluation) or None
        What the rows are called that answers are scored by, ``"test"``, ``"held-out"`` (all, by the
        folds that tested them) or ``"training"``, and the map on them. None: those of
        ``evaluation``.
    stability, cluster_stability : Stability and ClusterStability, or None
        What refits say of the map and of its clusters.
    profile : ClusterProfile or None
        What sets its clusters apart, where its labels are clusters.
    class_profile : ClusterProfile or None
        The same of the classes of a classifier's training samples.
    groups : sequence of GroupCounts
        How its labels are spread over the groups of columns, where a run is to say it.
    change : MapChange or None
        What `check` found on new rows.
    """

    evaluation: Evaluation
    neuron_labels: NDArray[Any]
    history: Sequence[EpochRecord]
    estimator: Literal["vq", "classifier", "regressor"] = "vq"
    neuron_probabilities: NDArray[np.float64] | None = None
    label_names: Mapping[Any, str] = field(default_factory=dict)
    feature_names: Sequence[str] = ()
    image_shape: tuple[int, int] | None = None
    title: str = ""
    leaf_labels: NDArray[Any] | None = None
    leaf_hits: NDArray[Any] | None = None
    sample_ids: NDArray[Any] | None = None
    novelty: Callable[[], NDArray[np.float64]] | None = None
    stability: Stability | None = None
    cluster_stability: ClusterStability | None = None
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    annotations: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    class_names: Mapping[Any, str] = field(default_factory=dict)
    axes: Axes | None = None
    undo: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    restore: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    raw_names: Sequence[str] = ()
    sample_ids_name: str = ""
    target_name: str = ""
    scored: tuple[str, Evaluation] | None = None
    profile: Any = None
    class_profile: Any = None
    groups: Sequence[Any] = ()
    change: MapChange | None = None

    @property
    def rare_class(self) -> int | None:
        """The column of the rarer of two uneven classes in ``neuron_probabilities``, or None."""
        shares = self.neuron_probabilities
        if shares is None or shares.shape[1] != 2:
            return None
        totals = self.evaluation.hits @ shares
        if totals.max() <= UNEVEN * totals.sum():
            return None
        return int(totals.argmin())

    def in_own_units(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return samples or prototypes (m, D) as the data has them, as far as that is known."""
        return values if self.undo is None else self.undo(values)


@dataclass(frozen=True, repr=False)
class Html:
    """A figure that is a page: the whole text of an HTML file, which needs no other file.

    Notebooks show it in a frame of its own, whose scripts reach nothing else.
    """

    text: str

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to a file, with the folders that it lies in.

        Raises
        ------
        OSError
            It cannot be written.
        """
        from dbgsom_core.files import write_atomically

        if Path(path).is_dir():
            raise IsADirectoryError(f"{path} is a folder: name a file in it")
        write_atomically(Path(path), lambda file: file.write_text(self.text, encoding="utf-8"))

    def frame(self, height: int = 720, title: str | None = None) -> str:
        """Return HTML that shows the page within another one, so many pixels high.

        Screen readers tell ``title``, without it that of the page.
        """
        title = self._title if title is None else title
        return (
            f'<iframe title="{escape(title)}" sandbox="allow-scripts allow-downloads" '
            f'style="width:100%;height:{height}px;border:0" srcdoc="{escape(self.text)}"></iframe>'
        )

    @property
    def _title(self) -> str:
        start, end = self.text.find("<title>"), self.text.find("</title>")
        return unescape(self.text[start + 7 : end]) if 0 <= start < end else "figure"

    def __repr__(self) -> str:  # notebooks and terminals print it
        size = len(self.text.encode()) / 1000
        return f"<Html {as_label(self._title)!r}, {size:,.0f} kB: save(path) writes it>"

    def _repr_html_(self) -> str:
        return self.frame()


def images_of(name: str, drawn: Any) -> dict[str, Any]:
    """Return what a figure drew by the names of files: ``name``, or ``name_part`` of several."""
    if not isinstance(drawn, Mapping):
        return {name: drawn}
    return {f"{name}_{part}": figure for part, figure in drawn.items()}


def as_label(told: object, length: int = 40) -> str:
    """Return what came with data as a figure may show it: on one line, as text, cut with "…".

    Matplotlib has to be told as well that it is no formula and no LaTeX: ``parse_math=False,
    usetex=False``.
    """
    line = " ".join(str(told).split())
    text = as_text(line[: length + 1])
    return text if len(text) <= length else text[: max(0, length - 1)] + "…"


class FigureComponent(Component):
    """Base of figures of a trained map.

    Attributes
    ----------
    of_sweeps : bool
        True when `draw` takes a `SweepView` and not a `MapView`: it is drawn once for a sweep, and
        left out of runs.
    estimators : tuple of str or None
        The kinds (``vq``, ``classifier``, ``regressor``) whose maps it draws. None: every kind.
    """

    KIND: ClassVar[str] = "figure"
    of_sweeps: ClassVar[bool] = False
    estimators: ClassVar[tuple[str, ...] | None] = None

    @abstractmethod
    def draw(self, view: Any) -> MatplotlibFigure | Html | Mapping[str, Any]:
        """Return a new matplotlib figure made without pyplot's global state, or a page.

        ``view`` is a `MapView`, or a `SweepView`. Several figures are a mapping, by names of
        lower-case letters, digits and ``_``.
        """
