"""``dbgsom init``: a file of which nothing is known becomes a configuration that runs."""

import gzip
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner

from dbgsom_core import persistence
from dbgsom_core.cli.config import init
from dbgsom_core.cli.predict import predict
from dbgsom_core.config import load_experiment, load_sweep
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.init import (
    ColumnProfile,
    count_values,
    profile_column,
    suggest_split,
)
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.session import make_callbacks


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(*given):
    done = CliRunner().invoke(init, list(given or ["p.csv", "--force"]))
    if done.exception is not None:
        raise done.exception
    return done.output


def run(path, **sections):
    settings = [f"{key}={value}" for key, value in sections.items()]
    few = ["tracking=null", "figures=null", "model.epochs=3", "measures=[quantization_error]"]
    experiment = load_experiment(path, (*few, *settings))
    observers = make_callbacks(experiment.tracking, get_registry())
    return run_experiment(experiment, observers, get_registry())


def written(path):
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return yaml.safe_load(file)


def survey(rows=120):
    rng = np.random.default_rng(4)
    place = rng.choice(["Nord", "Süd", "Ost"], rows)
    base = np.select([place == "Nord", place == "Süd"], [0.0, 5.0], 10.0)
    sizes = [f"{one:.2f}".replace(".", ",") for one in base + rng.normal(size=rows)]
    sizes[3], sizes[7] = "", "NA"
    lines = ["Nr;Datum;Eingang;Region;Größe;leer;Welle;Kinder;Bemerkung;Kinder;zufrieden"]
    for i in range(rows):
        note = f'"Nr. {i}; ""gut""\r\nund mehr"' if i % 3 else ""
        target = "" if i % 20 == 0 else "ja" if base[i] > 2 else "nein"
        day = f"{i % 28 + 1:02d}"
        lines.append(
            f"{i:04d};{day}.03.2024;2024-03-{day};{place[i] if i != 5 else 'NA'};{sizes[i]};;1;"
            f"{i % 4};{note};{i % 3};{target}"
        )
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode("cp1252")),
    ],
    ids=["BOM", "utf-16", "gzip, cp1252"],
)
def test_a_messy_survey_goes_from_init_to_answers_by_name(encoded, folder):
    (folder / "survey.csv").write_bytes(encoded(survey()))
    told = begin("survey.csv")
    assert "survey.yaml written; next: dbgsom run survey.yaml" in told
    dataset = written("survey.yaml")["dataset"]
    assert dataset["decimal"] == ","
    assert dataset["id"] == ["Nr"]
    assert dataset["target"] == "zufrieden"
    assert dataset["categorical"] == ["Region"]
    assert dataset["drop"] == ["leer", "Welle", 9]
    assert dataset["texts"] == ["Bemerkung"]
    written_text = (folder / "survey.yaml").read_text(encoding="utf-8")
    assert "- Bemerkung  # no feature: shown and searched" in written_text
    assert (dataset["dates"], dataset["missing"], dataset["missing_target"]) == (
        "drop", "keep", "drop",
    )  # fmt: skip
    outcome = run("survey.yaml")
    assert any("6 of 120 samples have no target" in note for note in outcome.notes)
    assert outcome.view.title.startswith("survey: ")
    frame = pd.DataFrame(
        {"Kinder": [1, 2], "Größe": ["0,1", "9,8"], "Region": ["Nord", "Ost"], "Nr": ["1", "2"]}
    )
    model = persistence.load(outcome.run.folder / "model.npz")
    assert model.predict(frame).tolist() == ["nein", "ja"]
    beside = "Datum,Eingang,Bemerkung,zufrieden"
    first = (outcome.run.folder / "assignments.csv").read_text().splitlines()
    assert (
        first[0]
        == f"Nr,unit,x,y,label,distance,novelty,{beside},fold,held_out,held_out_probability"
    )
    assert first[1].split(",")[7:9] == ["02.03.2024", "2024-03-02"]
    assert first[1].startswith("0001,")
    done = CliRunner().invoke(predict, [str(outcome.run.folder), "survey.csv", "-o", "told.csv"])
    assert done.exception is None
    told = pd.read_csv("told.csv", dtype=str)
    assert len(told) == 120
    assert told["Nr"][0] == "0000"


