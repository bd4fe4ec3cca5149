"""Shortest ways over links, beside those of scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from dbgsom_core.som_map.grid import HEXAGONAL, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.topology import hops_between, ways_over_links


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, unique=True),
    st.sampled_from([SQUARE, HEXAGONAL]),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_wanted_ways_are_those_of_scipy_to_the_bit(cells, grid, seed, share):
    rng = np.random.default_rng(seed)
    som_map = SomMap(cells, np.zeros((len(cells), 1)), grid)
    apart = rng.exponential(size=(len(cells), len(cells))).round(rng.choice([1, 12])) + 0.01
    apart += apart.T  # of no metric: a detour may be shorter than a link
    wanted = rng.random(apart.shape) < share
    one, other = som_map.edges().T
    graph = csr_array((apart[one, other], (one, other)), shape=apart.shape)
    expected = np.where(wanted, dijkstra(graph, directed=False), 0.0)
    np.testing.assert_array_equal(ways_over_links(som_map.links, apart, wanted), expected)


def test_links_without_length_are_ways():
    line = SomMap([(x, 0) for x in range(4)], np.zeros((4, 1)))
    apart = np.abs(np.subtract.outer([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]))
    found = ways_over_links(line.links, apart, np.ones((4, 4), bool))
    np.testing.assert_array_equal(found, apart)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.floats(0, 0.4))
def test_hops_between_ends_are_those_of_scipy(n, seed, share):
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(rng.random((n, n)) < share, 1))
    ends = np.argwhere(np.triu(rng.random((n, n)) < 0.5, 1))
    graph = csr_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(n, n))
    expected = dijkstra(graph, directed=False, unweighted=True)[tuple(ends.T)]
    np.testing.assert_array_equal(hops_between(pairs, ends, n), expected)
