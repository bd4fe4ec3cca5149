"""Using what a run left: predict, explain, show, export, ui."""

import contextlib
import gzip
import io
import json
import os
import platform
import signal
import subprocess
import sys
import time
from importlib import import_module
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import yaml

from dbgsom_core import persistence
from dbgsom_core.cli import main
from dbgsom_core.runs.using import table_reading

FRUIT = {
    "experiment": "fruit",
    "dataset": {
        "name": "csv", "path": "fruit.csv", "delimiter": ";", "target": "kind", "drop": ["id"],
        "categorical": ["colour"],
    },
    "prepare": ["standardize"],
    "model": {"estimator": "classifier", "epochs": 15},
    "figures": ["label_map"],
    "tracking": [],
}  # fmt: skip


def fruit(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["apple", "plum"], n)
    size = rng.normal(np.where(kind == "apple", 8, 4)).round(3)
    return pd.DataFrame(
        {
            "id": [f"{i:04d}" for i in range(n)],
            "size": size,
            "colour": rng.choice(["red", "blue"], n),
            "weight": rng.normal(size, 0.3).round(3),
            "kind": kind,
        }
    )


def called(folder, *arguments, stdin=b""):
    """Run the command in a folder, in this process; return exit code and both outputs."""
    out, err, argv = io.StringIO(), io.StringIO(), ["dbgsom", *map(str, arguments)]
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)))),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return ended.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    fruit(120, 1).to_csv(folder / "fruit.csv", sep=";", index=False)
    (folder / "fruit.yaml").write_text(yaml.safe_dump(FRUIT))
    code, _, err = called(folder, "run", "fruit.yaml", "-q")
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def run_folder(shop):
    (found,) = (shop / "runs" / "fruit").iterdir()
    return found


@pytest.fixture(scope="module")
def model(run_folder):
    return persistence.load(run_folder / "model.npz")


@pytest.fixture(scope="module")
def new():
    return fruit(50, 2)


@pytest.fixture
def told(shop):
    """Call the command where it has to succeed, and return what it printed."""

    def tell(*arguments, stdin=b""):
        code, out, err = called(shop, *arguments, stdin=stdin)
        assert code == 0, err
        return out, err

    return tell


@pytest.fixture
def refused(shop):
    """Call the command where it has to be refused, and return the sentence."""

    def tell(*arguments):
        before = sorted(shop.rglob("*"))
        code, out, err = called(shop, *arguments)
        assert code == 2, (out, err)
        assert out == ""
        assert sorted(shop.rglob("*")) == before
        return err

    return tell


# ------------------------------------------------------------------------------------ predict


def test_rows_are_answered_by_the_names_of_their_columns(shop, told, new, model):
    new[["weight", "id", "colour", "size"]].assign(extra=1).to_csv(shop / "new.csv", index=False)
    _, err = told("predict", "fruit", "new.csv", "-o", "answers.csv")
    found = pd.read_csv(shop / "answers.csv")
    assert list(found) == [
        "label", "unit", "x", "y", "distance", "novelty", "outlier", "probability_apple",
        "probability_plum",
    ]  # fmt: skip
    expected = model.answers(new)
    assert (found["label"] == model.predict(new)).all()
    assert (found["unit"] == expected.unit).all()
    assert (found[["x", "y"]].to_numpy() == expected.cell).all()
    assert (found["distance"] == expected.distance).all()  # to the bit
    assert (found["novelty"] == expected.novelty).all()
    assert (found["outlier"] == expected.outlier).all()
    shares = found[["probability_apple", "probability_plum"]].to_numpy()
    np.testing.assert_array_equal(shares, expected.probabilities)
    assert "'extra'" in err
    assert "50 rows answered" in err
    assert not list(shop.glob(".*"))


