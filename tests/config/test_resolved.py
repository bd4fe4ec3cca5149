"""Experiments written down and read again, and made from Python values."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dbgsom_core.config import dump_yaml, load_experiment
from dbgsom_core.config.schema import DEFAULT_NAMES, ESTIMATOR_OF, ModelSettings
from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.plugins.registry import Registry


@pytest.fixture(scope="module")
def built_ins():
    return Registry.discover(own_only=True)


@pytest.mark.parametrize("estimator", ["vq", "classifier"])
@pytest.mark.parametrize("growth", ["directed", "hierarchical"])
def test_resolved_names_every_default_of_the_model(built_ins, estimator, growth, monkeypatch):
    values = {"experiment": "e", "dataset": "iris", "model": {"estimator": estimator}}
    if growth != "directed":
        values["model"]["growth"] = growth
    made = load_experiment(values, registry=built_ins)
    model = made.resolved["model"]
    others = {key for key, suited in ESTIMATOR_OF.items() if suited != estimator}
    assert set(model) == set(ModelSettings.model_fields) - others
    for key, kind in nested_fields(ModelSettings).items():
        if isinstance(section := model[key], dict):
            cls = built_ins.find(kind, section["name"])
            assert set(section) == {"name", *cls.model_fields}, key
    # a later version with other defaults makes the same map of it
    monkeypatch.setattr(ModelSettings.model_fields["contamination"], "default", 0.5)
    monkeypatch.setitem(DEFAULT_NAMES, "kernel", "bubble")
    again = load_experiment(made.resolved, registry=built_ins)
    assert again.resolved == made.resolved
    assert {*again.model.params["kernel"].model_fields_set} == {"start", "end", "decay"}
    assert again.model.params["contamination"] == 0.05


def test_resolved_leaves_out_defaults_that_would_be_refused_when_given(bench, small):
    made = bench.load(small + "model: {growth: {name: grow, rule: entropy}}\n")
    growth = made.resolved["model"]["growth"]
    assert growth == {"name": "grow", "rule": "entropy", "max_neurons": "auto"}
    assert load_experiment(made.resolved, registry=bench.registry).resolved == made.resolved


def test_resolved_loads_again_to_an_equal_experiment(bench, small, full):
    for text in (full, small, small + "split: {folds: 3}\ntracking: null\nmeasures: []\n"):
        made = bench.load(text)
        again = load_experiment(
            bench.write(dump_yaml(made.resolved), "again.yaml"), registry=bench.registry
        )
        assert again.resolved == made.resolved
        assert replace(again, model=made.model) == made
        assert again.model.params.items() >= made.model.params.items()
        assert load_experiment(made.resolved, registry=bench.registry) == again


def test_python_values_may_be_numpy_numbers_tuples_and_paths(registry):
    made = load_experiment(
        {
            "experiment": "e",
            "dataset": {"name": "toy", "path": Path("a") / "b", "columns": (np.int64(1), 2)},
            "seed": np.int32(5),
        },
        registry=registry,
    )
    assert (made.seed, made.dataset.columns, made.dataset.path) == (5, (1, 2), Path("a/b"))
    assert made.folder == Path.cwd()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "experiment: is required\ndataset: is required"),
        ({"seed": "x"}, "seed: must be an integer, not 'x'"),
        ({"seed": {1}}, "a configuration holds texts, numbers, lists and mappings, and no set"),
        (
            {"dataset": np.eye(2)},
            "and no ndarray of float64, shape (2, 2); what a table holds is read from a csv",
        ),
        ({"sweep": {}}, "sweep: describes several runs; use 'dbgsom sweep' or sweep()"),
    ],
)
def test_problems_of_python_values_have_no_place(registry, values, line):
    if isinstance(values, dict) and values:
        values = {"experiment": "e", "dataset": "toy", **values}
    with pytest.raises(ConfigError) as caught:
        load_experiment(values, registry=registry)
    assert line in str(caught.value)
    assert not str(caught.value).startswith(":")


@pytest.mark.parametrize(
    "module", ["dbgsom_core", "dbgsom_core.config", "dbgsom_core.api", "dbgsom_plugins"]
)
def test_importing_what_finds_and_reads_is_cheap(module):
    heavy = "numba sklearn matplotlib mlflow scipy pandas numpy"
    code = (
        f"import sys, {module}; print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
