"""What runs leave on demand: tables, models of epochs, stability, what observers log."""

import csv
import resource
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_wine, make_blobs

import dbgsom_core
from dbgsom_core import persistence
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import DataError
from dbgsom_core.experiments.trackers import JournalLine, Run, append_line, read_journal
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.folder import RunFiles, find_runs, read_run
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.session import make_callbacks


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


def test_samples_without_a_class_train_and_are_not_judged(survey):
    survey["glad"] = survey["glad"].mask(survey.index % 4 == 0)
    survey.to_csv("survey.csv", index=False)
    with pytest.raises(DataError, match="line 2, column 'glad': the value is missing"):
        run()
    split = {"test_size": 0.25, "stratify": True}
    outcome = run({"missing_target": "unlabelled"}, split=split, prepare=["standardize"])
    assert outcome.measures["test/accuracy"] == 1
    assert outcome.run.data["classes"] == 2
    outcome = run(
        {"missing_target": "unlabelled"}, model={"estimator": "vq", "epochs": 5, "tol": 0}
    )
    assert outcome.measures["train/purity"] == 1
    assert outcome.notes == []


@pytest.mark.parametrize("estimator", ["classifier", "vq"])
def test_the_test_part_is_judged_by_the_training_part(estimator, tmp_path, monkeypatch):
    """With classes by lot no map is better than chance, however many neurons it has."""
    monkeypatch.chdir(tmp_path)
    wine = load_wine(as_frame=True).frame
    wine["target"] = np.random.default_rng(0).permutation(wine["target"])
    config = dbgsom_core.init(wine, "target", task=estimator)
    named = {"measures": ["purity", "entropy", "distortion"], "figures": None, "tracking": []}
    outcome = dbgsom_core.run({**config, **named, "split": {"folds": 5}}, data=wine)
    measures = outcome.measures
    assert measures["train/purity"] > 0.5
    assert measures["test/purity"] < 0.47
    assert abs(measures["test/purity"] - measures["test/purity_shuffled"]) < 0.15
    assert {"train/entropy", "train/distortion"} <= {*measures}
    assert not {"test/entropy", "test/distortion", "train/purity_shuffled"} & {*measures}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_sample_and_each_neuron_stands_in_a_table(survey):
    outcome = run({"columns": ["size", "children"], "categorical": []}, prepare=["standardize"])
    model, folder = outcome.model, outcome.run.folder
    assigned, neurons = rows(folder / "assignments.csv"), rows(folder / "neurons.csv")
    assert list(assigned[0]) == ["nr", "unit", "x", "y", "label", "distance", "novelty", "glad"]
    assert [row["glad"] for row in assigned] == survey["glad"].tolist()
    assert [row["nr"] for row in assigned] == survey["nr"].tolist()
    assert [row["label"] for row in assigned] == model.predict(survey).tolist()
    scores = model.answers(survey).novelty
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


def test_samples_have_their_date_true_number_and_part_last(survey):
    survey["day"], survey["label"] = "2024-02-29", survey["children"] + 0.5
    survey.to_csv("survey.csv", index=False)
    dataset = {"target": "label", "drop": ["glad", "children"]}
    model = {"estimator": "regressor", "epochs": 3}
    outcome = run(dataset, model=model, split={"test_size": 0.25})
    assigned = rows(outcome.run.folder / "assignments.csv")
    assert list(assigned[0])[6:] == ["novelty", "day", "label.1", "part"]  # label is the answer
    assert {row["day"] for row in assigned} == {"2024-02-29"}
    assert [float(row["label.1"]) for row in assigned] == survey["label"].tolist()
    trained = [row["nr"] for row in assigned if row["part"] == "train"]
    assert trained == [sample.split()[0] for sample in outcome.view.sample_ids]
    assert len(trained) == 30


