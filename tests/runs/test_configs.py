"""Every configuration that is shipped runs, in reduced size."""

import contextlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dbgsom_core
from dbgsom_core.config import is_sweep, load_sweep
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.sweep import run_sweep

pytestmark = pytest.mark.one_version

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = [path for path in sorted(CONFIGS.glob("*.yaml")) if not is_sweep(path)]
WINES = {"first": range(1, 60), "second": range(60, 131), "third": range(131, 179)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs a configuration in reduced size, once."""

    @cache
    def run(name):
        small = {"model.epochs": 3, "tracking": [], "figures": ["label_map"]}
        if name == "dask.yaml":
            pytest.importorskip("distributed")
            small["engine.workers"] = None  # processes are slow to start
        return dbgsom_core.run(CONFIGS / name, overrides=small)

    with contextlib.chdir(tmp_path_factory.mktemp("runs")):
        X = np.random.default_rng(0).random((9000, 6), dtype=np.float32)
        np.save("big.npy", X)  # what big.yaml is about
        yield run


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_it_runs_and_its_comments_are_there(path, run):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    found = run(path.name)
    assert read_run(found.folder).status == "finished"
    assert found.measures
    assert [figure.name for figure in found.figures] == ["label_map.png"]


def test_the_wines_are_told_apart_from_rows_in_another_order(run):
    model = run("csv.yaml").model
    assert model.columns.ids == ("bottle",)
    new = pd.read_csv(CONFIGS / "wine-new.csv", sep=";", decimal=",")
    with pytest.warns(UserWarning, match="column 'tasted' .* unknown to the model, and ignored"):
        told = model.predict(new)
    number = new["bottle"].str[1:].astype(int)
    right = [one in WINES[label] for one, label in zip(number, told, strict=True)]
    assert sum(right) >= 15


def test_child_maps_and_answers_of_a_regressor_are_there(run):
    assert run("hierarchical.yaml").model.estimator.som_map_.children
    assert run("regression.yaml").measures["test/r2"] > 0


def test_the_grids_are_those_that_their_files_name(run):
    grown = run("hexagonal.yaml").model.estimator.som_map_
    assert (grown.grid.name, grown.grid.torus) == ("hexagonal", None)
    torus = run("torus.yaml").model.estimator.som_map_
    assert (torus.grid.name, torus.grid.torus) == ("hexagonal", (10, 12))


@pytest.mark.parametrize(
    ("name", "changes", "runs"),
    [
        ("sweep-growth", {"repeats": {"seeds": 1}}, 4),
        ("sweep-metrics", {"repeats": {"seeds": 2}, "grid": {"model.metric": ["cosine"]}}, 4),
        ("optimize", {"optimize": {"trials": 2}}, 2),
    ],
)
def test_sweeps_run_in_reduced_size(name, changes, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "optimize":
        pytest.importorskip("optuna")
    small = {
        "extends": str(CONFIGS / f"{name}.yaml"),
        "model": {"epochs": 2},
        "figures": [],
        "tracking": None,
        "sweep": changes,
    }
    Path("small.yaml").write_text(json.dumps(small))
    registry = get_registry()
    sweep = load_sweep("small.yaml", registry=registry)
    done = run_sweep(sweep, make_callbacks((), registry), registry)
    assert len(done.children) == runs == sweep.runs
    assert not done.failed
    assert done.rankings
