"""What is read by the fast way has the bits that pandas reads, and the rest is left to pandas."""

import gzip

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.columns import Columns
from dbgsom_core.runs.using import plain_lines, table_reading
from dbgsom_core.runs.using.plain_lines import PlainLines
from dbgsom_core.runs.using.table_head import NOT_SAID, Written
from dbgsom_core.runs.using.table_reading import Wanted, chunks_of

COLUMNS = Columns(("a", "b", "c"))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(table_reading, "_MOST_ROWS", 7)
    monkeypatch.setattr(plain_lines, "_BLOCK", 16)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a text by the fast way, and by pandas alone: X, and the file's rows of the chunks."""

    def both(text, columns=COLUMNS, written=NOT_SAID):
        path = tmp_path / "some.csv.gz"
        path.write_bytes(gzip.compress(text.encode()))
        width, found, whole = 3 if columns is None else len(columns.names), [], []
        plainly = PlainLines.read
        for serves in (True, False):
            with monkeypatch.context() as patch:

                def reading(self, stream, rows, serves=serves):
                    self._serves &= serves
                    yield from plainly(self, stream, rows)
                    whole.append(self.whole)

                patch.setattr(PlainLines, "read", reading)
                wanted = Wanted(columns, width, written=written)
                chunks = list(chunks_of(str(path), wanted))
            assert [one.first for one in chunks] == np.cumsum(
                [0, *(len(one.X) for one in chunks[:-1])]
            ).tolist()
            found.append(np.concatenate([one.X for one in chunks]))
        assert not whole[1]
        dtype = "float64" if columns is None else columns.dtype
        assert found[0].dtype == found[1].dtype == dtype
        bits = [one.astype(np.float64).view(np.uint64).tolist() for one in found]
        assert bits[0] == bits[1]
        return found[0], whole[0]

    return both


def table(rng, rows=40):
    X = rng.normal(size=(rows, 3)) * 10.0 ** rng.integers(-9, 9, (rows, 3))
    X = np.array([float(f"{one:.12g}") for one in X.ravel()]).reshape(X.shape)
    return pd.DataFrame(np.where(rng.random(X.shape) < 0.2, np.nan, X), columns=["a", "b", "c"])


def test_numbers_of_many_digits_are_read_by_pandas_with_all_that_follow(rng, read):
    text = table(rng).to_csv(index=False)
    long = "0.1,0.12345678901234567,4503599627370497.5\n"
    X, whole = read(text + long + text.partition("\n")[2])
    assert not whole
    assert X[40].tolist() == [0.1, 0.12345678901234567, 4503599627370498.0]


def test_numbers_are_those_of_pandas(rng, read):
    frame = table(rng)
    text = frame.to_csv(index=False, na_rep="NA")
    assert read(text)[1]
    assert read(text.replace("a,b", '"a","b"', 1))[1]
    assert read(text.replace("\n", "\r\n").rstrip())[1]
    assert read("\ufeff" + text.replace(",", ", "))[1]
    assert read(text.replace(",", "  ,").replace("NA  ", "NA "))[1]
    assert read(text + "\n\n")[1]
    assert read(frame[["c", "a", "b"]].round(2).assign(d="x").to_csv(index=False))[1]
    assert read(
        frame.to_csv(index=False, sep=";", decimal=","), Columns(("a", "b", "c"), decimal=",")
    )[1]
    assert read(text, Columns(("c", "a"), dtype="float32"))[1]
    grouped = Columns(("a", "b"), decimal=",", thousands=".")
    found, whole = read("a;b\n1.234,5;-1.000.000\n12;NA\n", grouped)
    assert whole
    np.testing.assert_array_equal(found, [[1234.5, -1e6], [12, np.nan]])
    found, whole = read("a\n1.00000\n\n2.000000\n", Columns(("a",)))
    assert whole
    assert found.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    "line", ['"1","2",3', "1,NA  ,3", "Infinity,1,2", "0.1e-310,1,2", " 1,2,x"]
)
def test_what_it_does_not_know_is_left_to_pandas(rng, read, line):
    lines = table(rng).to_csv(index=False).splitlines()
    lines.insert(23, line)
    text = "\n".join(lines) + "\n"
    if line[0] in "I ":
        with pytest.raises(DataError, match=r"row 22 \(line 24\), column '[ac]'"):
            read(text)
    else:
        found, whole = read(text)
        assert not whole
        assert len(found) == 41


