"""What goes wrong is told without what the environment held."""

import logging
import sys
import threading
import traceback

import pytest

# What is wrong with a configuration, which variable says so, and what must not be told.
WRONG = {
    "a mistyped dataset": ("dataset: ${env:T}", "irris", ["'iris'"]),
    "a mistyped metric": ("model: {metric: '${env:T}'}", "euclidian", ["euclidean'?"]),
    "a mistyped growth": ("model: {growth: {name: '${env:T}'}}", "directd", ["'directed'?"]),
    "a mistyped estimator": ("model: {estimator: '${env:T}'}", "clasifier", ["'classifier'?"]),
    "a mistyped measure": ("measures: ['${env:T}']", "accurracy", ["'accuracy'"]),
    "a mistyped figure": ("figures: ['${env:T}']", "lable_map", ["'label_map'"]),
    "a mistyped step": ("prepare: ['${env:T}']", "standardise", ["'standardize'"]),
    "a short name": ("dataset: ${env:T}", "a1b", []),
    "a class that is not there": ("prepare: ['${env:T}']", "json:HunterOfAlice", []),
    "a wrong param": (
        "prepare: {name: sklearn.impute:SimpleImputer, strategy: '${env:T}'}",
        "hunter-12",
        [],
    ),
    "a table that is missing": ("dataset: {name: csv, path: '${env:T}'}", "at/alice/t.csv", []),
    "its name alone": (
        "dataset: {name: csv, path: '${env:T}'}",
        "at/alice/long-name.csv",
        ["long-name.csv"],
    ),
    "a folder": ("dataset: {name: csv, path: '${env:T}'}", "folder-of-alice", []),
    "a column": (
        "dataset: {name: csv, path: t.csv, target: '${env:T}'}",
        "class-of-alicia",
        ["did you mean"],
    ),
    "a store in a folder": ("tracking: {name: mlflow, uri: '${env:T}'}", "folder-of-alice", []),
    "a store that is none": (
        "tracking: {name: mlflow, uri: '${env:T}'}",
        "sqlite:///folder-of-alice/t.csv",
        ["folder-of-alice/t.csv"],
    ),
    "a server that is away": (
        "tracking: {name: mlflow, uri: '${env:T}'}",
        "http://alice:hun/ter2@127.0.0.1:9/path-of-alice?token=tokenofalice",
        ["hun/ter2", "ter2", "path-of-alice", "tokenofalice"],
    ),
    "runs in a file": (
        "tracking: {name: run_folder, path: '${env:T}'}",
        "folder-of-alice/t.csv",
        [],
    ),
    "parts that do not fit": ("model: {max_neurons: '${env:T}', growth: fixed}", "4321", []),
    "a run folder": ("tracking: {name: run_folder, path: '${env:T}'}", "runs-of-alice", []),
    "many lines": (
        "tags: {who: '${env:T}'}",
        "first-line-of-alice\nsecond-line-of-alice",
        ["second-line"],
    ),
    "letters of others": ("name: '${env:T}'", "h\u00fcnter-\u00e4lice", ["h\\u00fcnter"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_without_the_value(
    tmp_path, monkeypatch, case, table, dbgsom, written, leaks, small
):
    changed, held, also = WRONG[case]
    monkeypatch.setenv("T", held)
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "folder-of-alice").mkdir()
    (tmp_path / "folder-of-alice" / "t.csv").write_text(table)
    given = [line for line in small.splitlines() if line.partition(":")[0] not in changed]
    (tmp_path / "c.yaml").write_text("\n".join([*given, changed]) + "\n")
    _, said = dbgsom(tmp_path, "run", "c.yaml")
    places = written(tmp_path, but=("c.yaml",)) | {"said": said}
    assert "${env:T}" in "".join(places.values()), said
    assert [leaks(places, one) for one in (held, *also)] == [[]] * (1 + len(also)), said


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_run_that_fails_shows_references(
    made, secret, telling, tmp_path, monkeypatch, error, written, leaks, run_of
):
    def failing(*given):
        try:
            raise error(2, "no file", f"/at/{secret}/x") if error is OSError else error(secret)
        except error as cause:
            raise RuntimeError(f"lost {secret}") from cause

    monkeypatch.setattr("dbgsom_core.runs.pipeline._fit_and_evaluate", failing)
    with pytest.raises(RuntimeError) as ended:
        run_of(made, telling)
    assert str(ended.value) == str(telling.error) == "lost ${env:T}"
    told = "".join(traceback.format_exception(ended.value))
    assert "${env:T}" in str(ended.value.__cause__)
    assert not leaks(written(tmp_path) | {"traceback": told}, secret)


@pytest.mark.parametrize("debug", ["", "1"])
def test_whoever_prints_in_a_command_shows_references(
    secret, tmp_path, monkeypatch, debug, dbgsom, small
):
    def failing(*given):
        print(f"printed {secret}")
        aside = threading.Thread(target=lambda: sys.stderr.write(f"written {secret}"))
        aside.start()
        aside.join()
        logging.getLogger("dbgsom.third").warning("logged %s", secret)
        raise RuntimeError(f"raised {secret}")

    monkeypatch.setenv("DBGSOM_DEBUG", debug)
    monkeypatch.setattr("dbgsom_core.runs.pipeline._fit_and_evaluate", failing)
    (tmp_path / "c.yaml").write_text(small + "name: ${env:T}\n")
    code, said = dbgsom(tmp_path, "run", "c.yaml")
    assert code == 1
    assert [
        f"{word} ${{env:T}}" in said for word in ("printed", "written", "logged", "raised")
    ] == ([True] * 4)
    assert secret not in said
    assert ("Traceback" in said) == bool(debug)
