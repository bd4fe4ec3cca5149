"""What "best" means: the default of each estimator, and what the user says."""

import math

import pytest

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import (
    RankingCriterion,
    best_end,
    find_criterion,
    with_arrow,
)

MAPS = ["train/quantization_error", "train/combined_error", "train/topographic_error"]


@pytest.fixture(scope="module")
def registry():
    return Registry.discover(own_only=True)


@pytest.mark.parametrize(
    ("estimators", "names", "expected"),
    [
        (["classifier"], [*MAPS, "test/accuracy", "train/accuracy"], "test/accuracy maximize"),
        (["classifier"], [*MAPS, "train/accuracy"], "train/accuracy maximize"),
        (["classifier"], [*MAPS, "test/balanced_accuracy"], "test/balanced_accuracy maximize"),
        (["regressor"], [*MAPS, "test/rmse", "test/r2"], "test/r2 maximize"),
        (["regressor"], [*MAPS, "test/rmse"], "test/rmse minimize"),
        (["vq"], MAPS, "train/combined_error minimize"),
        (["vq"], [*MAPS, "test/quantization_error"], "test/quantization_error minimize"),
        (["vq", "classifier"], [*MAPS, "train/accuracy"], "train/combined_error minimize"),
    ],
)
def test_the_estimator_decides_by_default(registry, estimators, names, expected):
    found = find_criterion(DecideSettings(), estimators, names, registry)
    assert f"{found.name} {found.direction}" == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"measure": "purity"}, "test/purity maximize"),
        ({"measure": "purity", "split": "train"}, "train/purity maximize"),
        ({"measure": "train/purity"}, "train/purity maximize"),
        ({"split": "train"}, "train/accuracy maximize"),
        ({"measure": "purity", "direction": "minimize"}, "test/purity minimize"),
        ({"measure": "own", "direction": "maximize"}, "test/own maximize"),
    ],
)
def test_what_the_user_says_counts(registry, said, expected):
    names = [f"{part}/{one}" for part in ("train", "test") for one in ("accuracy", "purity", "own")]
    found = find_criterion(DecideSettings(**said), ["classifier"], names, registry)
    assert f"{found.name} {found.direction}" == expected


def test_a_measure_that_nobody_knows_or_has_is_told(registry):
    with pytest.raises(DataError, match=r"'acuracy'; did you mean 'accuracy'"):
        find_criterion(DecideSettings(measure="acuracy"), ["vq"], ["test/accuracy"], registry)
    with pytest.raises(DataError, match="say the direction"):
        find_criterion(DecideSettings(measure="own"), ["vq"], ["test/own"], registry)
    with pytest.raises(DataError, match="on the test part"):
        find_criterion(
            DecideSettings(measure="purity", split="test"), ["vq"], ["train/purity"], registry
        )
    assert find_criterion(DecideSettings(), ["vq"], ["train/own"], registry) is None


def test_values_are_sorted_best_first_and_those_without_last():
    values = [math.nan, 2.0, 1.0, 1.0 + 1e-15]
    least, greatest = RankingCriterion("e", "minimize"), RankingCriterion("e", "maximize")
    assert sorted(values, key=least.sort_key)[:3] == [1.0, 1.0 + 1e-15, 2.0]
    assert sorted(values, key=greatest.sort_key)[0] == 2.0
    assert least.sort_key(1.0) == least.sort_key(1.0 + 1e-15)  # rounding is no difference


def test_what_is_best_at_zero_is_compared_by_its_absolute_value(registry):
    runs = [{"train/topographic_product": value} for value in (-0.03, 0.02, 0.05, math.nan)]
    said = DecideSettings(measure="topographic_product")
    found = find_criterion(said, ["vq"], runs[0], registry)
    assert (found.direction, found.from_zero) == ("minimize", True)
    assert [found.value(one) for one in runs[:3]] == [0.03, 0.02, 0.05]
    assert min(runs, key=lambda one: found.sort_key(found.value(one))) == runs[1]
    least = find_criterion(
        DecideSettings(measure="topographic_product", direction="minimize"),
        ["vq"],
        runs[0],
        registry,
    )
    assert least.value(runs[0]) == -0.03  # who says a direction means the number itself


def test_the_better_end_of_a_measure_is_told(registry):
    names = ("test/accuracy", "quantization_error", "train/topographic_product", "of_a_stranger")
    ends = [best_end(name, registry) for name in names]
    assert ends == ["greater", "less", "0", ""]
    shown = [with_arrow(name, end) for name, end in zip(names, ends, strict=True)]
    assert shown == [f"{n}{a}" for n, a in zip(names, (" ↑", " ↓", " →0", ""), strict=True)]
    assert best_end("test_std/accuracy", registry) == "less"