TABLE = pd.DataFrame(
    {
        "a": np.linspace(0, 1, 40).round(3),
        "b": np.linspace(0, 900, 40)[::-1].round(1),
        "c": ["x", "y"] * 20,
        "value": np.linspace(3, 5, 40).round(4),
    }
)


def test_other_forms_of_the_same_table():
    TABLE.to_parquet("t.parquet")
    TABLE.to_csv("plain.csv", index=False)
    TABLE.to_csv("tabs.tsv", index=False, sep="\t")
    TABLE.to_csv("index.csv")
    TABLE.to_csv("bare.csv", index=False, header=False)
    for name, differs in {
        "t.parquet": {"name": "parquet"},
        "plain.csv": {},
        "tabs.tsv": {"delimiter": "\t"},
        "index.csv": {"drop": [0]},
        "bare.csv": {"header": False, "categorical": ["2"]},
    }.items():
        begin(name, "-o", "t.yaml", "--force")
        usual = {"name": "csv", "path": name, "target": None, "categorical": ["c"]}
        assert written("t.yaml")["dataset"] == usual | differs
        assert written("t.yaml")["prepare"] == {"name": "standardize", "categories": "joint"}
        assert load_experiment("t.yaml").dataset.load().X.shape == (40, 5)


def guessed(columns, *given):
    pd.DataFrame(columns).to_csv("t.csv", index=False)
    begin("t.csv", "--force", *given)
    return written("t.yaml")["dataset"]["target"], written("t.yaml")["model"]["estimator"]


def test_a_target_is_guessed_or_given():
    numbers = {"a": np.linspace(0, 1, 40).round(3), "b": np.arange(40) ** 2}
    hit, kind = np.arange(40) % 2, ["u", "v"] * 20
    assert guessed({**numbers, "hit": hit}) == ("hit", "classifier")
    assert guessed({**numbers, "kind": kind}) == ("kind", "classifier")
    assert guessed({"kind": kind, **numbers}) == (None, "vq")
    assert guessed({"class": hit, **numbers}, "--task", "vq") == (None, "vq")
    with pytest.raises(DataError, match="no column that looks like the target"):
        guessed(numbers, "--task", "regressor")
    assert guessed({"hit": hit, **numbers, "other": 1 - hit}) == (None, "vq")
    assert guessed(TABLE.rename(columns={"value": "target"})) == ("target", "regressor")
    assert run("t.yaml").run.params["estimator"] == "regressor"
    assert guessed({"hit": hit, **numbers}, "--target", "a") == ("a", "regressor")
    assert guessed({**numbers, "kind": kind, "c": hit}, "--target", "kind") == (
        "kind",
        "classifier",
    )
    with pytest.raises(DataError, match=r"t\.csv has no column 'kinds'; did you mean 'kind'"):
        begin("t.csv", "--force", "--target", "kinds")
    with pytest.raises(DataError, match=r"column 'd' is no target: it looks like date"):
        guessed({**numbers, "d": ["2024-01-01", "2024-01-02"] * 20}, "--target", "d")


CUSTOMERS = pd.DataFrame(
    {
        "age": np.arange(120) % 50 + 18.5,
        "gone": (np.arange(120) % 6 == 0).astype(int),
        "balance": np.exp(np.arange(120) % 40 / 4).round(2),
        "plan": ["basic", "plus", "max"] * 40,
        "months": np.arange(120) % 37,
    }
)


def test_columns_that_may_be_meant_are_named(folder):
    CUSTOMERS.to_csv("t.csv", index=False)
    said = begin("t.csv")
    candidates = "columns of few values: gone, plan: --target NAME predicts one\n"
    assert f"\n{candidates}" in said
    assert f"numbers to predict; {candidates}" in (folder / "t.yaml").read_text(encoding="utf-8")
    assert written("t.yaml")["model"]["labeller"] == {"name": "clusters", "n_clusters": "auto"}
    assert len({*run("t.yaml").model.estimator.labels_}) < 25
    said = begin("t.csv", "--force", "--target", "gone")
    assert "columns of few values" not in said
    assert "labeller" not in written("t.yaml")["model"]