@pytest.mark.parametrize("kind", ["texts", "numbers beside none"])
def test_each_sample_has_the_answer_of_the_fold_that_tested_it(survey, kind):
    rng, y = np.random.default_rng(3), survey["glad"].copy()
    y[rng.random(40) < 0.2], y[7] = "yes", "once"  # that only folds with row 7 learn
    if kind != "texts":
        y = y.map({"yes": 1, "no": 2, "once": 5}).astype("Int64")
        y[::9] = pd.NA if kind == "numbers beside none" else 2
    survey["glad"] = y
    survey.to_csv("survey.csv", index=False)
    split = {"name": "KFold", "n_splits": 4, "shuffle": True}
    outcome = run({"missing_target": "unlabelled"}, split=split, measures=["accuracy", "log_loss"])
    part, scored = outcome.view.scored
    assigned = rows(outcome.run.folder / "assignments.csv")
    assert part == "held-out"
    assert [row["held_out"] for row in assigned] == [str(one) for one in scored.predictions]
    assert list(assigned[0])[-3:] == ["fold", "held_out", "held_out_probability"]
    for fold in read_run(outcome.run.folder).folds:
        tested = [row for row in assigned if row["fold"] == str(fold.fold) and row["glad"]]
        right = np.mean([row["held_out"] == row["glad"] for row in tested])
        assert right == pytest.approx(fold.measures["test/accuracy"])
    assert np.allclose(scored.probabilities.sum(axis=1), 1)


def test_neurons_of_child_maps_stand_there_with_their_way(survey):
    growth = {
        "name": "hierarchical",
        "tau_2": 0.01,
        "base": {"name": "fixed", "rows": 2, "columns": 2},
    }
    outcome = run(model={"growth": growth, "epochs": 5})
    tree = outcome.model.estimator._tree
    assert tree.depth > 1
    neurons = rows(outcome.run.folder / "neurons.csv")
    ways = [row["path"] for row in neurons]
    assert len(set(ways)) == len(tree)
    assert {row["path"] for row in rows(outcome.run.folder / "assignments.csv")} <= set(ways)


@pytest.mark.parametrize(
    "model",
    [
        {"spreading_factor": "auto"},
        {"growth": {"name": "hierarchical", "base": "directed", "tau_2": 0.1}},
    ],
)
def test_models_of_epochs_are_those_of_a_training_that_ends_there(tmp_path, model):
    config = {
        "experiment": "flowers",
        "dataset": "iris",
        "prepare": ["standardize"],
        "model": {"estimator": "classifier", "epochs": 5, "tol": 0, **model},
        "measures": [],
        "figures": [],
        "tracking": {"name": "run_folder", "path": str(tmp_path), "checkpoint_models": 2},
    }
    whole = dbgsom_core.run(config)
    models = RunFiles(whole.folder).epoch_models()
    assert list(models) == [2, 4]
    shorter = dbgsom_core.run(config, {"model.stopping": {"name": "epoch_limit", "epochs": 4}})
    X = np.array([[5.0, 3.4, 1.5, 0.2]])
    again = persistence.load(models[4])
    assert again.estimator.n_iter_ == 4
    np.testing.assert_array_equal(again.estimator.weights_, shorter.model.estimator.weights_)
    np.testing.assert_array_equal(again.predict_proba(X), shorter.model.predict_proba(X))
    assert not (whole.folder / "checkpoint.npz").exists()


