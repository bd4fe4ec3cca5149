"""Comparing variants: which runs, what is one variant, what is tested and said of it, its forms."""

import html
import math
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from scipy import stats
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    root_mean_squared_error,
)

import dbgsom_core
from dbgsom_core.cli import cli
from dbgsom_core.config import DecideSettings, load_experiment, load_sweep
from dbgsom_core.errors import DataError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.compare import (
    baseline_text,
    columns_of,
    method_sentence,
    table_title,
    winner_sentence,
)
from dbgsom_core.runs.data import baselines, load_data
from dbgsom_core.runs.folder import RunFiles, StoredRun, find_runs, write_run
from dbgsom_core.runs.manifest import flat_params
from dbgsom_core.runs.pipeline import prepare
from dbgsom_core.runs.ranking import find_criterion, rank_runs, ranking_of

pytestmark = pytest.mark.one_version

BUBBLE = {"kernel": {"name": "bubble", "start": "auto", "end": 0.5, "decay": "exponential"}}
GAUSSIAN = {"kernel": {"name": "gaussian", "start": "auto", "end": 0.5, "decay": "exponential"}}
FOLDS = {"folds": 5}


def accuracy(value):
    return {"test/accuracy": value, "test/quantization_error": 1.0}


# ---------------------------------------------------------------------------- which are compared


def ids(comparison):
    return [run.id for run in comparison.runs]


def test_experiments_sweeps_runs_and_folders_are_found(store, found):
    decide = {"sweep": {"grid": {}, "decide": {"measure": "quantization_error"}}}
    store(1, {}, kind="sweep", config=decide, experiment="a/b")
    for number in (2, 3):
        store(number, accuracy(0.1), seed=number, parent="run-0001", experiment="a/b")
    store(14, accuracy(0.9), seed=9, experiment="a/b")
    whole, sweep = found("a/b/"), found("run-0001")
    assert ids(whole) == ids(found()) == ["run-0002", "run-0003", "run-0014"]
    assert whole.criterion.name == "test/accuracy"
    assert ids(sweep) == ["run-0002", "run-0003"]
    assert sweep.criterion.name == "test/quantization_error"
    assert found("run-0001", by="accuracy").criterion.name == "test/accuracy"
    several = found("0014", store.root / "a" / "b" / "run-0002", "run-0014")
    assert ids(several) == ["run-0002", "run-0014"]


def test_unknown_names_are_answered_with_known_ones(store, found):
    with pytest.raises(DataError, match="has no run and no experiment of this name"):
        found("e")
    store(1, accuracy(0.5), experiment="digits")
    for targets, options, message in [
        (["digit"], {}, r"no run folder, no sweep.*did you mean 'digits'"),
        (["digits"], {"by": "acuracy"}, r"did you mean 'accuracy'.*available: test/accuracy"),
        (
            ["digits"],
            {"by": "accuracy", "split": "train"},
            "accuracy or train/accuracy; available: test/",
        ),
    ]:
        with pytest.raises(DataError, match=message):
            found(*targets, **options)
    store(1, accuracy(0.5), experiment="other")
    with pytest.raises(DataError, match=r"name one of the experiments in .*: digits, other"):
        found()
    with pytest.raises(DataError, match=r"'0001' may be any of .*run-0001, .*run-0001: name its"):
        found("0001")


def test_what_has_not_finished_is_left_out(store, found):
    store(1, {}, kind="sweep", status="killed")
    store(2, {}, parent="run-0001", status="killed")
    message = r"no finished run: 1 killed"
    with pytest.raises(DataError, match=message):
        found("e")
    store(3, accuracy(0.5))
    assert found("e").notes == ["not finished, and left out: 1 killed"]


def test_of_runs_of_one_second_the_newest_is_the_last_that_began(tmp_path):
    for number, name in enumerate("f0a"):
        files = RunFiles(tmp_path / "e" / f"20260101-120000-{name * 6}")
        started = f"2026-01-01T12:00:00.{number}00+00:00"
        write_run(StoredRun(status="finished", started=started, files=files))
    assert [one.files.folder.name[-1] for one in find_runs(tmp_path, "e")] == ["f", "0", "a"]


