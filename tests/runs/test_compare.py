"""Comparing variants: which runs, what is one variant, what is tested and said of it, its forms."""

import math
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)

import dbgsom_core
from dbgsom_core.cli import cli
from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError
from dbgsom_core.runs.compare import (
    baseline_text,
    method_sentence,
    table_title,
    winner_sentence,
)
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.ranking import find_criterion

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


# --------------------------------------------------------------------------- what is one variant


def stats_of(table):
    """Return the rows of a table by the names of the variants."""
    return {row.variant: row for row in table.rows.itertuples()}


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
    assert "Friedman's test" in said


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
        ({}, ["regressor"], [*MAPS, "test/rmse", "test/r2"], "test/r2 greater"),
        ({}, ["regressor"], [*MAPS, "test/rmse"], "test/rmse less"),
        ({}, ["vq"], MAPS, "train/combined_error less"),
        ({}, ["vq", "classifier"], [*MAPS, "train/accuracy"], "train/combined_error less"),
        ({"measure": "purity"}, ["vq"], BOTH, "test/purity greater"),
        ({"split": "train"}, ["classifier"], BOTH, "train/accuracy greater"),
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
        (None, "classifier", ["accuracy", "log_loss"], 0.67, "test/log_loss"),
        (None, "classifier", ["accuracy", "balanced_accuracy"], 0.66, "test/accuracy"),
        ("accuracy", "classifier", ["accuracy", "balanced_accuracy"], 0.9, "test/accuracy"),
    ],
)
def test_uneven_classes_are_ranked_by_log_loss(
    store, found, by, estimator, measured, largest, expected
):
    measures = {**dict.fromkeys(MAPS, 0.3), **{f"test/{name}": 0.5 for name in measured}}
    baseline = {"train/accuracy": largest, "test/accuracy": 0.72, "test/log_loss": 0.5}
    store(1, measures, estimator=estimator, baseline=baseline)
    comparison = found("e", by=by)
    assert comparison.criterion.name == expected
    (table,), said = comparison.tables, f"decides, as {100 * largest:.0f} % of the samples"
    uneven = expected == "test/log_loss"
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


# ---------------------------------------------------------------------------------- what is said

NOISE = [0.03, -0.01, 0.02, 0.025]
SENTENCES = [
    # values of gaussian by seed, of bubble, split, how the sentence begins, what is in it
    ({1: 0.5}, {1: 0.6}, None, "kernel=bubble is best, accuracy 0.6, but a test", "seeds: 5"),
    ({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}, None, "All variants have the same accuracy", ""),
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


# -------------------------------------------------------------------------------------- its forms


def test_a_frame_has_a_row_for_each_variant(store):
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
    assert not re.search(r"(?:href|src)=", texts["html"])
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
    assert first.split()[:5] == ["kernel=gaussian", "3", "0.910", "±", "0.010"]
    assert second.split()[2:7] == ["0.813", "±", "0.015", "-0.0967", "(-0.12"]
    assert sentence.startswith("kernel=gaussian wins: accuracy 0.910 ± 0.010, 0.0967 better than")
    assert "corrected resampled t-test" in text


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


def dummy_measures(estimator, pairs, part):
    """Return the means of what scikit-learn's dummy measures on pairs of parts, by full name."""
    is_regressor = estimator == "regressor"
    dummy = DummyRegressor() if is_regressor else DummyClassifier()
    means = {}
    for name, measure in (OF_NUMBERS if is_regressor else MEASURES).items():
        values = []
        for train, test in pairs:
            answers = dummy.fit(train[["x"]], train["y"]).predict(test[["x"]])
            values.append(measure(test["y"], answers))
        means[f"{part}/{name}"] = pytest.approx(np.mean(values))
    if not is_regressor:
        losses = [
            log_loss(test["y"], dummy.fit(train[["x"]], train["y"]).predict_proba(test[["x"]]))
            for train, test in pairs
        ]
        means[f"{part}/log_loss"] = pytest.approx(np.mean(losses))
    return means


@pytest.mark.parametrize(
    ("estimator", "split"),
    [
        ("classifier", {"test_size": 0.4, "folds": None}),
        ("classifier", {"folds": 3}),
        ("regressor", {"folds": 3}),
        ("regressor", None),
    ],
)
def test_the_baseline_is_that_of_scikit_learns_dummy(tmp_path, monkeypatch, estimator, split):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"x": rng.normal(size=90), "y": rng.normal(size=90)})
    if estimator == "classifier":
        table["y"] = rng.choice(["a", "b", "c"], p=[0.25, 0.5, 0.25], size=90)
    small = {"model.epochs": 1, "split": split, "measures": [], "figures": [], "tracking": []}
    run = dbgsom_core.run(table, small, target="y", task=estimator)
    assigned = pd.read_csv(run.folder / "assignments.csv")
    pairs, train = [], table
    if "part" in assigned:
        train = table[assigned["part"] == "train"]
        pairs = [(train, table[assigned["part"] == "test"])]
    elif "fold" in assigned:
        folds = assigned["fold"]
        pairs = [(table[folds != fold], table[folds == fold]) for fold in folds.unique()]
    expected = dummy_measures(estimator, [(train, train)], "train")
    expected |= dummy_measures(estimator, pairs, "test") if pairs else {}
    assert read_run(run.folder).data["baseline"] == expected


@pytest.mark.parametrize(("leads", "is_said"), [(0.5, True), (0.3, True), (0.51, False)])
def test_a_leader_that_is_no_better_than_the_baseline_is_told(store, found, leads, is_said):
    for number, value in enumerate((leads, 0.2)):
        model = BUBBLE if number else GAUSSIAN
        store(number, {"test/accuracy": value}, model=model, baseline={"test/accuracy": 0.5})
    (table,) = found("e").tables
    assert table.baseline == 0.5
    text = " no better than always the most frequent class, 0.5."
    assert winner_sentence(table).endswith(text) is is_said


# ------------------------------------------------------------------- while a sweep goes on


def test_runs_on_other_columns_of_the_same_rows_are_variants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 4)), columns=["a", "b", "c", "d"])
    frame.assign(kind=np.where(frame["a"] > 0, "x", "y")).to_csv("t.csv", index=False)
    for drop in (["d"], ["c", "d"], ["d", "b"]):
        dbgsom_core.run(
            {
                "experiment": "columns",
                "dataset": {"name": "csv", "path": "t.csv", "target": "kind", "drop": drop},
                "split": {"folds": 3},
                "model": {"estimator": "classifier", "epochs": 3},
                "measures": ["accuracy", "quantization_error"],
                "figures": [],
                "tracking": ["run_folder"],
            }
        )
    found = dbgsom_core.compare("columns")
    assert set(found["variant"]) == {"drop=none", "drop=c", "drop=b"}
    assert set(found["data"]) == {"t"}
    assert found["difference"].notna().sum() == 2  # each was tested beside the best
    apart = dbgsom_core.compare("columns", by="quantization_error")
    assert apart["data"].nunique() == 3
    (note,) = apart.attrs["notes"]
    assert "runs that differ in these are not ranked together" in note
    title = CliRunner().invoke(cli, ["compare", "columns"], catch_exceptions=False).output
    assert title.startswith("t, 80 × 2 to 3, by accuracy")
