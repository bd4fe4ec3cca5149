"""What ``dbgsom init`` takes a column for: a number, a category, an id, a date, text."""

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from dbgsom_core.cli.init import init
from dbgsom_core.config import load_experiment
from dbgsom_core.runs.first_look.column_kinds import look_at_column
from dbgsom_core.runs.using.table_head import Written
from dbgsom_core.runs.using.table_reading import Wanted, chunks_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin():
    done = CliRunner().invoke(init, ["p.csv", "--force"])
    assert done.exception is None
    return done.output


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("a", ["1", "2", "2", "NA"], "number"),
        ("a", [f"{i}" for i in range(50)], "id"),
        ("a", [f"{i * i}" for i in range(50)], "number"),
        ("nr", [f"{i * i}" for i in range(50)], "id"),
        ("a", [f"{i * 7:05d}" for i in range(50)], "id"),
        ("a", ["01", "02"] * 25, "category"),
        ("a", ["x", "y"] * 25, "category"),
        ("a", [f"words and {i}" for i in range(50)], "text"),
        ("user_id", [f"u{i}" for i in range(50)], "id"),
        ("a", ["2024-01-01", "2024-02-01", ""], "date"),
        ("a", ["x"] * 9, "constant"),
        ("a", ["", "NA", "?"], "empty"),
        ("a", [*["1", "2"] * 20, "unknown"], "number"),
        ("a", [*["1", "2"] * 20, *["unknown"] * 20], "category"),
    ],
)
def test_kinds_of_columns(name, cells, kind):
    column = look_at_column(1, name, cells, ".")
    assert column.kind == kind
    assert column.words == (("unknown",) if kind == "number" and "unknown" in cells else ())


@pytest.mark.parametrize(
    ("cell", "unit", "beside", "value"),
    [
        ("{0},{1:03d}.5 €", "€", "{0}.25", lambda i: 1000 * i + 7 * i + 0.5),
        ("{0} {1:03d} kg", "kg", "{0},25", lambda i: 1000 * i + 7 * i),
        ("{1},5 %", "%", "{0}", lambda i: 7 * i + 0.5),
        ("-€ {0}.{1:03d}", "€", "{0},25", lambda i: -1000 * i - 7 * i),
        ("{0}.{1:03d}m²", "m²", "{0}", lambda i: i + 7 * i / 1000),
    ],
)
@pytest.mark.parametrize("header", ["a;price\n", ""])
def test_numbers_with_a_unit_are_features(cell, unit, beside, value, header, folder):
    lines = [f"{beside};{cell}\n".format(i, 7 * i) for i in range(1, 31)]
    text = header + "".join(lines) + f"{beside};NA\n".format(5)
    (folder / "p.csv").write_text(text, encoding="utf-8")
    assert f"number in {unit}" in begin()
    dataset = load_experiment("p.yaml").dataset
    assert dataset.units == {"price" if header else "1": unit}
    read = dataset.load().X[:30, -1]
    assert read.tolist() == pytest.approx([value(i) for i in range(1, 31)])


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["1 m", "2 cm", "3 m", "4 cm"], "numbers in cm, m: convert them to one unit"),
        (["1 %", "2 %", "3", "4"], "numbers with and without %: if all are meant so, name it unde"),
        (["1,007.5 €", "2,014.5 €", "3,0 €"], "numbers in € with marks that the file's other num"),
        (["(1,007.25)", "(2,014.25)", "(3,021.25)"], "numbers with marks that the file's other n"),
    ],
)
def test_what_keeps_cells_from_being_numbers_is_told(cells, note, folder):
    column = look_at_column(1, "price", cells, ".")
    assert (column.kind, column.unit) == ("text", "")
    assert column.note.startswith(note)
    lines = [f"{i * i};{cell}" for i, cell in enumerate(cells)]
    (folder / "p.csv").write_text("a;price\n" + "\n".join(lines), encoding="utf-8")
    assert f"dropped: {note[:40]}" in begin()


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("house", ["007 b", "008 b", "009 b"] * 9, "category"),
        ("room", ["A17", "A18", "A19"] * 9, "category"),
        ("nr", [f"{i}a" for i in range(1, 50)], "id"),
        ("share", [*[f"{i} %" for i in range(1, 50)], "none"], "number"),
        ("tall", [f"{i} cm" for i in range(1, 50)], "number"),
    ],
)
def test_codes_are_no_numbers_with_units(name, cells, kind):
    column = look_at_column(1, name, cells, ".")
    assert column.kind == kind
    assert bool(column.unit) == (kind == "number")
    assert column.words == (("none",) if name == "share" else ())


def test_columns_of_one_name_are_told(folder):
    rows = "".join(f"5,{i} m,{i * i},{i}\n" for i in range(9))
    (folder / "p.csv").write_text("a,a,a,b\n" + rows)
    told = begin()
    assert "column 2 (from 0) is called 'a', as one before it, and is left out: rename it" in told
    assert told.count("is called") == 1
    data = load_experiment("p.yaml").dataset.load()  # the first holds one value only
    assert data.X.tolist() == [[i, i] for i in range(9)]