def test_any_length_is_answered_chunk_by_chunk(shop, told, new, monkeypatch):
    new.to_csv(shop / "whole.csv", index=False)
    told("predict", "fruit", "whole.csv", "-o", "whole-answers.csv", "--keep", "id", "-q")
    monkeypatch.setattr(table_reading, "_MOST_ROWS", 7)
    for number, chunked in enumerate(("whole.csv", "whole.parquet", "whole.tsv.gz")):
        if chunked.endswith(".parquet"):
            new.set_index("id").to_parquet(shop / chunked)
        elif chunked.endswith(".gz"):
            with gzip.open(shop / chunked, "wt") as file:
                new.to_csv(file, sep="\t", index=False)
        target = f"part{number}.csv"
        told("predict", "fruit", chunked, "-o", target, "--keep", "id", "-q")
        assert (shop / target).read_bytes() == (shop / "whole-answers.csv").read_bytes()
    assert (shop / "whole-answers.csv").read_text().splitlines()[1].startswith("0000,")


def test_columns_that_begin_empty_are_carried_along(shop, told, new, monkeypatch):
    monkeypatch.setattr(table_reading, "_MOST_ROWS", 7)
    notes = [None] * 20 + ["late"] * 30
    new.assign(note=notes, age=range(50)).to_parquet(shop / "late.parquet")
    arguments = ("predict", "fruit", "late.parquet", "--columns", "label", "--keep", "note,age")
    told(*arguments, "-o", "late-out.parquet")
    found = pd.read_parquet(shop / "late-out.parquet")
    assert found["note"][:20].isna().all()
    assert (found["note"][20:] == "late").all()
    assert found["age"].tolist() == list(range(50))


@pytest.mark.parametrize("ending", ["parquet", "npy", "tsv"])
def test_every_kind_of_file_reads_back(shop, told, new, model, ending):
    new.to_csv(shop / "new.csv", index=False)
    target = f"out.{ending}"
    told("predict", "fruit", "new.csv", "-o", target, "--columns", "novelty,label,unit")
    if ending == "npy":
        found = pd.DataFrame(np.load(shop / target))
    elif ending == "tsv":
        found = pd.read_csv(shop / target, sep="\t")
    else:
        found = pd.read_parquet(shop / target)
    expected = model.answers(new)
    assert list(found) == ["novelty", "label", "unit"]
    assert (found["novelty"] == expected.novelty).all()
    assert (found["label"] == expected.label).all()
    assert (found["unit"] == expected.unit).all()


def test_one_column_is_a_plain_array(shop, told, new, model):
    new.to_csv(shop / "new.csv", index=False)
    told("predict", "fruit", "new.csv", "-o", "one.npy", "--columns", "distance")
    np.testing.assert_array_equal(np.load(shop / "one.npy"), model.answers(new).distance)


def test_it_is_a_filter(told, new):
    text = new.to_csv(index=False)
    out, err = told("predict", "fruit", "-", "--columns", "label", "--keep", "id,kind",
                    stdin=text.encode())  # fmt: skip
    found = pd.read_csv(io.StringIO(out), dtype=str)
    assert list(found) == ["id", "kind", "label"]
    assert (found["id"] == new["id"]).all()
    assert "rows answered" in err


def test_text_that_needs_quotes_gets_them(shop, told, new):
    odd = new.assign(id=['a,"b"'] + ["c"] * 49)
    odd.to_csv(shop / "odd.csv", index=False)
    told("predict", "fruit", "odd.csv", "-o", "odd-out.csv", "--keep", "id")
    assert pd.read_csv(shop / "odd-out.csv")["id"][0] == 'a,"b"'


def test_ids_of_the_model_are_carried_along(shop, told, new, model, run_folder):
    from dataclasses import replace

    columns = replace(model.columns, ids=("id",), dropped=())
    replace(model, columns=columns).save(shop / "with-ids.npz")
    new.to_csv(shop / "new.csv", index=False)
    out, _ = told("predict", "with-ids.npz", "new.csv", "--columns", "label")
    assert out.splitlines()[:2] == ["id,label", f"0000,{model.predict(new)[0]}"]
    new.drop(columns="id").to_csv(shop / "no-ids.csv", index=False)
    assert told("predict", "with-ids.npz", "no-ids.csv", "--columns", "label")[0][:6] == "label\n"


