"""What runs leave on demand: tables, models of epochs, stability, what observers log."""

import csv
import json
import resource
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import clone
from sklearn.datasets import load_wine

import dbgsom_core
from dbgsom_core import persistence
from dbgsom_core.config import load_experiment, parse_experiment
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.experiments.journal import JournalLine, append_line, read_journal
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.interfaces.stopping import STOP, StoppingComponent
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.checkpoint import RunCheckpoint
from dbgsom_core.runs.folder import RunFiles, find_runs, read_run
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.training.state import TrainingState


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
    assert outcome.measures["test/accuracy"] == 1
    assert outcome.run.data["classes"] == 2
    outcome = run(
        {"missing_target": "unlabelled"}, model={"estimator": "vq", "epochs": 5, "tol": 0}
    )
    assert outcome.measures["train/purity"] == 1
    assert outcome.notes == []


@pytest.mark.parametrize("split", [{"folds": 5}, {"test_size": 0.3}])
@pytest.mark.parametrize("estimator", ["classifier", "vq"])
def test_the_test_part_is_judged_by_the_training_part(split, estimator, tmp_path, monkeypatch):
    """With classes by lot no map is better than chance, however many neurons it has."""
    monkeypatch.chdir(tmp_path)
    wine = load_wine(as_frame=True).frame
    wine["target"] = np.random.default_rng(0).permutation(wine["target"])
    config = dbgsom_core.init(wine, "target", task=estimator)
    named = {"measures": ["purity", "entropy", "distortion"], "figures": None, "tracking": []}
    outcome = dbgsom_core.run({**config, **named, "split": split}, data=wine)
    measures = outcome.measures
    assert measures["train/purity"] > 0.5
    assert measures["test/purity"] < 0.47
    assert abs(measures["test/purity"] - measures["test/purity_shuffled"]) < 0.15
    assert {"train/entropy", "train/distortion"} <= {*measures}
    assert not {"test/entropy", "test/distortion", "train/purity_shuffled"} & {*measures}
    assert not any("failed" in note for note in outcome.notes)


def test_gaps_that_a_step_fills_are_fine_for_any_metric(survey):
    survey.loc[3, "size"] = np.nan
    survey.to_csv("survey.csv", index=False)
    filled = run(
        {"missing": "keep"},
        prepare=["sklearn.impute:SimpleImputer"],
        model={"estimator": "classifier", "metric": "cosine", "epochs": 3},
    )
    assert np.isfinite(filled.measures["train/quantization_error"])


def test_what_is_wrong_with_arrays_is_told_before_a_folder_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.arange(30.0).reshape(10, 3)
    X[4] = np.nan
    np.save("x.npy", X)
    dataset = {"name": "npy", "path": "x.npy", "missing": "keep"}
    with Path("run.yaml").open("w") as file:
        yaml.safe_dump({"experiment": "x", "dataset": dataset, "tracking": None}, file)
    experiment = load_experiment("run.yaml", ())
    with pytest.raises(DataError, match="part to train on: all values are missing in row 4 of X"):
        run_experiment(experiment, make_callbacks((), get_registry()), get_registry())
    assert not (tmp_path / "runs").exists()


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


@pytest.mark.parametrize(
    ("split", "last"),
    [
        (None, []),
        ({"test_size": 0.25}, ["part"]),
        ({"test_size": 0.25, "refit": True}, []),
        ({"folds": 4}, ["fold", "held_out"]),
        ({"name": "ShuffleSplit", "n_splits": 3}, []),
    ],
)
def test_samples_have_their_date_true_number_and_part_last(survey, split, last):
    survey["day"], survey["label"] = "2024-02-29", survey["children"] + 0.5
    survey.to_csv("survey.csv", index=False)
    dataset = {"target": "label", "drop": ["glad", "children"]}
    outcome = run(dataset, model={"estimator": "regressor", "epochs": 3}, split=split)
    assigned = rows(outcome.run.folder / "assignments.csv")
    assert list(assigned[0])[6:] == ["novelty", "day", "label.1", *last]  # label is the answer
    assert {row["day"] for row in assigned} == {"2024-02-29"}
    assert [float(row["label.1"]) for row in assigned] == survey["label"].tolist()
    if last == ["part"]:
        assert [row["part"] for row in assigned].count("test") == 10
        trained = outcome.view.sample_ids
        assert [row["nr"] for row in assigned if row["part"] == "train"] == [
            one.split()[0] for one in trained
        ]
        beside = outcome.view.annotations
        assert beside["nr"].tolist() == [one.split()[0] for one in trained]
        assert {str(one) for one in beside["day"]} == {"2024-02-29"}
    elif last:
        counted = [int(row["fold"]) for row in assigned]
        for fold in read_run(outcome.run.folder).folds:
            assert counted.count(fold.fold) == fold.test_samples


