"""Comparing variants: what is tested, what is said of it, and its forms."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import dbgsom_core
from dbgsom_core.errors import DataError
from dbgsom_core.runs.compare.export import columns_of

BUBBLE = {"kernel": {"name": "bubble", "start": None, "end": None, "decay": "exponential"}}
GAUSSIAN = {"kernel": {"name": "gaussian", "start": None, "end": None, "decay": "exponential"}}
FOLDS = {"folds": 5}


def accuracy(value):
    return {"test/accuracy": value, "test/quantization_error": 1.0}


# -------------------------------------------------------------------------------- what is tested


def two_variants(store, one, other, seeds=(1,), split=FOLDS):
    number = 0
    for model, values in ((GAUSSIAN, one), (BUBBLE, other)):
        for seed, of_seed in zip(seeds, values, strict=True):
            number += 1
            folds = [(f"{seed}-{i}", value) for i, value in enumerate(of_seed)]
            mean = float(np.mean(of_seed))
            store(number, accuracy(mean), seed=seed, model=model, split=split, folds=folds)


RNG = np.random.default_rng(3)
ONE = RNG.normal(0.9, 0.01, size=(3, 5))
OTHER = ONE - RNG.normal(0.05, 0.01, size=(3, 5))


def test_folds_are_tested_by_the_corrected_resampled_t_test(store, found):
    two_variants(store, ONE, OTHER, seeds=(1, 2, 3))
    (table,) = found("e").tables
    best, row = table.rows
    differences = (OTHER - ONE).ravel()
    t = differences.mean() / math.sqrt((1 / 15 + 30 / 120) * differences.var(ddof=1))
    assert best.variant == "kernel=gaussian"
    assert row.p == pytest.approx(2 * stats.t.sf(abs(t), 14), rel=1e-9)
    assert row.holm == row.p
    assert row.difference == pytest.approx(differences.mean())
    assert row.effect == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert (row.seeds, row.folds, row.pairs) == (3, 5, 15)
    assert (table.test, table.ratio) == ("corrected resampled t-test", 0.25)
    assert table.sentence.startswith("kernel=gaussian wins: accuracy 0.898 ± 0.014, 0.053 better")
    assert "p < 0.001." in table.sentence
    assert "Nadeau & Bengio 2003" in table.method


def test_folds_that_all_seeds_divide_alike_count_once(store, found):
    number = 0
    for model, values in ((GAUSSIAN, ONE), (BUBBLE, OTHER)):
        for seed, of_seed in enumerate(values):
            number += 1
            folds = [(f"{i}", value) for i, value in enumerate(of_seed)]
            store(number, accuracy(0.5), seed=seed, model=model, folds=folds)
    row = found("e").tables[0].rows[1]
    assert row.pairs == 5
    differences = (OTHER - ONE).mean(axis=0)
    t = differences.mean() / math.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))
    assert row.p == pytest.approx(2 * stats.t.sf(abs(t), 4), rel=1e-9)


@pytest.mark.parametrize(
    ("split", "ratio", "name"),
    [
        ({"test_size": 0.2}, 30 / 120, "corrected resampled t-test"),
        ({"test_size": 50, "stratify": True}, 50 / 100, "corrected resampled t-test"),
        ({"test": {"name": "csv"}}, 0.0, "paired t-test"),
    ],
)
def test_seeds_are_corrected_where_they_divide_the_data_anew(store, found, split, ratio, name):
    values = np.column_stack([ONE.ravel()[:6], OTHER.ravel()[:6]])
    for number, value in enumerate(values.ravel()):
        model = BUBBLE if number % 2 else GAUSSIAN
        store(number, accuracy(value), seed=number // 2, model=model, split=split)
    (table,) = found("e").tables
    differences = values[:, 1] - values[:, 0]
    t = differences.mean() / math.sqrt((1 / 6 + ratio) * differences.var(ddof=1))
    assert table.rows[1].p == pytest.approx(2 * stats.t.sf(abs(t), 5), rel=1e-9)
    assert (table.test, table.ratio) == (name, ratio)


def test_three_variants_are_corrected_for_all_their_pairs(store, found):
    values = {10: ONE[0], 20: ONE[0] - [0.01, 0.012, 0.009, 0.011, 0.013], 30: OTHER[0]}
    for number, (epochs, folds) in enumerate(values.items()):
        store(number, accuracy(0.5), model={"epochs": epochs}, split=FOLDS, folds=list(folds))
    (table,) = found("e").tables
    assert table.tests == 3
    raw = []
    for one, other in ((10, 20), (10, 30), (20, 30)):
        d = values[other] - values[one]
        t = d.mean() / math.sqrt((1 / 5 + 1 / 4) * d.var(ddof=1))
        raw.append(2 * stats.t.sf(abs(t), 4))
    order = np.argsort(raw)
    expected = np.empty(3)
    expected[order] = np.maximum.accumulate(np.array(raw)[order] * [3, 2, 1])
    assert [row.holm for row in table.rows[1:]] == pytest.approx(list(expected[:2]))


# ---------------------------------------------------------------------------------- what is said


def one_value(store):
    for number, model in enumerate((GAUSSIAN, BUBBLE)):
        store(number, accuracy(0.5 + number / 10), model=model)


def two_lead(store):
    one_value(store)
    store(2, accuracy(0.6), model={"kernel": BUBBLE["kernel"] | {"name": "triangular"}})


def no_spread(store):
    for number in range(6):
        model = BUBBLE if number % 2 else GAUSSIAN
        store(number, accuracy(0.5 + number % 2 / 10), seed=number // 2, model=model)


def all_equal(store):
    for number in range(4):
        model = BUBBLE if number % 2 else GAUSSIAN
        store(number, accuracy(0.5), seed=number // 2, model=model)


def no_common_seed(store):
    for number in range(4):
        model = BUBBLE if number % 2 else GAUSSIAN
        store(number, accuracy(0.5 + number / 10), seed=number, model=model)


def one_variant(store):
    store(1, accuracy(0.5), seed=1)
    store(2, accuracy(0.6), seed=2)


def too_close(store):
    noise = np.array([[-0.01, 0.012, 0.004, -0.006, 0.01]])
    two_variants(store, ONE[:1], ONE[:1] + noise)


def close(store):
    noise = np.array([0.03, -0.01, 0.02, 0.025])
    for number in range(8):
        model = BUBBLE if number % 2 else GAUSSIAN
        value = 0.5 + (noise[number // 2] if number % 2 else 0)
        store(number, accuracy(value), seed=number // 2, model=model, split={"test": {}})


def no_value(store):
    store(1, {"test/accuracy": math.nan})


SAID: dict[Callable, tuple[str, str]] = {
    one_value: (
        "kernel=bubble has the best accuracy, 0.6, but a test cannot tell",
        "from one value each",
    ),
    two_lead: (
        "kernel=bubble has the best accuracy, 0.6 (kernel=triangular has the same mean), but",
        "from one value each",
    ),
    no_spread: (
        "kernel=bubble has the best accuracy, 0.6 ± 0. The seeds change nothing",
        "{folds: 5}",
    ),
    all_equal: ("All variants have the same accuracy, 0.5 ± 0.", ""),
    no_common_seed: ("kernel=bubble has the best accuracy", "no seed or fold in common"),
    one_variant: ("There is one variant: accuracy 0.550 ± 0.071.", ""),
    too_close: ("No clear winner yet: kernel=bubble", "more data would."),
    close: (
        "No clear winner yet: kernel=bubble",
        "about 12 seeds each (now 4) would tell",
    ),
    no_value: ("No run has a value of test/accuracy.", ""),
}


@pytest.mark.parametrize("case", SAID)
def test_the_sentence_says_how_sure_it_is(store, found, case):
    case(store)
    sentence = found("e").sentence
    begin, within = SAID[case]
    assert sentence.startswith(begin)
    assert within in sentence


def test_what_is_the_same_with_the_same_seeds_is_not_said_to_have_one_mean(store, found):
    for number, (model, seed) in enumerate([(GAUSSIAN, 1), (GAUSSIAN, 2), (BUBBLE, 1)]):
        store(number, accuracy(0.9 if seed == 1 else 1.0), seed=seed, model=model)
    sentence = found("e").tables[0].sentence
    assert sentence.startswith("All variants have the same accuracy with the same seeds. ")


def test_runs_without_a_test_part_are_told_how_to_be_compared(store, found):
    store(1, {"train/accuracy": 0.9, "test/accuracy": 0.5}, split={"test_size": 0.5})
    store(2, {"train/accuracy": 0.8})
    untested = next(one for one in found("e").tables if not one.ranked)
    cure = "--split train compares by the training part"
    assert untested.sentence == f"No run has a value of test/accuracy; {cure}."
    header, (row,) = columns_of(untested)
    assert row[header.index("accuracy ↑")] is None


def test_enough_seeds_as_the_sentence_says_do_tell(store, found):
    """What ``close`` asks for has the power: the same spread and mean with so many seeds."""
    noise = np.resize([0.03, -0.01, 0.02, 0.025], 12)
    for number in range(24):
        model = BUBBLE if number % 2 else GAUSSIAN
        value = 0.5 + (noise[number // 2] if number % 2 else 0)
        store(number, accuracy(value), seed=number // 2, model=model, split={"test": {}})
    assert found("e").sentence.startswith(
        "kernel=bubble wins: accuracy 0.516 ± 0.016, 0.016 better"
    )


def test_less_is_better_where_the_measure_says_so(store, found):
    for number, value in enumerate((0.3, 0.1)):
        store(number, {"test/rmse": value}, model={"epochs": number + 1}, estimator="regressor")
    (table,) = found("e").tables
    assert [row.mean for row in table.rows] == [0.1, 0.3]
    assert [row.mean for row in found("e", direction="maximize").tables[0].rows] == [0.3, 0.1]


def test_a_variant_that_failed_with_a_hard_seed_does_not_lead_by_that(store, found):
    for seed, value in ((1, 0.9), (2, 0.6), (3, 0.87)):
        store(seed, accuracy(value), seed=seed, model=GAUSSIAN)
    for seed, value in ((1, 0.88), (3, 0.86)):  # with each it is behind
        store(3 + seed, accuracy(value), seed=seed, model=BUBBLE)
    comparison = found("e")
    (table,) = comparison.tables
    first, next_ = table.rows
    assert (first.variant, next_.variant) == ("kernel=gaussian", "kernel=bubble")
    assert next_.mean > first.mean == pytest.approx(first.adjusted)
    assert first.adjusted - next_.adjusted == pytest.approx(-next_.difference) == 0.015
    assert "adjusted means" in table.method
    header, cells = columns_of(table)
    assert header[:4] == ["variant", "n", "accuracy ↑", "adjusted"]
    assert [row[3] for row in cells] == ["0.79", "0.775"]
    assert list(comparison.to_pandas()["adjusted"]) == [first.adjusted, next_.adjusted]


# -------------------------------------------------------------------------------------- its forms


def test_a_frame_has_a_row_for_each_variant(store, found):
    two_variants(store, ONE, OTHER, seeds=(1, 2, 3))
    frame = found("e").to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["variant"]) == ["kernel=gaussian", "kernel=bubble"]
    assert list(frame["kernel"]) == ["gaussian", "bubble"]
    assert list(frame["rank"]) == [1, 2]
    assert list(frame["best"]) == ["greater"] * 2
    assert frame.attrs["best"]["test/quantization_error"] == "less"
    assert frame["mean"][0] == pytest.approx(ONE.mean())
    assert math.isnan(frame["p"][0])
    assert frame["runs"][1] == "run-0004 run-0005 run-0006"


EVIL = "<script>|`*\x1b[31m"


def test_files_show_names_as_text(store, found, tmp_path):
    store(1, accuracy(0.5), model={"init": EVIL})
    store(2, accuracy(0.4), model={"init": "=1+1"})
    comparison = found("e")
    for ending in ("csv", "html", "md"):
        comparison.save(tmp_path / f"table.{ending}")
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert comparison._repr_html_() in page
    marked = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| init=&lt;script&gt;\\|\\`\\*\\\\x1b\\[31m |" in marked
    assert "\x1b" not in marked + page
    frame = pd.read_csv(tmp_path / "table.csv")
    assert list(frame["mean"]) == [0.5, 0.4]
    assert frame["init"][1] == "'=1+1"
    with pytest.raises(DataError, match=r"ends in none of \.csv, \.html and \.md"):
        comparison.save(tmp_path / "table.txt")
    with pytest.raises(DataError, match="cannot be written"):
        comparison.save(store.root / "e" / "run-0001" / "run.json" / "x.md")


def test_the_door(store):
    store(1, accuracy(0.5))
    assert dbgsom_core.compare("e", runs=store.root).tables[0].rows[0].mean == 0.5