# --------------------------------------------------------------------------- what is one variant


def stats_of(table):
    """Return the rows of a table by the names of the variants."""
    return {row.variant: row for row in table.rows.itertuples()}


def test_no_interval_of_a_difference_is_longer_than_its_measure(store, found):
    for seed, (one, other) in enumerate([(0.0, 0.3), (0.1, 1.0)]):
        store(2 * seed, accuracy(one), seed=seed)
        store(2 * seed + 1, accuracy(other), seed=seed, model=BUBBLE)
    row = found("e").tables[0].rows.iloc[1]
    assert (row.low, row.high) == (-1.0, 1.0)  # by Student's t from -4.4 to 3.2


def test_variants_are_runs_that_differ_in_their_seed_alone(store, found):
    values = {"gaussian": (0.0, 0.2, 0.4), "bubble": (0.1, 0.3, 0.5)}
    for seed in range(3):
        store(2 * seed, accuracy(values["gaussian"][seed]), seed=seed, model=GAUSSIAN)
        store(2 * seed + 1, accuracy(values["bubble"][seed]), seed=seed, model=BUBBLE)
    store(6, accuracy(0.4), seed=2, model=GAUSSIAN, config={"engine": {}})
    comparison = found("e")
    rows = stats_of(comparison.tables[0])
    assert list(rows) == ["kernel=bubble", "kernel=gaussian"]
    for name, row in rows.items():
        of = values[name.partition("=")[2]]
        assert (row.seeds, row.folds) == (3, 0)
        assert (row.mean, row.std) == pytest.approx((np.mean(of), np.std(of, ddof=1)))
    assert rows["kernel=gaussian"].runs == ("run-0000", "run-0002", "run-0006")
    assert "1 older run(s) repeat another" in comparison.notes[0]


def test_fields_of_one_growth_tell_apart_its_own_variants_and_no_others(store, found):
    directed = {"name": "directed", "spreading_factor": 0.5, "settled_at": 0.02}
    fixed = {"name": "fixed", "rows": 5, "columns": 6}
    for number, growth in enumerate([directed, {**directed, "spreading_factor": 0.3}, fixed]):
        store(number, accuracy(1 - number / 10), model={"growth": growth})
    comparison = found("e")
    assert list(stats_of(comparison.tables[0])) == [
        "growth=directed, spreading_factor=0.5",
        "growth=directed, spreading_factor=0.3",
        "growth=fixed",
    ]
    frame = comparison.to_frame()
    assert list(frame["growth"]) == ["directed", "directed", "fixed"]
    assert list(frame["spreading_factor"][:2]) == [0.5, 0.3]
    assert "rows" not in frame


# ------------------------------------------------------------------------ what is ranked together


def test_data_sets_and_divisions_are_never_ranked_together(store, found):
    number = 0
    for data in ("iris", "wine"):
        for split in (FOLDS, {"test_size": 0.25, "stratify": False}, {"test_size": 0.25}):
            for model in (GAUSSIAN, BUBBLE):
                number += 1
                store(number, accuracy(0.5), data=data, split=split, model=model)
    tables = found("e").tables
    assert [(table.name, len(table.rows)) for table in tables] == [
        (f"{data}, {split}", 2)
        for data in ("iris", "wine")
        for split in ("folds=5", "test_size=0.25")
    ]


def test_data_of_one_name_and_other_content_are_told_apart(store, found):
    for number, seed in enumerate((0, 1)):
        files = store(number, accuracy(0.5), config={"dataset": {"name": "iris", "seed": seed}})
        files.run.write_text(files.run.read_text().replace("iris" * 8, f"{seed}" * 32))
    assert [table.name for table in found("e").tables] == ["iris, seed=0", "iris, seed=1"]
    store(2, accuracy(0.5), data="wine")
    files = store(3, accuracy(0.5), data="wine")
    files.run.write_text(files.run.read_text().replace("wine" * 8, "w" * 32))
    names = [table.name for table in found("e").tables]
    assert len(names) == len(set(names)) == 4


