"""Tables in Parquet files: the columns' language is that of CSV files."""

import pickle

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_core.tables.reader import table_of_frame
from dbgsom_plugins.datasets.table_files import Csv, Feather, Parquet

FRAME = pd.DataFrame(
    {
        "nr": ["a", "b", "c", "d"],
        "x": pd.array([1, 2, None, 4], dtype="Int64"),
        "when": pd.to_datetime(
            ["2024-02-01", None, "2024-02-03 12:00", "2024-02-04"], format="ISO8601"
        ),
        "region": pd.Categorical(["N", "S", None, "S"]),
        "flag": [True, False, True, True],
        "kind": ["u", None, "v", "u"],
    }
)
FIELDS = {
    "id": "nr",
    "categorical": "region",
    "target": "kind",
    "missing": "keep",
    "missing_target": "unlabelled",
    "dates": "ordinal",
}

PLAIN = {"id": (), "categorical": (), "target": None}


@pytest.fixture
def load(tmp_path):
    def load(frame=FRAME, **fields):
        frame.to_parquet(tmp_path / "t.parquet")
        return Parquet(**FIELDS | fields | {"path": str(tmp_path / "t.parquet")}).load()

    return load


def test_the_same_table_as_csv_and_parquet_is_the_same_data(load, tmp_path):
    data = load()
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    again = Csv(path=str(tmp_path / "t.csv"), **FIELDS).load()
    np.testing.assert_array_equal(data.X, again.X)
    assert data.feature_names == again.feature_names
    assert data.y.tolist() == again.y.tolist() == ["u", None, "v", "u"]
    assert data.ids["nr"].tolist() == again.ids["nr"].tolist()
    assert data.columns == again.columns
    np.testing.assert_array_equal(data.columns.samples(FRAME), data.X)


def test_a_table_in_memory_is_read_as_its_file(load):
    frame = FRAME.assign(text=pd.array(["1", "x", "1", None], dtype="string"), nothing=None)
    fields = FIELDS | {"path": "t.parquet", "categorical": ["region", "text"], "drop": "nothing"}
    table, _ = table_of_frame(frame)
    dataset = pickle.loads(pickle.dumps(Parquet(**fields).with_table(table)))
    data, of_file = dataset.load(), load(frame, **fields)
    np.testing.assert_array_equal(data.X, of_file.X)
    assert (data.columns, data.y.tolist()) == (of_file.columns, of_file.y.tolist())
    assert data.ids["nr"].tolist() == of_file.ids["nr"].tolist()
    with pytest.raises(DataError, match=r"^the data frame: target column 'z' does not exist"):
        Parquet(path="t.parquet", target="z").with_table(table).load()


def test_feather_files_and_folders_are_read_as_parquet(load, tmp_path):
    fields = FIELDS | {"dates": "drop"}
    data = load(dates="drop")
    FRAME.to_feather(tmp_path / "t.feather")
    feather = Feather(path=str(tmp_path / "t.feather"), **fields).load()
    np.testing.assert_array_equal(feather.X, data.X)
    assert feather.columns == data.columns
    dates = ["2024-02-01", "", "2024-02-03 12:00:00", "2024-02-04"]
    assert feather.annotations["when"].tolist() == data.annotations["when"].tolist() == dates
    (tmp_path / "parts").mkdir()
    for number in (10, 2):
        pd.DataFrame({"a": [number, 5]}).to_feather(tmp_path / f"parts/part.{number}.feather")
    assert Feather(path=str(tmp_path / "parts")).load().X.ravel().tolist() == [2, 5, 10, 5]


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        (
            {"categorical": (), "id": ()},
            ["row 0, column 'nr': 'a' is no number", "row 0, column 'region': 'N' is no number"],
        ),
        ({"missing": "error"}, ["row 2, column 'x': the value is missing: drop or fill"]),
        ({"missing_target": "error"}, ["row 1, column 'kind': the value is missing"]),
        ({"extra": "when"}, ["column 'when': '2024-02-01"]),
        ({"categorical": "regio"}, ["'regio' does not exist; did you mean 'region'"]),
    ],
)
def test_faults_are_named_at_once_with_rows_and_columns(fields, places, load):
    with pytest.raises(DataError) as caught:
        load(**fields)
    assert all(place in str(caught.value) for place in places)


def test_a_file_that_is_none_or_damaged_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    FRAME.to_parquet(path)
    content = path.read_bytes()
    for broken in (b"a,b\n1,2\n", content[:-20]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"t\.parquet is no parquet file, or damaged"):
            Parquet(path=str(path), **FIELDS).load()


@pytest.mark.parametrize("kind", ["float32", "Int64"])
def test_a_number_that_says_missing_does_so_in_columns_of_numbers(load, kind):
    frame = pd.DataFrame({"a": [1, -9, 3, -9], "b": [4, 5, -9, -9], "y": [1, 2, -9, 1]})
    fields = {"id": (), "categorical": "b", "target": "y", "na_values": ["", "-9"]}
    with pytest.warns(UserWarning, match="1 of 4 rows have no value in any feature"):
        data = load(frame.astype(kind), **fields)
    np.testing.assert_array_equal(data.X, [[1, 1, 0], [np.nan, 0, 1], [3, np.nan, np.nan]])
    assert data.y[:2].tolist() == [1, 2]
    assert pd.isna(data.y[2])
    asked = data.columns.samples(frame[["b", "a"]].astype(kind))
    np.testing.assert_array_equal(asked[:3], data.X)


def test_durations_are_seconds(load):
    frame = pd.DataFrame({"a": [1, 2], "took": pd.to_timedelta([1, 0.5], unit="s")})
    data = load(frame, **PLAIN)
    assert data.X.tolist() == data.columns.samples(frame).tolist() == [[1, 1], [2, 0.5]]