@pytest.mark.parametrize("kind", ["texts", "numbers beside none", "numbers"])
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
    assert list(assigned[0])[-2:] == ["fold", "held_out"]
    for fold in read_run(outcome.run.folder).folds:
        tested = [row for row in assigned if row["fold"] == str(fold.fold) and row["glad"]]
        right = np.mean([row["held_out"] == row["glad"] for row in tested])
        assert right == pytest.approx(fold.measures["test/accuracy"])
    shares, classes = scored.probabilities, outcome.model.estimator.classes_
    assert np.array_equal(classes[shares.argmax(axis=1)], scored.predictions)
    assert shares[7, classes.tolist().index("once" if kind == "texts" else 5)] == 0
    assert np.allclose(shares.sum(axis=1), 1)


def test_samples_without_a_class_have_none(survey):
    survey.loc[::3, "glad"] = ""
    survey.to_csv("survey.csv", index=False)
    outcome = run({"missing_target": "unlabelled"})
    assigned = rows(outcome.run.folder / "assignments.csv")
    assert [row["glad"] for row in assigned] == survey["glad"].tolist()


def test_prototypes_that_a_step_hides_are_left_out_and_rows_are_counted(survey):
    prepare = [{"name": "sklearn.decomposition:PCA", "n_components": 2}]
    outcome = run({"id": [], "drop": ["nr"]}, prepare=prepare)
    assert list(next(outcome.tables["assignments"]()))[:2] == ["row", "unit"]
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
    tree = outcome.model.estimator._tree
    assert tree.depth > 1
    neurons = rows(outcome.run.folder / "neurons.csv")
    ways = [row["path"] for row in neurons]
    assert len(set(ways)) == len(tree)
    assert {row["path"] for row in rows(outcome.run.folder / "assignments.csv")} <= set(ways)


CONFIG = {
    "experiment": "flowers",
    "dataset": "iris",
    "split": {"test_size": 0.2},
    "prepare": ["standardize"],
    "measures": [],
    "figures": [],
}


def ran(place, **model):
    tracking = {"name": "run_folder", "path": str(place), "checkpoint_models": 2}
    model = {"estimator": "classifier", "epochs": 7, "tol": 0, **model}
    return dbgsom_core.run({**CONFIG, "model": model, "tracking": tracking})


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"spreading_factor": "auto"},
        {"growth": {"name": "hierarchical", "base": "directed", "tau_2": 0.1}},
        {"growth": "gsom", "metric": "manhattan"},
    ],
)
def test_they_are_those_of_a_training_that_a_callback_ends_there(tmp_path, model):
    found = ran(tmp_path, **model)
    kept = RunFiles(found.folder).epoch_models()
    assert list(kept) == [2, 4, 6]
    trained = found.model.estimator
    labels = found.model.predict(np.array([[5.0, 3.4, 1.5, 0.2]]))
    for epoch, path in kept.items():
        again = persistence.load(path)
        assert again.estimator.n_iter_ == epoch
        assert len(again.estimator.weights_) == trained.history_[epoch - 1].neurons
        assert again.predict(np.array([[5.0, 3.4, 1.5, 0.2]])) == labels
    assert not (found.folder / "checkpoint.npz").exists()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_the_bit_and_what_was_trained_stays(tmp_path, iris, dtype):
    X, y = iris[0].astype(dtype), iris[1]
    models = RunCheckpoint(RunFiles(tmp_path), every=3)
    trained = dbgsom_core.SomClassifier(
        epochs=10, tol=0, random_state=1, callbacks=[models.keep_epoch]
    )
    trained.fit(X, y).set_params(callbacks=None)
    before = trained.weights_.copy()
    made = models.epoch_models(trained, X, y)
    assert list(made) == [3, 6, 9]
    for epoch, model in made.items():
        stopping = [lambda record, end=epoch: STOP if record.epoch == end else None]
        twin = clone(trained).set_params(callbacks=stopping).fit(X, y)
        np.testing.assert_array_equal(model.weights_, twin.weights_)
        np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))
        np.testing.assert_array_equal(model.score_samples(X), twin.score_samples(X))
        assert model.history_ == trained.history_[:epoch]
    np.testing.assert_array_equal(trained.weights_, before)


