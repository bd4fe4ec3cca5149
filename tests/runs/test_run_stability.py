"""``stability:`` of a configuration: measured, logged, drawn and reported."""

import csv

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core.errors import ConfigError

ASKED = {
    "experiment": "sure",
    "dataset": "iris",
    "prepare": ["standardize"],
    "split": {"test_size": 0.3, "stratify": True},
    "model": {"estimator": "classifier", "epochs": 10, "max_neurons": 8},
    "measures": ["accuracy", "quantization_error"],
    "stability": {"resamples": 4},
    "tracking": [],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_says_how_sure_its_map_is():
    found = dbgsom_core.run(ASKED)
    for name in ("accuracy", "quantization_error", "repeatability"):
        low, mean, high = (
            found.measures[f"stability{part}/{name}"] for part in ("_low", "", "_high")
        )
        assert low <= mean <= high
    assert 0 < found.measures["stability/links"] <= 1
    assert found.measures["stability/agreement"] > 0.5
    report = (found.folder / "report.md").read_text(encoding="utf-8")
    assert "## Stability" in report
    assert report.count("`quantization_error`") == 2
    assert "figures/trust_map.png" in report
    with (found.folder / "links.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["unit", "other", "stays"]
    assert len(rows) == len(found.model.estimator.som_map_.edges())
    again = dbgsom_core.run(ASKED)
    assert dict(again.measures) == dict(found.measures)


def test_it_is_that_of_the_estimator():
    found = dbgsom_core.run({**ASKED, "prepare": [], "split": None, "figures": []})
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    stability = found.model.estimator.stability(X, y, n=4, random_state=42)
    assert found.measures["stability/links"] == stability.link_share
    assert found.measures["stability_low/accuracy"] == stability.measures["accuracy"].low


def test_a_measure_that_fails_on_refits_has_no_interval(monkeypatch):
    from dbgsom_plugins.measures.targets import Accuracy

    plain = Accuracy.compute

    def fails(self, evaluation):
        if len(evaluation.y) == 53:  # what a half of 105 leaves out
            raise RuntimeError("no")
        return plain(self, evaluation)

    halves = dbgsom_core.run(ASKED)
    assert "stability/accuracy" in halves.measures
    monkeypatch.setattr(Accuracy, "compute", fails)
    found = dbgsom_core.run({**ASKED, "figures": []})
    assert np.isfinite(found.measures["stability/quantization_error"])
    assert found.measures["test/accuracy"] > 0.5


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stability": {"resamples": 1}}, r"stability\.resamples: must be"),
        ({"stability": {"share": 2.0}}, r"stability\.share: must be"),
        ({"stability": {"resample": 9}}, "did you mean 'resamples'"),
        ({"stability": None, "figures": ["trust_map"]}, r"add it"),
    ],
)
def test_mistakes_are_told_before_anything_runs(changed, said):
    with pytest.raises(ConfigError, match=said):
        dbgsom_core.run({**ASKED, **changed})
