"""Two maps and lines across variables in a real browser; skipped where there is no Chromium."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from dbgsom_core import SomClassifier, SomVQ

X, Y = load_iris(return_X_y=True)
FIRST, SECOND = (f".panel:nth-child({i}) .stage canvas" for i in (1, 2))


@pytest.fixture(scope="module")
def models():
    one = SomClassifier(max_neurons=12, grid="hexagonal", epochs=8).fit(X, Y)
    two = SomVQ(growth={"name": "fixed", "rows": 1, "columns": 3}, epochs=8).fit(X)
    return one, two


@pytest.fixture
def browser(chromium, models, tmp_path):
    path = tmp_path / "pair.html"
    names = ["length", "width", "long", "wide"]
    models[0].explore(X, Y, names, path, other=models[1])
    chromium.errors.clear()
    chromium.open(path)
    yield chromium
    assert chromium.errors == []


def drawn(browser, selector):
    """Return what a map looks like."""
    browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return browser.js(f"document.querySelector('{selector}').toDataURL()")


def test_two_maps_show_where_the_same_samples_are(browser, models):
    two = models[1]
    assert browser.text("#title") == "SomClassifier beside SomVQ"
    before = [drawn(browser, canvas) for canvas in (FIRST, SECOND)]
    browser.js(f"document.querySelector('{SECOND}').focus()")  # looks at its first neuron
    browser.until("document.querySelector('#neuron-title').textContent.endsWith('of SomVQ')")
    browser.keys(" ")
    samples = np.flatnonzero(two.bmu(X) == 0)
    assert browser.text("#lit-told") == f"1 neuron selected, with {len(samples)} samples."
    assert all(
        drawn(browser, canvas) != was for canvas, was in zip((FIRST, SECOND), before, strict=True)
    )
    browser.js(f"document.querySelector('{FIRST}').focus()")
    browser.click("#as-text")
    rows = browser.js("document.querySelector('#csv').value").splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == samples.tolist()
    assert {row.split(",")[1] for row in rows} == {"0"}  # on the map on which they were chosen
    for row in rows[:3]:
        sample, distance = int(row.split(",")[0]), float(row.split(",")[-1])
        apart = np.linalg.norm(X[sample] - two.weights_[0])
        assert distance == pytest.approx(apart, abs=1e-3)
    browser.js(
        "(() => { for (const one of document.querySelectorAll('.panel select'))"
        "if ([...one.options].some((option) => option.value === 'feature 2')) {"
        "one.value = 'feature 2'; one.dispatchEvent(new Event('change')); } })()"
    )
    legends = browser.js(
        "[...document.querySelectorAll('.legend')].map((one) => one.firstChild.textContent)"
    )
    assert legends[0] == legends[1]  # one scale
    assert browser.js("document.querySelectorAll('.panel').length") == 2