def test_measures_in_the_units_of_the_metric_do_not_rank_metrics(store, found):
    for number, metric in enumerate(("euclidean", "cosine")):
        measures = {"train/combined_error": 1.0, "train/topographic_error": number / 10}
        store(number, measures, model={"metric": {"name": metric}}, estimator="vq")
    comparison = found("e")
    assert comparison.criterion.name == "train/combined_error"
    names = ["iris, metric=cosine", "iris, metric=euclidean"]
    assert [table.name for table in comparison.tables] == names
    assert "in the units of the metric" in table_title(comparison.tables[0])
    (table,) = found("e", by="topographic_error").tables
    assert list(stats_of(table)) == ["metric=euclidean", "metric=cosine"]


def test_ranks_over_data_sets(store, found):
    values = {"iris": (0.9, 0.8, 0.7), "wine": (0.9, 0.7, 0.8), "digits": (0.5, 0.5, 0.4)}
    number = 0
    for data, several in values.items():
        for epochs, value in zip((10, 20, 30), several, strict=True):
            number += 1
            store(number, accuracy(value), data=data, model={"epochs": epochs})
    store(99, accuracy(1.0), data="wine", model={"epochs": 40})  # only there
    (said,) = [note for note in found("e").notes if "mean ranks" in note]
    assert "over 3 data sets: epochs=10 1.167, epochs=20 2.167, epochs=30 2.667; " in said
    assert "without a clear difference: Friedman's test" in said


# --------------------------------------------------------------------------------- what ranks

MAPS = ["train/quantization_error", "train/combined_error", "train/topographic_error"]


def measured(names, estimator="vq"):
    """Return what a criterion reads of a run."""
    config = {"model": {"estimator": estimator}}
    return SimpleNamespace(measures=dict.fromkeys(names, 0.5), config=config, data={})


BOTH = [f"{part}/{one}" for part in ("train", "test") for one in ("accuracy", "purity", "own")]


@pytest.mark.parametrize(
    ("settings", "estimators", "names", "expected"),
    [
        ({}, ["classifier"], [*MAPS, "test/accuracy", "train/accuracy"], "test/accuracy greater"),
        ({}, ["classifier"], [*MAPS, "train/accuracy"], "train/accuracy greater"),
        ({}, ["regressor"], [*MAPS, "test/rmse", "test/r2"], "test/r2 greater"),
        ({}, ["regressor"], [*MAPS, "test/rmse"], "test/rmse less"),
        ({}, ["vq"], MAPS, "train/combined_error less"),
        ({}, ["vq", "classifier"], [*MAPS, "train/accuracy"], "train/combined_error less"),
        ({"measure": "purity"}, ["vq"], BOTH, "test/purity greater"),
        ({"measure": "train/purity"}, ["vq"], BOTH, "train/purity greater"),
        ({"split": "train"}, ["classifier"], BOTH, "train/accuracy greater"),
        ({"measure": "purity", "direction": "minimize"}, ["vq"], BOTH, "test/purity less"),
        ({"measure": "own", "direction": "maximize"}, ["vq"], BOTH, "test/own greater"),
    ],
)
def test_what_ranks(registry, settings, estimators, names, expected):
    runs = [measured(names, kind) for kind in estimators]
    found = find_criterion(DecideSettings(**settings), runs, registry)
    assert f"{found.name} {found.end}" == expected


