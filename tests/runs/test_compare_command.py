"""``dbgsom compare`` as it is typed."""

import re

import pytest
from click.testing import CliRunner

from dbgsom_core.cli import cli

FOLDS = ([0.9, 0.92, 0.91], [0.8, 0.83, 0.81])


@pytest.fixture
def typed(store, monkeypatch):
    """Type the command in the folder that holds the runs; return its exit code and answer."""
    store.root.mkdir()
    monkeypatch.chdir(store.root.parent)

    def call(*words, columns=None):
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
            monkeypatch.setattr("rich.console.Console.is_terminal", True)
        return CliRunner().invoke(cli, ["compare", *words])

    return call


@pytest.fixture
def two(store, typed):
    for number, (kernel, folds) in enumerate(zip(("gaussian", "bubble"), FOLDS, strict=True)):
        measures = {
            "test/accuracy": sum(folds) / 3,
            "test/quantization_error": 1.5,
            "test/topographic_error": 0.25,
            "test/purity": 0.125,
        }
        model = {"kernel": {"name": kernel}, "growth": {"name": "directed"}}
        store(number, measures, model=model, split={"folds": 3}, folds=folds)
    return typed


def test_the_only_experiment_is_meant_and_a_table_and_a_sentence_come(two):
    answer = two()
    assert answer.exit_code == 0
    title, header, first, second, sentence, method = answer.output.splitlines()
    assert title == "iris, 150 × 4, by accuracy on the test part (greater is better), 3 folds"
    assert header.split("  ")[0] == "variant"
    assert header.split()[-4:] == ["quantization_error", "↓", "topographic_error", "↓"]
    assert first.startswith("kernel=gaussian  0.910 ± 0.010 ")
    assert second.startswith("kernel=bubble    0.813 ± 0.015  -0.097 (")
    assert sentence.startswith("kernel=gaussian wins: accuracy 0.910 ± 0.010, 0.097 better than")
    assert "corrected resampled t-test (Nadeau & Bengio 2003)" in method


def test_a_terminal_of_a_hundred_columns_shows_what_decides(two):
    answer = two("e", columns=100)
    lines = re.sub(r"\x1b\[[\d;]*m", "", answer.output).splitlines()
    assert max(map(len, lines[:4])) <= 100
    assert "quantization_error" in lines[1]
    assert "topographic_error" not in lines[1]


def test_all_measures_and_the_best_only_are_shown_where_asked(two):
    assert "purity" not in two().output
    assert "purity" in two("--all").output
    answer = two("--top", "1").output
    assert "and 1 more" in answer
    assert "\nkernel=bubble" not in answer


@pytest.mark.parametrize("ending", ["csv", "html", "md"])
def test_a_file_is_written_instead(two, store, ending):
    answer = two("e", "-o", f"table.{ending}")
    assert answer.output == f"table.{ending}: 1 table(s)\n"
    assert "kernel" in (store.root.parent / f"table.{ending}").read_text(encoding="utf-8")


def test_wrong_words_are_refused_before_runs_are_read(two, store):
    answer = two("e", "-o", "table.xlsx")
    assert "ends in none of .csv, .html and .md" in str(answer.exception)
    assert two("e", "--direction", "up").exit_code == 2
    assert not list(store.root.parent.glob("table*"))


def test_nothing_is_said_of_links_where_no_tracker_knows_the_runs(two):
    assert "side by side" not in two().output


def test_the_two_best_maps_can_be_seen_where_runs_have_left_them(two, store):
    assert "dbgsom explore" not in two().output
    for folder in store.root.glob("*/*"):
        (folder / "model.npz").touch()
    (line,) = (one for one in two().output.splitlines() if "dbgsom explore" in one)
    ids = [folder.name for folder in store.root.glob("*/*")]
    words = line.split("dbgsom explore ")[1].split()
    assert len(set(words[:2])) == 2
    assert all(sum(one.endswith(word) for one in ids) == 1 for word in words[:2])


def test_maps_whose_features_may_differ_are_not_shown_beside_each_other(store, typed):
    pca = {"name": "sklearn.decomposition:PCA", "n_components": 2}
    for number, steps in enumerate(([{"name": "standardize"}], [pca])):
        store(number, {"test/accuracy": 0.9 - 0.1 * number}, config={"prepare": steps})
    for folder in store.root.glob("*/*"):
        (folder / "model.npz").touch()
    answer = typed()
    assert "PCA" in answer.output
    assert "dbgsom explore" not in answer.output