@pytest.mark.parametrize("written", ["semicolons", "tabs", "sep line", "comma decimals", "packed"])
def test_files_are_read_as_people_write_them(shop, told, new, model, written):
    path, decimal = shop / "people.csv", "."
    if written == "semicolons":
        path.write_text(new.to_csv(sep=";", index=False))
    elif written == "tabs":
        path.write_text(new.to_csv(sep="\t", index=False))
    elif written == "sep line":
        path.write_text('"sep=|"\n\n' + new.to_csv(sep="|", index=False), encoding="utf-8-sig")
    elif written == "packed":
        path = shop / "people.csv.gz"
        with gzip.open(path, "wt") as file:
            file.write(new.to_csv(index=False))
    else:
        from dataclasses import replace

        decimal = ","
        path.write_text(new.to_csv(sep=";", decimal=",", index=False))
        replace(model, columns=replace(model.columns, decimal=",")).save(shop / "comma.npz")
    name = "comma.npz" if decimal == "," else "fruit"
    out, _ = told("predict", name, path.name, "--columns", "distance")
    found = pd.read_csv(io.StringIO(out))["distance"]
    assert (found == model.answers(new).distance).all()


def test_files_without_a_header_are_read_as_in_training(shop, new):
    folder = shop / "bare"
    folder.mkdir()
    fruit(60, 1).to_csv(folder / "fruit.csv", index=False, header=False)
    section = {"name": "csv", "path": "fruit.csv", "header": False, "target": 4, "drop": [0],
               "categorical": [2]}  # fmt: skip
    (folder / "bare.yaml").write_text(yaml.safe_dump({**FRUIT, "dataset": section}))
    code, _, err = called(folder, "run", "bare.yaml", "-q")
    assert code == 0, err
    new.to_csv(folder / "new.csv", index=False, header=False)
    code, out, err = called(folder, "predict", "fruit", "new.csv", "--columns", "distance")
    assert code == 0, err
    (left,) = (folder / "runs" / "fruit").iterdir()
    model = persistence.load(left / "model.npz")
    expected = model.answers(new.set_axis(["0", "1", "2", "3", "4"], axis=1)).distance
    assert (pd.read_csv(io.StringIO(out))["distance"] == expected).all()


def test_words_of_another_spelling_are_read_as_in_training(shop, told, new, model):
    odd = new.astype({"size": object})
    odd.loc[3, "size"] = "True"
    odd.to_csv(shop / "true.csv", index=False)
    out, _ = told("predict", "fruit", "true.csv", "--columns", "distance")
    expected = new.assign(size=np.where(np.arange(50) == 3, 1.0, new["size"]))
    assert (pd.read_csv(io.StringIO(out))["distance"] == model.answers(expected).distance).all()


def test_arrays_are_answered_by_place(shop, told, digits):
    from dbgsom_core import SomClassifier

    X, y = digits
    SomClassifier(epochs=5).fit(X, y).save(shop / "digits.npz")
    again = SomClassifier.load(shop / "digits.npz")
    np.save(shop / "digits.npy", X[:100])
    np.savetxt(shop / "digits.csv", X[:100], delimiter=",")
    expected = again.predict(X[:100])
    for source in ("digits.npy", "digits.csv"):
        told("predict", "digits.npz", source, "-o", "digits-out.npy", "--columns", "label")
        np.testing.assert_array_equal(np.load(shop / "digits-out.npy"), expected)


