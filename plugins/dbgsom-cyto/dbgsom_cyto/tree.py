"""The minimum spanning tree of a map's prototypes, a star of markers at each neuron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from dbgsom_core.api import FigureComponent, MapView, as_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_SIDES = (7.0, 11.0)  # inches of the tree, by its neurons
_KEY = 2.4  # inches of a column of the legend
_ROW = 0.2  # inches of a row of the legend
_MOST_CLUSTERS = 60  # that have colours and stand in the legend
_SMALLEST = 0.35  # radius of a neuron with hits, over the largest
_PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # names are no formulas
_INK, _GREY = "#333333", "#9a9a9a"

Names = Annotated[
    str | tuple[str, ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]


class MinimumSpanningTree(FigureComponent):
    """The minimum spanning tree of the prototypes (Van Gassen et al. 2015), as of FlowSOM.

    Nodes are neurons, their area is their hits, their colour the label; wedges are markers, as long
    as the prototype's value is high among all. Edges are as long as the layout of Kamada & Kawai
    (1989) makes them, nearly that between prototypes. Neurons without hits are grey dots.
    """

    markers: Names | None = Field(
        default=None,
        description="features that the stars show; null: those that vary most among neurons",
    )
    most_markers: int = Field(default=12, ge=1, le=40, description="wedges where markers is null")

    def draw(self, view: MapView) -> Figure:
        from matplotlib import colormaps
        from matplotlib.figure import Figure

        som_map, hits = view.evaluation.som_map, np.asarray(view.evaluation.hits, np.float64)
        if len(som_map) < 2:
            raise ValueError("a tree needs two neurons, and there is one")
        edges, lengths = spanning_tree(view.evaluation.prototype_distances)
        sizes = np.sqrt(hits / max(float(hits.max()), 1.0))
        radii = np.where(hits > 0, np.maximum(sizes, _SMALLEST), 0.15)
        places, radii = layout(len(som_map), edges, lengths, radii)
        names, values = self._stars(view, hits)
        clusters = _clusters_of(view, hits)
        colours = colormaps["turbo"](np.linspace(0.04, 0.96, len(names)))[:, :3]
        rows = len(names) + len(clusters) + 4  # and titles
        side = float(np.clip(6.5 + len(som_map) / 35, *_SIDES))
        columns = math.ceil(rows * _ROW / (side - 0.3))
        figure = Figure(figsize=(side + columns * _KEY, side + 0.5))
        width, height = figure.get_size_inches()
        axes = figure.add_axes((0.01, 0.01, side / width, side / height))
        axes.set_aspect("equal")
        axes.set_axis_off()
        _draw_tree(axes, places, radii, hits, edges, clusters)
        _draw_stars(axes, places, radii, hits, values, colours)
        for axis, along in ((axes.set_xlim, places[:, 0]), (axes.set_ylim, places[:, 1])):
            axis(float((along - radii).min()) - 0.3, float((along + radii).max()) + 0.3)
        figure.suptitle(
            as_label(f"Minimum spanning tree, {view.title}".rstrip(", "), 80),
            x=0.02,
            y=1 - 0.12 / height,
            ha="left",
            va="top",
            fontsize=13,
            **_PLAIN,
        )
        key = _Key(figure, side)
        key.head("Markers, low to high" if names else "")
        for name, colour in zip(names, colours, strict=True):
            key.row(name, colour)
        if clusters:
            key.head("Clusters and their share")
        for one in clusters:
            key.row(f"{one.name}", one.colour, _percentage(one.share))
        key.head("Area of a node: its hits")
        return figure

    def _stars(self, view: MapView, hits: Floats) -> tuple[list[str], Floats]:
        """Return the names of the wedges and their lengths, from 0 to 1, of each neuron (K, W)."""
        prototypes = np.asarray(view.evaluation.som_map.prototypes, dtype=np.float64)
        d = prototypes.shape[1]
        names = [*map(str, view.feature_names)]
        names = names if len(names) == d else [f"feature {i}" for i in range(d)]
        live = prototypes[hits > 0]
        low, spread = live.min(axis=0), np.ptp(live, axis=0)
        if self.markers is None:
            chosen = np.sort(np.argsort(-live.var(axis=0), kind="stable")[: self.most_markers])
        else:
            given = (self.markers,) if isinstance(self.markers, str) else self.markers
            plain = {name.rpartition("Comp-")[2]: i for i, name in enumerate(names)}
            places = plain | {name: i for i, name in enumerate(names)}
            unknown = [name for name in given if name not in places]
            if unknown:
                raise ValueError(f"there is no feature '{unknown[0]}' (there are: {names[:12]})")
            chosen = np.array([places[name] for name in given], dtype=np.intp)
        scaled = (prototypes - low) / np.where(spread > 0, spread, 1.0)
        return [names[i] for i in chosen], np.clip(scaled[:, chosen], 0.0, 1.0)


def spanning_tree(distances: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the edges (K - 1, 2) of the minimum spanning tree of distances (K, K), and lengths.

    Points at distance 0 are linked, too.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    n = len(distances)
    least = np.finfo(np.float64).tiny
    upper = np.triu(np.maximum(np.asarray(distances, np.float64), least), 1)
    tree = minimum_spanning_tree(upper).tocoo()
    order = np.lexsort((tree.col, tree.row))
    edges = np.column_stack([tree.row, tree.col]).astype(np.int64)[order]
    assert len(edges) == n - 1
    return edges, np.asarray(distances)[edges[:, 0], edges[:, 1]]


def layout(
    n: int, edges: NDArray[np.int64], lengths: Floats, radii: Floats
) -> tuple[Floats, Floats]:
    """Return places (n, 2) of the nodes of a tree by Kamada & Kawai (1989), and radii (n,).

    Lengths of edges are drawn between 0.8 and 1.25 of their mean, so that all can be seen; nodes
    that overlap are then moved apart.
    """
    import networkx as nx

    mean = float(lengths.mean()) or 1.0
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    for (a, b), length in zip(edges.tolist(), lengths.tolist(), strict=True):
        graph.add_edge(a, b, weight=min(max(length / mean, 0.8), 1.25))
    at = nx.kamada_kawai_layout(graph, weight="weight")
    places = np.array([at[i] for i in range(n)])
    ends = places[edges]
    places /= float(np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))) or 1.0
    places -= (places.min(axis=0) + places.max(axis=0)) / 2
    if np.ptp(places[:, 1]) > np.ptp(places[:, 0]):
        places = places[:, ::-1].copy()
    radii = 0.8 * radii
    for _ in range(200):
        apart = places[:, None] - places[None]
        gaps = np.linalg.norm(apart, axis=2)
        overlap = radii[:, None] + radii[None] + 0.06 - gaps
        np.fill_diagonal(overlap, 0.0)
        if overlap.max() <= 0.0:
            break
        push = np.clip(overlap, 0.0, None) / np.maximum(gaps, 1e-9)
        places = places + 0.25 * (push[:, :, None] * apart).sum(axis=1)
    return places, radii


def _percentage(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


class _Cluster(NamedTuple):
    name: str
    colour: Any
    share: float
    neurons: NDArray[np.intp]


def _clusters_of(view: MapView, hits: Floats) -> list[_Cluster]:
    """Return the labels of the neurons, none where they are numbers or too many."""
    from matplotlib import colormaps

    if view.estimator == "regressor" or view.neuron_labels.ndim != 1:
        return []
    live = np.flatnonzero(hits > 0)
    labels, of_neuron = np.unique(view.neuron_labels[live], return_inverse=True)
    if len(labels) > min(_MOST_CLUSTERS, max(2, len(hits) - 1)):
        return []
    total = float(hits.sum()) or 1.0
    palette = [*colormaps["tab20"].colors[::2], *colormaps["tab20"].colors[1::2]]
    palette += [*colormaps["tab20b"].colors, *colormaps["tab20c"].colors]
    found = []
    for i, label in enumerate(labels.tolist()):
        mine = live[of_neuron == i]
        name, share = view.label_names.get(label, label), float(hits[mine].sum()) / total
        found.append(_Cluster(str(name), palette[i % len(palette)], share, mine))
    return found


def _draw_tree(
    axes: Axes,
    places: Floats,
    radii: Floats,
    hits: Floats,
    edges: NDArray[np.int64],
    clusters: Sequence[_Cluster],
) -> None:
    from matplotlib.collections import EllipseCollection, LineCollection
    from matplotlib.patheffects import withStroke

    axes.add_collection(LineCollection(list(places[edges]), colors=_GREY, linewidths=1.0, zorder=1))
    faces = np.tile(np.array([1.0, 1.0, 1.0]), (len(places), 1))
    rims = np.tile(np.array([0.45, 0.45, 0.45]), (len(places), 1))
    faces[hits <= 0] = 0.75
    for one in clusters:
        rims[one.neurons] = one.colour
        faces[one.neurons] = 1 - 0.35 * (1 - np.array(one.colour))
        largest = one.neurons[radii[one.neurons].argmax()]
        axes.text(
            *(places[largest] + 0.75 * radii[largest]),
            as_label(one.name, 18),
            fontsize=8,
            weight="bold",
            color=_INK,
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=5,
            **_PLAIN,
        )
    axes.add_collection(
        EllipseCollection(
            2 * radii,
            2 * radii,
            np.zeros(len(radii)),
            units="xy",
            offsets=places,
            offset_transform=axes.transData,
            facecolors=faces,
            edgecolors=rims,
            linewidths=1.6,
            zorder=2,
        )
    )


def _draw_stars(
    axes: Axes, places: Floats, radii: Floats, hits: Floats, values: Floats, colours: Floats
) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Wedge

    wedges, w = values.shape[1], 360.0 / max(values.shape[1], 1)
    for i in range(wedges):
        patches = [
            Wedge(tuple(places[k]), 0.9 * radii[k] * values[k, i], 90 - (i + 1) * w, 90 - i * w)
            for k in np.flatnonzero(hits > 0)
        ]
        axes.add_collection(
            PatchCollection(
                patches, facecolor=colours[i], edgecolor=_INK, linewidths=0.25, zorder=3
            )
        )


class _Key:
    """The legend: rows from top to bottom, in columns beside the tree."""

    def __init__(self, figure: Figure, side: float) -> None:
        self._figure = figure
        self._width, self._height = figure.get_size_inches()
        self._left, self._top = side + 0.1, self._height - 0.55
        self._at = self._top

    def head(self, text: str) -> None:
        self._at -= 0.12
        self._line(text, 0.0, weight="bold")

    def row(self, text: str, colour: Any, more: str = "") -> None:
        from matplotlib.patches import Rectangle

        self._room()
        corner = (self._left / self._width, (self._at - 0.07) / self._height)
        size = (0.16 / self._width, 0.13 / self._height)
        self._figure.add_artist(Rectangle(corner, *size, facecolor=colour, edgecolor="none"))
        self._line(as_label(text, 20 if more else 26), 0.24, more)

    def _room(self) -> None:
        if self._at < 0.2:
            self._left, self._at = self._left + _KEY, self._top - 0.12

    def _line(self, text: str, indent: float, more: str = "", **font: Any) -> None:
        self._room()
        y = self._at / self._height
        how: dict[str, Any] = {"va": "center", "fontsize": 8, "color": _INK, **font, **_PLAIN}
        self._figure.text((self._left + indent) / self._width, y, text, **how)
        if more:
            self._figure.text((self._left + _KEY - 0.25) / self._width, y, more, ha="right", **how)
        self._at -= _ROW
