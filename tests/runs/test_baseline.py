"""What an answer that learns nothing would measure: kept by runs, told where they are compared."""

import json
from functools import partial

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    root_mean_squared_error,
)

from dbgsom_core.cli import cli
from dbgsom_core.config import load_experiment
from dbgsom_core.runs.pipeline import prepare_run
from dbgsom_core.runs.split import _measure_mean, baselines

MEASURES = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": partial(f1_score, average="macro", zero_division=0.0),
}
OF_NUMBERS = {"rmse": root_mean_squared_error, "mae": mean_absolute_error}
BUBBLE, GAUSSIAN = {"kernel": {"name": "bubble"}}, {"kernel": {"name": "gaussian"}}


def wanted(pairs, part):
    """Return the means of what scikit-learn's dummy measures on pairs of parts, by full name."""
    found = {name: [] for name in MEASURES}
    for train, test in pairs:
        X, Z = np.zeros((len(train), 1)), np.zeros((len(test), 1))
        answers = DummyClassifier(strategy="most_frequent").fit(X, train).predict(Z)
        for name, measure in MEASURES.items():
            found[name].append(measure(test, answers))
    return {f"{part}/{name}": pytest.approx(np.mean(values)) for name, values in found.items()}


@pytest.fixture
def table(tmp_path):
    """Return the path of a table with classes of unlike sizes, some rows without one."""
    rng = np.random.default_rng(1)
    kinds = rng.choice(["a", "b", "c", ""], p=[0.2, 0.5, 0.2, 0.1], size=90)
    lines = [f"{x:.3f},{kind}" for x, kind in zip(rng.normal(size=90), kinds, strict=True)]
    (tmp_path / "t.csv").write_text("x,kind\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "t.csv"


def described(table, split):
    path = table.with_suffix(".yaml")
    data = {"name": "csv", "path": str(table), "target": "kind", "missing_target": "unlabelled"}
    model = {"estimator": "classifier", "max_neurons": 5, "epochs": 2}
    tracking = [{"name": "run_folder", "path": str(table.parent / "runs")}]
    content = {"experiment": "e", "dataset": data, "split": split, "model": model,
               "figures": [], "tracking": tracking, "measures": ["accuracy"]}  # fmt: skip
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("split", [None, {"test_size": 0.4}, {"folds": 3}])
def test_it_is_that_of_scikit_learns_dummy(table, split):
    ready = prepare_run(load_experiment(described(table, split)))
    y = ready.data.y

    def labelled(part):
        return np.array([one for one in part if one is not None and one == one])

    pairs = [(labelled(y[train]), labelled(y[test])) for train, test in ready.divided]
    if ready.fold.test is not None:
        pairs = [(labelled(ready.fold.train.y), labelled(ready.fold.test.y))]
    train = labelled(ready.fold.train.y)
    expected = wanted([(train, train)], "train") | (wanted(pairs, "test") if pairs else {})
    assert baselines(ready.fold, ready.divided, y, True) == expected


def test_of_numbers_it_is_that_of_scikit_learns_dummy(rng):
    train, test = rng.normal(size=40), rng.normal(3.0, size=30)
    train[7:9] = test[3] = np.nan
    known, asked = train[~np.isnan(train)], test[~np.isnan(test)]
    answers = DummyRegressor().fit(np.zeros((38, 1)), known).predict(np.zeros((29, 1)))
    expected = {name: pytest.approx(one(asked, answers)) for name, one in OF_NUMBERS.items()}
    assert _measure_mean(train, test) == expected
    assert _measure_mean(train, np.full(3, np.nan)) == {}


def test_a_regressor_keeps_that_of_the_mean_and_compare_tells_it(table):
    path = described(table, {"test_size": 0.4})
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["model"]["estimator"], content["measures"] = "regressor", ["rmse"]
    content["dataset"] = {"name": "diabetes"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = CliRunner().invoke(cli, ["run", str(path), "-q"])
    assert done.exit_code == 0, done.output
    (folder,) = (table.parent / "runs").glob("e/*")
    known = json.loads((folder / "run.json").read_text())["data"]["baseline"]
    assert set(known) == {f"{part}/{name}" for part in ("train", "test") for name in OF_NUMBERS}
    asked = ["compare", "--runs", str(table.parent / "runs"), "--by", "rmse"]
    told = CliRunner().invoke(cli, asked).output
    assert f"\nbaseline: {known['test/rmse']:.4g} (always the mean)\n" in told


def test_a_run_keeps_it_and_compare_tells_it(table):
    path = described(table, {"test_size": 0.4})
    done = CliRunner().invoke(cli, ["run", str(path), "-q"])
    assert done.exit_code == 0, done.output
    (folder,) = (table.parent / "runs").glob("e/*")
    ready = prepare_run(load_experiment(path))
    known = json.loads((folder / "run.json").read_text())["data"]["baseline"]
    assert known == baselines(ready.fold, [], ready.data.y, True)
    told = CliRunner().invoke(cli, ["compare", "--runs", str(table.parent / "runs")]).output
    assert f"\nbaseline: {known['test/accuracy']:.3g} (always the most frequent class)\n" in told


def stored(store, baselines, accuracies=(0.9, 0.8)):
    models = (GAUSSIAN, BUBBLE)
    for number, (model, value) in enumerate(zip(models, accuracies, strict=True)):
        store(number, {"test/accuracy": value}, model=model, baseline=baselines[number])


def test_all_forms_of_a_comparison_have_it(store, found, tmp_path):
    stored(store, [{"test/accuracy": 0.625}] * 2)
    done = found("e")
    (table,) = done.tables
    assert table.baseline == 0.625
    assert "no better" not in table.sentence
    assert set(done.to_pandas()["baseline"]) == {0.625}
    for ending in ("md", "html"):
        done.save(tmp_path / f"t.{ending}")
        text = (tmp_path / f"t.{ending}").read_text(encoding="utf-8")
        assert "baseline: 0.625 (always the most frequent class)" in text


def test_it_is_the_mean_over_seeds_of_which_each_counts_once(store, found):
    for number, (model, seed) in enumerate([(GAUSSIAN, 1), (GAUSSIAN, 2), (BUBBLE, 1)]):
        known = {"test/accuracy": 0.5 if seed == 1 else 0.7}
        store(number, {"test/accuracy": 0.9}, seed=seed, model=model, baseline=known)
    assert found("e").tables[0].baseline == pytest.approx(0.6)


@pytest.mark.parametrize(("leads", "said"), [(0.5, True), (0.3, True), (0.51, False)])
def test_a_leader_that_is_no_better_is_told(store, found, leads, said):
    stored(store, [{"test/accuracy": 0.5}] * 2, (leads, 0.2))
    sentence = found("e").tables[0].sentence
    assert sentence.endswith(" no better than always the most frequent class, 0.5.") is said


def test_r2_has_the_mean_to_be_better_than(store, found):
    store(1, {"test/r2": -0.25}, estimator="regressor")
    (table,) = found("e").tables
    assert table.baseline == 0.0
    assert table.sentence.endswith("Yet that is no better than always the mean, 0.")
