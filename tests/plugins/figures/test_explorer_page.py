"""The explorer in a real browser, with real events; skipped where there is no Chromium."""

import csv
import io

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import Html
from dbgsom_core.estimators.display import view_of
from dbgsom_plugins.figures.explorer import Explorer

pytestmark = pytest.mark.one_version

NAME = "</script><img src=x onerror=alert({})>"
MAP = ".stage canvas"


@pytest.fixture(scope="module")
def model():
    X, _ = load_digits(return_X_y=True)
    growth = {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 9}, "tau_2": 0.02}
    return SomVQ(growth=growth, epochs=15).fit(X[:500])


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    X, y = load_digits(return_X_y=True)
    ids = np.array([NAME.format(i) for i in range(500)])
    view = view_of(
        model,
        model.evaluate(X[:500], y=y[:500]),
        image_shape=(8, 8),
        title="<b>digits",
        sample_ids=ids,
    )
    path = tmp_path_factory.mktemp("pages") / "explorer.html"
    Explorer().draw(view).save(path)
    return path


@pytest.fixture
def browser(chromium, page):
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.open(page)
    yield chromium
    assert chromium.errors == []
    assert chromium.requests == [page.as_uri()]


def neuron_place(browser, model, k):
    """Return where a neuron lies on the whole map, as parts of the canvas."""
    x, y = model.som_map_.plane_positions.T
    width, height = browser.js(
        "(() => { const one = document.querySelector('.stage');"
        "return [one.clientWidth, one.clientHeight]; })()"
    )
    scale = min((width - 24) / (np.ptp(x) + 1), (height - 24) / (np.ptp(y) + 1), 110)
    across = 0.5 + scale * (x[k] - (x.min() + x.max()) / 2) / width
    return across, 0.5 - scale * (y[k] - (y.min() + y.max()) / 2) / height


def csv_rows(browser):
    return list(csv.DictReader(io.StringIO(browser.js("document.querySelector('#csv').value"))))


def test_pointing_at_a_cell_tells_its_neuron(browser, model):
    for k in (0, 3, len(model.som_map_) - 1):
        browser.hover(MAP, *neuron_place(browser, model, k))
        x, y = model.neurons_[k]
        title = f"Neuron {k} at ({x}, {y})"
        browser.until(f"document.querySelector('#neuron-title').textContent === '{title}'")
        told = browser.text("#neuron-told")
        assert f"Hits{model.hit_counts_[k]}" in told
        for other in model.som_map_.neighbours(k):
            assert f"Neuron {other}" in told
    assert browser.text("#title") == "<b>digits"


def test_the_lasso_selects_neurons_and_gives_their_samples_away(browser, model):
    X, _ = load_digits(return_X_y=True)
    browser.click("#lasso")
    (left, top), (middle, bottom) = browser.place(MAP, 0.01, 0.01), browser.place(MAP, 0.5, 0.99)
    browser.drag([(left, top), (middle, top), (middle, bottom), (left, bottom)])
    browser.click("#as-text")
    rows = csv_rows(browser)
    x = model.som_map_.plane_positions[:, 0]
    chosen = np.flatnonzero(x < (x.min() + x.max()) / 2)
    units = model.bmu(X[:500])
    expected = [(NAME.format(i), k) for i, k in enumerate(units) if k in chosen]
    assert [(row["id"], int(row["neuron"])) for row in rows] == expected
    values = [[float(row[f"feature {i}"]) for i in range(64)] for row in rows]
    assert np.array_equal(values, X[:500][np.isin(units, chosen)])  # whole numbers, as they are
    assert browser.text("#export-told") == ""
    browser.click("#clear")
    assert browser.js("document.querySelector('#export').hidden")


def test_samples_are_found_by_name_class_and_value(browser):
    _, y = load_digits(return_X_y=True)

    def find(what, how, value):
        browser.js(
            f"(() => {{ const one = document.querySelector('#search-what'); one.value = '{what}';"
            "one.dispatchEvent(new Event('change'));"
            f"document.querySelector('#search-how').value = '{how}';"
            "const value = document.querySelector('#search-value');"
            "value.value = ''; value.focus(); })()"
        )
        browser.write(value)
        browser.keys("Enter")
        return browser.text("#lit-told")

    assert find("id", "with", "alert(17)").startswith("1 sample, on 1 neuron of")
    assert find("class", "equal to", "3").startswith(f"{np.sum(y[:500] == 3)} samples")
    assert find("feature 20", "at least", "15.9").startswith(
        f"{np.sum(load_digits().data[:500, 20] >= 15.9)} samples"
    )
    assert find("feature 20", "at least", "many") == "“many” is no number."
    assert find("id", "equal to", "nobody").startswith("No sample")


