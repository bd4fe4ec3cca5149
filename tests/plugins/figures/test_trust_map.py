"""The figure of how sure a map is."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.datasets import make_blobs

from dbgsom_core import SomClassifier, SomRegressor
from dbgsom_core.estimators.display import view_of
from dbgsom_plugins.figures.neuron_values import TrustMap, bars


@pytest.fixture(scope="module")
def view():
    X, y = make_blobs(80, 3, centers=3, random_state=0)
    made = SomClassifier(epochs=10, max_neurons=12).fit(X, y)
    return view_of(made, made.evaluate(X, y), stability=made.stability(X, y, n=2))


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_cells_and_links_are_drawn_and_explained(view):
    figure = TrustMap().draw(view)
    FigureCanvasAgg(figure).draw()
    told = " ".join(texts(figure))
    assert "Trust map" in told
    assert f"({view.stability.chance:.0%})" in told
    shares = view.stability.agreements[np.isfinite(view.stability.agreements)]
    assert {f"{100 * one:.0f}" for one in shares} <= set(texts(figure))


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
    moved = places + 5 * np.arange(len(places))[:, None]  # as on a torus, across the sides
    torn = replace(stability, links=links[:1], link_shares=np.ones(1))
    assert len(bars(moved, torn)[0]) == 0


def test_numbers_as_answers_leave_cells_white():
    X, y = make_blobs(80, 3, centers=3, random_state=0)
    made = SomRegressor(epochs=10, max_neurons=12).fit(X, y)
    figure = TrustMap().draw(view_of(made, made.evaluate(X, y), stability=made.stability(X, y, 2)))
    assert any("cells have no colour" in one for one in texts(figure))
    assert len(figure.axes) == 1  # no colour bar


def test_who_did_not_ask_hears_how(view):
    with pytest.raises(ValueError, match=r"stability: \{resamples: 20\}"):
        TrustMap().draw(replace(view, stability=None))
