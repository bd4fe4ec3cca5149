"""The explorer in a real browser; skipped where there is no Chromium."""

import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import Html
from dbgsom_plugins.figures.explorer import Explorer

pytestmark = pytest.mark.one_version

NAME = "</script><img src=x onerror=alert({})>"
RARE = 'a, "rare"\nclass'  # a name that a cell of CSV has to quote


@pytest.fixture(scope="module")
def tree():
    X, y = (array[:500] for array in load_digits(return_X_y=True))
    growth = {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 9}, "tau_2": 0.02}
    model = SomVQ(growth=growth, epochs=15).fit(X)
    ids = np.array([NAME.format(i) for i in range(500)])
    fields = {"image_shape": (8, 8), "title": "<b>digits", "sample_ids": ids}
    page = Explorer().draw(model._view(model.evaluate(X, y=y), **fields)).text
    return model, page, X, y


@pytest.fixture(scope="module")
def uneven():
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.25
    X = np.column_stack([rng.normal(3.0 * y), rng.normal(size=400), 7 + 0 * y]).round(2)
    X[-1] = (90, 0, 7)  # the one sample of a corner
    labels = np.where(y, RARE, "usual")
    model = SomClassifier(max_neurons=40, epochs=15).fit(X, labels)
    return model, model.explore(X, labels, ["tenure", "distance", "same"]).text, X, labels


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_lasso_selects_neurons_and_gives_their_samples_away(browse, tree):
    model, page, X, _ = tree
    text, title = browse(
        page,
        """
        click("#lasso");
        const canvas = find(".stage canvas");
        pointer("pointerdown", canvas, 0.01, 0.01);
        for (const place of [[0.5, 0.01], [0.5, 0.99], [0.01, 0.99]])
          pointer("pointermove", canvas, ...place);
        pointer("pointerup", canvas, 0.01, 0.99);
        click("#as-text");
        return [find("#csv").value, text("#title")];
        """,
    )
    assert title == "<b>digits"
    x = model.som_map_.plane_positions[:, 0]
    units = model.bmu(X)
    lit = np.flatnonzero((x < (x.min() + x.max()) / 2)[units])
    rows = rows_of(text)
    assert [row["id"] for row in rows] == [NAME.format(i) for i in lit]
    assert [int(row["neuron"]) for row in rows] == units[lit].tolist()
    values = [[float(row[f"feature {i}"]) for i in range(64)] for row in rows]
    assert np.array_equal(values, X[lit])


def test_samples_are_found_by_name_class_and_value(browse, tree):
    _, page, X, y = tree
    found = browse(
        page,
        """
        const search = (what, how, value) => {
          enter(find("#search-what"), what);
          find("#search-how").value = how;
          find("#search-value").value = value;
          press(find("#search-value"), "Enter");
          return text("#lit-told");
        };
        return [
          search("id", "contains", "alert(17)"), search("class", "equal to", "3"),
          search("feature 20", "at least", "15.9"), search("feature 20", "at least", "many"),
          search("id", "equal to", "nobody"),
        ];
        """,
    )
    assert found[0].startswith("1 sample, on 1 neuron of")
    assert found[1].startswith(f"{np.sum(y == 3)} samples")
    assert found[2].startswith(f"{np.sum(X[:, 20] >= 15.9)} samples")
    assert found[3] == "“many” is no number."
    assert found[4].startswith("No sample")


def test_pointer_and_keys_reach_neurons_and_their_child_maps(browse, tree):
    model, page, _, _ = tree
    parent = min(model.som_map_.children)
    places = model.som_map_.plane_positions
    width, height = np.ptp(places, axis=0)
    x, y = places[parent] - (places.min(axis=0) + places.max(axis=0)) / 2
    title, told, moved, trail, selected, back = browse(
        page,
        f"""
        const canvas = find(".stage canvas");
        const [w, h] = [find(".stage").clientWidth, find(".stage").clientHeight];
        const scale = Math.min((w - 24) / {width + 1}, (h - 24) / {height + 1}, 110);
        const place = [0.5 + scale * {x} / w, 0.5 - scale * {y} / h];
        pointer("pointermove", canvas, ...place);
        await wait(100);
        const seen = [text("#neuron-title"), text("#neuron-told")];
        for (const key of ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]) {{
          press(canvas, key);
          seen[2] = (seen[2] ?? "") + text("#live");
        }}
        pointer("pointermove", canvas, ...place);
        press(canvas, "Enter");
        seen.push(text(".trail"));
        press(canvas, " ");
        seen.push(text("#lit-told"));
        press(canvas, "Backspace");
        return [...seen, text("#live")];
        """,
    )
    x, y = model.neurons_[parent]
    assert title == f"Neuron {parent} at ({x}, {y})"
    assert f"Hits{model.hit_counts_[parent]}" in told
    assert all(f"Neuron {k}" in told for k in model.som_map_.neighbours(parent))
    assert any(f"Neuron {k} at" in moved for k in model.som_map_.neighbours(parent))
    assert trail.startswith(f"Whole map › Neuron {parent}")
    assert selected.startswith("1 neuron selected")
    assert back.startswith(f"Neuron {parent} at")


