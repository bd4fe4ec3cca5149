"""Comparing variants: what is ranked together, what is tested, and what is said of it."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import dbgsom_core
from dbgsom_core.errors import DataError
from dbgsom_core.runs.comparing.comparison_files import columns_of
from dbgsom_core.runs.comparing.differing import differences

BUBBLE = {"kernel": {"name": "bubble", "start": None, "end": None, "decay": "exponential"}}
GAUSSIAN = {"kernel": {"name": "gaussian", "start": None, "end": None, "decay": "exponential"}}
FOLDS = {"folds": 5}


def accuracy(value):
    return {"test/accuracy": value, "test/quantization_error": 1.0}


# --------------------------------------------------------------------------- what is one variant


def test_variants_are_runs_that_differ_in_their_seed_alone(store, found):
    values = {}
    for number, (seed, model) in enumerate((s, m) for s in (1, 2, 3) for m in (GAUSSIAN, BUBBLE)):
        values.setdefault(model["kernel"]["name"], []).append(number / 10)
        store(number, accuracy(number / 10), seed=seed, model=model)
    (table,) = found("e").tables
    assert [row.variant for row in table.rows] == ["kernel=bubble", "kernel=gaussian"]
    for row in table.rows:
        of = values[row.variant.partition("=")[2]]
        assert (row.seeds, row.folds) == (3, 0)
        assert row.mean == pytest.approx(np.mean(of))
        assert row.deviation == pytest.approx(np.std(of, ddof=1))


def test_fields_of_one_growth_tell_apart_its_own_variants_and_no_others(store, found):
    directed = {"name": "directed", "spreading_factor": 0.5, "settled_at": 0.02}
    for number, growth in enumerate(
        [
            directed,
            {**directed, "spreading_factor": 0.3},
            {"name": "fixed", "rows": 5, "columns": 6},
        ]
    ):
        store(number, accuracy(1 - number / 10), model={"growth": growth})
    comparison = found("e")
    assert [row.variant for row in comparison.tables[0].rows] == [
        "growth=directed(spreading_factor=0.5)",
        "growth=directed(spreading_factor=0.3)",
        "growth=fixed",
    ]
    frame = comparison.to_pandas()
    assert "growth" in frame
    assert not [name for name in frame if "rows" in name or "spreading" in name]


def test_what_a_run_leaves_to_its_default_is_what_another_one_names(store, found):
    store(1, accuracy(0.9), seed=1)
    store(2, accuracy(0.8), seed=2, model={**GAUSSIAN, "epochs": 100})
    store(3, accuracy(0.7), seed=1, model=BUBBLE)
    assert {row.variant: row.seeds for row in found("e").tables[0].rows} == {
        "kernel=gaussian": 2,
        "kernel=bubble": 1,
    }


def test_results_that_a_run_repeats_count_once_and_are_told(store, found):
    for number in (1, 2, 3):
        store(number, accuracy(0.9), seed=7, config={"engine": {"threads": number}})
    store(4, accuracy(0.7), seed=8)
    comparison = found("e")
    (row,) = comparison.tables[0].rows
    assert row.runs == ("run-0003", "run-0004")
    assert "2 older run(s) repeat another" in comparison.notes[0]


def test_settings_and_seeds_from_the_environment_are_taken_for_different(store, found):
    for number in (1, 2):
        store(number, accuracy(number / 4), seed="${env:SEED}")
        store(4 + number, accuracy(0.1), model={"epochs": "${env:EPOCHS}"})
    rows = found("e").tables[0].rows
    assert sorted(row.seeds for row in rows) == [1, 1, 2]


def test_names_of_components_and_nested_fields_in_differences():
    trees = [
        {"a": {"name": "x", "p": 1, "q": 2}, "b": [{"name": "s"}], "c": 1},
        {"a": {"name": "x", "p": 3, "q": 2}, "b": [], "c": 1},
        {"a": {"name": "y", "r": 5}, "b": [], "c": 1, "d": None},
    ]
    assert differences(trees) == [
        {"a": "x", "a.p": 1, "b": "s"},
        {"a": "x", "a.p": 3, "b": "none"},
        {"a": "y", "b": "none", "d": None},
    ]
    assert differences(trees[:1]) == [{}]


# ------------------------------------------------------------------------ what is ranked together


def test_data_sets_and_divisions_are_never_ranked_together(store, found):
    number = 0
    for data in ("iris", "wine"):
        for split in (FOLDS, {"test_size": 0.25, "stratify": False}, {"test_size": 0.25}):
            for model in (GAUSSIAN, BUBBLE):
                number += 1
                store(number, accuracy(0.5), data=data, split=split, model=model)
    tables = found("e").tables
    assert [table.name for table in tables] == [
        "iris, folds=5",
        "iris, test_size=0.25",
        "wine, folds=5",
        "wine, test_size=0.25",
    ]
    assert [len(table.rows) for table in tables] == [2, 2, 2, 2]


def test_data_of_one_name_and_other_content_are_told_apart(store, found):
    for number, seed in enumerate((0, 1)):
        files = store(number, accuracy(0.5), config={"dataset": {"name": "iris", "seed": seed}})
        text = files.run.read_text().replace("iris" * 8, f"{seed}" * 32)
        files.run.write_text(text)
    assert [table.name for table in found("e").tables] == ["iris (seed=0)", "iris (seed=1)"]


def test_measures_in_the_units_of_the_metric_do_not_rank_metrics(store, found):
    for number, metric in enumerate(("euclidean", "cosine")):
        measures = {"train/combined_error": 1.0, "train/topographic_error": number / 10}
        store(number, measures, model={"metric": {"name": metric}}, estimator="vq")
    comparison = found("e")
    assert comparison.decision.name == "train/combined_error"
    assert [table.name for table in comparison.tables] == [
        "iris, metric=cosine",
        "iris, metric=euclidean",
    ]
    assert "is in the units of the metric" in comparison.notes[-1]
    (table,) = found("e", by="topographic_error").tables
    assert [row.variant for row in table.rows] == ["metric=euclidean", "metric=cosine"]


def test_ranks_over_data_sets(store, found):
    values = {"iris": (0.9, 0.8, 0.7), "wine": (0.9, 0.7, 0.8), "digits": (0.5, 0.5, 0.4)}
    number = 0
    for data, several in values.items():
        for epochs, value in zip((10, 20, 30), several, strict=True):
            number += 1
            store(number, accuracy(value), data=data, model={"epochs": epochs})
    store(99, accuracy(1.0), data="wine", model={"epochs": 40})  # only there
    (ranking,) = found("e").rankings
    assert ranking.variants == ["epochs=10", "epochs=20", "epochs=30"]
    np.testing.assert_allclose(ranking.means, [3.5 / 3, 6.5 / 3, 8 / 3])
    assert list(ranking.tables) == ["digits", "iris", "wine"]
    assert ranking.test.p > 0.05
    assert "but nobody can tell: Friedman's test" in ranking.sentence


def test_few_data_sets_are_too_few_for_a_test(store, found):
    for number, data in enumerate(("iris", "wine")):
        for i, model in enumerate((GAUSSIAN, BUBBLE)):
            store(2 * number + i, accuracy(0.5 + i / 10), data=data, model=model)
    (ranking,) = found("e").rankings
    assert ranking.sentence == (
        "kernel=bubble has the best mean rank over 2 data sets, 1; "
        "2 data sets are too few for a test."
    )


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
        "kernel=bubble has the best accuracy, 0.6, but nobody can tell",
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
    too_close: ("Nobody can tell which is best: kernel=bubble", "more data would."),
    close: (
        "Nobody can tell which is best: kernel=bubble",
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


# -------------------------------------------------------------------------------------- its forms


def test_a_frame_has_a_row_for_each_variant(store, found):
    two_variants(store, ONE, OTHER, seeds=(1, 2, 3))
    frame = found("e").to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["variant"]) == ["kernel=gaussian", "kernel=bubble"]
    assert list(frame["kernel"]) == ["gaussian", "bubble"]
    assert list(frame["rank"]) == [1, 2]
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
