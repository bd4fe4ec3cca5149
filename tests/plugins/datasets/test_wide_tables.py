"""Tables of a few long lines: read row by row, and to the same samples and sentences as others."""

import numpy as np
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets import csv_file
from dbgsom_plugins.datasets.tables import Csv

MANY = 1200


@pytest.fixture
def outcomes(tmp_path, monkeypatch):
    """What is read or said of a table: row by row, and by pandas."""

    def outcomes(rows, **fields):
        lines = [[f"c{i}" for i in range(MANY)] + ["shade", "unused", "class"], *rows]
        path = tmp_path / "wide.csv"
        path.write_text("\n\n".join(",".join(line) for line in lines))
        table = Csv(
            path=str(path), target="class", categorical=("shade",), drop=("unused",), **fields
        )
        with monkeypatch.context() as patched:
            patched.setattr(Csv, "_read", lambda *_: pytest.fail("pandas reads column by column"))
            walked = said_or_read(table)
        with monkeypatch.context() as patched:
            patched.setattr(csv_file, "_WIDE", MANY * 2)
            patched.setattr(Csv, "_walked", lambda *_: pytest.fail("this one is for wide tables"))
            by_pandas = said_or_read(table)
        return walked, by_pandas

    return outcomes


def said_or_read(table):
    try:
        return table.load()
    except DataError as error:
        return str(error)


def row(shade, kind, **cells):
    numbers = np.random.default_rng(len(shade)).normal(size=MANY) * 1e5
    return [cells.get(f"c{i}", repr(float(x))) for i, x in enumerate(numbers)] + [shade, "-", kind]


def test_a_wide_table_is_read_row_by_row_to_the_same_samples(outcomes):
    walked, by_pandas = outcomes([row("red", "x"), row("green", " y "), row("red", "x")])
    assert walked.X.shape == (3, MANY + 2)
    assert walked.X.tobytes() == by_pandas.X.tobytes()
    assert walked.y.tolist() == by_pandas.y.tolist() == ["x", "y", "x"]
    assert walked.feature_names == by_pandas.feature_names
    assert walked.feature_names[-2:] == ("shade=green", "shade=red")


def test_gaps_of_a_wide_table_are_kept(outcomes):
    walked, by_pandas = outcomes(
        [row("red", "x", c7="NA "), row("green", "y", c8="")], missing="keep"
    )
    assert np.argwhere(np.isnan(walked.X)).tolist() == [[0, 7], [1, 8]]
    np.testing.assert_array_equal(walked.X, by_pandas.X)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("red", "x"), row("red", "y", c3="")], "line 5, column 'c3': the value is missing"),
        ([row("red", "x", c3="1_0")], "line 3, column 'c3': '1_0' is no number"),
        ([row("red", "x", c3="blue")], "line 3, column 'c3': 'blue' is no number"),
        ([row("red", "x", c3="-inf")], "line 3, column 'c3': the value '-inf' is infinite"),
        ([row("red", "x"), row("", "y")], "line 5, column 'shade': the value is missing"),
        ([row("red", "x"), ["1", "2"]], "line 5 has 2 fields where the table has 1203 columns"),
        ([[*row("red", "x"), "1"]], "line 3 has 1204 fields where the table has 1203 columns"),
    ],
)
def test_faults_of_a_wide_table_are_told_as_of_any_other(outcomes, rows, said):
    walked, by_pandas = outcomes(rows)
    assert said in walked
    assert walked == by_pandas
