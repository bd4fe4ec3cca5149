"""What `predict` cannot answer is refused where it stands, and what was there stays."""

import gzip
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.errors import DataError
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.runs.models import samples
from dbgsom_core.tables import Columns
from dbgsom_core.tables import csv as tables_csv


def test_what_cannot_be_answered_is_refused_and_nothing_is_left(
    shop, refused, new, run_folder, monkeypatch
):
    monkeypatch.setattr(samples, "_MOST_ROWS", 7)
    (shop / "bad.csv").write_text(new.drop(columns=["weight", "colour"]).to_csv(index=False))
    (shop / "words.csv").write_text(
        new.astype({"size": object}).assign(size=["1"] * 30 + ["big"] + ["1"] * 19).to_csv()
    )
    gap = new.copy()
    gap.loc[20, "weight"] = np.nan
    gap.to_csv(shop / "gap.csv", index=False)
    (shop / "empty.csv").write_text("")
    (shop / "long.csv").write_text("size,colour,weight\n1,red,2\n1,red,2,3\n")
    (shop / "quote.csv").write_text('size,colour,weight\n1,red,2\n1,"red,2\n')
    np.save(shop / "narrow.npy", np.ones((3, 2)))
    (shop / "broken.parquet").write_bytes(b"PAR1 no parquet")
    (shop / "latin.csv").write_bytes("size,colour,weight\n1,grün,2\n".encode("latin-1"))
    out = ("-o", "x.csv")
    assert "lacks 2 columns ('colour', 'weight')" in refused("predict", "fruit", "bad.csv", *out)
    told = refused("predict", "fruit", "words.csv", *out)
    assert "words.csv, line 32, column 'size': 'big' is no number" in told
    assert "empty.csv is empty" in refused("predict", "fruit", "empty.csv", *out)
    told = refused("predict", "fruit", "long.csv", *out)
    assert "long.csv, line 3 has 4 fields where the table has 3 columns" in told
    assert "quote.csv, line 3: a quote is opened and" in refused(
        "predict", "fruit", "quote.csv", *out
    )
    assert "has 2 columns" in refused("predict", "fruit", "narrow.npy", *out)
    assert "parquet" in refused("predict", "fruit", "broken.parquet", *out)
    assert "--encoding" in refused("predict", "fruit", "latin.csv", *out)
    assert "none.csv" in refused("predict", "fruit", "none.csv", *out)
    assert "did you mean 'novelty'" in refused("predict", "fruit", "bad.csv", "--columns", "novlty")
    assert "no column 'nr'" in refused("predict", "fruit", "gap.csv", "--keep", "nr", *out)
    assert ".xlsx" in refused("predict", "fruit", "gap.csv", "-o", "x.xlsx")
    assert "no folder" in refused("predict", "fruit", "gap.csv", "-o", "nowhere/x.csv")
    assert "file that is read" in refused("predict", "fruit", "gap.csv", "-o", "gap.csv")
    (shop / "model.npy").write_bytes((run_folder / "model.npz").read_bytes())
    assert "file that is read" in refused("predict", "model.npy", "gap.csv", "-o", "model.npy")
    (run_folder / "assignments.csv").touch()
    own = str(run_folder / "assignments.csv")
    assert "is a file of the run in" in refused("predict", "fruit", "gap.csv", "-o", own)


def test_gaps_that_the_model_cannot_take_are_located(shop, refused, told, new, monkeypatch):
    X = new[["size", "weight"]].to_numpy()
    columns = Columns(("size", "weight"))
    FittedModel((), SomVQ(metric="cosine", epochs=3).fit(X), columns).save(shop / "cosine.npz")
    gap = new.astype({"size": object})
    gap.loc[30, ["size", "weight"]] = np.nan
    gap.to_csv(shop / "gap.csv", index=False)
    assert "row 30 (line 32)" in told("predict", "cosine.npz", "gap.csv", "-o", "gaps.csv")[1]
    gap.loc[[20, 33], "weight"] = np.nan
    gap.loc[[3, 20, 40], "size"] = "big"
    gap.to_csv(shop / "gap.csv", index=False)
    for rows in (7, 100):  # also of batches that are not answered
        monkeypatch.setattr(samples, "_MOST_ROWS", rows)
        lines = refused("predict", "cosine.npz", "gap.csv", "-o", "x.csv").splitlines()
        found = [re.match(r"gap\.csv, line (\d+), column '(\w+)'", line).groups() for line in lines]
        assert found[:4] == [*[(line, "size") for line in ("5", "22", "42")], ("22", "weight")]
        assert all("'big' is no number" in line for line in lines[:3])
        assert all("is missing: this model cannot take that" in line for line in lines[3:])


