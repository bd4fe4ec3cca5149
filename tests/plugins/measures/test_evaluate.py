"""`dbgsom_core.measures.evaluate`: measures of a fitted map, from Python."""

from typing import ClassVar

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, run
from dbgsom_core.api import MeasureComponent, NotedValue
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.measures import evaluate
from dbgsom_core.plugins.registry import get_registry
from dbgsom_plugins.measures.maps import Trustworthiness

X, Y = load_iris(return_X_y=True)
SMALL = {"max_neurons": 16, "epochs": 20}
OF_MAPS = {
    "quantization_error", "topographic_error", "topographic_error_8", "topographic_product",
    "topographic_function", "distortion", "combined_error", "neighbourhood_preservation",
    "trustworthiness", "continuity", "c_measure", "kruskal_shepard", "davies_bouldin",
    "calinski_harabasz", "dead_neurons", "map_entropy",
}  # fmt: skip
OF_GROUPS = {"purity", "entropy", "class_scatter", "adjusted_rand", "normalized_mutual_info"}
OF_CLASSES = {
    "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "average_precision",
    "brier", "ece",
}  # fmt: skip
OF_NUMBERS = {"r2", "rmse", "mae"}


@pytest.fixture(scope="module")
def model():
    return SomClassifier(**SMALL).fit(X, Y)


def test_the_defaults_are_the_measures_that_suit_the_estimator(model):
    assert set(evaluate(model, X, Y)) == OF_MAPS | OF_GROUPS | OF_CLASSES
    assert set(evaluate(model, X)) == OF_MAPS
    assert set(evaluate(SomVQ(**SMALL).fit(X), X, Y)) == OF_MAPS | OF_GROUPS
    numbers = SomRegressor(**SMALL).fit(X[:, :3], X[:, 3])
    assert set(evaluate(numbers, X[:, :3], X[:, 3])) == OF_MAPS | OF_NUMBERS
    every = OF_MAPS | OF_GROUPS | OF_CLASSES | OF_NUMBERS | {"silhouette", "novelty_auc"}
    assert set(get_registry().names("measure")) == every


def test_a_measure_is_named_built_with_fields_or_given(model):
    by_name = evaluate(model, X, measures="trustworthiness")
    by_fields = evaluate(model, X, measures=[{"name": "trustworthiness", "k": 3}, "silhouette"])
    given = evaluate(model, X, measures=[Trustworthiness(k=3)])
    assert list(by_fields) == ["trustworthiness", "silhouette"]
    assert by_fields["trustworthiness"] == given["trustworthiness"] != by_name["trustworthiness"]


def test_a_run_measures_the_same_under_the_same_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "experiment": "iris", "dataset": "iris", "prepare": ["standardize"], "tracking": [],
        "figures": [], "model": {"estimator": "classifier", "epochs": 10},
    }  # fmt: skip
    done = run(config)
    measured = {f"train/{name}": value for name, value in evaluate(done, X, Y).items()}
    assert measured == pytest.approx(done.measures)


def test_pipelines_are_followed():
    steps = make_pipeline(StandardScaler(), SomVQ(**SMALL)).fit(X)
    inner = evaluate(steps[-1], StandardScaler().fit_transform(X), measures="quantization_error")
    assert evaluate(steps, X, measures="quantization_error") == inner


class Rude(MeasureComponent):
    """Number <b>of</b> nothing."""

    greater_is_better: ClassVar[bool] = True

    def compute(self, evaluation):
        return NotedValue(1.0, "<script>alert()</script>\x1b[2J")


def test_the_table_says_what_is_best_from_where_and_why_a_value_is_missing(model):
    measures = ["topographic_product", {"name": "continuity", "k": 99}, "novelty_auc", Rude()]
    found = evaluate(model, X, Y, measures=measures)
    table = found.to_frame()
    assert table.loc["topographic_product", "best"] == "0"
    assert table.loc["continuity", "range"] == "0 … 1"
    assert "k = 74" in table.loc["continuity", "note"]
    assert "Bauer & Pawelzik 1992" in table.loc["topographic_product", "reference"]
    assert "novelty_auc" not in found
    assert "which targets mark outliers" in found.notes["novelty_auc"]
    assert "novelty_auc" in repr(found)
    assert "\x1b" not in repr(found)


@pytest.mark.parametrize(
    ("fitted", "y", "measures", "words"),
    [
        (None, None, "trustworthines", "did you mean 'trustworthiness'"),
        (None, None, ["continuity", {"name": "continuity", "k": 2}], "appears twice"),
        (None, Y, ["rmse"], "is not for a classifier"),
        (None, Y[:3], "accuracy", "y has 3 values for 150 samples"),
        (LinearRegression(), None, "continuity", "not a LinearRegression"),
        (SomVQ(), None, "continuity", "not fitted"),
    ],
)
def test_what_does_not_fit_is_refused(model, fitted, y, measures, words):
    with pytest.raises((ValueError, UnknownNameError), match=words):
        evaluate(model if fitted is None else fitted, X, y, measures=measures)
