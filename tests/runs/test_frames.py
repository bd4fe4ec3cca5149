"""Runs and sweeps of data frames."""

import json
import os
import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

import dbgsom_core
from dbgsom_core.cli import cli
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.measures import evaluate
from dbgsom_core.persistence import answer_table, load
from dbgsom_core.runs.folder import read_run, write_json

QUICK = {
    "model.epochs": 5,
    "model.tol": 0,
    "measures": ["accuracy"],
    "figures": None,
    "tracking": [],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, 80)
    found = pd.DataFrame({"age": age, "plan": rng.choice(["basic", "plus"], 80)})
    found["income"] = rng.normal(3000, 400, 80)
    found["left"] = (age + rng.normal(0, 9, 80) > 50).astype(int)
    return found.set_axis([f"c{i}" for i in range(80)])


def command(*words):
    done = CliRunner().invoke(cli, [*map(str, words)])
    return done.exit_code, " ".join(done.output.split()) + str(done.exception or "")


def test_a_run_of_a_frame_is_that_of_its_file(folder, frame):
    found = dbgsom_core.run(frame, QUICK, target="left")
    config = dbgsom_core.init(frame, "left")
    assert config["dataset"] == {
        "name": "parquet", "path": "data.parquet", "target": "left", "categorical": ["plan"],
        "id": ["index"],
    }  # fmt: skip
    frame.rename_axis("index").reset_index().to_parquet("mine.parquet")
    of_file = {**config, "dataset": {**config["dataset"], "path": "mine.parquet"}}
    same = dbgsom_core.run(of_file, QUICK)
    again = dbgsom_core.run(config, QUICK, data=frame)
    assert found.measures == same.measures == again.measures
    digests = {read_run(one.folder).data["digest"] for one in (found, same, again)}
    assert len(digests) == 1
    assert found.experiment == "left"
    assert (found.folder / "data.parquet").is_file()
    assert not (same.folder / "data.parquet").exists()
    assert (found.folder / "assignments.csv").read_text().splitlines()[1].startswith("c0,")
    assert found.model.predict(frame[:3]).shape == (3,)


def test_the_folder_of_a_frame_is_enough_wherever_it_is(folder, frame, monkeypatch):
    whole = dbgsom_core.run(frame, QUICK, target="left")

    class Ends:
        def dbgsom_epoch_finished(self, epoch):
            if epoch.epoch == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(dbgsom_core.runs.api, "_EpochDisplay", lambda show: Ends())
    with pytest.raises(KeyboardInterrupt):
        dbgsom_core.run(frame, QUICK, target="left", verbose=2)
    (killed,) = (one for one in (folder / "runs/left").iterdir() if one != whole.folder)
    moved, elsewhere = folder / "moved" / killed.name, folder / "elsewhere"
    elsewhere.mkdir()
    shutil.move(killed, moved)
    pd.DataFrame({"a": [1]}).to_parquet(elsewhere / "data.parquet")  # another one
    monkeypatch.chdir(elsewhere)
    code, said = command("run", "--resume", moved)
    assert code == 0, said
    assert read_run(moved).measures == dict(whole.measures)
    code, said = command("explore", moved, "-o", "map.html")
    assert (code, "80 rows" in said) == (0, True), said
    frame.to_parquet("new.parquet")
    code, said = command("explain", moved, "new.parquet", "--row", 1)
    assert "most like it in the training data" in said


def interrupt(folder):
    """Leave a run folder as one that did not finish."""
    stored = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", stored | {"status": "killed", "children": []})


def test_rows_that_are_not_kept_are_missed_in_a_sentence(folder, frame):
    found = dbgsom_core.run(frame, QUICK, target="left", keep_data=False)
    assert not (found.folder / "data.parquet").exists()
    why = "the rows are those of a data frame, which was not kept (keep_data=False)"
    frame.to_parquet("new.parquet")
    code, said = command("explain", found.folder, "new.parquet", "--row", 1)
    assert (code, why in said) == (0, True), said
    interrupt(found.folder)
    code, said = command("run", "--resume", found.folder)
    assert (code, why in said) == (1, True), said
    with pytest.raises(DataError, match="which was not kept"):
        dbgsom_core.run(dbgsom_core.init(frame, "left"), QUICK)
    assert "test/accuracy" in dbgsom_core.run(frame, QUICK, target="left", resume=True).measures


