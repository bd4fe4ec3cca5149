"""Mistakes are told once, at their place, with the cure."""

import re
from pathlib import Path

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, did_you_mean
from dbgsom_core.plugins.registry import Registry


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


# Alone in a file, where ⟦ marks the place: a section below `BASE`, and what is told.
ALONE = [
    ("name: ⟦7", "must be text"),
    ("plugins: {⟦disabel: []}", "did you mean 'disable'"),
    ("figures: [{name: explorer, ⟦max_sample: 5}]", "'max_samples'"),
    ("tracking: [⟦run_foldr]", "'run_folder'"),
    ("model: {tol: ⟦.nan}", "finite number"),
    ("model: {labeller: ⟦{p: 2}}", "must be a name, or a mapping with a 'name'"),
    ("model: {kernel: {⟦strat: 2}}", "did you mean 'start'"),
    ("model: {metric: {name: minkowski, p: ⟦0}}", "must be at least 1, not 0"),
    ("model: {growth: {name: hierarchical, base: {name: ⟦gsm}}}", "'gsom'"),
    ("measures: ⟦[purity, purity]", "twice"),
    ('name: ⟦"a\\nb"', "one line without control characters"),
    ("⟦zzz: 3", "unknown key; known: experiment, name, tags, dataset, prepare, split, model, seed"),
    ("⟦sweep: {grid: {seed: [1]}}", "use 'dbgsom sweep'"),
    ("split: ⟦0.5", "must be a section of 'key: value' lines, not 0.5"),
    ("split: ⟦{stratify: true}", "needs one of test_size, folds, test and name"),
    ("split: {test_size: ⟦1}", "must be a share below 1, or at least 2 samples"),
    ("split: {name: KFold, gap: ⟦2}", "is not for KFold, which takes n_splits, shuffle"),
    ("split: {name: ⟦GroupKFold}", "needs 'groups'"),
    (
        "split: {test: ⟦churn.CSV}",
        "'churn.CSV' is a file: write dataset: {name: csv, path: churn.CSV}, or begin with "
        "'dbgsom init churn.CSV'",
    ),
    ("split: {⟦folds:3}", "did you mean 'folds'"),
    ("prepare: [⟦x.Y]", "write range_scale, standardize, lags, rolling, cyclic or module:Class"),
    ("model: {max_neurons: ⟦atuo}", "not 'atuo'; did you mean 'auto'"),
    ("model: {growth: {name: hierarchical, base: {name: gsom, ⟦wen: x}}}", "'when'"),
    ("model: {estimator: regressor, labeller: ⟦majority}", "use 'local_linear'"),
    ("model: {labeller: ⟦mean}", "for estimator regressor, not for vq; use 'index'"),
    ("model: {estimator: regressor, growth: ⟦{name: directed, threshold: entropy}}", "labels"),
    ("model: {grid: hexagonal, growth: ⟦{name: fixed, rows: 5, wrap: true}}", "even number"),
    ("model: {grid: ⟦square_torus}", "a torus is for maps of fixed size"),
    ("model: {growth: growing_grid, spreading_factor: ⟦auto}", "has no spreading_factor"),
    ("model: {growth: {name: gsom, max_neurons: 9}, max_neurons: ⟦8}", "give it once"),
    ("model: {growth: {name: gsom, spreading_factor: ⟦auto}}", "own spreading_factor"),
    ("model: {metric: hamming, kernel: ⟦mexican_hat}", "take another kernel, or a metric"),
    ("model: {init: {name: array, values: ⟦[]}}", "lists of numbers, all of the same length"),
    ("measures: [⟦accuracy]\nmodel: {estimator: regressor}", "is for estimator classifier"),
    ("model: {unlabelled: ⟦3}", "is for estimator: classifier"),
    ("model: {class_weight: ⟦balanced}", "is for estimator: classifier"),
]
BASE = "experiment: e\ndataset: iris\n"


@pytest.mark.parametrize(("text", "message"), ALONE)
def test_a_mistake_is_told_at_its_place(text, message, built_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = BASE + text
    before = text[: text.index("⟦")]
    place = f"run.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    Path("run.yaml").write_text(text.replace("⟦", "") + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_experiment("run.yaml", registry=built_ins)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(place)
    assert re.search(message, line)


FIELDS = [
    ("columns: [1, ⟦x]", "dataset.columns.1: must be an integer, not 'x'"),
    ("drop: [⟦1.5]", "dataset.drop.0: must be an integer or text, not 1.5"),
    ("size: ⟦[1, 2, 3]", "dataset.size: must have at most 2 items, not 3"),
    ("table: {a: ⟦x}", "dataset.table.a: must be a number, not 'x'"),
    ("word: ⟦{a: 1}", "dataset.word: must be text, not a section of 'key: value' lines"),
    ("token: ⟦badly", "dataset.token: badly is no token that the store accepts"),
]


@pytest.mark.parametrize(("field", "message"), FIELDS)
def test_a_field_of_any_type_is_told_at_its_place(bench, field, message):
    text = f"experiment: e\ndataset: {{name: toy, {field}}}"
    column = text.rpartition("\n")[2].index("⟦") + 1
    assert bench.problem(text.replace("⟦", "")) == f"run.yaml:2:{column}: {message}"


@pytest.mark.parametrize("name", ["digits", "a b/c_d-e.f"])
def test_names_that_are_folders_are_fine(bench, small, name):
    assert bench.load(small, f"experiment='{name}'").experiment == name


@pytest.mark.parametrize("name", ["", "/a", "a//b", "a/../b", "a\\b"])
def test_names_that_leave_their_folder_are_refused(registry, name):
    with pytest.raises(ConfigError, match="experiment: must be letters"):
        load_experiment({"experiment": name, "dataset": "toy"}, registry=registry)


def test_many_mistakes_make_a_message_that_can_be_read():
    names = [f"nothing{i}" for i in range(300)]
    with pytest.raises(ConfigError) as caught:
        load_experiment({"experiment": "e", "dataset": "iris", "measures": names})
    lines = str(caught.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "and 200 more"
    assert max(map(len, lines)) <= 500
    with pytest.raises(ConfigError, match="at most 200 characters between two slashes"):
        load_experiment({"experiment": "e/" + "x" * 300, "dataset": "iris"})


@pytest.mark.parametrize("name", ["d\xa0.csv", "d\u200b.csv", "ｄ.csv"])
def test_a_suggestion_that_looks_the_same_shows_what_differs(name):
    shown = name.encode("unicode_escape").decode()
    word = "d .csv" if "\xa0" in name else "d.csv"
    assert did_you_mean(word, [name]) == f"; did you mean '{shown}'?"
    assert did_you_mean("größe", ["grösse"]) == "; did you mean 'grösse'?"