def test_clusters_growth_planes_table_and_every_colouring_are_drawn(browse, tree):
    model, page, _, _ = tree
    clusters, epoch, planes, rows, colourings = browse(
        page,
        """
        for (const id of ["clusters", "growth", "planes", "table"]) click(`#${id} summary`);
        await wait(500);
        pointer("pointerdown", find("#dendrogram"), 0.5, 0.5);
        click("#play");
        await wait(9000);
        const chosen = find(".panel select"), seen = new Set();
        for (const option of [...chosen.options].slice(0, 24)) {
          enter(chosen, option.value);
          await new Promise(requestAnimationFrame);
          seen.add(find(".stage canvas").toDataURL());
        }
        const count = (selector) => document.querySelectorAll(selector).length;
        return [text("#cut-told"), text("#epoch-told"), count(".plane"),
          count("#table-told tbody tr"), seen.size];
        """,
    )
    n_neurons = len(model.som_map_)
    assert 1 < int(clusters) <= len(model.leaf_weights_)
    assert epoch.startswith(f"Epoch {model.som_map_.birth_epochs.max()}:")
    assert f"{n_neurons} of {n_neurons} neurons" in epoch
    assert (planes, rows) == (12, n_neurons)
    assert colourings >= 22  # two of the pixels are 0 everywhere


_GROUPS = """
const rows = () => [...document.querySelectorAll("#groups > div")];
const names = () => rows().map((row) => row.querySelector("input:not([type])"));
const choose = (...places) => {
  for (const i of places) rows()[i].querySelector("[type=checkbox]").click();
};
const told = () => [...names().map((one) => one.value || one.placeholder)];
const load = async (content) => {
  const files = new DataTransfer();
  files.items.add(new File([content], "groups.json"));
  File.prototype.text = async () => content; // else it is read in real time, and all else is not
  find("#load").files = files.files;
  find("#load").dispatchEvent(new Event("change"));
  await wait(20);
  return text("#groups-told");
};
"""


@pytest.fixture(scope="module")
def clustered():
    X, _ = load_digits(return_X_y=True)
    labeller = {"name": "clusters", "n_clusters": 5}
    model = SomVQ(labeller=labeller, max_neurons=40, epochs=20).fit(X[:600])
    return model, model.explore(X[:600]).text, X[:600]


def test_groups_are_joined_split_named_saved_and_answer_in_predict(browse, clustered, tmp_path):
    model, page, X = clustered
    opened, first, at, joined, split, undone, refused, saved, legend, neuron, csv_text = browse(
        page,
        _GROUPS
        + """
        const opened = [find("#clusters").open, find(".panel select").value];
        const shares = rows().map((row) => row.querySelector(".value").textContent);
        const at = [text("#cut-told"), shares];
        const first = told();
        choose(0, 1);
        click("#join");
        const joined = told();
        click("#split");
        const split = told();
        click("#undo");
        const undone = told();
        enter(names()[0], "round & <b>");
        enter(names()[1], "round & <b>");
        const refused = text("#groups-told");
        enter(names()[1], "=straight");
        click("#save");
        pointer("pointermove", find(".stage canvas"), 0.5, 0.5);
        await wait(100);
        const saved = find("#groups-text").value;
        document.querySelector(".legend button").click();
        click("#as-text");
        const legend = text(".legend");
        return [opened, first, at, joined, split, undone, refused, saved, legend,
          text("#neuron-told"), find("#csv").value];
        """,
    )
    assert opened == [True, "clusters"]
    assert first == [f"cluster {i}" for i in range(5)]
    shares = 100 * np.bincount(model.labels_) / len(X)
    assert at[0] == "5"
    assert [float(text.removesuffix(" %")) for text in at[1]] == pytest.approx(shares, abs=0.51)
    assert len(joined) == len(undone) == 4
    assert len(split) == 5
    assert joined == undone
    assert refused == "Two groups cannot both be called “round & <b>”."
    assert "round & <b>" in legend
    assert "Label" in neuron
    (tmp_path / "groups.json").write_text(saved, encoding="utf-8")
    before = model.labels_
    named = SomVQ(**{**model.get_params(deep=False), "labeller": "index"}).fit(X)
    labels = named.name_groups(tmp_path / "groups.json").predict(X)
    is_first = labels == "round & <b>"
    assert is_first.tolist() == np.isin(before, [0, 1]).tolist()
    others = [name.removeprefix("cluster ") for name in joined[2:]]
    assert set(labels) == {"round & <b>", "=straight", *others}
    rows = rows_of(csv_text)
    assert [int(row["row"]) for row in rows] == np.flatnonzero(is_first).tolist()
    assert {row["label"] for row in rows} == {"round & <b>"}
    # The page of a map that is trained anew with the file begins with these groups.
    edited = {"name": "clusters", "edited": str(tmp_path / "groups.json")}
    anew = SomVQ(**{**model.get_params(deep=False), "labeller": edited}).fit(X)
    assert anew.labels_.tolist() == labels.tolist()
    again = browse(anew.explore(X).text, f"{_GROUPS} return told();")
    assert sorted(again) == sorted(
        f"cluster {label}" if label.isdigit() else label for label in set(labels.tolist())
    )


