"""Experiments written down and read again, and made from Python values."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core.config import dump_yaml, load_experiment, parse_experiment
from dbgsom_core.errors import ConfigError

WHOLE = st.integers(-(2**63), 2**63 - 1)  # larger ones are refused


def test_resolved_holds_everything_with_names_first(bench, small):
    resolved = bench.load(small + "model: {growth: grow}\n").resolved
    assert list(resolved) == [
        "experiment",
        "name",
        "dataset",
        "prepare",
        "split",
        "model",
        "seed",
        "patience",
        "measures",
        "figures",
        "tracking",
        "engine",
    ]
    assert resolved["engine"] == {
        "name": "local",
        "threads": None,
        "chunk_rows": 4096,
        "working_memory": None,
        "memory": None,
    }
    assert resolved["measures"] == "default"
    assert resolved["model"]["growth"] == {
        "name": "grow",
        "spreading_factor": 0.5,
        "rule": "auto",
        "max_neurons": "auto",
    }
    assert next(iter(resolved["model"]["growth"])) == "name"


def test_resolved_leaves_out_defaults_that_would_be_refused_when_given(bench, small):
    made = bench.load(small + "model: {growth: {name: grow, rule: entropy}}\n")
    growth = made.resolved["model"]["growth"]
    assert growth == {"name": "grow", "rule": "entropy", "max_neurons": "auto"}
    assert parse_experiment(made.resolved, bench.registry).resolved == made.resolved


def test_resolved_leaves_to_the_estimator_what_it_fills(bench, small):
    made = bench.load(small + "model: {growth: grow, spreading_factor: 0.2, max_neurons: 9}\n")
    assert made.resolved["model"]["growth"] == {"name": "grow", "rule": "auto"}


def test_resolved_loads_again_to_an_equal_experiment(bench, small, full):
    for text in (full, small, small + "split: {folds: 3}\ntracking: null\nmeasures: []\n"):
        made = bench.load(text)
        again = load_experiment(
            bench.write(dump_yaml(made.resolved), "again.yaml"), registry=bench.registry
        )
        assert again.resolved == made.resolved
        assert replace(again, model=made.model) == made
        assert again.model.params.items() >= made.model.params.items()
        assert parse_experiment(made.resolved, bench.registry) == again


@given(
    word=st.text(st.characters(exclude_categories=["Cs"])).filter(
        lambda text: "${env:" not in text
    ),
    power=st.floats(min_value=1, allow_nan=False, allow_infinity=False),
    columns=st.lists(WHOLE, max_size=3),
    drop=st.lists(WHOLE | st.sampled_from(["1", "1e3", "no", "~", ""]), max_size=3),
    seed=st.integers(0, 2**32 - 1),
    cap=st.none() | st.just("auto") | st.integers(4, 10**6),
)
def test_any_values_survive_being_written_down(
    registry, tmp_path_factory, word, power, columns, drop, seed, cap
):
    values = {
        "experiment": "e",
        "name": word if word.isprintable() else None,
        "dataset": {"name": "toy", "word": word, "columns": columns, "drop": drop},
        "model": {"metric": {"name": "power", "p": power}, "max_neurons": cap},
        "seed": seed,
    }
    made = parse_experiment(values, registry)
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(dump_yaml(made.resolved), encoding="utf-8")
    again = load_experiment(file, registry=registry)
    assert again.resolved == made.resolved
    assert replace(again, model=made.model) == made


def test_python_values_may_be_numpy_numbers_tuples_and_paths(registry):
    made = parse_experiment(
        {
            "experiment": "e",
            "dataset": {"name": "toy", "path": Path("a") / "b", "columns": (np.int64(1), 2)},
            "seed": np.int32(5),
        },
        registry,
    )
    assert (made.seed, made.dataset.columns, made.dataset.path) == (5, (1, 2), Path("a/b"))
    assert (made.source, made.folder) == ("<python>", Path.cwd())


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "experiment: is required\ndataset: is required"),
        ([], "a configuration is a mapping of keys to values"),
        ({"seed": "x"}, "seed: must be an integer, not the text 'x'"),
        ({"seed": {1}}, "seed: must be a plain value, a list or a mapping, not of the type set"),
        (
            {"dataset": np.eye(2)},
            "dataset: must be a plain value, a list or a mapping, not of the type ndarray; "
            "what a table holds is read from a csv, parquet, npy or npz file",
        ),
        ({3: 1}, "keys must be text, not 3"),
        ({"extends": "a.yaml"}, "extends: can only be written in a file"),
        ({"sweep": {}}, "sweep: this describes several runs; use sweep()"),
    ],
)
def test_problems_of_python_values_have_no_place(registry, values, line):
    if isinstance(values, dict) and values:
        values = {"experiment": "e", "dataset": "toy", **values}
    with pytest.raises(ConfigError) as caught:
        parse_experiment(values, registry)
    assert line in str(caught.value)
    assert not str(caught.value).startswith(":")


def test_a_mapping_in_itself_is_refused(registry):
    values = {"experiment": "e", "dataset": "toy"}
    values["model"] = values
    with pytest.raises(ConfigError, match="nested deeper than 50 levels"):
        parse_experiment(values, registry)


@pytest.mark.parametrize("module", ["dbgsom_core.config", "dbgsom_core.api", "dbgsom_plugins"])
def test_importing_what_finds_and_reads_is_cheap(module):
    heavy = "numba sklearn matplotlib mlflow scipy pandas numpy"
    code = (
        f"import sys, {module}; print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
