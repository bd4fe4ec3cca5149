"""The data of a run: divided, prepared, and faults that are found before a folder exists."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.datasets import load_iris, load_wine

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.runs.data import divisions, final_fold, load_data, load_test
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.pipeline import prepare, run_experiment
from dbgsom_core.runs.prepare import fit_steps, make_step, make_steps
from dbgsom_core.runs.session import make_callbacks
from dbgsom_core.tables import Columns


def experiment(split, dataset="iris", estimator="vq", **more):
    values = {"experiment": "e", "dataset": dataset, "split": split, **more}
    return load_experiment({**values, "model": {"estimator": estimator}, "tracking": None})


def wine():
    X, y = load_wine(return_X_y=True)
    names = tuple(load_wine().feature_names)
    farms = np.array([f"farm {i % 7}" for i in range(len(X))])
    return Data(X, y, feature_names=names, ids={"farm": farms})


SPLITS = {
    "RepeatedStratifiedKFold": (
        {"n_splits": 4, "n_repeats": 2},
        {"n_splits": 4, "n_repeats": 2, "random_state": 42},
    ),
    "StratifiedGroupKFold": (
        {"groups": "farm", "n_splits": 3, "shuffle": True},
        {"n_splits": 3, "shuffle": True, "random_state": 42},
    ),
    "LeaveOneGroupOut": ({"groups": "farm"}, {}),
    "ShuffleSplit": (
        {"n_splits": 4, "test_size": 0.3, "train_size": 50},
        {"n_splits": 4, "test_size": 0.3, "train_size": 50, "random_state": 42},
    ),
    "TimeSeriesSplit": ({"n_splits": 4, "gap": 3}, {"n_splits": 4, "gap": 3}),
}


@pytest.mark.parametrize("name", SPLITS)
def test_a_splitter_of_scikit_learn_divides_as_it_does(name):
    given, meant = SPLITS[name]
    data = wine()
    groups = data.ids["farm"] if "groups" in given else None
    found = divisions(experiment({"name": name, **given}), data)
    expected = list(getattr(model_selection, name)(**meant).split(data.X, data.y, groups))
    assert len(found) == len(expected)
    for (train, test), (other_train, other_test) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(train, np.sort(other_train))
        np.testing.assert_array_equal(test, np.sort(other_test))


def test_short_forms_are_drawn_with_the_seed_and_keep_classes_where_asked():
    data = wine()
    first = divisions(experiment({"folds": 3, "stratify": True}), data)
    again = divisions(experiment({"folds": 3, "stratify": True}), data)
    other = divisions(experiment({"folds": 3, "stratify": True}, seed=1), data)
    tests, same, others = ([test.tolist() for _, test in one] for one in (first, again, other))
    assert tests == same != others
    shares = [np.bincount(data.y[test]) / len(test) for _, test in first]
    np.testing.assert_allclose(shares, [np.bincount(data.y) / len(data.y)] * 3, atol=0.02)


def test_groups_may_be_a_column_of_categories():
    kinds = np.arange(60) // 10
    columns = Columns(names=("x", "lot"), categories={"lot": ("None", *"abcde")})
    X = np.column_stack([np.arange(60.0), np.eye(6)[kinds]])
    data = Data(X, feature_names=columns.feature_names, columns=columns)
    asked = experiment({"name": "GroupKFold", "groups": "lot", "n_splits": 3})
    for train, test in divisions(asked, data):
        assert not {*kinds[train]} & {*kinds[test]}
    X[7, 1:] = np.nan
    with pytest.raises(DataError, match=r"'lot' is missing in 1 row\(s\), the first of them 7"):
        divisions(asked, Data(X, feature_names=columns.feature_names, columns=columns))


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (
            {"name": "GroupKFold", "groups": "farms"},
            "there is no column 'farms'; did you mean 'farm'?",
        ),
        (
            {"name": "GroupKFold", "groups": "hole"},
            r"'hole' is missing in 2 row\(s\), the first of them 3",
        ),
        (
            {"name": "GroupKFold", "groups": "farm", "n_splits": 9},
            "cannot be divided like this: .*9",
        ),
        ({"folds": 300}, "cannot be divided like this"),
        ({"name": "RepeatedKFold", "n_repeats": 9999}, "folds, more than 10000: ask for fewer"),
        ({"test_size": 177, "refit": True}, "1 rows are left to train on"),
    ],
)
def test_what_cannot_be_divided_is_told(split, told):
    data = wine()
    holes = np.arange(178.0) // 20
    holes[[3, 9]] = np.nan
    data = Data(data.X, data.y, ids={**data.ids, "hole": holes}, feature_names=data.feature_names)
    with pytest.raises(DataError, match=told):
        divisions(experiment(split), data)


# ------------------------------------------------------------------------------- a file of its own


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return {"name": "csv", "path": str(path), "target": "kind"}


def two_files(folder, header=("a", "b", "kind"), order=(0, 1, 2)):
    rng = np.random.default_rng(0)
    rows = [[*(c := rng.normal(size=2)).round(3), "x" if c[0] > 0 else "y"] for _ in range(60)]
    train = write_csv(folder / "train.csv", ("a", "b", "kind"), rows[:40])
    test = write_csv(folder / "test.csv", header, [[row[i] for i in order] for row in rows[40:]])
    return train, test


def test_a_file_of_its_own_is_tested_on_with_its_columns_in_any_order(tmp_path):
    train, test = two_files(tmp_path)
    same = experiment({"test": test}, train, "classifier")
    data = load_data(same)
    expected = load_test(same, data)
    assert expected.X.shape == (20, 2)
    _, turned = two_files(tmp_path, ("kind", "b", "a"), (2, 1, 0))
    turned = load_test(experiment({"test": turned}, train, "classifier"), data)
    np.testing.assert_array_equal(turned.X, expected.X)
    fold = final_fold(same, data, expected)
    assert (len(fold.train.X), len(fold.test.X)) == (40, 20)
    np.testing.assert_array_equal(fold.test.y, expected.y)


@pytest.mark.parametrize(
    ("header", "order", "told"),
    [
        (("a", "bb", "kind"), (0, 1, 2), "lacks the column 'b'; did you mean 'bb'"),
        (("a", "kind"), (0, 2), "lacks the column 'b'"),
        (("a", "b", "c", "kind"), (0, 1, 1, 2), "also has the column 'c'"),
    ],
)
def test_other_columns_are_told(tmp_path, header, order, told):
    train, test = two_files(tmp_path, header, order)
    other = experiment({"test": test}, train, "classifier")
    with pytest.raises(DataError, match=rf"data set 'split.test' {told}"):
        load_test(other, load_data(other))


def test_other_shapes_and_targets_are_told(tmp_path):
    X = np.random.default_rng(0).normal(size=(20, 3))
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", X[:, :2])
    dataset = {"name": "npy", "path": str(tmp_path / "a.npy")}
    narrow = experiment({"test": {"name": "npy", "path": str(tmp_path / "b.npy")}}, dataset)
    with pytest.raises(DataError, match="has 2 columns, and the data to train on has 3"):
        load_test(narrow, load_data(narrow))


# ------------------------------------------------------------------------------ what a run keeps


def finished(folder, registry, split, dataset="iris", estimator="classifier"):
    described = load_experiment(
        {
            "experiment": "e",
            "dataset": dataset,
            "split": split,
            "model": {"estimator": estimator, "max_neurons": 9, "epochs": 8},
            "measures": ["accuracy", "quantization_error"],
            "figures": None,
            "tracking": {"name": "run_folder", "path": str(folder / "runs")},
        },
        registry=registry,
    )
    observers = make_callbacks(described.tracking, registry)
    return run_experiment(described, observers, registry)


def test_each_fold_is_kept_with_its_rows_and_the_run_with_their_mean(tmp_path, registry):
    split = {"name": "RepeatedStratifiedKFold", "n_splits": 3, "n_repeats": 2}
    outcome = finished(tmp_path, registry, split)
    stored = read_run(outcome.run.folder)
    assert stored.damage == ""
    assert [one.fold for one in stored.folds] == [1, 2, 3, 4, 5, 6]
    assert {(one.train_samples, one.test_samples) for one in stored.folds} == {(100, 50)}
    assert len({one.split_digest for one in stored.folds}) == 6
    accuracies = [one.measures["test/accuracy"] for one in stored.folds]
    assert stored.measures["test/accuracy"] == pytest.approx(np.mean(accuracies))
    assert stored.measures["test_std/accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert [one.measures["test/accuracy"] for one in outcome.folds] == accuracies
    assert outcome.model.predict(load_iris().data).shape == (150,)  # of all data


def test_a_refitted_run_measures_a_model_that_has_not_seen_the_test_part(tmp_path, registry):
    refitted = finished(tmp_path, registry, {"test_size": 0.3, "stratify": True, "refit": True})
    apart = finished(tmp_path, registry, {"test_size": 0.3, "stratify": True})
    assert refitted.measures["test/accuracy"] == apart.measures["test/accuracy"]
    one, other = (each.measures["train/quantization_error"] for each in (refitted, apart))
    assert one != other
    assert len(read_run(refitted.run.folder).folds) == 1
    assert read_run(apart.run.folder).folds == []


def prepared(path):
    """Return the data of a run, divided and prepared."""
    loaded = load_experiment(path)
    return prepare(loaded, load_data(loaded))


SCALER, PCA = "sklearn.preprocessing:RobustScaler", "sklearn.decomposition:PCA"


def test_every_fault_of_every_step_is_told_at_its_place(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "experiment: e\n"
        "dataset: iris\n"
        "prepare:\n"
        f"  - {{name: '{SCALER}', shere: 1}}\n"
        "  - standardize\n"
        f"  - name: {PCA}\n"
        "    n_components: many\n"
        "  - {name: standardize, with_meen: true}\n"
        "  - {name: standardize, categories: jiont}\n"
        "  - sklearn.preprocessing:RobustScale\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        make_steps(load_experiment(path))
    told = str(caught.value).replace(f"{path}:", "").splitlines()
    assert [line.partition(": prepare step")[0] for line in told] == [
        "4:50: prepare.0.shere",
        "6:5: prepare.2",
        "8:25: prepare.3.with_meen",
        "9:25: prepare.4.categories",
        "10:5: prepare.5",
    ]
    words = ["'shere'", "many", "'with_mean'?", "'jiont'", "'RobustScaler'?"]
    assert all(word in line for word, line in zip(words, told, strict=True))


def test_a_joint_category_has_variance_one_and_zeros_and_ones_keep_theirs():
    """With missing values or without, and back to the units of before."""
    rare = RNG.random((300, 1)) < 0.02
    X = np.hstack([RNG.normal(5, 9, (300, 1)), np.eye(3)[RNG.choice(3, 300, p=[0.9, 0.08, 0.02])]])
    X = np.hstack([X, rare, np.zeros((300, 1))])
    for gaps in (False, True):
        X[::7, :4] = np.nan if gaps else X[::7, :4]
        step = make_step("standardize", {"categories": "joint"}).set_params(categories=[[1, 2, 3]])
        Z = step.fit_transform(X)
        assert np.nanvar(Z[:, 0]) == pytest.approx(1)
        assert np.nanvar(Z[:, 1:4], axis=0).sum() == pytest.approx(1)
        shares = np.nanvar(Z[:, 1:4], axis=0) / np.nanvar(X[:, 1:4], axis=0)
        np.testing.assert_allclose(shares, shares[0])
        assert np.nanvar(Z[:, 4]) == pytest.approx(np.nanvar(X[:, 4]))
        np.testing.assert_allclose(np.nanmean(Z, axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(step.inverse_transform(Z), X, atol=1e-12)


def test_categories_are_found_behind_steps_that_keep_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = (f"{i},{'uvw'[i % 7 % 3]},{i % 5 == 0:d}\n" for i in range(60))
    Path("t.csv").write_text("a,b,c\n" + "".join(lines), encoding="utf-8")
    found = {}
    for key, steps in {
        "plain": "standardize",
        "separate": "{name: standardize, categories: separate}",
        "joint": "{name: standardize, categories: joint}",
        "behind": "[range_scale, {name: standardize, categories: joint}]",
    }.items():
        dataset = "dataset: {name: csv, path: t.csv, categorical: b}"
        text = f"experiment: e\n{dataset}\nprepare: {steps}\n"
        Path("run.yaml").write_text(text, encoding="utf-8")
        found[key] = np.var(prepared("run.yaml").fold.train.X, axis=0)
    np.testing.assert_allclose(found["plain"], 1)
    np.testing.assert_array_equal(found["separate"], found["plain"])
    assert found["joint"][1:4].sum() == pytest.approx(1)
    assert found["joint"][4] == pytest.approx(0.16)
    np.testing.assert_allclose(found["behind"], found["joint"])


STEP = """
class Step:
    def fit(self, X, y=None):
        {fit}
        return self
    def transform(self, X):
        return X
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working directory, or into one that is on the path."""
    near, installed = tmp_path / "near", tmp_path / "installed"
    near.mkdir()
    installed.mkdir()
    monkeypatch.chdir(near)
    monkeypatch.setattr(sys, "path", ["", str(near), *sys.path, str(installed)])
    known = set(sys.modules)

    def write(name, text, where=installed):
        path = where / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return where

    write.near, write.installed = near, installed
    yield write
    for name in set(sys.modules) - known:
        if name.startswith("dbgsom_test_"):
            del sys.modules[name]


def refusal(name, **params):
    before = list(sys.path)
    with pytest.raises(ConfigError) as caught:
        make_step(name, params)
    assert sys.path == before
    return str(caught.value)


def test_what_lies_in_the_working_directory_is_not(module):
    module("dbgsom_test_near", "open('ran', 'w').close()\n" + STEP.format(fit=""), module.near)
    assert refusal("dbgsom_test_near:Step") == (
        "prepare step 'dbgsom_test_near:Step' cannot be imported: there is no module "
        "'dbgsom_test_near' installed or in the folder of a configuration or '--steps'"
    )
    assert not (module.near / "ran").exists()


def test_what_lies_beside_the_configuration_is(module, tmp_path):
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        module("dbgsom_test_own", STEP.format(fit="") + f"    home = {folder.name!r}\n", folder)
        assert make_step("dbgsom_test_own:Step", {}, folder).home == folder.name
    module("dbgsom_test_there", STEP.format(fit=""))
    module("dbgsom_test_there", "1 / 0", folders[0])  # what is installed comes first
    assert make_step("dbgsom_test_there:Step", {}, folders[0]) is not None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit(0)", "(SystemExit: 0)"),
        ("def", "(SyntaxError: "),
    ],
)
def test_whatever_an_import_does_is_told(code, told, module):
    module("dbgsom_test_bad", code)
    assert told in refusal("dbgsom_test_bad:Step")


def test_a_step_that_ends_the_process_is_told(module):
    module("dbgsom_test_exit", STEP.format(fit="raise SystemExit(0)"))
    step = make_step("dbgsom_test_exit:Step", {})
    with pytest.raises(DataError, match="'s' cannot use the data: SystemExit: 0"):
        fit_steps([("s", step)], np.eye(2), None)


RNG = np.random.default_rng(3)


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Prepare a run of X and y that must be refused, and return the sentence."""
    monkeypatch.chdir(tmp_path)

    def refused(X, y=None, **sections):
        with pytest.raises(DataError) as caught:
            ready(X, y, **sections)
        return str(caught.value)

    return refused


def ready(X, y=None, **sections):
    np.savez("data.npz", X=X, **({} if y is None else {"y": y}))
    rest = "".join(f"{key}: {text}\n" for key, text in sections.items())
    with Path("run.yaml").open("w", encoding="utf-8") as file:
        file.write(f"experiment: x\ndataset: {{name: npz, path: data.npz, missing: keep}}\n{rest}")
    return prepared("run.yaml")


@pytest.fixture
def X():  # noqa: N802
    return RNG.normal(size=(40, 3))


def test_a_step_may_fill_what_is_missing(tmp_path, monkeypatch, X):
    monkeypatch.chdir(tmp_path)
    X[7] = np.nan
    assert len(ready(X, prepare="'sklearn.impute:SimpleImputer'").fold.train.X) == 40


def test_targets_without_any_class_are_told(refused, X):
    told = refused(X, np.full(40, -1), model="{estimator: classifier, unlabelled: -1}")
    assert told.startswith("no sample of the part to train on has a class")


def test_a_fold_that_takes_away_all_values_of_a_column_is_told(refused, X):
    X[1:, 2] = np.nan
    told = refused(X, split="{folds: 2}")
    assert told.startswith("split: column 2 has no value in the part to train on of fold")