def test_what_cannot_be_answered_is_refused_and_nothing_is_left(shop, refused, new, monkeypatch):
    monkeypatch.setattr(table_reading, "_MOST_ROWS", 7)
    (shop / "bad.csv").write_text(new.drop(columns=["weight", "colour"]).to_csv(index=False))
    (shop / "words.csv").write_text(
        new.astype({"size": object}).assign(size=["1"] * 30 + ["big"] + ["1"] * 19).to_csv()
    )
    gap = new.copy()
    gap.loc[20, "weight"] = np.nan
    gap.to_csv(shop / "gap.csv", index=False)
    (shop / "empty.csv").write_text("")
    (shop / "long.csv").write_text("size,colour,weight\n1,red,2\n1,red,2,3\n")
    np.save(shop / "narrow.npy", np.ones((3, 2)))
    (shop / "broken.parquet").write_bytes(b"PAR1 no parquet")
    (shop / "latin.csv").write_bytes("size,colour,weight\n1,grün,2\n".encode("latin-1"))
    out = ("-o", "x.csv")
    assert "lacks 2 columns ('colour', 'weight')" in refused("predict", "fruit", "bad.csv", *out)
    told = refused("predict", "fruit", "words.csv", *out)
    assert "words.csv, row 30, column 'size': 'big' is no number" in told
    assert "empty.csv is empty" in refused("predict", "fruit", "empty.csv", *out)
    assert "long.csv" in refused("predict", "fruit", "long.csv", *out)
    assert "has 2 columns" in refused("predict", "fruit", "narrow.npy", *out)
    assert "parquet" in refused("predict", "fruit", "broken.parquet", *out)
    assert "--encoding" in refused("predict", "fruit", "latin.csv", *out)
    assert "none.csv" in refused("predict", "fruit", "none.csv", *out)
    assert "did you mean 'novelty'" in refused("predict", "fruit", "bad.csv", "--columns", "novlty")
    assert "no column 'nr'" in refused("predict", "fruit", "gap.csv", "--keep", "nr", *out)
    assert ".xlsx" in refused("predict", "fruit", "gap.csv", "-o", "x.xlsx")
    assert "no folder" in refused("predict", "fruit", "gap.csv", "-o", "nowhere/x.csv")
    assert "text of any length" in refused(
        "predict", "fruit", "gap.csv", "-o", "x.npy", "--keep", "id"
    )


def test_gaps_that_the_model_cannot_take_are_located(shop, refused, new):
    from dbgsom_core import SomVQ
    from dbgsom_core.estimators.model_file import FittedModel
    from dbgsom_core.interfaces.columns import Columns

    X = new[["size", "weight"]].to_numpy()
    columns = Columns(("size", "weight"))
    FittedModel((), SomVQ(metric="cosine", epochs=3).fit(X), columns).save(shop / "cosine.npz")
    gap = new.copy()
    gap.loc[20, "weight"] = np.nan
    gap.to_csv(shop / "gap.csv", index=False)
    told = refused("predict", "cosine.npz", "gap.csv", "-o", "x.csv")
    assert "gap.csv, row 20, column 'weight': the value is missing" in told


def test_columns_of_one_name_and_the_input_itself_are_not_written_over(shop, refused, told, new):
    new.assign(label="mine").to_csv(shop / "named.csv", index=False)
    sentence = refused("predict", "fruit", "named.csv", "--keep", "label", "-o", "x.csv")
    assert "'label' is carried along and written as well" in sentence
    out, _ = told("predict", "fruit", "named.csv", "--keep", "label", "--columns", "unit")
    assert out.splitlines()[0] == "label,unit"
    assert "is the file that is read" in refused("predict", "fruit", "named.csv", "-o", "named.csv")


def test_an_encoding_of_the_training_is_that_of_new_rows(shop):
    folder = shop / "latin"
    folder.mkdir()
    named = fruit(60, 1).replace({"colour": {"red": "grün"}})
    named.to_csv(folder / "fruit.csv", sep=";", index=False, encoding="latin-1")
    section = {**FRUIT["dataset"], "encoding": "latin-1"}
    (folder / "latin.yaml").write_text(yaml.safe_dump({**FRUIT, "dataset": section}))
    code, _, err = called(folder, "run", "latin.yaml", "-q")
    assert code == 0, err
    code, out, err = called(folder, "predict", "fruit", "fruit.csv", "--columns", "label")
    assert code == 0, err
    assert len(out.splitlines()) == 61


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_half_written(shop, new, monkeypatch, how):
    monkeypatch.setattr(table_reading, "_MOST_ROWS", 7)
    new.to_csv(shop / "new.csv", index=False)
    predict = import_module("dbgsom_core.runs.using.predict")
    answers, looked = predict._answers, []

    def interrupted(*given):
        looked.append(given)
        if len(looked) == 3:
            signal.raise_signal(how)
        return answers(*given)

    monkeypatch.setattr(predict, "_answers", interrupted)
    before = sorted(shop.iterdir())
    code, _, err = called(shop, "predict", "fruit", "new.csv", "-o", "cut.csv")
    assert code == 128 + how
    assert "interrupted" in err
    assert sorted(shop.iterdir()) == before


