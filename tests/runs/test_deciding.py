"""What "best" means: the default of each estimator, and what the user says."""

import math

import pytest

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.deciding import Decision, best_end, decide, with_arrow

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
    found = decide(DecideSettings(), estimators, names, registry)
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
    found = decide(DecideSettings(**said), ["classifier"], names, registry)
    assert f"{found.name} {found.direction}" == expected


def test_a_measure_that_nobody_knows_or_has_is_told(registry):
    with pytest.raises(DataError, match=r"'acuracy'; did you mean 'accuracy'"):
        decide(DecideSettings(measure="acuracy"), ["vq"], ["test/accuracy"], registry)
    with pytest.raises(DataError, match="say the direction"):
        decide(DecideSettings(measure="own"), ["vq"], ["test/own"], registry)
    with pytest.raises(DataError, match="on the test part"):
        decide(DecideSettings(measure="purity", split="test"), ["vq"], ["train/purity"], registry)
    assert decide(DecideSettings(), ["vq"], ["train/own"], registry) is None


def test_the_best_is_the_first_of_the_best_and_never_one_without_a_value():
    runs = [{"test/e": math.nan}, {"test/e": 2.0}, {"test/e": 1.0}, {"test/e": 1.0}, {}]
    assert Decision("e", "minimize").best(runs) == 2
    assert Decision("e", "maximize").best(runs) == 1
    assert Decision("f", "maximize").best(runs) is None
    assert Decision("e", "maximize").best([]) is None
    assert not Decision("e", "minimize").better(math.nan, 3.0)
    assert Decision("e", "minimize").better(3.0, math.nan)


def test_what_is_best_at_zero_is_compared_by_its_absolute_value(registry):
    runs = [{"train/topographic_product": value} for value in (-0.03, 0.02, 0.05, math.nan)]
    said = DecideSettings(measure="topographic_product")
    found = decide(said, ["vq"], runs[0], registry)
    assert (found.direction, found.from_zero) == ("minimize", True)
    assert [found.value(one) for one in runs[:3]] == [0.03, 0.02, 0.05]
    assert found.best(runs) == 1
    least = decide(
        DecideSettings(measure="topographic_product", direction="minimize"),
        ["vq"],
        runs[0],
        registry,
    )
    assert least.best(runs) == 0  # who says a direction means the number itself


def test_the_better_end_of_a_measure_is_told(registry):
    names = ("test/accuracy", "quantization_error", "train/topographic_product", "of_a_stranger")
    ends = [best_end(name, registry) for name in names]
    assert ends == ["greater", "less", "0", ""]
    shown = [with_arrow(name, end) for name, end in zip(names, ends, strict=True)]
    assert shown == [f"{n}{a}" for n, a in zip(names, (" ↑", " ↓", " →0", ""), strict=True)]
    assert best_end("test_std/accuracy", registry) == "less"
