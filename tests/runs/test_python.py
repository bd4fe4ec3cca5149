"""Runs and sweeps called from Python."""

import glob
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import yaml

import dbgsom_core
from dbgsom_core import persistence
from dbgsom_core.api import Data, DatasetComponent
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.runs.data import load_data
from dbgsom_core.runs.folder import read_run

SMALL = {
    "experiment": "in python",
    "dataset": "iris",
    "prepare": ["standardize"],
    "split": {"test_size": 0.3},
    "model": {"estimator": "classifier", "epochs": 5},
    "figures": ["label_map"],
    "measures": ["accuracy", "quantization_error"],
    "tracking": [],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(SMALL))
    return tmp_path


def test_a_run_returns_what_it_left(folder, iris):
    found = dbgsom_core.run("run.yaml", overrides={"model.epochs": 7, "seed": 3})
    stored = read_run(found.folder)
    assert stored.status == "finished"
    assert found.measures == dict(stored.measures)
    assert stored.config["model"]["epochs"] == 7
    assert (found.id, found.experiment) == (stored.id, "in python")
    again = persistence.load(found.folder / "model.npz")
    np.testing.assert_array_equal(found.model.predict(iris[0]), again.predict(iris[0]))
    assert [path.name for path in found.figures] == ["label_map.png"]
    table = found.to_frame()
    assert table.loc["accuracy", "test"] == found.measures["test/accuracy"]
    assert "accuracy" in repr(found)


def test_plain_values_are_a_configuration(folder):
    values = {**SMALL, "name": "mine"}
    found = dbgsom_core.run(values, overrides=["model.epochs=3"])
    assert read_run(found.folder).config["model"]["epochs"] == 3
    with pytest.raises(ConfigError, match=r"model\.epochs: must be an integer"):
        dbgsom_core.run(values, overrides={"model.epochs": "many"})


def test_a_sweep_returns_its_runs(folder):
    varied = {**SMALL, "sweep": {"grid": {"model.epochs": [2, 6], "seed": [1, 2]}}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(varied))
    found = dbgsom_core.sweep("sweep.yaml")
    assert len(found) == 4
    assert not found.failed
    table = found.to_frame()
    assert list(table["epochs"]) == [2, 2, 6, 6]
    assert list(table["seed"]) == [1, 2, 1, 2]
    means = table.groupby("epochs")["test/accuracy"].mean()
    assert means[found.best.params["epochs"]] == pytest.approx(means.max())
    assert found.measures["best/test/accuracy"] == pytest.approx(means.max())
    assert found[0].model.predict(np.zeros((1, 4))).shape == (1,)
    with pytest.raises(ConfigError, match=r"several runs; use .* or sweep\(\)"):
        dbgsom_core.run(varied)


class Several(DatasetComponent):
    """Tables of one column, one after the other."""

    file_fields: ClassVar[tuple[str, ...]] = ("files", "more")
    files: tuple[str, ...] = ()
    more: str | None = None

    def load(self):
        paths = [*sorted(glob.glob(self.files[0])), *self.files[1:], self.more]  # noqa: PTH207
        return Data(np.concatenate([np.loadtxt(path, ndmin=2) for path in paths]))


def test_files_of_a_data_set_are_also_sought_beside_the_configuration(tmp_path, monkeypatch):
    rng, folder = np.random.default_rng(0), tmp_path / "study"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("study/a1", "study/a2", "here", "study/more"):
        np.savetxt(f"{name}.txt", rng.normal(size=(10, 2)))
    section = Several(files=("a*.txt", "here.txt"), more="more.txt")
    experiment = load_experiment({"experiment": "e", "dataset": "iris", "tracking": []})
    data = load_data(replace(experiment, folder=folder, dataset=section))
    assert data.X.shape == (40, 2)


def test_later_runs_are_named_by_what_differs_from_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual = {"experiment": "named", "dataset": "iris", "figures": [], "measures": None}
    usual |= {"model": {"epochs": 2}, "tracking": ["run_folder"]}
    first = dbgsom_core.run(usual)
    assert first.name == "iris: directed SF 0.5, gaussian, euclidean"
    other = {**usual, "model": {"epochs": 2, "kernel": "bubble"}, "prepare": ["standardize"]}
    assert dbgsom_core.run(other).name == "iris: prepare=standardize, kernel=bubble"
    assert dbgsom_core.run(usual).name == first.name
    assert dbgsom_core.run({**other, "name": "mine"}).name == "mine"
