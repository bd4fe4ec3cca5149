"""Which runs are one variant, and which variants are ranked together."""

import numpy as np
import pytest

from dbgsom_core.runs.compare.group import differences

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
    assert "without a clear difference: Friedman's test" in ranking.sentence


def test_few_data_sets_are_too_few_for_a_test(store, found):
    for number, data in enumerate(("iris", "wine")):
        for i, model in enumerate((GAUSSIAN, BUBBLE)):
            store(2 * number + i, accuracy(0.5 + i / 10), data=data, model=model)
    (ranking,) = found("e").rankings
    assert ranking.sentence == (
        "kernel=bubble has the best mean rank over 2 data sets, 1; "
        "2 data sets are too few for a test."
    )
