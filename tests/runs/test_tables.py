"""Runs on tables: what is refused before they begin, and what they leave behind."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from dbgsom_core import persistence
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import DataError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.pipeline import run_experiment


@pytest.fixture
def survey(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    place = np.repeat(["North", "South"], 20)
    frame = pd.DataFrame(
        {
            "nr": [f"p{i:02d}" for i in range(40)],
            "size": np.where(place == "North", 0, 9) + rng.normal(size=40).round(3),
            "place": place,
            "children": rng.integers(0, 4, 40),
            "glad": np.where(place == "North", "yes", "no"),
        }
    )
    frame.to_csv("survey.csv", index=False)
    return frame


def run(dataset=(), **sections):
    given = {
        "experiment": "tables",
        "dataset": {
            "name": "csv",
            "path": "survey.csv",
            "id": "nr",
            "target": "glad",
            "categorical": ["place"],
            **dict(dataset),
        },
        "model": {"estimator": "classifier", "epochs": 5, "max_neurons": 9},
        "figures": None,
        "tracking": None,
        **sections,
    }
    with Path("run.yaml").open("w") as file:
        yaml.safe_dump(given, file)
    experiment = load_experiment("run.yaml", ())
    return run_experiment(
        experiment, make_callbacks(experiment.tracking, get_registry()), get_registry()
    )


def test_the_model_of_a_run_reads_rows_of_its_file_by_name(survey):
    outcome = run(prepare=["standardize"])
    model = persistence.load(outcome.run.folder / "model.npz")
    assert model.predict(survey).tolist() == survey["glad"].tolist()
    rows = survey[["place", "size", "children"]].iloc[::-3].astype({"children": "float32"})
    assert model.predict(rows).tolist() == survey["glad"].iloc[::-3].tolist()
    with pytest.raises(DataError, match="lacks column 'place'"):
        model.predict(survey[["size", "children"]])


def test_samples_without_a_class_train_and_are_not_judged(survey):
    survey["glad"] = survey["glad"].mask(survey.index % 4 == 0)
    survey.to_csv("survey.csv", index=False)
    with pytest.raises(DataError, match="line 2, column 'glad': the value is missing"):
        run()
    split = {"test_size": 0.25, "stratify": True}
    outcome = run({"missing_target": "unlabelled"}, split=split, prepare=["standardize"])
    assert outcome.result.measures["test/accuracy"] == 1
    assert outcome.run.data["classes"] == 2
    outcome = run(
        {"missing_target": "unlabelled"}, model={"estimator": "vq", "epochs": 5, "tol": 0}
    )
    assert outcome.result.measures["train/purity"] == 1
    assert outcome.result.notes == []


def test_gaps_that_a_step_fills_are_fine_for_any_metric(survey):
    survey.loc[3, "size"] = np.nan
    survey.to_csv("survey.csv", index=False)
    filled = run(
        {"missing": "keep"},
        prepare=["sklearn.impute:SimpleImputer"],
        model={"estimator": "classifier", "metric": "cosine", "epochs": 3},
    )
    assert np.isfinite(filled.result.measures["train/quantization_error"])


def test_all_that_is_wrong_with_arrays_is_told_before_a_folder_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.arange(30.0).reshape(10, 3)
    X[:, 1] = X[4] = np.nan
    np.save("x.npy", X)
    dataset = {"name": "npy", "path": "x.npy", "missing": "keep"}
    with Path("run.yaml").open("w") as file:
        yaml.safe_dump({"experiment": "x", "dataset": dataset, "tracking": None}, file)
    experiment = load_experiment("run.yaml", ())
    with pytest.raises(DataError) as caught:
        run_experiment(experiment, make_callbacks((), get_registry()), get_registry())
    assert str(caught.value).splitlines() == [
        "data set 'x.npy' has columns without any value: 1: drop them",
        "data set 'x.npy' has rows without any value (from 0): 4: drop them",
    ]
    assert not (tmp_path / "runs").exists()


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_sample_and_each_neuron_stands_in_a_table(survey):
    outcome = run({"columns": ["size", "children"], "categorical": []}, prepare=["standardize"])
    model, folder = outcome.result.model, outcome.run.folder
    assigned, neurons = rows(folder / "assignments.csv"), rows(folder / "neurons.csv")
    assert list(assigned[0]) == ["nr", "unit", "x", "y", "label", "distance", "novelty"]
    assert [row["nr"] for row in assigned] == survey["nr"].tolist()
    assert [row["label"] for row in assigned] == model.predict(survey).tolist()
    scores = model.score_samples(survey)
    assert [float(row["novelty"]) for row in assigned] == scores.tolist()
    for row in assigned:
        neuron = neurons[int(row["unit"])]
        assert (neuron["x"], neuron["y"]) == (row["x"], row["y"])
    assert list(neurons[0])[-5:] == ["hits", "error", "label", "size", "children"]
    assert sum(float(row["hits"]) for row in neurons) == 40
    total = sum(float(row["distance"]) for row in assigned)
    assert sum(float(row["error"]) for row in neurons) == pytest.approx(total)
    sizes = [float(row["size"]) for row in neurons]
    raw = model.steps[0][1].inverse_transform(model.estimator.weights_)
    assert sizes == pytest.approx(raw[:, 0].tolist(), abs=1e-11)


def test_prototypes_that_a_step_hides_are_left_out_and_rows_are_counted(survey):
    prepare = [{"name": "sklearn.decomposition:PCA", "n_components": 2}]
    outcome = run({"id": [], "drop": ["nr"]}, prepare=prepare)
    assert list(next(outcome.result.tables["assignments"]()))[:2] == ["row", "unit"]
    assert list(rows(outcome.run.folder / "neurons.csv")[0])[-1] == "label"
    assigned = rows(outcome.run.folder / "assignments.csv")
    assert [row["row"] for row in assigned] == [str(i) for i in range(40)]


def test_neurons_of_child_maps_stand_there_with_their_way(survey):
    growth = {
        "name": "hierarchical",
        "tau_2": 0.01,
        "base": {"name": "fixed", "rows": 2, "columns": 2},
    }
    outcome = run(model={"growth": growth, "epochs": 5})
    tree = outcome.result.model.estimator._tree
    assert tree.depth > 1
    neurons = rows(outcome.run.folder / "neurons.csv")
    ways = [row["path"] for row in neurons]
    assert len(set(ways)) == len(tree)
    assert {row["path"] for row in rows(outcome.run.folder / "assignments.csv")} <= set(ways)