def test_the_keyboard_reaches_every_neuron_and_the_child_maps(browser, model):
    browser.js(f"document.querySelector('{MAP}').focus()")
    assert browser.text("#live").startswith("Neuron 0 at")
    parent = min(model.som_map_.children)
    while f"Neuron {parent} at" not in browser.text("#live"):
        here = int(browser.text("#live").split()[1])
        right, up = np.subtract(model.neurons_[parent], model.neurons_[here])
        key = ("ArrowUp", "ArrowDown")[int(up < 0)]
        if right:
            key = ("ArrowRight", "ArrowLeft")[int(right < 0)]
        browser.keys(key)
        assert int(browser.text("#live").split()[1]) != here
    browser.keys("Enter")
    assert browser.text(".trail").startswith(f"Whole map › Neuron {parent}")
    label = browser.js(f"document.querySelector('{MAP}').getAttribute('aria-label')")
    assert f"{len(model.som_map_.children[parent])} neurons" in label
    browser.keys(" ")
    assert browser.text("#lit-told").startswith("1 neuron selected")
    browser.keys("Backspace")
    assert browser.text(".trail").startswith("Whole map ·")
    assert browser.text("#live").startswith(f"Neuron {parent} at")


def test_clusters_growth_planes_and_table_open(browser, model):
    browser.click("#clusters summary")
    browser.click("#dendrogram", 0.5, 0.5)
    assert 1 <= int(browser.text("#cut-told")) <= len(model.som_map_)
    browser.click("#growth summary")
    browser.click("#play")
    last = model.som_map_.birth_epochs.max()
    browser.until(f"document.querySelector('#epoch-told').textContent.startsWith('Epoch {last}:')")
    assert f"{len(model.som_map_)} of {len(model.som_map_)} neurons" in browser.text("#epoch-told")
    browser.click("#planes summary")
    browser.until("document.querySelectorAll('.plane').length === 12")
    browser.click(".plane")
    chosen = browser.js("document.querySelector('.panel select').value")
    assert chosen.startswith("feature ")
    browser.click("#table summary")
    rows = "document.querySelectorAll('#table-told tbody tr').length"
    browser.until(f"{rows} === {len(model.som_map_)}")


def test_every_colouring_is_drawn(browser):
    drawn = browser.js(
        """(async () => {
        const chosen = document.querySelector('.panel select');
        const seen = new Set();
        for (const option of [...chosen.options].slice(0, 24)) {
          chosen.value = option.value;
          chosen.dispatchEvent(new Event('change'));
          await new Promise(requestAnimationFrame);
          seen.add(document.querySelector('.stage canvas').toDataURL());
        }
        return seen.size; })()"""
    )
    assert drawn >= 22  # two of the pixels are 0 everywhere


def test_it_fits_a_phone_in_light_and_dark(chromium, page):
    chromium.open(page, 390, 800, dark=True, mobile=True)
    assert chromium.js("document.documentElement.scrollWidth") <= 390
    assert chromium.js("document.documentElement.dataset.theme") == "dark"
    chromium.click("#theme")
    assert chromium.js("document.documentElement.dataset.theme") == "light"
    chromium.click(MAP)
    chromium.until("document.querySelector('#neuron-title').textContent !== 'Neuron'")


def test_it_works_in_the_sandbox_of_mlflow_which_permits_less_than_notebooks(
    chromium, page, tmp_path
):
    shown, outer = Html(page.read_text()).frame(), tmp_path / "outer.html"
    assert "allow-scripts allow-downloads" in shown
    shown = shown.replace("allow-scripts allow-downloads", "allow-scripts")
    outer.write_text(f"<!doctype html><body>{shown}")
    chromium.errors.clear()
    chromium.open(outer)
    assert chromium.js("document.querySelector('iframe').contentDocument") is None
    with chromium.framed():
        chromium.until("!!document.querySelector('#search-go')")
        chromium.js("document.querySelector('#search-value').focus()")
        chromium.write(NAME.format(17))
        chromium.keys("Enter")
        chromium.until("document.querySelector('#lit-told').textContent.startsWith('1 sample,')")
        chromium.js("document.querySelector('#download').click()")
        assert "alert(17)" in chromium.js("document.querySelector('#csv').value")
    assert chromium.errors == []


