"""Rows of a file are answered by a model, or refused with their place."""

import gzip
import io
import signal

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomClassifier
from dbgsom_core.runs import predict as samples
from dbgsom_core.tables import Columns


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(samples, "_CELLS", 1)
    monkeypatch.setattr(samples, "_LEAST_ROWS", 7)


def test_rows_are_answered_by_the_names_of_their_columns(shop, told, new, model, read_csv):
    new[["weight", "id", "colour", "size"]].assign(extra=1).to_csv(shop / "new.csv", index=False)
    _, err = told("predict", "fruit", "new.csv", "-o", "answers.csv")
    found = read_csv(shop / "answers.csv")
    assert list(found) == [
        "label", "unit", "x", "y", "distance", "novelty", "pvalue", "outlier",
        "probability_apple", "probability_plum",
    ]  # fmt: skip
    expected = model.answers(new)
    assert (found["label"] == model.predict(new)).all()
    assert (found["unit"] == expected.unit).all()
    assert (found[["x", "y"]].to_numpy() == expected.cell).all()
    assert (found["distance"] == expected.distance).all()  # to the bit
    assert (found["novelty"] == expected.novelty).all()
    assert (found["pvalue"] == model.estimator.novelty_pvalue(model.prepare(new))).all()
    assert (found["outlier"] == (found["pvalue"] <= 0.05)).all()
    shares = found[["probability_apple", "probability_plum"]].to_numpy()
    np.testing.assert_array_equal(shares, expected.probabilities)
    assert "'extra'" in err
    assert "50 rows answered" in err
    assert not list(shop.glob(".*"))


def test_any_length_is_answered_chunk_by_chunk(shop, told, new, monkeypatch):
    new.to_csv(shop / "whole.csv", index=False)
    told("predict", "fruit", "whole.csv", "-o", "whole-answers.csv", "--keep", "id", "-q")
    monkeypatch.setattr(samples, "_CELLS", 1)
    monkeypatch.setattr(samples, "_LEAST_ROWS", 7)
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


@pytest.mark.parametrize("ending", ["parquet", "tsv"])
def test_every_kind_of_file_reads_back(shop, told, new, model, ending, read_csv):
    new.to_csv(shop / "new.csv", index=False)
    target = f"out.{ending}"
    told("predict", "fruit", "new.csv", "-o", target, "--columns", "novelty,label,unit")
    read = pd.read_parquet if ending == "parquet" else read_csv
    found = read(shop / target, **({"sep": "\t"} if ending == "tsv" else {}))
    expected = model.answers(new)
    assert list(found) == ["novelty", "label", "unit"]
    assert (found["novelty"] == expected.novelty).all()
    assert (found["label"] == expected.label).all()
    assert (found["unit"] == expected.unit).all()


def test_ids_of_the_model_are_carried_along(shop, told, new, model):
    from dataclasses import replace

    columns = replace(model.columns, ids=("id",), dropped=())
    replace(model, columns=columns).save(shop / "with-ids.npz")
    new.to_csv(shop / "new.csv", index=False)
    out, _ = told("predict", "with-ids.npz", "new.csv", "--columns", "label")
    assert out.splitlines()[:2] == ["id,label", f"0000,{model.predict(new)[0]}"]
    new.drop(columns="id").to_csv(shop / "no-ids.csv", index=False)
    assert told("predict", "with-ids.npz", "no-ids.csv", "--columns", "label")[0][:6] == "label\n"


@pytest.mark.parametrize("written", ["tabs", "sep line", "comma decimals", "utf-16"])
def test_files_are_read_as_people_write_them(shop, told, new, model, written, read_csv):
    path, decimal = shop / "people.csv", "."
    if written == "tabs":
        path.write_text(new.to_csv(sep="\t", index=False))
    elif written == "sep line":
        path.write_text('"sep=|"\n\n' + new.to_csv(sep="|", index=False), encoding="utf-8-sig")
    elif written == "utf-16":
        path.write_text(new.to_csv(sep="\t", index=False), encoding="utf-16")
    else:
        from dataclasses import replace

        decimal = ","
        path.write_text(new.to_csv(sep=";", decimal=",", index=False))
        replace(model, columns=replace(model.columns, decimal=",")).save(shop / "comma.npz")
    name = "comma.npz" if decimal == "," else "fruit"
    out, _ = told("predict", name, path.name, "--columns", "distance")
    found = read_csv(io.StringIO(out))["distance"]
    assert (found == model.answers(new).distance).all()


