"""References to the environment: filled when loading, never written down."""

import pytest

from dbgsom_core.config import dump_yaml, load_experiment

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("0o10", 8), ("010", 10)])
def test_a_whole_value_is_read_as_a_scalar(bench, small, monkeypatch, text, value):
    monkeypatch.setenv("SOM_SEED", text)
    assert bench.load(small + "seed: ${env:SOM_SEED}\n").seed == value
    assert bench.load(small + 'seed: "${env:SOM_SEED}"\n').seed == value


@pytest.mark.parametrize("text", ["0042", "1e5", "true", "null", "a: b", "[1"])
def test_text_stays_text_where_text_is_wanted(bench, monkeypatch, text):
    monkeypatch.setenv("SOM_WORD", text)
    config = "experiment: e\ndataset: {name: toy, word: '${env:SOM_WORD}'}\n"
    assert bench.load(config).dataset.word == text
    if text != "null":  # which stands for nothing where that may stand
        config += "split: {name: GroupKFold, groups: '${env:SOM_WORD}'}\n"
        assert bench.load(config).split.groups == text


@pytest.mark.parametrize("held", [None, ""])
def test_a_default_holds_where_the_variable_is_unset_or_empty(bench, small, monkeypatch, held):
    monkeypatch.delenv("SOM_SEED", raising=False)
    if held is not None:
        monkeypatch.setenv("SOM_SEED", held)
    assert bench.load(small + "seed: ${env:SOM_SEED:-9}\n").seed == 9


def test_names_keys_in_lists_and_free_parameters_are_filled(bench, monkeypatch):
    monkeypatch.setenv("SOM_NAME", "toy")
    monkeypatch.setenv("SOM_STEP", "standardize")
    made = bench.load(
        "experiment: e\ndataset: ${env:SOM_NAME}\n"
        "prepare: ['${env:SOM_STEP}', {name: range_scale, q: '${env:SOM_STEP}'}]\n"
    )
    assert made.dataset_name == "toy"
    assert made.prepare[0].name == "standardize"
    assert made.prepare[1].params == {"q": "standardize"}
    assert made.resolved["dataset"]["name"] == "${env:SOM_NAME}"
    assert made.resolved["prepare"] == [
        {"name": "${env:SOM_STEP}"},
        {"name": "range_scale", "q": "${env:SOM_STEP}"},
    ]


def test_an_unset_variable_is_one_problem_among_the_others(bench, monkeypatch):
    monkeypatch.delenv("SOM_SEED", raising=False)
    text = "experiment: e\ndataset: ${env:SOM_SEED}\nseed: ${env:SOM_SEED}\nmodel: {epochs: 0}\n"
    assert bench.problems(text) == [
        "run.yaml:2:10: dataset: the environment variable SOM_SEED is not set",
        "run.yaml:3:7: seed: the environment variable SOM_SEED is not set",
        "run.yaml:4:17: model.epochs: must be at least 1, not 0",
    ]


@pytest.mark.parametrize("text", ["${env:}", "${env:A", "${env:A-b}"])
def test_a_broken_reference_is_told(bench, small, text):
    assert bench.problem(small + f"name: '{text}'\n") == (
        "run.yaml:3:7: name: holds a broken reference; write ${env:NAME} or ${env:NAME:-default}"
    )


def test_a_secret_is_never_written_down(bench, monkeypatch):
    monkeypatch.setenv("SOM_TOKEN", SECRET)
    made = bench.load(
        "experiment: e\n"
        "dataset: {name: toy, token: '${env:SOM_TOKEN}', word: 'x ${env:SOM_TOKEN}'}\n"
        "tracking: [{name: mlflow, uri: 'http://u:${env:SOM_TOKEN}@h'}]\n"
    )
    assert made.dataset.token == SECRET
    assert SECRET not in dump_yaml(made.resolved)
    assert made.resolved["dataset"]["token"] == "${env:SOM_TOKEN}"
    assert made.resolved["tracking"][0]["uri"] == "http://u:${env:SOM_TOKEN}@h"
    assert load_experiment(made.resolved, registry=bench.registry).resolved == made.resolved


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "{name: toy, flag: '${env:SOM_TOKEN}'}",
            "dataset.flag: must be true or false, not '${env:SOM_TOKEN}'",
        ),
        ("'${env:SOM_TOKEN}'", "dataset: ${env:SOM_TOKEN} holds nothing that can stand here"),
    ],
)
def test_what_the_environment_holds_is_no_part_of_a_problem(bench, monkeypatch, section, message):
    monkeypatch.setenv("SOM_TOKEN", SECRET)
    line = bench.problem(f"experiment: e\ndataset: {section}\n")
    assert SECRET not in line
    assert line.endswith(message)
