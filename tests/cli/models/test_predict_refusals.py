"""What `predict` cannot answer is refused where it stands, and what was there stays."""

import re
import signal

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.runs import models as samples
from dbgsom_core.tables import Columns


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
    assert "first row 30 (line 32)" in told("predict", "cosine.npz", "gap.csv", "-o", "gaps.csv")[1]
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


def test_a_wrong_delimiter_is_told_with_the_right_one(shop, refused, new):
    new.to_csv(shop / "semicolons.csv", index=False, sep=";")
    told = refused("predict", "fruit", "semicolons.csv", "--delimiter", ",")
    assert told == (
        "semicolons.csv has the single column 'id;size;colour;weight;kind': give --delimiter ';'\n"
    )
    text = (shop / "semicolons.csv").read_text()
    (shop / "sep.csv").write_text(f"sep=,\n{text}")
    assert "(its line sep=, does not part it)" in refused("predict", "fruit", "sep.csv")
