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


def test_a_prototype_is_a_line_across_its_variables(browser, models):
    browser.js(f"document.querySelector('{FIRST}').focus()")
    values = "[...document.querySelectorAll('#neuron .bars .value')].map((one) => one.textContent)"
    browser.until("document.querySelector('#neuron-title').textContent !== 'Neuron'")
    bars = browser.js(values)
    button = (
        "[...document.querySelectorAll('button')].find((one) => one.textContent === 'As lines')"
    )
    browser.js(f"{button}.click()")
    assert browser.js(values) == bars  # of few variables, in the same order
    prototype = models[0].weights_[0]
    assert [float(one) for one in bars[-4:]] == pytest.approx(prototype, rel=1e-3)
    # The line is drawn where the values lie between the ends of samples and prototypes.
    low = np.minimum(models[0].weights_.min(axis=0), X.min(axis=0))
    high = np.maximum(models[0].weights_.max(axis=0), X.max(axis=0))
    found = browser.js(
        """(() => { const one = document.querySelector('#profile');
        const pen = one.getContext('2d');
        const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent');
        const [r, g, b] = [1, 3, 5].map((i) => parseInt(accent.trim().slice(i, i + 2), 16));
        const all = pen.getImageData(0, 0, one.width, one.height).data;
        return [0, 1, 2, 3].map((row) => {
          const y = Math.round((row + 0.5) * one.height / 4);
          const line = all.slice(4 * one.width * y, 4 * one.width * (y + 1));
          let [sum, n] = [0, 0];
          for (let x = 0; x < one.width; x++) {
            const near = [r, g, b].every((c, i) => Math.abs(line[4 * x + i] - c) < 12);
            if (near && line[4 * x + 3] > 200) { sum += x + 0.5; n += 1; }
          }
          return (sum / n - 4) / (one.width - 8); }); })()"""
    )
    assert found == pytest.approx((prototype - low) / (high - low), abs=0.04)


def test_clusters_and_classes_are_told_apart(chromium, models, tmp_path):
    groups = SomVQ(max_neurons=9, epochs=5, labeller={"name": "clusters", "n_clusters": 2}).fit(X)
    models[0].explore(X, Y, path=tmp_path / "kinds.html", other=groups)
    chromium.errors.clear()
    chromium.open(tmp_path / "kinds.html")
    legends = chromium.js(
        "[...document.querySelectorAll('.legend')].map((one) =>"
        "[...one.querySelectorAll('span')].map((name) => name.textContent))"
    )
    assert legends[0][:3] == ["class 0", "class 1", "class 2"]
    assert legends[1][:2] == ["cluster 0", "cluster 1"]
    chromium.js(f"document.querySelector('{SECOND}').focus()")
    chromium.until("document.querySelector('#neuron dd') !== null")
    assert chromium.text("#neuron dd") == f"cluster {groups.neuron_labels_[0]}"
    assert "label cluster" in chromium.text("#live")
    assert chromium.errors == []


def test_narrow_lists_show_where_the_names_of_two_maps_differ(chromium, models, tmp_path):
    page = tmp_path / "names.html"
    models[0].explore(X, Y, path=page, other=models[1])
    told = page.read_text("utf-8")
    for was, name in (("SomClassifier", "mine: SF 0.3, a"), ("SomVQ", "mine: SF 0.5, a")):
        told = told.replace(f'"title":"{was}"', f'"title":"{name}"')
    page.write_text(told, "utf-8")
    chromium.errors.clear()
    chromium.open(page)
    assert chromium.text("#title") == "mine: SF 0.3, a beside mine: SF 0.5, a"
    shown = chromium.js("[...document.querySelector('.panel select').options].map((o) => o.text)")
    assert shown == ["SF 0.3, a", "SF 0.5, a"]
    wide, high = chromium.js(
        "(({ width, height }) => [width, height])"
        "(document.querySelector('.stage').getBoundingClientRect())"
    )
    assert high <= wide + 1  # no empty bands above and below two narrow maps
    assert chromium.errors == []
