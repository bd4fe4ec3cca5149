"""The minimum spanning tree of a map's prototypes, with a star of markers at each neuron."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Wedge
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse.csgraph import minimum_spanning_tree

from dbgsom_core.api import FigureComponent, MapView, as_label
from dbgsom_cyto.fcs import Names, bare_name, one_of, places_of

Floats = NDArray[np.float64]
_Cluster = tuple[str, Floats, float, NDArray[np.intp]]  # name, colour (3,), share, neurons (m,)

_SIDES = (7.0, 11.0)  # inches of the tree, by its neurons
_LETTER = 0.068  # inches of a letter of the legend
_ROW = 0.17  # inches of one of its rows
_MOST_CLUSTERS = 60  # that have colours and stand in the legend
_SMALLEST, _DEAD = 0.35, 0.15  # radii over the largest: of a neuron with hits, and without
_PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # names are no formulas
_INK, _GREY = "#333333", "#9a9a9a"


class MinimumSpanningTree(FigureComponent):
    """The minimum spanning tree of the prototypes, as FlowSOM has it (Van Gassen et al. 2015).

    Nodes are neurons, their area is their hits, their colour the label; wedges are markers, the
    longer the higher the prototype's value among all. The layout is that of Kamada & Kawai (1989).
    Neurons without hits are grey dots; child maps are left out.
    """

    markers: Names | None = Field(
        default=None,
        description="features that the stars show; null: those that vary most among neurons",
    )
    most_markers: int = Field(default=12, ge=1, le=40, description="wedges where markers is null")

    def draw(self, view: MapView) -> Figure:
        hits = np.asarray(view.evaluation.hits, np.float64)
        if len(hits) < 2:
            raise ValueError("a tree needs two neurons, and there is one")
        edges, lengths = spanning_tree(view.evaluation.prototype_distances)
        sizes = np.maximum(np.sqrt(hits / max(float(hits.max()), 1.0)), _SMALLEST)
        places, radii = layout(edges, lengths, 0.8 * np.where(hits > 0, sizes, _DEAD))
        names, stars = self._stars(view, hits)
        clusters = _clusters_of(view, hits)
        colours = colormaps["turbo"](np.linspace(0.04, 0.96, len(names)))
        side = float(np.clip(6.5 + len(hits) / 35, *_SIDES))
        key: list[tuple[str, Any]] = [("Markers, low to high", None)]
        key += [(as_label(name, 30), one) for name, one in zip(names, colours, strict=True)]
        key += [("", None), ("Labels, share of samples", None)] if clusters else []
        for name, colour, share, _ in clusters:
            key.append((f"{as_label(name, 30)}   {100 * share:.2g} %", colour))
        columns = math.ceil(len(key) * _ROW / (side - 0.5))
        column = 0.6 + _LETTER * max(len(text) for text, _ in key)
        width, height = side + columns * column, side + 0.5
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0.01, 0.01, side / width - 0.01, side / height))
        axes.set_aspect("equal")
        axes.set_axis_off()
        _draw_tree(axes, (places, radii, hits), edges, clusters, (stars, colours))
        for set_limits, along in ((axes.set_xlim, places[:, 0]), (axes.set_ylim, places[:, 1])):
            set_limits((along - radii).min() - 0.3, (along + radii).max() + 0.3)
        title = as_label(f"Minimum spanning tree, {view.title}".rstrip(", "), 90)
        top = 1 - 0.12 / height
        figure.suptitle(title, x=0.02, y=top, ha="left", va="top", fontsize=13, **_PLAIN)
        _draw_key(figure, key, columns, (side / width, top - 0.35 / height))
        return figure

    def _stars(self, view: MapView, hits: Floats) -> tuple[list[str], Floats]:
        """Return the names of the wedges, and their lengths, 0 to 1, of each neuron (K, W)."""
        prototypes = np.asarray(view.evaluation.som_map.prototypes, dtype=np.float64)
        names = [*map(str, view.feature_names)]
        if len(names) != prototypes.shape[1]:
            names = [f"feature {i}" for i in range(prototypes.shape[1])]
        live = prototypes[hits > 0]
        low, spread = live.min(axis=0), np.ptp(live, axis=0)
        chosen = np.sort(np.argsort(-live.var(axis=0), kind="stable")[: self.most_markers])
        if self.markers is not None:
            found = [places_of(name, [[one] for one in names]) for name in self.markers]
            for name, places in zip(self.markers, found, strict=True):
                places or one_of(names, name, "no feature is called")  # raises
            chosen = np.array([places[0] for places in found])
        scaled = (prototypes - low) / np.where(spread > 0, spread, 1.0)
        return [bare_name(names[i]) for i in chosen], np.clip(scaled[:, chosen], 0.0, 1.0)


def spanning_tree(distances: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return edges (K - 1, 2) and lengths of the minimum spanning tree of distances (K, K)."""
    distances = np.asarray(distances, dtype=np.float64)
    upper = np.triu(np.maximum(distances, np.finfo(np.float64).tiny), 1)  # 0 would be no edge
    edges = np.argwhere(minimum_spanning_tree(upper).toarray() > 0)
    return edges, distances[edges[:, 0], edges[:, 1]]