def test_a_sweep_keeps_its_frame_once(folder, frame, monkeypatch):
    grid = {"model.spreading_factor": [0.3, 0.6]}
    few = {**QUICK, "sweep.repeats.seeds": 1}
    found = dbgsom_core.sweep(frame, few, target="left", grid=grid)
    assert [*folder.rglob("data.parquet")] == [found.folder / "data.parquet"]
    assert [one.params["growth.spreading_factor"] for one in found] == [0.3, 0.6]
    shutil.move(folder / "runs", folder / "others")
    monkeypatch.chdir("/")
    child = folder / "others" / found[1].folder.relative_to(folder / "runs")
    code, said = command("explore", child, "-o", folder / "map.html")
    assert (code, "80 rows" in said) == (0, True), said
    shutil.rmtree(child)
    interrupt(child.with_name(found.id))
    code, said = command("sweep", "--resume", child.with_name(found.id))
    assert code == 0, said
    assert len(read_run(child.with_name(found.id)).children) == 2


def test_a_configuration_says_the_roles_of_a_frames_columns(folder, frame):
    (folder / "mine.yaml").write_text(
        "experiment: mine\n"
        "dataset: {name: csv, path: old.csv, delimiter: ';', target: left, categorical: [plan]}\n"
        "model: {estimator: classifier}\n"
    )
    found = dbgsom_core.run("mine.yaml", QUICK, data=frame)
    assert read_run(found.folder).config["dataset"]["target"] == "left"
    assert found.experiment == "mine"
    bare = {"experiment": "bare", "dataset": "iris"}
    assert dbgsom_core.run(bare, QUICK, task="classifier", experiment="named").experiment == "named"
    given = frame.drop(columns="plan")
    found = dbgsom_core.run(bare, QUICK, data=given, target="left", task="classifier")
    assert read_run(found.folder).data["features"] == 2
    frame.to_csv("mine.csv")
    assert dbgsom_core.init("mine.csv", "left")["dataset"]["path"] == "mine.csv"


class Capsule:
    """A data frame of a library that pyarrow and pandas do not know."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def as_polars(frame):
    return pytest.importorskip("polars").from_arrow(pa.Table.from_pandas(frame))


KINDS = {
    "pandas": lambda frame: frame,
    "polars": as_polars,
    "table": pa.Table.from_pandas,
    "batch": pa.RecordBatch.from_pandas,
    "capsule": lambda frame: Capsule(pa.Table.from_pandas(frame)),
}
ANSWERS = {
    "answer_table": lambda model, rows, y: [*answer_table(model, rows).values()],
    "evaluate": lambda model, rows, y: [*evaluate(model, rows, y, ["accuracy", "purity"]).values()],
    "explain": lambda model, rows, y: repr(model.explain(rows[:1])),
}


@pytest.fixture(scope="module")
def of_plan(tmp_path_factory):
    """A run of a table of numbers and a category, and the rows it was trained on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("plan"))
        rng = np.random.default_rng(1)
        rows = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
        rows["plan"] = rng.choice(["basic", "plus"], 60)
        rows["left"] = np.where(rows["a"] + rows["c"] > 0, "yes", "no")
        found = dbgsom_core.run(rows, QUICK, target="left")
        return found, rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_finds_the_columns_of_every_frame_by_name(of_plan, kind):
    found, rows = of_plan
    model = load(found.folder / "model.npz")
    assert (found.model.predict(KINDS[kind](rows)) == model.predict(KINDS[kind](rows))).all()
    beside = KINDS[kind](rows[rows.columns[::-1]])  # with the target, which is no feature
    features = rows.drop(columns="left")
    for name, answer in ANSWERS.items():
        if name == "explain" and kind == "capsule":  # which has no rows to pick
            continue
        expected, got = (answer(model, one, rows["left"]) for one in (features, beside))
        np.testing.assert_array_equal(got, expected, err_msg=name)
    with pytest.warns(UserWarning, match="column 'z' of the data frame: unknown"):
        got = model.predict(KINDS[kind](rows.assign(z="new")))
    assert (got == model.predict(features)).all()
    with pytest.raises(DataError, match=r"^the data frame lacks column 'plan', which"):
        model.predict(KINDS[kind](rows.drop(columns="plan")))


