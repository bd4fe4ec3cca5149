"""Runs and predictions by the groups that a person named."""

import json

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import run

NAMES = ["large, red", "small"]


@pytest.fixture
def iris_csv(tmp_path, iris):
    folder = tmp_path / "study"
    folder.mkdir()
    pd.DataFrame(iris[0], columns=list("abcd")).to_csv(folder / "iris.csv", index=False)
    (folder / "plain.yaml").write_text(
        "experiment: plain\ndataset: {name: csv, path: iris.csv}\nprepare: standardize\n"
        "model: {epochs: 5, max_neurons: 20}\nfigures: []\nmeasures: []\ntracking: []\n"
    )
    (folder / "named.yaml").write_text(
        "extends: plain.yaml\nexperiment: named\n"
        "model:\n  labeller: {name: clusters, edited: groups.json}\n"
    )
    return folder


def write_groups(path, weights):
    content = {"format": "dbgsom groups", "version": 1, "title": "", "groups": NAMES}
    content |= {"neurons": (weights[:, 2] < 0).astype(int).tolist()}
    content |= {"prototypes": weights.tolist()}
    path.write_text(json.dumps(content))


def test_tables_of_a_run_and_answers_to_a_file_have_the_names(
    iris_csv, tmp_path, monkeypatch, called
):
    monkeypatch.chdir(tmp_path)
    plain = run(iris_csv / "plain.yaml")
    model = plain.model.estimator
    write_groups(iris_csv / "groups.json", model.weights_)
    done = run(iris_csv / "named.yaml")  # trains the same map
    assignments = pd.read_csv(done.folder / "assignments.csv")
    units = model.bmu(plain.model.prepare(pd.read_csv(iris_csv / "iris.csv")))
    expected = np.where(model.weights_[units, 2] < 0, NAMES[1], NAMES[0])
    assert assignments["label"].tolist() == expected.tolist()
    profile = pd.read_csv(done.folder / "clusters.csv")
    assert profile["cluster"].tolist() == NAMES
    assert profile["rows"].tolist() == [np.sum(expected == name) for name in NAMES]
    assert NAMES[0] in (done.folder / "report.md").read_text()
    words = ("predict", "plain", "study/iris.csv", "--groups", "study/groups.json", "-o", "out.csv")
    answer = called(tmp_path, *words)
    assert answer.code == 0, answer.err
    assert pd.read_csv("out.csv")["label"].tolist() == expected.tolist()


def test_files_that_cannot_be_used_are_refused_where_they_are_named(
    iris_csv, tmp_path, monkeypatch, called
):
    monkeypatch.chdir(tmp_path)
    missing = called(tmp_path, "validate", "study/named.yaml")
    assert missing.code == 2
    assert "named.yaml:4:13: model.labeller: groups.json cannot be read" in missing.err
    (iris_csv / "groups.json").write_text("{}")
    wrong = called(tmp_path, "validate", "study/named.yaml")
    assert "groups.json: format is required" in wrong.err
    write_groups(iris_csv / "groups.json", np.ones((2, 4)))
    assert called(tmp_path, "validate", "study/named.yaml").code == 0


def test_a_model_that_answers_with_classes_takes_no_groups(tmp_path, monkeypatch, called):
    monkeypatch.chdir(tmp_path)
    quick = {"estimator": "classifier", "epochs": 2, "max_neurons": 4}
    config = {"experiment": "classes", "dataset": "iris", "model": quick, "figures": []}
    run({**config, "measures": [], "tracking": []})
    answer = called(tmp_path, "predict", "classes", "x.csv", "--groups", "groups.json")
    assert answer.code == 2
    assert "--groups names clusters, and run" in answer.err