@pytest.mark.parametrize(
    ("rows", "becomes", "X"),
    [
        ("2.1.1970", {}, [1]),
        ("2/1/1970", {"date_format": "%d/%m/%Y"}, [1]),
        ("2/1/1970,2.1.1970", {"date_format": "%d/%m/%Y", "drop": ["d1", "k"]}, [1]),
        ("2/1/1970,13/1/1970", {"date_format": "%d/%m/%Y"}, [1, 12]),
    ],
)
def test_dates_beside_one_value_are_features(rows, becomes, X, folder):
    names = [f"d{i}" for i, _ in enumerate(rows.split(","))]
    lines = [rows, *(rows.replace("1970", str(1971 + i)) for i in range(5))]
    text = ",".join([*names, "k"]) + "\n" + "".join(f"{line},5\n" for line in lines)
    (folder / "p.csv").write_text(text)
    told = begin()
    assert told.count("feature: days") == len(X)
    dataset = yaml.safe_load((folder / "p.yaml").read_text())["dataset"]
    assert dataset["dates"] == "ordinal"
    assert {key: dataset.get(key) for key in becomes} == becomes
    assert load_experiment("p.yaml").dataset.load().X[0].tolist() == X


def test_a_table_of_which_nothing_is_left_is_refused_with_the_reasons(folder):
    (folder / "p.csv").write_text("day,tall\n" + "1.1.1970,1 m\n1.1.1970,2 cm\n1.1.1970,3 m\n")
    done = CliRunner().invoke(init, ["p.csv"])
    assert "'day' (one value only), 'tall' (numbers in cm, m: convert" in str(done.exception)
    assert not (folder / "p.yaml").exists()


def test_parquet_with_an_index_or_a_name_twice_is_looked_at(folder):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    index = pd.Index([f"k{i}" for i in range(30)], name="nr")
    pd.DataFrame({"a": [f"{i * i} m" for i in range(30)]}, index=index).to_parquet("p.parquet")
    assert CliRunner().invoke(init, ["p.parquet"]).exception is None
    data = load_experiment("p.yaml").dataset.load()
    assert data.ids["nr"].tolist() == [*index]
    assert data.X.ravel().tolist() == [i * i for i in range(30)]
    parquet.write_table(pa.table([[5.0, 6, 8]] * 2, names=["a", "a"]), "q.parquet")
    assert "column 1 (from 0) is called 'a'" in CliRunner().invoke(init, ["q.parquet"]).output
    assert load_experiment("q.yaml").dataset.load().X.tolist() == [[5], [6], [8]]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        (["1.200 kg", "950 kg", "1.450 kg"], "1.200 is read as 1.2; if it is 1200, set thousands"),
        (["1.200", "950", "1.450"], "1.200 is read as 1.2; if it is 1200, set thousands: '.' and"),
        (["1.200", "1.450", "1.455"], ""),
        (["1.200", "950", "1.45"], ""),
        (["1.200", "0", "0.450"], ""),
    ],
)
def test_marks_that_may_part_thousands_are_told(numbers, told, folder):
    lines = [f"{numbers[i % 3]},{i * i}\n" for i in range(9)]
    (folder / "p.csv").write_text("a,b\n" + "".join(lines))
    said = begin()
    assert ("is read as" in said) == bool(told)
    assert told in said
    data = load_experiment("p.yaml").dataset.load()
    assert data.X[0, 0] == 1.2
    if told:
        other = ["dataset.thousands='.'", "dataset.decimal=','"]
        assert load_experiment("p.yaml", other).dataset.load().X[0, 0] == 1200


@pytest.mark.parametrize("header", ["a,b,c\n", ""])
@pytest.mark.parametrize(
    ("number", "options", "X"),
    [
        ("{0},5", {"decimal": ","}, [2.5, 3.5]),
        ("{0}.014,5 %", {"decimal": ",", "thousands": "."}, [2014.5, 3014.5]),
        ("{0},014", {"thousands": ","}, [2014, 3014]),
        ("{0},014.5", {"thousands": ","}, [2014.5, 3014.5]),
    ],
)
def test_commas_in_quotes_are_read_where_commas_part_fields(number, options, X, header, folder):
    lines = [f'"{number}",{{1}},"{number}"\n'.format(i, i * i) for i in range(2, 9)]
    (folder / "p.csv").write_text(header + "".join(lines))
    begin()
    section = yaml.safe_load((folder / "p.yaml").read_text())["dataset"]
    assert {key: section[key] for key in ("decimal", "thousands") if key in section} == options
    data = load_experiment("p.yaml").dataset.load()
    assert data.X[:2].tolist() == [[X[0], 4, X[0]], [X[1], 9, X[1]]]
    wanted = Wanted(data.columns, 3, trained=Written(","))
    (chunk,) = chunks_of("p.csv", wanted)
    assert chunk.X.tolist() == data.X.tolist()


@pytest.mark.parametrize(
    ("mark", "decimal"), [(".", ","), (" ", ","), ("\u202f", ","), (",", "."), ("'", ".")]
)
def test_marks_between_thousands_are_found(folder, mark, decimal):
    rows = [
        f"{i % 3}{mark}{i * 7:03d}{decimal}5;{i * i}{decimal}25;{'ab'[i % 2]}" for i in range(40)
    ]
    (folder / "p.csv").write_text("price;b;kind\n" + "\n".join(rows), encoding="utf-8")
    begin()
    dataset = yaml.safe_load((folder / "p.yaml").read_text(encoding="utf-8"))["dataset"]
    assert dataset["thousands"] == mark.replace("\u202f", " ")
    assert dataset["decimal" if decimal == "," else "target"] in (",", "kind")
    assert "drop" not in dataset
    data = load_experiment("p.yaml").dataset.load()
    assert data.X[4].tolist() == [1028.5, 16.25]