def test_arrays_and_data_sets_by_name(folder):
    X = TABLE[["a", "b"]].to_numpy(copy=True)
    X[3, 1] = np.nan
    np.save("x.npy", X)
    np.savez("xy.npz", X=X, y=np.arange(40) % 3)
    begin("x.npy")
    assert written("x.yaml")["dataset"] == {"name": "npy", "path": "x.npy", "missing": "keep"}
    begin("xy.npz")
    assert written("xy.yaml")["dataset"] == {
        "name": "npz", "path": "xy.npz", "missing": "keep",
    }  # fmt: skip
    begin("iris")
    assert written("iris.yaml")["model"]["estimator"] == "classifier"
    run("x.yaml")
    text = (folder / "xy.yaml").read_text(encoding="utf-8")
    (folder / "sweep.yaml").write_text(text.replace("# sweep:", "sweep:"), encoding="utf-8")
    assert load_sweep("sweep.yaml").runs == 9


def test_names_that_yaml_would_misread_stay_names():
    names = ["on", "1e3", "a: b", "#x", "${env:HOME}", "null", "'q", "[z", "ü", "s\u2028u"]
    names += ["a\ntracking: {name: mlflow, uri: http://evil}", "c\ufeffc"]
    file = "odd # name\nsplit: {}.csv"
    frame = pd.DataFrame({name: ["u", "v"] * 5 for name in names})
    frame["n"] = np.arange(10) ** 2
    frame["<<"] = [f"{i * i} kg" for i in range(10)]
    frame.to_csv(file, index=False)
    told = begin(file, "-o", "odd.yaml")
    assert not any(line.startswith(("tracking", "plugins", "split")) for line in told.splitlines())
    config = written("odd.yaml")
    assert {*config} == {"experiment", "dataset", "prepare", "model"}
    assert config["dataset"]["path"] == file
    names[names.index("${env:HOME}")] = 4
    assert config["dataset"]["categorical"] == names
    experiment = load_experiment("odd.yaml", ())
    assert experiment.dataset.path == file
    assert experiment.dataset.units == {"<<": "kg"}
    assert run("odd.yaml").run.data["features"] == 2 * len(names) + 2


def test_an_existing_file_stays_unless_forced(folder):
    (folder / "iris.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"iris\.yaml exists: give another name with -o, or --f"):
        begin("iris")
    assert (folder / "iris.yaml").read_text() == "mine"
    begin("iris", "--force")
    assert written("iris.yaml")["dataset"] == "iris"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no file and no data set 'x.csv'; did you mean 'y.csv'"),
        (b"", "x.csv is empty"),
        (b"a,b\n", "x.csv has no rows"),
        (b"a,b\nsome text,x\nother text,x\nmore text,x\n", "no column looks like numbers, dates"),
        (
            b'a;b\n1;"2\n3"\n\n4;5;6\n7;8\n9;8\n',
            "Expected 2 columns, got 3: 4;5;6",
        ),
        (b"PK\x03\x04" + bytes(99), "x.csv holds zero bytes"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-20], "is no csv file, or damaged"),
        ("folder", "x.csv is a folder without a .parquet file"),
        ("unreadable", "x.csv cannot be read: Permission denied"),
    ],
)
def test_what_cannot_be_looked_at_is_told_and_nothing_written(content, told, folder):
    (folder / "y.csv").write_text("a\n1\n")
    if content == "folder":
        (folder / "x.csv").mkdir()
    elif content == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root reads everything")
        (folder / "x.csv").touch(mode=0)
    elif content is not None:
        (folder / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=told):
        begin("x.csv")
    assert not (folder / "x.yaml").exists()


