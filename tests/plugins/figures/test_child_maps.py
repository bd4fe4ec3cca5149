"""Figures of maps whose neurons have child maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from dbgsom_core import SomClassifier
from dbgsom_plugins.figures._style import EMPTY, categorical
from dbgsom_plugins.figures.label_map import ChildMaps, LabelMap, arranged
from dbgsom_plugins.figures.neuron_values import HitMap, UMatrix
from dbgsom_plugins.growth.classical import Hierarchical
from dbgsom_plugins.growth.directed import Directed

BASE = Directed(spreading_factor=0.05, class_growth=False)  # small maps, on three levels
DEEP = Hierarchical(base=BASE, tau_2=0.004, min_samples=10)


@pytest.fixture(scope="module")
def view(digits):
    X, y = digits
    model = SomClassifier(grid="square", growth=DEEP, epochs=20).fit(X, y)
    return model._view(model.evaluate(X, predictions=model.labels_), title="a run")


def polygons(axes):
    return [artist for artist in axes.collections if isinstance(artist, PolyCollection)]


@pytest.mark.parametrize("kind", [LabelMap, HitMap, UMatrix])
def test_a_mark_stands_in_every_cell_with_a_child_map_and_in_no_other(kind, view, texts_of, drawn):
    som_map = view.evaluation.som_map
    figure = drawn(kind().draw(view))
    white = [one for one in polygons(figure.axes[0]) if np.allclose(one.get_facecolor()[0], 1.0)]
    (marks,) = [one for one in white if len(one.get_paths()) == 4 * len(som_map.children)]
    middles = np.array([path.vertices[:4].mean(axis=0) for path in marks.get_paths()])
    cells = np.rint(middles.reshape(-1, 4, 2).mean(axis=1) - 0.1).astype(int)
    assert cells.tolist() == som_map.positions[sorted(som_map.children)].tolist()
    assert "A small grid in its corner marks a neuron with a child map." in texts_of(figure)


def test_every_neuron_of_every_child_map_has_its_cell_in_its_colour(view, texts_of, drawn):
    tree = view.evaluation.tree
    figure = drawn(ChildMaps().draw(view))
    cells = polygons(figure.axes[0])[0]
    leaves = np.concatenate(tree.leaf_of[1:])
    corners = np.array([path.vertices[0] for path in cells.get_paths()])
    assert len(np.unique(corners, axis=0)) == len(corners) == len(leaves)
    hits = np.bincount(view.evaluation.leaf, minlength=len(tree))
    palette = categorical(10)
    for leaf, colour in zip(leaves, cells.get_facecolor()[:, :3], strict=True):
        if leaf < 0:
            assert np.allclose(colour, to_rgb(EMPTY))
        elif hits[leaf]:
            assert np.allclose(colour, palette[view.leaf_labels[leaf]])
    headings = [text.get_text() for text in figure.axes[0].texts if "(" in text.get_text()]
    assert len(headings) == len(tree.maps) - 1
    x, y = view.evaluation.som_map.positions[min(view.evaluation.som_map.children)].tolist()
    assert headings[0] == f"({x}, {y})"
    error = f"quantization error {view.evaluation.leaf_distance.mean():.4g}"
    counted = f"{len(tree.maps) - 1} child maps, {len(tree)} leaves  ·  {error}"
    assert any(line.endswith(counted) for line in texts_of(figure))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30),
    st.integers(1, 3),
)
def test_arranged_rectangles_keep_apart(shapes, gap):
    taken = set()
    for (rows, columns), (left, low) in zip(shapes, arranged(shapes, gap), strict=True):
        # With a row for its heading.
        cells = {(left + x, low + y) for x in range(columns) for y in range(rows + 1)}
        assert not cells & taken
        taken |= cells