class SecondIsBest(StoppingComponent):
    def is_best(self, state):
        return state.history[-1].epoch == 2

    def stop(self, state):
        return False


def test_the_last_epoch_has_one_where_the_model_is_of_another(tmp_path, iris):
    models = RunCheckpoint(RunFiles(tmp_path), every=2)
    som = dbgsom_core.SomVQ(epochs=6, tol=0, random_state=1, stopping=SecondIsBest())
    trained = (
        clone(som).set_params(callbacks=[models.keep_epoch]).fit(iris[0]).set_params(callbacks=None)
    )
    made = models.epoch_models(trained, iris[0], None)
    assert list(made) == [4, 6]
    last = clone(som).set_params(stopping=None).fit(iris[0])
    np.testing.assert_array_equal(made[6].weights_, last.weights_)
    assert made[6].n_iter_ == made[6].kept_epoch_ == 6


def test_one_that_cannot_be_made_is_told_and_loses_no_run(tmp_path, iris):
    models = RunCheckpoint(RunFiles(tmp_path), every=2)
    som = dbgsom_core.SomVQ(epochs=6, tol=0, random_state=1, callbacks=[models.keep_epoch])
    trained = som.fit(iris[0]).set_params(callbacks=None)
    models._maps[2] = TrainingState(None, 6)
    with pytest.warns(UserWarning, match=r"no model of epoch 2 can be made"):
        assert list(models.epoch_models(trained, iris[0], None)) == [4]