def test_a_file_of_groups_is_loaded_and_others_refused(browse, clustered):
    model, page, _ = clustered
    live = model.hit_counts_ > 0
    names = [f"group {i}" for i in range(3)]
    places = np.arange(live.sum()) % 3
    content = {
        "format": "dbgsom groups",
        "version": 1,
        "groups": names,
        "neurons": places.tolist(),
        "prototypes": model.weights_[live].tolist(),
    }
    wrong = [
        "{",
        json.dumps({**content, "version": 2}),
        json.dumps({**content, "groups": ["a", "a", "b"]}),
        json.dumps({**content, "neurons": [3] * len(places)}),
        json.dumps({**content, "prototypes": [[1.0]] * len(places)}),
    ]
    told, refused, after, saved, reset = browse(
        page,
        f"""{_GROUPS}
        const loaded = await load({json.dumps(json.dumps(content))});
        const after = told();
        const refused = [];
        for (const text of {json.dumps(wrong)}) refused.push(await load(text));
        click("#save");
        const saved = find("#groups-text").value;
        click("#reset");
        return [loaded, refused, after, saved, told()];
        """,
    )
    assert told == "groups.json was loaded."
    assert after == names
    again = json.loads(saved)
    assert (again["groups"], again["neurons"]) == (names, places.tolist())
    assert [sentence.partition(" ")[0] for sentence in refused] == [
        "This", "This", "Two", "This", "These",
    ]  # fmt: skip
    assert reset == [f"cluster {i}" for i in range(5)]


def test_cuts_nest_and_are_one_change_and_a_click_on_the_map_chooses(browse, clustered):
    _, page, _ = clustered
    counts, names, undone, picked, is_over = browse(
        page,
        _GROUPS
        + """
        const cut = (count) => {
          find("#cut").value = count;
          find("#cut").dispatchEvent(new Event("input"));
          return told();
        };
        enter(names()[2], "mine");
        const found = [cut(9), cut(2), cut(5)];
        click("#undo");
        const undone = told();
        pointer("pointerdown", find(".stage canvas"), 0.5, 0.5);
        pointer("pointerup", find(".stage canvas"), 0.5, 0.5);
        const picked = rows().map((row) => row.querySelector("[type=checkbox]").checked);
        click("#undo");
        return [found.map((one) => one.length), found[2], undone, picked, find("#undo").disabled];
        """,
    )
    assert counts == [9, 2, 5]
    assert names == undone == ["cluster 0", "cluster 1", "mine", "cluster 3", "cluster 4"]
    assert sum(picked) == 1
    assert is_over


def test_it_works_in_the_sandbox_of_mlflow_which_permits_less_than_notebooks(browse, tree):
    def frame(page):
        shown = Html(page).frame()
        return "<!doctype html><body>" + shown.replace(" allow-downloads", "")

    told, text = browse(
        tree[1],
        """
        find("#search-value").value = "alert(17)";
        enter(find("#search-what"), "id");
        find("#search-how").value = "contains";
        click("#search-go");
        click("#download");
        return [text("#lit-told"), find("#csv").value];
        """,
        frame,
    )
    assert told.startswith("1 sample,")
    assert [row["id"] for row in rows_of(text)] == [NAME.format(17)]