ASKED = {
    "experiment": "sure",
    "dataset": "iris",
    "prepare": ["standardize"],
    "split": {"test_size": 0.3, "stratify": True},
    "model": {"estimator": "classifier", "epochs": 10, "max_neurons": 8},
    "measures": ["accuracy", "quantization_error"],
    "stability": {"resamples": 4},
    "tracking": [],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


CLUSTERS = {
    "experiment": "sure",
    "dataset": {"name": "csv", "path": "rows.csv"},
    "model": {"labeller": {"name": "clusters", "n_clusters": 3}, "epochs": 12, "max_neurons": 12},
    "tracking": [],
}


@pytest.fixture
def table(here):
    rows = make_blobs(90, 2, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)[0]
    np.savetxt("rows.csv", rows, delimiter=",", header="a,b", comments="")


def test_a_run_of_clusters_ends_with_how_sure_they_are(table):
    run = dbgsom_core.run(CLUSTERS)
    sentence = "3 groups; new halves give them again with ARI 1.00"
    stored = read_run(run.folder)
    assert stored.verdict.startswith(sentence)
    assert "stability" not in stored.config
    report = (run.folder / "report.md").read_text(encoding="utf-8")
    assert sentence in report
    assert "figures/stability.png" in report
    assert run.measures["stability/groups"] == 3
    with (run.folder / "cluster_stability.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["number", "agreement", "low", "high", "chance"]
    assert [int(row["number"]) for row in rows] == [*range(1, 9)]
    with (run.folder / "clusters.csv").open(encoding="utf-8") as file:
        assert [float(row["jaccard"]) for row in csv.DictReader(file)] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({"stability": None}, []),
        ({"model": {"epochs": 12, "max_neurons": 12}}, []),  # labels are neurons
        ({"dataset": {"name": "csv", "path": "rows.csv", "target": "b"}}, []),
        ({"stability": {"resamples": 2}}, ["links.csv"]),
        ({"stability": {"halves": 1}}, ["cluster_stability.csv"]),
        ({"stability": {"halves": 1, "resamples": 2}}, ["cluster_stability.csv", "links.csv"]),
    ],
)
def test_refits_are_those_that_the_key_asks_for(table, changes, files):
    run = dbgsom_core.run({**CLUSTERS, **changes})
    names = ("cluster_stability.csv", "links.csv")
    assert [name for name in names if (run.folder / name).exists()] == files
    assert not [note for note in read_run(run.folder).warnings if note.startswith("figure")]


def test_of_variants_as_sure_as_the_best_that_with_more_clusters_wins(table):
    values = [{"name": "clusters", "n_clusters": number} for number in (1, 2, 3)]
    decide = {"measure": "stability/groups_above_chance"}
    sweep = dbgsom_core.sweep(
        {
            **CLUSTERS,
            "figures": [],
            "stability": {"halves": 2},
            "sweep": {"grid": {"model.labeller": values}, "decide": decide},
        }
    )
    (ranking,) = read_run(sweep.folder).rankings
    groups = [one.measures["stability/groups"] for one in ranking.variants]
    assert groups == [3, 2, 1]


def test_a_run_says_how_sure_its_map_is():
    found = dbgsom_core.run(ASKED)
    for name in ("accuracy", "quantization_error", "repeatability"):
        low, mean, high = (
            found.measures[f"stability{part}/{name}"] for part in ("_low", "", "_high")
        )
        assert low <= mean <= high
    assert 0 < found.measures["stability/links"] <= 1
    assert found.measures["stability/agreement"] > 0.5
    report = (found.folder / "report.md").read_text(encoding="utf-8")
    assert "repeatability" in report
    assert "figures/trust_map.png" in report
    with (found.folder / "links.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["unit", "other", "stays"]
    assert len(rows) == len(found.model.estimator.som_map_.edges())
    again = dbgsom_core.run(ASKED)
    assert dict(again.measures) == dict(found.measures)


@pytest.fixture
def run_of(tmp_path):
    """Return a run of a folder that is there, anew each time."""

    def make():
        facts = {"config": {}, "params": {}, "environment": {}, "data": {}}
        return Run(id="one", name="one", experiment="e", kind="run", folder=tmp_path, **facts)

    return make


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("log_scalar", "train/accuracy", 1.0, 1), "such names are the run's own"),
        (("log_scalar", "a//b", 1.0, 1), "needs a name"),
        (("log_scalar", "x", "a", 1), "could not convert string to float"),
        (("log_scalar", "x", 1.0, -1), r"from 0 on, below 2\^63, not -1"),
        (("log_artifact", "x/" + "ä" * 121, b""), "at most 240"),
        (("log_artifact", "../x", b""), "needs a name"),
        (("log_artifact", "/etc/x", b""), "needs a name"),
    ],
)
def test_what_cannot_be_logged_is_told_and_writes_nothing(call, told, run_of, tmp_path):
    method, *arguments = call
    with pytest.raises(ValueError, match=told):
        getattr(run_of(), method)(*arguments)
    assert not list(tmp_path.iterdir())