def test_a_run_that_goes_on_has_those_from_before(tmp_path, iris):
    class BrokenOffError(Exception):
        pass

    def interrupt(record):
        if record.epoch == 5:
            raise BrokenOffError

    interrupt.vital = True
    whole = dbgsom_core.SomVQ(epochs=8, tol=0, random_state=1)
    models = RunCheckpoint(RunFiles(tmp_path), seconds=0, every=2)
    begun = clone(whole).set_params(
        checkpoint=models.of_fit, callbacks=[models.keep_epoch, interrupt]
    )
    with pytest.raises(BrokenOffError):
        begun.fit(iris[0])
    models = RunCheckpoint(RunFiles(tmp_path), seconds=0, every=2)
    trained = clone(whole).set_params(checkpoint=models.of_fit, callbacks=[models.keep_epoch])
    trained.fit(iris[0]).set_params(callbacks=None, checkpoint=None)
    assert trained.n_iter_ == 8
    made = models.epoch_models(trained, iris[0], None)
    assert list(made) == [2, 4, 6]
    twin = whole.set_params(callbacks=[lambda one: STOP if one.epoch == 2 else None]).fit(iris[0])
    np.testing.assert_array_equal(made[2].weights_, twin.weights_)


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
    assert "stability" in report
    assert "figures/trust_map.png" in report
    with (found.folder / "links.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["unit", "other", "stays"]
    assert len(rows) == len(found.model.estimator.som_map_.edges())
    again = dbgsom_core.run(ASKED)
    assert dict(again.measures) == dict(found.measures)


def test_it_is_that_of_the_estimator():
    found = dbgsom_core.run({**ASKED, "prepare": [], "split": None, "figures": []})
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    stability = found.model.estimator.stability(X, y, n=4, random_state=42)
    assert found.measures["stability/links"] == stability.link_share
    assert found.measures["stability_low/accuracy"] == stability.measures["accuracy"].low


def test_a_measure_that_fails_on_refits_has_no_interval(monkeypatch):
    from dbgsom_plugins.measures.targets import Accuracy

    plain = Accuracy.compute

    def fails(self, evaluation):
        if len(evaluation.y) == 53:  # what a half of 105 leaves out
            raise RuntimeError("no")
        return plain(self, evaluation)

    halves = dbgsom_core.run(ASKED)
    assert "stability/accuracy" in halves.measures
    monkeypatch.setattr(Accuracy, "compute", fails)
    found = dbgsom_core.run({**ASKED, "figures": []})
    assert np.isfinite(found.measures["stability/quantization_error"])
    assert found.measures["test/accuracy"] > 0.5


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stability": {"resamples": 1}}, r"stability\.resamples: must be"),
        ({"stability": {"share": 2.0}}, r"stability\.share: must be"),
        ({"stability": {"resample": 9}}, "did you mean 'resamples'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(changed, said):
    with pytest.raises(ConfigError, match=said):
        dbgsom_core.run({**ASKED, **changed})


@pytest.fixture
def run_of(tmp_path):
    """Return a run of a folder that is there, anew each time."""

    def make():
        facts = {"config": {}, "params": {}, "environment": {}, "data": {}}
        return Run(id="one", name="one", experiment="e", kind="run", folder=tmp_path, **facts)

    return make


def test_a_name_has_one_value_a_step_and_a_torn_line_is_no_line(run_of, tmp_path):
    run, files = run_of(), RunFiles(tmp_path)
    for step in (1, 2):
        run.log_scalar("drift/mean", 0.5 * step, step)
    run.log_scalar("drift/worst", float("nan"), 2)
    with files.journal.open("ab") as journal:
        journal.write(b'{"epoch": 3, "time": 1, "metr')
    again = run_of()  # what an interrupted process leaves
    for step in (2, 3):
        again.log_scalar("drift/mean", -1.0, step)
    lines = [json.loads(line) for line in files.journal.read_text().splitlines()]
    assert [(one["epoch"], one["metrics"]) for one in lines] == [
        (1, {"drift/mean": 0.5}),
        (2, {"drift/mean": 1.0}),
        (2, {"drift/worst": "NaN"}),
        (3, {"drift/mean": -1.0}),
    ]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("log_scalar", "train/accuracy", 1.0, 1), "such names are the run's own"),
        (("log_scalar", "a//b", 1.0, 1), "needs a name"),
        (("log_scalar", "x\n", 1.0, 1), "needs a name"),
        (("log_scalar", "x" * 251, 1.0, 1), "at most 240"),
        (("log_scalar", "x", "a", 1), "could not convert string to float"),
        (("log_scalar", "x", 1.0, -1), r"from 0 on, below 2\^63, not -1"),
        (("log_scalar", "x", 1.0, 2**63), r"below 2\^63, not 9223372036854775808"),
        (("log_artifact", "x/" + "ä" * 121, b""), "at most 240"),
        (("log_artifact", "../x", b""), "needs a name"),
        (("log_artifact", "/etc/x", b""), "needs a name"),
        (("log_artifact", "a/.x", b""), "needs a name"),
        (("log_artifact", "a\\b", b""), "needs a name"),
        (("log_artifact", "c:x", b""), "needs a name"),
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
        experiment = parse_experiment(values, registry=registry)
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
    page = stored.files.page.read_text()
    link = '<a href="artifacts/links/each%20epoch.txt">artifacts/links/each epoch.txt</a>'
    assert link in page
    assert "(artifacts/links/each%20epoch.txt)" in stored.files.report.read_text()


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