def test_cells_before_a_line_that_cannot_be_read_are_told(shop, called, refused, new, monkeypatch):
    monkeypatch.setattr(samples, "_MOST_ROWS", 7)
    odd = new.astype({"size": object})
    odd.loc[3, "size"] = "big"
    lines = odd.to_csv(index=False).splitlines()
    lines[30] += ",1"
    (shop / "odd.csv").write_text("\n".join(lines))
    *first, last = refused("predict", "fruit", "odd.csv", "-o", "x.csv").splitlines()
    assert "odd.csv, line 31 has 6 fields" in last
    assert first == [] or "line 5, column 'size': 'big' is no number" in first[0]


def test_an_array_of_cells_asks_for_a_table(new, model):
    with pytest.raises(DataError, match="pass a DataFrame with the columns size, colour, weight"):
        model.predict(new[["size", "colour", "weight"]].to_numpy())


def test_columns_of_one_name_are_refused(shop, refused, told, new):
    new.assign(label="mine").to_csv(shop / "named.csv", index=False)
    sentence = refused("predict", "fruit", "named.csv", "--keep", "label", "-o", "x.csv")
    assert "'label' is carried along and written as well" in sentence
    out, _ = told("predict", "fruit", "named.csv", "--keep", "label", "--columns", "unit")
    assert out.splitlines()[0] == "label,unit"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("size", ["1", "big"])
def test_a_signal_leaves_nothing_half_written(shop, new, monkeypatch, how, size, called):
    monkeypatch.setattr(samples, "_MOST_ROWS", 7)
    new.assign(size=[size, *new["size"][1:]]).to_csv(shop / "new.csv", index=False)
    does, seen = Columns.features, []

    def interrupted(*given):
        seen.append(given)
        if len(seen) == 3:
            signal.raise_signal(how)
        return does(*given)

    monkeypatch.setattr(Columns, "features", interrupted)
    before = sorted(shop.iterdir())
    code, _, err = called(shop, "predict", "fruit", "new.csv", "-o", "cut.csv")
    assert code == 128 + how
    assert "interrupted" in err
    assert "big" not in err
    assert sorted(shop.iterdir()) == before


def test_an_output_stays_as_it_was_when_the_input_breaks_off(shop, refused, new, monkeypatch):
    monkeypatch.setattr(samples, "_MOST_ROWS", 7)
    (shop / "kept.csv").write_text("before")
    (shop / "words.csv").write_text(
        new.astype({"size": object}).assign(size=["1"] * 30 + ["big"] + ["1"] * 19).to_csv()
    )
    refused("predict", "fruit", "words.csv", "-o", "kept.csv")
    assert (shop / "kept.csv").read_text() == "before"


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_faults_of_a_long_file_are_told_at_once(shop, refused, new, monkeypatch, kind):
    monkeypatch.setattr(samples, "_MOST_ROWS", 7)
    odd = new.astype({"size": object, "weight": object})
    odd.loc[5, "size"] = "big"
    odd.loc[[8, 46, *range(10, 40)], "weight"] = "1,5"
    odd.loc[48, "size"] = "inf"
    if kind == "parquet":
        odd.astype({"size": str, "weight": str}).to_parquet(shop / "odd.parquet")
    else:
        odd.to_csv(shop / f"odd.{kind}", index=False, sep=";")
    lines = refused("predict", "fruit", f"odd.{kind}", "-o", "x.csv").splitlines()

    def at(row):
        return f"odd.{kind}, " + (f"row {row}" if kind == "parquet" else f"line {row + 2}")

    assert len(lines) == 3
    assert lines[0] == f"{at(5)}, column 'size': 'big' is no number"
    assert lines[1].startswith(f"{at(48)}, column 'size': the value 'inf' is infinite")
    assert lines[2].startswith(f"{at(8)}, column 'weight': '1,5' is no number: give --decimal ','")
    assert lines[2].endswith("(and 31 more)")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fruits.csv", "there is no such file; did you mean 'fruit.csv'?"),
        ("fruits.parquet", "there is no such file"),
        ("fruits.npy", "there is no such file"),
        ("none/fruit.csv", "there is no folder none"),
    ],
)
def test_a_file_that_is_not_there_may_be_another(refused, name, why):
    assert refused("predict", "fruit", name).startswith(f"{name} cannot be read: {why}")


