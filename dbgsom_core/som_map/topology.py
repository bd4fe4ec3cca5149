"""Topology preservation: the topographic product and function, and path lengths over links."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dbgsom_core.som_map.grid import Floats, Integers

if TYPE_CHECKING:
    from dbgsom_core.som_map.som_map import SomMap

_BLOCK = 1 << 20  # distances that one block of rows may hold (8 MiB)


class TopographicFunction(NamedTuple):
    """The topographic function: whole numbers ``k`` (2m + 1,) from -m to m, and ``phi`` there."""

    k: Integers
    phi: Floats

    def at(self, k: int) -> float:
        """Return Φ(k) for any k; beyond ±m it is that of ±m."""
        m = int(self.k[-1])
        return float(self.phi[min(max(k, -m), m) + m])


def grid_distances(
    som_map: SomMap,
    rows: slice | Integers,
    measured: Literal["euclidean", "hops"] = "euclidean",
    columns: slice | Integers = slice(None),
) -> Floats:
    """Return the grid distances (m, b) of some neurons, rows of the map, to others (default: all).

    Euclidean between cells in the plane, or hops along links.
    """
    if measured == "hops":
        return np.asarray(som_map.hops[rows][:, columns], dtype=np.float64)
    cells = som_map.positions
    return np.sqrt(som_map.grid.squared_distances(cells[rows, None], cells[columns]))


def topographic_product(
    som_map: SomMap,
    pairwise: Callable[[Floats, Floats], Floats],
    grid_distance: Literal["euclidean", "hops"] = "euclidean",
) -> float:
    """Return the topographic product P (Bauer & Pawelzik 1992).

    For neuron j let a_k be its k-th nearest neighbour on the grid and v_k that among the
    prototypes, d the distance of prototypes and g that on the grid. With
    Q_k = d(j, a_k)/d(j, v_k) · g(j, a_k)/g(j, v_k),

        P = 1/(K(K-1)) Σ_j Σ_k 1/(2k) Σ_{l ≤ k} ln Q_l,   k = 1 … K-1.

    About 0 where the grid fits the data; below 0 the grid has too few dimensions and folds,
    above 0 it has too many.

    The paper leaves equal distances open. Here neurons at the same distance on the grid are taken
    in the order of their prototypes' distance, and the other way round, so that the numbering of
    the neurons does not matter. A ratio with a distance of 0, from prototypes that coincide,
    counts as 1.

    Parameters
    ----------
    som_map : SomMap
        K neurons; fewer than two give 0.
    pairwise : callable
        Returns the distances (m, K) of prototypes (m, D) to prototypes (K, D).
    grid_distance : {"euclidean", "hops"}
        Between grid cells: the paper's, or along the map's links.
    """
    n = len(som_map)
    prototypes = som_map.prototypes
    if n < 2:
        return 0.0
    # The inner sums over k are a weight of each l: Σ_{k ≥ l} 1/(2k).
    k = np.arange(n - 1, 0, -1)
    shares = np.cumsum(1.0 / (2.0 * k))[::-1]
    totals = np.empty(n)
    size = max(1, _BLOCK // n)
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        d = np.array(pairwise(prototypes[rows], prototypes), dtype=np.float64)
        g = grid_distances(som_map, rows, grid_distance)
        block = np.arange(len(d))
        d[block, start + block] = -1.0  # every neuron is its own nearest, and left out
        on_grid = np.lexsort((d, g), axis=1)[:, 1:]
        in_space = np.lexsort((g, d), axis=1)[:, 1:]
        logarithms = np.zeros(on_grid.shape)
        for distances in (d, g):
            above = np.take_along_axis(distances, on_grid, 1)
            below = np.take_along_axis(distances, in_space, 1)
            ratios = np.ones_like(above)
            np.divide(above, below, out=ratios, where=(above > 0) & (below > 0))
            logarithms += np.log(ratios)
        totals[rows] = logarithms @ shares
    return float(totals.sum() / (n * (n - 1)))


def topographic_function(
    som_map: SomMap,
    bmu: NDArray[np.integer[Any]],
    second_bmu: NDArray[np.integer[Any]],
    neighbours: Literal[4, 8] = 8,
) -> TopographicFunction:
    """Return the topographic function Φ (Villmann, Der, Herrmann & Martinetz 1997).

    The data link the two nearest neurons of each sample: the induced Delaunay graph. With K
    neurons and k = 1, 2, …

        Φ(k)  = 1/K Σ_i #{j linked to i by the data : their distance on the grid > k},
        Φ(-k) = 1/K Σ_i #{j linked to i on the grid : hops between them over the data's links > k},
        Φ(0)  = Φ(1) + Φ(-1).

    Φ(k) > 0 indicates folds: neighbours in the data lie more than k apart on the grid. Φ(-k) > 0
    indicates neighbours on the grid that are far apart in the data. Φ = 0 everywhere is a map that
    preserves topology in both directions.

    Parameters
    ----------
    som_map : SomMap
    bmu, second_bmu : int arrays (n,)
        The two nearest neurons of each sample.
    neighbours : {8, 4}
        How k > 0 measures the grid: 8 is the paper's maximum norm, where cells that touch at a
        corner are neighbours, too; 4 counts the hops along the map's links.

    Returns
    -------
    TopographicFunction
        Up to the largest m at which something changes: beyond it Φ is 0 for k > 0, and for k < 0
        what is left are links between neurons that no path over the data joins.
    """
    n = len(som_map)
    linked = np.zeros((n, n), dtype=np.bool_)
    linked[bmu, second_bmu] = True
    either_way = linked | linked.T
    pairs = np.argwhere(np.triu(either_way, 1))  # that are nearest to a sample
    if neighbours == 8:
        forward = som_map.grid.steps(*som_map.positions[pairs.T], over_corners=True)
    else:
        forward = som_map.hops[pairs[:, 0], pairs[:, 1]].astype(np.int64)
    backward = _hops_between(pairs, som_map.edges(), n)
    finite = backward[np.isfinite(backward)]
    m = int(max(1, forward.max(initial=1), finite.max(initial=1)))
    k = np.arange(-m, m + 1)
    phi = np.zeros(len(k))
    for step in range(1, m + 1):  # each pair counts for both its neurons
        phi[m + step] = 2 * np.count_nonzero(forward > step) / n
        phi[m - step] = 2 * np.count_nonzero(backward > step) / n
    phi[m] = phi[m + 1] + phi[m - 1]
    return TopographicFunction(k, phi)


def path_lengths(links: NDArray[np.int32], lengths: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """Return the lengths of shortest paths over links, of the pairs ``wanted`` (K, K), 0 elsewhere.

    From neurons (row) to others (column), inf without a path; ``links`` (K, degree) are those of a
    map, -1 for none, and each is as long as its entry of ``lengths`` (K, K).
    """
    from scipy.sparse.csgraph import dijkstra  # slow to import

    linked = np.zeros(lengths.shape, dtype=np.bool_)
    rows, link = np.nonzero(links >= 0)
    linked[rows, links[rows, link]] = True
    ends = np.nonzero(linked)
    graph = csr_array((lengths[ends], ends), shape=lengths.shape)
    starts = np.flatnonzero(wanted.any(axis=1))
    paths = np.zeros(lengths.shape)
    paths[starts] = np.where(wanted[starts], dijkstra(graph, indices=starts), 0.0)
    return paths


def _hops_between(pairs: Integers, ends: Integers, n: int) -> Floats:
    # The number of links between the two of each pair ``ends`` (m, 2), inf without a path.
    from scipy.sparse.csgraph import dijkstra  # slow to import

    graph = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    starts, at = np.unique(ends[:, 0], return_inverse=True)
    hops = dijkstra(graph, directed=False, unweighted=True, indices=starts)
    return np.asarray(hops[at, ends[:, 1]], dtype=np.float64)
