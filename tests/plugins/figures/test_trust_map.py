"""The figure of how sure a map is."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_plugins.figures.curves import StabilityFigure
from dbgsom_plugins.figures.neuron_values import TrustMap, bars


@pytest.fixture(scope="module")
def view():
    X, y = make_blobs(80, 3, centers=3, random_state=0)
    made = SomClassifier(epochs=10, max_neurons=12).fit(X, y)
    return made._view(made.evaluate(X, y), stability=made.stability(X, y, n=2))


def test_cells_say_how_often_samples_stayed_together(view, texts_of, drawn):
    texts = texts_of(drawn(TrustMap().draw(view)))
    assert f"({view.stability.chance:.0%})" in " ".join(texts)
    shares = view.stability.agreements[np.isfinite(view.stability.agreements)]
    assert {f"{100 * share:.0f}" for share in shares} <= set(texts)


def test_bars_are_as_wide_as_links_are_sure(view):
    stability = view.stability
    links = stability.links[:3]
    shares = np.array([1.0, stability.chance, np.nan])
    places = view.evaluation.som_map.plane_positions
    segments, widths, unsure = bars(places, replace(stability, links=links, link_shares=shares))
    assert widths.tolist() == [1.0, 0.0]
    assert unsure.tolist() == [False, True]
    middles = places[links[:2]].mean(axis=1)
    np.testing.assert_allclose(segments.mean(axis=1), middles)


def test_numbers_as_answers_leave_cells_white(texts_of):
    X, y = make_blobs(80, 3, centers=3, random_state=0)
    made = SomRegressor(epochs=10, max_neurons=12).fit(X, y)
    figure = TrustMap().draw(made._view(made.evaluate(X, y), stability=made.stability(X, y, 2)))
    assert any("cells have no colour" in text for text in texts_of(figure))


def test_without_resamples_it_says_how_to_ask_for_them(view):
    with pytest.raises(ValueError, match=r"stability: \{resamples: 20\}"):
        TrustMap().draw(replace(view, stability=None))


@pytest.mark.parametrize(("number", "halves"), [(1, 2), (2, 1), (25, 2)])
def test_clusters_are_drawn_by_number_and_one_by_one(number, halves):
    X, _ = make_blobs(400, 3, centers=3, random_state=0)
    fixed = {"name": "fixed", "rows": 6, "columns": 6}
    labeller = {"name": "clusters", "n_clusters": number}
    vq = SomVQ(epochs=10, growth=fixed, labeller=labeller).fit(X)
    found = vq.cluster_stability(X, halves)
    names = {0: "a name that is much too long for $any$ figure_of clusters"}
    view = vq._view(vq.evaluate(X), cluster_stability=found, label_names=names)
    numbers, clusters = StabilityFigure().draw(view).axes
    means = [agreement.mean for agreement in found.agreements]
    np.testing.assert_allclose(numbers.lines[1].get_ydata(), means)
    dots = clusters.collections[-1].get_offsets()
    np.testing.assert_allclose(dots[:, 0], [share.mean for share in found.group_shares])
    shown = [label.get_text() for label in clusters.get_yticklabels()]
    assert len(shown) == len(found.groups) == vq.n_clusters_
    assert "…" in shown[0]