def test_types_of_pandas_columns(folder, frame):
    odd = frame.assign(
        plan=frame["plan"].astype("category"),
        old=frame["age"] > 60,
        day=pd.date_range("2024-01-01", periods=80),
        gaps=frame["income"].where(frame["age"] > 30).astype("Float32"),
        left=frame["left"].map({0: "no", 1: "yes"}).astype("string"),
    )
    found = dbgsom_core.run(odd, QUICK, target="left")
    assert {*found.model.predict(odd)} == {"no", "yes"}
    assert read_run(found.folder).config["dataset"]["missing"] == "keep"


CLASSES = {
    "objects of bool": lambda old: old.astype(object),
    "boolean": lambda old: old.astype("boolean"),
    "arrow's bool": lambda old: old.astype(pd.ArrowDtype(pa.bool_())),
    "categories of bool": lambda old: old.astype("category"),
    "uint64": lambda old: old.astype("uint64") * 2**63 + 5,
    "Int64": lambda old: old.astype("Int64"),
    "float": lambda old: old + 1.0,
    "text of bool": lambda old: old.map({True: "true", False: "False"}),
    "string": lambda old: old.map({True: "yes", False: "1"}).astype("string"),
    "categories of text": lambda old: old.map({True: "1", False: "2"}).astype("category"),
}


WITH_GAPS = ("objects of bool", "Int64", "string")


@pytest.mark.parametrize(
    ("kind", "gaps"), [*((kind, 0) for kind in CLASSES), *((kind, 5) for kind in WITH_GAPS)]
)
def test_classes_come_back_as_they_came(folder, kind, gaps):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    rows["old"] = CLASSES[kind](rows["a"] > 0)
    if gaps:
        rows.loc[: gaps - 1, "old"] = None
    quick = {**QUICK, "tracking": ["run_folder"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples without a target are left out
        found = dbgsom_core.run(rows, quick, target="old", task="classifier")
    known = rows[rows["old"].notna()]
    wanted = [getattr(one, "item", lambda one=one: one)() for one in known["old"]]  # of Python
    for model in (found.model, load(found.folder / "model.npz")):
        got = model.predict(known).tolist()
        assert np.mean([a == b for a, b in zip(got, wanted, strict=True)]) > 0.9
        assert {*map(type, got)} == {*map(type, wanted)}
    assert found.measures["train/accuracy"] > 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it[:0], "the data frame has no rows"),
        (
            lambda it: it.set_axis(["age", "plan", "age", "left"], axis=1),
            "the data frame has several columns called 'age': rename all but one",
        ),
        (lambda it: it.rename(columns={"left": "lefft"}), "column 'left'.*; did you mean 'leff"),
        (lambda it: it[:2], "has 2 rows; a map needs at least 4"),
        (lambda it: it.to_numpy(), r"ndarray is no data frame: .* pandas\.DataFrame\(X\)"),
    ],
)
def test_frames_that_cannot_be_used_leave_nothing(folder, frame, change, said):
    rows = change(frame)
    config = {"experiment": "bad", "dataset": {"name": "parquet", "path": "x", "target": "left"}}
    config["dataset"]["categorical"] = ["plan"] if "plan" in getattr(rows, "columns", ()) else []
    with pytest.raises(DataError, match=said) as caught:
        dbgsom_core.run(config, QUICK, data=rows, target="left")
    assert not re.search(r"/tmp|\.parquet:", str(caught.value))
    assert os.listdir() == []  # noqa: PTH208


def test_arguments_that_do_not_go_together(folder, frame):
    with pytest.raises(ConfigError, match=r"and no Series of int.*: run\(frame, target='y'\)"):
        dbgsom_core.run(frame, frame["left"])
    with pytest.raises(ConfigError, match=r"task must be one of .*did you mean 'classifier'"):
        dbgsom_core.init(frame, task="classifer")