def test_an_output_stays_as_it_was_when_the_input_breaks_off(shop, refused, new, monkeypatch):
    monkeypatch.setattr(table_reading, "_MOST_ROWS", 7)
    (shop / "kept.csv").write_text("before")
    (shop / "words.csv").write_text(
        new.astype({"size": object}).assign(size=["1"] * 30 + ["big"] + ["1"] * 19).to_csv()
    )
    refused("predict", "fruit", "words.csv", "-o", "kept.csv")
    assert (shop / "kept.csv").read_text() == "before"


# ---------------------------------------------------------------------------- which model it is


def test_a_run_is_found_by_folder_id_and_experiment(shop, told, new, run_folder):
    new.to_csv(shop / "new.csv", index=False)
    wanted = told("predict", run_folder, "new.csv")[0]
    for name in (run_folder.name, run_folder.name[-6:], "fruit", run_folder / "model.npz"):
        assert told("predict", name, "new.csv")[0] == wanted


def test_names_that_mean_nothing_are_told_with_the_nearest(refused, run_folder):
    assert "did you mean 'fruit'" in refused("predict", "friut", "new.csv")
    assert "no run folder" in refused("show", "nothing-like-it")


def test_the_best_run_of_a_sweep_speaks_for_it(shop, told, new):
    folder = shop / "swept"
    folder.mkdir()
    fruit(120, 1).to_csv(folder / "fruit.csv", sep=";", index=False)
    new.to_csv(folder / "new.csv", index=False)
    varied = {**FRUIT, "sweep": {"grid": {"model.epochs": [2, 15]}}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(varied))
    code, _, err = called(folder, "sweep", "sweep.yaml", "-q")
    assert code == 0, err
    code, _, err = called(folder, "predict", "fruit", "new.csv", "--columns", "label")
    assert code == 0, err
    assert "is the best run of sweep" in err
    shown = called(folder, "show", "fruit")[1]
    assert "best: " in shown
    assert "model.epochs" in shown or "epochs=" in shown


# ------------------------------------------------------------------------------------ explain


def test_a_row_is_explained(shop, told, new, model):
    odd = new.copy()
    odd.loc[4, "weight"] = 30.0
    odd.to_csv(shop / "odd.csv", index=False)
    out, _ = told("explain", "fruit", "odd.csv", "--row", "4", "--json")
    found = json.loads(out)
    assert found["differences"][0]["feature"] == "weight"
    assert found["differences"][0]["value"] == pytest.approx(30)
    assert found["differences"][0]["deviations"] > 3
    assert found["outlier"] is True
    assert found["label"] == model.predict(odd)[4]
    training = fruit(120, 1)
    apart = np.abs(model.prepare(training) - model.prepare(odd)[4])
    nearest = np.argsort(np.linalg.norm(apart, axis=1))[:5]
    assert [one["row"] for one in found["nearest"]] == nearest.tolist()
    assert [one["target"] for one in found["nearest"]] == training["kind"][nearest].tolist()
    told_text, _ = told("explain", "fruit", "odd.csv", "--row", "4", "--nearest", "2")
    assert "unlike the training data" in told_text
    assert "neurons beside it" in told_text
    assert told_text.index("weight") < told_text.index("size")


def test_training_rows_are_left_out_where_they_have_changed(shop, told, new, run_folder):
    new.to_csv(shop / "new.csv", index=False)
    before = (shop / "fruit.csv").read_text()
    try:
        (shop / "fruit.csv").write_text(before.replace("red", "blue", 1))
        out, err = told("explain", "fruit", "new.csv", "--row", "0")
    finally:
        (shop / "fruit.csv").write_text(before)
    assert "not what it was" in err
    assert "most like it" not in out


def test_a_row_that_is_not_there_is_told(shop, refused, new):
    new.to_csv(shop / "new.csv", index=False)
    assert "has 50 rows" in refused("explain", "fruit", "new.csv", "--row", "50")


# --------------------------------------------------------------------------------------- show