def test_arrays_are_answered_by_place(shop, told, digits):
    X, y = digits[0][:300], digits[1][:300]
    SomClassifier(epochs=2).fit(X, y).save(shop / "digits.npz")
    again = SomClassifier.load(shop / "digits.npz")
    np.save(shop / "digits.npy", X[:100])
    np.savetxt(shop / "digits.csv", X[:100], delimiter=",")
    expected = again.predict(X[:100])
    for source in ("digits.npy", "digits.csv"):
        told("predict", "digits.npz", source, "-o", "digits-out.npy", "--columns", "label")
        np.testing.assert_array_equal(np.load(shop / "digits-out.npy"), expected)


def test_a_row_without_any_value_is_left_empty(shop, told, new, read_csv):
    hole = new.astype({"size": object, "weight": object, "colour": object})
    hole.loc[40, ["size", "weight", "colour"]] = None
    hole.to_csv(shop / "hole.csv", index=False)
    _, err = told("predict", "fruit", "hole.csv", "-o", "hole-out.csv")
    assert "note: 1 row(s) have no value and are not answered, first row 40" in err
    assert "49 rows answered" in err
    answers = read_csv(shop / "hole-out.csv")
    assert answers.loc[40].isna().all()
    assert answers["label"].notna().sum() == 49


@pytest.mark.usefixtures("small_batches")
def test_categories_of_no_training_are_warned_of_once(shop, told, new):
    strange = new.assign(colour=["teal"] * 30 + ["red"] * 20)
    strange.to_csv(shop / "strange.csv", index=False)
    sentence = "column 'colour': 'teal' (30 rows) did not occur in training: none of its"
    _, err = told("predict", "fruit", "strange.csv", "-o", "strange-out.csv")
    assert err.startswith(f"WARNING: {sentence}")
    assert err.count("teal") == 1
    assert told("predict", "fruit", "strange.csv", "-o", "strange-out.csv", "-q")[1] == ""


def test_the_decimal_mark_may_differ_from_that_of_the_training(shop, told, refused, new):
    new.to_csv(shop / "points.csv", index=False)
    new.to_csv(shop / "commas.csv", index=False, sep=";", decimal=",")
    cell = str(new["size"][0]).replace(".", ",")
    lines = refused("predict", "fruit", "commas.csv").splitlines()
    assert lines[0] == (
        f"commas.csv, line 2, column 'size': '{cell}' is no number: give decimal as ',' "
        "(and 49 more)"
    )
    assert len(lines) == 2  # a sentence a column
    told("predict", "fruit", "points.csv", "-o", "points-answers.csv")
    told("predict", "fruit", "commas.csv", "--decimal", ",", "-o", "commas-answers.csv")
    commas = pd.read_csv(shop / "commas-answers.csv", sep=";", decimal=",")
    pd.testing.assert_frame_equal(commas, pd.read_csv(shop / "points-answers.csv"))


