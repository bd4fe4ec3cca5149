"""Tables in CSV files: what is read, and what is said when it cannot be."""

import numpy as np
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.table_files import Csv


@pytest.fixture
def load(tmp_path):
    def load(content, **fields):
        file = tmp_path / "data.csv"
        file.write_text(content, encoding="utf-8")
        return Csv(path=str(file), **fields).load()

    return load


def test_a_table_becomes_float64_samples_without_a_target(load):
    data = load("a,b\n1,2\n3,4.5\n")
    assert data.X.tolist() == [[1, 2], [3, 4.5]]
    assert data.X.dtype == np.float64
    assert data.X.flags.c_contiguous
    assert data.y is None
    assert data.feature_names == ("a", "b")


@pytest.mark.parametrize("target", ["kind", 1, -2])
def test_the_target_is_a_column_by_name_or_number(load, target):
    data = load("a,kind,b\n1,x,2\n3,y,4\n", target=target)
    assert data.X.tolist() == [[1, 2], [3, 4]]
    assert data.y.tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["3", "-1"], [3, -1]),
        (["3", "0.5"], [3.0, 0.5]),
        (["setosa", "3"], ["setosa", "3"]),
        (["007", "010"], ["007", "010"]),
        (["none", "None"], ["none", "None"]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
    ],
)
def test_a_target_keeps_its_kind(load, cells, values):
    y = load("a,t\n" + "".join(f"1,{cell}\n" for cell in cells), target="t").y
    assert y.tolist() == values


def test_categories_become_one_column_each_in_their_place(load):
    data = load("a,colour,b\n1,red,2\n3,blue,4\n5,red,6\n", categorical=["colour"])
    assert data.feature_names == ("a", "colour=blue", "colour=red", "b")
    assert data.X.tolist() == [[1, 0, 1, 2], [3, 1, 0, 4], [5, 0, 1, 6]]


def test_a_table_without_header_numbers_its_columns(load):
    data = load("5.1,3.5,x\n4.9,3,y\n", header=False, target=-1)
    assert data.X.tolist() == [[5.1, 3.5], [4.9, 3]]
    assert data.feature_names == ("0", "1")


@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        ("a,b\n", {}, "has no rows: give a file with data"),
        ("a,b\n1,2\n\n3,foo\n4,bar\n", {}, "line 4, column 'b': 'foo' is no number.*categorical"),
        ("a,b\n1,\n", {}, "line 2, column 'b': the value is missing: drop or fill"),
        ("a,b\n1,2\n1,nan\n", {}, "line 3, column 'b': the value is missing"),
        ("a,b\n1,-inf\n", {}, "line 2, column 'b': the value is infinite"),
        ("a,b\n1,1e999\n", {"missing": "keep"}, "infinite"),
        ("a,b\nx,1\ny\n", {"target": "a"}, "Expected 2 columns, got 1: y"),
        ("a,t\n1,x\n2,\n", {"target": "t"}, "line 3, column 't': the value is missing"),
        ("a,t\n1,1.5\n2,nan\n", {"target": "t", "missing": "keep"}, "line 3, column 't': the val"),
        ("a,c\n1,x\n2,\n", {"categorical": ["c"]}, "line 3, column 'c': the value is missing"),
        ("a\tb\n1\t2\n", {}, "give delimiter as '\t'"),
        ("a,a\n1,2\n", {}, "two columns are called 'a'"),
        (",a\n0,1\n", {}, "column 0 .* has no name: name it, or drop 0"),
        ("5.1,3.5,x\n4.9,3,y\n", {"target": 2}, "line 1 holds numbers instead of column names"),
        ("a,kind\n1,x\n", {"target": "knd"}, "'knd' does not exist; did you mean 'kind'.*a, kind"),
        ("a,b\n1,2\n", {"drop": ["c"]}, "drop column 'c' does not exist"),
        ("a,b\n1,2\n", {"target": 2}, "target is column 2, but there are 2 columns"),
        ("a,b\n1,2\n", {"target": "b", "drop": ["b"]}, "is target and drop: choose one"),
        ("a,b\n1,2\n", {"target": "b", "drop": ["a"]}, "no column is left"),
        ("a,b\n1,2\n", {"target": "b", "categorical": ["b"]}, "is categorical and target: ch"),
        ("," * 200_000, {}, "more than 100000 columns: save them as .npy"),
        ("a,price\n1,cheap\n", {"extra": "price"}, "'cheap' is no number"),
    ],
)
def test_a_bad_table_gets_sentences_with_the_place_and_the_cure(load, content, fields, words):
    with pytest.raises(DataError, match=words) as caught:
        load(content, **fields)
    assert all("data.csv" in line for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("flower.csv", r"did you mean 'flowers\.csv'"),
        ("nowhere/x.csv", "there is no such file"),
        (".", "it is a folder"),
        ("a\0b", "null"),
    ],
)
def test_a_missing_file_is_named_with_its_nearest_neighbour(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=words):
        Csv(path=path).load()


def test_extra_columns_are_numbers_beside_the_samples(load):
    data = load("a,price,b\n1,,2\n3,4.5,4\n", extra="price", target="b")
    assert data.X.tolist() == [[1], [3]]
    np.testing.assert_array_equal(data.variables["price"], [np.nan, 4.5])
    assert "price" in data.columns.dropped  # so that tables to predict may have it, or not
