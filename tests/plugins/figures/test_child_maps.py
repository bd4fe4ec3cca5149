"""Figures of maps whose neurons have child maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.estimators.display import view_of
from dbgsom_plugins.figures._colours import EMPTY, categorical
from dbgsom_plugins.figures.label_map import ChildMaps, LabelMap, arranged
from dbgsom_plugins.figures.neuron_values import HitMap, UMatrix
from dbgsom_plugins.growth.directed import Directed
from dbgsom_plugins.growth.fixed import Hierarchical

BASE = Directed(spreading_factor=0.05, class_growth=False)  # small maps, on three levels
DEEP = Hierarchical(base=BASE, tau_2=0.004, min_samples=10)


@pytest.fixture(scope="module")
def views(digits):
    X, y = digits
    fitted = (
        SomVQ(grid="square", growth=DEEP, epochs=20).fit(X),
        SomClassifier(grid="square", growth=DEEP, epochs=20).fit(X, y),
        SomVQ(epochs=20).fit(X),
    )
    names = ("vq", "classifier", "flat")
    return {
        name: view_of(model, model.evaluate(X, predictions=model.labels_), title="a run")
        for name, model in zip(names, fitted, strict=True)
    }


def drawn(kind, view):
    figure = kind().draw(view)
    FigureCanvasAgg(figure).draw()
    return figure


def written(figure):
    return [text.get_text() for text in figure.texts]


def polygons(axes):
    return [one for one in axes.collections if isinstance(one, PolyCollection)]


@pytest.mark.parametrize("kind", [LabelMap, HitMap, UMatrix])
@pytest.mark.parametrize("name", ["vq", "classifier"])
def test_a_mark_stands_in_every_cell_with_a_child_map_and_in_no_other(kind, name, views):
    view = views[name]
    som_map = view.evaluation.som_map
    axes = drawn(kind, view).axes[0]
    marks = [one for one in polygons(axes) if np.allclose(one.get_facecolor()[0], 1.0)]
    (marks,) = [one for one in marks if len(one.get_paths()) == 4 * len(som_map.children)]
    middles = np.array([path.vertices[:4].mean(axis=0) for path in marks.get_paths()])
    cells = np.rint(middles.reshape(-1, 4, 2).mean(axis=1) - 0.1).astype(int)
    assert cells.tolist() == som_map.positions[sorted(som_map.children)].tolist()


@pytest.mark.parametrize("kind", [LabelMap, HitMap, UMatrix, ChildMaps])
def test_the_caption_counts_maps_and_leaves_and_explains_marks(kind, views):
    view = views["classifier"]
    tree = view.evaluation.tree
    lines = written(drawn(kind, view))
    error = f"quantization error {view.evaluation.leaf_distance.mean():.4g}"
    counted = f"{len(tree.maps) - 1} child maps, {len(tree)} leaves  ·  {error}"
    assert any(line.endswith(counted) for line in lines)
    explained = "A small grid in its corner marks a neuron with a child map." in lines
    assert explained == (kind is not ChildMaps)
    flat = written(drawn(kind, views["flat"]))
    assert not any("child map" in line for line in flat if "No neuron" not in line)


def test_every_neuron_of_every_child_map_has_its_cell_in_its_colour(views):
    view = views["classifier"]
    tree = view.evaluation.tree
    figure = drawn(ChildMaps, view)
    cells = polygons(figure.axes[0])[0]
    leaf = np.concatenate(tree.leaf_of[1:])
    assert len(cells.get_paths()) == len(leaf)
    corners = np.array([path.vertices[0] for path in cells.get_paths()])
    assert len(np.unique(corners, axis=0)) == len(leaf)
    hits = np.bincount(view.evaluation.leaf, minlength=len(tree))
    palette = categorical(10)
    for one, colour in zip(leaf, cells.get_facecolor()[:, :3], strict=True):
        if one < 0:
            assert np.allclose(colour, to_rgb(EMPTY))
        elif hits[one]:
            assert np.allclose(colour, palette[view.leaf_labels[one]])
    headings = [text.get_text() for text in figure.axes[0].texts if "(" in text.get_text()]
    assert len(headings) == len(tree.maps) - 1
    x, y = view.evaluation.som_map.positions[min(view.evaluation.som_map.children)].tolist()
    assert headings[0] == f"({x}, {y})"
    assert any(heading.count("›") == 1 for heading in headings)


@pytest.mark.parametrize("name", ["vq", "classifier", "flat"])
def test_child_maps_are_drawn_on_the_page(name, views):
    figure = drawn(ChildMaps, views[name])
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30),
    st.integers(1, 3),
)
def test_arranged_rectangles_keep_apart(shapes, gap):
    taken = set()
    for (rows, columns), corner in zip(shapes, arranged(shapes, gap), strict=True):
        cells = {
            (corner[0] + x, corner[1] + y) for x in range(columns) for y in range(rows + 1)
        }  # with a row for its heading
        assert not cells & taken
        taken |= cells