@pytest.mark.usefixtures("small_batches")
def test_what_cannot_be_answered_is_refused_and_nothing_is_left(shop, refused, new, run_folder):
    (shop / "bad.csv").write_text(new.drop(columns=["weight", "colour"]).to_csv(index=False))
    (shop / "words.csv").write_text(
        new.astype({"size": object}).assign(size=["1"] * 30 + ["big"] + ["1"] * 19).to_csv()
    )
    gap = new.copy()
    gap.loc[20, "weight"] = np.nan
    gap.to_csv(shop / "gap.csv", index=False)
    (shop / "empty.csv").write_text("")
    (shop / "long.csv").write_text("size,colour,weight\n1,red,2\n1,red,2,3\n")
    (shop / "latin.csv").write_bytes("size,colour,weight\n1,grün,2\n".encode("latin-1"))
    out = ("-o", "x.csv")
    assert "lacks 2 columns ('colour', 'weight')" in refused("predict", "fruit", "bad.csv", *out)
    told = refused("predict", "fruit", "words.csv", *out)
    assert "words.csv, line 32, column 'size': 'big' is no number" in told
    assert "empty.csv is empty" in refused("predict", "fruit", "empty.csv", *out)
    told = refused("predict", "fruit", "long.csv", *out)
    assert "long.csv is no csv file, or damaged (CSV parse error: Expected 3 columns" in told
    assert "give encoding as" in refused("predict", "fruit", "latin.csv", *out)
    assert "none.csv" in refused("predict", "fruit", "none.csv", *out)
    assert "did you mean 'novelty'" in refused("predict", "fruit", "bad.csv", "--columns", "novlty")
    assert "no column 'nr'" in refused("predict", "fruit", "gap.csv", "--keep", "nr", *out)
    assert ".xlsx" in refused("predict", "fruit", "gap.csv", "-o", "x.xlsx")
    assert "file that is read" in refused("predict", "fruit", "gap.csv", "-o", "gap.csv")
    new.assign(unit=1).to_csv(shop / "twice.csv", index=False)
    told = refused("predict", "fruit", "twice.csv", "--keep", "unit", *out)
    assert "the column 'unit' is carried along and written as well" in told
    told = refused("explain", "fruit", "twice.csv", "--row", "50")
    assert "twice.csv has 50 rows, counted from 0: there is no row 50" in told
    (run_folder / "assignments.csv").touch()
    own = str(run_folder / "assignments.csv")
    assert "is a file of a run" in refused("predict", "fruit", "gap.csv", "-o", own)


@pytest.mark.usefixtures("small_batches")
def test_a_signal_leaves_nothing_half_written(shop, new, monkeypatch, called):
    new.to_csv(shop / "new.csv", index=False)
    does, seen = Columns.features, []

    def interrupted(*given):
        seen.append(given)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGTERM)
        return does(*given)

    monkeypatch.setattr(Columns, "features", interrupted)
    before = sorted(shop.iterdir())
    code, _, err = called(shop, "predict", "fruit", "new.csv", "-o", "cut.csv")
    assert code == 128 + signal.SIGTERM
    assert "interrupted" in err
    assert sorted(shop.iterdir()) == before


def test_a_wrong_delimiter_is_told_with_the_right_one(shop, refused, new):
    new.to_csv(shop / "semicolons.csv", index=False, sep=";")
    told = refused("predict", "fruit", "semicolons.csv", "--delimiter", ",")
    assert told == (
        "semicolons.csv has the single column 'id;size;colour;weight;kind': give delimiter as ';'\n"
    )


def test_labels_are_tabulated_by_a_column(shop, told, new, model):
    new.assign(basket=np.arange(50) % 3).to_csv(shop / "new.csv", index=False)
    told("predict", "fruit", "new.csv", "--by", "basket", "-o", "baskets.csv")
    table = pd.read_csv(shop / "baskets.csv").set_index("basket")
    labels = model.predict(new)
    assert table["rows"].tolist() == [17, 17, 16]
    for basket in range(3):
        here = np.arange(50) % 3 == basket
        for label in ("apple", "plum"):
            chosen = here & (labels == label)
            assert table.loc[basket, f"count {label}"] == chosen.sum()
            assert table.loc[basket, f"share {label}"] == pytest.approx(chosen.sum() / here.sum())
            size = new["size"][chosen].median()
            assert table.loc[basket, f"median {label} size"] == pytest.approx(size)


def test_a_table_by_a_column_has_no_other_columns(shop, refused, new):
    new.to_csv(shop / "new.csv", index=False)
    told = refused("predict", "fruit", "new.csv", "--by", "colour", "--columns", "label")
    assert "leave out --columns" in told
    assert "no column 'basket'" in refused("predict", "fruit", "new.csv", "--by", "basket")