def test_a_large_file_is_judged_by_its_beginning(folder, monkeypatch):
    monkeypatch.setattr("dbgsom_core.runs.init._CELLS", 3000)
    rows = [f"{i % 97},{'ab'[i % 2]},{i / 7:.5f}" for i in range(18_000)]
    rows[3000] = ",a,"  # where nobody looks
    (folder / "big.csv").write_text("n,kind,x\n" + "\n".join(rows) + "\n")
    assert "big.csv: at least" in begin("big.csv")
    dataset = written("big.yaml")["dataset"]
    assert dataset["categorical"] == ["kind"]
    assert dataset["missing"] == "keep"
    assert "if parts that were not looked at have any" in (folder / "big.yaml").read_text()
    assert np.isnan(load_experiment("big.yaml").dataset.load().X).sum() == 2


# ---------------------------------------------------------------- what a column is taken for


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("a", ["1", "2", "2", "NA"], "number"),
        ("a", [f"{i * i}" for i in range(50)], "number"),
        ("nr", [f"{i * i}" for i in range(50)], "id"),
        ("a", [f"{i * 7:05d}" for i in range(50)], "id"),
        ("a", ["x", "y"] * 25, "category"),
        ("a", [f"words and {i}" for i in range(50)], "text"),
        ("user_id", [f"u{i}" for i in range(50)], "id"),
        ("a", ["2024-01-01", "2024-02-01", ""], "date"),
        ("a", ["x"] * 9, "constant"),
        ("a", ["", "NA", "?"], "empty"),
        ("share", [f"{i} %" for i in range(1, 50)], "number"),
        ("tall", [f"{i} cm" for i in range(1, 50)], "number"),
    ],
)
def test_kinds_of_columns(name, cells, kind):
    column = profile_column(1, name, count_values(pa.array(cells)))
    assert column.kind == kind
    assert column.unit == {"share": "%", "tall": "cm"}.get(name, "")


@pytest.mark.parametrize(
    ("rows", "rarest", "split"),
    [
        (40, 5, {"folds": 5, "stratify": True}),
        (40, 4, {"folds": 5}),
        (600, 2, {"test_size": 0.25, "stratify": True}),
        (10, 1, {"test_size": 0.25}),
    ],
)
def test_a_split_suits_the_rows_and_the_rarest_class(rows, rarest, split):
    target = ColumnProfile(0, "y", "category", rarest=rarest)
    assert suggest_split(rows, "classifier", target)[0] == split


@pytest.mark.parametrize(
    ("cell", "unit", "beside", "value"),
    [
        ("{0},{1:03d}.5 €", "€", "{0}.25", lambda i: 1000 * i + 7 * i + 0.5),
        ("{0}.{1:03d}m²", "m²", "{0}", lambda i: i + 7 * i / 1000),
        ("($123.{1:03d})", "$", "{0}", lambda i: -123 - 7 * i / 1000),
    ],
)
def test_numbers_with_a_unit_are_features(cell, unit, beside, value, folder):
    lines = [f"{beside};{cell}\n".format(i, 7 * i) for i in range(1, 31)]
    text = "a;price\n" + "".join(lines) + f"{beside};NA\n".format(5)
    (folder / "p.csv").write_text(text, encoding="utf-8")
    assert f"number in {unit}" in begin()
    dataset = load_experiment("p.yaml").dataset
    assert dataset.units == {"price": unit}
    read = dataset.load().X[:30, -1]
    assert read.tolist() == pytest.approx([value(i) for i in range(1, 31)])


@pytest.mark.parametrize(("mark", "decimal"), [(".", ","), ("\u202f", ","), (",", ".")])
def test_marks_between_thousands_are_found(folder, mark, decimal):
    rows = [
        f"{i % 3}{mark}{i * 7:03d}{decimal}5;{i * i}{decimal}25;{'ab'[i % 2]}" for i in range(40)
    ]
    (folder / "p.csv").write_text("price;b;kind\n" + "\n".join(rows), encoding="utf-8")
    begin()
    dataset = written("p.yaml")["dataset"]
    assert dataset["thousands"] == mark.replace("\u202f", " ")
    assert dataset["decimal" if decimal == "," else "target"] in (",", "kind")
    assert "drop" not in dataset
    data = load_experiment("p.yaml").dataset.load()
    assert data.X[4].tolist() == [1028.5, 16.25]