@pytest.mark.parametrize(
    ("by", "estimator", "measured", "largest", "expected"),
    [
        (None, "classifier", ["accuracy", "balanced_accuracy"], 0.67, "test/balanced_accuracy"),
        (None, "classifier", ["accuracy", "balanced_accuracy"], 0.66, "test/accuracy"),
        (None, "classifier", ["accuracy"], 0.9, "test/accuracy"),
        ("accuracy", "classifier", ["accuracy", "balanced_accuracy"], 0.9, "test/accuracy"),
        (None, "vq", ["accuracy", "balanced_accuracy"], 0.9, "train/combined_error"),
    ],
)
def test_uneven_classes_are_ranked_by_balanced_accuracy(
    store, found, by, estimator, measured, largest, expected
):
    measures = {**dict.fromkeys(MAPS, 0.3), **{f"test/{name}": 0.5 for name in measured}}
    baseline = {"train/accuracy": largest, "test/accuracy": 0.72, "test/balanced_accuracy": 0.5}
    store(1, measures, estimator=estimator, baseline=baseline)
    comparison = found("e", by=by)
    assert comparison.criterion.name == expected
    (table,), said = comparison.tables, f"decides, as {100 * largest:.0f} % of the samples"
    uneven = expected == "test/balanced_accuracy"
    assert any(said in note for note in comparison.notes) is uneven
    if uneven:
        assert baseline_text(table) == "baseline: 0.5 (always the most frequent class)"


def test_a_measure_whose_better_end_is_not_known_needs_a_direction(registry):
    runs = [measured(["test/own"])]
    with pytest.raises(DataError, match="say the direction"):
        find_criterion(DecideSettings(measure="own"), runs, registry)
    with pytest.raises(DataError, match=r"no finished run has .*; available: test/own"):
        find_criterion(DecideSettings(), runs, registry)


def test_what_is_best_at_zero_is_compared_by_its_absolute_value(registry):
    runs = [{"train/topographic_product": value} for value in (-0.03, 0.02, 0.05, math.nan)]
    settings, stored = {"measure": "topographic_product"}, [measured(runs[0])]
    found = find_criterion(DecideSettings(**settings), stored, registry)
    assert min(runs[:3], key=lambda one: found.cost(found.value(one))) == runs[1]
    settings["direction"] = "minimize"  # who says a direction means the number itself
    least = find_criterion(DecideSettings(**settings), stored, registry)
    assert least.value(runs[0]) == -0.03


# -------------------------------------------------------------------------------- what is tested


def two_variants(store, one, other, seeds=(1,), same_folds=False):
    number = 0
    for model, values in ((GAUSSIAN, one), (BUBBLE, other)):
        for seed, of_seed in zip(seeds, values, strict=True):
            number += 1
            folds = [(f"{i}" if same_folds else f"{seed}-{i}", v) for i, v in enumerate(of_seed)]
            measures = accuracy(float(np.mean(of_seed)))
            store(number, measures, seed=seed, model=model, split=FOLDS, folds=folds)


RNG = np.random.default_rng(3)
ONE = RNG.normal(0.9, 0.01, size=(3, 5))
OTHER = ONE - RNG.normal(0.05, 0.01, size=(3, 5))


@pytest.mark.parametrize("same_folds", [False, True])
def test_folds_are_tested_by_the_corrected_resampled_t_test(store, found, same_folds):
    two_variants(store, ONE, OTHER, seeds=(1, 2, 3), same_folds=same_folds)
    (table,) = found("e").tables
    best, row = table.ranked
    # folds that all seeds divide alike count once
    d = (OTHER - ONE).mean(axis=0) if same_folds else (OTHER - ONE).ravel()
    t = d.mean() / math.sqrt((1 / len(d) + 30 / 120) * d.var(ddof=1))
    assert best.variant == "kernel=gaussian"
    assert row.p == row.holm == pytest.approx(2 * stats.t.sf(abs(t), len(d) - 1), rel=1e-9)
    assert row.difference == pytest.approx(d.mean())
    assert (row.seeds, row.folds, row.pairs) == (3, 5, len(d))
    assert table.ratio == 0.25
    assert winner_sentence(table).startswith("kernel=gaussian wins: accuracy 0.898 ± 0.014, 0.05")
    assert "Nadeau & Bengio 2003" in method_sentence(table)


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
    assert table.rows.iloc[1].p == pytest.approx(2 * stats.t.sf(abs(t), 5), rel=1e-9)
    assert table.ratio == ratio
    assert name in method_sentence(table)


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
    assert list(table.rows.holm[1:]) == pytest.approx(list(expected[:2]))


