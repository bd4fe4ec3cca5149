"""``dbgsom init``: a file of which nothing is known becomes a configuration that runs."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from dbgsom_core import persistence
from dbgsom_core.cli.explain import explain
from dbgsom_core.cli.init import init
from dbgsom_core.cli.predict import predict
from dbgsom_core.config import load_experiment, load_sweep
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.pipeline import run_experiment


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(*given):
    done = CliRunner().invoke(init, list(given))
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
    sizes[3], sizes[7], sizes[9] = "", "NA", "k.A."
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


def test_commands_that_are_told_can_be_typed(folder):
    (folder / "my survey.csv").write_text("a;b\n" + "".join(f"{i};{i % 7}\n" for i in range(30)))
    assert begin("my survey.csv").endswith("next: dbgsom run 'my survey.yaml'\n")
    lines = (folder / "my survey.yaml").read_text().splitlines()
    assert lines[2:4] == ["#   dbgsom validate 'my survey.yaml'", "#   dbgsom run 'my survey.yaml'"]


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: b"sep=;\r\n" + text.encode("latin-1"),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode("cp1252")),
    ],
    ids=["BOM", "sep, latin-1", "utf-16", "gzip, cp1252"],
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
    assert dataset["drop"] == ["leer", "Welle", "Bemerkung", 9]
    assert (dataset["dates"], dataset["missing"], dataset["missing_target"]) == (
        "drop", "keep", "drop",
    )  # fmt: skip
    assert dataset["na_values"][-1] == "k.A."
    outcome = run("survey.yaml")
    assert any("6 of 120 samples have no target" in note for note in outcome.result.notes)
    assert outcome.result.view.title.startswith("survey: ")
    frame = pd.DataFrame(
        {"Kinder": [1, 2], "Größe": ["0,1", "9,8"], "Region": ["Nord", "Ost"], "Nr": ["1", "2"]}
    )
    model = persistence.load(outcome.run.folder / "model.npz")
    assert model.predict(frame).tolist() == ["nein", "ja"]
    first = (outcome.run.folder / "assignments.csv").read_text().splitlines()
    assert first[0] == "Nr,unit,x,y,label,distance,novelty"
    assert first[1].startswith("0001,")
    done = CliRunner().invoke(predict, [str(outcome.run.folder), "survey.csv", "-o", "told.csv"])
    assert done.exception is None
    told = (folder / "told.csv").read_text().splitlines()
    assert len(told) == 121
    assert told[1].startswith("0000,")
    (folder / "other.csv").write_bytes(b"\xef\xbb\xbf" + survey().encode())
    again = CliRunner().invoke(predict, [str(outcome.run.folder), "other.csv", "-o", "again.csv"])
    assert again.exception is None
    assert (folder / "again.csv").read_text().splitlines() == told


def test_a_model_of_a_latin_1_file_reads_files_in_utf_8(folder, typed):
    (folder / "old.csv").write_bytes(survey().encode("latin-1"))
    begin("old.csv")
    model = str(run("old.yaml").run.folder)
    (folder / "new.csv").write_bytes(survey().encode())

    def answers(file, *more):
        done = typed(predict, model, file, "-o", "told.csv", *more)
        return (folder / "told.csv").read_bytes(), done.stderr

    expected, note = answers("old.csv")
    assert "UTF-8" not in note
    found, note = answers("new.csv")
    assert found == expected
    assert "note: new.csv is read as UTF-8, which it is, and not as latin-1" in note
    with pytest.raises(DataError, match="lacks column 'Größe'"):
        answers("new.csv", "--encoding", "latin-1")
    (folder / "alone.npz").write_bytes((Path(model) / "model.npz").read_bytes())
    model = "alone.npz"  # it does not know how the training's file was written
    assert answers("old.csv", "--encoding", "latin-1")[0] == expected
    with pytest.raises(DataError, match=r"old\.csv is no text of the encoding UTF-8: say which"):
        answers("old.csv")
    done = typed(explain, model, "new.csv", "--row", "1", "--json", "--nearest", "0")
    told = json.loads(done.stdout)
    assert told["label"] in ("ja", "nein")
    assert told["ids"] == {"Nr": "0001"}
    done = typed(explain, model, "new.csv", "--row", "1")
    assert done.stdout.startswith("row 1 of new.csv (Nr 0001): ")


TABLE = pd.DataFrame(
    {
        "a": np.linspace(0, 1, 40).round(3),
        "b": np.linspace(0, 900, 40)[::-1].round(1),
        "c": ["x", "y"] * 20,
        "value": np.linspace(3, 5, 40).round(4),
    }
)


def test_other_forms_of_the_same_table(folder):
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
        assert written("t.yaml")["prepare"] == "standardize"
        assert run("t.yaml").run.data["features"] == 5


def test_a_target_of_numbers_makes_a_regressor(folder):
    TABLE.rename(columns={"value": "target"}).to_csv("t.csv", index=False)
    begin("t.csv")
    assert written("t.yaml")["model"]["estimator"] == "regressor"
    assert run("t.yaml").run.params["estimator"] == "regressor"


def test_arrays_and_data_sets_by_name(folder):
    X = TABLE[["a", "b"]].to_numpy(copy=True)
    X[3, 1] = np.nan
    np.save("x.npy", X)
    np.savez("xy.npz", data=X, labels=np.arange(40) % 3)
    begin("x.npy")
    assert written("x.yaml")["dataset"] == {"name": "npy", "path": "x.npy", "missing": "keep"}
    begin("xy.npz")
    assert written("xy.yaml")["dataset"] == {
        "name": "npz", "path": "xy.npz", "x": "data", "y": "labels", "missing": "keep",
    }  # fmt: skip
    begin("iris")
    assert written("iris.yaml")["model"]["estimator"] == "classifier"
    for name in ("x", "xy", "iris"):
        run(f"{name}.yaml")
        text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
        (folder / "sweep.yaml").write_text(text.replace("# sweep:", "sweep:"), encoding="utf-8")
        assert load_sweep("sweep.yaml").runs == 9


def test_dates_alone_are_counted(folder):
    days = [f"{i + 1:02d}.0{i % 9 + 1}.2024" for i in range(20)]
    (folder / "d.csv").write_text("a;b\n" + "\n".join(f"{day};{day}" for day in days))
    begin("d.csv")
    assert written("d.yaml")["dataset"]["dates"] == "ordinal"
    assert run("d.yaml").run.data["features"] == 2


def test_names_that_yaml_would_misread_stay_names(folder):
    names = ["on", "1e3", "a: b", "#x", "${env:HOME}", "null", "'q", "[z", "ü"]
    frame = pd.DataFrame({name: ["u", "v"] * 5 for name in names})
    frame["n"] = np.arange(10) ** 2
    frame["n\n2"] = np.arange(10) ** 3
    frame.to_csv("odd.csv", index=False)
    begin("odd.csv")
    experiment = load_experiment("odd.yaml", ())
    assert set(experiment.dataset.categorical) == {*names} - {"${env:HOME}"} | {4}
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
        (b"a,b\n", "a header and no line below it"),
        (b"\n\n", "holds no rows"),
        (b"Report;;;\na;b;c;d\n1;2;3;4\n", "the first line names 1 of 4 columns: take lines above"),
        (b"a,b\nsome text,x\nother text,x\nmore text,x\n", "no column looks like numbers, dates"),
        (
            b'a;b\n1;"2\n3"\n\n4;5;6\n7;8\n9;8\n',
            "x.csv, line 5 has 3 fields and line 1 has 2: give every line",
        ),
        (b"sep=;\na;b;c\n1;2;3\n4\n5;6;7\n", "line 4 has 1 field and line 2 has 3"),
        (b"a,b,c,d\nx\ny\nz,z\n", "line 2 has 1 field and line 1 has 4"),
        (b'a,b\n"1,2\n3,4\n', "line 2 has 1 field and line 1 has 2: check for a quote that never"),
        (
            b'Of May\na;"b\nc"\n1;2\n3;4\n',
            "line 2 has 2 fields and line 1 has 1: take lines above the",
        ),
        (bytes(200), "x.csv is no text"),
        (b"PK\x03\x04" + bytes(99), "a zip archive, or a workbook: unpack it"),
        (b"PAR1" + bytes(99), "no Parquet file, or damaged"),
        (b"\x93NUMPY" + bytes(99), "no array that can be read"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-20], "damaged or cut short"),
    ],
)
def test_what_cannot_be_looked_at_is_told_and_nothing_written(content, told, folder):
    (folder / "y.csv").write_text("a\n1\n")
    if content is not None:
        (folder / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=told):
        begin("x.csv")
    assert not (folder / "x.yaml").exists()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_says_missing_in_one_column_says_so_in_all(form, folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=60).round(3).astype(str),
            "sparse": rng.integers(0, 9, 60).astype(str),
            "region": ["Nord", "Ost", "Süd"] * 20,
            "answer": ["ja", "nein"] * 30,
        }
    )
    frame.loc[[4], "x"] = "k.A."
    frame.loc[:20, "sparse"] = "k.A."  # numbers, once it is known what the word says
    frame.loc[[7, 8], "region"] = "K.A."
    frame.loc[[9], "region"] = "NA"
    frame.loc[[1, 5, 11], "answer"] = "k.A."
    frame.to_csv("t.csv", index=False) if form == "csv" else frame.to_parquet("t.parquet")
    begin(f"t.{form}")
    dataset = written("t.yaml")["dataset"]
    assert dataset["na_values"][-1] == "k.A."
    assert dataset["categorical"] == ["region"]
    assert (dataset["missing"], dataset["missing_target"]) == ("keep", "drop")
    assert "2 values: ja, nein;" in (folder / "t.yaml").read_text(encoding="utf-8")
    run_ = run("t.yaml").run
    assert (run_.data["samples"], run_.data["features"]) == (57, 5)


@pytest.mark.parametrize(
    "target", [["1.5", "2.5", "9.5", "12.25"] * 15, ["1", "2", "3"] * 20, ["u", "v"] * 30]
)
def test_gaps_of_any_target_are_dropped(target, folder):
    target[3], target[5], words = "fehlt", "NA", [*map(str, range(0, 600, 10))]
    words[0] = "fehlt"
    pd.DataFrame({"a": words, "b": [i % 7 for i in range(60)], "target": target}).to_csv("t.csv")
    begin("t.csv")
    assert written("t.yaml")["dataset"]["missing_target"] == "drop"
    assert run("t.yaml").run.data["samples"] == 58


def test_gaps_among_dates_alone_are_kept(folder):
    days = [f"2024-0{i % 9 + 1}-0{i % 8 + 1}" for i in range(30)]
    lines = [f"{one},{two}" for one, two in zip(days, ["NA", *days[:-1]], strict=True)]
    (folder / "d.csv").write_text("a,b\n" + "\n".join(lines))
    begin("d.csv")
    run("d.yaml")


def test_too_few_rows_are_told_before_a_run_refuses_them(folder):
    (folder / "three.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    assert "three.csv has 3 rows; a map needs at least 4" in begin("three.csv")
    with pytest.raises(DataError, match=r"'three\.csv' has 3 rows; a map needs at least 4"):
        run("three.yaml")
    (folder / "four.csv").write_text("a,b\n1,2\n3,4\n5,7\n8,8\n")
    assert "needs at least" not in begin("four.csv")


def test_a_large_file_is_looked_at_in_parts(folder, monkeypatch):
    from dbgsom_core.runs.first_look import csv_text

    monkeypatch.setattr(csv_text, "_WHOLE", 1 << 14)
    monkeypatch.setattr(csv_text, "_HEAD", 1 << 12)
    monkeypatch.setattr(csv_text, "_BLOCK", 1 << 11)
    rows = [f"{i % 97},{'ab'[i // 9000]},{i / 7:.5f}" for i in range(18_000)]
    rows[3000] = ",a,"  # where nobody looks
    (folder / "big.csv").write_text("n,late,x\n" + "\n".join(rows) + "\n")
    told = begin("big.csv")
    assert "big.csv: about 20320 rows" in told
    dataset = written("big.yaml")["dataset"]
    assert dataset["categorical"] == ["late"]
    assert dataset["missing"] == "keep"
    assert (
        "# gaps, if parts of the file that were not looked at" in (folder / "big.yaml").read_text()
    )
    assert np.isnan(load_experiment("big.yaml").dataset.load().X).sum() == 2


@pytest.mark.parametrize("name", ["survey.csv", "survey.csv.gz", "x.npy"])
def test_a_table_that_is_run_is_told_from_a_configuration(name, folder):
    (folder / name).write_bytes(survey().encode())
    with pytest.raises(ConfigError, match=f"^{name}: .*a table.*: 'dbgsom init {name}' writes one"):
        load_experiment(name, ())
    with pytest.raises(ConfigError, match=r"there is no file 'other\.csv'"):
        load_experiment("other.csv", ())


def test_metrics_for_codes_are_not_recommended_for_gaps(folder):
    (folder / "t.yaml").write_text(
        "experiment: e\ndataset: {name: csv, path: t.csv, missing: keep}\n"
        "model: {estimator: vq, metric: cosine}\n"
    )
    with pytest.raises(ConfigError, match="takes no missing values") as caught:
        load_experiment("t.yaml", ())
    assert "euclidean" in str(caught.value)
    assert "hamming" not in str(caught.value)


def test_who_has_read_enough_of_what_is_told_has_the_configuration(folder, monkeypatch):
    def enough(found, roles):
        raise BrokenPipeError

    monkeypatch.setattr(sys.modules["dbgsom_core.cli.init"], "_tell", enough)
    Path("some.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(60)))
    told = CliRunner().invoke(init, ["some.csv", "-o", "some.yaml"])
    assert isinstance(told.exception, BrokenPipeError)
    assert load_experiment(Path("some.yaml")).experiment
