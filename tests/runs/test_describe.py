"""The headline of a run: which measures, in which order, beside what."""

import pytest

from dbgsom_core.runs.describe import headline

DEFAULT = [
    "accuracy", "balanced_accuracy", "c_measure", "continuity", "dead_neurons", "log_loss", "mae",
    "neighbourhood_preservation", "quantization_error", "r2", "rmse", "topographic_error",
    "trustworthiness",
]  # fmt: skip


def measures_of(names, *parts):
    return {f"{part}/{name}": 0.5 for part in parts for name in names}


def config_of(estimator, measures="default"):
    return {"model": {"estimator": estimator}, "measures": measures}


@pytest.mark.parametrize(
    ("estimator", "first"),
    [
        ("classifier", ["accuracy", "balanced_accuracy", "log_loss"]),
        ("regressor", ["r2", "rmse"]),
        ("vq", ["quantization_error", "topographic_error", "trustworthiness"]),
    ],
)
def test_five_measures_suit_the_task(estimator, first):
    found = headline(measures_of(DEFAULT, "train"), config_of(estimator), {})
    names = [one.name for one in found]
    assert names[: len(first)] == first
    assert len(names) == 5
    assert "neighbourhood_preservation" not in names


def test_what_the_user_named_is_all_there():
    named = ["mine", "accuracy", "neighbourhood_preservation", "a", "b", "c", "d"]
    listed = [{"name": name} for name in named]
    found = headline(measures_of(named, "train", "test"), config_of("classifier", listed), {})
    assert [one.name for one in found] == ["accuracy", "mine", *named[2:]]


def test_a_value_of_the_test_part_stands_beside_training_and_baseline():
    measures = {
        "train/accuracy": 0.9,
        "test/accuracy": 0.8,
        "test_std/accuracy": 0.05,
        "train/log_loss": 0.3,
    }
    facts = {"baseline": {"test/accuracy": 0.6, "train/accuracy": 0.5}}
    accuracy, log_loss = headline(measures, config_of("classifier"), facts)
    assert (accuracy.part, accuracy.text) == ("test", "0.800 ± 0.050")
    assert (accuracy.training, accuracy.baseline) == ("0.9", "0.6")
    assert (log_loss.part, log_loss.text, log_loss.training) == ("train", "0.3", "")
    assert log_loss.baseline == ""
