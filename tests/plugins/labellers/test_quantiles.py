"""A third party's labeller that answers with several numbers needs its own file alone."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score

from dbgsom_core import SomClassifier, SomRegressor, persistence
from dbgsom_core.api import LabellerComponent
from dbgsom_core.errors import ComponentError
from dbgsom_core.measures import evaluate
from dbgsom_core.persistence import answer_table
from dbgsom_core.plugins.registry import get_registry

CODE = Path(__file__).parents[1] / "party.py"
NAMES = ["label_q10", "label_q50", "label_q90"]
FEW = {"epochs": 12, "max_neurons": 25, "random_state": 0}


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture
def quantiles(monkeypatch):
    monkeypatch.syspath_prepend(str(CODE.parent))
    get_registry().register(import_module(CODE.stem), CODE.stem, "dbgsom-party", "1.0")
    yield import_module(CODE.stem).Quantiles
    get_registry.cache_clear()
    del sys.modules[CODE.stem]


class Around(LabellerComponent):
    """Answers samples from the targets around them: the least and the largest of some groups."""

    needs_target = True
    neighbours = 3
    columns = ("low", "high")

    def label(self, evidence):
        return np.full((len(evidence.som_map), 2), np.mean(evidence.y))

    def learn(self, around, y, weights, som_map):
        return {"wider": np.array([np.std(y)])}

    def answer(self, around, state):
        ends = around.values.min(axis=1), around.values.max(axis=1)
        return np.column_stack(ends) + np.outer(state["wider"], [-1, 1])


def test_fit_predict_score_save_and_load(quantiles, diabetes, tmp_path):
    X, y = diabetes
    model = SomRegressor(labeller="quantiles", calibration=0.2, **FEW).fit(X, y)
    answers = model.predict(X)
    assert answers.shape == model.labels_.shape == (len(X), 3)
    assert model.score(X, y) == r2_score(y, answers[:, 1])  # the median stands for the target
    np.testing.assert_allclose(model.predict_interval(X).mean(axis=1), answers[:, 1])
    assert [*answer_table(model, X, ("unit", "label"))] == ["unit", *NAMES]
    assert evaluate(model, X, y, measures=["r2"])["r2"] == model.score(X, y)
    model.save(tmp_path / "model.npz")
    loaded = persistence.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), answers)
    np.testing.assert_array_equal(clone(loaded).fit(X, y).predict(X), answers)


def test_answers_from_the_groups_around_samples_may_be_several_numbers(diabetes):
    X, y = diabetes
    model = SomRegressor(labeller=Around(), **FEW).fit(X, y)
    low, high = model.predict(X).T
    assert (low < high).all()
    assert model.neuron_labels_.shape == (len(model.weights_), 2)
    gaps = np.where(np.arange(len(y)) % 5 == 0, np.nan, y)
    assert clone(model).fit(X, gaps).predict(X[:7]).shape == (7, 2)


def test_what_does_not_fit_its_columns_is_refused_in_a_sentence(quantiles, diabetes):
    X, y = diabetes

    class Short(quantiles):
        def label(self, evidence):
            return super().label(evidence)[:, :2]

    class Nameless(quantiles):
        columns = None

    class Twice(quantiles):
        columns = ("a", "a")

    for labeller, message in (
        (Short(), r"returned shape \(\d+, 2\), not \(\d+, 3\); its columns are q10, q50, q90"),
        (Nameless(), r"label returned shape .* it names no columns"),
        (Twice(), "has columns = .* a tuple of different names"),
    ):
        with pytest.raises(ComponentError, match=message):
            SomRegressor(labeller=labeller, **FEW).fit(X, y)
    with pytest.raises(ValueError, match="y has 2 targets, and a map takes one"):
        SomRegressor(labeller="quantiles", **FEW).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="Around is for estimator regressor, not for classifier"):
        SomClassifier(labeller=Around(), **FEW).fit(X, y > 100)


def test_a_run_and_predict_name_its_columns(site, diabetes):
    site.write("dbgsom-quantiles", CODE.read_text(encoding="utf-8"))
    config = {
        "experiment": "quantiles",
        "dataset": "diabetes",
        "model": {"estimator": "regressor", "labeller": "quantiles", "epochs": 8},
        "tracking": None,
    }
    (site.work / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    site.dbgsom("run", "run.yaml")
    (folder,) = (site.work / "runs" / "quantiles").iterdir()
    assert "r2" in (folder / "report.md").read_text(encoding="utf-8")
    names = [f"x{i}" for i in range(10)]
    pd.DataFrame(diabetes[0][:20], columns=names).to_csv(site.work / "new.csv", index=False)
    columns = "label,distance"
    site.dbgsom("predict", str(folder), "new.csv", "-o", "answers.csv", "--columns", columns)
    found = pd.read_csv(site.work / "answers.csv")
    assert list(found) == [*NAMES, "distance"]
    assert (found[NAMES[0]] <= found[NAMES[2]]).all()