RARE = 'a, "rare"\nclass'  # a name that a cell of CSV has to quote


@pytest.fixture(scope="module")
def uneven():
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.25
    X = np.column_stack([rng.normal(3.0 * y), rng.normal(size=400), 7 + 0 * y]).round(2) + 0.0
    X[-1] = (90, 0, 7)  # the one sample of a corner
    labels = np.where(y, RARE, "usual")
    return SomClassifier(max_neurons=40, epochs=15).fit(X, labels), X, labels


@pytest.fixture
def churn(chromium, uneven, tmp_path):
    model, X, labels = uneven
    path = tmp_path / "churn.html"
    model.explore(X, labels, ["tenure", "distance", "same"], path)
    chromium.errors.clear()
    chromium.open(path, 1280, 900)
    yield chromium
    assert chromium.errors == []


def colour_by(browser, way):
    browser.js(
        "(() => { const one = document.querySelector('.panel select');"
        f"one.value = {way!r}; one.dispatchEvent(new Event('change')); }})()"
    )


def contrast(browser):
    """Return the cells of the tables that compare a selection with the rest."""
    cells = browser.js(
        "[...document.querySelectorAll('.contrast tbody tr')].map((row) =>"
        "[...row.children].map((one) => one.textContent))"
    )
    return {name: rest for name, *rest in cells}


def test_two_classes_open_on_the_share_of_the_rarer_one_and_all_fits(churn):
    shown = churn.js("document.querySelector('.panel select').selectedOptions[0].text")
    assert shown == 'Share of a, "rare" class'
    churn.click(MAP)
    colour_by(churn, "label")
    churn.click(".legend button")
    size = "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    assert churn.js(size) == [900, 1280]


@pytest.mark.parametrize(
    ("way", "title"),
    [("label", 'Neurons labelled a, "rare" class'), ("pies", ""), ("clusters", "")],
)
def test_an_entry_of_the_legend_compares_its_samples_with_the_rest(churn, uneven, way, title):
    model, X, labels = uneven
    colour_by(churn, way)
    churn.click(".legend button")
    churn.click("#as-text")
    rows = csv_rows(churn)
    lit = np.isin(np.arange(len(X)), [int(row["row"]) for row in rows])
    assert title in churn.text("#selection-title")
    if way == "label":
        assert np.array_equal(lit, model.neuron_labels_[model.bmu(X)] == RARE)
    elif way == "pies":
        assert np.array_equal(lit, labels == RARE)
    assert 0 < lit.sum() < len(X)
    columns = ["class", "tenure", "distance.1", "same"]
    written = [" ".join([row[name] for name in columns]) for row in rows]
    expected = zip(labels[lit], X[lit], strict=True)
    assert written == [
        " ".join([*label.split(), *(f"{value:g}" for value in x)]) for label, x in expected
    ]
    cells = contrast(churn)
    for i, name in enumerate(["tenure", "distance"]):
        mean, rest = X[lit, i].mean(), X[~lit, i].mean()
        effect = float(cells[name][3].replace("−", "-"))
        assert float(cells[name][0]) == pytest.approx(mean, abs=0.1)
        assert float(cells[name][1]) == pytest.approx(rest, abs=0.1)
        assert effect == pytest.approx((mean - rest) / X[:, i].std(), abs=0.006)
    assert cells["same"] == ["7", "7", "", "–"]
    share = float(cells['a, "rare" class'][0].removesuffix(" %"))
    assert share == pytest.approx(100 * np.mean(labels[lit] == RARE), abs=0.51)
    assert churn.text("#selection-told").endswith(f"{lit.sum()} of 400 samples")
    churn.click("#clear")
    assert churn.js("document.querySelector('#selection').hidden")


def test_a_neuron_says_why_it_answers_otherwise_than_its_samples(churn, uneven):
    model, X, labels = uneven
    units = model.bmu(X)
    misplaced = [np.mean(labels[units == k] != model.neuron_labels_[k]) for k in np.unique(units)]
    k = np.unique(units)[np.argmax(misplaced)]
    assert max(misplaced) > 0.5
    churn.click("#table summary")
    churn.until("document.querySelectorAll('#table-told button').length > 0")
    churn.js(f"document.querySelectorAll('#table-told tbody button')[{k}].click()")
    churn.until(f"document.querySelector('#neuron-title').textContent.startsWith('Neuron {k} ')")
    total = np.sum(units == k)
    text = f"although {max(misplaced) * total:.0f} of its {total} samples are"
    assert text in churn.text("#neuron-told")