def test_artefacts_are_whole_and_replaced(run_of, tmp_path):
    run, files = run_of(), RunFiles(tmp_path)
    (tmp_path / "given.bin").write_bytes(b"\x00\x01")
    run.log_artifact("notes/a.txt", "the word is swordfish")
    run.log_artifact("notes/a.txt", "it was swordfish")
    found = run.log_artifact("b.bin", tmp_path / "given.bin")
    assert found.read_bytes() == b"\x00\x01"
    assert (tmp_path / "artifacts/notes/a.txt").read_text() == "it was swordfish"
    with pytest.raises(FileNotFoundError):
        run.log_artifact("notes/c.txt", tmp_path / "nowhere")
    (tmp_path / "artifacts/notes/link").symlink_to("/etc/hostname")
    (tmp_path / "artifacts/notes/.a-0123456789ab.txt").write_text("half")
    files.remove_temporary()
    assert [path.name for path in files.artifacts()] == ["b.bin", "a.txt"]
    assert not list((tmp_path / "artifacts/notes").glob(".*"))


class Links:
    """Logs of each epoch, and is interrupted once."""

    def __init__(self, last):
        self.last = last

    def dbgsom_epoch_finished(self, run, epoch):
        run.log_scalar("links/mean", epoch.som_map.degrees().mean(), epoch.epoch)
        run.log_artifact("links/each epoch.txt", f"{epoch.epoch}")
        (run.folder / ".others-0123456789ab.json").write_text("a thread is writing this")
        if epoch.epoch == self.last:
            signal.raise_signal(signal.SIGINT)

    def dbgsom_run_finished(self, run, result):
        run.log_artifact("links/last.txt", f"{len(result.history)} epochs")


@pytest.mark.parametrize("seconds", [0.0, 100.0])  # a checkpoint each epoch, and none
def test_a_resumed_run_has_each_scalar_once(seconds, tmp_path):
    values = {
        "experiment": "logs",
        "dataset": "iris",
        "model": {"epochs": 6, "tol": 0.0, "growth": "fixed"},
        "measures": [],
        "figures": [],
        "tracking": {
            "name": "run_folder",
            "path": str(tmp_path / "runs"),
            "checkpoint_seconds": seconds,
        },
    }
    registry = get_registry()

    def start(links, stored=None):
        experiment = load_experiment(values, registry=registry)
        observers = make_callbacks(experiment.tracking, registry, [links])
        run_experiment(experiment, observers, registry, stored=stored)

    with pytest.raises(KeyboardInterrupt):
        start(Links(3))
    (stored,) = find_runs(tmp_path / "runs", "logs")
    assert [line.epoch for line in stored.scalars()] == [1, 2, 3]
    (stored.files.folder / ".killed-0123456789ab.json").write_text("half")
    start(Links(0), stored)
    (stored,) = find_runs(tmp_path / "runs", "logs")
    kept = {path.name for path in stored.files.folder.glob(".*")} - {".lock"}
    assert kept == {".others-0123456789ab.json"}  # other trackers write while a run ends
    assert stored.status == "finished"
    assert [line.epoch for line in stored.scalars()] == [1, 2, 3, 4, 5, 6]
    assert [path.read_text() for path in stored.files.artifacts()] == ["6", "6 epochs"]
    assert "artifacts/links/each%20epoch.txt" in stored.files.report.read_text()


def test_a_line_that_a_full_disk_cuts_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [JournalLine(epoch, 0, {"epoch/neurons": 4.0}) for epoch in (1, 2, 3)]
    append_line(path, lines[0])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            append_line(path, lines[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    append_line(path, lines[2])
    assert read_journal(path)[0] == [lines[0], lines[2]]
