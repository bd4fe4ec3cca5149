"""`dbgsom_core.measures.evaluate`: measures of a fitted map, from Python."""

from typing import ClassVar

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, run
from dbgsom_core.api import MeasureComponent, NotedValue
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.experiments.measuring import describe_measure
from dbgsom_core.measures import evaluate
from dbgsom_core.plugins.registry import get_registry
from dbgsom_plugins.measures.pairs import Trustworthiness

X, Y = load_iris(return_X_y=True)
OF_MAPS = {
    "quantization_error", "topographic_error", "topographic_error_8", "topographic_product",
    "topographic_function", "distortion", "combined_error", "neighbourhood_preservation",
    "trustworthiness", "continuity", "c_measure", "kruskal_shepard", "davies_bouldin",
    "calinski_harabasz", "dead_neurons", "map_entropy",
}  # fmt: skip
OF_GROUPS = {"purity", "entropy", "class_scatter", "adjusted_rand", "normalized_mutual_info"}
OF_CLASSES = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"}
OF_NUMBERS = {"r2", "rmse", "mae"}
NAMED_ONLY = {"silhouette", "novelty_auc"}


@pytest.fixture(scope="module")
def model():
    return SomClassifier(max_neurons=16, epochs=20).fit(X, Y)


def test_the_defaults_are_the_measures_that_suit_the_estimator(model):
    assert set(evaluate(model, X, Y)) == OF_MAPS | OF_GROUPS | OF_CLASSES
    assert set(evaluate(model, X)) == OF_MAPS
    clusters = SomVQ(max_neurons=16, epochs=20).fit(X)
    assert set(evaluate(clusters, X, Y)) == OF_MAPS | OF_GROUPS
    numbers = SomRegressor(max_neurons=16, epochs=20).fit(X[:, :3], X[:, 3])
    assert set(evaluate(numbers, X[:, :3], X[:, 3])) == OF_MAPS | OF_NUMBERS
    everything = OF_MAPS | OF_GROUPS | OF_CLASSES | OF_NUMBERS | NAMED_ONLY
    assert set(get_registry().names("measure")) == everything


def test_a_measure_is_named_built_with_fields_or_given(model):
    by_name = evaluate(model, X, measures="trustworthiness")
    by_fields = evaluate(model, X, measures=[{"name": "trustworthiness", "k": 3}, "silhouette"])
    given = evaluate(model, X, measures=[Trustworthiness(k=3)])
    assert list(by_name) == ["trustworthiness"]
    assert list(by_fields) == ["trustworthiness", "silhouette"]
    assert by_fields["trustworthiness"] == given["trustworthiness"] != by_name["trustworthiness"]
    assert evaluate(model, X, measures=[]).to_frame().empty


def test_a_run_measures_the_same_under_the_same_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(
        {
            "experiment": "iris", "dataset": "iris", "prepare": ["standardize"], "tracking": [],
            "figures": [], "model": {"estimator": "classifier", "epochs": 10},
        }
    )  # fmt: skip
    found = evaluate(done, X, Y)
    assert {f"train/{name}": value for name, value in found.items()} == pytest.approx(done.measures)


def test_pipelines_are_followed(model):
    steps = make_pipeline(StandardScaler(), SomVQ(max_neurons=16, epochs=20)).fit(X)
    inner = evaluate(steps[-1], StandardScaler().fit_transform(X), measures="quantization_error")
    assert evaluate(steps, X, measures="quantization_error") == inner
    assert len(evaluate(make_pipeline(model), X)) == len(OF_MAPS)


def test_what_cannot_be_measured_is_left_out_and_the_note_says_why(model):
    found = evaluate(model, X, Y, measures=["accuracy", "novelty_auc"])
    assert set(found) == {"accuracy"}
    assert "which targets mark outliers" in found.notes["novelty_auc"]
    assert "novelty_auc" in repr(found)
    assert np.isnan(found.to_frame().loc["novelty_auc", "value"])


def test_the_table_is_shown_as_text(model):
    found = evaluate(model, X, measures=["topographic_product", {"name": "continuity", "k": 99}])
    table = found.to_frame()
    assert table.loc["topographic_product", "best"] == "0"
    assert table.loc["continuity", "range"] == "0 … 1"
    assert "k = 74" in table.loc["continuity", "note"]
    assert "Bauer & Pawelzik 1992" in table.loc["topographic_product", "reference"]
    assert "continuity" in repr(found)


def test_notes_steer_no_terminal(model):
    class Rude(MeasureComponent):
        """Number <b>of</b> nothing."""

        greater_is_better: ClassVar[bool] = True

        def compute(self, evaluation):
            return NotedValue(1.0, "<script>alert()</script>\x1b[2J")

    found = evaluate(model, X, measures=[Rude()])
    assert list(found.values()) == [1.0]
    assert "\x1b" not in repr(found)


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(UnknownNameError, match="trustworthiness"):
        evaluate(model, X, measures="trustworthines")
    with pytest.raises(ValueError, match="appears twice"):
        evaluate(model, X, measures=["continuity", {"name": "continuity", "k": 2}])
    with pytest.raises(ValueError, match="is not for a classifier"):
        evaluate(model, X, Y, measures=["rmse"])
    with pytest.raises(ValueError, match="not a LinearRegression"):
        evaluate(LinearRegression(), X)
    with pytest.raises(ValueError, match="y has 3 values for 150 samples"):
        evaluate(model, X, Y[:3])
    with pytest.raises(ValueError, match="not fitted"):
        evaluate(SomVQ(), X)


@pytest.mark.parametrize("name", sorted(get_registry().names("measure")))
def test_every_built_in_says_what_it_is_and_from_where(name):
    measure = get_registry().find("measure", name)()
    facts = describe_measure(measure)
    assert facts["what"].endswith(".")
    assert len(facts["what"]) < 100, facts["what"]
    low, high = measure.bounds
    assert low < high
    assert facts["reference"] or name in {"dead_neurons", "accuracy", "rmse", "mae"}
    assert (facts["best"] == "0") == (name == "topographic_product")