def test_a_variant_that_failed_with_a_hard_seed_does_not_lead_by_that(store, found):
    for seed, value in ((1, 0.9), (2, 0.6), (3, 0.87)):
        store(seed, accuracy(value), seed=seed, model=GAUSSIAN)
    for seed, value in ((1, 0.88), (3, 0.86)):  # with each it is behind
        store(3 + seed, accuracy(value), seed=seed, model=BUBBLE)
    comparison = found("e")
    (table,) = comparison.tables
    first, next_ = table.ranked
    assert (first.variant, next_.variant) == ("kernel=gaussian", "kernel=bubble")
    assert next_.mean > first.mean
    assert first.adjusted == pytest.approx(0.885)
    assert first.adjusted - next_.adjusted == pytest.approx(-next_.difference) == 0.015
    assert "adjusted means" in winner_sentence(table)
    header, cells = columns_of(table, {})
    assert header[:4] == ["variant", "seeds", "accuracy ↑", "adjusted"]
    assert [row[3] for row in cells] == ["0.885", "0.87"]
    assert list(comparison.to_frame()["adjusted"]) == [first.adjusted, next_.adjusted]


# ---------------------------------------------------------------------------------- what is said

NOISE = [0.03, -0.01, 0.02, 0.025]
SENTENCES = [
    # values of gaussian by seed, of bubble, split, how the sentence begins, what is in it
    ({1: 0.5}, {1: 0.6}, None, "kernel=bubble is best, accuracy 0.6, but a test", "seeds: 5"),
    ({1: 0.5, 2: 0.5}, {1: 0.6, 2: 0.6}, None, "kernel=bubble is best", "folds: 5"),
    ({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}, None, "All variants have the same accuracy", ""),
    ({1: 0.9, 2: 1.0}, {1: 0.9}, None, "All variants have the same accuracy with the same", ""),
    (
        {0: 0.5, 2: 0.7},
        {1: 0.6, 3: 0.8},
        None,
        "kernel=bubble is best",
        "the same seeds",
    ),
    ({1: 0.5, 2: 0.6}, {}, None, "There is one variant: accuracy 0.550 ± 0.071.", ""),
    (
        dict.fromkeys(range(4), 0.5),
        {seed: 0.5 + more for seed, more in enumerate(NOISE)},
        {"test": {}},
        "No clear difference yet: kernel=bubble",
        "more seeds would tell more",
    ),
    (
        dict.fromkeys(range(12), 0.5),
        {seed: 0.5 + more for seed, more in enumerate(NOISE * 3)},
        {"test": {}},
        "kernel=bubble wins: accuracy 0.516 ± 0.016, 0.0163 better",
        "",
    ),
    ({1: math.nan}, {}, None, "No run has a value of test/accuracy.", ""),
]


@pytest.mark.parametrize(("one", "other", "split", "begin", "within"), SENTENCES)
def test_the_sentence_says_how_sure_it_is(store, found, one, other, split, begin, within):
    number = 0
    for model, values in ((GAUSSIAN, one), (BUBBLE, other)):
        for seed, value in values.items():
            number += 1
            store(number, accuracy(value), seed=seed, model=model, split=split)
    sentence = found("e").sentence
    assert sentence.startswith(begin)
    assert within.lower() in sentence.lower()


def test_models_that_share_most_of_the_data_need_more_data(store, found):
    noise = np.array([[-0.01, 0.012, 0.004, -0.006, 0.01]])
    two_variants(store, ONE[:1], ONE[:1] + noise)
    sentence = found("e").sentence
    assert sentence.startswith("No clear difference yet: kernel=bubble")
    assert sentence.endswith("More folds of more data would tell more.")