def layout(edges: NDArray[np.int64], lengths: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Return places (K, 2) of the nodes of a tree by Kamada & Kawai (1989), and their radii (K,).

    Edges are 0.8 to 1.25 times as long as their mean, so that all can be seen; nodes that overlap
    are then moved apart.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(len(radii)))
    shown = np.clip(lengths / (lengths.mean() or 1.0), 0.8, 1.25)
    graph.add_weighted_edges_from(zip(*edges.T.tolist(), shown.tolist(), strict=True))
    at = nx.kamada_kawai_layout(graph)
    places = np.array([at[i] for i in range(len(radii))])
    ends = places[edges]
    places /= float(np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))) or 1.0
    for _ in range(200):
        apart = places[:, None] - places[None]
        gaps = np.linalg.norm(apart, axis=2)
        overlap = np.clip(radii[:, None] + radii[None] + 0.06 - gaps, 0.0, None)
        np.fill_diagonal(overlap, 0.0)
        if not overlap.any():
            break
        push = overlap / np.maximum(gaps, 1e-9)
        places = places + 0.25 * (push[:, :, None] * apart).sum(axis=1)
    return places, radii


def _clusters_of(view: MapView, hits: Floats) -> list[_Cluster]:
    """Return each label of the neurons, nothing where they are numbers or too many."""
    if view.estimator == "regressor" or view.neuron_labels.ndim != 1:
        return []
    live = np.flatnonzero(hits > 0)
    labels, of_neuron = np.unique(view.neuron_labels[live], return_inverse=True)
    if len(labels) > min(_MOST_CLUSTERS, max(2, len(hits) - 1)):
        return []
    many = np.vstack([colormaps[name](range(20)) for name in ("tab20", "tab20b", "tab20c")])[:, :3]
    palette = np.vstack([many[:20:2], many[1:20:2], many[20:]])
    found = []
    for i, label in enumerate(labels.tolist()):
        mine = live[of_neuron == i]
        share = float(hits[mine].sum() / hits.sum())
        found.append((str(view.label_names.get(label, label)), palette[i], share, mine))
    return found


def _draw_tree(
    axes: Axes,
    nodes: tuple[Floats, Floats, Floats],
    edges: NDArray[np.int64],
    clusters: list[_Cluster],
    stars: tuple[Floats, Floats],
) -> None:
    """Draw nodes, of places (K, 2), radii (K,) and hits (K,), with wedges (K, W) of W colours."""
    places, radii, hits = nodes
    axes.add_collection(LineCollection(list(places[edges]), colors=_GREY, linewidths=1.0, zorder=1))
    faces = np.where(hits[:, None] > 0, 1.0, 0.75) * np.ones(3)
    rims = np.full((len(hits), 3), 0.45)
    around = [withStroke(linewidth=2, foreground="white")]
    font: dict[str, Any] = {"fontsize": 8, "weight": "bold", "color": _INK, "path_effects": around}
    for name, colour, _, neurons in clusters:
        rims[neurons] = colour
        faces[neurons] = 1 - 0.35 * (1 - colour)
        largest = neurons[radii[neurons].argmax()]
        x, y = places[largest] + 0.75 * radii[largest]
        axes.text(x, y, as_label(name, 14), zorder=5, **font, **_PLAIN)
    circles = [Circle(place, radius) for place, radius in zip(places, radii, strict=True)]
    axes.add_collection(
        PatchCollection(circles, facecolors=faces, edgecolors=rims, linewidths=1.6, zorder=2)
    )
    lengths, angle = 0.9 * radii[:, None] * stars[0], 360.0 / len(stars[1])
    for i, colour in enumerate(stars[1]):
        ends = 90 - (i + 1) * angle, 90 - i * angle
        wedges = [Wedge(places[k], lengths[k, i], *ends) for k in np.flatnonzero(hits > 0)]
        axes.add_collection(
            PatchCollection(wedges, facecolor=colour, edgecolor=_INK, linewidths=0.25, zorder=3)
        )


def _draw_key(figure: Figure, key: list[tuple[str, Any]], columns: int, at: Any) -> None:
    patches = [Patch(facecolor=colour, alpha=float(colour is not None)) for _, colour in key]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": at, "ncols": columns}
    style: dict[str, Any] = {"fontsize": 8, "frameon": False, "labelspacing": 0.35}
    shown = figure.legend(patches, [text for text, _ in key], **place, **style)
    for text, (_, colour) in zip(shown.get_texts(), key, strict=True):
        text.set(weight="bold" if colour is None else "normal", **_PLAIN)
