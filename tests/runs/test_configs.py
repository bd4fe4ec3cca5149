"""Every configuration that is shipped runs, in reduced size."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dbgsom_core
from dbgsom_core.config import is_sweep, load_sweep
from dbgsom_core.engine.partitioned import PartitionedSamples
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.sweep import run_sweep

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = [path for path in sorted(CONFIGS.glob("*.yaml")) if not is_sweep(path)]
WINES = {"first": range(1, 60), "second": range(60, 131), "third": range(131, 179)}


def run(name):
    small = {"model.epochs": 3, "tracking": [], "figures": ["label_map"]}
    if name == "dask.yaml":
        pytest.importorskip("distributed")
        small["engine.processes"] = False  # they are slow to start
    return dbgsom_core.run(CONFIGS / name, overrides=small)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).random((9000, 6), dtype=np.float32)
    np.save("big.npy", X)  # what big.yaml is about


def test_there_is_one_for_each_subject():
    names = {path.stem for path in RUNS}
    assert names >= {"paper-iris", "digits", "csv", "regression", "hierarchical", "novelty"}
    assert names >= {"hexagonal", "torus"}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_it_runs_and_its_comments_are_there(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=./experiment.schema.json\n# ")
    found = run(path.name)
    assert read_run(found.folder).status == "finished"
    assert found.measures
    assert [figure.name for figure in found.figures] == ["label_map.png"]


def test_the_wines_are_told_apart_from_rows_in_another_order():
    model = run("csv.yaml").model
    assert model.columns.ids == ("bottle",)
    new = pd.read_csv(CONFIGS / "wine-new.csv", sep=";", decimal=",")
    with pytest.warns(UserWarning, match="'tasted' of the table is unknown"):
        told = model.predict(new)
    number = new["bottle"].str[1:].astype(int)
    right = [one in WINES[label] for one, label in zip(number, told, strict=True)]
    assert sum(right) >= 15


def test_the_table_of_wines_is_that_of_scikit_learn():
    from sklearn.datasets import load_wine

    wine = load_wine(as_frame=True)
    parts = [
        pd.read_csv(CONFIGS / name, sep=";", decimal=",") for name in ("wine.csv", "wine-new.csv")
    ]
    table = pd.concat(parts).set_index("bottle").sort_index()
    table = table.rename(columns={"od280_od315": "od280/od315_of_diluted_wines"})
    theirs = wine.data.set_index(table.index)
    given = table[list(theirs)].astype(float)
    assert given.isna().sum().sum() == 12  # to show what becomes of them
    assert (given.isna() | (given == theirs)).all(axis=None)


def test_child_maps_and_answers_of_a_regressor_are_there():
    assert run("hierarchical.yaml").model.estimator.som_map_.children
    assert run("regression.yaml").measures["test/r2"] > 0


def test_the_grids_are_those_that_their_files_name():
    grown = run("hexagonal.yaml").model.estimator.som_map_
    assert (grown.grid.name, grown.grid.torus) == ("hexagonal", None)
    torus = run("torus.yaml").model.estimator.som_map_
    assert (torus.grid.name, torus.grid.torus) == ("hexagonal", (10, 12))


def test_a_mapped_file_is_trained_on_where_it_lies(monkeypatch):
    searched = []
    monkeypatch.setattr(
        PartitionedSamples,
        "search",
        lambda data, made=PartitionedSamples.search: searched.append(data) or made(data),
    )
    small = {"model.epochs": 3}
    in_blocks = {**small, "engine.block": 0.03}
    mapped = dbgsom_core.run(CONFIGS / "big.yaml", overrides=in_blocks)
    assert len(searched) == 1
    in_memory = {**small, "dataset.mapped": False, "engine": "local"}
    held = dbgsom_core.run(CONFIGS / "big.yaml", overrides=in_memory)
    assert len(searched) == 1
    np.testing.assert_array_equal(mapped.model.estimator.weights_, held.model.estimator.weights_)
    assert mapped.measures == held.measures


@pytest.mark.parametrize(
    ("name", "changes", "runs"),
    [
        ("sweep-growth", {"repeats": {"seeds": 1}}, 4),
        ("sweep-metrics", {"repeats": {"seeds": 2}, "grid": {"model.metric": ["cosine"]}}, 4),
        ("optimize", {"optimize": {"trials": 2}}, 2),
    ],
)
def test_sweeps_run_in_reduced_size(name, changes, runs):
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
    assert done.result.rankings