def test_runs_without_a_test_part_have_no_value(store, found):
    store(1, {"train/accuracy": 0.9, "test/accuracy": 0.5}, split={"test_size": 0.5})
    store(2, {"train/accuracy": 0.8})
    untested = next(one for one in found("e").tables if not one.ranked)
    assert winner_sentence(untested) == "No run has a value of test/accuracy."
    assert columns_of(untested, {})[1][0][0] == "name of 2"


# -------------------------------------------------------------------------------------- its forms


def test_a_frame_has_a_row_for_each_variant(store, found):
    two_variants(store, ONE, OTHER, seeds=(1, 2, 3))
    frame = dbgsom_core.compare("e", runs=store.root)
    assert frame.attrs["sentence"].startswith("kernel=gaussian wins")
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
    store(1, accuracy(0.5), model={"init": EVIL}, baseline={"test/accuracy": 0.625})
    store(2, accuracy(0.4), model={"init": "=1+1"}, baseline={"test/accuracy": 0.625})
    comparison = found("e")
    texts = {}
    for ending in ("csv", "html", "md"):
        comparison.save(tmp_path / f"table.{ending}")
        texts[ending] = (tmp_path / f"table.{ending}").read_text(encoding="utf-8")
    assert "<script>" not in texts["html"]
    assert "&lt;script&gt;" in texts["html"]
    assert "| init=&lt;script&gt;\\|\\`\\*\\\\x1b\\[31m |" in texts["md"]
    assert "\x1b" not in texts["md"] + texts["html"]
    for text in (texts["md"], texts["html"]):
        assert "baseline: 0.625 (always the most frequent class)" in text
    frame = pd.read_csv(tmp_path / "table.csv")
    assert list(frame["mean"]) == [0.5, 0.4]
    with pytest.raises(DataError, match="cannot be written"):
        comparison.save(store.root / "e" / "run-0001" / "run.json" / "x.md")


# ------------------------------------------------------------------------------------ the command


@pytest.fixture
def typed(store, monkeypatch):
    """Type the command in the folder that holds two runs; return its exit code and answer."""
    store.root.mkdir()
    monkeypatch.chdir(store.root.parent)
    folds = {"gaussian": [0.9, 0.92, 0.91], "bubble": [0.8, 0.83, 0.81]}
    for number, (kernel, values) in enumerate(folds.items()):
        measures = {
            "test/accuracy": sum(values) / 3,
            "test/quantization_error": 1.5,
            "test/topographic_error": 0.25,
            "test/purity": 0.125,
        }
        model = {"kernel": {"name": kernel}, "growth": {"name": "directed"}}
        store(number, measures, model=model, split={"folds": 3}, folds=values)
    return lambda *words: CliRunner().invoke(cli, ["compare", *words])


def test_a_table_and_a_sentence_are_printed(typed):
    title, header, first, second, sentence, text, *_ = typed().output.splitlines()
    assert title == "iris, 150 × 4, by accuracy on the test part (greater is better)"
    assert header.split("  ")[0] == "variant"
    assert header.split()[-4:] == ["quantization_error", "↓", "topographic_error", "↓"]
    assert first.split()[:5] == ["kernel=gaussian", "3", "0.910", "±", "0.010"]
    assert second.split()[2:7] == ["0.813", "±", "0.015", "-0.0967", "(-0.12"]
    assert sentence.startswith("kernel=gaussian wins: accuracy 0.910 ± 0.010, 0.0967 better than")
    assert "corrected resampled t-test (Nadeau & Bengio 2003)" in text


def test_options_of_the_command(typed, store):
    assert "purity" not in typed().output
    assert "purity" in typed("--all").output
    answer = typed("--top", "1").output
    assert "and 1 more" in answer
    assert "\nkernel=bubble" not in answer
    assert typed("e", "-o", "table.csv").output == "table.csv: 1 table(s)\n"
    assert "kernel" in (store.root.parent / "table.csv").read_text(encoding="utf-8")
    assert "ends in none of .csv, .html and .md" in str(typed("e", "-o", "table.xlsx").exception)
    assert typed("e", "--direction", "up").exit_code == 2