def test_a_run_is_shown(told, run_folder, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out, _ = told("show", run_folder)
    assert "finished in" in out
    assert "accuracy" in out
    assert f"model: {run_folder / 'model.npz'}" in out
    assert "figure: " in out
    assert "a  apple" in out
    assert "\x1b" not in out
    hits, _ = told("show", run_folder, "--map", "hits")
    assert "hits: " in hits
    assert "█" in hits


def test_the_map_in_blocks_is_the_map(model):
    from rich.console import Console

    from dbgsom_core.cli.map_blocks import map_blocks

    estimator = model.estimator
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    lines = [line.plain for line in map_blocks(estimator, "label", console)]
    rows, columns = estimator.som_map_.shape
    drawn = lines[:rows]
    top = max(y for _, y in estimator.neurons_)
    left = min(x for x, _ in estimator.neurons_)
    signs = {"apple": "a", "plum": "p"}
    for (x, y), label, hits in zip(
        estimator.neurons_, estimator.neuron_labels_, estimator.hit_counts_, strict=True
    ):
        cell = drawn[top - y][3 * (x - left) : 3 * (x - left) + 3]
        assert cell.strip() == (signs[label] if hits else "·")
    assert sum(len(line.split()) for line in drawn) == len(estimator.neurons_)
    assert max(map(len, drawn)) == 3 * columns
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    plain = map_blocks(estimator, "hits", Console(file=file, no_color=True))
    assert all(line.plain.isascii() for line in plain)


def test_many_classes_are_told_by_their_beginnings(digits):
    from rich.console import Console

    from dbgsom_core import SomClassifier
    from dbgsom_core.cli.map_blocks import map_blocks

    X, y = digits
    names = np.array([f"{chr(97 + i % 26)}{i}" for i in range(40)])
    clf = SomClassifier(max_neurons=80, epochs=20).fit(X, names[y + 10 * (np.arange(len(X)) % 4)])
    assert len(set(clf.neuron_labels_)) > 20
    lines = map_blocks(clf, "label", Console(file=io.StringIO(), no_color=True))
    drawn = [line.plain for line in lines[: clf.som_map_.shape[0]]]
    shown = {line[at : at + 3].strip() for line in drawn for at in range(0, len(line), 3)}
    assert shown - {"·", ""} == set(clf.neuron_labels_[clf.hit_counts_ > 0])


def test_a_failed_run_says_why(shop, told):
    from dbgsom_core.runs.folder.store import RunFiles, now, write_json, write_status

    files = RunFiles(shop / "runs" / "odd" / "20260101-000000-abcdef")
    files.folder.mkdir(parents=True)
    write_status(files, "failed", now(), now(), "ValueError: \x1b[31mno")
    write_json(files.run, {"id": files.folder.name, "name": "odd one", "experiment": "odd"})
    out, _ = told("show", "odd")
    assert "because: ValueError: \\x1b[31mno" in out
    code, _, err = called(shop, "predict", "odd", "new.csv")
    assert code == 2
    assert "has left no model: it failed" in err


# ------------------------------------------------------------------------------------- export


def test_neurons_are_exported_in_raw_units(shop, told, model, tmp_path):
    out, _ = told("export", "fruit")
    table = pd.read_csv(io.StringIO(out))
    estimator = model.estimator
    assert list(table.columns[6:]) == list(model.columns.feature_names)
    raw = model.steps[0][1].inverse_transform(estimator.weights_)
    np.testing.assert_allclose(table.iloc[:, 6:], raw, rtol=1e-12, atol=1e-12)
    assert list(zip(table["x"], table["y"], strict=True)) == estimator.neurons_
    assert (table["hits"] == estimator.hit_counts_).all()
    assert (table["label"] == estimator.neuron_labels_).all()

    told("export", "fruit", "-o", "map.json")
    found = json.loads((shop / "map.json").read_text())
    assert found["metric"] == "euclidean"
    assert found["maps"][0]["links"] == estimator.som_map_.edges().tolist()
    assert found["maps"][0]["neurons"][2]["label"] == estimator.neuron_labels_[2]

    told("export", "fruit", "-o", "map-arrays.npz")
    with np.load(shop / "map-arrays.npz") as arrays:
        np.testing.assert_allclose(arrays["prototypes"], raw, rtol=1e-12)
        assert arrays["features"].tolist() == list(model.columns.feature_names)
        assert arrays["positions"].tolist() == [list(cell) for cell in estimator.neurons_]


def test_child_maps_are_exported_below_their_neurons(digits, tmp_path):
    from dbgsom_core import SomVQ
    from dbgsom_core.estimators.model_file import FittedModel
    from dbgsom_core.runs.using.export import exported
    from dbgsom_core.runs.using.predict import predict_file

    base = {"name": "directed", "spreading_factor": 0.1}
    growth = {"name": "hierarchical", "base": base, "tau_2": 0.02}
    vq = SomVQ(growth=growth, epochs=20).fit(digits[0])
    np.save(tmp_path / "digits.npy", digits[0])
    predict_file(FittedModel((), vq), str(tmp_path / "digits.npy"), str(tmp_path / "ways.csv"))
    ways = pd.read_csv(tmp_path / "ways.csv", dtype={"path": str})
    down = vq.leaf_paths_[vq.answers(digits[0]).leaf].tolist()
    assert ways["path"].tolist() == ["/".join(str(n) for n in way if n >= 0) for way in down]
    table = pd.read_csv(io.BytesIO(exported(FittedModel((), vq), "csv")), keep_default_na=False)
    assert len(table) == sum(map(len, vq._tree.maps))
    for neuron in vq.som_map_.children:
        below = table[table["map"] == str(neuron)]
        assert below["hits"].sum() == vq.hit_counts_[neuron]


def test_what_cannot_be_exported_is_refused(refused):
    assert "no text" in refused("export", "fruit", "--format", "npz")
    assert "such a folder" in refused("export", "fruit", "-o", "nowhere/map.csv")


# ----------------------------------------------------------------------------------------- ui


def test_runs_in_no_tracker_have_no_page(shop):
    code, _, err = called(shop, "ui", "fruit.yaml", "--print")
    assert code == 1
    assert "dbgsom show" in err


def test_ui_without_a_store_makes_none(dbgsom, tmp_path):
    answer = dbgsom("ui", "--print")
    assert answer.code == 1
    assert "there is no MLflow store" in answer.err
    assert not list(tmp_path.iterdir())


SERVER = """
import http.server, os, sys
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *given): pass
child = os.fork()
if child == 0:
    import time
    while True: time.sleep(60)
with open(sys.argv[2], "w") as note:
    note.write(str(child))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Quiet).serve_forever()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_page_with_all_of_its_processes(how, tmp_path, monkeypatch, capsys):
    from dbgsom_core.interfaces.trackers import Page
    from dbgsom_core.runs.ends import Interrupted
    from dbgsom_core.runs.folder.processes import Process, _started

    ui = import_module("dbgsom_core.cli.ui")
    port, note = ui._free_port(), tmp_path / "child"
    page = Page(
        f"http://127.0.0.1:{port}/#/x", [sys.executable, "-c", SERVER, str(port), str(note)]
    )
    seen, below = [], []
    popen = subprocess.Popen

    def started(*given, **named):
        seen.append(popen(*given, **named))
        return seen[0]

    told = ui.click.echo

    def hear(text, **named):  # once it serves, somebody asks to end
        told(text, **named)
        if str(text).startswith("open"):
            child = int(note.read_text())
            below.append(Process(platform.node(), child, _started(child)))
            assert below[0].lives()
            os.kill(os.getpid(), how)

    monkeypatch.setattr(ui.subprocess, "Popen", started)
    monkeypatch.setattr(ui.click, "echo", hear)
    try:
        with pytest.raises(Interrupted):
            ui._serve(page, in_browser=False)
        assert seen[0].poll() is not None
        until = time.monotonic() + 10
        while below[0].lives() and time.monotonic() < until:
            time.sleep(0.01)
        assert not below[0].lives()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(seen[0].pid, signal.SIGKILL)
    assert f"open http://127.0.0.1:{port}/#/x" in capsys.readouterr().out


def test_a_page_that_ends_by_itself_is_told():
    from dbgsom_core.errors import DbgsomError
    from dbgsom_core.interfaces.trackers import Page

    ui = import_module("dbgsom_core.cli.ui")
    words = [sys.executable, "-c", "import sys; print('no port for me'); sys.exit(3)"]
    with pytest.raises(DbgsomError, match="exit code 3: no port for me"):
        ui._serve(Page("http://127.0.0.1:9/#/", words), in_browser=False)