@pytest.mark.parametrize("odd", ["", "True"])  # then all is read as text
def test_a_number_for_what_is_missing_is_left_to_pandas(read, odd):
    columns = Columns(("a", "b", "c"), na_values=("", "-9"))
    found, whole = read(f"a,b,c\n1,-9.0,{odd}\n4,-9e0,\n4,-9.5,-9\n", columns)
    np.testing.assert_array_equal(found[:, 1], [np.nan, np.nan, -9.5])
    assert not whole


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_lines_of_blanks_are_no_rows(read, delimiter):
    blank = " \t ".replace(delimiter, "")
    lines = ["a;b;c", " ", "1;2;", blank, "", "4;x;6", *["7;8;"] * 30, blank, "9;8"]
    text = "\n".join(lines).replace(";", delimiter)
    with pytest.raises(DataError, match=r"line 38 has 2 fields and the header 3"):
        read(text)
    with pytest.raises(DataError, match=r"row 1, column 'b': 'x' is no number"):
        read(text + delimiter)
    assert len(read(text.replace("x", "") + delimiter)[0]) == 33


def test_a_first_line_of_numbers_and_gaps_is_a_row(read):
    found, _ = read("1,NA,3\n,5,6\n", None)
    np.testing.assert_array_equal(found, [[1, np.nan, 3], [np.nan, 5, 6]])
    found, _ = read("1,5;NA;3\n2;5;6\n", None, Written(decimal=","))
    np.testing.assert_array_equal(found, [[1.5, np.nan, 3], [2, 5, 6]])
    assert read(",0,1\n0,5,6\n", None)[0].tolist() == [[0, 5, 6]]
    assert read("NA,NA,NA\n0,5,6\n", None)[0].tolist() == [[0, 5, 6]]


@pytest.mark.parametrize("before", ["", "\x0c\n", "\x0c", " \x1c\u2028\n\n"])
def test_only_ends_of_lines_end_lines(read, before):
    found, _ = read(before + "c\u2028d,a,b,c\x0be\n1,2,3,4\n5,6,7,8\n", Columns(("a", "b")))
    assert found.tolist() == [[2, 3], [6, 7]]


@pytest.mark.parametrize("word", ["", "NULL", "null", "N/A", "n/a", "?", "-", "nAn", "<NA>", "NA "])
def test_words_for_what_is_missing_are_the_same_for_a_model_without_names(read, word):
    text = f"a,b,c\n1,{word},3\n{word},5,6\n"
    for odd in ("", "7,True,9\n"):  # which is for pandas, and there for text
        found, whole = read(text + odd, None)
        assert whole == (not odd and word != "nAn")
        expected = [[1, np.nan, 3], [np.nan, 5, 6], [7, 1, 9]][: 3 if odd else 2]
        np.testing.assert_array_equal(found, expected)


def test_what_is_wrong_is_the_same_for_a_model_without_names(read):
    text = "a,b,c\n" + "1,2,3\n" * 20 + "1,x,3\n" + "1,NULL,3\n" * 20 + "inf,5,y\n"
    with pytest.raises(DataError) as told:
        read(text, None)
    assert [one.partition(".csv.gz, ")[2] for one in str(told.value).splitlines()] == [
        "row 20 (line 22), column 'b': 'x' is no number",
        "row 41 (line 43), column 'a': the value 'inf' is infinite",
        "row 41 (line 43), column 'c': 'y' is no number",
    ]
    # Old pandas does not read it, so it is told as it is written.
    infinite = r"row 0 \(line 2\), column 'a': the value ('1e400' )?is infinite"
    with pytest.raises(DataError, match=infinite):
        read("a,b,c\n1e400,2,3\n", None)