# -------------------------------------------------------- what an answer without learning measures

MEASURES = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": partial(f1_score, average="macro", zero_division=0.0),
}
OF_NUMBERS = {"rmse": root_mean_squared_error, "mae": mean_absolute_error}


def of_dummy(estimator, pairs, part):
    """Return the means of what scikit-learn's dummy measures on pairs of parts, by full name."""
    dummy = DummyRegressor() if estimator == "regressor" else DummyClassifier()
    named = OF_NUMBERS if estimator == "regressor" else MEASURES
    found = {name: [] for name in named}
    for train, test in pairs:
        answers = dummy.fit(np.zeros((len(train), 1)), train).predict(np.zeros((len(test), 1)))
        for name, measure in named.items():
            found[name].append(measure(test, answers))
    return {f"{part}/{name}": pytest.approx(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("split", [None, {"test_size": 0.4}, {"folds": 3}])
@pytest.mark.parametrize("estimator", ["classifier", "regressor"])
def test_the_baseline_is_that_of_scikit_learns_dummy(tmp_path, split, estimator):
    rng = np.random.default_rng(1)
    kinds = rng.choice(["1", "2", "3", ""], p=[0.2, 0.5, 0.2, 0.1], size=90)
    kinds = rng.normal(size=90).astype(str) if estimator == "regressor" else kinds
    lines = [f"{x:.3f},{kind}" for x, kind in zip(rng.normal(size=90), kinds, strict=True)]
    (tmp_path / "t.csv").write_text("x,kind\n" + "\n".join(lines) + "\n", encoding="utf-8")
    missing = {} if estimator == "regressor" else {"missing_target": "unlabelled"}
    data = {"name": "csv", "path": str(tmp_path / "t.csv"), "target": "kind", **missing}
    content = {
        "experiment": "e",
        "dataset": data,
        "split": split,
        "model": {"estimator": estimator},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    experiment = load_experiment(tmp_path / "run.yaml")
    setup = prepare(experiment, load_data(experiment))

    def labelled(part):
        return np.array([one for one in part if one is not None and one == one])

    y, fold = setup.data.y, setup.fold
    pairs = [(labelled(y[train]), labelled(y[test])) for train, test in setup.divided]
    if fold.test is not None:
        pairs = [(labelled(fold.train.y), labelled(fold.test.y))]
    train = labelled(fold.train.y)
    expected = of_dummy(estimator, [(train, train)], "train")
    found = baselines(fold, setup.divided, y, estimator)
    assert found == expected | (of_dummy(estimator, pairs, "test") if pairs else {})


@pytest.mark.parametrize(("leads", "is_said"), [(0.5, True), (0.3, True), (0.51, False)])
def test_a_leader_that_is_no_better_than_the_baseline_is_told(store, found, leads, is_said):
    for number, value in enumerate((leads, 0.2)):
        model = BUBBLE if number else GAUSSIAN
        store(number, {"test/accuracy": value}, model=model, baseline={"test/accuracy": 0.5})
    (table,) = found("e").tables
    assert table.baseline == 0.5
    text = " no better than always the most frequent class, 0.5."
    assert winner_sentence(table).endswith(text) is is_said


def test_the_baseline_is_the_mean_over_seeds_and_0_for_r2(store, found):
    for number, (model, seed) in enumerate([(GAUSSIAN, 1), (GAUSSIAN, 2), (BUBBLE, 1)]):
        known = {"test/accuracy": 0.5 if seed == 1 else 0.7}
        store(number, {"test/accuracy": 0.9}, seed=seed, model=model, baseline=known)
    assert found("e").tables[0].baseline == pytest.approx(0.6)
    store(1, {"test/r2": -0.25}, estimator="regressor", experiment="r")
    (table,) = found("r").tables
    assert winner_sentence(table).endswith("Yet that is no better than always the mean, 0.")


# ------------------------------------------------------------------- while a sweep goes on

HEAD = "experiment: e\ndataset: iris\nmodel: {estimator: classifier}\nsplit: {test_size: 0.25}\n"
KERNELS = "{grid: {model.kernel: [gaussian, bubble, triangular]}, repeats: {seeds: 3}}"


def rank_sweep(folder, section, values, measure, head=HEAD):
    """Return the tables of a sweep of which runs of these names have these values."""
    path = folder / "sweep.yaml"
    path.write_text(f"{head}sweep: {section}\n")
    registry = get_registry()
    sweep, runs = load_sweep(path, registry=registry), []
    data = {"name": "iris", "digest": "d", "samples": 150}
    for child in sweep.children:
        if values is None or child.name in values:
            value = 1.0 if values is None else values[child.name]
            facts = {"id": child.name, "name": child.name, "data": data, "files": RunFiles(folder)}
            facts["params"] = flat_params(child.experiment.resolved)
            config, measures = child.experiment.resolved, {f"test/{measure}": value}
            runs.append(StoredRun(**facts, config=config, measures=measures))
    criterion = find_criterion(sweep.decide, runs, registry)
    return rank_runs(runs, criterion)


LEADERS = [
    (
        {("gaussian", 42): 0.95, ("gaussian", 43): 0.75, ("bubble", 42): 0.90},
        # above the mean of gaussian, below gaussian with the same seed
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds)",
    ),
    (
        {
            ("gaussian", 42): 0.95,
            ("gaussian", 43): 0.75,
            ("bubble", 42): 0.90,
            ("bubble", 43): 0.76,
        },
        "kernel=gaussian (test/accuracy 0.85 ± 0.14, 2 seeds)",
    ),
    (
        # Of the seed that both had, 0.70 and 0.72.
        {("gaussian", 42): 0.9, ("gaussian", 43): 0.7, ("bubble", 43): 0.72},
        "kernel=bubble (test/accuracy 0.72, 1 seed)",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), LEADERS)
def test_variants_of_a_sweep_are_ranked_as_if_all_had_the_same_seeds(tmp_path, values, sentence):
    named = {f"kernel={kernel}, seed={seed}": value for (kernel, seed), value in values.items()}
    (table,) = rank_sweep(tmp_path, KERNELS, named, "accuracy")
    ranking = ranking_of(table, "", get_registry())
    assert sentence.startswith(f"{ranking.best.name} (")  # as at its end
    assert ranking.best.varies == {"kernel": ranking.best.name.partition("=")[2]}


@pytest.mark.parametrize(
    ("grid", "measure", "names"),
    [
        ("model.metric: [euclidean, cosine]", "combined_error", ["euclidean", "cosine"]),
        ("model.metric: [euclidean, cosine]", "topographic_error", ["iris"]),
        ("split.test_size: [0.2, 0.4]", "combined_error", ["test_size=0.2", "test_size=0.4"]),
    ],
)
def test_what_a_sweep_does_not_rank_together(tmp_path, grid, measure, names):
    section = f"{{grid: {{{grid}}}, decide: {{measure: {measure}}}}}"
    head = "experiment: e\ndataset: iris\n"
    found = [table.name for table in rank_sweep(tmp_path, section, None, measure, head)]
    assert all(found[i].endswith(name) for i, name in enumerate(names))
    assert len(found) == len(names)


def test_a_page_stands_alone_and_says_who_won(store, found, tmp_path):
    two_variants(store, ONE, OTHER - 0.2, seeds=(1, 2, 3))
    comparison = found("e")
    comparison.save(tmp_path / "table.html")
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert html.escape(comparison.sentence, quote=False) in page
    assert page.count("<tr>") == 3
    assert "default-src 'none'" in page
    assert not re.search(r"(?:href|src)=", page)