def test_an_entry_of_the_legend_compares_its_samples_with_the_rest(browse, uneven):
    model, page, X, labels = uneven
    shown, title, text, cells, size = browse(
        page,
        """
        const select = find(".panel select");
        const shown = select.selectedOptions[0].text;
        enter(select, "label");
        await wait(100);
        click(".legend button");
        click("#as-text");
        await wait(100);
        const rows = [...document.querySelectorAll(".contrast tbody tr")];
        const cells = rows.map((row) => [...row.children].map((cell) => cell.textContent));
        const { scrollWidth, scrollHeight } = document.documentElement;
        return [shown, text("#selection-title"), find("#csv").value, cells, scrollWidth];
        """,
    )
    assert shown == 'Share of a, "rare" class'  # the rarer one
    assert title == 'Neurons labelled a, "rare" class'
    rows = rows_of(text)
    lit = model.neuron_labels_[model.bmu(X)] == RARE
    assert [int(row["row"]) for row in rows] == np.flatnonzero(lit).tolist()
    assert [row["class"] for row in rows] == [" ".join(label.split()) for label in labels[lit]]
    assert [float(row["distance.1"]) for row in rows] == X[lit, 1].tolist()
    found = {name: rest for name, *rest in cells}
    mean, rest = X[lit, 0].mean(), X[~lit, 0].mean()
    effect = (mean - rest) / X[:, 0].std()
    numbers = [float(found["tenure"][i].replace("−", "-")) for i in (0, 1, 3)]
    assert numbers == pytest.approx([mean, rest, effect], abs=0.1)
    assert found["same"] == ["7", "7", "", "–"]
    share = float(found['a, "rare" class'][0].removesuffix(" %"))
    assert share == pytest.approx(100 * np.mean(labels[lit] == RARE), abs=0.51)
    assert size <= 1280


def test_a_neuron_says_why_it_answers_otherwise_than_its_samples(browse, uneven):
    model, page, X, labels = uneven
    units = model.bmu(X)
    others = np.bincount(units, labels != model.neuron_labels_[units], len(model.som_map_))
    shares = others / np.maximum(model.hit_counts_, 1)
    k = shares.argmax()
    assert shares[k] > 0.5
    told = browse(
        page,
        f"""
        click("#table summary");
        await wait(500);
        document.querySelectorAll("#table-told tbody button")[{k}].click();
        await wait(100);
        return text("#neuron-told");
        """,
    )
    assert f"although {others[k]:.0f} of its {model.hit_counts_[k]} samples are" in told


def test_columns_beside_the_samples_are_searched_shown_and_colour_the_map(browse):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    columns = {
        "branch": np.where(X[:, 0] > 0, "Łódź", NAME),
        "street": rng.integers(0, 40, 200).astype(str),
        "customer": np.array([f"c{i}" for i in range(200)]),
        "said": np.array([f"Tea {i % 7}, please" for i in range(200)]),
    }
    columns["branch"][:9] = ""
    price = {"price": np.where(np.arange(200) < 9, np.nan, X[:, 1])}
    model = SomVQ(max_neurons=20, epochs=15).fit(X)
    fields = {"annotations": columns, "variables": price, "sample_ids": columns["customer"]}
    fields["sample_ids_name"] = "customer"
    page = Explorer().draw(model._view(model.evaluate(X), **fields)).text
    fields, found, listed, branches, legends, means = browse(
        page,
        """
        const search = (what, how, value) => {
          enter(find("#search-what"), what);
          find("#search-how").value = how;
          find("#search-value").value = value;
          click("#search-go");
          return text("#lit-told");
        };
        const chosen = find(".panel select"), legend = (id) => {
          enter(chosen, id);
          return text(".legend");
        };
        const fields = [...find("#search-what").options].map((one) => one.text);
        const found = search("beside 3", "contains", "tEA 3,");
        const listed = text("#lit-list");
        const branches = [];
        legend("beside 0");
        for (const entry of [...document.querySelectorAll(".legend .entry")]) {
          entry.click();
          click("#as-text");
          branches.push(find("#csv").value);
        }
        const legends = [1, 2].map((at) => legend(`beside ${at}`));
        search("beside 4", "missing", "");
        return [fields, found, listed, branches, legends, text("#lit-told")];
        """,
    )
    assert fields[:5] == [*columns, "price"]
    assert found.startswith(f"{np.sum(np.arange(200) % 7 == 3)} samples")
    assert "said: Tea 3, please" in listed
    units = model.bmu(X)
    for text in branches:  # of the neurons in which most samples have one value
        rows = rows_of(text)
        most = Counter(row["branch"] for row in rows if row["branch"]).most_common(1)[0][0]
        for unit in {int(row["neuron"]) for row in rows}:
            own = Counter(columns["branch"][units == unit].tolist())
            del own[""]
            assert own[most] == max(own.values())
    assert "others: “Find samples” finds each" in legends[0]
    assert legends[1].startswith("200 values: “Find samples” finds each")
    assert means.startswith("9 samples")
