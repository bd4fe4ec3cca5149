"""The way down a tree of maps: which leaf a sample comes to, and what leaves answer as one map."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_plugins.metrics.norms import Euclidean


@st.composite
def trees(draw):
    """A random tree of maps in the plane, and samples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def grown(depth):
        rows, columns = rng.integers(1, 4, size=2)
        som_map = SomMap.rectangle(rows, columns, rng.normal(size=(rows * columns, 2)))
        if depth < 4:
            for neuron in np.flatnonzero(rng.random(len(som_map)) < 0.3).tolist():
                som_map.children[neuron] = grown(depth + 1)
        return som_map

    return grown(1), rng.normal(size=(60, 2))


@given(trees())
def test_the_descent_is_that_of_a_loop_over_samples(drawn):
    root, X = drawn
    tree = Tree.of(root)
    below = descend(tree, Samples(X, guarded(Euclidean())))
    for sample, leaf, distance, path in zip(X, below.leaf, below.distance, below.path, strict=True):
        som_map, taken = root, []
        while som_map is not None:
            gaps = np.linalg.norm(som_map.prototypes - sample, axis=1)
            taken.append(int(gaps.argmin()))
            nearest = gaps.min()
            som_map = som_map.children.get(taken[-1])
        assert path.tolist() == taken + [-1] * (tree.depth - len(taken))
        assert tree.paths[leaf].tolist() == path.tolist()
        assert distance == pytest.approx(nearest)