def test_a_wrong_delimiter_is_told_with_the_right_one(shop, refused, new):
    new.to_csv(shop / "semicolons.csv", index=False, sep=";")
    told = refused("predict", "fruit", "semicolons.csv", "--delimiter", ",")
    assert told == (
        "semicolons.csv has the single column 'id;size;colour;weight;kind': give --delimiter ';'\n"
    )
    text = (shop / "semicolons.csv").read_text()
    (shop / "sep.csv").write_text(f"sep=,\n{text}")
    assert "(its line sep=, does not part it)" in refused("predict", "fruit", "sep.csv")


def test_terabytes_that_were_never_written_are_refused(shop, refused):
    with (shop / "holes.npy").open("wb") as file:
        form = {"descr": "<f4", "fortran_order": False, "shape": (1 << 37, 4)}
        np.lib.format.write_array_header_1_0(file, form)
        file.truncate(file.tell() + (1 << 41))
    assert "nearly all of it was never written" in refused("predict", "fruit", "holes.npy")


def test_a_file_with_points_for_a_model_of_commas_is_told_which_option_reads_it(
    shop, refused, new, model
):
    columns = Columns(("size",), decimal=",")
    FittedModel((), SomVQ(epochs=2).fit(new[["size"]]), columns).save(shop / "comma.npz")
    (shop / "us.csv").write_text("size\n" + "1\n2\n" * 20 + "2.5\n")
    assert refused("predict", "comma.npz", "us.csv") == (
        "us.csv, line 42, column 'size': '2.5' is no number with the decimal mark ',': "
        "give --decimal ., or write it with that\n"
    )


def test_a_line_that_lacks_a_field_is_refused(shop, refused, told, new, monkeypatch):
    monkeypatch.setattr(samples, "_MOST_ROWS", 7)
    text = "\n" + new.assign(note="").to_csv(index=False, sep=";")  # gaps in the last column
    (shop / "gaps.csv").write_text(text)
    _, said = told("predict", "fruit", "gaps.csv", "-o", "gaps-out.csv")
    assert f"{len(new)} rows answered" in said
    lines = text.splitlines()
    lines[30] = lines[30].replace(";", "", 1)
    (shop / "short.csv").write_text("\n".join(lines))
    answer = refused("predict", "fruit", "short.csv", "-o", "out.csv")
    assert "short.csv, line 31 has 5 fields where the table has 6 columns" in answer
    assert not (shop / "out.csv").exists()


def test_a_pipe_is_read_as_a_file_is(shop, called, told, new, monkeypatch):
    monkeypatch.setattr(tables_csv, "_PIECE", 150)
    odd = new.astype({"size": object}).assign(note=['a "q"\n\n;'] * 25 + [""] * 25)
    odd.loc[[9, 41], "size"] = ["True", "NULL  "]
    odd.to_csv(shop / "odd.csv", index=False, sep=";")
    arguments = ("--columns", "unit,distance", "--keep", "note", "-q")
    expected, _ = told("predict", "fruit", "odd.csv", *arguments)

    def piped(text, encoding="utf-8"):
        return called(shop, "predict", "fruit", "-", *arguments, stdin=text.encode(encoding))

    text = (shop / "odd.csv").read_text()
    assert piped(text) == (0, expected, "")
    odd.loc[[5, 45], "size"] = ["big", "1,5"]
    code, _, err = piped(odd.to_csv(index=False, sep=";"))
    assert (code, err.count("is no number")) == (2, 2)
    assert "-, row 5, column 'size': 'big'" in err
    code, _, err = piped(text.rstrip(";\n"))
    assert code == 2
    assert f"-, line {text.count(chr(10))} has 5 fields" in err
    code, _, err = piped(text + text.splitlines()[-1] + ";\n")
    assert (code, "has 7 fields" in err) == (2, True)
    code, _, err = piped(text.replace("NULL", "ü"), "latin-1")
    assert (code, "- is no text of the encoding UTF-8" in err) == (2, True)


@pytest.mark.parametrize(
    ("start", "why"),
    [(gzip.compress(b"a", mtime=0), "packed by gzip: unpack it"), (b"PAR1", "a parquet file")],
)
def test_a_pipe_of_no_text_is_told_what_it_is(shop, called, start, why):
    code, out, err = called(shop, "predict", "fruit", "-", stdin=start)
    assert (code, out) == (2, "")
    assert err.startswith(f"standard input is {why}")


def test_who_reads_no_more_of_the_answers_ends_it_without_a_word(shop, new):
    pd.concat([new] * 40).to_csv(shop / "many.csv", index=False)
    command = [sys.executable, "-m", "dbgsom_core.cli", "predict", "fruit", "many.csv"]
    with subprocess.Popen(
        command, cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait()) == (b"", 141)
